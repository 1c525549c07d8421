"""What a model does, written down: for one image and one code, basic operation by
basic operation.

The model is run once, on one image and one code, while PyTorch reports each operation
to `_Recorder`. What it reports is already free of modules, distributions, hooks and
writing in place, and a loop over images has one turn. What depends on the weights alone
(a normalised weight, say) is not written as steps but kept as a tensor.

What belongs here: recording. What does not: checking and running what was recorded
(`program`), the table (`operations`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vae_edu.errors import one_line
from vae_edu.operations import (
    ProgramError,
    Step,
    known,
    learners_line,
    numbers_in,
)

__all__ = ["IMAGE", "NOISE", "Recording", "record"]

IMAGE, NOISE = 0, 1  # the numbers of the two inputs
MOST_RECORDED = 20_000  # operations, most of which are then not needed

# The same numbers in the same order: what of a code is still the code, reshaped.
_RESHAPING = frozenset(
    f"aten.{name}"
    for name in (
        *("reshape.default", "expand.default", "permute.default"),
        *("unsqueeze.default", "squeeze.default", "squeeze.dim", "squeeze.dims"),
        *("transpose.int", "t.default", "select.int", "unbind.int", "slice.Tensor"),
        *("cat.default", "stack.default", "split.Tensor"),
    )
)
_SAME = frozenset(
    f"aten.{name}.default"
    for name in ("alias", "clone", "detach", "lift", "lift_fresh", "lift_fresh_copy")
)
_SHAPE_ALONE = frozenset(  # operations that ask a tensor for its shape, not its values
    f"aten.{name}.default"
    for name in (
        *("zeros_like", "ones_like", "full_like", "empty_like", "new_zeros"),
        *("new_ones", "new_full", "new_empty"),
    )
)
_SPELLINGS = {  # a view would ask how a tensor lies in memory
    "aten.view.default": "aten.reshape.default",
    "aten._unsafe_view.default": "aten.reshape.default",
    "aten.transpose_.default": "aten.transpose.int",
}
_COPY, _EXPAND = "aten.copy.default", "aten.expand.default"
_BATCH_NORM = "aten._native_batch_norm_legit_no_training.default"
_DEVICE = ("device", "layout", "memory_format", "pin_memory", "non_blocking")


@dataclass
class Recording:
    """Steps from an image and a code: number 0 the image, `code` the code.

    outputs: the numbers of logits, mu, log_var and the code. weights: all that the
    steps name, the model's own and others.
    """

    steps: list[Step]
    outputs: list[int]
    weights: dict[str, Tensor]


def record(model: nn.Module, input_dim: int, latent_dim: int) -> Recording:
    """Run a model once, on one image and one code, and return what it did.

    Raises ProgramError where it fails, or does not give (logits, mu, log_var, z).
    """
    like = next((p for p in model.parameters()), torch.empty(0))
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, input_dim, generator=generator).to(like.device)
    eps = torch.randn(1, 1, latent_dim, generator=generator).to(like.device)
    recorder = _Recorder(model, x, eps)
    try:
        run = torch.func.functionalize(model, remove="mutations")
        with _basic(), torch.inference_mode(False), torch.no_grad(), recorder:
            made = run(x, eps)
        outputs = _four(made)
    except ProgramError:
        raise
    except Exception as error:
        raise ProgramError(
            f"model(x, eps) fails for one image of {input_dim} pixels and an eps of "
            f"(1, 1, {latent_dim}): {one_line(error)}",
            "make it work for a single image and a single code",
        ) from error
    return recorder.recording(outputs)


@contextmanager
def _basic() -> Iterator[None]:
    """Attention in its basic operations, whatever this machine has a kernel for."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _four(made: Any) -> list[Tensor]:
    outputs = list(made) if isinstance(made, tuple | list) else []
    if len(outputs) != 4 or not all(isinstance(out, Tensor) for out in outputs):
        raise ProgramError(
            "model(x, eps) does not give (logits, mu, log_var, z)",
            "return these four tensors, in this order",
        )
    return outputs


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down each basic operation while a model runs."""

    def __init__(self, model: nn.Module, x: Tensor, eps: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        kept = model.state_dict(keep_vars=True).items()
        self.weights = {k: v for k, v in kept if isinstance(v, Tensor)}
        self.own = list(self.weights.values())
        self.places: dict[int, Any] = {
            id(v): {"weight": k} for k, v in self.weights.items()
        }
        self.places |= {id(x): {"value": IMAGE}, id(eps): {"value": NOISE}}
        self.values: dict[int, Tensor] = {IMAGE: x, NOISE: eps}
        self.alive: list[Any] = [x, eps, self.weights]  # so that no id comes twice
        self.fixed: set[int] = set()  # numbers that depend on the weights alone
        self.refused: dict[int, ProgramError] = {}
        self.steps: list[Step] = []
        self.again: dict[str, list[int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if len(self.steps) > MOST_RECORDED:
            raise ProgramError(f"it takes more than {MOST_RECORDED:,} operations")
        out = func(*args, **kwargs)
        outs = list(out) if isinstance(out, tuple | list) else [out]
        self.alive.append((args, outs))
        if any(isinstance(o, Tensor) for o in outs):
            self._note(func, args, kwargs, outs)
        return out

    def _note(self, func: Any, args: Any, kwargs: Any, outs: list[Any]) -> None:
        name = _out_of_place(func)
        if torch.Tag.nondeterministic_seeded in func.tags:
            self._refuse(outs, _random())
        elif name in _SAME or _only_another_float(name, args, kwargs):
            self._keep(outs[0], self._place(args[0]))
        elif self._is_fixed(name, args, kwargs):
            self._note_fixed(func, name, args, kwargs, outs)
        elif name.endswith("batch_norm.default") and not any(args[5:6]):
            self._write(_BATCH_NORM, [*args[:5], *args[6:8]], {}, outs)
        elif name == _COPY and args[0].dtype == args[1].dtype:
            self._write(_EXPAND, [args[1], list(args[0].shape)], {}, outs)
        elif not known(name):
            self._refuse(outs, self._earlier(args, kwargs) or _unknown(name))
        else:
            self._write(name, args, kwargs, outs)

    def _is_fixed(self, name: str, args: Any, kwargs: Any) -> bool:
        """Whether no input's values go in: the weights' alone, or none."""
        if name in _SHAPE_ALONE:
            return True
        places = [self._place(t) for t in _tensors([args, kwargs])]
        return all("weight" in p or p["value"] in self.fixed for p in places)

    def _note_fixed(
        self, func: Any, name: str, args: Any, kwargs: Any, outs: list[Any]
    ) -> None:
        """A view of a weight is a step, which stores nothing; all else a tensor."""
        if any(out is weight for out in outs for weight in self.own):
            self._refuse(outs, _changed())
        elif func._schema.is_mutable:
            self.places.pop(id(outs[0]), None)  # a constant, of another content now
        elif name in _RESHAPING and not name.startswith(("aten.cat", "aten.stack")):
            self.fixed |= set(self._write(name, args, kwargs, outs))

    def _write(self, name: str, args: Any, kwargs: Any, outs: list[Any]) -> list[int]:
        """Append a step, or find the one that did the same before."""
        given = [self._argument(a) for a in args]
        named = {k: self._argument(v) for k, v in kwargs.items() if k not in _DEVICE}
        key = json.dumps([name, given, named])
        if key not in self.again:
            self.again[key] = self._numbers(outs)
            self.steps.append(Step(name, given, named, self.again[key]))
        for number, out in zip(self.again[key], outs, strict=True):
            self._keep(out, {"value": number})
        return self.again[key]

    def _numbers(self, outs: list[Any]) -> list[int]:
        first = len(self.values)
        self.values |= {first + i: out for i, out in enumerate(outs)}
        return list(range(first, first + len(outs)))

    def _earlier(self, args: Any, kwargs: Any) -> ProgramError | None:
        """Why what goes in cannot be written, where it cannot."""
        places = [self._place(t) for t in _tensors([args, kwargs])]
        found = (self.refused.get(place.get("value", -1)) for place in places)
        return next((why for why in found if why is not None), None)

    def _refuse(self, outs: list[Any], why: ProgramError) -> None:
        """What cannot be written is an error only where an output needs it."""
        for number, out in zip(self._numbers(outs), outs, strict=True):
            self.refused[number] = why
            self._keep(out, {"value": number})

    def _keep(self, out: Any, place: Any) -> None:
        self.places[id(out)] = place

    def _place(self, tensor: Tensor) -> Any:
        """Where a tensor comes from; one from nowhere is a constant of the model's."""
        if id(tensor) not in self.places:
            self.places[id(tensor)] = {"weight": self._constant(tensor)}
        return self.places[id(tensor)]

    def _constant(self, tensor: Tensor) -> str:
        """The name of a constant; two of the same content are one."""
        mine = tensor.detach()
        for name, other in self.weights.items():
            if name.startswith(CONSTANT) and _equal(mine, other):
                return name
        name = f"{CONSTANT}{len(self.weights)}"
        while name in self.weights:
            name += "_"
        self.weights[name] = mine.clone()
        return name

    def _argument(self, value: Any) -> Any:
        """Return an argument as JSON has it."""
        if isinstance(value, Tensor):
            return self._place(value)
        if isinstance(value, tuple | list):
            return [self._argument(v) for v in value]
        if isinstance(value, torch.dtype):
            return {"dtype": str(_as_stored(value)).removeprefix("torch.")}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise ProgramError(f"an argument is a {type(value).__name__}")

    # --- what is needed of it ---

    def recording(self, outputs: Sequence[Tensor]) -> Recording:
        """Return the steps between the inputs and the outputs."""
        numbers = [self._number(out) for out in outputs]
        before = self._needed(numbers, stop=-1)
        if bad := self.refused.keys() & before:
            raise self.refused[min(bad)]
        code, z = self._root(numbers[3]), len(self.values)
        shape = list(self.values[code].shape)
        taken = Step("aten.reshape.default", [{"value": z}, shape], {}, [code])
        needed = self._needed(numbers[:3], stop=code)
        steps = [s for s in self.steps if needed.intersection(s.results)]
        steps = [taken, *(s for s in steps if code not in s.results)]
        return Recording(steps, [*numbers[:3], z], self._stored(steps))

    def _needed(self, wanted: Sequence[int], stop: int) -> set[int]:
        """The numbers that some come from, and they; none behind `stop`."""
        needed = set(wanted)
        for step in reversed(self.steps):
            if needed.intersection(step.results) and stop not in step.results:
                needed |= set(numbers_in(step))
        return needed

    def _number(self, out: Tensor) -> int:
        """The number of an output; a constant one becomes a step's result."""
        place = self._place(out)
        if "weight" in place:
            (number,) = self._write(
                "aten.reshape.default", [out, list(out.shape)], {}, [out]
            )
            return number
        return int(place["value"])

    def _root(self, number: int) -> int:
        """The code behind a reshaped one: z, where stack([z]) comes out."""
        by_result = {n: step for step in self.steps for n in step.results}
        while (step := by_result.get(number)) and step.op in _RESHAPING:
            before = step.args[0][0] if isinstance(step.args[0], list) else step.args[0]
            one = self.values.get(before.get("value", -1))
            if one is None or not torch.equal(
                one.flatten(), self.values[number].flatten()
            ):
                break
            number = before["value"]
        return number

    def _stored(self, steps: Sequence[Step]) -> dict[str, Tensor]:
        """All that is the model's own, and the constants that are used."""
        used = json.dumps(steps)
        return {
            name: value.detach().to(_as_stored(value.dtype))
            for name, value in self.weights.items()
            if not name.startswith(CONSTANT) or json.dumps(name) in used
        }


CONSTANT = "constant."


def _as_stored(dtype: torch.dtype) -> torch.dtype:
    """Run folders hold float32, whatever the model computes with."""
    return torch.float32 if dtype.is_floating_point else dtype


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and bool(torch.equal(a, b))


def _tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor among arguments."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)


def _only_another_float(name: str, args: Any, kwargs: Any) -> bool:
    """A change of precision, or of device: none where all is float32 on one."""
    if name != "aten._to_copy.default":
        return False
    dtype = kwargs.get("dtype") or args[0].dtype
    return bool(_as_stored(dtype) == _as_stored(args[0].dtype))


def _out_of_place(func: Any) -> str:
    """The name of an operation that does the same, and writes into nothing."""
    name = str(func)
    space, packet, overload = name.split(".")
    plain = packet.removesuffix("_") if not packet.startswith("__") else packet
    return _SPELLINGS.get(name, f"{space}.{plain}.{overload}")


def _changed() -> ProgramError:
    return ProgramError(
        f"it changes a weight or a buffer while it runs, and uses it{learners_line()}",
        "leave weights and buffers as they are in forward",
    )


def _random() -> ProgramError:
    return ProgramError(
        f"it draws random numbers{learners_line()}",
        "draw nothing in the model: the noise comes in as eps, and dropout is off in "
        "eval mode",
    )


def _unknown(name: str) -> ProgramError:
    return ProgramError(
        f"it uses {name.split('.')[1]}{learners_line()}, which the table lacks"
    )
