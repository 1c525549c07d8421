"""Which term of a formula is wrong: found by taking a wrong value apart.

An exercise lists the terms that learners write, right ones and wrong ones alike; least
squares tell how much of each is in an answer, and how much in the true value. Where
the fit is exact, the difference names the mistake, however it was written. For what is
no sum of terms, `Grid` tries every combination of a few choices.

What belongs here: the method. What does not: the terms (a lesson's own module), and
true values: which of the terms are right is read off the recorded truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from vae_edu.checks.alternatives import add_signs
from vae_edu.checks.draw import Draw
from vae_edu.checks.law import Laws, Truth
from vae_edu.checks.signs import Sign
from vae_edu.checks.standard import Cases
from vae_edu.subject import Subject, SubjectError

SIZES = ((9, 2), (9, 3), (9, 4))  # (batch, last dimension): no size fits them all
EXACT = 1e-7
VAGUE = 60  # the priority of signs that say little
MOST = 2  # more wrong terms than these say nothing to anybody

CONSTANT = "constant"  # the group of terms that no input moves

Named = dict[str, Any]
Maker = Callable[[Draw, int, int], tuple[Any, ...]]


@dataclass(frozen=True)
class Term:
    """A term as learners write it.

    words: how it is called; group: terms of which one may stand where another belongs;
    of: its values, elementwise, from the named arguments; hint: what to think of where
    it stands and does not belong.
    """

    words: str
    group: str
    of: Callable[[Named], Tensor]
    hint: str = ""


@dataclass(frozen=True)
class Formula:
    """The terms of an exercise, and how their values are put together.

    make: arguments for a batch and a last dimension of given sizes; reduce: from a
    term's values to the result's shape; place: which of several results.
    """

    make: Maker
    terms: tuple[Term, ...]
    reduce: Callable[[Tensor], Tensor] = lambda t: t.sum(-1)
    place: int | None = None


@dataclass(frozen=True)
class Grid:
    """Choices that make an answer: for each slot, ways to fill it, by their words.

    make: as in `Formula`; phrases: how a sentence about a slot begins; combine: the
    value of one way for each slot, from the named arguments. Of what fits, the way with
    the fewest differences is told.
    """

    make: Maker
    phrases: Mapping[str, str]
    slots: Mapping[str, Mapping[str, Any]]
    combine: Callable[[Named, Mapping[str, Any]], Tensor]
    sizes: tuple[tuple[int, int], ...] = ((5, 3), (4, 2))


# --- an examination -------------------------------------------------------------------


def add_formula(laws: Laws, cases: Cases, *formulas: Formula | Grid) -> None:
    """Examine a broken answer as for every exercise, then by its terms."""
    usual = add_signs(cases)
    looks = [_of_formula if isinstance(f, Formula) else _of_grid for f in formulas]

    def examine(subject: Subject, truth: Truth, draw: Draw) -> Sign | None:
        asked = [_asked(cases, f, truth) for f in formulas]
        first = usual(subject, truth, draw)
        if first is not None and not _vague(first):
            return first
        for formula, look, (args, right) in zip(formulas, looks, asked, strict=True):
            got = _answers(subject, cases, args)
            if got and (found := look(formula, cases, args, right, got)):
                return found
        return first

    laws.examination(cases.exercise)(examine)


def _vague(found: Sign) -> bool:
    """Whether a term may say more: a constant somewhere, an argument unused."""
    return found.priority >= VAGUE or found.label.startswith("ignores-")


Calls = list[tuple[Any, ...]]


def _asked(
    cases: Cases, formula: Formula | Grid, truth: Truth
) -> tuple[Calls, list[Any]]:
    sizes = SIZES if isinstance(formula, Formula) else formula.sizes
    draw = Draw(f"{cases.exercise}/formula")
    args = [formula.make(draw, *size) for size in sizes]
    return args, [truth(cases.exercise, *a) for a in args]


def _answers(subject: Subject, cases: Cases, args: Calls) -> list[Any]:
    try:
        return [subject.call(cases.exercise, *a) for a in args]
    except SubjectError:
        return []


# --- terms ----------------------------------------------------------------------------


def _of_formula(
    formula: Any, cases: Cases, args: Calls, right: list[Any], got: list[Any]
) -> Sign | None:
    if formula.place is not None:
        if not all(isinstance(g, tuple) for g in got):
            return None
        right, got = ([v[formula.place] for v in vs] for vs in (right, got))
    named = [dict(zip(cases.params, a, strict=True)) for a in args]
    columns = [
        _flat([formula.reduce(_spread(term, n)) for n in named])
        for term in formula.terms
    ]
    if not _same_shapes(got, right):
        return None
    true, said = (_shares(torch.stack(columns, 1), _flat(v)) for v in (right, got))
    return None if true is None or said is None else _compare(formula, true, said)


def _spread(term: Term, named: Named) -> Tensor:
    """A term in the broadcast shape of all arguments."""
    tensors = [v for v in named.values() if isinstance(v, Tensor)]
    return term.of(named) + 0 * sum(tensors[1:], tensors[0])


def _flat(values: Sequence[Tensor]) -> Tensor:
    return torch.cat([v.double().flatten() for v in values])


def _same_shapes(got: Sequence[Any], right: Sequence[Any]) -> bool:
    pairs = zip(got, right, strict=True)
    return all(isinstance(g, Tensor) and g.shape == e.shape for g, e in pairs)


def _shares(columns: Tensor, values: Tensor) -> Tensor | None:
    """How much of each column is in the values; None where they are something else."""
    if not bool(torch.isfinite(values).all()):
        return None
    shares = torch.linalg.lstsq(columns, values[:, None], driver="gelsd").solution[:, 0]
    left = (columns @ shares - values).abs().max()
    if float(left) > EXACT * max(1.0, float(values.abs().max())):
        return None
    return torch.where(shares.abs() < 10 * EXACT, 0.0, shares)


def _compare(formula: Formula, true: Tensor, said: Tensor) -> Sign | None:
    if not bool(said.any()):
        return None  # zero everywhere has none of the terms, and another reason
    groups = list(dict.fromkeys(term.group for term in formula.terms))
    found = []
    for group in groups:
        rows = [i for i, term in enumerate(formula.terms) if term.group == group]
        belongs = {formula.terms[i]: float(true[i]) for i in rows if true[i] != 0}
        stands = {formula.terms[i]: float(said[i]) for i in rows if said[i] != 0}
        if not _equal(belongs, stands):
            found.append(_of_group(group, belongs, stands))
    if not found or len(found) > MOST or None in found:
        return None
    return _together([f for f in found if f is not None])


def _equal(a: Mapping[Term, float], b: Mapping[Term, float]) -> bool:
    return a.keys() == b.keys() and all(_near(a[t], b[t]) for t in a)


def _near(a: float, b: float) -> bool:
    return abs(a - b) < 1e-5 * max(abs(a), abs(b))


def _of_group(
    group: str, belongs: Mapping[Term, float], stands: Mapping[Term, float]
) -> Sign | None:
    if group == CONSTANT and len({**belongs, **stands}) == 1:
        return _of_constant(belongs, stands)
    kept = {t: v for t, v in stands.items() if not _near(belongs.get(t, 0.0), v)}
    lost = {t: v for t, v in belongs.items() if not _near(stands.get(t, 0.0), v)}
    both = [t for t in lost if t in kept]
    if both == [*lost] == [*kept] and len(both) == 1:
        return _of_ratio(group, both[0], kept[both[0]] / lost[both[0]])
    if both or len(lost) > 1 or len(kept) > 1:
        return None
    if lost and kept and math.prod([*lost.values(), *kept.values()]) < 0:
        return None  # an identity may be at work: no name is better
    return _of_other(group, [*lost], [*kept])


def _of_constant(belongs: Mapping[Term, float], stands: Mapping[Term, float]) -> Sign:
    wrong = sum(stands.values()) - sum(belongs.values())
    where = "for each dimension" if not _once(belongs, stands) else "in all"
    return Sign(
        "wrong-constant",
        "A constant is missing, or another one",
        f"The result holds {abs(wrong):.4g} too {'much' if wrong > 0 else 'little'} "
        f"{where}, whatever the inputs. Which constants does the formula have?",
    )


def _once(*found: Mapping[Term, float]) -> bool:
    return any("once" in term.words for terms in found for term in terms)


def _of_ratio(group: str, term: Term, ratio: float) -> Sign:
    if _near(ratio, -1.0):
        words = f"The sign of the term with {term.words}"
        said = f"{term.words} enters with the opposite sign."
        return Sign(f"sign-{group}", words, said)
    words = f"The term with {term.words} has a wrong factor"
    said = f"{term.words} is counted {ratio:.4g} times as much as it should be."
    return Sign(f"factor-{group}", words, said)


def _of_other(group: str, lost: list[Term], kept: list[Term]) -> Sign:
    if not kept:
        name = f"The term with {lost[0].words} is missing"
        said = f"What is lacking in every number is a multiple of {lost[0].words}."
        return Sign(f"missing-{group}", name, said)
    hint = f" {kept[0].hint}".rstrip()
    if not lost:
        name = f"A term with {kept[0].words} too many"
        said = f"Every number holds a multiple of {kept[0].words}.{hint}"
        return Sign(f"extra-{group}", name, said)
    name = f"{kept[0].words} stands where {lost[0].words} belongs"
    return Sign(f"other-{group}", name[:1].upper() + name[1:], hint.strip() or _WHICH)


_WHICH = "The numbers are exactly those that come out with the one for the other."


def _together(found: Sequence[Sign]) -> Sign:
    if len(found) == 1:
        return found[0]
    first, *rest = found
    more = " ".join(f"{f.name}: {f.sentence}" for f in rest)
    label = "+".join(f.label for f in found)
    return Sign(label, first.name, f"{first.sentence} And: {more}")


# --- choices --------------------------------------------------------------------------


def _of_grid(
    grid: Any, cases: Cases, args: Calls, right: list[Any], got: list[Any]
) -> Sign | None:
    named = [dict(zip(cases.params, a, strict=True)) for a in args]
    fits = list(_fitting(grid, named, right))
    ways = list(_fitting(grid, named, got)) if fits else []
    pairs = [(_differences(a, b), a, b) for a in fits for b in ways]
    if not pairs:
        return None
    slots, true, said = min(pairs, key=lambda pair: len(pair[0]))
    if not 1 <= len(slots) <= MOST:
        return None
    return _together(
        [_of_slot(slot, grid.phrases[slot], true[slot], said[slot]) for slot in slots]
    )


def _fitting(
    grid: Grid, named: Sequence[Named], values: Sequence[Any]
) -> Iterator[dict[str, str]]:
    for ways in product(*grid.slots.values()):
        chosen = dict(zip(grid.slots, ways, strict=True))
        filled = {slot: grid.slots[slot][way] for slot, way in chosen.items()}
        if all(
            _agree(grid.combine(n, filled), v)
            for n, v in zip(named, values, strict=True)
        ):
            yield chosen


def _agree(made: Tensor, value: Any) -> bool:
    if not isinstance(value, Tensor) or made.shape != value.shape:
        return False
    return torch.allclose(made, value.double(), rtol=EXACT, atol=EXACT)


def _differences(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    return [slot for slot in a if a[slot] != b[slot]]


def _of_slot(slot: str, phrase: str, true: str, said: str) -> Sign:
    return Sign(f"choice-{slot}", f"{phrase} {said}, not {true}", _WHICH)
