"""How strong the laws of each lesson are: right answers pass, wrong ones fail and are
named.

What belongs here: the audit of every exercise, the contract, and two answers that no
register can hold: the stub, and one that was learnt by heart. What does not: a lesson's
own mathematics.
"""

from __future__ import annotations

import ast
from importlib import import_module
from typing import Any

import pytest
from torch import Tensor

from tests.audit import Audit, accepted, audit, unnamed
from vae_edu import catalogue
from vae_edu.build.course import authored
from vae_edu.build.numbers import outcomes
from vae_edu.catalogue import Exercise, exercises_of
from vae_edu.checks.judging import run_law, run_public
from vae_edu.checks.law import Law
from vae_edu.feedback import check, judge
from vae_edu.lesson import find
from vae_edu.subject import local
from vae_edu.work import stub_of

LESSONS = authored()
EXERCISES = [entry for topic in LESSONS for entry in exercises_of(topic)]
MUTANTS, VARIANTS, NAMED = 6, 3, 0.95

per_lesson = pytest.mark.parametrize("topic", LESSONS)
per_exercise = pytest.mark.parametrize("entry", EXERCISES, ids=lambda e: e.name)

# CURRICULUM.md's contract for Part I, typed once: names, parameters and their order.
# Under a class, "" is its constructor, the others its methods.
CONTRACT: dict[str, dict[str, str | dict[str, str]]] = {
    "start_here": {"log_mean_exp": "log_values dim"},
    "autoencoders": {
        "squared_error": "x x_hat",
        "Autoencoder": {
            "": "input_dim hidden_dim latent_dim",
            "encode": "x",
            "decode": "z",
            "forward": "x",
        },
    },
    "latent_variable_models": {
        "gaussian_log_prob": "x mean log_var",
        "linear_gaussian_log_evidence": "x weight bias log_var",
        "linear_gaussian_posterior": "x weight bias log_var",
        "monte_carlo_log_evidence": "log_likelihoods",
        "importance_log_evidence": "log_joint log_q",
    },
    "elbo": {
        "jensen_gap": "values probs",
        "discrete_log_evidence": "log_joint",
        "discrete_posterior": "log_joint",
        "discrete_kl": "q p",
        "discrete_elbo": "log_joint q",
        "elbo_terms": "log_likelihood log_prior q",
    },
    "kl_divergence": {
        "expected_log_q": "log_var",
        "expected_log_prior": "mu log_var",
        "gaussian_kl": "mu log_var",
        "gaussian_kl_between": "mu_q log_var_q mu_p log_var_p",
        "monte_carlo_kl": "mu log_var eps",
        "gaussian_kl_gradients": "mu log_var",
    },
    "reparameterization": {
        "reparameterize": "mu log_var eps",
        "gaussian_score": "z mu log_var",
        "score_function_gradient": "f mu log_var eps",
        "pathwise_gradient": "f mu log_var eps",
        "score_function_gradient_with_baseline": "f mu log_var eps",
    },
    "likelihoods": {
        "bernoulli_log_likelihood": "x logits",
        "gaussian_log_likelihood": "x mean log_var",
        "binarize": "x uniform",
        "effective_beta": "num_pixels num_latents",
        "bits_per_dim": "nll num_dims",
    },
    "building_the_vae": {
        "Encoder": {"": "input_dim hidden_dim latent_dim", "forward": "x"},
        "Decoder": {"": "latent_dim hidden_dim input_dim", "forward": "z"},
        "VAE": {
            "": "input_dim hidden_dim latent_dim",
            "forward": "x eps",
            "sample": "z",
        },
        "negative_elbo": "x logits mu log_var beta",
    },
    "training": {
        "train_step": "model optimizer x eps beta",
        "evaluate": "model x eps",
        "kl_warmup": "step warmup_steps",
    },
    "importance_weighting": {
        "log_importance_weights": "x logits z mu log_var",
        "iwae_bound": "log_weights",
        "effective_sample_size": "log_weights",
    },
}


# --- the contract -----------------------------------------------------------------


@pytest.mark.parametrize("topic", CONTRACT)
def test_every_lesson_is_there(topic):
    assert topic in LESSONS


@per_lesson
def test_the_stubs_keep_the_contract(topic, root):
    stubs = signatures(root / "vae_edu" / "exercises" / f"{topic}.py")
    expected = CONTRACT.get(topic, {})
    assert {name: stubs.get(name) for name in expected} == expected


def signatures(path) -> dict[str, str | dict[str, str]]:
    """Names and parameters of a module's definitions, as written in it."""
    found: dict[str, str | dict[str, str]] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = parameters(node)
        elif isinstance(node, ast.ClassDef):
            methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
            named = {n.name.replace("__init__", ""): n for n in methods}
            found[node.name] = {k: parameters(n) for k, n in named.items()}
    return found


def parameters(node: ast.FunctionDef) -> str:
    a = node.args
    special = [a.vararg, a.kwarg, *a.kwonlyargs, *a.posonlyargs]
    assert not any(special), node.name
    return " ".join(p.arg for p in a.args if p.arg != "self")


# --- the audit --------------------------------------------------------------------


def found(entry: Exercise) -> Audit:
    return audit(entry.topic, entry.name)


@per_exercise
def test_the_reference_passes_every_law(entry):
    assert accepted(entry.topic, entry.name)[0] == []


@per_exercise
def test_no_right_answer_is_refused(entry):
    assert accepted(entry.topic, entry.name)[1] == []
    own = [v for v in find(entry.topic).variants if v.exercise == entry.name]
    assert len(own) >= VARIANTS


@per_exercise
def test_no_wrong_answer_survives(entry):
    assert found(entry).surviving == []
    assert found(entry).mutants >= MUTANTS


@per_exercise
def test_a_wrong_answer_earns_what_it_is_worth(entry):
    assert found(entry).dear == []


@per_exercise
def test_every_law_has_a_wrong_answer_that_it_alone_finds(entry):
    assert found(entry).idle == []


@per_lesson
def test_wrong_answers_are_called_by_their_names(topic):
    names = [e.name for e in exercises_of(topic)]
    lost = [f"{name}: {row}" for name in names for row in unnamed(topic, name)]
    tried = sum(len(outcomes(topic, name)) for name in names)
    assert len(lost) <= (1 - NAMED) * tried, lost


@per_lesson
def test_each_misconception_has_a_name_and_words_of_its_own(topic):
    for entry in exercises_of(topic):
        own = [m for m in find(topic).mistakes if m.exercise == entry.name]
        assert len({m.name for m in own}) == len(own), entry.name
        assert len({m.sentence for m in own}) == len(own), entry.name
        assert all(len(m.sentence.split()) >= 3 for m in own), entry.name


# --- the stub ---------------------------------------------------------------------


@per_exercise
def test_a_stub_is_unfinished_and_told_so_kindly(entry, work):
    feedback = judge(entry.name)
    assert feedback.unfinished
    assert not feedback.passed
    assert "not filled in yet" in feedback.title()
    assert "Traceback" not in str(feedback)
    with pytest.raises(NotImplementedError) as error:
        check(stub_of(entry))
    assert entry.card.number in str(error.value)
    assert error.value._render_traceback_() == [str(error.value)]


# --- learnt by heart --------------------------------------------------------------


class ByHeart:
    """Right for exactly the inputs of the public laws, a little off for others."""

    def __init__(self, right: Any) -> None:
        self.right, self.known, self.learning = right, set(), True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        key = tuple(map(fingerprint, (*args, *sorted(kwargs.items()))))
        if self.learning:
            self.known.add(key)
        value = self.right(*args, **kwargs)
        return value if key in self.known else off(value)


def fingerprint(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(fingerprint, value))
    if not isinstance(value, Tensor):
        return "function" if callable(value) else repr(value)
    kind = (value.dtype, tuple(value.shape), value.device.type)
    return kind if value.device.type == "meta" else (*kind, repr(value.tolist()))


def off(value: Any) -> Any:
    return tuple(map(off, value)) if isinstance(value, tuple) else value * 1.001 + 0.01


def fresh_law(entry: Exercise) -> Law | None:
    laws = find(entry.topic).hidden.of(entry.name)
    return next((law for law in laws if law.name == "fresh inputs"), None)


@per_exercise
def test_an_answer_learnt_by_heart_passes_in_public_and_fails_on_fresh_inputs(entry):
    topic, name = entry.topic, entry.name
    if fresh_law(entry) is None:
        pytest.skip(f"{name} is a class, judged at hidden inputs by laws of its own")
    answer = ByHeart(find(topic).reference[name])
    assert all(v.holds for v in run_public(topic, name, local({name: answer})))
    answer.learning = False
    assert all(v.holds for v in run_public(topic, name, local({name: answer})))
    verdict = run_law(
        fresh_law(entry), local({name: answer}), find(topic).oracle, "judge"
    )
    assert verdict.kind == "value", verdict.message


@per_lesson
def test_every_function_has_a_law_of_fresh_inputs_and_every_class_a_hidden_law(topic):
    module = import_module(f"vae_edu.exercises.{topic}")
    hidden = find(topic).hidden
    for entry in exercises_of(topic):
        assert hidden.of(entry.name), entry.name
        if not isinstance(module.__stubs__[entry.name], type):
            assert fresh_law(entry), entry.name


def test_the_catalogue_and_the_contract_have_the_same_lessons():
    assert tuple(CONTRACT) == catalogue.TOPICS[: len(CONTRACT)]
