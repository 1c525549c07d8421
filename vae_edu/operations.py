"""The table of operations: all that a model written as plain data can do.

Two generations of names, both read: torch's own functions ("linear"), as the first run
folders have them; and PyTorch's small set of basic operations, by their full names
("aten.addmm.default"), into which every other function falls apart, so that however a
learner writes a model, few names are needed.

What belongs here: the table, and why each thing is in or out of it. In: what gives new
values of old ones, the same each time, with a size that the arguments' sizes decide.
Out: what draws, writes in place, reads memory by address, runs code, or has a size that
depends on values. What does not belong here: recording and running (see `program`).
"""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from vae_edu.errors import CourseError

__all__ = [
    "ATEN",
    "ATEN_TABLE",
    "TORCH_TABLE",
    "LeakError",
    "ProgramError",
    "Step",
    "known",
    "learners_line",
    "numbers_in",
    "operation",
]

REMEDY = (
    "build it of linear layers, convolutions, elementwise functions, sums and reshapes "
    "(all that there is: vae_edu/operations.py)"
)


class ProgramError(CourseError):
    """A model cannot be written as plain data, or what is written is no model.

    remedy: what to change in the model, without the full stop.
    """

    def __init__(self, why: str, remedy: str = REMEDY) -> None:
        super().__init__(why)
        self.remedy = remedy


class LeakError(ProgramError):
    """A decoder sees more than the code, or an encoder the noise."""

    def __init__(self) -> None:
        super().__init__(
            "its logits depend on more than the code z (or mu and log_var on more than "
            "x): a decoder that sees the image has no likelihood p(x|z)",
            "encode x alone, decode the z that is returned, and nothing else",
        )


class Step(NamedTuple):
    """results = operation(*args, **kwargs); tensors among them by number or name."""

    op: str
    args: list[Any]
    kwargs: dict[str, Any]
    results: list[int]


def learners_line(error: BaseException | None = None) -> str:
    """Return the innermost line that is neither ours nor PyTorch's: " (in `...`)".

    Of an error's traceback, or else of what runs just now; "" where there is none.
    """
    ours = (str(Path(__file__).parent), str(Path(torch.__file__).parent))
    frames = (
        traceback.walk_stack(None)
        if error is None
        else reversed([*traceback.walk_tb(error.__traceback__)])
    )
    for frame, number in frames:
        name = frame.f_code.co_filename
        if not name.startswith(ours) and Path(name).name != "contextlib.py":
            line = linecache.getline(name, number).strip()
            return f" (in `{line}`)" if line else ""
    return ""


def numbers_in(value: Any) -> Iterator[int]:
    """Yield every {"value": number} within a step or a piece of one."""
    if isinstance(value, Step):
        yield from numbers_in([value.args, value.kwargs])
    elif isinstance(value, dict):
        if "value" in value:
            yield value["value"]
        for part in value.values():
            yield from numbers_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from numbers_in(part)


# --- the first generation: read, no longer written --------------------------------


_UNARY = (
    *("abs", "cos", "exp", "expm1", "log", "log1p", "neg", "reciprocal", "rsqrt"),
    *("sigmoid", "sin", "sqrt", "square", "tanh"),
)
_ACTIVATIONS = (
    *("elu", "gelu", "hardtanh", "leaky_relu", "mish", "relu", "selu", "silu"),
    "softplus",
)
TORCH_TABLE: Mapping[str, Callable[..., Any]] = {
    **{name: getattr(torch, name) for name in _UNARY},
    **{name: getattr(functional, name) for name in _ACTIVATIONS},
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


# --- the second: PyTorch's basic operations ---------------------------------------


ATEN = "aten."
_TABLE = """
abs acos acosh asin asinh atan atanh atan2 ceil cos cosh deg2rad digamma erf erfc erfinv
exp exp2 expm1 floor frac lgamma log log10 log1p log2 logit neg rad2deg reciprocal round
rsqrt sgn sigmoid sign sin sinc sinh sqrt tan tanh trunc special_entr special_erfcx
special_i0e special_ndtri isnan isinf nan_to_num

celu elu gelu glu hardshrink hardsigmoid hardswish hardtanh leaky_relu
log_sigmoid_forward mish _prelu_kernel relu silu softplus softshrink threshold

add.Tensor add.Scalar sub.Tensor rsub.Scalar mul.Tensor div.Tensor div.Tensor_mode
pow.Tensor_Scalar pow.Tensor_Tensor pow.Scalar fmod.Scalar fmod.Tensor remainder.Scalar
remainder.Tensor floor_divide addcmul addcdiv lerp.Scalar lerp.Tensor hypot
copysign.Tensor copysign.Scalar maximum minimum fmax fmin logaddexp logaddexp2
xlogy.Tensor xlogy.Scalar_Self xlogy.Scalar_Other heaviside clamp clamp.Tensor clamp_min
clamp_min.Tensor

eq.Scalar eq.Tensor ne.Scalar ne.Tensor lt.Scalar lt.Tensor le.Scalar le.Tensor
gt.Scalar gt.Tensor ge.Scalar ge.Tensor logical_and logical_or logical_not logical_xor
bitwise_and.Tensor bitwise_or.Tensor bitwise_not bitwise_xor.Tensor where.self
masked_fill.Scalar masked_fill.Tensor

mm bmm addmm baddbmm mv addmv dot addbmm linalg_cross _trilinear convolution
linalg_vector_norm _cdist_forward

sum sum.dim_IntList mean mean.dim prod prod.dim_int amax amin aminmax max max.dim min
min.dim logsumexp cumsum cumprod logcumsumexp var.correction std.correction
var_mean.correction std_mean.correction any any.dim all all.dim argmax argmin sort
sort.stable topk cummax cummin _softmax _log_softmax native_layer_norm native_group_norm
_native_batch_norm_legit_no_training _fused_rms_norm

avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices
_adaptive_avg_pool2d upsample_nearest1d upsample_nearest2d upsample_linear1d
upsample_bilinear2d upsample_bicubic2d pixel_shuffle pixel_unshuffle channel_shuffle
im2col col2im constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d
replication_pad2d

reshape expand permute transpose.int t unsqueeze squeeze squeeze.dim squeeze.dims
slice.Tensor select.int unbind.int split.Tensor split_with_sizes cat stack repeat flip
roll rot90 tril triu diagonal diag_embed unfold _to_copy slice_scatter select_scatter
diagonal_scatter index.Tensor index_select gather scatter.src scatter.value scatter_add
index_add index_fill.int_Scalar fill.Scalar
"""


def _full(name: str) -> str:
    return f"{ATEN}{name}" if "." in name else f"{ATEN}{name}.default"


ATEN_TABLE: frozenset[str] = frozenset(map(_full, _TABLE.split()))


def known(name: str) -> bool:
    """Whether an operation of that name is in the table."""
    return name in TORCH_TABLE or name in ATEN_TABLE


@cache
def operation(name: str) -> Callable[..., Any]:
    """Return an operation by its name; ProgramError for one that is not in the table,
    or that this version of PyTorch has not.
    """
    if name in TORCH_TABLE:
        return TORCH_TABLE[name]
    if name not in ATEN_TABLE:
        raise ProgramError(f"the operation {name!r} is not in the table")
    _, packet, overload = name.split(".")
    try:
        found: Callable[..., Any] = getattr(getattr(torch.ops.aten, packet), overload)
    except AttributeError as error:
        raise ProgramError(f"this PyTorch has no operation {name!r}") from error
    return found


def names() -> Iterator[str]:
    """Yield every name of the table."""
    yield from TORCH_TABLE
    yield from sorted(ATEN_TABLE)
