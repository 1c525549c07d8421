"""What a wrong VAE does, found by asking it: its z, its decoder, its sample, its paths.

Whatever its layers are called and however many there are: each finding compares results
of one and the same model with one another. What belongs here: the examination of the
VAE of lesson 07. What does not: laws (`building_the_vae`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import attempt
from vae_edu.checks.modules import ModuleCases
from vae_edu.checks.signs import Sign, sign
from vae_edu.subject import Module, Subject

Found = Sign | None


@dataclass
class Asked:
    """A model with its arguments, and what it gave for them."""

    module: Module
    draw: Draw
    x: Tensor
    eps: Tensor
    logits: Tensor
    mu: Tensor
    log_var: Tensor
    z: Tensor

    def again(
        self, x: Tensor | None = None, eps: Tensor | None = None
    ) -> tuple[Any, ...]:
        """The results for other arguments."""
        given = self.x if x is None else x, self.eps if eps is None else eps
        value = self.module.call(*given)
        return value if isinstance(value, tuple) else (value,)


def examine(cases: ModuleCases, subject: Subject, draw: Draw) -> Found:
    """The first thing that is found wrong with a VAE."""
    sizes = cases.sizes[0]
    module = cases.ready(subject, sizes, draw)
    x, eps = cases.methods[0].inputs(draw, sizes)
    eps = draw.sign(*eps.shape)
    finders: list[Callable[[], Found]] = []
    value = module.call(x, eps)
    if isinstance(value, tuple) and len(value) == 4:
        asked = Asked(module, draw, x, eps, *value)
        steps = (_of_order, _of_noise, _of_spread, _of_decoder, _of_sample, _of_paths)
        finders += [partial(step, asked) for step in steps]
    finders.append(partial(_of_samples, cases, subject, draw))
    return next(filter(None, map(attempt, finders)), None)


def close(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors agree in eight digits."""
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-8, atol=1e-10)


# --- several samples ------------------------------------------------------------------


def _of_samples(cases: ModuleCases, subject: Subject, draw: Draw) -> Found:
    sizes, method = cases.sizes[0], cases.methods[1]
    module = cases.ready(subject, sizes, draw)
    x, eps = method.inputs(draw, sizes)
    value = module.call(x, eps)
    if not isinstance(value, tuple) or len(value) != 4:
        return None
    logits, mu, _, z = value
    what = cases.tried(sizes, method)
    if mu.dim() == 3 and z.dim() == 3:
        return sign("repeated-for-samples", what)
    if z.dim() != 3 or logits.dim() != 3:
        return sign("one-image-for-all-samples", what) if logits.dim() == 2 else None
    alone = [module.call(x, e) for e in eps]
    for part, place in ((z, 3), (logits, 0)):
        expected = torch.stack([one[place] for one in alone])
        turned = part.reshape(eps.shape[1], eps.shape[0], -1).transpose(0, 1)
        if close(turned, expected) and not close(part, expected):
            return sign("exchanged-dimensions", what)
    same = close(logits, logits[:1].expand_as(logits))
    return sign("one-image-for-all-samples", what) if same else None


# --- z --------------------------------------------------------------------------------


def _of_noise(a: Asked) -> Found:
    a.module.chance = 1
    first = a.again()
    a.module.chance = 2
    if not all(map(close, first, a.again())):
        return sign("noise-inside")
    if not close(first[3], a.again(eps=-a.eps)[3]):
        return None
    a.module.train(True)
    moved = not close(a.again()[3], a.again(eps=-a.eps)[3])
    a.module.train(False)
    return sign("noise-in-training-only" if moved else "noise-forgotten")


def _of_order(a: Asked) -> Found:
    """Whether the results are right in another order; only z moves with eps."""
    parts = {"mu": a.mu, "log_var": a.log_var, "z": a.z}
    moved = dict(zip(parts, a.again(eps=-a.eps)[1:], strict=True))
    for order in permutations(parts):
        mu, log_var, z = (parts[name] for name in order)
        if close(z, mu + (0.5 * log_var).exp() * a.eps):
            if order == ("mu", "log_var", "z"):
                return None
            if not all(close(parts[name], moved[name]) for name in order[:2]):
                continue
            swapped = order == ("log_var", "mu", "z")
            return sign("mu-log-var-exchanged" if swapped else "order")
    return None


def _of_spread(a: Asked) -> Found:
    used, sigma = (a.z - a.mu) / a.eps, (0.5 * a.log_var).exp()
    positive = bool((a.log_var > 0).all())
    if close(used, a.log_var):
        return sign("std-returned" if positive else "log-var-as-std")
    if positive and close(used**2, a.log_var):
        return sign("variance-returned")
    for label, spread in (
        ("variance-for-std", sigma**2),
        ("noise-unscaled", torch.ones_like(used)),
        ("noise-subtracted", -sigma),
        ("exponential-forgotten", 0.5 * a.log_var),
        ("softplus-as-std", softplus(a.log_var)),
    ):
        if close(used, spread):
            return sign(label)
    for more in (used - sigma, used**2 - sigma**2):
        if float(more.min()) > 1e-9 and close(more, more[:1, :1].expand_as(more)):
            return sign("small-added-to-std")
    far = (a.again(eps=3 * a.eps)[3] - a.mu) / a.eps
    if close(used, sigma) and bool((far < 2.9 * sigma).any()):
        return sign("noise-cut")
    return None


def clamped_spread(used: Tensor, log_var: Tensor) -> Found:
    """used: the log-variances that z shows. Whether they stay at one or two bounds."""
    off = (used - log_var).abs() > 1e-3 * log_var.abs().clamp(min=1.0)
    bounds = {round(v, 3) for v in used[off].tolist()}
    return sign("spread-clamped") if 0 < len(bounds) <= 2 < int(off.sum()) else None


# --- the decoder, and sample ----------------------------------------------------------


def _of_decoder(a: Asked) -> Found:
    if close(a.logits, a.again(eps=-a.eps)[0]):
        return sign("decoder-reads-mu")
    other = a.x.flip(0)
    _, mu, log_var, _ = a.again(x=other)
    logits, _, _, z = a.again(x=other, eps=(a.z - mu) / (0.5 * log_var).exp())
    if close(z, a.z) and not torch.allclose(logits, a.logits, rtol=1e-5, atol=1e-6):
        return sign("decoder-sees-x")
    return None


def _of_sample(a: Asked) -> Found:
    a.module.chance = 1
    shown = a.module.call(a.z, method="sample")
    a.module.chance = 2
    again = a.module.call(a.z, method="sample")
    near = a.logits.abs() < 20  # further out a sigmoid is rounded to 0 or 1
    hard = bool(near.any()) and bool(((shown == 0) | (shown == 1))[near].all())
    if not close(shown, again):
        return sign("sample-draws" if hard else "sample-noise")
    if close(shown, a.module.call(a.z.flip(0), method="sample")):
        return sign("ignores-input", "sample(z)")
    if close(shown, a.logits):
        inside = bool(((shown >= 0) & (shown <= 1)).all())
        return sign("probabilities" if inside else "sample-logits", "the logits")
    if hard:
        return sign("sample-rounds")
    chance = torch.sigmoid(a.logits)
    if close(shown, torch.sigmoid(chance)):
        return sign("sigmoid-twice")
    if not close(shown, chance):
        same = _reached(a, "sample", (a.z,)) & _reached(a, "", (a.x, a.eps))
        return sign("sample-other-code" if same else "sample-other-decoder")
    pull = a.draw.sign(*shown.shape)
    if a.module.vjp([a.z], (0,), [pull], method="sample").grads[0] is None:
        return sign("sample-no-gradient")
    return None


def _reached(a: Asked, method: str, args: Sequence[Tensor]) -> set[str]:
    """The parameters that the first result of a method depends on."""
    pull = [a.draw.sign(*a.logits.shape)]
    grads = a.module.vjp(args, (), pull, method=method).state_grads
    return {name for name, grad in grads.items() if grad is not None}


# --- the paths back -------------------------------------------------------------------


def _of_paths(a: Asked) -> Found:
    """Which part of z = mu + exp(log_var / 2) eps the gradients do not know."""
    c = a.draw.sign(*a.z.shape)
    through_mu = _pulled(a, 1, c)
    through_log_var = _pulled(a, 2, 0.5 * c * a.eps * (0.5 * a.log_var).exp())
    got, names = _pulled(a, 3, c), [*through_mu]
    if not any(bool(through_mu[n].any()) for n in names):
        return None
    for label, parts in (
        ("mu-detached", (through_log_var,)),
        ("log-var-detached", (through_mu,)),
        ("both-detached", ()),
    ):
        expected = {n: sum((p[n] for p in parts), 0 * got[n]) for n in names}
        if all(close(got[n], expected[n]) for n in names):
            return sign(label)
    decoded = _pulled(a, 0, a.draw.sign(*a.logits.shape))
    encoder = [n for n in names if bool(through_mu[n].any())]
    return None if any(bool(decoded[n].any()) for n in encoder) else sign("z-detached")


def _pulled(a: Asked, place: int, pull: Tensor) -> dict[str, Tensor]:
    """The gradients of one result in all parameters, zeros where there is no path."""
    pulls: list[Tensor] = [torch.empty(0)] * 4  # fits no result: nothing is pulled at
    pulls[place] = pull
    grads = a.module.vjp((a.x, a.eps), (), pulls).state_grads
    found = {n: torch.zeros_like(v) for n, v in a.module.parameters().items()}
    return found | {n: grad for n, grad in grads.items() if grad is not None}
