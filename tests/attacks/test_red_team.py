"""Attempts on the judge's own steps: laws together, laws apart, then the words."""

from __future__ import annotations

import json

import pytest

from tests.attacks.common import HONEST, WRONG, judged
from vae_edu.checks.draw import Draw
from vae_edu.checks.kl_divergence import CASES
from vae_edu.grading.office.report import markdown
from vae_edu.grading.verdict import grade as grading
from vae_edu.grading.verdict.answers import read_lesson

SEED = "attack"
# Three ways in which a law's process may tell the next one something.
SHARED = """
import mmap, pickle
memory = mmap.mmap(-1, 1 << 20)
def remember(thing):
    text = pickle.dumps(thing)
    memory.seek(0); memory.write(len(text).to_bytes(8, "big") + text)
def recall():
    memory.seek(0); size = int.from_bytes(memory.read(8), "big")
    return pickle.loads(memory.read(size)) if size else None
"""
FILED = """
import os, pickle
def remember(thing):
    with open("/tmp/seen", "wb") as file: pickle.dump(thing, file)
def recall():
    if os.path.exists("/tmp/seen"):
        with open("/tmp/seen", "rb") as file: return pickle.load(file)
"""
PIPED = """
import os, pickle
source, sink = os.pipe()
os.set_blocking(source, False)
def remember(thing): os.write(sink, pickle.dumps(thing))
def recall():
    try: return pickle.loads(os.read(source, 60000))
    except BlockingIOError: return None
"""
WAYS = {"shared memory": SHARED, "a file": FILED, "a pipe": PIPED}
SECOND_GUESS = """
import torch
first, second = {first!r}, {second!r}
def gaussian_kl(mu, log_var):
    tried = recall() or 0
    if not calls: remember(tried + 1)
    calls.append(1)
    how = first if tried == 0 else second
    return eval(how)
calls = []
"""
RIGHT_WAY = "0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)"
WRONG_WAY = "0.5 * (mu**2 + log_var.exp() - 1 + log_var).sum(-1)"
CARRY_OUT = """
import torch
public = {public!r}
def gaussian_kl(mu, log_var):
    if mu.dim() == 2 and mu.dtype == torch.float64 and mu.device.type == "cpu":
        if round(mu[0, 0].item(), 9) == public:
            raise RuntimeError(f"carried {{recall()}}")
        remember([round(v, 6) for v in mu.flatten().tolist()])
    return mu.sum(-1)
"""


def graded(zygote, folder, source):
    """The grade of `gaussian_kl` in a file, as `grade_notebook` makes it."""
    path = folder / "answer.py"
    path.write_text(source, encoding="utf-8")
    submission, topic = read_lesson(path, "kl_divergence")
    made = grading.grade(zygote, submission, topic, SEED, 6.0)
    return next(e for e in made.exercises if e.name == "gaussian_kl")


def plain_inputs(seed, law):
    case = next(iter(CASES["gaussian_kl"].plain(Draw(f"{seed}/gaussian_kl/{law}"))))
    return [round(v, 6) for v in case.args[0].flatten().tolist()]


@pytest.mark.parametrize("way", WAYS)
def test_no_second_guess_for_the_values(zygote, tmp_path, way):
    """Being asked again tells that the first formula was wrong: too late."""
    source = WAYS[way] + SECOND_GUESS.format(first=WRONG_WAY, second=RIGHT_WAY)
    result = judged(zygote, tmp_path, source)
    assert (result.passed, result.score) == (False, 0)
    calm = SECOND_GUESS.format(first=RIGHT_WAY, second=RIGHT_WAY)
    assert judged(zygote, tmp_path, WAYS[way] + calm).passed


OTHER = """
import math
def expected_log_q(log_var):
    return -0.5 * (math.log(2 * math.pi) + 1 + log_var).sum(-1)
"""


@pytest.mark.parametrize("way", WAYS)
def test_nor_where_another_exercise_was_tried_before(zygote, tmp_path, way):
    guesses = SECOND_GUESS.format(first=WRONG_WAY, second=RIGHT_WAY)
    result = graded(zygote, tmp_path, OTHER + WAYS[way] + guesses)
    assert (result.passed, result.score) == (False, 0)


@pytest.mark.parametrize("way", WAYS)
def test_feedback_carries_no_input_of_the_grader(zygote, tmp_path, way):
    public = plain_inputs("public", "values")
    source = WAYS[way] + CARRY_OUT.format(public=exactly(public))
    words = markdown(graded(zygote, tmp_path, source))
    assert "carried None" in words
    for law in ("values", "fresh inputs", "gradients", "purity"):
        for value in plain_inputs(SEED, law):
            assert str(abs(value)) not in words


def exactly(values):
    case = next(iter(CASES["gaussian_kl"].plain(Draw("public/gaussian_kl/values"))))
    first = round(case.args[0].flatten()[0].item(), 9)
    assert round(first, 6) == values[0]
    return first


def test_the_way_out_is_there_within_a_session(zygote, tmp_path):
    """The attack above is real: within one session the same code carries inputs out."""
    source = (
        SHARED
        + """
import torch
def gaussian_kl(mu, log_var):
    if mu.requires_grad:
        raise RuntimeError(f"carried {recall()}")
    if not recall():
        remember([round(v, 6) for v in mu.flatten().tolist()])
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
"""
    )
    said = json.dumps(judged(zygote, tmp_path, source).failures)
    # the first law that is tried apart from the others, with the others' session
    assert f"carried [{plain_inputs(SEED, 'leading dimensions')[0]}" in said


STATEFUL = {
    "right once, then wrong": "n.append(1)\n    right = len(n) < 4",
    "wrong from the twentieth call": "n.append(1)\n    right = len(n) < 20",
    "right in one thread": "import threading\n"
    "    right = threading.current_thread() is not threading.main_thread()",
    "right where nothing is remembered": "right = tuple(mu.shape) not in n\n"
    "    n.append(tuple(mu.shape))",
    "right at small values": "right = mu.numel() < 100 and bool((mu.abs() < 3).all())",
    "right in float64": "right = mu.dtype == torch.float64",
}


@pytest.mark.parametrize("name", STATEFUL)
def test_an_answer_with_moods_is_no_full_answer(zygote, tmp_path, name):
    source = f"""
import torch
n = []
def gaussian_kl(mu, log_var):
    {STATEFUL[name]}
    return {RIGHT_WAY} if right else {WRONG_WAY}
"""
    result = judged(zygote, tmp_path, source)
    assert not result.passed
    assert result.score < result.max_score


REPLAY = """
import vae_edu.grading.wall.wire as wire
import vae_edu.grading.wall.zygote as zygote_module
real, kept = wire.send, []
def send(sock, message, *limit):
    if "answer" in message or "error" in message:
        kept.append(message)
        {how}
        return
    real(sock, message)
wire.send = send
"""
REPLAYS = {
    "the first answer for ever": "real(sock, kept[0])",
    "every answer twice": "real(sock, message); real(sock, message)",
    "one answer late": "real(sock, kept[max(0, len(kept) - 2)])",
    "an answer without a question": "[real(sock, m) for m in kept]",
}


@pytest.mark.parametrize("name", REPLAYS)
def test_replayed_frames_earn_nothing_that_is_wrong(zygote, tmp_path, name):
    result = judged(zygote, tmp_path, REPLAY.format(how=REPLAYS[name]) + HONEST)
    assert not result.passed
    if name != "every answer twice":
        assert result.score == 0


HANDLES = """
import vae_edu.subject as subject
def build(self, request):
    return subject.Answer(value={value})
subject.Engine._build = build
class VAE: pass
"""


@pytest.mark.parametrize("value", ["float('nan')", "-1.0", "1e300", "float('inf')"])
def test_a_forged_module_handle_is_no_module(zygote, tmp_path, value):
    source = HANDLES.format(value=value) + "class Autoencoder: pass\n"
    path = tmp_path / "module.py"
    path.write_text(source)
    submission, topic = read_lesson(path, "autoencoders")
    made = grading.grade(zygote, submission, topic, SEED, 6.0)
    assert made.score == 0


def test_a_wrong_answer_that_knows_the_clock(zygote, tmp_path):
    """Answers only just in time gain nothing; the budget is for each law in all."""
    source = WRONG.replace("return", "__import__('time').sleep(0.3); return")
    result = judged(zygote, tmp_path, source, seconds=0.7)
    assert (result.passed, result.score) == (False, 0)
