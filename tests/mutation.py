"""cosmic-ray's operators on the reference answers: does a law notice every mutation?

`python -m tests.mutation 04` lists survivors. cosmic-ray makes the mutations; they are
judged in this process, which takes seconds where a process for each would take an hour.
A survivor is right only if it is shown to be equivalent, with the reason, in
`EQUIVALENT`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from tests.audit import SEED
from vae_edu.checks.judging import run_law
from vae_edu.learner.shelf import load_module
from vae_edu.lesson import find, on_reference
from vae_edu.subject import local

# (exercise, mutated line) -> why no law can tell it from the reference
ANY_SHIFT = "the shift cancels (lesson 00, equation 2), so any finite one is right"
PROBABILITY = "a probability is never negative: not 0 and above 0 say the same"
FLAT = "images are (batch, input), where dimension 1 is the last one"
EQUIVALENT: dict[tuple[str, str], str] = {
    (
        "log_mean_exp",
        "m = m.masked_fill(m <= -math.inf, 0.0)",
    ): "nothing lies below -inf: at most and equal to it say the same",
    ("log_mean_exp", "m = m.masked_fill(m == -math.inf, 1.0)"): ANY_SHIFT,
    ("log_mean_exp", "m = m.masked_fill(m == -math.inf, -1.0)"): ANY_SHIFT,
    ("squared_error", "return ((x - x_hat) ** 2).sum(+1)"): FLAT,
    ("squared_error", "return ((x - x_hat) ** 2).sum(1)"): FLAT,
    (
        "jensen_gap",
        "weighted = torch.where(probs != 0, probs * values, 0.0)",
    ): PROBABILITY,
    ("discrete_elbo", "return torch.where(q != 0, terms, 0.0).sum(-1)"): PROBABILITY,
    (
        "discrete_kl",
        "return torch.where(q != 0, torch.xlogy(q, q) - q * p.log(), 0.0).sum(-1)",
    ): PROBABILITY,
    ("elbo_gap", "return torch.where(q != 0, terms, 0.0).sum(-1)"): PROBABILITY,
    (
        "elbo_terms",
        "reconstruction = torch.where(q != 0, q * log_likelihood, 0.0).sum(-1)",
    ): PROBABILITY,
    (
        "elbo_terms",
        "kl = torch.where(q != 0, torch.xlogy(q, q) - q * log_prior, 0.0).sum(-1)",
    ): PROBABILITY,
    (
        "active_units",
        "return (mu.var(0, correction=0) >= 0.01).to(mu.dtype)",
    ): "0.01 is no binary number: a variance of exactly 0.01 is a matter of rounding",
}


@dataclass(frozen=True)
class Mutation:
    """One mutated reference: the operator and the lines that it changed."""

    exercise: str
    operator: str
    line: str
    source: str


def bare_source(topic: str, exercise: str) -> str:
    """The imports and one exercise, without its card, docstring and annotations."""
    tree = ast.parse(find(topic).file("exercises").read_text(encoding="utf-8"))
    kept: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            kept.append(node)
        elif getattr(node, "name", "") == exercise:
            kept.append(_bare(node))
    return ast.unparse(ast.Module(kept, [])) + "\n"


def _bare(node: ast.stmt) -> ast.stmt:
    for item in ast.walk(node):
        if isinstance(item, ast.FunctionDef | ast.ClassDef):
            item.decorator_list = []
            if ast.get_docstring(item) is not None:
                item.body = item.body[1:] or [ast.Pass()]
        if isinstance(item, ast.FunctionDef):
            item.returns = None
        if isinstance(item, ast.arg):
            item.annotation = None
    return node


def mutations(topic: str, exercise: str) -> Iterator[Mutation]:
    """Every mutation that cosmic-ray has for one reference answer."""
    source = bare_source(topic, exercise)
    for name in operator_names():
        if "Variable" in name:
            continue  # these need the name of a variable to replace
        occurrence = 0
        while True:
            changed = mutate_code(source, get_operator(name)(), occurrence)
            if changed is None:
                break
            if changed != source:
                yield Mutation(exercise, name, _changed_line(source, changed), changed)
            occurrence += 1


def _changed_line(before: str, after: str) -> str:
    old = set(before.splitlines())
    return "; ".join(x.strip() for x in after.splitlines() if x not in old)


def survives(topic: str, mutation: Mutation) -> bool:
    """True where no law, public or hidden, notices the mutation."""
    try:
        with on_reference(mutation.source):
            module = load_module("mutated", mutation.source, "<mutated>")
        answer = getattr(module, mutation.exercise)
    except Exception:
        return False  # it cannot even be defined
    subject, lesson = local({mutation.exercise: answer}), find(topic)
    truth, laws = lesson.oracle, lesson.every_law(mutation.exercise)
    return all(run_law(law, subject, truth, SEED).holds for law in laws)


def survivors(topic: str) -> tuple[int, list[Mutation]]:
    """How many mutations there are of a lesson's references, and which survive."""
    made = [m for e in find(topic).exercises for m in mutations(topic, e.name)]
    return len(made), [m for m in made if survives(topic, m)]


if __name__ == "__main__":
    count, alive = survivors(find(sys.argv[1]).topic)
    for mutation in alive:
        known = EQUIVALENT.get((mutation.exercise, mutation.line))
        print(f"{mutation.exercise}: {mutation.operator}")
        print(f"    {mutation.line}  ({known})")
    print(f"{count} mutations, {len(alive)} survive")
