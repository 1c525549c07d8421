"""What learners write in place of an Encoder, a Decoder, a VAE or an Autoencoder, and
what they are told: by `check` in the notebook, and by `vae-edu judge` for a grade.

What belongs here: mistakes that once were unnamed, called by a wrong name, or earned
nearly all of the points; and right answers that a seed once refused. What does not:
every mistake in every form (tests/rebuilt, and the lesson's mistakes.py, unseen.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from tests.unseen import Unseen
from vae_edu.checks.judging import score
from vae_edu.feedback import judge
from vae_edu.grading.verdict import judge as grading
from vae_edu.grading.wall import process
from vae_edu.lesson import find

HEAD = "import torch\nimport torch.nn.functional as F\nfrom torch import nn\n"
ENCODER = """
class Encoder(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.{bag} = {open}nn.Linear(input_dim, hidden_dim){close}
        self.mean = nn.Linear(hidden_dim, latent_dim)
        self.spread = nn.Linear(hidden_dim, latent_dim)

    def forward(self, x):
        h = {bend}(self.{bag}{first}(x))
        return self.mean(h), {log_var}
"""
DECODER = """
class Decoder(nn.Module):
    def __init__(self, latent_dim, hidden_dim, input_dim):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(latent_dim, hidden_dim), nn.{bend}(),
            nn.Linear(hidden_dim, input_dim), nn.Sigmoid(),
        )

    def forward(self, z):
        return self.net(z)
"""
VAE = """
class VAE(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.q = nn.Sequential(
            nn.Linear(input_dim, hidden_dim), nn.SiLU(),
            nn.Linear(hidden_dim, 2 * latent_dim),
        )
        self.p = nn.Sequential(
            nn.Linear(latent_dim, hidden_dim), nn.SiLU(),
            nn.Linear(hidden_dim, input_dim),
        )

    def forward(self, x, eps):
        mu, log_var = self.q(x).chunk(2, -1)
        z = {z}
        return {results}

    {decorator}
    def sample(self, z):
        return torch.sigmoid(self.p(z))
"""
AUTOENCODER = """
class Autoencoder(nn.Module):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__()
        self.up = nn.Sequential(
            nn.Linear(input_dim, hidden_dim), nn.Tanh(),
            nn.Linear(hidden_dim, latent_dim), nn.ReLU(),
        )
        self.down = nn.Sequential(
            nn.Linear(latent_dim, hidden_dim), nn.Tanh(),
            nn.Linear(hidden_dim, input_dim),
        )

    def encode(self, x):
        return self.up(x)

    def decode(self, z):
        return self.down(z)

    def forward(self, x):
        code = self.encode(x)
        return self.decode(code), code
"""


def encoder(
    bend: str = "torch.relu", log_var: str = "self.spread(h)", listed: bool = False
) -> str:
    """The source of an Encoder, right as it stands but for its list."""
    parts = {"bag": "hidden", "open": "", "close": "", "first": ""}
    if listed:
        parts |= {"open": "[", "close": "]", "first": "[0]"}
    return ENCODER.format(bend=bend, log_var=log_var, **parts)


def vae(
    z: str = "mu + (log_var / 2).exp() * eps",
    results: str = "self.p(z), mu, log_var, z",
    decorator: str = "",
) -> str:
    """The source of a VAE, right as it stands."""
    return VAE.format(z=z, results=results, decorator=decorator)


class Wrong(NamedTuple):
    """A wrong answer's source, and words of a name that is true of it."""

    exercise: str
    source: str
    name: str


SOFTPLUS = "F.softplus(self.spread(h))"
WRONG = {
    **{
        f"softplus behind {bend}": Wrong("Encoder", encoder(bend, SOFTPLUS), "softplus")
        for bend in ("torch.tanh", "F.elu", "F.leaky_relu", "torch.sigmoid")
    },
    "sigma for log_var": Wrong(
        "Encoder",
        encoder(log_var="torch.exp(self.spread(h) / 2)"),
        "A spread is returned",
    ),
    "a list of layers": Wrong("Encoder", encoder(listed=True), "does not know"),
    "sigmoid at the end": Wrong("Decoder", DECODER.format(bend="Tanh"), "Probab"),
    "the mean in evaluation": Wrong(
        "VAE",
        vae("mu + (log_var / 2).exp() * eps if self.training else mu"),
        "training mode only",
    ),
    "noise of its own": Wrong(
        "VAE",
        vae("mu + (log_var / 2).exp() * torch.randn_like(mu)"),
        "drawn inside",
    ),
    "another order": Wrong(
        "VAE", vae(results="self.p(z), z, mu, log_var"), "another order"
    ),
    "sample under no_grad": Wrong(
        "VAE", vae(decorator="@torch.no_grad()"), "sample has no gradient"
    ),
}
RIGHT = (
    ("Encoder", encoder("F.hardsigmoid"), "seed11"),
    ("Autoencoder", AUTOENCODER, "judge"),
    ("VAE", vae(), "judge"),
)


@pytest.fixture(scope="module")
def zygote():
    """One start-up for all of this module's files."""
    warm = process.Zygote()
    yield warm
    warm.close()


def graded(zygote: Any, folder: Any, source: str, exercise: str, seed: str) -> Any:
    """What `vae-edu judge` says of one answer."""
    path = folder / "answer.py"
    path.write_text(HEAD + source, encoding="utf-8")
    results = grading.judge_file(zygote, path, exercise, seed, 60.0)
    return next(r for r in results if r.exercise == exercise)


def built(exercise: str, source: str) -> type:
    """The class that a source makes."""
    scope: dict[str, Any] = {}
    exec(HEAD + source, scope)
    return scope[exercise]


@pytest.mark.parametrize("case", WRONG)
def test_check_calls_it_by_its_name(case):
    wrong = WRONG[case]
    feedback = judge(built(wrong.exercise, wrong.source))
    assert feedback.known is not None
    assert wrong.name in feedback.known.name
    assert score(feedback.verdicts, 1.0) <= 0.5


@pytest.mark.parametrize("case", WRONG)
def test_judge_calls_it_by_its_name_and_keeps_half_of_the_points(
    zygote, tmp_path, case
):
    wrong = WRONG[case]
    result = graded(zygote, tmp_path, wrong.source, wrong.exercise, "judge")
    assert not result.passed
    assert wrong.name in str(result.misconception)
    assert result.score <= result.max_score / 2


@pytest.mark.parametrize(("exercise", "source", "seed"), RIGHT)
def test_a_right_answer_passes_for_the_seed_that_once_refused_it(
    zygote, tmp_path, exercise, source, seed
):
    result = graded(zygote, tmp_path, source, exercise, seed)
    assert (result.passed, result.failures) == (True, [])


def test_nothing_is_said_of_parameters_where_sample_has_no_gradient():
    wrong = WRONG["sample under no_grad"]
    said = str(judge(built("VAE", wrong.source)))
    assert "trainable parameters" not in said


# --- mistakes that nothing was built from ---------------------------------------------

UNSEEN: list[Unseen] = find("building_the_vae").authored("unseen_modules").UNSEEN


@pytest.mark.parametrize("wrong", UNSEEN, ids=lambda u: u.answer.__name__)
def test_an_unseen_module_is_called_by_a_true_name_and_earns_little(wrong):
    feedback = judge(type(wrong.exercise, (wrong.answer,), {}))
    assert feedback.known is not None
    assert {feedback.known.name, feedback.known.label} & set(wrong.names)
    form = feedback.known.category == "form"
    assert (score(feedback.verdicts, 1.0) <= 0.5) is not form
