"""A model as plain data: its steps in a list, its weights by name, and no code.

A learner's VAE is Python; whoever recomputes its numbers should not have to run that.
So a run folder holds the *program*: what `model(x, eps)` did, step by step, each step
an operation of a fixed table with the names of its weights. It is checked against the
model when written; read back, it needs the table alone. And it shows what no weights
can: that mu and log_var do not see the noise, and that the decoder sees one code and
nothing else (it is run code by code, through `vmap`; else an average over the samples
of z would find out the image's own mu, and the "likelihood" would be none).

What belongs here: recording a program, its JSON, running it. What does not: judging.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from vae_edu.errors import CourseError, one_line
from vae_edu.models import log_ratio

__all__ = ["FactoredProgram", "LeakError", "Program", "ProgramError"]

MOST_STEPS = 1_000
MOST_VALUES = 1 << 16  # in one intermediate result, for one code: no bombs


class ProgramError(CourseError):
    """A model does something that the table of operations does not have."""


# Elementwise functions of one tensor, by torch's own name.
UNARY = (
    *("abs", "cos", "exp", "expm1", "log", "log1p", "neg", "reciprocal", "rsqrt"),
    *("sigmoid", "sin", "sqrt", "square", "tanh"),
)
ACTIVATIONS = (
    *("elu", "gelu", "hardtanh", "leaky_relu", "mish", "relu", "selu", "silu"),
    "softplus",
)
OPERATIONS: Mapping[str, Callable[..., Any]] = {
    **{name: getattr(torch, name) for name in UNARY},
    **{name: getattr(functional, name) for name in ACTIVATIONS},
    "add": torch.add,
    "sub": torch.sub,
    "rsub": lambda a, b: b - a,
    "mul": torch.mul,
    "div": torch.div,
    "rdiv": lambda a, b: b / a,
    "pow": torch.pow,
    "clamp": torch.clamp,
    "matmul": torch.matmul,
    "linear": functional.linear,
    "layer_norm": functional.layer_norm,
    "cat": torch.cat,
    "chunk": torch.chunk,
    "split": lambda a, *sizes, **dim: torch.split(a, *sizes, **dim),
    "getitem": lambda a, index: a[index],
    "reshape": lambda a, *shape: a.reshape(*shape),
    "flatten": torch.flatten,
    "unflatten": torch.unflatten,
    "unsqueeze": torch.unsqueeze,
    "squeeze": torch.squeeze,
    "transpose": torch.transpose,
    "t": torch.t,
    "mT": lambda a: a.mT,
    "expand": lambda a, *shape: a.expand(*shape),
    "expand_as": lambda a, b: a.expand_as(b),
}
SPELLINGS = {  # other names of the same
    "view": "reshape",
    "concat": "cat",
    "concatenate": "cat",
    "multiply": "mul",
    "subtract": "sub",
    "divide": "div",
    "true_divide": "div",
    "negative": "neg",
    "T": "t",
    "swapaxes": "transpose",
    "relu_": "relu",
    "clip": "clamp",
}
UNCHANGED = ("dropout", "float", "to", "contiguous", "clone", "type_as")  # in eval mode


class LeakError(ProgramError):
    """A decoder sees more than the code, or an encoder the noise."""


class Step(NamedTuple):
    """results = operation(*args, **kwargs); tensors among them by number or name."""

    op: str
    args: list[Any]
    kwargs: dict[str, Any]
    results: list[int]


# --- recording --------------------------------------------------------------------


class _Recorder(TorchFunctionMode):
    """Writes down each call of torch while a model runs."""

    def __init__(self, model: nn.Module, x: Tensor, eps: Tensor) -> None:
        super().__init__()
        named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        kept = set(model.state_dict())
        self.places: dict[int, Any] = {
            id(v): {"weight": k} for k, v in named.items() if k in kept
        }
        self.alive: list[Tensor] = [x, eps]  # so that no id is given twice
        self.steps: list[Step] = []
        self.places |= {id(x): {"value": 0}, id(eps): {"value": 1}}
        self.count = 2

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        outs = list(out) if isinstance(out, tuple | list) else [out]
        if not any(isinstance(o, Tensor) for o in outs):
            return out  # a question about shape, dtype or device
        name = _name(func)
        if name in UNCHANGED and args and isinstance(args[0], Tensor):
            self._keep(out, self._place(args[0]))
            return out
        if name not in OPERATIONS:
            raise ProgramError(f"the operation {name!r} is not in the table")
        self._write(name, args, kwargs, outs)
        return out

    def _write(self, name: str, args: Any, kwargs: Any, outs: list[Tensor]) -> None:
        literal = {k: self._place(v) for k, v in kwargs.items() if k != "inplace"}
        if name in ACTIVATIONS:  # (input, ..., inplace) by position
            args = [a for a in args if not isinstance(a, bool)]
        numbers = list(range(self.count, self.count + len(outs)))
        self.steps.append(Step(name, [self._place(a) for a in args], literal, numbers))
        self.count += len(outs)
        for number, out in zip(numbers, outs, strict=True):
            self._keep(out, {"value": number})

    def _keep(self, out: Tensor, place: Any) -> None:
        self.places[id(out)] = place
        self.alive.append(out)

    def _place(self, value: Any) -> Any:
        """Return an argument as JSON has it."""
        if isinstance(value, Tensor):
            if id(value) not in self.places:
                raise ProgramError("it uses a tensor that is no weight of the model")
            return self.places[id(value)]
        if isinstance(value, slice):
            return {"slice": [value.start, value.stop, value.step]}
        if isinstance(value, tuple):
            return {"tuple": [self._place(v) for v in value]}
        if isinstance(value, list):
            return [self._place(v) for v in value]
        if value is Ellipsis:
            return {"ellipsis": True}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise ProgramError(f"an argument is a {type(value).__name__}")


def _name(func: Any) -> str:
    """Torch's function, method, operator or property -> its name in the table."""
    name = getattr(func, "__name__", str(func))
    if name == "__get__":
        name = getattr(func.__self__, "__name__", name)
    name = name.removeprefix("__").removesuffix("__")
    for reflected in ("rsub", "rdiv", "rtruediv"):
        if name == reflected:
            return name.replace("true", "")
    if name.startswith("r") and name[1:] in ("add", "mul"):
        name = name[1:]
    name = name.replace("truediv", "div")
    return SPELLINGS.get(name, name)


SIZES = {"A": (7, 3), "B": (11, 5)}  # samples and images of the two recordings


def _merge(a: Any, b: Any) -> Any:
    """Unify two recordings; where numbers differ they must be sizes of the batch."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return {key: _merge(a[key], b[key]) for key in a}
    both_lists = isinstance(a, list | tuple) and isinstance(b, list | tuple)
    if both_lists and len(a) == len(b):
        return [_merge(x, y) for x, y in zip(a, b, strict=True)]
    if type(a) is type(b) and a == b:
        return a
    (k_a, n_a), (k_b, n_b) = SIZES.values()
    sizes = {
        (n_a, n_b): {"size": "batch"},
        (k_a, k_b): {"size": "samples"},
        (k_a * n_a, k_b * n_b): {"size": "rows"},
    }
    if isinstance(a, int) and isinstance(b, int) and (a, b) in sizes:
        return sizes[a, b]
    raise ProgramError("what it does depends on the batch")


def _record(
    model: nn.Module, input_dim: int, latent_dim: int, sizes: tuple[int, int]
) -> tuple[list[Step], list[Any]]:
    samples, batch = sizes
    like = next(model.parameters(), torch.empty(0))
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(batch, input_dim, generator=generator).to(like)
    eps = torch.randn(samples, batch, latent_dim, generator=generator).to(like)
    recorder = _Recorder(model, x, eps)
    try:
        with recorder:
            outputs = model(x, eps)
    except ProgramError:
        raise
    except Exception as error:
        raise ProgramError(f"model(x, eps) fails: {one_line(error)}") from error
    return recorder.steps, [recorder._place(out) for out in outputs]


# --- a program --------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Program:
    """A model's steps and weights; runs as model(x, eps) -> (logits, mu, log_var, z).

    Values 0 and 1 are x and eps; outputs are the numbers of logits, mu, log_var and z.
    """

    input_dim: int
    latent_dim: int
    steps: Sequence[Step]
    outputs: Sequence[int]
    weights: Mapping[str, Tensor]

    @staticmethod
    def trace(model: nn.Module, input_dim: int, latent_dim: int) -> Program:
        """Record a model in eval mode, and check the record against the model.

        Raises ProgramError where it does something that the table does not have, its
        decoder sees more than the code, or the record gives other numbers.
        """
        was = model.training
        model.eval()
        try:
            with torch.no_grad():
                program = _traced(model, input_dim, latent_dim)
                _expect_same(program, model)
        finally:
            model.train(was)
        return program

    @staticmethod
    def from_json(description: Any, weights: Mapping[str, Tensor]) -> Program:
        """Read what `to_json` wrote; nothing in it can do more than the table does.

        Raises ProgramError for an operation, a size or a weight that does not do.
        """
        try:
            steps = [Step(*step) for step in description["steps"]]
            input_dim, latent_dim = description["input_dim"], description["latent_dim"]
            outputs = description["outputs"]
            _expect_sound(steps, outputs, weights)
            program = _factored(
                Program(int(input_dim), int(latent_dim), steps, outputs, weights)
            )
            program._expect_flow()
            _expect_small(program)
        except ProgramError:
            raise
        except Exception as error:  # a foreign file: whatever is wrong with it
            raise ProgramError(
                f"it is no program of a VAE ({one_line(error)})"
            ) from error
        return program

    def to_json(self) -> dict[str, Any]:
        """Return the program as plain data, weights by name."""
        return {
            "input_dim": self.input_dim,
            "latent_dim": self.latent_dim,
            "steps": [list(step) for step in self.steps],
            "outputs": list(self.outputs),
        }

    def __call__(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (logits, mu, log_var, z); eps: (batch, latent) or with k before it."""
        mu, log_var = self.encode(x)
        z = mu + (0.5 * log_var).exp() * eps
        return self.decode(z), mu, log_var, z

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and log_var, (batch, latent) each."""
        mu, log_var = self._run(self.outputs[1:3], {0: x}, (1, len(x)))
        return mu, log_var

    def decode(self, z: Tensor) -> Tensor:
        """Return the logits of pixels; z: (..., latent) -> (..., input)."""
        return self._from_codes(self.outputs[0], z)

    def _from_codes(self, wanted: int, z: Tensor) -> Tensor:
        """Compute a value from z (..., latent), each code by itself."""

        def one(code: Tensor) -> Tensor:
            given = {self.outputs[3]: code.view(1, 1, -1)}
            return self._run([wanted], given, (1, 1))[0].view(-1)

        each: Tensor = torch.func.vmap(one)(z.reshape(-1, z.shape[-1]))
        return each.view(*z.shape[:-1], -1)

    def sample(self, z: Tensor) -> Tensor:
        """Return the probabilities of pixels; z: (..., latent) -> (..., input)."""
        return torch.sigmoid(self.decode(z))

    def _run(
        self,
        wanted: Sequence[int],
        given: Mapping[int, Tensor],
        sizes: tuple[int, int],
    ) -> list[Tensor]:
        """Run the steps that the wanted values need, from the given ones alone."""
        values: dict[int, Any] = dict(given)
        for step in self._needed(wanted, frozenset(given)):
            args = [self._argument(a, values, sizes) for a in step.args]
            kwargs = {
                k: self._argument(v, values, sizes) for k, v in step.kwargs.items()
            }
            out = OPERATIONS[step.op](*args, **kwargs)
            outs = list(out) if isinstance(out, tuple | list) else [out]
            values.update(zip(step.results, outs, strict=True))
        return [values[number] for number in wanted]

    def _needed(self, wanted: Sequence[int], given: frozenset[int]) -> list[Step]:
        """Return the steps between; ProgramError where they need another input."""
        open_numbers, steps = set(wanted) - given, []
        for step in reversed(self.steps):
            if open_numbers.intersection(step.results):
                steps.append(step)
                open_numbers -= set(step.results)
                open_numbers |= set(_numbers([step.args, step.kwargs])) - given
        if open_numbers:
            raise LeakError(_FLOW)
        return steps[::-1]

    def _expect_flow(self) -> None:
        """The code must come from x alone, and the logits from the code alone."""
        self._needed(self.outputs[1:3], frozenset({0}))
        self._needed(self.outputs[:1], frozenset({self.outputs[3]}))

    def _argument(
        self, value: Any, values: Mapping[int, Tensor], sizes: tuple[int, int]
    ) -> Any:
        """JSON -> what the operation takes."""
        if isinstance(value, list):
            return [self._argument(v, values, sizes) for v in value]
        if not isinstance(value, dict):
            return value
        ((kind, what),) = value.items()
        if kind == "value":
            return values[what]
        if kind == "weight":
            return self.weights[what]
        if kind == "size":
            samples, batch = sizes
            return {"batch": batch, "samples": samples, "rows": samples * batch}[what]
        if kind == "tuple":
            return tuple(self._argument(v, values, sizes) for v in what)
        if kind == "slice":
            return slice(*what)
        return {"ellipsis": Ellipsis}[kind]


_FLOW = (
    "its logits depend on more than the code z (or mu and log_var on more than x): a "
    "decoder that sees the image has no likelihood p(x|z)"
)


class FactoredProgram(Program):
    """A program that ends in logits = h Wᵀ + b, with W and b weights of the model."""

    @property
    def output_layer(self) -> tuple[Tensor, Tensor]:
        """Weight (input, hidden) and bias (input,)."""
        weight, bias = self._last().args[1:3]
        return self.weights[weight["weight"]], self.weights[bias["weight"]]

    def features(
        self, code: tuple[Tensor, Tensor], eps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the last hidden layer, and log p(z) − log q(z|x)."""
        mu, log_var = code
        z = mu + (0.5 * log_var).exp() * eps
        hidden = self._last().args[0]["value"]
        return self._from_codes(hidden, z), log_ratio(z, mu, log_var)

    def _last(self) -> Step:
        return next(s for s in self.steps if self.outputs[0] in s.results)


# --- what is checked --------------------------------------------------------------


def _traced(model: nn.Module, input_dim: int, latent_dim: int) -> Program:
    first, second = (
        _record(model, input_dim, latent_dim, sizes) for sizes in SIZES.values()
    )
    steps = [Step(*step) for step in _merge(first[0], second[0])]
    outputs = _merge(first[1], second[1])
    if len(outputs) != 4 or not all("value" in out for out in outputs):
        raise ProgramError("model(x, eps) does not give (logits, mu, log_var, z)")
    weights = {k: v.detach() for k, v in model.state_dict().items()}
    numbers = [out["value"] for out in outputs]
    program = _factored(Program(input_dim, latent_dim, steps, numbers, weights))
    program._expect_flow()
    return program


def _factored(program: Program) -> Program:
    """Return the same as a FactoredProgram, if a linear layer with a bias ends it."""
    last = next((s for s in program.steps if program.outputs[0] in s.results), None)
    if last is None or last.op != "linear" or last.kwargs or len(last.args) != 3:
        return program
    h, weight, bias = (arg if isinstance(arg, dict) else {} for arg in last.args)
    if "value" not in h or "weight" not in weight or "weight" not in bias:
        return program
    return FactoredProgram(
        program.input_dim,
        program.latent_dim,
        program.steps,
        program.outputs,
        program.weights,
    )


def _expect_same(program: Program, model: nn.Module) -> None:
    """The record must give the model's numbers on an input it was not made with."""
    generator = torch.Generator().manual_seed(1)
    like = next(iter(program.weights.values()), torch.empty(0))
    x = torch.rand(4, program.input_dim, generator=generator).to(like)
    eps = torch.randn(2, 4, program.latent_dim, generator=generator).to(like)
    names = ("logits", "mu", "log_var", "z")
    for name, own, other in zip(names, program(x, eps), model(x, eps), strict=True):
        if own.shape != other.shape or not torch.allclose(
            own, other, rtol=1e-4, atol=1e-4
        ):
            raise ProgramError(f"its {name} is not what the recorded steps give")


def _numbers(value: Any) -> Iterator[int]:
    """Every {"value": number} within a piece of JSON."""
    if isinstance(value, dict):
        if "value" in value:
            yield value["value"]
        for part in value.values():
            yield from _numbers(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _numbers(part)


def _expect_sound(
    steps: Sequence[Step], outputs: Any, weights: Mapping[str, Tensor]
) -> None:
    if len(steps) > MOST_STEPS or len(outputs) != 4:
        raise ProgramError(f"{len(steps)} steps, {len(outputs)} outputs")
    known = {0, 1}
    for step in steps:
        if step.op not in OPERATIONS:
            raise ProgramError(f"the operation {step.op!r} is not in the table")
        if not known.issuperset(_numbers([step.args, step.kwargs])):
            raise ProgramError("a step uses a value that comes later")
        if known.intersection(step.results):
            raise ProgramError("a step gives a value that is there already")
        known |= set(step.results)
    if not known.issuperset(outputs):
        raise ProgramError("an output is never computed")


def _expect_small(program: Program) -> None:
    """Run it without memory, on shapes alone; each value within its limit."""
    shapes = {k: v.to("meta") for k, v in program.weights.items()}
    dry = Program(
        program.input_dim, program.latent_dim, program.steps, program.outputs, shapes
    )
    x = torch.empty(3, program.input_dim, device="meta")
    z = torch.empty(2, 3, program.latent_dim, device="meta")
    with _Limit(6 * MOST_VALUES):
        mu, log_var = dry.encode(x)
        logits = dry.decode(z)
    expected = (3, program.latent_dim)
    if (mu.shape, log_var.shape) != (expected, expected):
        raise ProgramError(f"mu has the shape {tuple(mu.shape)}, expected {expected}")
    if logits.shape != (2, 3, program.input_dim):
        raise ProgramError(f"logits have the shape {tuple(logits.shape)}")


class _Limit(TorchFunctionMode):
    """Refuses a result of too many values."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.numel() > self.most:
            raise ProgramError(f"a step makes {out.numel():,} values of 6 codes")
        return out
