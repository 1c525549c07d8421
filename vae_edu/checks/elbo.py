"""Lesson 03: what is tried on each exercise. No true values and no answers are here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import (
    FLOAT32,
    LOOSE,
    Broken,
    Law,
    LawBody,
    Laws,
    Truth,
    compare,
    expect_like,
)
from vae_edu.checks.signs import of_infinities
from vae_edu.checks.standard import (
    Case,
    CaseMaker,
    Cases,
    add_standard,
    cast,
    instead,
    tried,
)
from vae_edu.subject import Subject

LAWS = Laws("elbo")
INF = math.inf


def _row(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _rows(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def _weights(rows: int) -> Tensor:
    """Probabilities (rows, 3) with zeros and, in the fifth row, one that is tiny.

    Cases differ in their number of rows.
    """
    every = _rows((0.3, 0.7, 0.0), (0.0, 0.6, 0.4), (0.0, 1.0, 0.0), (0.5, 0.0, 0.5))
    return torch.cat([every, _rows((1e-13, 1 - 1e-13, 0.0))])[:rows]


def _logs(draw: Draw, *shape: int) -> Tensor:
    """Log-values that are no log-probabilities: their exponentials sum to anything."""
    return draw.normal(*shape, scale=2.0) - 3.0


def _far(draw: Draw) -> Tensor:
    """(5, 3): rows near 1e4, near -1e4, and with 1e4 between their states."""
    shift = _rows((1e4, 1e4, 1e4), (-1e4, -1e4, -1e4), (0, -1e4, 0), (1e4, 0, -1e4))
    shift = torch.cat([shift, torch.zeros(1, 3, dtype=torch.float64)])
    return draw.normal(5, 3) + shift


# --- exercises of log_joint alone -----------------------------------------------------


def _joint_plain(draw: Draw) -> Iterator[Case]:
    yield Case((_logs(draw, 4, 3),), scale=10)
    yield Case((_logs(draw, 2, 5),), scale=10)
    yield Case((_logs(draw, 3, 24),), scale=10, note="many states")


def _joint_leading(draw: Draw) -> Iterator[Case]:
    yield Case((_logs(draw, 5),), scale=10, note="one x, no batch")
    yield Case((_logs(draw, 2, 4, 3),), scale=10, note="two leading dimensions")
    yield Case((_logs(draw, 2, 3, 4, 5),), scale=10, note="three of them")
    yield Case((_logs(draw, 1, 3),), scale=10, note="a batch of one")
    yield Case((_logs(draw, 4, 1),), scale=10, note="a single state")


def _joint_extremes(draw: Draw) -> Iterator[Case]:
    yield Case((_far(draw),), scale=1e4, note="log-values of ±1e4 in one batch")


def _joint_steep(draw: Draw) -> Iterator[Case]:
    high = draw.normal(2, 3) + _rows((1e4, 1e4, 1e4), (1e4, 0, -1e4))
    yield Case((high,), scale=1e4, note="log-values of 1e4")


def _low(draw: Draw) -> Tensor:
    """(4, 3): log-values around one between -1e4 and -2e3, some states at -inf."""
    far = draw.uniform(low=-1e4, high=-2e3)
    shut = _rows((0, -INF, 0), (-INF, 0, 0), (0, -INF, -INF), (0, 0, -INF))
    return draw.normal(4, 3) + far + shut


def _possible(draw: Draw) -> Tensor:
    shut = _rows((0, 0, -INF), (-INF, 0, 0), (0, -INF, -INF), (0, 0, 0))
    return _logs(draw, 4, 3) + shut


def _posterior_zeros(draw: Draw) -> Iterator[Case]:
    # a small scale: what should be 0 is 0, and no small number
    yield Case((_possible(draw),), scale=1e-6, note="some states are impossible, -inf")
    yield Case((_low(draw),), scale=100, note="-inf beside log-values down to -1e4")


def _evidence_zeros(draw: Draw) -> Iterator[Case]:
    yield Case((_possible(draw),), scale=10, note="some states are impossible, -inf")
    joint = torch.cat([_possible(draw), _rows((-INF, -INF, -INF))])
    yield Case((joint,), scale=10, note="the last row's x is impossible")
    yield Case((_low(draw),), scale=1e4, note="-inf beside log-values down to -1e4")


# --- jensen_gap -----------------------------------------------------------------------


def _positive(draw: Draw, *shape: int) -> Tensor:
    return draw.normal(*shape).exp()


def _jensen_plain(draw: Draw) -> Iterator[Case]:
    yield Case((_positive(draw, 4, 3), draw.probs(4, 3)), scale=4)
    yield Case((_positive(draw, 2, 5), draw.probs(2, 5)), scale=4)
    many = _positive(draw, 3, 24), draw.probs(3, 24)
    yield Case(many, scale=4, note="many states")


def _jensen_leading(draw: Draw) -> Iterator[Case]:
    yield Case((_positive(draw, 5), draw.probs(5)), note="no leading dimension")
    yield Case((_positive(draw, 2, 4, 3), draw.probs(2, 4, 3)), note="two of them")
    shape = (2, 3, 4, 5)
    yield Case((_positive(draw, *shape), draw.probs(*shape)), note="three of them")
    yield Case((_positive(draw, 4, 3), draw.probs(3)), note="one probs for all values")
    yield Case(
        (_positive(draw, 3), draw.probs(4, 3)), note="the same values, many probs"
    )
    yield Case((_positive(draw, 6, 1, 3), draw.probs(4, 3)), note="they broadcast")
    yield Case((_positive(draw, 1, 3), draw.probs(1, 3)), note="a batch of one")


def _jensen_extremes(draw: Draw) -> Iterator[Case]:
    size = _rows((1e-30, 1e-28, 1e-29), (1e30, 1e28, 1e29), (1e-15, 1.0, 1e15))
    values = size * draw.uniform(3, 3, low=1.0, high=9.0)
    yield Case((values, draw.probs(3, 3)), scale=80, note="tiny and huge values")


def _jensen_steep(draw: Draw) -> Iterator[Case]:
    values, probs = _positive(draw, 2, 3), _rows((0.3, 0.0, 0.7), (0.0, 1.0, 0.0))
    yield Case((values, probs), scale=4, note="some probabilities are 0")


def _jensen_zeros(draw: Draw) -> Iterator[Case]:
    a, b = _positive(draw, 2).tolist()
    yield Case((_positive(draw, 3, 3), _weights(3)), scale=4, note="weights of 0")
    values = _rows((a, b, 0.0), (0.0, a, b), (0.0, b, 0.0), (a, 0.0, b))
    yield Case((values, _weights(4)), scale=4, note="values of 0 with weight 0")
    values = _rows((a, b, INF), (INF, a, b))
    yield Case((values, _weights(2)), scale=4, note="infinite values with weight 0")
    values = _rows((a, 0.0, b), (a, 0.0, b), (b, a, b), (0.0, b, a), (0.0, a, b))
    yield Case((values, _weights(5)), scale=4, note="values of 0 with positive weight")


# --- exercises of log_joint and q -----------------------------------------------------


def _bound_plain(draw: Draw) -> Iterator[Case]:
    yield Case((_logs(draw, 4, 3), draw.probs(4, 3)), scale=10)
    yield Case((_logs(draw, 2, 5), draw.probs(2, 5)), scale=10)
    many = _logs(draw, 3, 24), draw.probs(3, 24)
    yield Case(many, scale=10, note="many states")


def _bound_leading(draw: Draw) -> Iterator[Case]:
    for joint, q, note in (
        ((5,), (5,), "one x, no batch"),
        ((2, 4, 3), (2, 4, 3), "two leading dimensions"),
        ((2, 3, 4, 5), (2, 3, 4, 5), "three leading dimensions"),
        ((4, 3), (3,), "one q for every x"),
        ((3,), (4, 3), "one x, several q"),
        ((6, 1, 3), (4, 3), "they broadcast"),
        ((1, 3), (1, 3), "a batch of one"),
        ((4, 1), (4, 1), "a single state"),
    ):
        yield Case((_logs(draw, *joint), draw.probs(*q)), scale=10, note=note)


def _bound_extremes(draw: Draw) -> Iterator[Case]:
    yield Case(
        (_far(draw), draw.probs(5, 3)),
        scale=1e4,
        note="log-values of ±1e4 in one batch",
    )


def _bound_steep(draw: Draw) -> Iterator[Case]:
    joint = _logs(draw, 3, 3) + _rows((0, 0, -INF), (0, -INF, -INF), (0, 0, 0))
    q = _rows((0.3, 0.7, 0.0), (1.0, 0.0, 0.0), (0.4, 0.0, 0.6))
    yield Case((joint, q), scale=10, note="q is 0 where log_joint is -inf")


def _bound_zeros(draw: Draw) -> Iterator[Case]:
    low = _rows((0, 0, -9e3), (-9e3, 0, 0))
    yield Case((_logs(draw, 2, 3) + low, _weights(2)), scale=10, note="q has zeros")
    shut = _rows((0, 0, -INF), (-INF, 0, 0), (-INF, 0, -INF))
    yield Case(
        (_logs(draw, 3, 3) + shut, _weights(3)),
        scale=10,
        note="q is 0 where log_joint is -inf",
    )
    shut = _rows((-INF, 0, 0), (-INF, 0, -INF), (0, 0, 0), (0, 0, -INF), (-INF, 0, 0))
    yield Case(
        (_logs(draw, 5, 3) + shut, _weights(5)),
        scale=10,
        note="q > 0 where log_joint is -inf",
    )


def _gap_zeros(draw: Draw) -> Iterator[Case]:
    yield from _bound_zeros(draw)
    q = torch.cat(
        [_rows((0.4, 0, 0.6), (0, 0.3, 0.7)), _rows((1.0, 0, 0), (0.2, 0.8, 0))]
    )
    note = "-inf beside log-values down to -1e4"
    yield Case((_low(draw), q), scale=1e4, note=note)


def _elbo_zeros(draw: Draw) -> Iterator[Case]:
    yield from _bound_zeros(draw)
    joint = torch.cat([_logs(draw, 3, 3), _rows((-INF, -INF, -INF))])
    yield Case((joint, draw.probs(4, 3)), scale=10, note="the last x is impossible")


# --- discrete_kl ----------------------------------------------------------------------


def _kl_plain(draw: Draw) -> Iterator[Case]:
    yield Case((draw.probs(4, 3), draw.probs(4, 3)))
    q = draw.probs(2, 5)
    yield Case((q, q.clone()), note="p is q")
    yield Case((draw.probs(2, 5), draw.probs(2, 5)))
    yield Case((draw.probs(3, 24), draw.probs(3, 24)), note="many states")


def _kl_leading(draw: Draw) -> Iterator[Case]:
    for q, p, note in (
        ((5,), (5,), "no batch"),
        ((2, 4, 3), (2, 4, 3), "two leading dimensions"),
        ((2, 3, 4, 5), (2, 3, 4, 5), "three leading dimensions"),
        ((4, 3), (3,), "one p for every q"),
        ((3,), (4, 3), "one q, several p"),
        ((6, 1, 3), (4, 3), "they broadcast"),
        ((1, 3), (1, 3), "a batch of one"),
    ):
        yield Case((draw.probs(*q), draw.probs(*p)), note=note)


def _kl_extremes(draw: Draw) -> Iterator[Case]:
    p = _rows((1e-13, 1 - 1e-13, 1e-13), (0.25, 3e-14, 0.75))
    yield Case((draw.probs(2, 3), p), scale=10, note="p is tiny where q is not")
    yield Case((p, draw.probs(2, 3)), scale=10, note="q is tiny where p is not")


def _kl_zeros(draw: Draw) -> Iterator[Case]:
    yield Case((_weights(3), draw.probs(3, 3)), note="q has zeros")
    p = _rows((0.4, 0.6, 0.0), (0.0, 0.5, 0.5))
    yield Case((_weights(2), p), note="q and p are 0 in the same places")
    p = _rows((1.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.2, 0.8, 0.0), (0.0, 0.5, 0.5))
    p = torch.cat([p, _rows((0.0, 0.7, 0.3))])
    yield Case((_weights(5), p), note="p is 0 where q is not")


# --- elbo_terms -----------------------------------------------------------------------


def _log_prior(draw: Draw, *shape: int) -> Tensor:
    return draw.probs(*shape).log()


def _terms_plain(draw: Draw) -> Iterator[Case]:
    for shape, prior in (((4, 3), (4, 3)), ((4, 3), (3,)), ((3, 24), (24,))):
        parts = (_logs(draw, *shape), _log_prior(draw, *prior), draw.probs(*shape))
        yield Case(parts, scale=10)


def _terms_leading(draw: Draw) -> Iterator[Case]:
    for likelihood, prior, q, note in (
        ((5,), (5,), (5,), "one x, no batch"),
        ((2, 4, 3), (2, 4, 3), (2, 4, 3), "two leading dimensions"),
        ((2, 4, 3), (3,), (2, 4, 3), "two of them, and one prior"),
        ((2, 3, 4, 5), (5,), (2, 3, 4, 5), "three of them, and one prior"),
        ((3, 3), (3,), (3, 3), "as many examples as states"),
        ((4, 3), (4, 3), (6, 4, 3), "several q for each x"),
        ((4, 3), (1, 3), (4, 3), "a prior of shape (1, states)"),
        ((1, 3), (3,), (1, 3), "a batch of one"),
    ):
        parts = (_logs(draw, *likelihood), _log_prior(draw, *prior), draw.probs(*q))
        yield Case(parts, scale=10, note=note)


def _terms_extremes(draw: Draw) -> Iterator[Case]:
    prior = _rows((0, -1e4, -7e3), (-1e4, 0, -20), (-3e3, -6e3, 0), (0, -9, -1e4))
    prior = torch.cat([prior, _log_prior(draw, 1, 3)])
    parts = (_far(draw), torch.log_softmax(prior, -1), draw.probs(5, 3))
    yield Case(parts, scale=1e4, note="log-values of ±1e4")


def _terms_steep(draw: Draw) -> Iterator[Case]:
    q = _rows((0.3, 0.7, 0.0), (1.0, 0.0, 0.0), (0.4, 0.0, 0.6))
    shut = _rows((0, 0, -INF), (0, -INF, -INF), (0, 0, 0))
    prior = _rows((0.4, 0.6, 0.0), (0.5, 0.5, 0.0), (0.5, 0.0, 0.5)).log()
    parts = (_logs(draw, 3, 3) + shut, prior, q)
    yield Case(parts, scale=10, note="-inf where q is 0")


def _terms_zeros(draw: Draw) -> Iterator[Case]:
    shut = _rows((0, 0, -INF), (-INF, 0, 0), (-INF, 0, -INF))
    parts = (_logs(draw, 3, 3) + shut, _log_prior(draw, 3), _weights(3))
    yield Case(parts, scale=10, note="log_likelihood is -inf where q is 0")
    prior = _rows((0.4, 0.6, 0.0), (0.0, 0.5, 0.5)).log()
    parts = (_logs(draw, 2, 3), prior, _weights(2))
    yield Case(parts, scale=10, note="log_prior is -inf where q is 0")
    parts = (_logs(draw, 5, 3), _row(0.0, 0.6, 0.4).log(), _weights(5))
    yield Case(parts, scale=10, note="log_prior is -inf where some q are not 0")
    shut = _rows((-INF, 0, 0), (-9e3, 0, 0), (0, 0, 0), (0, 0, -INF))
    parts = (_logs(draw, 4, 3) + shut, _log_prior(draw, 3), _weights(4))
    yield Case(parts, scale=10, note="log_likelihood is -inf where q is not 0")


CASES = {
    c.exercise: c
    for c in (
        Cases(
            "discrete_log_evidence",
            ("log_joint",),
            _joint_plain,
            _joint_leading,
            _joint_extremes,
            gradients=("log_joint",),
            steep=_joint_steep,
        ),
        Cases(
            "jensen_gap",
            ("values", "probs"),
            _jensen_plain,
            _jensen_leading,
            _jensen_extremes,
            gradients=("values",),
            steep=_jensen_steep,
        ),
        Cases(
            "discrete_elbo",
            ("log_joint", "q"),
            _bound_plain,
            _bound_leading,
            _bound_extremes,
            gradients=("log_joint",),
            steep=_bound_steep,
        ),
        Cases(
            "discrete_posterior",
            ("log_joint",),
            _joint_plain,
            _joint_leading,
            _joint_extremes,
            gradients=("log_joint",),
            steep=_joint_steep,
        ),
        Cases(
            "discrete_kl",
            ("q", "p"),
            _kl_plain,
            _kl_leading,
            _kl_extremes,
            float32_extremes=False,
        ),
        Cases(
            "elbo_gap",
            ("log_joint", "q"),
            _bound_plain,
            _bound_leading,
            _bound_extremes,
            gradients=("log_joint",),
            steep=_bound_steep,
        ),
        Cases(
            "elbo_terms",
            ("log_likelihood", "log_prior", "q"),
            _terms_plain,
            _terms_leading,
            _terms_extremes,
            gradients=("log_likelihood", "log_prior"),
            steep=_terms_steep,
        ),
    )
}
ZEROS: dict[str, CaseMaker] = {
    "discrete_log_evidence": _evidence_zeros,
    "jensen_gap": _jensen_zeros,
    "discrete_elbo": _elbo_zeros,
    "discrete_posterior": _posterior_zeros,
    "discrete_kl": _kl_zeros,
    "elbo_gap": _gap_zeros,
    "elbo_terms": _terms_zeros,
}


def zeros(cases: Cases, make: CaseMaker) -> LawBody:
    """Where weights are 0 or values infinite: the result, in float64 and float32."""

    def body(subject: Subject, truth: Truth, draw: Draw) -> None:
        for case in make(draw):
            expected = truth(cases.exercise, *case.args)
            single = cast(case.args, dtype=torch.float32)
            for args, rtol in ((case.args, LOOSE), (single, 4 * FLOAT32)):
                got = subject.call(cases.exercise, *args)
                what = tried(cases, case)
                with instead(of_infinities(got, expected)):
                    compare(got, expected, what=what, scale=case.scale, rtol=rtol)

    return body


for _name, _cases in CASES.items():
    add_standard(LAWS, replace(_cases, delicate=ZEROS[_name]))
    _sentence = "a weight of 0 counts 0, and infinities are where they belong"
    LAWS.add(Law(_name, "weights of 0", _sentence, zeros(_cases, ZEROS[_name])))


@LAWS.law(
    "discrete_posterior",
    "exact zeros",
    "an impossible state has the posterior 0, not a tiny number",
)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    log_joint = draw.normal(4, 5)
    log_joint[1, 2] = log_joint[3, 0] = log_joint[3, 4] = -INF
    posterior = subject.call("discrete_posterior", log_joint)
    expect_like(posterior, log_joint, "discrete_posterior(log_joint: (4, 5))")
    tiny = (posterior != 0) & (posterior.abs() < 1e-9) & (log_joint == -INF)
    if bool(tiny.any()):
        raise Broken(
            f"discrete_posterior gives an impossible state {posterior[tiny][0]:.2g}; "
            "expected exactly 0.",
            got=posterior,
        )
