"""Lesson 06: what is tried on each exercise. No true values and no answers are here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

from vae_edu.checks.draw import Draw
from vae_edu.checks.formulas import Formula, Named, Term, add_formula
from vae_edu.checks.law import FORM, LOOSE, Broken, Laws, Truth, compare, of_dtype
from vae_edu.checks.signs import sign
from vae_edu.checks.standard import Case, Cases, add_standard, cast, otherwise, tried
from vae_edu.subject import Subject, SubjectError

LAWS = Laws("likelihoods")


def _rows(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


# --- bernoulli_log_likelihood ---------------------------------------------------------


def _grey(draw: Draw, *shape: int) -> Tensor:
    return draw.uniform(*shape, low=0.05, high=0.95)


def _bernoulli_plain(draw: Draw) -> Iterator[Case]:
    yield Case((draw.bits(4, 3), draw.normal(4, 3, scale=2.0)), scale=6)
    yield Case(
        (_grey(draw, 2, 5), draw.normal(2, 5, scale=2.0)), scale=6, note="grey x"
    )
    pair = (draw.uniform(14, 2), draw.normal(14, 2, scale=4.0))
    yield Case(pair, scale=10, note="fourteen examples")
    pair = (draw.bits(2, 13), draw.normal(2, 13, scale=4.0))
    yield Case(pair, scale=10, note="thirteen pixels")


def _bernoulli_leading(draw: Draw) -> Iterator[Case]:
    # the logits have every dimension of the result: the contract asks for no more
    for x, logits, note in (
        ((5,), (5,), "one example, no batch"),
        ((4, 3), (6, 4, 3), "samples, batch, input"),
        ((3, 3), (3, 3, 3), "all sizes equal"),
        ((2, 4, 3), (2, 4, 3), "two leading dimensions on both"),
        ((3,), (4, 3), "one x for a batch of logits"),
        ((1, 3), (6, 1, 3), "a batch of one"),
        ((4, 3), (1, 4, 3), "a single sample"),
        ((4, 1), (4, 1), "a single pixel"),
    ):
        pair = (_grey(draw, *x), draw.normal(*logits, scale=2.0))
        yield Case(pair, scale=6, note=note)


def _far(draw: Draw) -> tuple[Tensor, Tensor]:
    """(6, 3): x = 0, grey and 1 meet logits of -1000, of 1000 and between."""
    x = _rows((0, 0, 1), (1, 1, 0), (0, 1, 0), (1, 0, 1), (0, 0, 0), (1, 1, 1))
    x[4:] = _grey(draw, 2, 3)
    side = _rows((-1, 1, 0), (-1, 1, 0), (-1, 1, 0), (1, -1, 0), (-1, 1, 0), (1, -1, 0))
    return x, 1e3 * side + draw.normal(6, 3) * (side == 0)


def _bernoulli_extremes(draw: Draw) -> Iterator[Case]:
    x, logits = _far(draw)
    # from near to far, so that what is cut off at 100 breaks at another one
    for size in (30.0, 60.0, 100.0, 800.0, 1e3):
        case = (x, logits * (size / 1e3))
        yield Case(case, scale=size, note=f"logits of ±{size:g}")
    zeros = torch.zeros(4, 3, dtype=torch.float64)
    yield Case((_grey(draw, 4, 3), zeros), note="logits of 0")
    wide = (_grey(draw, 2, 784), draw.normal(2, 784, scale=3.0))
    yield Case(wide, scale=2e3, note="as many pixels as MNIST has")


def _bernoulli_steep(draw: Draw) -> Iterator[Case]:
    yield Case((_grey(draw, 4, 3), draw.normal(6, 4, 3)), note="samples, batch, input")
    yield Case(_far(draw), note="logits of ±1000")
    x, logits = _far(draw)
    yield Case((x, logits * 0.04), note="logits of ±40")


# --- binarize -------------------------------------------------------------------------


def _coins(draw: Draw, *shape: int) -> tuple[Tensor, Tensor]:
    return draw.uniform(*shape), draw.uniform(*shape)


def _binarize_plain(draw: Draw) -> Iterator[Case]:
    yield Case(_coins(draw, 6, 5))
    yield Case(_coins(draw, 3, 8))


def _binarize_leading(draw: Draw) -> Iterator[Case]:
    yield Case(_coins(draw, 9), note="one image, no batch")
    yield Case(_coins(draw, 2, 4, 5), note="two leading dimensions on both")
    for x, uniform, note in (
        ((4, 5), (7, 4, 5), "several samples of noise"),
        ((5, 5), (5, 5, 5), "all sizes equal"),
        ((5,), (4, 5), "one image, a batch of noise"),
        ((4, 5), (5,), "the same noise for every image"),
        ((6, 1, 5), (4, 5), "they broadcast"),
        ((4, 1), (4, 1), "a single pixel"),
    ):
        yield Case((draw.uniform(*x), draw.uniform(*uniform)), note=note)


def _binarize_ties(draw: Draw) -> Iterator[Case]:
    # multiples of 1/8 and 1 - 2^-24: the same numbers in float32
    levels = torch.arange(9, dtype=torch.float64) / 8
    yield Case((levels, levels), note="uniform equal to x, 0 and 1 included")
    x, uniform = levels.expand(8, 9).clone(), levels[:8, None].expand(8, 9).clone()
    yield Case((x, uniform), note="all pairs of eighths")
    last = torch.full((4,), 1 - 2.0**-24, dtype=torch.float64)
    yield Case((torch.ones_like(last), last), note="x = 1, the largest uniform below 1")
    yield Case((torch.zeros_like(last), 1 - last), note="x = 0, a tiny uniform")
    tiny = torch.full((4,), 1e-30, dtype=torch.float64)
    yield Case((tiny, torch.zeros_like(tiny)), note="x = 1e-30, uniform = 0")


def _binarize_close(draw: Draw) -> Iterator[Case]:
    uniform = draw.uniform(4, 5, low=0.2, high=0.8)
    x = uniform + 1e-11 * draw.sign(4, 5)
    yield Case((x, uniform), note="x and uniform differ by 1e-11")


# --- entropy_floor --------------------------------------------------------------------


def _entropy_plain(draw: Draw) -> Iterator[Case]:
    yield Case((_grey(draw, 4, 3),))
    yield Case((_grey(draw, 2, 5),))
    yield Case((_grey(draw, 1, 12),), note="a batch of one, twelve pixels")


def _entropy_leading(draw: Draw) -> Iterator[Case]:
    yield Case((_grey(draw, 5),), note="one image, no batch")
    yield Case((_grey(draw, 2, 4, 3),), note="samples, batch, input")
    yield Case((_grey(draw, 1, 3),), note="a batch of one")
    yield Case((_grey(draw, 4, 1),), note="a single pixel")


def _entropy_extremes(draw: Draw) -> Iterator[Case]:
    x = _grey(draw, 4, 4)
    x[0, 0], x[1, 2], x[2, :2] = 0.0, 1.0, _rows((0.0, 1.0))[0]
    yield Case((x,), note="some pixels are exactly 0 or 1")
    yield Case((draw.bits(3, 4),), note="only pixels of 0 and 1")
    zeros = torch.zeros(2, 4, dtype=torch.float64)
    yield Case((zeros,), note="an image of zeros")
    yield Case((zeros + 1,), note="an image of ones")


# --- gaussian_log_likelihood ----------------------------------------------------------


def _triple(draw: Draw, *shape: int) -> tuple[Tensor, ...]:
    return draw.normal(*shape), draw.normal(*shape), draw.log_var(*shape)


def _shared(draw: Draw, *shape: int) -> tuple[Tensor, ...]:
    return draw.normal(*shape), draw.normal(*shape), draw.log_var()


def _gaussian_plain(draw: Draw) -> Iterator[Case]:
    yield Case(_triple(draw, 4, 3), scale=20)
    yield Case(_triple(draw, 2, 5), scale=20)
    yield Case(_triple(draw, 14, 2), scale=20, note="fourteen examples")
    yield Case(_triple(draw, 1, 13), scale=20, note="thirteen dimensions")


def _gaussian_leading(draw: Draw) -> Iterator[Case]:
    for x, mean, log_var, note in (
        ((5,), (5,), (5,), "one example, no batch"),
        ((2, 4, 3), (2, 4, 3), (2, 4, 3), "two leading dimensions"),
        ((4, 3), (6, 4, 3), (6, 4, 3), "several samples of mean and log_var"),
        ((4, 3), (1, 4, 3), (1, 4, 3), "a single sample"),
        ((2, 3, 4, 5), (2, 3, 4, 5), (2, 3, 4, 5), "three leading dimensions"),
        ((4, 3), (6, 4, 3), (4, 3), "several samples of the mean"),
        ((4, 3), (4, 3), (6, 4, 3), "several samples of log_var"),
        ((4, 3), (4, 3), (3,), "one log_var for each dimension"),
        ((3, 3), (3, 3, 3), (3,), "all sizes equal"),
        ((4, 3), (3,), (3,), "one Gaussian for the whole batch"),
        ((3,), (4, 3), (4, 3), "one x, a batch of Gaussians"),
        ((4, 3), (6, 1, 3), (6, 1, 3), "they broadcast"),
        ((4, 1), (4, 1), (4, 1), "a single dimension"),
        ((1, 3), (1, 3), (1, 3), "a batch of one"),
    ):
        parts = (draw.normal(*x), draw.normal(*mean), draw.log_var(*log_var))
        yield Case(parts, scale=20, note=note)
    words = "one log_var for all dimensions"
    yield Case(_shared(draw, 4, 3), scale=20, note=words)
    yield Case(_shared(draw, 5), scale=20, note=f"{words}, no batch")
    parts = (draw.normal(4, 3), draw.normal(6, 4, 3), draw.log_var())
    yield Case(parts, scale=20, note=f"{words}, several samples of the mean")
    parts = (draw.normal(4, 3), draw.normal(3), draw.log_var())
    yield Case(parts, scale=20, note=f"{words}, one mean")


def _gaussian_extremes(draw: Draw) -> Iterator[Case]:
    # the mean is 0, so that no digit of x - mean is lost, for everyone
    for shift, words in ((-80, "tiny variances"), (80, "large variances")):
        log_var = draw.log_var(4, 3) + shift
        x = 3 * draw.sign(4, 3) * (0.5 * log_var).exp()
        yield Case((x, 0 * x, log_var), scale=200, note=words)
        shared = log_var[0, 0]
        x = 3 * draw.sign(4, 3) * (0.5 * shared).exp()
        yield Case((x, 0 * x, shared), scale=200, note=f"{words}, one for all")
    log_var = draw.log_var(2, 3) + _rows((-60, 60, 0))
    x = 3 * draw.sign(2, 3) * (0.5 * log_var).exp()
    yield Case((x, 0 * x, log_var), scale=200, note="tiny and large in one example")
    far = (1e3 * draw.sign(4, 3), draw.normal(4, 3), draw.log_var(4, 3))
    yield Case(far, scale=1e7, note="x far from the mean")
    yield Case(_triple(draw, 2, 784), scale=5e3, note="as many pixels as MNIST has")


def _gaussian_steep(draw: Draw) -> Iterator[Case]:
    yield Case(_shared(draw, 4, 3), scale=20, note="one log_var for all dimensions")
    parts = (draw.normal(4, 3), draw.normal(6, 4, 3), draw.log_var(3))
    yield Case(parts, scale=20, note="several samples of the mean")
    log_var = draw.log_var(4, 3) - 30
    x = 3 * draw.sign(4, 3) * (0.5 * log_var).exp()
    yield Case((x, 0 * x, log_var), scale=1e7, note="small variances")


# --- optimal_log_var ------------------------------------------------------------------


def _optimal_plain(draw: Draw) -> Iterator[Case]:
    yield Case((draw.normal(4, 3), draw.normal(4, 3)), scale=2)
    yield Case(
        (draw.normal(2, 5) + 3, draw.normal(2, 5)), scale=10, note="x is shifted"
    )
    pair = (draw.normal(14, 2), 0.9 * draw.normal(14, 2))
    yield Case(pair, scale=2, note="fourteen examples")


def _optimal_leading(draw: Draw) -> Iterator[Case]:
    for x, mean, note in (
        ((5,), (5,), "one example, no batch"),
        ((2, 4, 3), (2, 4, 3), "two leading dimensions"),
        ((4, 3), (6, 4, 3), "several samples of the mean"),
        ((4, 3), (3,), "one mean for the whole batch"),
        ((3,), (4, 3), "one x, several means"),
        ((1, 3), (1, 3), "a batch of one"),
        ((4, 1), (4, 1), "a single dimension"),
    ):
        yield Case((draw.normal(*x), draw.normal(*mean)), scale=2, note=note)


def _optimal_extremes(draw: Draw) -> Iterator[Case]:
    for size, words in ((1e-9, "tiny errors"), (1e9, "huge errors")):
        x = size * draw.sign(4, 3)
        yield Case((x, 0 * x), scale=40, note=words)


# --- bits_per_dim ---------------------------------------------------------------------


def _nll(draw: Draw, *shape: int) -> Tensor:
    return draw.uniform(*shape, low=60.0, high=900.0)


def _bits_plain(draw: Draw) -> Iterator[Case]:
    yield Case((_nll(draw, 4), draw.integer(20, 90)), scale=10)
    yield Case((_nll(draw, 5), 784))
    yield Case((_nll(draw, 14), draw.integer(900, 9000)), note="fourteen examples")
    yield Case((draw.normal(3, scale=50.0), 7), scale=20, note="a density may exceed 1")


def _bits_leading(draw: Draw) -> Iterator[Case]:
    yield Case((_nll(draw), 64), note="one number")
    yield Case((_nll(draw, 6, 4), 64), note="samples, batch")
    yield Case((_nll(draw, 2, 3, 4), 12), scale=50, note="three dimensions")
    yield Case((_nll(draw, 1), 1), scale=1e3, note="one example of one dimension")


def _bits_extremes(draw: Draw) -> Iterator[Case]:
    yield Case((1e4 * draw.sign(4), 3), scale=1e4, note="nll of ±1e4")
    # compared relative to themselves
    yield Case((1e-6 * draw.sign(4), 784), scale=1e-9, note="nll near 0")


# --- effective_beta -------------------------------------------------------------------


def _beta_plain(draw: Draw) -> Iterator[Case]:
    yield Case((3072, 7))
    yield Case((784, 200))
    yield Case((64, 2), note="it divides evenly")
    yield Case((64, 64), note="as many latents as pixels")
    yield Case((10, 30), note="more latents than pixels")
    yield Case((3072, 1), note="a single latent")
    yield Case((1, 7), note="a single pixel")
    yield Case((draw.integer(500, 5000), draw.integer(3, 90)))


CASES = {
    c.exercise: c
    for c in (
        Cases(
            "bernoulli_log_likelihood",
            ("x", "logits"),
            _bernoulli_plain,
            _bernoulli_leading,
            _bernoulli_extremes,
            gradients=("logits",),
            steep=_bernoulli_steep,
        ),
        Cases("binarize", ("x", "uniform"), _binarize_plain, _binarize_leading),
        Cases(
            "entropy_floor", ("x",), _entropy_plain, _entropy_leading, _entropy_extremes
        ),
        Cases(
            "gaussian_log_likelihood",
            ("x", "mean", "log_var"),
            _gaussian_plain,
            _gaussian_leading,
            _gaussian_extremes,
            gradients=("mean", "log_var"),
            steep=_gaussian_steep,
        ),
        Cases(
            "optimal_log_var",
            ("x", "mean"),
            _optimal_plain,
            _optimal_leading,
            _optimal_extremes,
            gradients=("mean",),
        ),
        Cases(
            "bits_per_dim",
            ("nll", "num_dims"),
            _bits_plain,
            _bits_leading,
            _bits_extremes,
            gradients=("nll",),
        ),
        Cases("effective_beta", ("num_pixels", "num_latents"), _beta_plain),
    )
}
for _cases in CASES.values():
    # without tensors nothing can be written to
    _skip = ("purity",) if _cases.exercise == "effective_beta" else ()
    add_standard(LAWS, _cases, skip=_skip)


# --- terms that learners write, right and wrong ---------------------------------------

_SIGMA = "log_var is log σ²: which exponential of it is σ², and which is σ?"


def _ones(named: Named) -> Tensor:
    return torch.ones_like(named["x"])


def _share(named: Named) -> Tensor:
    """What sums to 1 over the last dimension: a constant that is counted once."""
    return _ones(named) / _ones(named).shape[-1]


_CONSTANTS = (
    Term("a constant", "constant", _ones),
    Term("a constant counted once, not once for each dimension,", "constant", _share),
)


def _x(named: Named) -> Tensor:
    x: Tensor = named["x"]
    return x


def _log_p(named: Named) -> Tensor:
    return functional.logsigmoid(named["logits"])


def _log_not_p(named: Named) -> Tensor:
    return functional.logsigmoid(-named["logits"])


def _p(named: Named) -> Tensor:
    return torch.sigmoid(named["logits"])


_EXCHANGED = "A large logit means that ink is likely. Which pixel is that good for?"
_NO_LOG = "No logarithm is taken."
_GAUSSIAN = "A squared error is a Gaussian's."
_KL = "The entropy of x belongs to a KL divergence, not to a log-likelihood."
_TWICE = "Which of the functions that are used here take a sigmoid themselves?"
_SWAPPED = (
    "The image is taken for the logits, and the logits for the image. Which of the two "
    "does a loss function of PyTorch's take first?"
)
_PIXEL = (
    Term("x log p", "ink", lambda n: _x(n) * _log_p(n)),
    Term("(1 - x) log(1 - p)", "paper", lambda n: (1 - _x(n)) * _log_not_p(n)),
    Term("(1 - x) log p", "ink", lambda n: (1 - _x(n)) * _log_p(n), _EXCHANGED),
    Term("x log(1 - p)", "paper", lambda n: _x(n) * _log_not_p(n), _EXCHANGED),
    Term("x p", "probability", lambda n: _x(n) * _p(n), _NO_LOG),
    Term("p", "probability", _p, _NO_LOG),
    Term("p²", "square", lambda n: _p(n) ** 2, _GAUSSIAN),
    Term("x²", "square", lambda n: _x(n) ** 2, _GAUSSIAN),
    Term("log(1 + exp p)", "twice", lambda n: functional.softplus(_p(n)), _TWICE),
    Term("log(1 + exp x)", "swapped", lambda n: functional.softplus(_x(n)), _SWAPPED),
    Term("x log x", "entropy", lambda n: torch.xlogy(_x(n), _x(n)), _KL),
    Term(
        "(1 - x) log(1 - x)",
        "entropy",
        lambda n: torch.xlogy(1 - _x(n), 1 - _x(n)),
        _KL,
    ),
    *_CONSTANTS,
)


def _log_sum(named: Named) -> Tensor:
    return functional.softplus(named["logits"])


_PAPER = "Paper has a probability too: what does the formula say at x = 0?"
_LOGIT = (  # the same log-probability, as it is usually programmed
    Term("x times the logit", "ink", lambda n: _x(n) * n["logits"]),
    Term("the logit", "logit", lambda n: n["logits"]),
    Term("log(1 + exp(logit))", "normaliser", _log_sum),
    Term("x log(1 + exp(logit))", "normaliser", lambda n: _x(n) * _log_sum(n), _PAPER),
    Term(
        "exp(logit)",
        "normaliser",
        lambda n: n["logits"].exp(),
        "The normaliser is a logarithm.",
    ),
    *_CONSTANTS,
)


def _log_rest(named: Named) -> Tensor:
    return (1 - _x(named)).log()


_ENTROPY = (
    Term("x log x", "ink", lambda n: _x(n) * _x(n).log()),
    Term("(1 - x) log(1 - x)", "paper", lambda n: (1 - _x(n)) * _log_rest(n)),
    Term("x log(1 - x)", "paper", lambda n: _x(n) * _log_rest(n)),
    Term("(1 - x) log x", "ink", lambda n: (1 - _x(n)) * _x(n).log()),
    Term("x", "square", _x),
    Term("x²", "square", lambda n: _x(n) ** 2, "That is a variance's."),
    *_CONSTANTS,
)


def _error_over(
    power: float, shape: Callable[[Tensor], Tensor] = torch.square
) -> Callable[[Named], Tensor]:
    """The error, its square or size, over a power of σ."""
    return lambda n: shape(n["x"] - n["mean"]) * (-0.5 * power * n["log_var"]).exp()


_SQUARE = "The Gaussian's log-density holds the square of the error."
_IS_LOG = "A log-density holds the logarithm of the variance, and log_var is that."
_DENSITY = (
    Term("log σ²", "log-variance", lambda n: n["log_var"]),
    Term("σ²", "log-variance", lambda n: n["log_var"].exp(), _IS_LOG),
    Term("σ", "log-variance", lambda n: (0.5 * n["log_var"]).exp(), _IS_LOG),
    Term("(x - mean)²/σ²", "error", _error_over(2)),
    Term("(x - mean)²/σ", "error", _error_over(1), _SIGMA),
    Term("(x - mean)²/σ⁴", "error", _error_over(4), _SIGMA),
    Term("(x - mean)²", "error", _error_over(0), "Errors count in units of σ."),
    Term("(x - mean)²·σ²", "error", _error_over(-2), "A wide Gaussian forgives them."),
    Term("|x - mean|/σ", "error", _error_over(1, torch.abs), _SQUARE),
    Term("|x - mean|/σ²", "error", _error_over(2, torch.abs), _SQUARE),
    Term("|x - mean|", "error", _error_over(0, torch.abs), _SQUARE),
    Term("(x - mean)/σ²", "error", _error_over(2, torch.clone), _SQUARE),
    Term("(x - mean)/σ", "error", _error_over(1, torch.clone), _SQUARE),
    *_CONSTANTS,
)


def _pixels(draw: Draw, batch: int, size: int) -> tuple[Tensor, Tensor]:
    return _grey(draw, batch, size), draw.normal(batch, size, scale=2.0)


add_formula(
    LAWS,
    CASES["bernoulli_log_likelihood"],
    Formula(_pixels, _PIXEL),
    Formula(_pixels, _LOGIT),
)
add_formula(
    LAWS,
    CASES["entropy_floor"],
    Formula(lambda d, b, n: (_grey(d, b, n),), _ENTROPY),
)
add_formula(
    LAWS,
    CASES["gaussian_log_likelihood"],
    Formula(lambda d, b, n: _triple(d, b, n), _DENSITY),
)


# --- laws of this lesson --------------------------------------------------------------


@LAWS.law(
    "binarize",
    "dtype of x",
    "the image keeps its dtype where the noise has fewer digits",
    role=FORM,
)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    cases = CASES["binarize"]
    args = (draw.uniform(4, 5), draw.uniform(4, 5).to(torch.float16))
    what = tried(cases, Case(args, note="x is float64, uniform float16"))
    try:
        got = subject.call(cases.exercise, *args)
    except SubjectError as error:
        if not of_dtype(error.message):
            raise
        return  # whoever refuses to mix dtypes gives none that is wrong
    if isinstance(got, Tensor) and got.dtype == torch.float16:
        words = f"{what} has the dtype of the noise; the image keeps its own."
        raise Broken(words, "dtype", got, sign=sign("dtype-of-the-noise"))


@LAWS.law("binarize", "ties", "uniform < x is strict: a tie makes the pixel 0")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    cases = CASES["binarize"]
    for case in _binarize_ties(draw):
        expected = truth(cases.exercise, *case.args)
        for dtype in (torch.float64, torch.float32):
            args = cast(case.args, dtype=dtype)
            got = subject.call(cases.exercise, *args)
            compare(got, expected, what=tried(cases, case), rtol=LOOSE)


@LAWS.law(
    "binarize",
    "close values",
    "numbers that differ in the last digits differ",
    role=FORM,
)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    cases = CASES["binarize"]
    for case in _binarize_close(draw):
        got = subject.call(cases.exercise, *case.args)
        expected = truth(cases.exercise, *case.args)
        with otherwise(sign("digits-lost")):
            compare(got, expected, what=tried(cases, case), rtol=LOOSE)
