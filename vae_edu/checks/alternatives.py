"""Which other quantity a wrong function computes: found by comparing with true ones.

A broken answer is asked for a few values, and these are compared with what the true
function gives for changed inputs (log_var doubled, two arguments exchanged, ...) and
with simple functions of the true value (its negative, its mean over the batch, ...).
Where they agree in every number, the mistake has a name, however it was written.

What belongs here: changes that make sense for any function of the course. What does
not: laws, and mistakes of one exercise (mistakes.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice, permutations
from typing import Any

import torch
from torch import Tensor

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import NoTruth, Truth
from vae_edu.checks.signs import Sign, of_shape, sign
from vae_edu.checks.standard import Case, Cases
from vae_edu.subject import Subject, SubjectError, Wrong

ASKED = 3  # cases that an answer is asked again
REPEATS = 3
DIGITS = 1e-6

Named = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """Other inputs, for which the true value is what the mistake gives."""

    sign: Sign
    inputs: Callable[[Named], Named]


def add_signs(cases: Cases) -> Callable[[Subject, Truth, Draw], Sign | None]:
    """The examination of a broken answer to one exercise."""

    def examine(subject: Subject, truth: Truth, draw: Draw) -> Sign | None:
        made = list(islice(cases.plain(draw), ASKED))
        right = [truth(cases.exercise, *case.args) for case in made]
        changes = [(c.sign, _values(cases, c, made, truth)) for c in _changes(cases)]
        got = [_asked(subject, cases, case) for case in made]
        if any(value is None for value in got) or all(map(_alike, got, right)):
            return None
        if any(isinstance(value, Wrong) for value in got):
            return of_shape(got[0], right[0], "the call")
        for _ in range(REPEATS):  # a coin falls on one side a few times in a row
            if not all(map(_repeats, [_asked(subject, cases, c) for c in made], got)):
                return sign("restless")
        for found, values in changes:
            if values is not None and _all_alike(got, values):
                return found
        return _of_values(got, right, made) or _idle(subject, cases, made, got[0])

    return examine


def _repeats(again: Any, got: Any) -> bool:
    """Whether a second call gave the same, NaNs included."""
    return _alike(_without_nan(again), _without_nan(got))


def _without_nan(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_without_nan, value))
    return torch.nan_to_num(value) if isinstance(value, Tensor) else value


def _asked(subject: Subject, cases: Cases, case: Case) -> Any:
    try:
        return subject.call(cases.exercise, *case.args)
    except SubjectError:
        return None


# --- changed inputs -------------------------------------------------------------------


def _changes(cases: Cases) -> Iterator[Change]:
    made = next(iter(cases.plain(Draw(0))))
    named = dict(zip(cases.params, made.args, strict=False))
    tensors = [p for p, v in named.items() if isinstance(v, Tensor) and v.numel() > 1]
    spreads = [p for p in tensors if p.startswith("log_var")]
    for group in [spreads, *([p] for p in spreads if len(spreads) > 1)]:
        if group:
            yield Change(_of_log_sigma(group), _scaled(group, 2.0))
            yield Change(_of_precision(group), _scaled(group, -1.0))
    for a, b in combinations(tensors, 2):
        if named[a].shape == named[b].shape:
            yield Change(_exchanged(a, b), _swap(a, b))
    for p in tensors:
        yield Change(_negated(p), _scaled([p], -1.0))
    if tensors and all(named[p].dim() == 2 for p in tensors):
        yield Change(_WRONG_AXIS, _transposed(tensors))


_WRONG_AXIS = Sign(
    "wrong-axis",
    "The other dimension is summed or averaged",
    "The values are those for the transposed inputs: what should run over the last "
    "dimension runs over the first, or the other way round.",
)


def _of_log_sigma(group: Sequence[str]) -> Sign:
    words = " and ".join(group)
    return Sign(
        "log-sigma",
        f"{words} taken for the log of the standard deviation",
        f"The values are those for twice the {words} that was given. It is log σ²: "
        "which exponential of it is σ?",
    )


def _of_precision(group: Sequence[str]) -> Sign:
    words = " and ".join(group)
    return Sign(
        "precision-for-variance",
        f"The sign of {words} is turned",
        f"The values are those for minus the {words} that was given: a variance has "
        "been taken for its inverse.",
    )


def _exchanged(a: str, b: str) -> Sign:
    return Sign(
        f"exchanged-{a}-{b}",
        f"{a} and {b} change places",
        f"The values are those with {a} and {b} exchanged. Which of them does each "
        "step take?",
    )


def _negated(p: str) -> Sign:
    return Sign(
        f"negated-{p}",
        f"{p} enters with the wrong sign",
        f"The values are those for minus the {p} that was given.",
    )


def _scaled(names: Sequence[str], factor: float) -> Callable[[Named], Named]:
    return lambda named: named | {n: factor * named[n] for n in names}


def _swap(a: str, b: str) -> Callable[[Named], Named]:
    return lambda named: named | {a: named[b], b: named[a]}


def _transposed(names: Sequence[str]) -> Callable[[Named], Named]:
    return lambda named: named | {n: named[n].transpose(0, -1) for n in names}


def _values(
    cases: Cases, change: Change, made: Sequence[Case], truth: Truth
) -> list[Any] | None:
    """The true values for changed inputs; None where one of them has none.

    All are asked for: what is recorded is replayed in the same order.
    """
    found: list[Any] = []
    for case in made:
        named = dict(zip(cases.params, case.args, strict=False))
        try:
            found.append(truth(cases.exercise, *change.inputs(named).values()))
        except NoTruth:
            found.append(None)
    return None if any(value is None for value in found) else found


# --- functions of the true value ------------------------------------------------------

Turn = Callable[[Tensor, Case], Tensor]


def _length(case: Case, dim: int) -> int:
    sized = [a for a in case.args if isinstance(a, Tensor) and a.dim() > 0]
    return sized[0].shape[dim] if sized else 1


_TURNS: tuple[tuple[str, str, str, Turn], ...] = (
    (
        "turned-sign",
        "The sign is turned",
        "The result is exactly the negative of the true value: a cost where a gain is "
        "asked for, or the other way round.",
        lambda e, c: -e,
    ),
    (
        "mean-for-sum",
        "A mean where a sum belongs",
        "The result is the true value divided by the size of the last dimension.",
        lambda e, c: e / _length(c, -1),
    ),
    (
        "sum-for-mean",
        "A sum where a mean belongs",
        "The result is the true value times the size of the first dimension.",
        lambda e, c: e * _length(c, 0),
    ),
    (
        "sum-for-mean",
        "A sum where a mean belongs",
        "The result is the true value times the size of the last dimension.",
        lambda e, c: e * _length(c, -1),
    ),
    (
        "divided-by-batch",
        "Divided by the size of the first dimension",
        "The result is the true value divided by the size of the first dimension.",
        lambda e, c: e / _length(c, 0),
    ),
    (
        "half-too-many",
        "A factor 1/2 too many",
        "The result is half the true value: a 1/2 too many, or a 2 missing.",
        lambda e, c: e / 2,
    ),
    (
        "half-missing",
        "A factor 1/2 is missing",
        "The result is twice the true value.",
        lambda e, c: 2 * e,
    ),
    (
        "bits-for-nats",
        "Bits and nats are exchanged",
        "The result is the true value divided by log 2.",
        lambda e, c: e / math.log(2),
    ),
    (
        "nats-for-bits",
        "Bits and nats are exchanged",
        "The result is the true value times log 2.",
        lambda e, c: e * math.log(2),
    ),
    (
        "log-missing",
        "The logarithm is missing",
        "The result is the exponential of the true value.",
        lambda e, c: e.exp(),
    ),
    (
        "log-too-many",
        "A logarithm too many",
        "The result is the logarithm of the true value.",
        lambda e, c: e.log(),
    ),
    (
        "root",
        "The square root of what is asked for",
        "The result is the square root of the true value: a deviation, say, where a "
        "variance is asked for.",
        lambda e, c: e.sqrt(),
    ),
    (
        "square",
        "The square of what is asked for",
        "The result is the square of the true value: a root is missing.",
        lambda e, c: e**2,
    ),
    (
        "upside-down",
        "Upside down",
        "The result is one divided by the true value.",
        lambda e, c: 1 / e,
    ),
    (
        "complement",
        "One minus what is asked for",
        "The result is one minus the true value.",
        lambda e, c: 1 - e,
    ),
    (
        "absolute",
        "The sign is lost",
        "The result is the absolute value of the true one.",
        lambda e, c: e.abs(),
    ),
    (
        "clamped-at-zero",
        "Negative values are cut off",
        "The result is the true value where that is positive, and 0 elsewhere.",
        lambda e, c: e.clamp(min=0),
    ),
    (
        "clamped-to-one",
        "Values outside 0 and 1 are cut off",
        "The result is the true value, kept between 0 and 1.",
        lambda e, c: e.clamp(0, 1),
    ),
    (
        "summed-over-the-batch",
        "Summed over the batch as well",
        "One number came out: the sum of the values that are asked for, one for each "
        "example.",
        lambda e, c: e.sum(),
    ),
    (
        "averaged-over-the-batch",
        "Averaged over the batch as well",
        "One number came out: the mean of the values that are asked for, one for each "
        "example.",
        lambda e, c: e.mean(),
    ),
    (
        "summed-over-the-batch",
        "Summed over the batch as well",
        "The result is what is asked for, summed over its first dimension.",
        lambda e, c: e.sum(0),
    ),
    (
        "averaged-over-the-batch",
        "Averaged over the batch as well",
        "The result is what is asked for, averaged over its first dimension.",
        lambda e, c: e.mean(0),
    ),
    (
        "summed-over-the-last-dimension",
        "Summed over the last dimension as well",
        "The result is what is asked for, summed over its last dimension.",
        lambda e, c: e.sum(-1),
    ),
)
_UNREDUCED: tuple[tuple[str, str, str, Callable[[Tensor], Tensor]], ...] = (
    (
        "not-summed",
        "The sum over the last dimension is missing",
        "The terms come out one by one; their sum over the last dimension is the value "
        "that is asked for.",
        lambda g: g.sum(-1) if g.shape[-1] > 1 else g,
    ),
    (
        "not-averaged",
        "The mean over the first dimension is missing",
        "The values come out one by one; their mean over the first dimension is asked "
        "for.",
        lambda g: g.mean(0),
    ),
    (
        "kept-dimension",
        "A dimension of size 1 is left",
        "The values are right and their shape is not: from keepdim=True?",
        lambda g: g.squeeze(-1),
    ),
    (
        "kept-dimension",
        "A dimension of size 1 is left",
        "The values are right and their shape is not: from keepdim=True?",
        lambda g: g.squeeze(0),
    ),
)


def _of_values(
    got: Sequence[Any], right: Sequence[Any], made: Sequence[Case]
) -> Sign | None:
    if isinstance(right[0], tuple):
        return _of_tuples(got, right, made)
    if isinstance(right[0], float) and all(isinstance(g, float) for g in got):
        got, right = ([torch.tensor(v) for v in vs] for vs in (got, right))
    if not all(isinstance(g, Tensor) for g in got):
        return of_shape(got[0], right[0], "the call")
    for label, name, sentence, turn in _TURNS:
        turned = [turn(e, c) for e, c in zip(right, made, strict=True)]
        if _all_alike(got, turned) and not _all_alike(turned, right):
            return Sign(label, name, sentence)
    for label, name, sentence, reduce in _UNREDUCED:
        more = all(g.dim() == e.dim() + 1 for g, e in zip(got, right, strict=True))
        if more and _all_alike([reduce(g) for g in got], right):
            return Sign(label, name, sentence, "shape")
    return _of_constants(got, right)


def _of_growth(pairs: Sequence[tuple[Tensor, Tensor]]) -> Sign | None:
    """Where what a logarithm is taken of differs by a constant."""
    grown = torch.cat(
        [(g.double().exp() - e.double().exp()).flatten() for g, e in pairs]
    )
    if not _constant(grown) or abs(float(grown[0])) < 1e-9:
        return None
    return Sign(
        "small-number-in-the-log",
        "A small number inside the logarithm",
        f"What the logarithm is taken of is {float(grown[0]):.4g} more than it should "
        "be, everywhere. A number that is added for safety changes all the values.",
    )


def _of_constants(got: Sequence[Tensor], right: Sequence[Tensor]) -> Sign | None:
    same_shapes = all(g.shape == e.shape for g, e in zip(got, right, strict=True))
    if not same_shapes or not _telling(right):
        return None
    pairs = list(zip(got, right, strict=True))
    difference = torch.cat([(g.double() - e.double()).flatten() for g, e in pairs])
    ratio = torch.cat([(g.double() / e.double()).flatten() for g, e in pairs])
    if not any(bool(g.any()) for g in got):
        return sign("zeros")
    if _constant(ratio) and abs(float(ratio[0]) - 1) > DIGITS:
        return Sign(
            "constant-factor",
            "A constant factor",
            f"The result is {float(ratio[0]):.6g} times the true value, everywhere.",
            priority=60,
        )
    if _constant(difference) and abs(float(difference[0])) > 1e-9:
        return Sign(
            "constant-term",
            "A constant term is missing, or too many",
            f"The result differs from the true value by {float(difference[0]):.6g}, "
            "everywhere.",
            priority=60,
        )
    return _of_growth(pairs)


def _constant(values: Tensor) -> bool:
    if values.numel() < 3 or not bool(torch.isfinite(values).all()):
        return False
    return torch.allclose(values, values[0], rtol=DIGITS, atol=1e-9)


def _of_tuples(
    got: Sequence[Any], right: Sequence[tuple[Any, ...]], made: Sequence[Case]
) -> Sign | None:
    count = len(right[0])
    if not all(isinstance(g, tuple) and len(g) == count for g in got):
        return of_shape(got[0], right[0], "the call")
    for order in permutations(range(count)):
        if list(order) != [*range(count)]:
            moved = [tuple(e[i] for i in order) for e in right]
            if _all_alike(got, moved):
                return sign("order")
    wrong = [
        place
        for place in range(count)
        if not _all_alike([g[place] for g in got], [e[place] for e in right])
    ]
    found = [
        _of_values([g[place] for g in got], [e[place] for e in right], made)
        for place in wrong
    ]
    return found[0] if found and found[0] else None


# --- an input that makes no difference ------------------------------------------------


def _idle(
    subject: Subject, cases: Cases, made: Sequence[Case], value: Any
) -> Sign | None:
    """A parameter that the answer does not look at; see `_THE_SAME` for all of them."""
    case = made[0]
    tensors = [
        place
        for place, given in enumerate(case.args)
        if isinstance(given, Tensor) and given.numel() > 1
    ]
    idle = [
        p for p in tensors if _alike(_asked_otherwise(subject, cases, p, case), value)
    ]
    if not idle or not _telling([value]):
        return None
    name = cases.params[idle[0]]
    return (
        _THE_SAME
        if len(idle) == len(tensors)
        else Sign(
            f"ignores-{name}",
            f"{name} makes no difference",
            f"The result is the same for another {name}. Where should it come in?",
        )
    )


def _asked_otherwise(subject: Subject, cases: Cases, place: int, case: Case) -> Any:
    given = case.args[place]
    flipped = given.flatten().flip(0)
    flipped[0] = flipped[-1]  # so that their sum is another one, too
    other = flipped.reshape(given.shape)
    args = (*case.args[:place], other, *case.args[place + 1 :])
    return _asked(subject, cases, Case(args))


_THE_SAME = Sign(
    "remembers",
    "The same result for any input",
    "What comes out does not change with the inputs: a constant, or something that is "
    "remembered from an earlier call (a global, a default argument, a cache).",
    "chance",
)


# --- comparing ------------------------------------------------------------------------


def _all_alike(got: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether all values agree, in six digits, and are more than a coincidence."""
    return all(_alike(g, e) for g, e in zip(got, other, strict=True)) and _telling(got)


def _telling(values: Sequence[Any]) -> bool:
    parts = [p for v in values for p in (v if isinstance(v, tuple) else (v,))]
    flat = [torch.as_tensor(p, dtype=torch.float64).flatten() for p in parts]
    return len(set(torch.cat(flat).tolist())) > 2


def _alike(got: Any, other: Any) -> bool:
    if isinstance(other, tuple):
        return (
            isinstance(got, tuple)
            and len(got) == len(other)
            and all(map(_alike, got, other))
        )
    try:
        g = torch.as_tensor(got, dtype=torch.float64)
        e = torch.as_tensor(other, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return False
    if g.shape != e.shape or isinstance(got, Tensor) != isinstance(other, Tensor):
        return False
    return torch.allclose(g, e, rtol=DIGITS, atol=1e-9)
