"""The laws that every module of the course owes, given its methods: one body each.

A lesson says what the methods take and give, as shapes in words (`Method`,
`ModuleCases`). There are no true values: weights are the learner's own, so a law
compares a module with itself: a row with its batch, a gradient with a finite
difference, one instance with another.

    forward = Method("", {"x": "batch input_dim"}, "batch latent_dim")
    cases = ModuleCases("Encoder", ("input_dim", ...), (forward,), curved=("",))
    add_module_laws(LAWS, cases)

Laws are about one thing each: all but `modes` run in evaluation mode; most load weights
drawn here, so that they hold whatever a module was initialised with. What does not
belong here: laws about one exercise, and true values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vae_edu.checks.draw import Draw
from vae_edu.checks.law import (
    ESSENTIAL,
    FORM,
    LOOSE,
    Broken,
    Law,
    LawBody,
    Laws,
    Truth,
    compare,
    describe,
    expect_like,
)
from vae_edu.checks.signs import Sign, of_dtypes, of_error, of_shape, sign
from vae_edu.checks.standard import because, needs_values, otherwise
from vae_edu.subject import Module, Subject, SubjectError

Sizes = Mapping[str, int]
Check = Callable[["ModuleCases", Subject, Draw], None]

SIZES: tuple[Sizes, ...] = (
    {"input_dim": 6, "hidden_dim": 9, "latent_dim": 3, "batch": 5, "num_samples": 4},
    {"input_dim": 5, "hidden_dim": 8, "latent_dim": 2, "batch": 1, "num_samples": 1},
    {"input_dim": 4, "hidden_dim": 12, "latent_dim": 7, "batch": 2, "num_samples": 3},
    {"input_dim": 10, "hidden_dim": 8, "latent_dim": 1, "batch": 3, "num_samples": 2},
)
STEP = 1e-6  # of a finite difference, in float64
NEAR = 1e-5  # what a finite difference may be off by, relative
COARSE_STEP, ROUGHLY = 1e-3, 5e-2  # where float32 would do


@dataclass(frozen=True)
class Method:
    """One method of a module: "" is the module called. `takes` and `gives` are shapes
    in words ("batch input_dim"); `gives` is a tuple where the method returns one, and
    `results` what its parts are called.
    """

    name: str
    takes: Mapping[str, str]
    gives: str | tuple[str, ...]
    results: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The shapes that it gives, always as a tuple."""
        return (self.gives,) if isinstance(self.gives, str) else self.gives

    def inputs(self, draw: Draw, sizes: Sizes) -> tuple[Tensor, ...]:
        """Ordinary inputs, float64."""
        return tuple(draw.normal(*shape_of(s, sizes)) for s in self.takes.values())

    def blank(self, sizes: Sizes, device: str = "cpu") -> Any:
        """What it gives, empty: for types, shapes and devices."""
        made = tuple(torch.empty(shape_of(s, sizes), device=device) for s in self.parts)
        return made[0] if isinstance(self.gives, str) else made


@dataclass(frozen=True)
class ModuleCases:
    """What to try on one module.

    params: the constructor's parameters in order; curved: methods that may not be
    affine, not even followed by something elementwise; wide: methods whose number of
    parameters grows with `hidden_dim` (the same as `curved` where none is named);
    differentiable: inputs in which a gradient is asked for (all where none is named).
    """

    exercise: str
    params: tuple[str, ...]
    methods: tuple[Method, ...]
    curved: tuple[str, ...] = ()
    wide: tuple[str, ...] = ()
    differentiable: tuple[str, ...] = ()
    sizes: tuple[Sizes, ...] = field(default=SIZES)

    def method(self, name: str) -> Method:
        """The method of that name."""
        return next(m for m in self.methods if m.name == name)

    def tried(self, sizes: Sizes, method: Method | None = None) -> str:
        """The call in words: Autoencoder(6, 9, 3).encode(x: (5, 6))."""
        text = f"{self.exercise}({', '.join(str(sizes[p]) for p in self.params)})"
        if method is None:
            return text
        shapes = (f"{p}: {shape_of(s, sizes)}" for p, s in method.takes.items())
        return f"{text}{'.' * bool(method.name)}{method.name}({', '.join(shapes)})"

    def build(self, subject: Subject, sizes: Sizes, *, seed: int = 0) -> Module:
        """An instance as its constructor leaves it."""
        return subject.build(self.exercise, *(sizes[p] for p in self.params), seed=seed)

    def ready(self, subject: Subject, sizes: Sizes, draw: Draw) -> Module:
        """An instance in evaluation mode and float64, with weights drawn here."""
        module = self.build(subject, sizes).to(dtype="float64").train(False)
        renew(module, draw)
        return module


def add_module_laws(
    laws: Laws, cases: ModuleCases, *, skip: Sequence[str] = (), hidden: bool = False
) -> None:
    """Append the standard laws of one module, less `skip`."""
    for name, sentence, check in _MODULE_LAWS:
        if name not in skip:
            role = FORM if name in _MANNERS else ESSENTIAL
            body = _body(check, cases)
            law = Law(cases.exercise, name, sentence, body, hidden=hidden, role=role)
            laws.add(law)


def _body(check: Check, cases: ModuleCases) -> LawBody:
    def body(subject: Subject, truth: Truth, draw: Draw) -> None:
        check(cases, subject, draw)

    return body


def shape_of(words: str, sizes: Sizes) -> tuple[int, ...]:
    """The shape for words such as "batch input_dim", in numbers."""
    return tuple(sizes[word] for word in words.split())


@dataclass(frozen=True)
class Weights:
    """A module's state, its parameters, and which of them it holds twice."""

    state: Mapping[str, Tensor]
    parameters: Mapping[str, Tensor]
    twins: Mapping[str, str]

    def having(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state with other values for some parameters, under all their names."""
        again = {name: values[p] for name, p in self.twins.items() if p in values}
        return {**self.state, **values, **again}

    def drawn(self, draw: Draw) -> dict[str, Tensor]:
        """New values for all parameters, of the size that initial weights have."""
        made = {}
        for name, old in self.parameters.items():
            fan = max(1.0, old.numel() / max(1, max(old.shape, default=1)))
            drawn = draw.normal(*old.shape, scale=1.2 / math.sqrt(fan))
            made[name] = drawn.to(old.dtype)
        return made


def weights_of(module: Module, draw: Draw) -> Weights:
    """A module's weights as they are."""
    state, parameters = module.state(), module.parameters()
    twins: dict[str, str] = {}
    others = [n for n in state if n not in parameters and state[n].is_floating_point()]
    if others:  # set every entry to values of its own: the same tensor reads the same
        floats = [*parameters, *others]
        module.load({**state, **{n: draw.normal(*state[n].shape) for n in floats}})
        back = module.state()
        pairs = [(n, p) for n in others for p in parameters if _equal(back[n], back[p])]
        twins = dict(pairs)
        module.load(state)
    return Weights(state, parameters, twins)


def renew(module: Module, draw: Draw, size: float = 1.0) -> None:
    """Give a module weights drawn here, `size` times as large as usual."""
    weights = weights_of(module, draw)
    made = {name: size * value for name, value in weights.drawn(draw).items()}
    module.load(weights.having(made))


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)


def _parts(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


def _called(
    cases: ModuleCases,
    module: Module,
    method: Method,
    args: Sequence[Tensor],
    sizes: Sizes,
) -> Any:
    value = module.call(*args, method=method.name)
    expect_shapes(cases, method, value, sizes)
    return value


def expect_shapes(
    cases: ModuleCases, method: Method, value: Any, sizes: Sizes, device: str = "cpu"
) -> None:
    """Raise `Broken` unless types, part counts and shapes are those of the contract."""
    blank, what = method.blank(sizes, device), cases.tried(sizes, method)
    try:
        expect_like(value, blank, what)
    except Broken as broken:
        broken.sign = of_shape(value, blank, what, sizes) or broken.sign
        raise


def _agree(got: Any, expected: Any, what: str, *, rtol: float = LOOSE) -> None:
    largest = max(
        (float(v.abs().max()) for v in _parts(expected) if v.numel()), default=1.0
    )
    compare(got, expected, what=what, scale=max(1.0, largest), rtol=rtol)


# --- the laws ---------------------------------------------------------------


def _shapes(cases: ModuleCases, subject: Subject, draw: Draw) -> None:
    for sizes in cases.sizes:
        try:
            module = cases.build(subject, sizes).train(False)
        except SubjectError as error:
            error.sign = of_error(error.message, sizes)
            raise
        for method in cases.methods:
            args = [a.float() for a in method.inputs(draw, sizes)]
            try:
                value = _called(cases, module, method, args, sizes)
            except SubjectError as error:
                error.sign = of_error(error.message, sizes)
                raise
            if not all(bool(torch.isfinite(v).all()) for v in _parts(value)):
                words = f"is not finite: {describe(value)}."
                raise Broken(f"{cases.tried(sizes, method)} {words}", "overflow")


def _keywords(cases: ModuleCases, subject: Subject, draw: Draw) -> None:
    sizes = cases.sizes[0]
    named = {p: sizes[p] for p in reversed(cases.params)}
    module = subject.build(cases.exercise, **named).train(False)
    # a method may be a submodule (self.encode = nn.Sequential(...)): it names nothing
    for method in (m for m in cases.methods if not m.name):
        made = zip(method.takes, method.inputs(draw, sizes), strict=True)
        args = {p: a.float() for p, a in made}
        value = module.call(method=method.name, **args)
        what = f"called with keywords, {cases.tried(sizes, method)}"
        expect_like(value, method.blank(sizes), what)


def _rows(cases: ModuleCases, subject: Subject, draw: Draw) -> None:
    sizes = cases.sizes[0]
    module = cases.ready(subject, sizes, draw)
    for method in cases.methods:
        args = method.inputs(draw, sizes)
        whole = _called(cases, module, method, args, sizes)
        for row in range(sizes["batch"]):
            single = _one(args, method.takes.values(), row)
            alone = module.call(*single, method=method.name)
            expected = _one(_parts(whole), method.parts, row)
            what = f"row {row} alone, beside the batch in {cases.tried(sizes, method)},"
            with otherwise(sign("rows-mixed")):
                _agree(_parts(alone), expected, what)


def _one(
    values: Iterable[Tensor], shapes: Iterable[str], row: int
) -> tuple[Tensor, ...]:
    """One row of each value that has a batch dimension."""
    return tuple(
        v.narrow(s.split().index("batch"), row, 1) if "batch" in s.split() else v
        for v, s in zip(values, shapes, strict=True)
    )


def _modes(cases: ModuleCases, subject: Subject, draw: Draw) -> None:
    sizes = {**cases.sizes[0], "batch": 12}
    module = cases.ready(subject, sizes, draw)
    for method in cases.methods:
        args, what = method.inputs(draw, sizes), cases.tried(sizes, method)
        expected = _called(cases, module.train(False), method, args, sizes)
        for training, chance in ((True, 1), (True, 2), (False, 1), (False, 2)):
            module.chance = chance  # whatever is drawn inside now differs
            got = module.train(training).call(*args, method=method.name)
            mode = "training" if training else "evaluation"
            words = f"called again, in {mode} mode, {what}"
            try:
                _agree(got, expected, words)
            except Broken as broken:
                said = f"{broken.message} {_OTHERWISE[training]}"
                seen = _sign_of_chance(module, method, args)
                raise Broken(said, broken.kind, sign=seen) from None


def _sign_of_chance(module: Module, method: Method, args: Sequence[Tensor]) -> Sign:
    """What differs between calls: with chance, with the rows, or the mode alone."""

    def asked(mode: bool, chance: int, *given: Tensor) -> Any:
        module.chance = chance
        return module.train(mode).call(*given, method=method.name)

    if not _same_parts(asked(False, 1, *args), asked(False, 2, *args)):
        return sign("noise-inside")
    if not _same_parts(asked(True, 1, *args), asked(True, 2, *args)):
        return sign("dropout")
    alone = asked(True, 1, *_without_last(args, method.takes.values()))
    whole = _without_last(_parts(asked(True, 1, *args)), method.parts)
    mixed = not _same_parts(_parts(alone), whole)
    return sign("batch-norm" if mixed else "mode-dependent")


def _without_last(
    values: Sequence[Tensor], shapes: Iterable[str]
) -> tuple[Tensor, ...]:
    """The values of all rows but the last of their batch."""
    made = []
    for value, words in zip(values, shapes, strict=True):
        dim = words.split().index("batch")
        made.append(value.narrow(dim, 0, value.shape[dim] - 1))
    return tuple(made)


def _same_parts(one: Any, other: Any) -> bool:
    pairs = zip(_parts(one), _parts(other), strict=True)
    return all(a.shape == b.shape and torch.allclose(a, b) for a, b in pairs)


_OTHERWISE = {
    True: "Expected is what evaluation mode gives. Is there a batch norm, a dropout or "
    "noise of its own inside?",
    False: "Expected is what the first call gave. Is something drawn at random inside, "
    "or remembered from call to call?",
}


def _traces(cases: ModuleCases, subject: Subject, draw: Draw) -> None:
    sizes = cases.sizes[0]
    used = cases.ready(subject, sizes, draw)
    fresh = cases.build(subject, sizes).to(dtype="float64").train(False)
    fresh.load(used.state())
    for method in cases.methods:
        first, then = method.inputs(draw, sizes), method.inputs(draw, sizes)
        what = cases.tried(sizes, method)
        before = _called(cases, used, method, first, sizes)
        answer = used.ask(*then, method=method.name)
        _untouched(method, what, answer.changed)
        words = f"after a call with other inputs, {what}"
        with otherwise(sign("remembers")):
            _agree(answer.value, fresh.call(*then, method=method.name), words)
            _agree(used.call(*first, method=method.name), before, words)


def _untouched(method: Method, what: str, changed: Sequence[str]) -> None:
    if "result" in changed:
        raise Broken(
            f"{what} wrote into the result of the call before it: two results share "
            "one tensor. Return a new tensor each time.",
            "mutated",
            sign=sign("result-shared"),
        )
    if changed:
        names = ", ".join(list(method.takes)[int(i)] for i in changed)
        raise Broken(
            f"{what} wrote into its input {names}. Methods that end in _, "
            "inplace=True and item assignment write in place.",
            "mutated",
            sign=sign("in-place"),
        )


def _parameter_gradients(cases: ModuleCases, subject: Subject, draw: Draw) -> None:
    sizes = cases.sizes[0]
    for method in cases.methods:
        _again(partial(_weights_once, cases, subject, draw, method, sizes))


def _again(attempt: Callable[[float, float], None]) -> None:
    """A finite difference may cross a kink (of a ReLU), in wide layers more often: one
    of three times must hold, two with a smaller step.

    With a coarse step the right slope shows in float32, too, and a cut path does not.
    """
    for step in (STEP, STEP / 10):
        try:
            return attempt(step, NEAR)
        except Broken:
            continue
    try:
        attempt(STEP / 10, NEAR)
    except Broken as broken:
        _expect_cut(attempt, broken)


def _expect_cut(attempt: Callable[[float, float], None], broken: Broken) -> None:
    try:
        attempt(COARSE_STEP, ROUGHLY)
    except Broken:
        raise broken from None
    broken.kind, broken.sign = "digits", sign("float32-inside")
    raise broken from None


def _weights_once(
    cases: ModuleCases,
    subject: Subject,
    draw: Draw,
    method: Method,
    sizes: Sizes,
    step: float,
    near: float,
) -> None:
    module = cases.ready(subject, sizes, draw)
    weights = weights_of(module, draw)
    args = method.inputs(draw, sizes)
    pull = [draw.sign(*shape_of(s, sizes)) for s in method.parts]
    grads = module.vjp(args, (), pull, method=method.name).state_grads
    for name, value in weights.parameters.items():
        way = draw.normal(*value.shape)
        ends = []
        for move in (step, -step):
            module.load(weights.having({name: value + move * way}))
            got = _called(cases, module, method, args, sizes)
            ends.append(_weighed(got, pull))
        what = f"{cases.tried(sizes, method)} with respect to the parameter {name}"
        slope = (ends[0] - ends[1]) / (2 * step)
        found = "gradient-missing" if grads.get(name) is None else "gradient-cut"
        with otherwise(sign(found, f"the parameter {name}")):
            _same_slope(grads.get(name), way, slope, what, near)


def _weighed(value: Any, pull: Sequence[Tensor]) -> float:
    pairs = zip(_parts(value), pull, strict=True)
    return sum(float((v.to(torch.float64) * p).sum()) for v, p in pairs)


def _same_slope(
    grad: Tensor | None, way: Tensor, slope: float, what: str, near: float
) -> None:
    if grad is None and abs(slope) > near:
        raise Broken(
            f"The gradient of {what} is missing, though the result depends on it: "
            "look for detach, .data, torch.no_grad or requires_grad_(False).",
            "gradient",
        )
    claimed = 0.0 if grad is None else float((grad.to(torch.float64) * way).sum())
    if not abs(claimed - slope) <= near * max(1.0, abs(slope)):
        raise Broken(
            f"The gradient of {what} is wrong: along one direction autograd says "
            f"{claimed:.6g}, the results themselves change by {slope:.6g} per unit. "
            "A part of the path back is cut (a detach between two layers, a returned "
            "copy).",
            "gradient",
        )


def _input_gradients(cases: ModuleCases, subject: Subject, draw: Draw) -> None:
    sizes = cases.sizes[0]
    for method in cases.methods:
        _again(partial(_inputs_once, cases, subject, draw, method, sizes))


def _inputs_once(
    cases: ModuleCases,
    subject: Subject,
    draw: Draw,
    method: Method,
    sizes: Sizes,
    step: float,
    near: float,
) -> None:
    module = cases.ready(subject, sizes, draw)
    args = method.inputs(draw, sizes)
    pull = [draw.sign(*shape_of(s, sizes)) for s in method.parts]
    grads = module.vjp(args, range(len(args)), pull, method=method.name).grads
    for i, (param, grad) in enumerate(zip(method.takes, grads, strict=True)):
        if param not in (cases.differentiable or method.takes):
            continue
        way = draw.normal(*args[i].shape)
        ends = []
        for move in (step, -step):
            moved = [a + move * way if j == i else a for j, a in enumerate(args)]
            ends.append(_weighed(_called(cases, module, method, moved, sizes), pull))
        what = f"{cases.tried(sizes, method)} with respect to {param}"
        found = "input-detached" if grad is None else "gradient-cut"
        with otherwise(sign(found, param)):
            slope = (ends[0] - ends[1]) / (2 * step)
            _same_slope(grad, way, slope, what, near)


def _every_parameter(cases: ModuleCases, subject: Subject, draw: Draw) -> None:
    sizes = cases.sizes[0]
    module = cases.ready(subject, sizes, draw)
    reached: set[str] = set()
    for method in cases.methods:
        reached |= _reached(module, method, draw, sizes)
    idle = [name for name in module.parameters() if name not in reached]
    if idle:
        raise Broken(
            f"The parameter {idle[0]} of {cases.tried(sizes)} gets no gradient from "
            "any method: a layer that is made and never used, or one that is frozen.",
            "gradient",
            sign=sign("unused-layer", idle[0]),
        )


def _reached(module: Module, method: Method, draw: Draw, sizes: Sizes) -> set[str]:
    """The parameters that a method's results depend on, as autograd sees it."""
    pull = [draw.sign(*shape_of(s, sizes)) for s in method.parts]
    args = method.inputs(draw, sizes)
    grads = module.vjp(args, (), pull, method=method.name).state_grads
    return {name for name, grad in grads.items() if grad is not None}


def _curved(cases: ModuleCases, subject: Subject, draw: Draw) -> None:
    """Where a result is g(a·x + b), for any g, its gradients in x are parallel to a."""
    sizes = {**cases.sizes[0], "batch": 16}
    straight = []
    for method in map(cases.method, cases.curved):
        flat = []
        for place in range(len(method.parts)):
            bends = partial(_bends, cases, subject, draw, method, place, sizes)
            if not any(bends(size) for size in _STEEP):
                flat.append(place)
        if flat:
            straight.append(_linear(cases.tried(sizes, method), method, flat))
    if straight:  # all are looked at: which ones, tells one mistake from another
        raise straight[0]


_STEEP = (1.0, 1.0, 4.0, 16.0, 64.0)  # weights, until units are driven over their kinks


def _linear(what: str, method: Method, flat: Sequence[int]) -> Broken:
    names = [method.results[place] for place in flat] if method.results else [what]
    one = set(names) in ({"mu"}, {"log_var"})
    label = "past-the-hidden-layer" if one else "no-nonlinearity"
    return Broken(
        f"{what} is a linear map of its input, perhaps with something elementwise at "
        "the end. Without a nonlinearity between two layers they are worth one layer.",
        "value",
        sign=sign(label, " and ".join(names)),
    )


def _bends(
    cases: ModuleCases,
    subject: Subject,
    draw: Draw,
    method: Method,
    place: int,
    sizes: Sizes,
    size: float,
) -> bool:
    module = cases.build(subject, sizes).to(dtype="float64").train(False)
    renew(module, draw, size)
    args = tuple(2 * a for a in method.inputs(draw, sizes))
    shapes = [shape_of(s, sizes) for s in method.parts]
    for unit in range(min(3, shapes[place][-1])):
        pull = [torch.zeros(s, dtype=torch.float64) for s in shapes]
        pull[place][..., unit] = 1.0
        grad = module.vjp(args, (0,), pull, method=method.name).grads[0]
        if grad is None:
            return True  # the law of gradients is about that
        rows = grad.to(torch.float64).reshape(-1, grad.shape[-1])
        rows = rows[rows.norm(dim=-1) > 1e-12]
        rows = rows / rows.norm(dim=-1, keepdim=True)
        if len(rows) > 1 and float((rows @ rows[0]).abs().min()) < 1 - 1e-6:
            return True
    return False


def _width(cases: ModuleCases, subject: Subject, draw: Draw) -> None:
    for name in cases.wide or cases.curved:
        method, counts = cases.method(name), []
        for hidden in (8, 16):
            sizes = {**cases.sizes[0], "hidden_dim": hidden}
            module = cases.ready(subject, sizes, draw)
            reached = _reached(module, method, draw, sizes)
            kept = module.parameters()
            counts.append(sum(v.numel() for n, v in kept.items() if n in reached))
        if counts[0] and not counts[1] > counts[0]:  # the laws of gradients see a 0
            raise Broken(
                f"{cases.tried(sizes, method)} has {counts[1]} trainable parameters, "
                f"with hidden_dim = 8 it has {counts[0]}: the number should grow "
                "with hidden_dim.",
                "value",
                sign=sign("width-written", cases.tried(sizes, method)),
            )


def _state(cases: ModuleCases, subject: Subject, draw: Draw) -> None:
    sizes = cases.sizes[0]
    one, other = _two(cases, subject, sizes)
    other.load(one.state())
    for method in cases.methods:
        args = method.inputs(draw, sizes)
        expected = _called(cases, one, method, args, sizes)
        what = "after load_state_dict with another instance's state_dict, "
        with otherwise(sign("not-registered")):
            got = other.call(*args, method=method.name)
            _agree(got, expected, what + cases.tried(sizes, method))


def _two(cases: ModuleCases, subject: Subject, sizes: Sizes) -> tuple[Module, Module]:
    """Two instances, their weights drawn under two seeds."""
    one = cases.build(subject, sizes).to(dtype="float64").train(False)
    other = cases.build(subject, sizes, seed=1).to(dtype="float64").train(False)
    return one, other


def _own_weights(cases: ModuleCases, subject: Subject, draw: Draw) -> None:
    sizes = cases.sizes[0]
    one, other = _two(cases, subject, sizes)
    mine, others = one.parameters(), other.parameters()
    for method in cases.methods:
        reached = _reached(one, method, draw, sizes)
        if reached and all(_equal(mine[n], others[n]) for n in reached):
            flat = any(
                v.dim() > 1 and bool((v == v.max()).all()) for v in mine.values()
            )
            raise Broken(
                f"{cases.tried(sizes, method)}: two instances start with the same "
                "weights. Initial weights are random: constants make all hidden units "
                "the same, and a seed set inside takes the choice from the caller.",
                "value",
                sign=sign("constant-weights" if flat else "seed-inside"),
            )
    renew(other, draw)
    after = one.parameters()
    if any(not _equal(mine[n], after[n]) for n in mine):
        raise Broken(
            f"Two instances of {cases.exercise} share their weights: changing one "
            "changes the other. Layers are made in __init__, anew for each instance.",
            "value",
            sign=sign("shared-weights"),
        )


def _dtype(cases: ModuleCases, subject: Subject, draw: Draw) -> None:
    sizes = cases.sizes[0]
    module = cases.build(subject, sizes).train(False)
    renew(module, draw)
    for method in cases.methods:
        args = method.inputs(draw, sizes)
        single = [a.float() for a in args]
        low = module.to(dtype="float32").call(*single, method=method.name)
        _expect_dtype(cases, sizes, method, low, torch.float32)
        high = module.to(dtype="float64").call(*args, method=method.name)
        _expect_dtype(cases, sizes, method, high, torch.float64)
        _expect_digits(cases, module, method, sizes, draw)


def _expect_dtype(
    cases: ModuleCases, sizes: Sizes, method: Method, value: Any, dtype: torch.dtype
) -> None:
    expect_like(value, method.blank(sizes), cases.tried(sizes, method))
    name = str(dtype).removeprefix("torch.")
    for part in _parts(value):
        if part.dtype != dtype:
            raise Broken(
                f"{cases.tried(sizes, method)} has dtype {str(part.dtype)[6:]} "
                f"where the module and its inputs are {name}; the dtype should follow "
                "them.",
                "dtype",
                sign=of_dtypes(part, torch.empty(0, dtype=dtype)),
            )


def _expect_digits(
    cases: ModuleCases, module: Module, method: Method, sizes: Sizes, draw: Draw
) -> None:
    """A step of 1e-8 shows in float64, and doubles with the step; not in float32.

    Where a result does not change with the inputs (behind a ReLU, say), other weights
    and inputs are tried.
    """
    missing = {*range(len(method.parts))}
    for _ in range(8):
        missing -= _showing(module, method, method.inputs(draw, sizes), draw)
        if not missing:
            return
        renew(module, draw)
    raise Broken(
        f"{cases.tried(sizes, method)}: a small step of the inputs (1e-8) does not "
        "show in the results as it should in float64. Either a float32 is written into "
        "the code (.float(), dtype=torch.float32), or a result does not change with "
        "the inputs at all.",
        "dtype",
        sign=sign("float32-inside"),
    )


def _showing(
    module: Module, method: Method, args: Sequence[Tensor], draw: Draw
) -> set[int]:
    """The results in which a small step of the inputs shows in float64."""
    ways = [draw.sign(*a.shape) for a in args]
    here = _parts(module.call(*args, method=method.name))
    moved = []
    for step in (1e-8, 2e-8):
        near = [a + step * w for a, w in zip(args, ways, strict=True)]
        there = _parts(module.call(*near, method=method.name))
        moved.append([t - h for t, h in zip(there, here, strict=True)])
    return {
        place
        for place, (once, twice) in enumerate(zip(*moved, strict=True))
        if float(twice.norm()) > 0
        and float((twice - 2 * once).norm()) < 1e-2 * float(twice.norm())
    }


def _device(cases: ModuleCases, subject: Subject, draw: Draw) -> None:
    sizes = cases.sizes[0]
    for method in cases.methods:
        args = [a.float() for a in method.inputs(draw, sizes)]
        what = cases.tried(sizes, method)
        moved = cases.build(subject, sizes).train(False).to(device="meta")
        try:
            got = moved.call(*(a.to("meta") for a in args), method=method.name)
            expect_shapes(cases, method, got, sizes, "meta")
        except SubjectError as error:
            if error.final:
                raise
            if not needs_values(error):
                raise _elsewhere(what, error) from None
            _with_values(cases, subject, method, args, sizes)


def _with_values(
    cases: ModuleCases,
    subject: Subject,
    method: Method,
    args: Sequence[Tensor],
    sizes: Sizes,
) -> None:
    what = cases.tried(sizes, method)
    module = cases.build(subject, sizes).train(False)
    try:
        got = module.on_another_device(*args, method=method.name)
    except SubjectError as error:
        raise _elsewhere(what, error) from None
    expect_like(got, method.blank(sizes), what)


def _elsewhere(what: str, error: SubjectError) -> Broken:
    return Broken(
        f"{what} fails where module and inputs were moved to another device (a "
        f"GPU){because(error.message)}. Make new tensors where the inputs are "
        "(zeros_like, device=x.device), and register layers and parameters as "
        "attributes so that .to() moves them.",
        "device",
        sign=sign("cpu-tensor"),
    )


# --- examinations ---------------------------------------------------------------------


def ignored_input(cases: ModuleCases, subject: Subject, draw: Draw) -> Sign | None:
    """Whether a method gives the same for two different inputs."""
    sizes = cases.sizes[0]
    module = cases.ready(subject, sizes, draw)
    for method in cases.methods:
        one = module.call(*method.inputs(draw, sizes), method=method.name)
        other = module.call(*method.inputs(draw, sizes), method=method.name)
        if _same_parts(one, other):
            return sign("ignores-input", cases.tried(sizes, method))
    return None


_MODULE_LAWS: tuple[tuple[str, str, Check], ...] = (
    (
        "shapes",
        "types and shapes are those of the contract, for several sizes",
        _shapes,
    ),
    ("keywords", "the arguments keep their names", _keywords),
    ("rows", "a row's result does not depend on the other rows of its batch", _rows),
    ("modes", "two calls agree, in training mode and in evaluation mode", _modes),
    ("traces", "inputs stay unchanged, and no call changes a later one", _traces),
    (
        "parameter gradients",
        "the gradient in each parameter is that of the results",
        _parameter_gradients,
    ),
    (
        "input gradients",
        "the gradient in each input is that of the results",
        _input_gradients,
    ),
    ("every parameter", "every parameter learns", _every_parameter),
    ("curved", "there is a nonlinearity between the layers", _curved),
    ("width", "hidden_dim sets the width of each network", _width),
    ("state", "state_dict holds all that the results depend on", _state),
    ("own weights", "each instance has random weights of its own", _own_weights),
    ("dtype", "the dtype follows the module and its inputs", _dtype),
    ("device", "the result is on the device of the module and its inputs", _device),
)
_MANNERS = ("keywords", "dtype", "device")
