"""The call at which a law broke, as code to paste into a cell.

Numbers have six digits, which is enough to see what goes wrong. What does not belong
here: hidden laws, whose inputs nobody is shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from vae_edu.subject import Request

MOST = 200  # numbers in all: what is longer helps nobody


def recipe(request: Request, params: Sequence[str], built: Request | None) -> str:
    """Lines that make the arguments of a call and perform it; "" where none can be.

    params: the parameter names of what is called; built: how its module was made.
    """
    named = dict(zip(params, request.args, strict=False)) | request.kwargs
    tensors = [v for v in named.values() if isinstance(v, Tensor)]
    plain = all(isinstance(v, Tensor | int | float) for v in named.values())
    if not named or not plain or sum(v.numel() for v in tensors) > MOST:
        return ""
    lines = [f"{name} = {_written(value)}" for name, value in named.items()]
    called = request.name
    if request.op == "method":
        if built is None:
            return ""
        lines.insert(0, f"model = {_call(built.name, built.args, built.kwargs)}")
        if all(str(v.dtype) == "torch.float64" for v in tensors):
            lines[0] += ".double()"
        called = "model" + f".{request.name}" * bool(request.name)
    return "\n".join(["import torch", *lines, f"{called}({', '.join(named)})"])


def _call(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    given = [*map(repr, args), *(f"{k}={v!r}" for k, v in kwargs.items())]
    return f"{name}({', '.join(given)})"


def _written(value: Any) -> str:
    if not isinstance(value, Tensor):
        return repr(value)
    dtype = "" if str(value.dtype) == "torch.float32" else f", dtype={value.dtype}"
    where = "" if value.device.type == "cpu" else f', device="{value.device.type}"'
    if value.device.type == "meta":
        return f"torch.empty({tuple(value.shape)}{dtype}{where})"
    if value.numel() == 0:
        return f"torch.empty({tuple(value.shape)}{dtype})"
    return f"torch.tensor({_numbers(value.tolist())}{dtype})"


def _numbers(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_numbers, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return f"{value:.6g}" if isinstance(value, float) else repr(value)
