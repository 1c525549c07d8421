"""Probes: models and optimizers as data cross the wire and come to life behind it."""

from __future__ import annotations

import socket
import time

import pytest
import torch

from vae_edu.checks.draw import Draw
from vae_edu.checks.training import images, like_weights, model_probe
from vae_edu.grading.wall import wire
from vae_edu.probes import OptimizerProbe
from vae_edu.subject import Request, local


def through(message):
    a, b = socket.socketpair()
    with a, b:
        wire.send(a, message)
        return wire.receive(b, time.monotonic() + 5)


def gradient_step(model, optimizer, x, eps):
    """One step without clearing, and its loss."""
    loss = model(x, eps)[0].square().mean()
    loss.backward()
    optimizer.step()
    return loss.item()


def asked(perform, *args):
    return perform(Request("call", "gradient_step", args=args))


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
def test_a_model_behind_a_wire_is_the_same_model(kind):
    draw = Draw(kind)
    model = model_probe(draw, restless=True, rounds=2, frozen=("mu",))
    model.grads = {"decoder": like_weights(draw, model)["decoder"]}
    optimizer = OptimizerProbe(kind, 0.1, past=like_weights(draw, model))
    request = Request(
        "call", "gradient_step", args=(model, optimizer, *images(draw, model, 3))
    )
    engine = local({"gradient_step": gradient_step})
    here = engine.perform(request)
    there = engine.perform(wire.request_of(through(wire.request_message(request))))
    back = wire.answer_of(through(wire.answer_message(there)))
    assert here.value == back.value
    assert here.state_grads.keys() == back.state_grads.keys()
    for name, value in here.state_grads.items():
        assert torch.equal(value, back.state_grads[name]), name


def test_past_steps_fill_the_memory_and_move_nothing():
    draw = Draw("past")
    model = model_probe(draw)
    past = like_weights(draw, model)
    inputs = images(draw, model, 3)
    after = {}
    for memory in ({}, past):
        optimizer = OptimizerProbe("momentum", 0.1, past=memory)
        subject = local({"gradient_step": gradient_step})
        answer = asked(subject.perform, model, optimizer, *inputs)
        after[bool(memory)] = answer.state_grads["state.mu"]
    moved = after[True] - after[False]
    torch.testing.assert_close(moved, -0.1 * 0.9 * past["mu"])


def test_what_a_call_leaves_on_a_model_is_told():
    draw = Draw("left")
    model = model_probe(draw, training=False)

    def careless(model, x, eps):
        model(x, eps)[0].sum().backward()
        next(model.parameters()).requires_grad_(False)
        model.train()
        torch.set_grad_enabled(False)
        return 0.0

    answer = local({"f": careless}).ask("f", model, *images(draw, model, 3))
    assert answer.left_grad
    assert answer.switched == ["encoder", "grad mode"]
    assert answer.state_grads["training"].tolist() == [1.0]
    assert answer.state_grads["tracked"].item() == 1.0
    assert torch.is_grad_enabled()


def test_a_model_refuses_images_on_another_device():
    draw = Draw("device")
    model = model_probe(draw)
    x, eps = images(draw, model, 3)
    subject = local({"f": lambda m, x, eps: m(x, eps)[1]})
    with pytest.raises(Exception, match="same device"):
        subject.call("f", model, x.to("meta"), eps)


def test_a_caller_may_have_switched_gradients_off():
    def answer(x):
        torch.set_grad_enabled(True)
        return x

    subject = local({"f": answer, "g": lambda x: x})
    assert subject.ask_untracked("f", torch.ones(2)).switched == ["grad mode"]
    assert subject.ask_untracked("g", torch.ones(2)).switched == []
    assert subject.ask("f", torch.ones(2)).switched == []
