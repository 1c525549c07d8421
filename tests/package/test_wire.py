"""The wire: what crosses comes out the same; what is no message is not believed."""

from __future__ import annotations

import json
import math
import socket
import struct
import time
from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_edu.grading.wall import wire
from vae_edu.probes import Probe
from vae_edu.subject import Answer, SubjectError, Wrong


def through(message):
    """Send a message through a socket pair."""
    a, b = socket.socketpair()
    with a, b:
        wire.send(a, message)
        return wire.receive(b, time.monotonic() + 5)


def raw(data: bytes):
    """What the receiver makes of bytes."""
    a, b = socket.socketpair()
    with b:
        a.sendall(data)
        a.close()
        return wire.receive(b, time.monotonic() + 5)


def frame(header: object, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("!II", len(text), len(body)) + text + body


@pytest.mark.parametrize("name", sorted(wire.DTYPES))
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 1, 4)])
def test_tensors_cross_bit_for_bit(name, shape):
    tensor = (torch.rand(shape) * 100).to(wire.DTYPES[name])
    other = torch.arange(3)
    got = through({"x": [other, tensor]})["x"][1]
    assert got.dtype == tensor.dtype
    assert got.shape == tensor.shape
    assert torch.equal(got, tensor)


def test_strides_special_values_and_meta_cross():
    strided = torch.arange(6.0).reshape(2, 3).T
    special = torch.tensor([math.inf, -math.inf, math.nan])
    got = through({"a": strided, "b": special, "c": torch.empty(2, 5, device="meta")})
    assert torch.equal(got["a"], strided)
    assert torch.equal(torch.nan_to_num(got["b"]), torch.nan_to_num(special))
    assert got["c"].device.type == "meta"
    assert got["c"].shape == (2, 5)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.rand(1, 3)[:, 0],  # of one element: contiguous, whatever its strides
        torch.rand(1, 3).cumsum(-1)[..., -1],
        torch.ones(()).expand(1),
        torch.rand(4, 3)[:, 1],
        torch.rand(2, 3).flip(0).requires_grad_(),
    ],
)
def test_slices_cross(tensor):
    got = through({"x": tensor})["x"]
    assert got.shape == tensor.shape
    assert torch.equal(got, tensor)


def test_text_that_no_file_can_hold_is_mended():
    got = through(
        {"x": {"a\ud800": ["\ud800b", ("\udfff", "c")]}, "w": Wrong("\ud800")}
    )
    assert got == {"x": {"a?": ["?b", ("?", "c")]}, "w": Wrong("?")}
    assert through({"x": "\U0001f600"})["x"] == "\U0001f600"


def test_tuples_lists_and_probes_keep_their_kind():
    probe = Probe("sine", torch.tensor([1.0, 2.0]), True)
    got = through({"t": (1, [2.5, None], "x"), "p": probe, "w": Wrong("list")})
    assert got["t"] == (1, [2.5, None], "x")
    assert got["p"].kind == "sine"
    assert torch.equal(got["p"].weight, probe.weight)
    assert got["w"] == Wrong("list")


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(2, dtype=torch.complex64), torch.eye(2).to_sparse()],
)
def test_other_kinds_of_tensors_are_wrong_values(tensor):
    assert isinstance(through({"x": tensor})["x"], Wrong)


def tensor_header(**changes: object) -> dict:
    fields = {"!": "tensor", "d": "float32", "s": [2], "m": False}
    return {"!": "dict", "items": [["x", fields | changes]]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\xff" * 8,
        struct.pack("!II", 10, 0) + b"{}",
        frame([1, 2]),
        frame("text"),
        frame({"!": "pickle"}),
        frame(tensor_header(), b"123"),
        frame(tensor_header(s=[-1]), b"12345678"),
        frame(tensor_header(s=[10**12]), b"12345678"),
        frame(tensor_header(s=[2] * 40), b"12345678"),
        frame(tensor_header(), b"123456789"),
        frame({"!": "tuple", "items": [tensor_header()] * 2}, b"12345678"),
        frame(tensor_header(d="object"), b"12345678"),
        frame(tensor_header(d=["float32"]), b"12345678"),
        frame({"!": "dict", "items": [["x"]]}),
        struct.pack("!II", 4, 0) + b"\xff\xfe\x00\x01",
        struct.pack("!II", 5000, 0) + b"[" * 5000,
    ],
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(wire.WireError):
        raw(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_a_message(data):
    with suppress(wire.WireError):
        assert isinstance(raw(data), dict)


def test_a_frame_over_the_limit_is_not_even_read():
    with pytest.raises(wire.WireError, match="too large"):
        raw(struct.pack("!II", 10, wire.LIMIT))
    with pytest.raises(wire.WireError, match="too large"):
        through({"x": torch.zeros(wire.LIMIT // 4 + 1)})


def test_a_silent_sender_costs_the_deadline_only():
    a, b = socket.socketpair()
    with a, b, pytest.raises(TimeoutError):
        wire.receive(b, time.monotonic() + 0.05)


def test_answers_and_errors_cross():
    answer = Answer(value=(torch.ones(2), torch.zeros(1)), grads=[None, torch.ones(1)])
    answer.changed, answer.left_grad, answer.shapes = ["0"], True, [(3, 2)]
    got = wire.answer_of(through(wire.answer_message(answer)))
    assert isinstance(got.value, tuple)
    assert got.grads[0] is None
    assert (got.changed, got.left_grad, got.shapes) == (["0"], True, [(3, 2)])
    with pytest.raises(SubjectError, match="no"):
        wire.answer_of(through(wire.error_message(SubjectError("ValueError", "no"))))


@pytest.mark.parametrize("value", [[1.0], {"a": 1}, "text", 3, True])
def test_values_of_other_types_arrive_as_wrong(value):
    message = wire.answer_message(Answer())
    message["answer"]["value"] = value
    assert isinstance(wire.answer_of(through(message)).value, Wrong)
