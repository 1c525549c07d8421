"""A model as plain data: its steps in a list, its weights by name, and no code.

A learner's VAE is Python; whoever recomputes its numbers should not have to run that.
So a run folder holds the *program*: what `model(x, eps)` did, step by step, each step
an operation of a fixed table with the names of its weights. It is checked against the
model when written; read back, it needs the table alone. And it shows what no weights
can: that mu and log_var do not see the noise, and that the decoder sees one code and
nothing else (each image and each code is run by itself, through `vmap`; else an average
over the samples of z would find out the image's own mu, and the "likelihood" would be
none).

What belongs here: a program, its JSON, checking and running it. What does not:
recording a model (`recording`), the table (`operations`), judging.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from vae_edu.errors import one_line
from vae_edu.models import log_ratio
from vae_edu.operations import (
    LeakError,
    ProgramError,
    Step,
    known,
    numbers_in,
    operation,
)
from vae_edu.recording import IMAGE, record

__all__ = ["FactoredProgram", "LeakError", "Program", "ProgramError"]

MOST_STEPS = 1_000
MOST_VALUES = 1 << 18  # in one intermediate result, for one code: no bombs
MOST_OF_WEIGHTS = 1 << 25  # in one that is made of weights alone


@dataclass(frozen=True, eq=False)
class Program:
    """A model's steps and weights; runs as model(x, eps) -> (logits, mu, log_var, z).

    The steps are those for one image, value 0 of shape (1, input), and one code, the
    last of the outputs, (1, 1, latent). outputs: the numbers of logits, mu, log_var, z.
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
        was = {part: part.training for part in model.modules()}
        model.eval()
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                program = _traced(model, input_dim, latent_dim)
                _expect_same(program, model)
        except ProgramError:
            raise
        except Exception as error:
            raise ProgramError(
                f"what it does cannot be done code by code ({one_line(error)})"
            ) from error
        finally:
            for part, training in was.items():
                part.training = training
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
            _expect_sound(steps, outputs)
            program = Program(int(input_dim), int(latent_dim), steps, outputs, weights)
            program = _checked(program)
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
        mu, log_var = self._each(self.outputs[1:3], IMAGE, (1, -1), x)
        return mu, log_var

    def decode(self, z: Tensor) -> Tensor:
        """Return the logits of pixels; z: (..., latent) -> (..., input)."""
        return self._from_codes(self.outputs[0], z)

    def sample(self, z: Tensor) -> Tensor:
        """Return the probabilities of pixels; z: (..., latent) -> (..., input)."""
        return torch.sigmoid(self.decode(z))

    def _from_codes(self, wanted: int, z: Tensor) -> Tensor:
        """Compute a value from z (..., latent), each code by itself."""
        rows = z.reshape(-1, z.shape[-1])
        (each,) = self._each([wanted], self.outputs[3], (1, 1, -1), rows)
        return each.view(*z.shape[:-1], -1)

    def _each(
        self, wanted: Sequence[int], given: int, shape: Sequence[int], rows: Tensor
    ) -> list[Tensor]:
        """The wanted values from each row by itself, flat: (rows, values) each."""

        def one(row: Tensor) -> list[Tensor]:
            return [v.reshape(-1) for v in self._run(wanted, given, row.view(*shape))]

        found: list[Tensor] = torch.func.vmap(one)(rows)
        return found

    def _run(
        self,
        wanted: Sequence[int],
        given: int,
        value: Tensor,
        seen: Callable[[Tensor], object] = lambda out: None,
    ) -> list[Tensor]:
        """Run the steps that the wanted values need, from the given one alone.

        seen: is shown each intermediate result.
        """
        steps = self._needed(wanted, given)
        values: dict[int, Any] = {**self.fixed, given: value}
        last = {n: at for at, s in enumerate(steps) for n in numbers_in(s)}
        for at, step in enumerate(steps):
            outs = self._results(step, values)
            values.update(zip(step.results, outs, strict=True))
            for out in outs:
                seen(out)
            for number in set(numbers_in(step)).difference(wanted):
                if last[number] == at:  # thousands of codes: memory is scarce
                    values.pop(number, None)
        return [values[number] for number in wanted]

    def _results(self, step: Step, values: Mapping[int, Any]) -> list[Tensor]:
        args = [self._argument(a, values) for a in step.args]
        kwargs = {k: self._argument(v, values) for k, v in step.kwargs.items()}
        out = operation(step.op)(*args, **kwargs)
        return list(out) if isinstance(out, tuple | list) else [out]

    @cached_property
    def width(self) -> int:
        """How many numbers the largest intermediate value of one code has."""
        return _dry_width(self)

    @cached_property
    def fixed(self) -> Mapping[int, Tensor]:
        """The values that the weights alone decide, by number: computed once."""
        values: dict[int, Tensor] = {}
        inputs = {IMAGE, 1, self.outputs[3]}
        for step in self.steps:
            ours = not inputs.intersection(step.results)
            if ours and values.keys() >= set(numbers_in(step)):
                outs = self._results(step, values)
                values.update(zip(step.results, outs, strict=True))
        return values

    def _needed(self, wanted: Sequence[int], given: int) -> list[Step]:
        """Return the steps between; LeakError where they need another input."""
        there = {given, *self.fixed}
        open_numbers, steps = set(wanted) - there, []
        for step in reversed(self.steps):
            if open_numbers.intersection(step.results):
                steps.append(step)
                open_numbers -= set(step.results)
                open_numbers |= set(numbers_in(step)) - there
        if open_numbers:
            raise LeakError
        return steps[::-1]

    def _argument(self, value: Any, values: Mapping[int, Tensor]) -> Any:
        """JSON -> what the operation takes."""
        if isinstance(value, list):
            return [self._argument(v, values) for v in value]
        if not isinstance(value, dict):
            return value
        ((kind, what),) = value.items()
        if kind == "value":
            return values[what]
        if kind == "weight":
            return self.weights[what]
        if kind == "tuple":
            return tuple(self._argument(v, values) for v in what)
        if kind == "slice":
            return slice(*what)
        if kind == "dtype":
            return DTYPES[what]
        # "size": of the batch, in run folders of the first form; it is 1 here
        return {"size": 1, "ellipsis": Ellipsis}[kind]


DTYPES = {
    name: getattr(torch, name)
    for name in ("float32", "int64", "int32", "int16", "int8", "uint8", "bool")
}


class FactoredProgram(Program):
    """A program that ends in logits = h Wᵀ + b, with W and b made of weights alone."""

    @property
    def output_layer(self) -> tuple[Tensor, Tensor]:
        """Weight (input, hidden) and bias (input,)."""
        return self._last.weight, self._last.bias

    def features(
        self, code: tuple[Tensor, Tensor], eps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the last hidden layer, and log p(z) − log q(z|x)."""
        mu, log_var = code
        z = mu + (0.5 * log_var).exp() * eps
        return self._from_codes(self._last.hidden, z), log_ratio(z, mu, log_var)

    @cached_property
    def _last(self) -> LastLayer:
        found = last_layer(self)
        assert found is not None  # `_checked` made it this class for that
        return found


# --- the last layer ---------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LastLayer:
    """logits = value `hidden` · weightᵀ + bias; weight: (input, hidden)."""

    hidden: int
    weight: Tensor
    bias: Tensor


def last_layer(program: Program) -> LastLayer | None:
    """Find the product that ends a program, if reshapes and sums alone follow it.

    The logits of one code are a row, so a reshape leaves them as they are.
    """
    made_by = {n: step for step in program.steps for n in step.results}
    weight = next(iter(program.weights.values()), torch.empty(0))
    bias = weight.new_zeros(program.input_dim, dtype=torch.float32)
    number = program.outputs[0]
    while (step := made_by.get(number)) is not None and not step.kwargs:
        tensors = [_Part(program, a) for a in step.args if isinstance(a, dict)]
        open_parts = [part for part in tensors if part.value is None]
        if len(open_parts) != 1:
            return None
        added = [part.value for part in tensors if part.value is not None]
        if step.op in ("linear", "aten.addmm.default", "aten.mm.default"):
            return _product(step.op, open_parts[0].number, added, bias)
        if step.op == "aten.add.Tensor" and len(added) == 1:
            if added[0].numel() not in (1, program.input_dim):
                return None
            bias = bias + added[0].reshape(-1)
        elif step.op != "aten.reshape.default":
            return None
        number = open_parts[0].number
    return None


class _Part:
    """A tensor among a step's arguments: its number, and its value where fixed."""

    def __init__(self, program: Program, argument: Mapping[str, Any]) -> None:
        self.number: int = argument.get("value", -1)
        weight = argument.get("weight")
        self.value: Tensor | None = (
            program.fixed.get(self.number)
            if weight is None
            else program.weights[weight]
        )


def _product(
    op: str, hidden: int, added: Sequence[Tensor], bias: Tensor
) -> LastLayer | None:
    """Read the product of a step; None where the sizes are no last layer's."""
    matrix = added[0] if op == "linear" else added[-1].mT
    own = added[1:] if op == "linear" else added[:-1]
    if hidden < 0 or matrix.ndim != 2 or len(matrix) != len(bias):
        return None
    if any(b.numel() not in (1, len(bias)) for b in own):
        return None
    return LastLayer(hidden, matrix, bias + sum(b.reshape(-1) for b in own))


# --- what is checked --------------------------------------------------------------


def _traced(model: nn.Module, input_dim: int, latent_dim: int) -> Program:
    made = record(model, input_dim, latent_dim)
    return _checked(
        Program(input_dim, latent_dim, made.steps, made.outputs, made.weights)
    )


def _checked(program: Program) -> Program:
    """Check flow and sizes; return a FactoredProgram where a last layer is found."""
    _dry_width(program)
    if len(program.steps) > MOST_STEPS:
        raise ProgramError(f"it takes {len(program.steps):,} steps")
    if last_layer(program) is None:
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
    like = next(iter(model.parameters()), torch.empty(0))
    x = torch.rand(4, program.input_dim, generator=generator).to(like.device)
    eps = torch.randn(2, 4, program.latent_dim, generator=generator).to(like.device)
    try:
        theirs = model(x, eps)
    except Exception as error:
        raise ProgramError(
            f"model(x, eps) fails for 4 images and an eps of (2, 4, "
            f"{program.latent_dim}): {one_line(error)}",
            "make it work for several codes an image",
        ) from error
    pairs = zip(("logits", "mu", "log_var", "z"), program(x, eps), theirs, strict=True)
    for name, own, other in sorted(pairs, key=lambda pair: pair[0] == "logits"):
        if own.shape != other.shape or not torch.allclose(
            own, other.to(own), rtol=1e-4, atol=1e-4
        ):
            raise ProgramError(_DIFFERS.format(name), _ALONE)


_DIFFERS = (
    "its {} for several images or codes at once is not what it is for each alone "
    "(or what it does depends on values, or z is not mu + exp(log_var / 2) eps)"
)
_ALONE = (
    "treat each image and each code alone, the same way whatever its values, and take "
    "z = mu + exp(log_var / 2) * eps"
)


def _expect_sound(steps: Sequence[Step], outputs: Any) -> None:
    if len(steps) > MOST_STEPS or len(outputs) != 4:
        raise ProgramError(f"{len(steps)} steps, {len(outputs)} outputs")
    made = [number for step in steps for number in step.results]
    there = {IMAGE, 1} | ({outputs[3]} - set(made))
    for step in steps:
        if not known(step.op):
            raise ProgramError(f"the operation {step.op!r} is not in the table")
        if not there.issuperset(numbers_in(step)):
            raise ProgramError("a step uses a value that comes later")
        if there.intersection(step.results):
            raise ProgramError("a step gives a value that is there already")
        there |= set(step.results)
    if not there.issuperset(outputs):
        raise ProgramError("an output is never computed")


def _dry_width(program: Program) -> int:
    """Run a program without memory, on shapes alone; return its largest value's size.

    Raises ProgramError for a value beyond its limit, and for outputs of other sizes.
    """
    weights = {k: v.to("meta") for k, v in program.weights.items()}
    sizes = (program.input_dim, program.latent_dim)
    dry = Program(*sizes, program.steps, program.outputs, weights)
    for value in dry.fixed.values():
        _expect_within(value, MOST_OF_WEIGHTS)
    seen = [0]

    def see(out: Tensor) -> None:
        _expect_within(out, MOST_VALUES)
        seen.append(out.numel())

    logits, mu, log_var, z = program.outputs
    x = torch.empty(1, program.input_dim, device="meta")
    code = torch.empty(1, 1, program.latent_dim, device="meta")
    _expect_sizes(program, *dry._run([mu, log_var], IMAGE, x, see))
    _expect_sizes(program, *dry._run([logits], z, code, see))
    return max(seen)


def _expect_sizes(program: Program, *made: Tensor) -> None:
    size = program.latent_dim if len(made) == 2 else program.input_dim
    names = ("mu", "log_var") if len(made) == 2 else ("logits",)
    for name, value in zip(names, made, strict=True):
        if value.numel() != size:
            raise ProgramError(
                f"{name} has the shape {tuple(value.shape)} for one image and one "
                f"code: expected {size} values",
                "give mu and log_var (batch, latent), and logits (batch, input)",
            )


def _expect_within(value: Tensor, most: int) -> None:
    if value.numel() > most:
        raise ProgramError(
            f"a step makes {value.numel():,} values; at most {most:,} are allowed",
            "make the network smaller",
        )
