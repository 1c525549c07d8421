"""Lesson 08: what is tried on each exercise. No true values and no answers are here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vae_edu.checks.alternatives import add_signs
from vae_edu.checks.draw import Draw
from vae_edu.checks.law import FLOAT32, LOOSE, VALUE, Broken, Laws, Truth, compare
from vae_edu.checks.signs import Sign, sign
from vae_edu.checks.standard import Case, Cases, add_standard, tried
from vae_edu.probes import ModelProbe, OptimizerProbe
from vae_edu.subject import Answer, Subject, SubjectError

LAWS = Laws("training")
PIXELS, HIDDEN, LATENT = 6, 5, 3


# --- minibatch_variance ---------------------------------------------------------------


def _batches(draw: Draw) -> Iterator[Case]:
    yield Case((5 * draw.normal(7, 4), 3))
    yield Case((draw.normal(5, 4), 1), note="batches of one")
    yield Case((draw.normal(6, 2), 6), note="the batch is the whole set")
    yield Case((draw.normal(2, 5), 1), note="two examples")
    yield Case((draw.normal(6, 6), 5), note="as many parameters as examples")
    yield Case((draw.normal(40, 1), 16), note="a single parameter")
    many = draw.integer(101, 140)
    yield Case((3 * draw.normal(many, 2), 10), note=f"{many} examples")


def _shared_gradients(draw: Draw) -> Iterator[Case]:
    common = 1e6 * draw.sign(3)
    yield Case((common + draw.normal(7, 3), 2), note="a large common part")
    yield Case((1e5 * draw.normal(7, 3), 3), scale=1e10, note="large gradients")


# --- adam_update ----------------------------------------------------------------------


def _moments(draw: Draw, *shape: int, scale: float = 1.0) -> tuple[Tensor, ...]:
    """A gradient and the running means that earlier ones have left."""
    grad, m = draw.normal(*shape, scale=scale), draw.normal(*shape, scale=0.5 * scale)
    return grad, m, scale**2 * draw.uniform(*shape, low=0.2, high=2.0)


def _adam_plain(draw: Draw) -> Iterator[Case]:
    yield Case(
        (*_moments(draw, 4), 3, 0.05, 0.8, 0.95, 0.1), note="all eight arguments"
    )
    yield Case((*_moments(draw, 3), 7), note="the usual lr, betas and eps")
    grad = draw.normal(5)
    zero = torch.zeros_like(grad)
    yield Case((grad, zero, zero.clone(), 1, 0.1), note="the first step")
    yield Case((*_moments(draw, 4), 5, 0.1, 0.6, 0.3), note="short memories")
    yield Case((*_moments(draw, 4), 2, 0.1, 0.0, 0.9, 1e-3), note="no momentum")
    yield Case((*_moments(draw, 4), 20000, 0.1), note="step 20,000")


def _adam_shapes(draw: Draw) -> Iterator[Case]:
    yield Case((*_moments(draw), 2, 0.1), note="a single number")
    yield Case((*_moments(draw, 3, 4), 2, 0.1), note="a matrix")
    yield Case((*_moments(draw, 2, 1, 3), 2, 0.1), note="three dimensions")


def _adam_extremes(draw: Draw) -> Iterator[Case]:
    zero = torch.zeros(3, dtype=torch.float64)
    yield Case((zero, zero.clone(), zero.clone(), 4, 0.1), note="nothing to learn")
    tiny = _moments(draw, 4, scale=1e-8)
    yield Case((*tiny, 3, 0.1), scale=1e-3, note="gradients as small as eps")
    yield Case((*_moments(draw, 4, scale=1e9), 3, 0.1), scale=1e-3, note="huge ones")


# --- train_step and evaluate: models as data ------------------------------------------


def model_probe(
    draw: Draw, pixels: int = PIXELS, latent: int = LATENT, **how: Any
) -> ModelProbe:
    """A small model with weights drawn here."""
    shapes = {
        "encoder": (pixels, HIDDEN),
        "encoder_bias": (HIDDEN,),
        "mu": (HIDDEN, latent),
        "log_var": (HIDDEN, latent),
        "decoder": (latent, HIDDEN),
        "logits": (HIDDEN, pixels),
        "logits_bias": (pixels,),
    }
    weights = {k: draw.normal(*s, scale=0.7) for k, s in shapes.items()}
    return ModelProbe(weights, **how)


def like_weights(draw: Draw, model: ModelProbe) -> dict[str, Tensor]:
    """Numbers as large as gradients, by the names of the parameters."""
    return {k: 3 * draw.sign(*v.shape) for k, v in model.weights.items()}


def images(draw: Draw, model: ModelProbe, n: int) -> tuple[Tensor, Tensor]:
    """x: n grey images, and eps, for a model."""
    pixels, latent = model.weights["encoder"].shape[0], model.weights["mu"].shape[1]
    return draw.uniform(n, pixels, low=0.02, high=0.98), draw.normal(n, latent)


def extreme_model(draw: Draw, **how: Any) -> ModelProbe:
    """A model whose logits are about +1000 or -1000."""
    model = model_probe(draw, **how)
    model.weights["logits_bias"] = 1000 * draw.sign(PIXELS)
    return model


def _steps(draw: Draw) -> Iterator[Case]:
    model = model_probe(draw)
    sgd = OptimizerProbe("sgd", 0.1)
    yield Case((model, sgd, *images(draw, model, 4), 0.4), note="beta 0.4")
    model = model_probe(draw, training=False)
    adam = OptimizerProbe("adam", 0.1, past=like_weights(draw, model))
    yield Case((model, adam, *images(draw, model, 1)), note="a batch of one, no beta")
    momentum = OptimizerProbe("momentum", 0.05, past=like_weights(draw, model))
    yield Case((model, momentum, *images(draw, model, 9), 0.0), note="beta 0")
    yield Case((model, sgd, *images(draw, model, LATENT), 4.0), note="beta 4")


def _steep_steps(draw: Draw) -> Iterator[Case]:
    model = extreme_model(draw)
    sgd = OptimizerProbe("sgd", 0.01)
    yield Case((model, sgd, *images(draw, model, 4)), note="logits of about ±1000")
    model = model_probe(draw)
    model.weights["logits"] = 300 * model.weights["logits"]
    yield Case((model, sgd, *images(draw, model, 4)), note="gradients of about 1000")


def _far_noise(draw: Draw) -> Iterator[Case]:
    model = model_probe(draw)
    x, eps = images(draw, model, 4)
    eps[1, 0] = 5.5
    yield Case((model, OptimizerProbe("sgd", 0.1), x, eps), note="noise far out")


def _sets(draw: Draw) -> Iterator[Case]:
    model = model_probe(draw, training=False)
    yield Case((model, *images(draw, model, 7)))
    yield Case((model_probe(draw), *images(draw, model, LATENT)), note="as many as z")
    yield Case((model_probe(draw), *images(draw, model, 1)), note="a single image")


def _steep_sets(draw: Draw) -> Iterator[Case]:
    model = extreme_model(draw, training=False)
    yield Case((model, *images(draw, model, 5)), note="logits of about ±1000")


# --- kl_warmup ------------------------------------------------------------------------


def _warmups(draw: Draw) -> Iterator[Case]:
    yield Case((3, 10))
    yield Case((0, 8), note="the first step")
    yield Case((1, 3), note="a third of the way")
    yield Case((7, 7), note="the end of the warm-up")
    yield Case((9, 4), note="after the warm-up")
    yield Case((0, 0), note="no warm-up, the first step")
    yield Case((5, 0), note="no warm-up, later")
    yield Case((1, 1), note="a warm-up of one step")
    yield Case((draw.integer(100, 900), 1000))
    yield Case((10**9, 10**6), note="long after")


CASES = {
    c.exercise: c
    for c in (
        Cases(
            "minibatch_variance",
            ("gradients", "batch_size"),
            _batches,
            extremes=_shared_gradients,
            float32_extremes=False,
        ),
        Cases(
            "adam_update",
            ("grad", "m", "v", "step", "lr", "beta1", "beta2", "eps"),
            _adam_plain,
            _adam_shapes,
            _adam_extremes,
        ),
        Cases(
            "train_step",
            ("model", "optimizer", "x", "eps", "beta"),
            _steps,
            delicate=_far_noise,
        ),
        Cases("evaluate", ("model", "x", "eps"), _sets),
        Cases("kl_warmup", ("step", "warmup_steps"), _warmups),
    )
}
# --- what a model is after a call -----------------------------------------------------


def expect_weights(
    answer: Answer, expected: Sequence[Tensor], case: Case, how: str, rtol: float
) -> None:
    """Raise `Broken` unless the parameters are these, in the order of their names."""
    names = sorted(case.args[0].weights)
    for name, want in zip(names, expected, strict=True):
        compare(
            answer.state_grads.get(f"state.{name}"),
            want,
            what=f"{how}, the parameter {name!r} of the model",
            rtol=rtol,
        )


def expect_step(
    subject: Subject, truth: Truth, case: Case, how: str = "", rtol: float = LOOSE
) -> Answer:
    """Ask for a step; raise `Broken` unless it leads to the true parameters."""
    answer = subject.ask("train_step", *case.args)
    expected = truth("weights_after", *case.args)
    words = how or f"after {tried(CASES['train_step'], case)}"
    expect_weights(answer, expected, case, words, rtol)
    return answer


def step_values(subject: Subject, truth: Truth, draw: Draw) -> None:
    """Both that a step has: the numbers it returns, and where it leads."""
    cases, answers = [*_steps(draw)], []
    for case in cases:
        answers.append(subject.ask("train_step", *case.args))
        what = tried(CASES["train_step"], case)
        compare(answers[-1].value, truth("train_step", *case.args), what=what)
    for case, answer in zip(cases, answers, strict=True):
        expected = truth("weights_after", *case.args)
        how = f"after {tried(CASES['train_step'], case)}"
        expect_weights(answer, expected, case, how, 1e-10)


_VALUES = "the step and the numbers returned are right"
LAWS.law("train_step", "values", _VALUES, role=VALUE)(step_values)
_MODELS = ("float32", "device")  # laws of their own below, where the input is a model
_SKIP = {
    "train_step": ("values", *_MODELS),
    "evaluate": _MODELS,
    "kl_warmup": ("purity",),
}
for _cases in CASES.values():
    add_standard(LAWS, _cases, skip=_SKIP.get(_cases.exercise, ()))


@LAWS.law(
    "train_step", "stale gradients", "gradients of earlier steps are cleared before"
)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    model = model_probe(draw)
    for kind in ("sgd", "momentum", "adam"):
        left = replace(model, grads=like_weights(draw, model))
        args = (left, OptimizerProbe(kind, 0.1), *images(draw, model, 4))
        how = f"with gradients left in .grad by something before ({kind})"
        expect_step(subject, truth, Case(args), how)
        again = Case((replace(model, rounds=3), *args[1:], 0.5))
        expect_step(subject, truth, again, f"after three steps in a row ({kind})")


@LAWS.law(
    "train_step", "mode", "the model is in the mode in which it came: train or eval"
)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for training in (True, False):
        model = model_probe(draw, training=training, restless=True)
        args = (model, OptimizerProbe("sgd", 0.1), *images(draw, model, 4))
        _expect_mode(subject.ask("train_step", *args), training, "train_step")


def _expect_mode(answer: Answer, training: bool, name: str) -> None:
    modes = answer.state_grads.get("training")
    if not isinstance(modes, Tensor) or not bool((modes == float(training)).all()):
        came, left = ("train", "eval") if training else ("eval", "train")
        raise Broken(
            f"The model came to {name} in {came} mode and is, at least in part, in "
            f"{left} mode afterwards.",
            "mode",
        )


@LAWS.law(
    "train_step",
    "one forward pass",
    "the values are those that the step was computed from, in the mode it came in",
)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for training, rounds in ((True, 1), (True, 2), (False, 1)):
        model = model_probe(draw, training=training, restless=True, rounds=rounds)
        args = (model, OptimizerProbe("sgd", 0.1), *images(draw, model, 4), 0.7)
        mode = (
            "train mode, where no two forward passes are alike"
            if training
            else "eval mode"
        )
        what = f"for a model with dropout, in {mode}, train_step"
        answer = expect_step(subject, truth, Case(args), f"{what}: afterwards")
        compare(answer.value, truth("train_step", *args), what=what, rtol=LOOSE)


@LAWS.law(
    "train_step", "its own parameters", "only what the optimizer was given is changed"
)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for only in ("decoder", "encoder"):
        model = model_probe(draw)
        args = (model, OptimizerProbe("sgd", 0.1, only=only), *images(draw, model, 4))
        how = f"where the optimizer was given only what begins with {only!r}"
        answer = expect_step(subject, truth, Case(args), how)
        _expect_flags(answer, "train_step")


def _expect_flags(answer: Answer, name: str, *, tracked: bool = True) -> None:
    if "grad mode" in answer.switched:
        now, advice = (
            ("off", "ends by itself") if tracked else ("on", "puts back what was")
        )
        raise Broken(
            f"After {name}, gradients are {now} for the whole program; they were not "
            f"before. Use `with torch.no_grad():`, which {advice}.",
            "trace",
        )
    if answer.switched:
        raise Broken(
            f"{name} left another requires_grad on {', '.join(answer.switched)}.",
            "trace",
        )


@LAWS.law(
    "train_step", "frozen parts", "parameters may be frozen, or not used by the loss"
)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for frozen in (("encoder", "encoder_bias"), ("logits", "decoder", "logits_bias")):
        model = model_probe(draw, frozen=frozen)
        model.weights["spare"] = draw.normal(3)
        args = (model, OptimizerProbe("adam", 0.1), *images(draw, model, 4))
        how = f"where {' and '.join(frozen)} are frozen and `spare` is not used"
        answer = expect_step(subject, truth, Case(args), how)
        _expect_flags(answer, "train_step")


@LAWS.law(
    "train_step", "extremes", "the step is the true, finite one for extreme logits"
)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for case in _steep_steps(draw):
        answer = expect_step(subject, truth, case)
        what = tried(CASES["train_step"], case)
        compare(answer.value, truth("train_step", *case.args), what=what, rtol=LOOSE)


@LAWS.law("train_step", "single precision", "float32 works, and stays float32")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for case in _steps(draw):
        model, optimizer, *rest = case.args
        low = _in_float32(case.args)
        answer = expect_step(subject, truth, Case(low), "in float32", 4 * FLOAT32)
        exact = (model.to(torch.float64), optimizer, *rest)
        what = f"in float32, {tried(CASES['train_step'], case)}"
        expected = truth("train_step", *exact)
        compare(answer.value, expected, what=what, rtol=4 * FLOAT32)
        _expect_state(answer, low[0], "train_step", values=False)


def _in_float32(args: Sequence[Any]) -> tuple[Any, ...]:
    kinds = (Tensor, ModelProbe, OptimizerProbe)
    return tuple(a.to(torch.float32) if isinstance(a, kinds) else a for a in args)


def _expect_state(
    answer: Answer, model: ModelProbe, name: str, *, values: bool
) -> None:
    """Raise `Broken` where a parameter has another dtype, or another value, now."""
    for key, before in model.weights.items():
        now = answer.state_grads.get(f"state.{key}")
        if not isinstance(now, Tensor) or now.dtype != before.dtype:
            raise Broken(
                f"{name} left the parameter {key!r} in another dtype. .float() and "
                ".double() change a module itself.",
                "trace",
            )
        if values and not torch.equal(now, before):
            raise Broken(f"{name} changed the parameter {key!r}.", "trace")


@LAWS.law("train_step", "another device", "no device is written into the code")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for case in _steps(draw):
        _expect_any_device(subject, "train_step", case)


def _expect_any_device(subject: Subject, name: str, case: Case) -> None:
    try:
        subject.on_another_device(name, *case.args)
    except SubjectError as error:
        # other errors come from the stand-in, which has no values to look at
        if "same device" not in error.message:
            return
        raise Broken(
            f"{tried(CASES[name], case)} fails where model, x and eps are on another "
            "device (a GPU): the code moves one of them. Leave all where they are.",
            "device",
            sign=sign("cpu-tensor"),
        ) from None


# --- evaluate -------------------------------------------------------------------------


def expect_mean(subject: Subject, truth: Truth, args: Sequence[Any], how: str) -> None:
    """Raise `Broken` unless evaluate gives the true mean."""
    expected = truth("evaluate", *args)
    compare(subject.call("evaluate", *args), expected, what=how, rtol=LOOSE)


@LAWS.law(
    "evaluate",
    "unequal batches",
    "the mean is over all examples, however it is batched",
    role=VALUE,
)
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for n in (1109, 1000):
        model = model_probe(draw, 4, 2, training=False)
        x, eps = images(draw, model, n)
        x[-9:] = 1 - 0.1 * x[-9:]  # the last images are not like the others
        args = (model, x, eps)
        expect_mean(subject, truth, args, f"for {n:,} images, evaluate")


@LAWS.law("evaluate", "evaluation mode", "it is measured in evaluation mode")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for training in (True, False):
        model = model_probe(draw, training=training, restless=True)
        args = (model, *images(draw, model, 5))
        mode = "train" if training else "eval"
        how = f"for a model with dropout, which came in {mode} mode, evaluate"
        expect_mean(subject, truth, args, how)


@LAWS.law("evaluate", "mode", "afterwards the model is in the mode in which it came")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for training in (True, False):
        model = model_probe(draw, training=training, restless=True)
        answer = subject.ask("evaluate", model, *images(draw, model, 5))
        _expect_mode(answer, training, "evaluate")


@LAWS.law("evaluate", "no gradients", "no graph is built, and no .grad is left")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for training in (True, False):
        model = model_probe(draw, training=training)
        answer = subject.ask("evaluate", model, *images(draw, model, 5))
        tracked = answer.state_grads.get("tracked")
        if not isinstance(tracked, Tensor) or float(tracked) or answer.left_grad:
            left = "leaves a .grad on" if answer.left_grad else "builds a graph of"
            raise Broken(
                f"evaluate {left} the model's parameters. Measuring needs neither: "
                "the memory of a graph grows with the number of images.",
                "trace",
            )


@LAWS.law("evaluate", "no trace", "the model is as it was: parameters and flags")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for training in (True, False):
        model = model_probe(draw, training=training, frozen=("log_var",))
        answer = subject.ask("evaluate", model, *images(draw, model, 5))
        _expect_flags(answer, "evaluate")
        _expect_state(answer, model, "evaluate", values=True)
        answer = subject.ask_untracked("evaluate", model, *images(draw, model, 5))
        _expect_flags(answer, "evaluate", tracked=False)


@LAWS.law("evaluate", "extremes", "the mean is the true, finite one for extreme logits")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for case in _steep_sets(draw):
        expect_mean(subject, truth, case.args, tried(CASES["evaluate"], case))


@LAWS.law("evaluate", "single precision", "float32 works, and stays float32")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for case in _sets(draw):
        low = _in_float32(case.args)
        answer = subject.ask("evaluate", *low)
        what = f"in float32, {tried(CASES['evaluate'], case)}"
        expected = truth("evaluate", *case.args)
        compare(answer.value, expected, what=what, rtol=4 * FLOAT32)
        _expect_state(answer, low[0], "evaluate", values=False)


@LAWS.law("evaluate", "another device", "no device is written into the code")
def _(subject: Subject, truth: Truth, draw: Draw) -> None:
    for case in _sets(draw):
        _expect_any_device(subject, "evaluate", case)


# --- what broken answers do -----------------------------------------------------------


@LAWS.examination("minibatch_variance")
def _(subject: Subject, truth: Truth, draw: Draw) -> Sign | None:
    found = add_signs(CASES["minibatch_variance"])(subject, truth, draw)
    return found or _whole_numbers(subject, draw)


def _whole_numbers(subject: Subject, draw: Draw) -> Sign | None:
    """Zero for each batch of two or more, and for no batch of one."""
    gradients = 5 * draw.normal(9, 3)
    one, *more = (
        subject.call("minibatch_variance", gradients, b) for b in (1, 2, 4, 8)
    )
    if not one.any() or any(v.any() for v in more):
        return None
    return Sign(
        "the-correction-for-the-set-is-divided-without-a-remainder",
        "The correction for the set is divided without a remainder",
        "(N - B) // (N - 1) is 0 for any batch of more than one. A single / keeps the "
        "fraction.",
    )


@LAWS.examination("train_step")
def _(subject: Subject, truth: Truth, draw: Draw) -> Sign | None:
    """Where one step of plain gradient descent leads, beside where it should."""
    model = model_probe(draw)
    args = (model, OptimizerProbe("sgd", 0.1), *images(draw, model, 4), 0.4)
    names = sorted(model.weights)
    twice = [repr(subject.call("train_step", *args)) for _ in range(2)]
    if twice[0] != twice[1]:
        return sign("noise-inside")
    answer, after = subject.ask("train_step", *args), truth("weights_after", *args)
    before = torch.cat([model.weights[n].flatten() for n in names])
    state = [answer.state_grads.get(f"state.{n}") for n in names]
    got = torch.cat([v.flatten() for v in state if v is not None]) - before
    return _of_moves(
        got, torch.cat([v.flatten() for v in after]) - before, len(args[2])
    )


def _of_moves(got: Tensor, right: Tensor, batch: int) -> Sign | None:
    """The mistake by what it does to a step: nothing, a factor, a cut."""
    if not bool(got.any()):
        return _NOTHING_MOVES
    if torch.allclose(got, right, rtol=LOOSE):
        return None
    ratio = float(got @ right / (right @ right))
    if torch.allclose(got, ratio * right, rtol=LOOSE, atol=1e-12):
        for factor, found in ((-1.0, _UPHILL), (2.0, _TWICE), (batch, _SUMMED)):
            if abs(ratio / factor - 1) < LOOSE:
                return found
        return _CLIPPED if 0 < ratio < 1 else None
    bound = float(got.abs().max())
    cut = right.clamp(-bound, bound)
    return _CLIPPED if torch.allclose(got, cut, rtol=LOOSE, atol=1e-12) else None


_NOTHING_MOVES = Sign(
    "nothing-moves",
    "Nothing moves",
    "After the call the parameters are what they were. Is there a step, and does it "
    "still find the gradients when it comes?",
)
_CLIPPED = Sign(
    "the-gradient-is-clipped",
    "The gradient is clipped",
    "Clipping can help, and it is another step than the one asked for. The caller "
    "should know of it.",
)
_UPHILL = Sign(
    "uphill",
    "The step goes uphill",
    "The parameters move along the gradient of the loss, not against it. Of what is "
    "backward called?",
)
_TWICE = Sign(
    "two-steps-along-one-gradient",
    "Two steps along one gradient",
    "The parameters move twice as far as they should: the optimizer's step, or the "
    "backward pass, is there twice.",
)
_SUMMED = Sign(
    "summed-over-the-batch",
    "Summed over the batch",
    "The step is as many times too long as there are images: the loss of lesson 07 is "
    "a mean over the batch.",
)


_STEPS = tuple(range(21))
_RAMPS: tuple[tuple[str, str, Callable[[float], float]], ...] = (
    (
        "A number that is 1 too early",
        "How far is step 3 of 10 along the way? Which of the two, that share or 1, "
        "should win there?",
        lambda way: max(1.0, way),
    ),
    (
        "A number that is 1 too early",
        "The weight is 1 in every step. Where does the warm-up come in?",
        lambda way: 1.0,
    ),
    (
        "All or nothing",
        "The weight grows in a straight line; a switch has no values between 0 and 1.",
        lambda way: float(way >= 1),
    ),
    (
        "The warm-up has a percent sign",
        "The weight goes from 0 to 1, not to 100.",
        lambda way: 100 * min(1.0, way),
    ),
    (
        "No end to the warm-up",
        "After the warm-up the weight should stay where the ELBO has it.",
        lambda way: way,
    ),
    (
        "From 1 down to 0",
        "A warm-up lets the KL in slowly. Which way does your line go?",
        lambda way: max(0.0, 1 - way),
    ),
    (
        "The steps are counted from 1",
        "Steps begin at 0, with a weight of 0.",
        lambda way: min(1.0, way + 0.1),
    ),
    (
        "Half a cosine",
        "A smooth ramp works, too, and is another one. A straight line is asked for.",
        lambda way: (1 - math.cos(math.pi * min(1.0, way))) / 2,
    ),
)


@LAWS.examination("kl_warmup")
def _(subject: Subject, truth: Truth, draw: Draw) -> Sign | None:
    """The curve of ten steps' warm-up, beside other curves."""
    values = [subject.call("kl_warmup", step, 10) for step in _STEPS]
    if isinstance(values[0], Tensor):
        return Sign("a-tensor", "A tensor", "A plain number is asked for.")
    got = torch.tensor([float(value) for value in values], dtype=torch.float64)
    for name, sentence, ramp in _RAMPS:
        other = torch.tensor([ramp(step / 10) for step in _STEPS], dtype=torch.float64)
        if torch.allclose(got, other, atol=LOOSE):
            return Sign(name.lower().replace(" ", "-"), name, sentence)
    line = torch.linspace(0, 2, len(_STEPS), dtype=torch.float64).clamp(max=1)
    rises = bool((got.diff() >= 0).all()) and 0 <= got[0] < 0.5 < got[-1] <= 1
    return _CURVE if rises and not torch.allclose(got, line, atol=0.01) else None


_CURVE = Sign(
    "a-curve-in-place-of-the-straight-line",
    "A curve in place of the straight line",
    "A tenth of the way the weight is a tenth, halfway it is one half.",
)


_SIZES = (10, 16, 20, 32, 50, 64, 100, 128, 200, 250, 256, 500, 512, 1000, 1024)


@LAWS.examination("evaluate")
def _(subject: Subject, truth: Truth, draw: Draw) -> Sign | None:
    found = add_signs(CASES["evaluate"])(subject, truth, draw)
    return found or _of_batches(subject, truth, draw)


def _of_batches(subject: Subject, truth: Truth, draw: Draw) -> Sign | None:
    """How batches of the usual sizes were put together, where one is smaller."""
    n = 1109  # a prime number: no size divides it
    model = model_probe(draw, 4, 2, training=False)
    x, eps = images(draw, model, n)
    x[-9:] = 1 - 0.1 * x[-9:]
    whole = truth("evaluate", model, x, eps)[0]
    ends = [truth("evaluate", model, x[-(n % b) :], eps[-(n % b) :]) for b in _SIZES]
    again = [torch.arange(n) % b for b in _SIZES]
    same = [truth("evaluate", model, x, eps[rows])[0] for rows in again]
    got = subject.call("evaluate", model, x, eps)[0]
    if any(math.isclose(got, value, rel_tol=1e-8) for value in same):
        return _FIRST_NOISE
    for size, (last, _, _) in zip(_SIZES, ends, strict=True):
        full, rest = divmod(n, size)
        first = (n * whole - rest * last) / (n - rest)
        means = full * first + last
        for value, found in (
            (means / (full + 1), _MEAN_OF_MEANS),
            (means * size / n, _MEAN_OF_MEANS),
            (means / full, _ROUNDED_DOWN),
            (first, _LEFT_OUT),
            (first * (n - rest) / n, _LEFT_OUT),
        ):
            if math.isclose(got, value, rel_tol=1e-8):
                return found
    return None


_MEAN_OF_MEANS = Sign(
    "the-mean-of-the-batches-means",
    "The mean of the batches' means",
    "The last batch is smaller than the others and counts as much as they do. What "
    "should each weigh?",
)
_ROUNDED_DOWN = Sign(
    "the-number-of-batches-is-rounded-down",
    "The number of batches is rounded down",
    "n // size does not count the last, smaller batch, and its mean is in the sum.",
)
_LEFT_OUT = Sign(
    "the-last-smaller-batch-is-left-out",
    "The last, smaller batch is left out",
    "drop_last, or a loop to n // size: some images are never measured.",
)
_FIRST_NOISE = Sign(
    "every-batch-gets-the-first-noise",
    "Every batch gets the first noise",
    "The images move on and eps does not: each z should have the noise of its own row.",
)
