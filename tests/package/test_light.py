"""torch.compile's machinery stays away until somebody asks for it."""

from __future__ import annotations

import subprocess
import sys

PART = "torch._dynamo.config"
SPARED = f"""
import sys, torch
from vae_edu.light import spare_the_compiler
spare_the_compiler()
weight = torch.ones(3, requires_grad=True)
optimizer = torch.optim.Adam([weight], lr=0.5)
weight.sum().backward()
optimizer.step()
torch.zeros(2, 2, device="meta").mean(0)
assert {PART!r} not in sys.modules, "imported"
assert torch.allclose(weight, torch.full((3,), 0.5)), weight
import torch._dynamo
assert torch._dynamo.config.__name__ == {PART!r}
assert {PART!r} in sys.modules, "not imported when asked for"
"""
LEFT_OUT = """
import torch
from vae_edu.light import spare_the_compiler
spare_the_compiler()
def own(): return 3
left = torch._compile._disable_dynamo(own)  # as torch leaves its own out
assert left() == 3
assert vars(own)["__dynamo_disable"] is own, "left out by the stand-in"
torch._dynamo.config
assert left() == 3
assert vars(own)["__dynamo_disable"] is not own, "not left out by the real one"
half = torch.compile(lambda x: x / 2, backend="eager")
assert half(torch.ones(3)).tolist() == [0.5] * 3
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_an_optimizer_and_meta_do_without_and_who_asks_gets_it():
    done = run(SPARED)
    assert done.returncode == 0, done.stderr


def test_what_was_to_be_left_out_is_left_out_once_somebody_compiles():
    done = run(LEFT_OUT)
    assert done.returncode == 0, done.stderr


def test_a_first_check_and_a_first_step_do_without():
    for module, function in (("feedback", "judge"), ("train", "train")):
        code = f"import sys\nfrom vae_edu import {module}\n"
        code += CALLS[function] + f"\nassert {PART!r} not in sys.modules"
        done = run(code)
        assert done.returncode == 0, done.stderr


CALLS = {
    "judge": (
        "from vae_edu.lesson import find\n"
        "judged = feedback.judge(find('04').reference['gaussian_kl'])\n"
        "assert judged.passed"
    ),
    "train": (
        "import torch\nfrom vae_edu.models import mlp_400_20\n"
        "images = torch.rand(50, 784).round()\n"
        "train.train(mlp_400_20(), images, train.TrainConfig(epochs=1, batch_size=50))"
    ),
}


def test_without_it_they_would_not():
    done = run(SPARED.replace("spare_the_compiler()\nw", "w"))
    assert "AssertionError: imported" in done.stderr
