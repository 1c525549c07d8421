"""Wrong answers of bad form, made from the reference: right values, wrong manners.

Each breaks one clause of the contract's fine print and nothing else: a cut gradient, a
dtype or device written into the code, a written-to input, a memory, other parameter
names.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vae_edu.checks.standard import Cases
from vae_edu.lesson import find

Answer = Callable[..., Any]


# the signs that name each clause, in any form of the answer
SIGNS = {
    "No gradient": ("argument-detached",),
    "float32 is": ("float32-inside", "digits-lost"),
    "float64 comes": ("float64-outside",),
    "A tensor is made": ("cpu-tensor",),
    "The inputs are written": ("in-place",),
    "The first call": ("remembers",),
    "The parameters have": ("names",),
}


def signs_of(name: str) -> tuple[str, ...]:
    """The labels of the signs for a formal mistake."""
    return next(found for start, found in SIGNS.items() if name.startswith(start))


def formal_answers(topic: str, exercise: str) -> list[tuple[str, str, Answer]]:
    """(name, sentence, answer) for each clause that applies to an exercise."""
    lesson = find(topic)
    cases: Cases | None = lesson.cases.get(exercise)
    if cases is None:
        return []
    laws = {law.name for law in lesson.laws.of(exercise)}
    right = lesson.reference[exercise]
    made = []
    if "gradients" in laws:
        made += [_cut(right, cases, p) for p in cases.gradients]
    if "float32" in laws:
        made += [_single_inside(right), _double_outside(right)]
    if "device" in laws:
        made += [_on_the_cpu(right)]
    if "purity" in laws and "device" in laws:
        made += [_writes(right), _remembers(right)]
    if "keywords" in laws:
        made += [_renamed(right)]
    return made


def _map(function: Callable[[Tensor], Any], value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_map(function, v) for v in value)
    return function(value) if isinstance(value, Tensor) else value


def _bind(cases: Cases, args: Any, kwargs: Any) -> dict[str, Any]:
    return dict(zip(cases.params, args, strict=False)) | kwargs


def _cut(right: Answer, cases: Cases, name: str) -> tuple[str, str, Answer]:
    @functools.wraps(right)
    def answer(*args: Any, **kwargs: Any) -> Any:
        bound = _bind(cases, args, kwargs)
        bound[name] = bound[name].detach()
        return right(**bound)

    return (
        f"No gradient reaches {name}",
        f"The value is right, but autograd cannot get from the result back to {name}, "
        f"so nothing before {name} would learn. Look for detach, .data, .item(), "
        "torch.no_grad or a trip through numpy.",
        answer,
    )


def _single_inside(right: Answer) -> tuple[str, str, Answer]:
    def answer(*args: Any, **kwargs: Any) -> Any:
        first = next(a for a in [*args, *kwargs.values()] if isinstance(a, Tensor))
        low = [_map(Tensor.float, a) for a in args]
        low_named = {k: _map(Tensor.float, v) for k, v in kwargs.items()}
        return _map(lambda t: t.to(first.dtype), right(*low, **low_named))

    return (
        "float32 is written into the code",
        "For float64 inputs the digits after the seventh are lost: a cast (.float()) "
        "or a constant tensor in torch's default dtype limits the precision. Let the "
        "dtype follow the inputs.",
        answer,
    )


def _double_outside(right: Answer) -> tuple[str, str, Answer]:
    def answer(*args: Any, **kwargs: Any) -> Any:
        return _map(Tensor.double, right(*args, **kwargs))

    return (
        "float64 comes out of float32",
        "The result has another dtype than the inputs. A model in float32 would stop "
        "with a dtype error at the next layer.",
        answer,
    )


def _with_a_tensor_of_the_cpu(t: Tensor) -> Tensor:
    # flat, since one of zero dimensions would mix freely with another device
    return (t.reshape(-1) + torch.zeros(t.numel(), dtype=t.dtype)).reshape(t.shape)


def _on_the_cpu(right: Answer) -> tuple[str, str, Answer]:
    def answer(*args: Any, **kwargs: Any) -> Any:
        value = right(*args, **kwargs)
        return _map(_with_a_tensor_of_the_cpu, value)

    return (
        "A tensor is made on the CPU, wherever the inputs are",
        "This works on your laptop and stops on a GPU. Make new tensors where the "
        "inputs are: torch.zeros_like(x), x.new_zeros(...), device=x.device.",
        answer,
    )


def _writes(right: Answer) -> tuple[str, str, Answer]:
    def answer(*args: Any, **kwargs: Any) -> Any:
        given = [a for a in [*args, *kwargs.values()] if isinstance(a, Tensor)]
        value = _map(Tensor.clone, right(*args, **kwargs))
        if not any(a.requires_grad for a in given):
            given[0].add_(1.0)
        return value

    return (
        "The inputs are written to",
        "The caller's tensor has other values after the call. Methods that end in _ "
        "and assignments like x[...] = ... write in place; work on a new tensor "
        "instead.",
        answer,
    )


def _remembers(right: Answer) -> tuple[str, str, Answer]:
    memory: dict[Any, Any] = {}

    def answer(*args: Any, **kwargs: Any) -> Any:
        given = [a for a in [*args, *kwargs.values()] if isinstance(a, Tensor)]
        key = tuple((tuple(a.shape), a.dtype, a.device) for a in given)
        if key not in memory:
            memory[key] = right(*args, **kwargs)
        return memory[key]

    return (
        "The first call is remembered",
        "The second call with inputs of the same shape gives the first call's result. "
        "Something is stored outside the function (a global, a default argument, a "
        "cache).",
        answer,
    )


def _renamed(right: Answer) -> tuple[str, str, Answer]:
    def answer(*args: Any) -> Any:
        return right(*args)

    return (
        "The parameters have other names",
        "Later lessons call this with keywords. Keep the names of the signature.",
        answer,
    )
