"""Lesson 06: independent oracles, and the hidden laws."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import Laws, Truth, compare
from vae_edu.checks.likelihoods import CASES
from vae_edu.checks.standard import Case, add_fresh, cast, tried
from vae_edu.subject import Subject

LAWS = Laws("likelihoods")
LN2 = torch.log(torch.tensor(2.0, dtype=torch.float64)).item()


def bernoulli_log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    """Two log-softmaxes: the classes have logits 0 and l."""
    both = torch.stack([torch.zeros_like(logits), logits], dim=-1)
    log_p = both - torch.logsumexp(both, dim=-1, keepdim=True)
    weights = torch.stack([1 - x, x], dim=-1).to(logits.dtype)
    return (weights * log_p).sum(dim=(-2, -1))


def binarize(x: Tensor, uniform: Tensor) -> Tensor:
    """One pixel after the other, in Python."""
    x, uniform = torch.broadcast_tensors(x, uniform)
    pairs = zip(uniform.flatten().tolist(), x.flatten().tolist(), strict=True)
    return torch.tensor([float(u < v) for u, v in pairs], dtype=x.dtype).reshape(
        x.shape
    )


def entropy_floor(x: Tensor) -> Tensor:
    """Minus p log p over both outcomes, 0 where p is 0."""
    p = torch.stack([x, 1 - x], dim=-1)
    terms = torch.where(p > 0, p * torch.log(torch.where(p > 0, p, 1.0)), 0.0)
    return -terms.sum(dim=(-2, -1))


def gaussian_log_likelihood(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """torch.distributions."""
    x, mean, log_var = torch.broadcast_tensors(x, mean, log_var)
    return Independent(Normal(mean, torch.exp(log_var / 2)), 1).log_prob(x)


def optimal_log_var(x: Tensor, mean: Tensor) -> Tensor:
    """From the length of the error vector."""
    error = (x - mean).flatten()
    count = torch.tensor(float(len(error)), dtype=torch.float64).log().item()
    return 2 * torch.linalg.vector_norm(error).log() - count


def bits_per_dim(nll: Tensor, num_dims: int) -> Tensor:
    """The base changed first, then shared out."""
    return nll / LN2 / num_dims


def effective_beta(num_pixels: int, num_latents: int) -> float:
    """The weight of a latent over the weight of a pixel."""
    return float(Fraction(1, num_latents) / Fraction(1, num_pixels))


ORACLES = {
    f.__name__: f
    for f in (
        bernoulli_log_likelihood,
        binarize,
        entropy_floor,
        gaussian_log_likelihood,
        optimal_log_var,
        bits_per_dim,
        effective_beta,
    )
}

for _cases in CASES.values():
    add_fresh(LAWS, _cases)


# --- what is plausible and not public -------------------------------------------------


@LAWS.law(
    "bernoulli_log_likelihood",
    "gradients in float32",
    "the gradient in the logits is right in float32, and for one extreme pixel of many",
    hidden=True,
)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    cases = CASES["bernoulli_log_likelihood"]
    for size in (25.0, 95.0, 1e3):
        x, logits = draw.bits(5, 7), draw.normal(5, 7)
        logits[:, 2] = size * draw.sign(5).sign()
        cotangent = draw.sign(5)
        case = Case((x, logits), note=f"one pixel has a logit of ±{size:g}, float32")
        args = cast(case.args, dtype=torch.float32)
        answer = subject.vjp(cases.exercise, args, [1], [cotangent])
        expected = truth.vjp(cases.exercise, case.args, [1], [cotangent])[0]
        what = f"the gradient of {tried(cases, case)} with respect to logits"
        got = answer.grads[0]
        compare(got, expected, what=what, rtol=1e-4)
