"""Lesson 03: oracles by enumeration, state after state, and the hidden laws.

A state that counts 0 is left out of the sums, so no 0 · inf is ever formed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from vae_edu.checks.draw import Draw
from vae_edu.checks.elbo import CASES, zeros
from vae_edu.checks.law import Law, Laws
from vae_edu.checks.standard import Case, CaseMaker, Cases, add_fresh, add_standard

LAWS = Laws("elbo")
INF = math.inf


def _by_row(row: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """`row` on each row of the broadcast inputs: lists of 0-d tensors, one a state."""
    spread = torch.broadcast_tensors(*inputs)
    leading = spread[0].shape[:-1]
    flat = [[list(r) for r in t.reshape(-1, t.shape[-1])] for t in spread]
    made = torch.stack([row(*rows) for rows in zip(*flat, strict=True)])
    return made.reshape((*leading, *made.shape[1:]))


def _total(terms: list[Tensor], like: Tensor) -> Tensor:
    return sum(terms, start=torch.zeros_like(like))


def _log_sum(logs: list[Tensor]) -> Tensor:
    possible = [a for a in logs if a != -INF]
    if not possible:
        return torch.full_like(logs[0], -INF)
    top = max(possible)
    return top + _total([torch.exp(a - top) for a in possible], top).log()


def discrete_log_evidence(log_joint: Tensor) -> Tensor:
    """The log of a sum over the possible states."""
    return _by_row(_log_sum, log_joint)


def jensen_gap(values: Tensor, probs: Tensor) -> Tensor:
    """Two sums over the states of positive probability."""

    def row(v: list[Tensor], p: list[Tensor]) -> Tensor:
        used = [(a, w) for a, w in zip(v, p, strict=True) if w > 0]
        mean = _total([w * a for a, w in used], v[0])
        return mean.log() - _total([w * a.log() for a, w in used], v[0])

    return _by_row(row, values, probs)


def discrete_elbo(log_joint: Tensor, q: Tensor) -> Tensor:
    """A sum over the states that q uses."""

    def row(a: list[Tensor], w: list[Tensor]) -> Tensor:
        used = [b * (c - b.log()) for c, b in zip(a, w, strict=True) if b > 0]
        return _total(used, a[0])

    return _by_row(row, log_joint, q)


def discrete_posterior(log_joint: Tensor) -> Tensor:
    """Each possible state's share."""

    def row(a: list[Tensor]) -> Tensor:
        total = _log_sum(a)
        return torch.stack([(b - total).exp() if b != -INF else 0 * total for b in a])

    return _by_row(row, log_joint)


def discrete_kl(q: Tensor, p: Tensor) -> Tensor:
    """Minus the bound that p, as a joint of x that is certain, gives with q."""
    return -discrete_elbo(p.log(), q)


def elbo_gap(log_joint: Tensor, q: Tensor) -> Tensor:
    """A sum over the states that q uses, of logarithms of odds against the others."""

    def row(a: list[Tensor], w: list[Tensor]) -> Tensor:
        total = _log_sum(a)
        used = [b * (b.log() + total - c) for c, b in zip(a, w, strict=True) if b > 0]
        return _total(used, a[0])

    return _by_row(row, log_joint, q)


def elbo_terms(
    log_likelihood: Tensor, log_prior: Tensor, q: Tensor
) -> tuple[Tensor, Tensor]:
    """The bound of the prior alone is minus the KL to it."""
    likelihood, prior, weights = torch.broadcast_tensors(log_likelihood, log_prior, q)

    def row(a: list[Tensor], w: list[Tensor]) -> Tensor:
        used = [b * c for c, b in zip(a, w, strict=True) if b > 0]
        return _total(used, a[0])

    return _by_row(row, likelihood, weights), -discrete_elbo(prior, weights)


ORACLES = {
    f.__name__: f
    for f in (
        discrete_log_evidence,
        jensen_gap,
        discrete_elbo,
        discrete_posterior,
        discrete_kl,
        elbo_gap,
        elbo_terms,
    )
}


# --- weights of 0 together with leading dimensions ------------------------------------


def _sparse(draw: Draw, *shape: int) -> Tensor:
    """Probabilities of which about half are 0, one of them never."""
    raw = draw.uniform(*shape, low=0.2, high=1.0)
    keep = draw.bits(*shape)
    keep[..., draw.integer(0, shape[-1] - 1)] = 1
    return raw * keep / (raw * keep).sum(-1, keepdim=True)


def _shut(draw: Draw, *shape: int) -> Tensor:
    """Log-values of which some are -inf, one state in each row never."""
    shut = draw.bits(*shape).bool()
    shut[..., draw.integer(0, shape[-1] - 1)] = False
    return draw.normal(*shape).masked_fill(shut, -INF)


def _joint(draw: Draw) -> Iterator[Case]:
    yield Case((_shut(draw, 7),), note="no batch")
    yield Case((_shut(draw, 3, 4, 5),), note="two leading dimensions")


def _evidence(draw: Draw) -> Iterator[Case]:
    yield from _joint(draw)
    yield Case((torch.full((5,), -INF, dtype=torch.float64),), note="x is impossible")


def _bound(draw: Draw) -> Iterator[Case]:
    for joint, q in pairwise(((7,), (7,), (3, 4, 7), (4, 7), (7,), (6, 1, 7))):
        yield Case((_shut(draw, *joint), _sparse(draw, *q)), note="-inf and 0")
    q = _sparse(draw, 3, 4, 7)
    joint = draw.normal(3, 4, 7).masked_fill((q == 0) & draw.bits(7).bool(), -INF)
    yield Case((joint, q), note="-inf only where q is 0")


def _kl(draw: Draw) -> Iterator[Case]:
    for q, p in pairwise(((7,), (7,), (3, 4, 7), (4, 7), (7,), (6, 1, 7))):
        yield Case((_sparse(draw, *q), _sparse(draw, *p)), note="zeros in both")


def _jensen(draw: Draw) -> Iterator[Case]:
    for shape, weights in pairwise(((7,), (7,), (3, 4, 7), (4, 7), (7,), (6, 1, 7))):
        probs = _sparse(draw, *weights)
        values = (
            draw.normal(*shape).exp().expand(torch.broadcast_shapes(shape, weights))
        )
        hidden = torch.where(draw.bits(7) > 0, 0.0, INF)
        values = torch.where(probs > 0, values, hidden)
        yield Case((values, probs), note="0 and inf where the weight is 0")


def _terms(draw: Draw) -> Iterator[Case]:
    for shape, prior in (
        ((7,), (7,)),
        ((4, 7), (7,)),
        ((3, 4, 7), (7,)),
        ((2, 7), (2, 7)),
    ):
        p = _sparse(draw, *prior).log()
        yield Case((_shut(draw, *shape), p, _sparse(draw, *shape)), note="-inf and 0")


ZEROS: dict[str, CaseMaker] = {
    "discrete_log_evidence": _evidence,
    "jensen_gap": _jensen,
    "discrete_elbo": _bound,
    "discrete_posterior": _joint,
    "discrete_kl": _kl,
    "elbo_gap": _bound,
    "elbo_terms": _terms,
}


def _add_steep(cases: Cases) -> None:
    """The law of gradients, at the extremes."""
    assert cases.extremes is not None
    there = Laws("elbo")
    add_standard(there, replace(cases, plain=cases.extremes, steep=None))
    law = next(x for x in there.laws if x.name == "gradients")
    sentence = "the gradients are right for extreme inputs"
    LAWS.add(replace(law, name="steep gradients", sentence=sentence, hidden=True))


for _name, _cases in CASES.items():
    add_fresh(LAWS, _cases)
    _sentence = "weights of 0 count 0 in any number of dimensions"
    _body = zeros(_cases, ZEROS[_name])
    LAWS.add(Law(_name, "fresh zeros", _sentence, _body, hidden=True))
    if _cases.gradients:
        _add_steep(_cases)
