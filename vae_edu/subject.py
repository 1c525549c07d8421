"""Whose code is running: one way to ask anything that implements the exercises.

A *subject* performs five things and no more: call a function, build a module, call its
methods, read or set its state, take a vector-Jacobian product. Laws speak to subjects
only, so they never touch an attribute of a foreign object, and the same law judges the
stubs, a learner, the reference, a mutant, or code in another process.

`Engine` is the side that holds the code; it takes and returns plain data (tensors,
numbers, strings, lists). `Subject` is the side that asks.
"""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from vae_edu import probes
from vae_edu.probes import AnyProbe, Workshop


class SubjectError(Exception):
    """The subject's code gave no answer: it raised, hung, died or is not written.

    gone: "time" or "died" where its process is late or lost. Only the asking side says
    so: what comes from the subject is the name of an exception, which may be any.
    """

    def __init__(
        self, kind: str, message: str, trace: str = "", *, gone: str = ""
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.trace = trace
        self.sign: Any = None  # of the mistake behind it, where a law could tell
        self.gone = gone

    @property
    def unfinished(self) -> bool:
        """True where the code says that it is not written yet."""
        return self.kind == "NotImplementedError"

    @property
    def final(self) -> bool:
        """True where it is no use to ask the code another way."""
        return bool(self.gone) or self.unfinished


@dataclass
class Wrong:
    """A value of a type that no exercise returns; only its type's name is kept."""

    type: str


@dataclass
class Answer:
    """What came back from one request.

    value: a Tensor, float, tuple of those, or `Wrong`; grads: one tensor (or None where
    the value does not depend on it) for each tensor asked for; state_grads: the same by
    parameter name, or what a request about a state found, or what a model given as an
    input is after the call (`Workshop.found`); changed: positions of the inputs that
    were written to; left_grad: True where a `.grad` was left behind; switched: inputs
    whose `requires_grad` was changed, a model's parameters by name, and "grad mode";
    shapes: the shapes a probe function was called with.
    """

    value: Any = None
    grads: list[Tensor | None] = field(default_factory=list)
    state_grads: dict[str, Tensor | None] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    left_grad: bool = False
    switched: list[str] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    differentiable: list[bool] = field(default_factory=list)


@dataclass
class Request:
    """One thing to do: see `Engine`. `wrt` names the tensors (position or keyword).

    anew: forget the modules and results of before, as for another law, and put torch's
    default dtype back.
    """

    op: str
    name: str = ""
    handle: int = -1
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    wrt: tuple[str, ...] = ()
    cotangents: tuple[Tensor, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    anew: bool = False


class Engine:
    """Holds the code of a subject and performs requests on it."""

    def __init__(self, objects: Mapping[str, Any]) -> None:
        self.objects = dict(objects)
        self.modules: list[Any] = []
        self._last: list[tuple[Tensor, Tensor]] = []  # the last result, and a copy
        self._dtype = torch.get_default_dtype()

    def perform(self, request: Request) -> Answer:
        """Do what is asked; every failure of the subject's code is a SubjectError."""
        if request.anew:
            self.modules.clear()
            self._last = []
            torch.set_default_dtype(self._dtype)
        try:
            return getattr(self, f"_{request.op}")(request)
        except SubjectError:
            raise
        except (Exception, SystemExit) as error:
            raise _as_subject_error(self.cause(error)) from None

    def cause(self, error: BaseException) -> BaseException:
        """What a failure of the subject's code is reported as: itself."""
        return error

    def _call(self, request: Request) -> Answer:
        if request.name not in self.objects:
            raise SubjectError("NameError", f"{request.name} is not defined")
        return self._run(self.objects[request.name], None, request)

    def _method(self, request: Request) -> Answer:
        module = self.modules[request.handle]
        function = getattr(module, request.name) if request.name else module
        seed = request.options.get("seed")
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.default_generator.manual_seed(seed)
            return self._run(function, module, request)

    def _build(self, request: Request) -> Answer:
        if request.name not in self.objects:
            raise SubjectError("NameError", f"{request.name} is not defined")
        # the learner's own seed stays as it was
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would note, at each call, the stack for a GPU to come
            torch.default_generator.manual_seed(request.options["seed"])
            module = self.objects[request.name](*request.args, **request.kwargs)
        if not isinstance(module, nn.Module):
            raise SubjectError(
                "TypeError",
                f"{request.name}(...) made a {type(module).__name__}, not an nn.Module",
            )
        if any(map(is_lazy, module.parameters())):
            raise SubjectError("TypeError", f"{request.name}(...) {_LAZY}")
        self.modules.append(module)
        return Answer(value=float(len(self.modules) - 1))

    def _move(self, request: Request) -> Answer:
        dtype, device = request.options.get("dtype"), request.options.get("device")
        module = self.modules[request.handle]
        module.to(device=device, dtype=getattr(torch, dtype) if dtype else None)
        return Answer()

    def _mode(self, request: Request) -> Answer:
        self.modules[request.handle].train(request.options["train"])
        return Answer()

    def _state(self, request: Request) -> Answer:
        state = self.modules[request.handle].state_dict()
        return Answer(state_grads={k: _plain(v) for k, v in state.items()})

    def _parameters(self, request: Request) -> Answer:
        named = self.modules[request.handle].named_parameters()
        return Answer(state_grads={k: _plain(v) for k, v in named})

    def _load(self, request: Request) -> Answer:
        module = self.modules[request.handle]
        module.load_state_dict({k: v.clone() for k, v in request.kwargs.items()})
        return Answer()

    def _run(self, function: Any, module: Any, request: Request) -> Answer:
        wrt, shop = set(request.wrt), Workshop()
        args = [_prepare(v, str(i) in wrt, shop) for i, v in enumerate(request.args)]
        kwargs = {k: _prepare(v, k in wrt, shop) for k, v in request.kwargs.items()}
        inputs = {str(i): v for i, v in enumerate(args)} | kwargs
        roots = [inputs[name] for name in request.wrt]
        if request.options.get("upstream"):  # as an encoder would hand them over
            inputs |= {name: inputs[name].clone() for name in request.wrt}
            args = [inputs[str(i)] for i in range(len(args))]
            kwargs = {k: inputs[k] for k in kwargs}
        other_device = OtherDevice() if request.options.get("trap") else nullcontext()
        tracked = not request.options.get("untracked")
        with torch.set_grad_enabled(tracked), other_device:
            for _ in range(shop.rounds):
                value = function(*args, **kwargs)
            switched = torch.is_grad_enabled() != tracked
        answer = Answer(value=normal(value), state_grads=dict(shop.found()))
        if request.cotangents:
            leaves = [inputs[name] for name in request.wrt]
            _add_gradients(answer, value, leaves, module, request.cotangents)
        answer.changed = [*_changed(request, inputs), *self._overwritten(value)]
        answer.left_grad = shop.left_grad() or _left_behind([*inputs.values(), *roots])
        modes = ["grad mode"] * switched
        answer.switched = [*_switched(inputs, wrt), *shop.switched(), *modes]
        answer.shapes = shop.shapes
        return answer

    def _overwritten(self, value: Any) -> list[str]:
        """Whether this call wrote into the previous call's result (a shared buffer)."""
        wrong = any(not _same(kept.detach(), copy) for kept, copy in self._last)
        parts = value if isinstance(value, tuple) else (value,)
        self._last = [(v, _plain(v)) for v in parts if _is_plain(v)]
        return ["result"] * wrong


def _is_plain(value: Any) -> bool:
    return type(value) is Tensor and value.device.type != "meta" and not value.is_sparse


_FACTORIES = {"zeros", "ones", "full", "empty", "arange", "linspace", "logspace"}
_FACTORIES |= {"eye", "tensor", "rand", "randn"}
_MOVES = {"cpu", "cuda", "to"}


class OtherDevice(TorchFunctionMode):
    """Stands in for a second device where the inputs must hold real values.

    The inputs are on the CPU; a tensor that code makes without saying where, or moves
    to a device written as a string, lands on `meta`, and mixing the two raises as CPU
    and CUDA would. As there, a tensor of zero dimensions mixes freely.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Perform `func`, then displace what it made on a device of its own choice."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if not isinstance(out, Tensor) or out.dim() == 0 or out.device.type != "cpu":
            return out
        name = getattr(func, "__name__", "")
        placed = kwargs.get("device", None if name in _FACTORIES else out.device)
        named = name in _MOVES and any(isinstance(a, str) for a in args[1:])
        displaced = placed is None or isinstance(placed, str) or named
        return out.to("meta") if displaced or name in ("cpu", "cuda") else out


_LAZY = (
    "has a layer whose weights are made at its first call only (LazyLinear): write the "
    "layer with its width, as nn.Linear with both of its sizes"
)

# frames of torch, of this module and of the probes say nothing about an answer
_NOT_THE_LEARNERS = (
    str(Path(torch.__file__).parent),
    str(Path(__file__).with_suffix("")),
    str(Path(probes.__file__).with_suffix("")),
    str(Path(__file__).with_name("grading")),
)


def _as_subject_error(error: BaseException) -> SubjectError:
    kind = type(error).__name__
    if isinstance(error, NotImplementedError) and not _from_torch(error):
        kind = "NotImplementedError"
    elif isinstance(error, NotImplementedError):
        kind = "RuntimeError"
    trace = _where(error)
    try:
        message = str(error)
    except Exception:
        message = "(its message could not be shown)"
    return SubjectError(kind, message[:2000], trace[:4000])


def _where(error: BaseException) -> str:
    """The learner's lines that an error went through; one that is no Python, itself."""
    if isinstance(error, SyntaxError):
        return "".join(traceback.format_exception_only(error)[:-1])
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_NOT_THE_LEARNERS)]
    return "".join(traceback.format_list(own[-3:]))


def _from_torch(error: BaseException) -> bool:
    """Torch raises NotImplementedError of its own, as for missing meta kernels."""
    return any(
        word in str(error) for word in ("meta tensor", "aten::", "_meta", "Meta")
    )


def _prepare(value: Any, requires_grad: bool, shop: Workshop) -> Any:
    if isinstance(value, AnyProbe):
        return shop.make(value)
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_(requires_grad)
    return copy.copy(value)


def normal(value: Any) -> Any:
    """The value as plain data: exact detached tensors, floats, tuples; else `Wrong`."""
    if isinstance(value, Tensor):
        return _plain(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, tuple):
        return tuple(normal(v) for v in value)
    return Wrong(type(value).__name__)


def _plain(value: Tensor) -> Tensor:
    with torch._C.DisableTorchFunctionSubclass():
        return value.detach().as_subclass(Tensor).clone()


def _add_gradients(
    answer: Answer,
    value: Any,
    leaves: Sequence[Tensor],
    module: Any,
    cotangents: Sequence[Tensor],
) -> None:
    outputs = list(value) if isinstance(value, tuple) else [value]
    answer.differentiable = [isinstance(v, Tensor) and v.requires_grad for v in outputs]
    pairs = [
        (v, c)
        for v, c, ok in zip(outputs, cotangents, answer.differentiable, strict=False)
        if ok and v.shape == c.shape
    ]
    parameters = dict(module.named_parameters()) if module is not None else {}
    targets = [*leaves, *parameters.values()]
    asked = [t for t in targets if t.requires_grad]  # not a frozen parameter
    found = _pulled(pairs, asked)
    grads = [found.get(id(t)) for t in targets]
    plain: list[Tensor | None] = [None if g is None else _plain(g) for g in grads]
    answer.grads = plain[: len(leaves)]
    answer.state_grads = dict(zip(parameters, plain[len(leaves) :], strict=True))


def _pulled(
    pairs: Sequence[tuple[Tensor, Tensor]], asked: Sequence[Tensor]
) -> dict[int, Tensor | None]:
    """Gradients of outputs paired with cotangents, by the id of each tensor asked."""
    if not pairs or not asked:
        return {}
    values = [v for v, _ in pairs]
    cotangents = [c.to(v.dtype) for v, c in pairs]
    pulled = torch.autograd.grad(values, asked, cotangents, allow_unused=True)
    return {id(t): g for t, g in zip(asked, pulled, strict=True)}


def _changed(request: Request, inputs: Mapping[str, Any]) -> list[str]:
    before = {str(i): v for i, v in enumerate(request.args)} | request.kwargs
    return [
        name
        for name, value in before.items()
        if isinstance(value, Tensor)
        and value.device.type != "meta"
        and not _same(value, inputs[name].detach())
    ]


def _same(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    if torch.equal(a, b):
        return True
    return torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))


def _switched(inputs: Mapping[str, Any], wrt: set[str]) -> list[str]:
    return [
        name
        for name, value in inputs.items()
        if isinstance(value, Tensor) and value.requires_grad != (name in wrt)
    ]


def _left_behind(values: Sequence[Any]) -> bool:
    # asking a tensor that is not a leaf for its .grad warns, unless it retains one
    kept = [
        v for v in values if isinstance(v, Tensor) and (v.is_leaf or v.retains_grad)
    ]
    return any(v.grad is not None for v in kept)


class Subject:
    """Asks an engine through `perform`; the convenience that laws are written in."""

    def __init__(self, perform: Callable[[Request], Answer], label: str = "") -> None:
        self.perform = perform
        self.label = label

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """The value of an exercise's function."""
        return self.ask(name, *args, **kwargs).value

    def ask(self, name: str, *args: Any, **kwargs: Any) -> Answer:
        """As `call`, with everything else that was noticed."""
        return self.perform(Request("call", name, args=args, kwargs=kwargs))

    def ask_untracked(self, name: str, *args: Any) -> Answer:
        """As `ask`, by a caller who has switched gradients off."""
        options = {"untracked": True}
        return self.perform(Request("call", name, args=args, options=options))

    def on_another_device(self, name: str, *args: Any) -> Any:
        """As `call`, where code that chooses a device fails; see `OtherDevice`."""
        request = Request("call", name, args=args, options={"trap": True})
        return self.perform(request).value

    def vjp(
        self,
        name: str,
        args: Sequence[Any],
        wrt: Sequence[int],
        cotangents: Sequence[Tensor],
    ) -> Answer:
        """The value, and vector-Jacobian products with respect to args[i], i in wrt."""
        names = tuple(str(i) for i in wrt)
        request = Request("call", name, args=tuple(args), wrt=names)
        request.cotangents = tuple(cotangents)
        return self.perform(request)

    def ask_requiring(
        self,
        name: str,
        args: Sequence[Any],
        wrt: Sequence[int],
        *,
        upstream: bool = False,
    ) -> Answer:
        """As `ask`, where args[i], i in wrt, require a gradient.

        upstream: they are not leaves but come out of an operation, as from an encoder.
        """
        options = {"upstream": upstream}
        names = tuple(str(i) for i in wrt)
        return self.perform(
            Request("call", name, args=tuple(args), wrt=names, options=options)
        )

    def build(self, name: str, *args: Any, seed: int = 0, **kwargs: Any) -> Module:
        """An instance of an exercise's module, its weights drawn under `seed`."""
        options = {"seed": seed}
        request = Request("build", name, args=args, kwargs=kwargs, options=options)
        return Module(self, name, int(self.perform(request).value))


@dataclass
class Module:
    """A module that lives on the subject's side, known here by a number."""

    subject: Subject
    name: str
    handle: int
    chance: int = 0  # the seed of whatever a method draws

    def _do(self, op: str, **fields: Any) -> Answer:
        if op == "method":
            fields["options"] = {"seed": self.chance} | fields.get("options", {})
        return self.subject.perform(Request(op, handle=self.handle, **fields))

    def call(self, *args: Any, method: str = "", **kwargs: Any) -> Any:
        """The value of a method; of the module itself where none is named."""
        return self.ask(*args, method=method, **kwargs).value

    def ask(self, *args: Any, method: str = "", **kwargs: Any) -> Answer:
        """As `call`, with everything else that was noticed."""
        return self._do("method", name=method, args=args, kwargs=kwargs)

    def on_another_device(self, *args: Any, method: str = "") -> Any:
        """As `call`, where code that chooses a device fails; see `OtherDevice`."""
        options = {"trap": True}
        return self._do("method", name=method, args=args, options=options).value

    def vjp(
        self,
        args: Sequence[Any],
        wrt: Sequence[int],
        cotangents: Sequence[Tensor],
        method: str = "",
    ) -> Answer:
        """Vector-Jacobian products: inputs in `grads`, parameters in `state_grads`."""
        names = tuple(str(i) for i in wrt)
        pulled = tuple(cotangents)
        return self._do(
            "method", name=method, args=tuple(args), wrt=names, cotangents=pulled
        )

    def state(self) -> dict[str, Tensor]:
        """The module's state_dict, as copies."""
        return self._do("state").state_grads  # type: ignore[return-value]

    def parameters(self) -> dict[str, Tensor]:
        """The module's trainable parameters by name, as copies."""
        return self._do("parameters").state_grads  # type: ignore[return-value]

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Set the state."""
        self._do("load", kwargs=dict(state))

    def to(self, *, dtype: str | None = None, device: str | None = None) -> Module:
        """Move the module, as `nn.Module.to` does."""
        self._do("move", options={"dtype": dtype, "device": device})
        return self

    def train(self, mode: bool = True) -> Module:
        """Set training or evaluation mode."""
        self._do("mode", options={"train": mode})
        return self


def local(objects: Mapping[str, Any], label: str = "") -> Subject:
    """A subject in this process."""
    return Subject(Engine(objects).perform, label)
