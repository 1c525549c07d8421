"""One training loop for every model of the course, a learner's own among them.

    history = train(model, images, TrainConfig(epochs=10), loss=negative_elbo)

What belongs here: the loop, its objectives, its schedule, its checkpoints, and the
choice of a device. What does not: networks (`models`), numbers to report (`evaluate`),
files of a finished run (`runs`).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from vae_edu import data
from vae_edu.errors import one_line
from vae_edu.light import spare_the_compiler
from vae_edu.models import latent_dim_of, log_importance_weights
from vae_edu.rehearsal import TrainError, expect_data, probe, rehearse, same_probe

__all__ = [
    "EpochRow",
    "TrainConfig",
    "TrainError",
    "device_name",
    "draw_binary",
    "expect_images",
    "learning_rate_at",
    "negative_elbo",
    "pick_device",
    "train",
]

Loss = Callable[..., tuple[Tensor, Tensor, Tensor]]
Objective = Callable[..., tuple[Tensor, Tensor, Tensor]]  # model, x, eps, beta
Step = Callable[[Tensor, Tensor, float], None]
Capture = Callable[[Callable[[], None]], Callable[[], object]]


@dataclass(frozen=True)
class TrainConfig:
    """All that determines a run, besides the model, the loss and the images.

    objective: "elbo" (the loss given), "iwae" or "dreg" (the bound with num_samples
    importance samples; Tucker et al. 2019 for the latter's gradient).
    warmup, kl_warmup: shares of all steps over which the learning rate, and β, rise.
    schedule: "cosine" down to 0, "constant", or "burda" (3^i epochs at each rate).
    matmul: "float32"; "bf16" products summed in float32 (TF32 on CUDA); "auto": where
    the hardware has units for them. Weights and sums are float32 in any case.
    second_moment: Adam's, before the first step. rates: factors of the learning rate
    for the parameters whose names begin so, such as (("decoder.out", 4.0),).
    """

    epochs: int = 20
    batch_size: int = 256
    learning_rate: float = 2e-3
    schedule: Literal["cosine", "constant", "burda"] = "cosine"
    warmup: float = 0.05
    objective: Literal["elbo", "iwae", "dreg"] = "elbo"
    num_samples: int = 1
    beta: float = 1.0
    kl_warmup: float = 0.0
    binarize: bool = True
    shuffle: bool = True
    adam_betas: tuple[float, float] = (0.9, 0.999)
    adam_eps: float = 1e-8
    second_moment: float = 0.0
    rates: tuple[tuple[str, float], ...] = ()
    matmul: Literal["auto", "float32", "bf16"] = "auto"
    device: str = "auto"
    seed: int = 0


@dataclass(frozen=True)
class EpochRow:
    """One row of metrics.csv: means over an epoch's examples, in nats."""

    epoch: int
    loss: float
    reconstruction: float
    kl: float
    learning_rate: float
    seconds: float


# --- what goes in -----------------------------------------------------------------


def expect_images(images: Tensor, batch_size: int = 1) -> None:
    """Raise TrainError unless images are flat, in [0, 1] or uint8, and enough."""
    if images.ndim != 2 or images.shape[1] == 0:
        raise TrainError(
            f"images have the shape {tuple(images.shape)}: expected (n, pixels), "
            "flat. Remedy: images.flatten(1)."
        )
    if len(images) == 0:
        raise TrainError("the set of images is empty: expected at least one batch.")
    if not 1 <= batch_size <= len(images):
        raise TrainError(
            f"a batch of {batch_size} cannot be taken from {len(images)} images: "
            f"expected a batch_size from 1 to {len(images)}."
        )
    if images.dtype == torch.uint8:
        return
    if not images.is_floating_point() or not _in_unit_interval(images):
        raise TrainError(
            f"images of {images.dtype} with values outside [0, 1]: expected uint8 in "
            "0..255, or floats in [0, 1]. Remedy: images / 255, if they are 0 to 255."
        )


def _in_unit_interval(images: Tensor) -> bool:
    low, high = images.aminmax()  # NaN comes out as NaN, and compares false
    return bool(low >= 0) and bool(high <= 1)


def pick_device(name: str = "auto") -> torch.device:
    """Return the device asked for; "auto": CUDA, then MPS, then the CPU.

    Raises TrainError for one that is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, is_there in there.items() if is_there))
    kind, _, number = name.partition(":")
    cards = torch.cuda.device_count() if kind == "cuda" else 1
    if there.get(kind) and (not number or (number.isdigit() and int(number) < cards)):
        return torch.device(name)
    present = ", ".join(kind for kind, is_there in there.items() if is_there)
    raise TrainError(
        f'the device "{name}" is not here. Remedy: one of these: {present}, or "auto".'
    )


def device_name(device: torch.device) -> str:
    """Return what to call a device in a report, such as "CPU, 2 threads"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"CPU, {threads} thread{'s' * (threads > 1)}"
    return device.type.upper()


def draw_binary(images: Tensor, generator: Generator) -> Tensor:
    r"""Sample each pixel as Bernoulli(its grey value); float32 zeros and ones.

    The same law as `data.binarize_images`, P(b = 1) = p / 255 exactly, and faster on
    the CPU: eight random bytes come from one 64-bit number, and the one byte in 256
    that is 255 is drawn again among 0..254. Floats in [0, 1] are compared with
    uniform floats. images: uint8 or floats, on the generator's device.
    """
    if images.dtype != torch.uint8:
        u = torch.rand(images.shape, generator=generator, device=images.device)
        return (u < images).float()
    if images.device.type != "cpu":
        return data.binarize_images(images, generator)
    return (images > _bytes_below_255(images.shape, generator)).float()


def _bytes_below_255(shape: torch.Size, generator: Generator) -> Tensor:
    words = torch.empty((shape.numel() + 7) // 8, dtype=torch.int64)
    words.random_(-(2**63), None, generator=generator)
    octets = words.view(torch.uint8).view(-1, 8)
    bad = octets == 255
    rows = bad.view(torch.int64).squeeze(1).nonzero().squeeze(1)  # 8 flags at once
    again = torch.randint(
        0, 255, (len(rows), 8), dtype=torch.uint8, generator=generator
    )
    octets[rows] = torch.where(bad[rows], again, octets[rows])
    return octets.view(-1)[: shape.numel()].view(shape)


# --- objectives -------------------------------------------------------------------


def negative_elbo(
    x: Tensor, logits: Tensor, mu: Tensor, log_var: Tensor, beta: float | Tensor = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return (loss, reconstruction, kl): means over the batch, in nats.

    $$\mathcal L = -\mathbb E_q \log p(x|z)
      + \beta \cdot \tfrac12 \sum_j (\mu_j^2 + e^{\ell_j} - 1 - \ell_j)$$
    Kingma & Welling 2014, eq. 10. x: (batch, input); logits: (..., batch, input);
    mu, log_var: (batch, latent).
    """
    target = x.expand_as(logits)
    summed = functional.binary_cross_entropy_with_logits(
        logits, target, reduction="sum"
    )
    reconstruction = summed / logits[..., 0].numel()
    kl = 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(-1).mean()
    return reconstruction + beta * kl, reconstruction, kl


def from_loss(loss: Loss) -> Objective:
    """Return the objective of a loss(x, logits, mu, log_var, beta), a learner's too."""

    def objective(
        model: nn.Module, x: Tensor, eps: Tensor, beta: float | Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        logits, mu, log_var, _ = model(x, eps)
        return loss(x, logits, mu, log_var, beta)

    return objective


def _log_weights(model: nn.Module, x: Tensor, eps: Tensor) -> Tensor:
    """(k, batch) log-weights, by the model's own formula where it has one."""
    own: Callable[..., Tensor] | None = getattr(model, "log_weights", None)
    if own is not None:
        return own(x, eps)
    logits, mu, log_var, z = model(x, eps)
    return log_importance_weights(x, logits, z, mu, log_var)


def sampled_elbo(
    model: nn.Module, x: Tensor, eps: Tensor, beta: float | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """−E log w by the samples alone, for models whose KL has no closed form."""
    loss = -_log_weights(model, x, eps).mean()
    return loss, loss, loss.new_zeros(())


def iwae(
    model: nn.Module, x: Tensor, eps: Tensor, beta: float | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return the negative importance-weighted bound (and it again, and 0 for the KL).

    $$-\log \tfrac1k \sum_i w_i$$   Burda et al. 2016, eq. 8

    eps: (k, batch, latent); the encoder runs once for all k.
    """
    log_weights = _log_weights(model, x, eps)
    loss = -(log_weights.logsumexp(0) - math.log(len(log_weights))).mean()
    return loss, loss, loss.new_zeros(())


def dreg(
    model: nn.Module, x: Tensor, eps: Tensor, beta: float | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    r"""The bound of `iwae`, with a gradient to the encoder of less variance.

    The encoder's gradient is Σ w̃ᵢ² ∂log wᵢ/∂zᵢ ∂zᵢ/∂φ, the decoder's stays
    Σ w̃ᵢ ∂log wᵢ/∂θ, with w̃ the weights over their sum: one factor w̃ is in the
    loss, the other is put on the gradient where it passes the codes. Tucker et al.
    2019, eq. 6.
    """
    log_weights, codes = _dreg_pieces(model, x, eps)
    share = log_weights.detach().softmax(0)
    for code in codes:
        code.register_hook(_times(share.unsqueeze(-1)))  # type: ignore[no-untyped-call]
    value = log_weights.detach().logsumexp(0) - math.log(len(log_weights))
    weighted = (share * log_weights).sum(0)
    loss = -(value + weighted - weighted.detach()).mean()
    return loss, loss, loss.new_zeros(())


def _times(factor: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda grad: grad * factor


def _dreg_pieces(
    model: nn.Module, x: Tensor, eps: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Log-weights whose q-densities leave the encoder alone, and the codes."""
    own = getattr(model, "dreg_log_weights", None)
    if own is not None:
        return own(x, eps)
    logits, mu, log_var, z = model(x, eps)
    weights = log_importance_weights(x, logits, z, mu.detach(), log_var.detach())
    return weights, (z,)


def _objective(model: nn.Module, config: TrainConfig, loss: Loss) -> Objective:
    if config.objective == "elbo":
        has_closed_kl = not hasattr(model, "log_weights")
        return from_loss(loss) if has_closed_kl else sampled_elbo
    if config.beta != 1 or config.kl_warmup:
        raise TrainError(
            f'"{config.objective}" is a bound only with beta 1 and no kl_warmup: '
            f"got beta {config.beta}, kl_warmup {config.kl_warmup}."
        )
    return {"iwae": iwae, "dreg": dreg}[config.objective]


# --- schedule ---------------------------------------------------------------------


def learning_rate_at(step: int, steps_per_epoch: int, config: TrainConfig) -> float:
    r"""Return the learning rate of a step, counted from 0.

    "cosine": lr · ½(1 + cos π t) after a linear warm-up, t from 0 to 1 over what
    remains. "burda": lr · 10^(−i/7), rounded as in the paper, for 3^i epochs,
    i = 0..7 (with lr 1e-3).
    """
    if config.schedule == "burda":
        return config.learning_rate * _burda_factor(step // steps_per_epoch)
    total = config.epochs * steps_per_epoch
    warmup = round(config.warmup * total)
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return config.learning_rate
    progress = (step - warmup) / max(1, total - warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def _burda_factor(epoch: int) -> float:
    stage, end = 0, 1
    while epoch >= end and stage < 7:
        stage += 1
        end += 3**stage
    return round(10 ** (1 - stage / 7), 1) / 10


def _kl_factor(step: int, steps: int, config: TrainConfig) -> float:
    rising = config.kl_warmup * steps
    return config.beta * (min(1.0, step / rising) if rising else 1.0)


# --- hardware ---------------------------------------------------------------------


@contextlib.contextmanager
def matmul_precision(config: TrainConfig, device: torch.device) -> Iterator[None]:
    """Within it, float32 matrix products run as `config.matmul` says."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(_precision(config.matmul, device))
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _precision(matmul: str, device: torch.device) -> str:
    if device.type == "cuda":
        return "highest" if matmul == "float32" else "high"
    fast = matmul == "bf16" or (matmul == "auto" and has_amx())
    return "medium" if fast and device.type == "cpu" else "highest"


def has_amx() -> bool:
    """Whether this CPU has tile units for bf16 (products there are many times faster).

    Without them bf16 is emulated and slow, so "auto" asks first. Linux only.
    """
    try:
        return " amx_bf16" in Path("/proc/cpuinfo").read_text("ascii", "replace")
    except OSError:
        return False


def cuda_graph(body: Callable[[], None]) -> Callable[[], object]:
    """Record the kernels of `body` once; the result launches them all at once.

    A step is some 60 kernels of a few µs each: launched one by one, a GPU mostly waits.
    """
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            body()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        body()
    return graph.replay


# --- the loop ---------------------------------------------------------------------


class Trainer:
    """A model in training: what a checkpoint has to hold, and one step of it.

    Nothing here waits for the device: sums of the loss stay on it until `epoch_means`.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        config: TrainConfig,
        loss: Loss,
        latent_dim: int | None = None,
        capture: Capture | None = None,
    ) -> None:
        expect_images(images, config.batch_size)
        _expect_config(config)
        self.device = pick_device(config.device)
        self.model = model.to(self.device)
        self.images, self.config = images.to(self.device), config
        given = latent_dim is not None
        dim = latent_dim if given else latent_dim_of(model, images.shape[1])
        many = config.num_samples > 1 or config.objective != "elbo"
        samples = (config.num_samples,) if many else ()
        self.eps_shape = (*samples, config.batch_size, dim)
        self.objective, self.loss = _objective(model, config, loss), loss
        self.optimizer = _adam(model, config, self.device)
        self.order = Generator().manual_seed(config.seed)
        self.noise = Generator(self.device).manual_seed(config.seed + 1)
        self.totals = torch.zeros(3, device=self.device)
        self.steps_per_epoch = len(images) // config.batch_size
        self.rows: list[EpochRow] = []
        self._capture = capture or (cuda_graph if self.device.type == "cuda" else None)
        self._step: Step | None = None

    def batches(self) -> Iterator[Tensor]:
        """Yield the row numbers of each batch of an epoch; a last, partial one is left
        out (another one every epoch, where the data are shuffled).
        """
        n = len(self.images)
        order = (
            torch.randperm(n, generator=self.order)
            if self.config.shuffle
            else torch.arange(n)
        ).to(self.device)
        size = self.config.batch_size
        for start in range(0, self.steps_per_epoch * size, size):
            yield order[start : start + size]

    def draw(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return a batch, binarised anew, and noise for its codes."""
        x = self.images.index_select(0, rows)  # on a CPU, faster than []
        if self.config.binarize:
            x = draw_binary(x, self.noise)
        else:
            x = data.to_unit(x) if x.dtype == torch.uint8 else x.float()
        eps = torch.randn(self.eps_shape, generator=self.noise, device=self.device)
        return x, eps

    def rehearse(self) -> None:
        """Raise TrainError where a first step would fail; nothing is changed by it."""
        x = self.images[: self.config.batch_size]
        x = data.to_unit(x) if x.dtype == torch.uint8 else x.float()
        x = x.round() if self.config.binarize else x
        generator = Generator(self.device).manual_seed(self.config.seed)
        eps = torch.randn(self.eps_shape, generator=generator, device=self.device)
        self.model.train()
        rehearse(self.model, partial(self.objective, beta=self.config.beta), x, eps)

    def _probe(self) -> dict[str, Tensor]:
        found = probe(self.model, self.loss, self.images.shape[1], self.eps_shape[-1])
        return found if self.config.objective == "elbo" else {"model": found["model"]}

    def step(self, x: Tensor, eps: Tensor, number: int) -> None:
        """One step of Adam, with the rates of step `number` (from 0)."""
        rate = learning_rate_at(number, self.steps_per_epoch, self.config)
        for group in self.optimizer.param_groups:
            own = group["factor"] * rate
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(own)  # its place is known to a CUDA graph
            else:
                group["lr"] = own
        steps = self.config.epochs * self.steps_per_epoch
        if self._step is None:
            self._step = self._prepared_step(x, eps)
        self._step(x, eps, _kl_factor(number, steps, self.config))

    def update(self, x: Tensor, eps: Tensor, beta: float | Tensor) -> None:
        """Forward, backward, Adam; the readable step that every faster one repeats."""
        self.optimizer.zero_grad()
        terms = self.objective(self.model, x, eps, beta)
        terms[0].backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.totals += torch.stack([term.detach() for term in terms])

    def _prepared_step(self, x: Tensor, eps: Tensor) -> Step:
        if self._capture is None:
            return self.update
        own_x, own_eps = x.clone(), eps.clone()
        beta = torch.ones((), device=self.device)
        with self._unchanged():
            launch = self._capture(lambda: self.update(own_x, own_eps, beta))

        def step(x: Tensor, eps: Tensor, beta_now: float) -> None:
            own_x.copy_(x)
            own_eps.copy_(eps)
            beta.fill_(beta_now)
            launch()

        return step

    @contextlib.contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Put weights, moments and sums back, in place, after steps to warm up."""
        places = [*self.model.state_dict().values(), self.totals]
        for state in self.optimizer.state.values():
            places += [value for value in state.values() if isinstance(value, Tensor)]
        before = [place.detach().clone() for place in places]
        yield
        with torch.no_grad():
            for place, value in zip(places, before, strict=True):
                place.copy_(value)

    def epoch_means(self) -> list[float]:
        """Return the epoch's mean loss, reconstruction and KL (the only wait)."""
        means = (self.totals / self.steps_per_epoch).tolist()
        self.totals.zero_()
        if not all(map(math.isfinite, means)):
            raise TrainError(
                f"the loss is {means[0]} after epoch {len(self.rows) + 1}: training "
                "diverged. Remedy: a smaller learning_rate, or look for an exp or a "
                "log of something unbounded in the loss."
            )
        return means

    def state(self) -> dict[str, Any]:
        """Return all that the rest of the run depends on."""
        return {
            "config": asdict(self.config),
            "images": _fingerprint(self.images),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "order": self.order.get_state(),
            "noise": self.noise.get_state(),
            "global": torch.get_rng_state(),
            "rows": [asdict(row) for row in self.rows],
            "probe": self._probe(),
        }

    def restore(self, state: dict[str, Any], name: str) -> None:
        """Go on from a state; TrainError where it is another run's."""
        mine = {"config": asdict(self.config), "images": _fingerprint(self.images)}
        try:
            other = [key for key, value in mine.items() if state[key] != value]
            if other:
                raise TrainError(
                    f"{name} is of a run with other {' and '.join(other)}. Remedy: "
                    "delete it to start anew, or go on with what it was made with."
                )
            self.model.load_state_dict(state["model"])
            self._expect_probe(state.get("probe", {}), name)
            self.optimizer.load_state_dict(state["optimizer"])
            for group in self.optimizer.param_groups:
                if isinstance(group["lr"], Tensor):  # read on the CPU
                    group["lr"] = group["lr"].to(self.device)
            self.order.set_state(state["order"])
            self.noise.set_state(state["noise"])
            torch.set_rng_state(state["global"])
            self.rows = [EpochRow(**row) for row in state["rows"]]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise TrainError(
                f"{name} is no checkpoint of this model ({one_line(error)}). Remedy: "
                "delete it."
            ) from error

    def _expect_probe(self, stored: dict[str, Tensor], name: str) -> None:
        """What the checkpoint's model and loss did, these must do with its weights."""
        mine = self._probe() if stored else {}
        other = [key for key in stored if not same_probe(mine[key], stored[key])]
        if other:
            raise TrainError(
                f"{name} is of a run with another {' and another '.join(other)} than "
                "yours is now. Remedy: delete it to start anew, or go on with the code "
                "that it was made with."
            )


def _expect_config(config: TrainConfig) -> None:
    whole = {"epochs": config.epochs, "num_samples": config.num_samples}
    wrong = [f"{k} is {v}, expected 1 or more" for k, v in whole.items() if v < 1]
    rates = {"learning_rate": config.learning_rate, **dict(config.rates)}
    wrong += [
        f"{name} is {rate}, expected above 0"
        for name, rate in rates.items()
        if not (math.isfinite(rate) and rate > 0)
    ]
    for name, known in {
        "schedule": ("cosine", "constant", "burda"),
        "objective": ("elbo", "iwae", "dreg"),
        "matmul": ("auto", "float32", "bf16"),
    }.items():
        if getattr(config, name) not in known:
            wrong.append(
                f"{name} is {getattr(config, name)!r}, expected one of {known}"
            )
    if wrong:
        raise TrainError("; ".join(wrong) + ".")


def _adam(
    model: nn.Module, config: TrainConfig, device: torch.device
) -> torch.optim.Adam:
    """Adam with its state made in advance (in place, so that a graph may hold it)."""
    on_cuda = device.type == "cuda"
    groups = _groups(model, config)
    if on_cuda:
        for group in groups:
            group["lr"] = torch.tensor(group["lr"], device=device)
    optimizer = torch.optim.Adam(
        groups,
        betas=config.adam_betas,
        eps=config.adam_eps,
        fused=device.type in ("cpu", "cuda", "mps"),
        capturable=on_cuda,
    )
    for group in groups:
        for p in group["params"]:
            optimizer.state[p] = {
                "step": torch.zeros((), device=device),
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.full_like(p, config.second_moment),
            }
    return optimizer


def _groups(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """The parameters by the factor of their learning rate, the first that fits."""
    trained = {k: p for k, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise TrainError("the model has no parameters to train.")
    rest = dict(trained)
    groups = []
    for start, factor in (*config.rates, ("", 1.0)):
        named = [name for name in rest if name.startswith(start)]
        if not named and start:
            raise TrainError(
                f"rates name {start!r}, and no parameter's name that is left begins "
                f"so: expected the beginning of one of {', '.join(trained)}."
            )
        if named:
            found = {"params": [rest.pop(name) for name in named], "factor": factor}
            groups.append(found | {"lr": factor * config.learning_rate})
    return groups


def _fingerprint(images: Tensor) -> str:
    return hashlib.sha256(images.cpu().contiguous().numpy().data).hexdigest()


def train(
    model: nn.Module,
    images: Tensor,
    config: TrainConfig | None = None,
    *,
    loss: Loss = negative_elbo,
    latent_dim: int | None = None,
    checkpoint: Path | None = None,
    log_dir: Path | None = None,
    say: Callable[[str], object] = tqdm.write,
    as_data: bool = True,
) -> list[EpochRow]:
    """Train a model in place on all images; return one row an epoch.

    model: any module with model(x, eps) -> (logits, mu, log_var, z), float32.
    loss: any loss(x, logits, mu, log_var, beta) -> (loss, reconstruction, kl), means
    over the batch; "iwae" and "dreg" do without. images: (n, input), uint8 in 0..255 or
    floats in [0, 1]. checkpoint: a file, written after each epoch; where it is there
    already, training goes on from it (on the CPU to the same bits as if it had never
    stopped). log_dir: for TensorBoard, if installed. as_data: False trains even what no
    run folder could hold as plain data, and nobody could hand in.
    Raises TrainError for images, sizes, a device, a model or a loss that do not do,
    before the first epoch.
    """
    spare_the_compiler()  # the first step need not wait for it
    config = config or TrainConfig()
    trainer = Trainer(model, images, config, loss, latent_dim)
    trainer.rehearse()
    if as_data:
        expect_data(trainer.model, images.shape[1], trainer.eps_shape[-1])
    if checkpoint is not None and checkpoint.exists():
        trainer.restore(load_checkpoint(checkpoint), checkpoint.name)
    trainer.model.train()
    with (
        matmul_precision(config, trainer.device),
        _board(log_dir) as board,
        _progress(trainer) as bar,
    ):
        for epoch in range(len(trainer.rows), config.epochs):
            row = _epoch(trainer, epoch, bar)
            trainer.rows.append(row)
            say(row_text(row, config.epochs))
            board(row)
            if checkpoint is not None:
                save_checkpoint(trainer.state(), checkpoint)
    return trainer.rows


def _epoch(trainer: Trainer, epoch: int, bar: Any) -> EpochRow:
    start, first = time.perf_counter(), epoch * trainer.steps_per_epoch
    for number, rows in enumerate(trainer.batches(), start=first):
        trainer.step(*trainer.draw(rows), number)
        bar.update()
    loss, reconstruction, kl = trainer.epoch_means()
    bar.set_postfix_str(f"epoch {epoch + 1}, {loss:.2f} nats")
    rate = learning_rate_at(number, trainer.steps_per_epoch, trainer.config)
    seconds = time.perf_counter() - start
    return EpochRow(epoch + 1, loss, reconstruction, kl, rate, seconds)


def row_text(row: EpochRow, epochs: int) -> str:
    """Return an epoch's row as printed."""
    left = (epochs - row.epoch) * row.seconds
    return (
        f"epoch {row.epoch:4d}/{epochs}  loss {row.loss:8.3f} nats = "
        f"reconstruction {row.reconstruction:8.3f} + kl {row.kl:7.3f}  "
        f"{row.seconds:6.1f} s, about {left:.0f} s left"
    )


def _progress(trainer: Trainer) -> Any:
    """A bar over all steps, with the time left; none where nobody watches."""
    steps = trainer.steps_per_epoch
    return tqdm(
        total=trainer.config.epochs * steps,
        initial=len(trainer.rows) * steps,
        leave=False,
        disable=None,
        unit="step",
    )


@contextlib.contextmanager
def _board(log_dir: Path | None) -> Iterator[Callable[[EpochRow], None]]:
    """Yield what sends a row to TensorBoard, or to nowhere."""
    if log_dir is None:
        yield lambda row: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TrainError(
            "TensorBoard is not installed. Remedy: pip install tensorboard, or train "
            "without log_dir (metrics.csv has the same numbers)."
        ) from error
    with SummaryWriter(str(log_dir)) as writer:
        yield lambda row: _send(writer, row)


def _send(writer: Any, row: EpochRow) -> None:
    for name in ("loss", "reconstruction", "kl", "learning_rate"):
        writer.add_scalar(name, getattr(row, name), row.epoch)


# --- checkpoints ------------------------------------------------------------------


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint so that its name never stands for a part of one."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as out:
            out.write(buffer.getbuffer())
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
    except OSError as error:
        raise TrainError(
            f"{path.name} cannot be written ({error.strerror or error}); an earlier "
            "checkpoint is as it was. Remedy: free some space, then run again: "
            "training goes on from there."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; tensors and plain values only, never code."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state
    except Exception as error:  # torch raises what its reader happens to raise
        raise TrainError(
            f"{path.name} cannot be read as a checkpoint ({type(error).__name__}). "
            "Remedy: delete it to start anew."
        ) from error
