"""What crosses between the judge and the process that runs a learner's code.

Plain data. A frame is a length, a JSON header and raw tensor bytes. No pickle. Whatever
does not fit (an unknown dtype, wrong sizes, too much) is a `WireError` to the receiver.
"""

from __future__ import annotations

import json
import math
import select
import socket
import struct
import time
from typing import Any

import torch
from torch import Tensor

from vae_edu.probes import ModelProbe, OptimizerProbe, Probe
from vae_edu.subject import Answer, Request, SubjectError, Wrong

LIMIT = 64 * 2**20  # bytes a frame
REPLY_LIMIT = 4 * 2**20  # of an answer; the largest that is right has a tenth of it
TOO_LARGE = (
    f"it returned more than {REPLY_LIMIT >> 20} MiB, gradients included: do shapes "
    "broadcast, or has a layer very many weights (as a Bilinear one has)?"
)
HEADER_LIMIT = 2**20  # its JSON, which grows when it is read; sources travel in it
DTYPES = {
    name: getattr(torch, name)
    for name in (
        *("float64", "float32", "float16", "bfloat16"),
        *("int64", "int32", "int16", "int8", "uint8", "bool"),
    )
}
_HEAD = struct.Struct("!II")
_BEGINS = {Request: vars(Request("")), Answer: vars(Answer())}
_TRAINED = {kind.__name__: kind for kind in (ModelProbe, OptimizerProbe)}


class WireError(Exception):
    """The other side closed, was too late, or sent something that is no frame."""


class TooLargeError(WireError):
    """A message has more bytes than it may."""


def frame(message: dict[str, Any], limit: int = LIMIT) -> bytes:
    """A message as bytes: JSON-like data with tensors, probes, tuples in it."""
    blobs: list[bytes] = []
    header = json.dumps(_pack(message, blobs)).encode()
    body = b"".join(blobs)
    if len(header) > HEADER_LIMIT or len(header) + len(body) > limit:
        raise TooLargeError("the message is too large")
    return _HEAD.pack(len(header), len(body)) + header + body


def send(sock: socket.socket, message: dict[str, Any], limit: int = LIMIT) -> None:
    """Send one message; see `frame`."""
    sock.sendall(frame(message, limit))


def receive(sock: socket.socket, deadline: float | None = None) -> dict[str, Any]:
    """Receive one message, and not a byte more; see `Reader`."""
    return Reader(sock, ahead=0).receive(deadline)


class Reader:
    """Receives messages, some of which may have arrived together.

    ahead: bytes to read at a time, where more than the message at hand has come;
    limit: bytes that a message may have.
    """

    def __init__(
        self, sock: socket.socket, ahead: int = 1 << 16, limit: int = LIMIT
    ) -> None:
        self._sock, self._ahead, self._limit = sock, ahead, limit
        self._held = bytearray()

    def receive(self, deadline: float | None = None) -> dict[str, Any]:
        """The next message; `deadline` is a `time.monotonic()` moment."""
        self._gather(_HEAD.size, deadline)
        header_size, body_size = _HEAD.unpack_from(self._held)
        if header_size > HEADER_LIMIT or header_size + body_size > self._limit:
            raise TooLargeError("the message is too large")
        middle = _HEAD.size + header_size
        end = middle + body_size
        self._gather(end, deadline)
        header, body = self._held[_HEAD.size : middle], self._held[middle:end]
        del self._held[:end]
        try:
            blobs = _Blobs(body)
            message = _unpack(json.loads(header), blobs)
            blobs.end()
        except WireError:
            raise
        except Exception as error:  # whatever was sent, the receiver goes on
            raise WireError(f"not a message: {type(error).__name__}") from None
        if not isinstance(message, dict):
            raise WireError("not a message")
        return message

    def _gather(self, size: int, deadline: float | None) -> None:
        """Hold so many bytes at least."""
        while (missing := size - len(self._held)) > 0:
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([self._sock], [], [], left)[0]:
                    raise TimeoutError
            chunk = self._sock.recv(max(self._ahead, min(missing, 1 << 20)))
            if not chunk:
                raise WireError("the process ended")
            self._held += chunk


def _pack(value: Any, blobs: list[bytes]) -> Any:
    if isinstance(value, Tensor):
        return _pack_tensor(value, blobs)
    if isinstance(value, Probe):
        weight = _pack(value.weight, blobs)
        return {"!": "probe", "kind": value.kind, "w": weight, "t": value.trainable}
    if isinstance(value, ModelProbe | OptimizerProbe):
        return {"!": type(value).__name__, "fields": _pack(vars(value), blobs)}
    if isinstance(value, Wrong):
        return {"!": "wrong", "type": value.type[:200]}
    if isinstance(value, dict):
        return {"!": "dict", "items": [[k, _pack(v, blobs)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"!": "tuple", "items": [_pack(v, blobs) for v in value]}
    if isinstance(value, list):
        return [_pack(v, blobs) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} does not cross the wire")


def _pack_tensor(value: Tensor, blobs: list[bytes]) -> Any:
    name = str(value.dtype).removeprefix("torch.")
    if name not in DTYPES or value.layout != torch.strided:
        return {"!": "wrong", "type": f"Tensor of {name}, {value.layout}"}
    meta = value.device.type == "meta"
    if not meta and value.numel() * value.dtype.itemsize > LIMIT:
        raise TooLargeError("a tensor is too large")  # before there is a copy
    if not meta:
        blobs.append(bytes_of(value).numpy().tobytes())
    return {"!": "tensor", "d": name, "s": list(value.shape), "m": meta}


def bytes_of(value: Tensor) -> Tensor:
    """The bytes of a tensor's elements in their order, uint8, on the CPU; a copy.

    (Any strides are called contiguous, and kept, where there is but one element.)
    """
    flat = torch.empty(value.numel(), dtype=value.dtype, device="cpu")
    return flat.copy_(value.detach().reshape(-1)).view(torch.uint8)


class _Blobs:
    """The bytes of a message's tensors, one after the other: each byte is one's own."""

    def __init__(self, body: bytearray) -> None:
        self._body, self._at = memoryview(body), 0

    def next(self, size: int) -> memoryview:
        """So many bytes."""
        start, self._at = self._at, self._at + size
        if self._at > len(self._body):
            raise WireError("a tensor is cut short")
        return self._body[start : self._at]

    def end(self) -> None:
        """Expect that there are no more."""
        if self._at != len(self._body):
            raise WireError("there are bytes of no tensor")


def _unpack(value: Any, body: _Blobs) -> Any:
    if isinstance(value, list):
        return [_unpack(v, body) for v in value]
    if isinstance(value, str):
        return _writable(value)
    if not isinstance(value, dict):
        return value
    kind = value["!"]
    if kind == "tensor":
        return _unpack_tensor(value, body)
    if kind == "probe":
        return Probe(value["kind"], _unpack(value["w"], body), bool(value["t"]))
    if kind in _TRAINED:
        return _TRAINED[kind](**_unpack(value["fields"], body))
    if kind == "wrong":
        return Wrong(_writable(str(value["type"])))
    if kind == "dict":
        return {_writable(str(k)): _unpack(v, body) for k, v in value["items"]}
    if kind == "tuple":
        return tuple(_unpack(v, body) for v in value["items"])
    raise WireError("not a message")


def _writable(text: str) -> str:
    """The text without lone surrogates, which no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _unpack_tensor(value: dict[str, Any], body: _Blobs) -> Tensor:
    dtype = DTYPES[value["d"]]
    shape = [int(n) for n in value["s"][:17]]
    count = math.prod(shape)
    if len(shape) > 16 or any(n < 0 for n in shape) or count * dtype.itemsize > LIMIT:
        raise WireError("a tensor of impossible size")
    if value["m"]:
        return torch.empty(shape, dtype=dtype, device="meta")
    if not count:
        return torch.empty(shape, dtype=dtype)
    part = body.next(count * dtype.itemsize)
    return torch.frombuffer(part, dtype=dtype).reshape(shape).clone()  # and so aligned


def request_message(request: Request) -> dict[str, Any]:
    """A request as a message."""
    return _told(request)


def request_of(message: dict[str, Any]) -> Request:
    """The inverse of `request_message`."""
    return Request(**message)


def answer_message(answer: Answer) -> dict[str, Any]:
    """An answer as a message."""
    return {"answer": _told(answer)}


def _told(record: Request | Answer) -> dict[str, Any]:
    """What there is to tell: most fields are as they begin, and left out."""
    begins = _BEGINS[type(record)]
    return {k: v for k, v in vars(record).items() if not _is_still(v, begins[k])}


def _is_still(value: Any, begins: Any) -> bool:
    return value is begins or (type(value) is type(begins) and _is_empty(value))


def _is_empty(value: Any) -> bool:
    return isinstance(value, tuple | list | dict | str) and not value


def error_message(error: SubjectError) -> dict[str, Any]:
    """A failure of the subject's code as a message."""
    return {
        "error": {"kind": error.kind, "message": error.message, "trace": error.trace}
    }


def answer_of(message: dict[str, Any]) -> Answer:
    """The answer in a message; raises the SubjectError it carries, or WireError."""
    if "error" in message:
        said = message["error"]
        raise SubjectError(*(str(said[k])[:4000] for k in ("kind", "message", "trace")))
    said = message.get("answer")
    if not isinstance(said, dict):
        raise WireError("not an answer")
    answer = Answer(value=_value(said.get("value")))
    answer.grads = [_maybe_tensor(g) for g in said.get("grads", ())]
    answer.state_grads = {
        str(k): _maybe_tensor(v) for k, v in said.get("state_grads", {}).items()
    }
    answer.changed = [str(name) for name in said.get("changed", ())]
    answer.left_grad = bool(said.get("left_grad"))
    answer.switched = [str(name) for name in said.get("switched", ())]
    answer.shapes = [tuple(int(n) for n in s) for s in said.get("shapes", ())]
    answer.differentiable = [bool(d) for d in said.get("differentiable", ())]
    return answer


def _value(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_value(v) for v in value)
    if isinstance(value, Tensor | float | Wrong) or value is None:
        return value
    return Wrong(type(value).__name__)


def _maybe_tensor(value: Any) -> Tensor | None:
    return value if isinstance(value, Tensor) else None
