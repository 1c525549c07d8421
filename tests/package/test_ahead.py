"""Asking ahead: the same verdicts as asking one by one, whatever an answer does."""

from __future__ import annotations

import math
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from vae_edu import catalogue
from vae_edu.build.answers import all_mutants
from vae_edu.checks.judging import run_law
from vae_edu.checks.law import Broken, Law
from vae_edu.errors import CourseError
from vae_edu.grading.verdict import ahead, verdicts
from vae_edu.grading.verdict.ahead import ROOM, Line, Script, same, script_of
from vae_edu.grading.verdict.verdicts import Trial, truth_of
from vae_edu.grading.wall import zygote
from vae_edu.grading.wall.process import Fork
from vae_edu.lesson import Lesson, find
from vae_edu.probes import Probe
from vae_edu.subject import Engine, Request, local

SEED = "seed"
SECONDS = 20.0


@contextmanager
def process(objects):
    """Stands in for a law's process: the same loop, in a thread."""
    ours, theirs = socket.socketpair()
    ours.settimeout(SECONDS)
    thread = threading.Thread(
        target=zygote._serve, args=(theirs, Engine(objects)), daemon=True
    )
    thread.start()
    try:
        yield Fork(ours)
    finally:
        ours.close()
        thread.join(5)
        theirs.close()


def trial_of(topic):
    return Trial(None, topic, truth_of(topic), SEED, SECONDS)


def asked_ahead(topic, exercise, answer):
    """Verdicts up to the first broken law, and how often the line strayed."""
    laws, trial, strayed = find(topic).every_law(exercise), trial_of(topic), 0
    while True:
        with process({exercise: answer}) as fork:
            line = Line(fork, [verdicts._script(trial, law) for law in laws])
            found = verdicts._until_broken(trial, line, laws)
        if not line.strayed:
            return found, strayed
        strayed += 1


def asked_singly(topic, exercise, answer):
    laws, subject = find(topic).every_law(exercise), local({exercise: answer})
    found = []
    for law in laws:
        found.append(run_law(law, subject, truth_of(topic), SEED))
        if not found[-1].holds:
            break
    return found


def told(found):
    return [(v.law.name, v.holds, v.kind, v.message) for v in found]


EXERCISES = [
    ("kl_divergence", "gaussian_kl"),
    ("kl_divergence", "monte_carlo_kl"),
    ("building_the_vae", "Encoder"),
    ("training", "train_step"),
]
per_exercise = pytest.mark.parametrize(("topic", "exercise"), EXERCISES)


@per_exercise
def test_verdicts_are_those_of_asking_one_by_one(topic, exercise):
    pairs = zip(all_mutants(topic, exercise), all_mutants(topic, exercise), strict=True)
    for one, again in [*pairs][:12]:
        found, _ = asked_ahead(topic, exercise, one.answer)
        assert told(found) == told(asked_singly(topic, exercise, again.answer)), one


@per_exercise
def test_a_right_answer_strays_at_most_once_a_law(topic, exercise):
    right = find(topic).reference[exercise]
    found, strayed = asked_ahead(topic, exercise, right)
    assert all(v.holds for v in found)
    assert strayed <= len(found)
    found, strayed = asked_ahead(topic, exercise, right)
    assert all(v.holds for v in found)
    assert strayed == 0


def test_the_laws_of_functions_are_foreseen_to_the_end():
    for entry in catalogue.exercises_of("kl_divergence"):
        for law in find("kl_divergence").every_law(entry.name):
            script = script_of("kl_divergence", law, truth_of("kl_divergence"), SEED)
            assert script.whole
            assert [r.anew for r in script.requests] == [
                i == 0 for i in range(len(script.frames))
            ]


def test_without_a_reference_nothing_is_foreseen(monkeypatch):
    def none(lesson):
        raise CourseError("not here")

    monkeypatch.setattr(Lesson, "reference", property(none))
    law = replace(find("kl_divergence").every_law("gaussian_kl")[0], name="another")
    script = script_of("kl_divergence", law, truth_of("kl_divergence"), SEED)
    assert script == Script()


# --- laws of this test ----------------------------------------------------------------


def law_that(body, name="values"):
    return Law("double", name, "it doubles", body)


def script(*inputs, whole=True):
    requests = [
        Request("call", "double", args=(x,), anew=i == 0) for i, x in enumerate(inputs)
    ]
    frames = [ahead.wire.frame(ahead.wire.request_message(r)) for r in requests]
    return Script(requests, frames, whole)


def expect(subject, x):
    if not torch.equal(subject.call("double", x), 2 * x):
        raise Broken("no")


def judged(laws, scripts, answer=lambda x: 2 * x, seconds=SECONDS):
    with process({"double": answer}) as fork:
        line = Line(fork, scripts)
        trial = Trial(None, "none", None, SEED, seconds)
        return [verdicts._tried(trial, line, law) for law in laws], line


ONE, TWO = torch.tensor(1.0), torch.tensor(2.0)


def test_a_law_that_asks_what_follows_from_an_answer_strays_and_is_cut():
    def adaptive(subject, truth, draw):
        expect(subject, ONE)
        expect(subject, subject.call("double", TWO))

    foreseen = script(ONE, TWO, TWO)  # not what 2 * TWO is
    found, line = judged([law_that(adaptive)], [foreseen])
    assert line.strayed
    assert not found[0].holds
    assert len(foreseen.requests) == len(foreseen.frames) == 2
    assert not foreseen.whole
    found, line = judged([law_that(adaptive)], [foreseen])
    assert not line.strayed
    assert found[0].holds


@pytest.mark.parametrize("asked", [(), (ONE,), (ONE, TWO, ONE, TWO)])
def test_a_law_that_asks_less_or_more_than_foreseen_strays(asked):
    def body(subject, truth, draw):
        for x in asked:
            expect(subject, x)

    laws = [law_that(body), law_that(lambda s, *_: expect(s, TWO), "then")]
    scripts = [script(ONE, TWO), script(TWO)]
    _, line = judged(laws, scripts)
    assert line.strayed
    found, line = judged(laws, scripts)
    assert not line.strayed
    assert [v.holds for v in found] == [True, True]


def test_after_a_script_that_is_cut_the_next_law_is_foreseen_again():
    def longer(subject, truth, draw):
        for x in (ONE, TWO, ONE):
            expect(subject, x)

    last = law_that(lambda s, *_: expect(s, TWO), "then")
    found, line = judged(
        [law_that(longer), last], [script(ONE, whole=False), script(TWO)]
    )
    assert not line.strayed
    assert [v.holds for v in found] == [True, True]


def test_more_than_a_socket_holds_goes_both_ways():
    inputs = [torch.full((ROOM // 4,), float(i)) for i in range(40)]
    inputs += [torch.full((2**19,), 1.0)]

    def body(subject, truth, draw):
        for x in inputs:
            expect(subject, x)

    found, line = judged([law_that(body)], [script(*inputs)])
    assert not line.strayed
    assert found[0].holds


def test_an_answer_may_take_its_time_but_not_more():
    def slow(x):
        time.sleep(0.2)
        return 2 * x

    def body(subject, truth, draw):
        for x in (ONE, TWO, ONE, TWO):
            expect(subject, x)

    foreseen = [script(ONE, TWO, ONE, TWO)]
    found, _ = judged([law_that(body)], foreseen, slow)
    assert found[0].holds
    found, line = judged([law_that(body)], foreseen, slow, seconds=0.3)
    assert found[0].message.startswith("Timeout")
    assert not line.strayed


def test_a_process_that_ends_while_much_is_under_way():
    def ends(x):
        raise KeyboardInterrupt  # ends the loop, as a killed process would

    def body(subject, truth, draw):
        for x in (ONE, TWO, ONE):
            expect(subject, x)

    threading.excepthook, before = lambda _: None, threading.excepthook
    try:
        found, _ = judged([law_that(body)], [script(ONE, TWO, ONE)], ends, seconds=1.0)
    finally:
        threading.excepthook = before
    assert not found[0].holds
    assert found[0].message.startswith(("Died", "Timeout"))


# --- equality -------------------------------------------------------------------------

NAN = torch.tensor([math.nan, 1.0])
REQUEST = Request("call", "f", args=(NAN, Probe("sine", ONE)), kwargs={"k": 3})


def test_equal_requests_are_the_same():
    again = Request("call", "f", args=(NAN.clone(), Probe("sine", ONE.clone())))
    again.kwargs["k"] = 3
    assert same(REQUEST, again)
    assert same(float("nan"), float("nan"))


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, name="g"),
        replace(REQUEST, args=REQUEST.args[:1]),
        replace(REQUEST, args=(NAN + 1, REQUEST.args[1])),
        replace(REQUEST, args=(NAN.double(), REQUEST.args[1])),
        replace(REQUEST, args=(NAN[None], REQUEST.args[1])),
        replace(REQUEST, args=(NAN.to("meta"), REQUEST.args[1])),
        replace(REQUEST, args=(NAN, Probe("step", ONE))),
        replace(REQUEST, args=(NAN, Probe("sine", TWO))),
        replace(REQUEST, kwargs={"k": 3.0}),
        replace(REQUEST, kwargs={"j": 3}),
        replace(REQUEST, options={"trap": True}),
    ],
)
def test_other_requests_are_not(other):
    assert not same(REQUEST, other)
