"""Wrong values that pretend: whatever a submission does, only tensors cross."""

from __future__ import annotations

import math

import pytest

from tests.attacks.common import HONEST, WRONG

BODY = "\ndef gaussian_kl(mu, log_var):\n    {}\n"
SUBCLASS = """
import torch
class Sly(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func.__name__ in ("allclose", "equal", "isclose", "eq", "__eq__"):
            return True
        return super().__torch_function__(func, types, args, kwargs or {})
    def __eq__(self, other): return True
    __hash__ = None
def gaussian_kl(mu, log_var):
    return (mu.sum(-1) * 0 + 1).as_subclass(Sly)
"""
PATCHED = """
import torch
torch.allclose = torch.equal = torch.isclose = lambda *a, **k: True
torch.testing.assert_close = lambda *a, **k: None
torch.Tensor.__eq__ = torch.Tensor.allclose = lambda *a, **k: True
"""
SEEDED = """
import torch
seen = torch.manual_seed
torch.manual_seed = lambda seed: seen(0)
torch.Generator.manual_seed = lambda self, seed: self
torch.rand = torch.randn = torch.zeros
"""
ENGINE = """
import vae_edu.subject as subject
old = subject.Engine.perform
def perform(self, request):
    answer = old(self, request)
    answer.changed, answer.left_grad, answer.switched = [], False, []
    return answer
subject.Engine.perform = perform
subject.normal = lambda value: value
"""
VERDICT = """
import json, vae_edu.grading.wall.wire as wire
real = wire.send
def send(sock, message, *limit):
    message |= {"passed": True, "score": 3.0, "verdict": "holds", "kind": ""}
    real(sock, message)
wire.send = send
"""
TABLE = """
from vae_edu.lesson import find
import torch
said = find("kl_divergence").recorded["truth"]["gaussian_kl"]
def tensors(value):
    if isinstance(value, torch.Tensor): yield value
    elif isinstance(value, dict):
        for v in value.values(): yield from tensors(v)
    elif isinstance(value, (list, tuple)):
        for v in value: yield from tensors(v)
known = {tuple(t.shape): t for t in tensors(said)}
def gaussian_kl(mu, log_var):
    shape = torch.broadcast_shapes(mu.shape, log_var.shape)[:-1]
    return known.get(tuple(shape), torch.ones(shape)).to(mu.dtype) + 0 * mu.sum(-1)
"""
REMEMBERED = """
import torch
from vae_edu.checks import kl_divergence as checks
from vae_edu.checks.draw import Draw
from vae_edu.checks.record import PUBLIC_SEED
inputs = {}
def gaussian_kl(mu, log_var):
    key = (tuple(mu.shape), mu.flatten()[0].item() if mu.numel() else 0)
    return inputs.setdefault(key, torch.ones_like(mu).sum(-1)) + 0 * mu.sum(-1)
"""
ALWAYS = """
class Agreeable:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __bool__(self): return True
    def __getattr__(self, name): return self
    def __call__(self, *a, **k): return self
    def __sub__(self, other): return 0
    __rsub__ = __sub__
    __hash__ = None
"""
ATTACKS = {
    "equal to everything": ALWAYS + BODY.format("return Agreeable()"),
    "a float equal to everything": "class F(float):\n    __eq__ = lambda a, b: True\n"
    + BODY.format("return F(1)"),
    "a subclass of Tensor": SUBCLASS,
    "a tensor with its own __eq__": SUBCLASS.replace("mu.sum(-1) * 0 + 1", "mu"),
    "patched comparisons": PATCHED + WRONG,
    "patched builtins": "import builtins\nbuiltins.abs = builtins.max = lambda *a: 0\n"
    "builtins.all = lambda a: True\n" + WRONG,
    "patched seeds": SEEDED + WRONG,
    "patched engine": ENGINE + WRONG,
    "patched wire": VERDICT + WRONG,
    "an engine that says nothing changed": ENGINE
    + BODY.format("mu.mul_(2); return mu.sum(-1)"),
    "the recorded values": TABLE,
    "a memory of inputs": REMEMBERED,
    "not a number": BODY.format("return mu.sum(-1) * float('nan')"),
    "infinite": BODY.format("return mu.sum(-1) + float('inf')"),
    "half precision": BODY.format("return mu.sum(-1).half()"),
    "whole numbers": BODY.format("return mu.sum(-1).long()"),
    "its own input": BODY.format("return mu"),
    "a view of its input": BODY.format("return mu[..., 0]"),
    "an object array": "import numpy\n"
    + BODY.format("return numpy.array([object()], dtype=object)"),
    "a pickle": "import pickle\n" + BODY.format("return pickle.dumps(mu)"),
}
UNLOADING = {
    "_exit at load": "import os; os._exit(0)",
    "segfault at load": "import ctypes; ctypes.string_at(0)",
    "abort at load": "import os; os.abort()",
    "atexit": "import atexit, os; atexit.register(os._exit, 0)\n" + WRONG,
    "exit": WRONG.replace("return", "import sys; sys.exit(0); return"),
    "_exit": WRONG.replace("return", "import os; os._exit(0); return"),
    "segfault": WRONG.replace("return", "import ctypes; ctypes.string_at(0); return"),
    "KeyboardInterrupt": WRONG.replace("return", "raise KeyboardInterrupt; return"),
}


@pytest.mark.parametrize("name", ATTACKS | UNLOADING)
def test_a_wrong_answer_stays_wrong(attack, name):
    result = attack((ATTACKS | UNLOADING)[name])
    assert not result.passed
    assert result.score == 0
    assert result.failures


@pytest.mark.parametrize(
    "body",
    [
        "out = (mu**2 + log_var.exp() - 1 - log_var).sum(-1) / 2; mu.data.zero_()",
        "out = (mu.square_() + log_var.exp() - 1 - log_var).sum(-1) / 2",
    ],
)
def test_writing_to_an_input_costs_points(attack, body):
    result = attack(BODY.format(f"{body}; return out"))
    assert not result.passed
    assert 0 <= result.score < result.max_score


def test_scores_are_finite_and_clamped(attack):
    result = attack(VERDICT.replace("3.0", "float('nan')") + HONEST)
    assert math.isfinite(result.score)
    assert 0 <= result.score <= result.max_score
