"""What a law gives to an exercise by name, so that it can cross a wire: functions,
models, optimizers.

A probe is data (a kind and tensors); on the subject's side a `Workshop` turns it into
the thing itself. What does not belong here: expected values of any exercise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Probe:
    """A function (num_samples, latent) -> (num_samples,) named by `kind`.

    kinds: "quadratic" sum_j a_j z_j^2, "sine" sum_j sin(a_j z_j), "step"
    sum_j a_j 1[z_j > 0] (not differentiable: its result has no gradient), "constant"
    a_0 for every z (attached to z with gradient zero), "product" a_0 z_0 z_1 ...
    (couples the dimensions). `weight` is a tensor (latent,); where `trainable`, it is a
    leaf that requires a gradient, as a network's weight inside f would be.
    """

    kind: str
    weight: Tensor
    trainable: bool = False
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def function(self) -> Callable[[Tensor], Tensor]:
        """The function itself; it notes the shape of every argument it gets."""
        body = _KINDS[self.kind]

        def f(z: Tensor) -> Tensor:
            self.shapes.append(tuple(z.shape))
            if z.dim() != 2 or z.shape[-1] != self.weight.shape[-1]:
                raise ValueError(
                    f"f got z of shape {tuple(z.shape)}; it takes "
                    f"(num_samples, latent) with latent = {self.weight.shape[-1]}"
                )
            return body(z, self.weight)

        return f


_KINDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "quadratic": lambda z, a: (a * z**2).sum(-1),
    "sine": lambda z, a: torch.sin(a * z).sum(-1),
    "step": lambda z, a: (a.detach() * (z.detach() > 0)).sum(-1),
    "constant": lambda z, a: a[0] + 0.0 * z.sum(-1),
    "product": lambda z, a: a[0] * z.prod(-1),
}


# --- a model and its optimizer ----------------------------------------------------


@dataclass(repr=False)
class ModelProbe:
    """A VAE of one tanh layer on each side: model(x, eps) -> (logits, mu, log_var, z).

    weights: its parameters by name, among them `spare`, which the forward pass does not
    use; training: the mode it comes in; restless: in training mode a factor inside
    changes at each call, as with dropout; frozen: parameters that require no gradient;
    grads: `.grad`s that an earlier step has left; rounds: how often in a row the
    exercise is called with it.
    """

    weights: dict[str, Tensor]
    training: bool = True
    restless: bool = False
    frozen: tuple[str, ...] = ()
    grads: dict[str, Tensor] = field(default_factory=dict)
    rounds: int = 1

    def __repr__(self) -> str:
        return "model"

    def to(self, dtype: torch.dtype) -> ModelProbe:
        """The same in another dtype."""
        moved = [{k: v.to(dtype) for k, v in d.items()} for d in self._tensors()]
        return replace(self, weights=moved[0], grads=moved[1])

    def _tensors(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return self.weights, self.grads


@dataclass(repr=False)
class OptimizerProbe:
    """An optimizer of the model beside it. kinds: "sgd", "momentum", "adam".

    past: gradients by name of a step that it has taken before, so that its memory is
    not empty; only: the parameters given to it whose names start so (all for "").
    """

    kind: str
    lr: float
    past: dict[str, Tensor] = field(default_factory=dict)
    only: str = ""

    def __repr__(self) -> str:
        return f"{self.kind} optimizer"

    def to(self, dtype: torch.dtype) -> OptimizerProbe:
        """The same for a model in another dtype."""
        return replace(self, past={k: v.to(dtype) for k, v in self.past.items()})


class _Restless(nn.Module):
    """Nothing in evaluation mode; in training mode another factor at each call."""

    calls: Tensor

    def __init__(self, like: Tensor) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros_like(like.detach().sum()))

    def forward(self, h: Tensor) -> Tensor:
        if not self.training:
            return h
        self.calls += 1
        return h * (1 + 0.25 * torch.sin(2 * self.calls))


class _Model(nn.Module):
    """What a `ModelProbe` describes; it counts forward passes that build a graph."""

    def __init__(self, probe: ModelProbe) -> None:
        super().__init__()
        self.tracked = 0
        for name, value in probe.weights.items():
            own = nn.Parameter(value.clone(), requires_grad=name not in probe.frozen)
            if name in probe.grads:
                own.grad = probe.grads[name].clone()
            self.register_parameter(name, own)
        if probe.restless:
            self.shake = _Restless(probe.weights["encoder"])
        self.train(probe.training)

    def forward(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        w = dict(self.named_parameters(recurse=False))
        if {x.device, eps.device} != {self.encoder.device}:  # meta mixes silently
            raise RuntimeError("x, eps and the model should be on the same device")
        h = torch.tanh(self._shaken(x @ w["encoder"] + w["encoder_bias"]))
        mu, log_var = h @ w["mu"], h @ w["log_var"]
        z = torch.addcmul(mu, (log_var / 2).exp(), eps)
        logits = torch.tanh(z @ w["decoder"]) @ w["logits"] + w["logits_bias"]
        self.tracked += int(logits.requires_grad or mu.requires_grad)
        return logits, mu, log_var, z

    def _shaken(self, h: Tensor) -> Tensor:
        return self.shake(h) if hasattr(self, "shake") else h


def _optimizer(probe: OptimizerProbe, model: _Model) -> torch.optim.Optimizer:
    named = dict(model.named_parameters())
    chosen = [p for name, p in named.items() if name.startswith(probe.only)]
    if probe.kind == "adam":
        made: torch.optim.Optimizer = torch.optim.Adam(chosen, lr=probe.lr)
    else:
        momentum = {"sgd": 0.0, "momentum": 0.9}[probe.kind]
        made = torch.optim.SGD(chosen, lr=probe.lr, momentum=momentum)
    if probe.past:
        _step_before(made, named, probe.past)
    return made


def _step_before(
    optimizer: torch.optim.Optimizer, named: dict[str, Any], past: dict[str, Tensor]
) -> None:
    """Fill the optimizer's memory; the parameters and their .grad stay as they were."""
    before = {n: (p.detach().clone(), p.grad) for n, p in named.items()}
    for name, p in named.items():
        p.grad = past[name].clone() if name in past and p.requires_grad else None
    optimizer.step()
    for name, p in named.items():
        value, p.grad = before[name]
        p.data.copy_(value)


AnyProbe = Probe | ModelProbe | OptimizerProbe


class Workshop:
    """Makes what probes describe, for one call, and says afterwards what became of it.

    The optimizer is bound to the model that was made before it.
    """

    def __init__(self) -> None:
        self._functions: list[Probe] = []
        self._models: list[tuple[ModelProbe, _Model]] = []
        self._bound = False

    def make(self, probe: AnyProbe) -> Any:
        """The function, the model or the optimizer."""
        if isinstance(probe, ModelProbe):
            model = _Model(probe)
            self._models.append((probe, model))
            return model
        if isinstance(probe, OptimizerProbe):
            self._bound = True
            return _optimizer(probe, self._models[-1][1])
        weight = probe.weight.detach().clone().requires_grad_(probe.trainable)
        own = Probe(probe.kind, weight, probe.trainable)
        self._functions.append(own)
        return own.function()

    @property
    def rounds(self) -> int:
        """How often the exercise is to be called in a row."""
        return max((probe.rounds for probe, _ in self._models), default=1)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes that functions were called with."""
        return [shape for f in self._functions for shape in f.shapes]

    def left_grad(self) -> bool:
        """Whether a .grad is where nobody asked for one: an optimizer asks for it."""
        weights = [f.weight for f in self._functions]
        if not self._bound:
            weights += [p for _, model in self._models for p in model.parameters()]
        return any(w.grad is not None for w in weights)

    def switched(self) -> list[str]:
        """The parameters of models whose requires_grad was changed."""
        return [
            name
            for probe, model in self._models
            for name, p in model.named_parameters()
            if p.requires_grad != (name not in probe.frozen)
        ]

    def found(self) -> dict[str, Tensor]:
        """What models are now: "state.*", "training", and "tracked" (see `_Model`)."""
        said: dict[str, Tensor] = {}
        for _, model in self._models:
            state = model.state_dict()
            said |= {f"state.{k}": v.detach().clone() for k, v in state.items()}
            modes = [float(m.training) for m in model.modules()]
            said["training"] = torch.tensor(modes)
            said["tracked"] = torch.tensor(float(model.tracked > 0))
        return said
