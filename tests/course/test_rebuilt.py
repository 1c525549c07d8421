"""A mistake is called by its name in any form, fails in it, and earns no more."""

from __future__ import annotations

import hashlib
import os

import pytest

from tests.rebuilt import FORMS, Outcome, all_rebuilt, outcome, rebuilt_modules
from vae_edu.build.answers import Mutant
from vae_edu.build.course import authored

SHARE = 1 if os.environ.get("VAE_EDU_ALL_FORMS") else 12  # one of so many is tried
NAMED = 0.9


def drawn(mutant: Mutant, form: str) -> bool:
    """Whether a mistake is tried in a form: the same ones on every machine."""
    key = f"{mutant.exercise}/{mutant.name}/{form}".encode()
    return int(hashlib.sha256(key).hexdigest(), 16) % SHARE == 0


@pytest.fixture(scope="module", params=authored())
def outcomes(request) -> list[Outcome]:
    topic = request.param
    tried = [pair for pair in all_rebuilt(topic) if drawn(*pair)]
    return [outcome(topic, mutant, form) for mutant, form in tried]


def test_a_mistake_in_another_form_fails_is_named_and_earns_little(outcomes):
    assert [str(o) for o in outcomes if not o.fails] == []
    unnamed = [str(o) for o in outcomes if not o.named]
    assert len(unnamed) <= max(1, (1 - NAMED) * len(outcomes)), unnamed
    dear = [o for o in outcomes if o.mutant.category != "form" and o.share > 0.5]
    assert [str(o) for o in dear] == []
    # 0.46 is seen where float32 inside a VAE meets its laws of gradients
    poor = [o for o in outcomes if o.mutant.category == "form" and o.share < 0.4]
    assert [str(o) for o in poor] == []


@pytest.mark.parametrize("form", FORMS)
def test_nearly_all_mistakes_of_the_modules_are_rebuilt_in_each_form(form):
    made = [m.exercise for m in rebuilt_modules("building_the_vae", form)]
    assert {"Encoder", "Decoder", "VAE"} == set(made)
    assert len(made) > 130
    heads = form == "one head split in two"  # an autoencoder has none
    assert (len(rebuilt_modules("autoencoders", form)) > 35) is not heads
