"""What a trained model is worth: ELBO, importance-weighted bounds, test log-likelihood.

Every number of the course comes from here, on the same binarised test set, in nats per
image, lower being better (minus the bounds). What belongs here: those numbers, and the
fast form of them. What does not: training (`train`), files (`runs`).
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn
from tqdm import tqdm

from vae_edu.errors import CourseError
from vae_edu.models import latent_dim_of, log_importance_weights
from vae_edu.program import LeakError, Program, ProgramError

__all__ = [
    "EvaluationError",
    "Evaluation",
    "Factored",
    "binarized_test_set",
    "checksum",
    "evaluate",
    "log_weights",
    "softplus_sum",
]

TEST_SEED = 2016  # of the binarised test set: the same for every model
BOUNDS = (1, 5, 50)  # samples of the importance-weighted bounds, as the paper has them
ACTIVE = 0.01  # a unit is active where the variance of its mean is above
BLOCK = 20  # images at a time; their encoder runs once
# Rows of logits at a time: on a CPU what its cache holds, else what the memory does.
ROWS = {"cpu": 1000, "cuda": 1_000_000, "mps": 100_000}
WIDE = 4096  # numbers a row; of wider ones there are fewer at a time
SAY_EVERY = 60.0  # seconds between two lines of progress, where no bar is seen


class EvaluationError(CourseError):
    """A model or a test set cannot be evaluated as asked."""


@runtime_checkable
class Factored(Protocol):
    """A model whose logits are h Wᵀ + b, with h known before the pixels are needed."""

    latent_dim: int

    @property
    def output_layer(self) -> tuple[Tensor, Tensor]:
        """Weight (input, hidden) and bias (input,)."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, input) -> mu, log_var."""

    def features(
        self, code: tuple[Tensor, Tensor], eps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(k, batch, latent) -> h (k, batch, hidden), log p(z) − log q(z|x)."""


@dataclass(frozen=True)
class Evaluation:
    """Means over the test images, nats per image, minus the bound (lower is better).

    elbo: −ELBO; bounds: {k: −L_k}; nll: −L_num_samples, an estimate of −log p(x) from
    above; standard_error: of nll, over the images. active_units: of `units`.
    per_image: (n,), the images' own −L_num_samples, for spot checks.
    """

    n: int
    num_samples: int
    elbo: float
    bounds: dict[int, float]
    nll: float
    standard_error: float
    active_units: int
    units: int
    seed: int
    test_set: str
    per_image: Tensor = field(compare=False, repr=False)

    def numbers(self) -> dict[str, Any]:
        """Return all but `per_image`, for JSON."""
        found = asdict(self)
        del found["per_image"]
        return found | {"bounds": {str(k): v for k, v in self.bounds.items()}}


# --- the test set -----------------------------------------------------------------


def binarized_test_set(images: Tensor, seed: int = TEST_SEED) -> Tensor:
    """Return the images binarised once and for all: uint8 zeros and ones.

    P(1) = pixel / 255, as in `data.binarize_images`; the stream is numpy's RandomState,
    frozen for good, so every machine and version has the same set (see `checksum`).
    """
    import numpy as np

    if images.dtype != torch.uint8 or images.ndim != 2:
        raise EvaluationError(
            f"test images of {images.dtype}, shape {tuple(images.shape)}: expected "
            "uint8 in 0..255, (n, pixels), as data.load gives them."
        )
    drawn = np.random.RandomState(seed).randint(0, 255, images.numel())
    uniform = torch.from_numpy(drawn.astype(np.uint8)).view(images.shape)
    return (images.cpu() > uniform).to(torch.uint8)


def checksum(images: Tensor) -> str:
    """Return the SHA-256 of a set of images, shape included."""
    seen = hashlib.sha256(str(tuple(images.shape)).encode())
    seen.update(images.cpu().contiguous().numpy().data)
    return seen.hexdigest()


# --- log-weights, in two forms ----------------------------------------------------


@torch.no_grad()
def log_weights(
    model: nn.Module | Factored, x: Tensor, num_samples: int, generator: Generator
) -> Tensor:
    """Return log p(x, z) − log q(z|x) of k = `num_samples` codes an image, (k, batch).

    In pieces of a size that fits the memory, and without gradients. The fast form where
    the model is Factored, else the readable one; both draw the same noise in the same
    order.
    """
    form = _prepared(model, x)
    latent_dim: Any = model.latent_dim
    width = max(x.shape[1], getattr(model, "width", 0))
    step = max(1, _rows(x.device, width) // len(x))
    pieces = []
    for start in range(0, num_samples, step):
        shape = (min(step, num_samples - start), len(x), latent_dim)
        eps = torch.randn(shape, generator=generator, device=x.device)
        pieces.append(form(eps))
    return torch.cat(pieces)


def _rows(device: torch.device, width: int) -> int:
    """How many rows of logits there may be at a time; width: numbers in the widest."""
    if device.type != "cuda":
        return max(1, min(ROWS[device.type], ROWS[device.type] * WIDE // width))
    return rows_within(torch.cuda.mem_get_info(device)[0], width)


def rows_within(free: int, width: int) -> int:
    """Rows of logits on a GPU with so many free bytes; four copies of each may live."""
    return max(1, min(ROWS["cuda"], free // (4 * 4 * width)))


def _prepared(model: nn.Module | Factored, x: Tensor) -> Callable[[Tensor], Tensor]:
    """Do for a batch what its samples share; return eps -> log-weights."""
    if not isinstance(model, Factored):
        return lambda eps: readable_log_weights(model, x, eps)
    code = model.encode(x)
    weight, bias = model.output_layer
    x_weight, x_bias = x @ weight, x @ bias  # (batch, hidden), (batch,)
    to_pixels = weight.T.contiguous()
    logits = weight.new_empty(0)  # made once: new memory costs more than its contents

    def fast(eps: Tensor) -> Tensor:
        nonlocal logits
        h, log_ratio = model.features(code, eps)
        rows = h.flatten(0, -2)
        if len(logits) < len(rows):
            logits = rows.new_empty(len(rows), len(bias))
        out = torch.addmm(bias, rows, to_pixels, out=logits[: len(rows)])
        on_pixels = (h * x_weight).sum(-1) + x_bias
        return on_pixels - softplus_sum(out).view(h.shape[:-1]) + log_ratio

    return fast


def readable_log_weights(model: nn.Module, x: Tensor, eps: Tensor) -> Tensor:
    """Return the log-weights as lesson 09 writes them, all of a batch at once."""
    own: Callable[..., Tensor] | None = getattr(model, "log_weights", None)
    if own is not None:
        return own(x, eps)
    logits, mu, log_var, z = model(x, eps)
    return log_importance_weights(x, logits, z, mu, log_var)


def softplus_sum(logits: Tensor) -> Tensor:
    r"""Return Σ log(1 + e^l) over the last dimension; overwrites the logits.

    $$\sum_i \log(1 + e^{l_i})
      = \sum_{\text{groups}} \log \prod_{i=1}^{8} (1 + e^{l_i})$$
    One logarithm for eight pixels. Where some l > 10 the product could overflow, so
    max(l, 0) is taken out first: log(1 + e^l) = max(l, 0) + log(1 + e^{−|l|}).
    """
    if bool(logits.amax() <= 10):
        return _log_of_product(logits.exp_())
    positive = logits.clamp_min(0).sum(-1)
    return positive + _log_of_product(logits.abs_().neg_().exp_())


def _log_of_product(e: Tensor) -> Tensor:
    """Σ log(1 + e) over the last dimension, halved three times by products in place."""
    half = e.shape[-1] // 2
    if 2 * half != e.shape[-1]:
        return e.log1p_().sum(-1)
    left = e[..., :half].add_(1)
    left.addcmul_(left, e[..., half:])  # (1 + a)(1 + b)
    for _ in range(2):
        half = left.shape[-1] // 2
        if 2 * half != left.shape[-1]:
            break
        left = left[..., :half].mul_(left[..., half:])
    return left.log_().sum(-1)


# --- numbers ----------------------------------------------------------------------


def evaluate(
    model: nn.Module | Factored,
    x: Tensor,
    *,
    num_samples: int = 5000,
    seed: int = 0,
    latent_dim: int | None = None,
    progress: bool = True,
    say: Callable[[str], object] = print,
) -> Evaluation:
    """Return every number reported of a model on binary test images (n, input).

    x: as `binarized_test_set` gives them. The model stays on its device, in its mode.
    A learner's model is traced, where it can be, for the fast form and so that its
    decoder is known to see the code alone (see `program`).
    progress: a bar in a terminal; elsewhere a line each minute, to `say`.
    Raises EvaluationError for images that are not binary, or numbers that are not
    finite.
    """
    _expect_binary(x, num_samples)
    with _evaluation_mode(model):
        subject = _subject(model, x.shape[1], latent_dim)
        device = next(iter(_tensors(subject)), torch.empty(0)).device
        generator = Generator(device).manual_seed(seed)
        blocks = _blocks(x.to(device), progress, say)
        parts = [_block(subject, images, num_samples, generator) for images in blocks]
    columns = {key: torch.cat([p[key] for p in parts]) for key in parts[0]}
    return _summary(columns, num_samples, seed, checksum(x))


def _block(
    model: Any, x: Tensor, num_samples: int, generator: Generator
) -> dict[str, Tensor]:
    """Return the images' own bounds, and their codes' means, on the CPU."""
    weights = in_double(log_weights(model, x, num_samples, generator))
    found = {"elbo": -weights.mean(0), "nll": -_bound(weights, num_samples)}
    for k in BOUNDS:
        if k <= num_samples:
            found[f"bound_{k}"] = -_bound(weights, k)
    found["mu"] = mean_codes(model, x)
    return {key: value.cpu() for key, value in found.items()}


def in_double(values: Tensor) -> Tensor:
    """Return the values as float64; on the CPU, where their device has none (MPS)."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def _bound(weights: Tensor, k: int) -> Tensor:
    """Return L_k of each image: the mean over as many groups of k as there are."""
    groups = weights[: len(weights) // k * k].view(-1, k, weights.shape[1])
    return (groups.logsumexp(1) - math.log(k)).mean(0)


def mean_codes(model: Any, x: Tensor) -> Tensor:
    """Return mu of q(z|x), (batch, latent)."""
    if isinstance(model, Factored):
        return model.encode(x)[0]
    mu: Tensor = model(x, x.new_zeros(len(x), model.latent_dim))[1]
    return mu


def _summary(
    columns: dict[str, Tensor], num_samples: int, seed: int, test_set: str
) -> Evaluation:
    nll = columns["nll"]
    if not bool(nll.isfinite().all()):
        raise EvaluationError(
            "the bound is not finite on some images: the weights are not those of a "
            "trained model, or its decoder gives logits without bound."
        )
    n, mu = len(nll), columns["mu"]
    bounds = {
        k: float(columns[f"bound_{k}"].mean()) for k in BOUNDS if k <= num_samples
    }
    return Evaluation(
        n=n,
        num_samples=num_samples,
        elbo=float(columns["elbo"].mean()),
        bounds=bounds,
        nll=float(nll.mean()),
        standard_error=float(nll.std() / math.sqrt(n)) if n > 1 else math.nan,
        active_units=int((mu.var(0, correction=0) > ACTIVE).sum()),
        units=mu.shape[1],
        seed=seed,
        test_set=test_set,
        per_image=nll.float(),
    )


# --- what is evaluated ------------------------------------------------------------


class _Readable(nn.Module):
    """A model that cannot be traced, with the size of its noise."""

    def __init__(self, model: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.model, self.latent_dim = model, latent_dim

    def forward(self, x: Tensor, eps: Tensor) -> Any:
        return self.model(x, eps)


def _subject(model: Any, input_dim: int, latent_dim: int | None) -> Any:
    """Return the model in the fastest form it has."""
    if isinstance(model, Factored | Program):
        return model
    dim = latent_dim_of(model, input_dim) if latent_dim is None else latent_dim
    try:
        return Program.trace(model, input_dim, dim)
    except LeakError:
        raise
    except ProgramError:
        _expect_code_by_code(model, input_dim, dim)
        return _Readable(model, dim)


def _expect_code_by_code(model: nn.Module, input_dim: int, latent_dim: int) -> None:
    """Where no program shows it, try it: logits of one code, alone and among others."""
    generator = Generator().manual_seed(0)
    like = next(model.parameters(), torch.empty(0))
    x = torch.rand(4, input_dim, generator=generator).round().to(like)
    eps = torch.randn(3, 4, latent_dim, generator=generator).to(like)
    logits, _, _, z = model(x, eps)
    for i in range(3):
        alone = model(x, eps[i : i + 1])[0][0]
        if not torch.allclose(alone, logits[i], rtol=1e-3, atol=1e-3):
            raise EvaluationError(
                "the logits of a code depend on the other codes of the batch: that is "
                "no likelihood p(x|z). Remedy: no statistics over codes in the decoder."
            )
    sample = getattr(model, "sample", None)
    if sample is not None and not torch.allclose(
        sample(z), logits.sigmoid(), rtol=1e-3, atol=1e-3
    ):
        raise EvaluationError(
            "model(x, eps) decodes a code to other probabilities than sample(z): its "
            "logits depend on more than z, or sample is not sigmoid(decoder(z))."
        )


def _tensors(model: Any) -> Iterator[Tensor]:
    if isinstance(model, nn.Module):
        yield from model.parameters()
    elif isinstance(model, Program):
        yield from model.weights.values()


@contextlib.contextmanager
def _evaluation_mode(model: Any) -> Iterator[None]:
    """Without gradients, in eval mode; afterwards as it was."""
    module = model if isinstance(model, nn.Module) else nn.Module()
    was = module.training
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        module.train(was)


def _expect_binary(x: Tensor, num_samples: int) -> None:
    if x.ndim != 2 or len(x) == 0:
        raise EvaluationError(
            f"test images of shape {tuple(x.shape)}: expected (n, pixels), n > 0."
        )
    if not bool(((x == 0) | (x == 1)).all()):
        raise EvaluationError(
            "test images hold values other than 0 and 1, where bounds are not "
            "comparable. Remedy: binarized_test_set(images)."
        )
    if num_samples < 1:
        raise EvaluationError(f"num_samples is {num_samples}: expected 1 or more.")


def _blocks(
    x: Tensor, progress: bool, say: Callable[[str], object]
) -> Iterator[Tensor]:
    size = BLOCK if x.device.type == "cpu" else 10 * BLOCK
    disable = None if progress else True
    start = said = time.monotonic()
    with tqdm(total=len(x), leave=False, disable=disable, unit="image") as bar:
        done = 0
        for block in torch.split(x, size):
            yield block.float()
            done += len(block)
            bar.update(len(block))
            now = time.monotonic()
            if progress and bar.disable and now - said >= SAY_EVERY:
                said = now
                say(progress_text(done, len(x), now - start))


def progress_text(done: int, n: int, seconds: float) -> str:
    """Return how far an evaluation is after so many seconds, and the time left."""
    left = (n - done) * seconds / done
    words = f"{left / 60:.0f} min" if left > 90 else f"{left:.0f} s"
    return f"evaluated {done:,} of {n:,} images, about {words} left"
