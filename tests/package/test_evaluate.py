"""The numbers: the fast form against the readable one, and both against the truth."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Generator, nn

from vae_edu import data, evaluate, models
from vae_edu.errors import CourseError
from vae_edu.evaluate import EvaluationError, binarized_test_set

DIGITS_SHA256 = "df07518ac3dfa26f18ca4dd5a596ed5c1a281508b2cea6efaca2941b6b35c558"
MNIST_SHA256 = "647eff3947c9464d147c5d5c4b8ba53dcfd9036c44ec3003a039f31603019d2d"


def binary_images(n: int = 24, pixels: int = 16) -> torch.Tensor:
    generator = Generator().manual_seed(2)
    return torch.randint(0, 2, (n, pixels), dtype=torch.uint8, generator=generator)


def given(kind=models.OneLayerVAE, scale: float = 1.0):
    generator = Generator().manual_seed(0)
    if kind is models.OneLayerVAE:
        model = kind(16, (9,), 3, generator=generator)
    else:
        model = kind(16, ((9,), (7,)), (4, 3), generator=generator)
    with torch.no_grad():
        model.decoder.out.weight *= scale
    return model


class Own(nn.Module):
    """A learner's model around a given one: nothing but forward."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x, eps):
        return self.model(x, eps)


class Opaque(Own):
    """One that cannot be traced: a branch that depends on the numbers."""

    def forward(self, x, eps):
        logits, mu, log_var, z = self.model(x, eps)
        return torch.asinh(logits.sinh()), mu, log_var, z


# --- the fast form ----------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("kind", [models.OneLayerVAE, models.TwoLayerVAE])
def test_the_fast_form_equals_the_readable_loop(kind, scale):
    """Small logits and large ones, by a loop over single samples, within 1e-4 nats."""
    model, x = given(kind, scale), binary_images().float()
    eps = torch.randn(
        40, len(x), model.latent_dim, generator=Generator().manual_seed(1)
    )
    with torch.no_grad():
        fast = evaluate._prepared(model, x)(eps)
        loop = torch.stack([evaluate.readable_log_weights(model, x, e) for e in eps])
    assert float((fast - loop).abs().max()) < 1e-4


def test_the_fast_form_equals_the_naive_nll_at_full_size():
    """784 pixels, 500 samples: the bound of a loop in float64, within 1e-4 nats."""
    model = models.burda_one_layer(Generator().manual_seed(0))
    x = binary_images(3, 784).float()
    with torch.no_grad():
        eps = torch.randn(500, 3, 50, generator=Generator().manual_seed(1))
        fast = evaluate._prepared(model, x)(eps).double()
        model.double()
        slow = torch.stack(
            [evaluate.readable_log_weights(model, x.double(), e.double()) for e in eps]
        )
    assert float((fast.logsumexp(0) - slow.logsumexp(0)).abs().max()) < 1e-4


@pytest.mark.parametrize("pixels", [1, 2, 7, 8, 12, 784])
@pytest.mark.parametrize("scale", [0.1, 3.0, 40.0, 1e3, 1e30])
def test_the_product_of_eight_is_the_sum_of_softplus(pixels, scale):
    logits = scale * torch.randn(50, pixels, generator=Generator().manual_seed(0))
    expected = nn.functional.softplus(logits.double()).sum(-1)
    found = evaluate.softplus_sum(logits.clone()).double()
    torch.testing.assert_close(found, expected, rtol=3e-6, atol=1e-4)


def test_pieces_give_what_the_whole_gives(monkeypatch):
    model, x = given(), binary_images(8)
    whole = evaluate.evaluate(model, x, num_samples=70)  # the last piece is smaller
    monkeypatch.setitem(evaluate.ROWS, "cpu", 16 * len(x))
    in_pieces = evaluate.evaluate(model, x, num_samples=70)
    assert in_pieces.bounds == pytest.approx(whole.bounds)
    torch.testing.assert_close(in_pieces.per_image, whole.per_image)


def test_the_encoder_runs_once_a_block():
    model, calls = given(), []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    evaluate.evaluate(model, binary_images(evaluate.BLOCK), num_samples=3000)
    assert len(calls) == 2  # and once for the codes' means


# --- the truth --------------------------------------------------------------------


def test_nll_is_the_integral_over_the_codes():
    """One latent dimension: log p(x) by quadrature on a grid of 20,001 codes."""
    model = models.OneLayerVAE(16, (9,), 1, generator=Generator().manual_seed(3))
    x = binary_images(10)
    grid = torch.linspace(-9, 9, 20_001).double()
    double = models.OneLayerVAE(16, (9,), 1)
    double.load_state_dict(model.state_dict())
    with torch.no_grad():
        logits = double.double().decode(grid[:, None, None])
        log_joint = models.bernoulli_log_prob(x.double(), logits)
        log_joint += torch.distributions.Normal(0.0, 1.0).log_prob(grid)[:, None]
        truth = log_joint.logsumexp(0) + math.log(18 / 20_000)
    found = evaluate.evaluate(model, x, num_samples=20_000)
    assert float((found.per_image + truth).abs().max()) < 0.05
    assert found.nll == pytest.approx(-float(truth.mean()), abs=0.02)


def test_the_elbo_is_reconstruction_and_closed_kl():
    model, x = given(), binary_images()
    with torch.no_grad():
        eps = torch.randn(4000, len(x), 3, generator=Generator().manual_seed(4))
        logits, mu, log_var, _ = model(x.float(), eps)
        kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
        expected = (kl - models.bernoulli_log_prob(x.float(), logits)).mean()
    found = evaluate.evaluate(model, x, num_samples=4000)
    assert found.elbo == pytest.approx(float(expected), abs=0.05)
    assert found.bounds[1] == pytest.approx(found.elbo)


@pytest.mark.parametrize("kind", [models.OneLayerVAE, models.TwoLayerVAE])
def test_more_samples_make_the_bound_tighter(kind):
    found = evaluate.evaluate(given(kind, 5.0), binary_images(), num_samples=500)
    bounds = [found.bounds[1], found.bounds[5], found.bounds[50], found.nll]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > bounds[-1] + 0.01


def test_the_bound_of_k_is_the_mean_over_groups():
    weights = torch.randn(11, 4, generator=Generator().manual_seed(0)).double()
    groups = [weights[i : i + 5].exp().mean(0).log() for i in (0, 5)]
    torch.testing.assert_close(evaluate._bound(weights, 5), torch.stack(groups).mean(0))


def test_the_standard_error_is_that_of_the_mean():
    found = evaluate.evaluate(given(), binary_images(), num_samples=50)
    expected = float(found.per_image.double().std()) / math.sqrt(24)
    assert found.standard_error == pytest.approx(expected, rel=1e-5)
    assert found.nll == pytest.approx(float(found.per_image.double().mean()), abs=1e-5)


def test_a_unit_is_active_where_its_mean_varies():
    model = given()
    with torch.no_grad():
        model.encoder.mu.weight[1] = 0
        model.encoder.mu.weight[0] *= 0.01
        model.encoder.mu.weight[2] *= 3
    found = evaluate.evaluate(model, binary_images(), num_samples=5)
    variance = model.encode(binary_images().float())[0].var(0, correction=0)
    assert (found.active_units, found.units) == (int((variance > 0.01).sum()), 3)
    assert found.active_units == 1


# --- any model --------------------------------------------------------------------


def test_a_learners_model_gets_the_same_numbers():
    model, x = given(), binary_images()
    expected = evaluate.evaluate(model, x, num_samples=100)
    for own in (Own(model), Opaque(model)):
        found = evaluate.evaluate(own, x, num_samples=100)
        assert found.bounds == pytest.approx(expected.bounds, abs=2e-4)
        assert found.nll == pytest.approx(expected.nll, abs=2e-4)
        assert found.active_units == expected.active_units


class SeesTheImage(Own):
    """Traced, and found out by where its values come from."""

    def forward(self, x, eps):
        logits, mu, log_var, z = self.model(x, eps)
        return logits + 9 * (x - 0.5), mu, log_var, z


class SeesTheImageInTheDark(Opaque):
    """Not traced, and found out by its own `sample`."""

    def forward(self, x, eps):
        logits, mu, log_var, z = super().forward(x, eps)
        return logits + 9 * (x - 0.5), mu, log_var, z

    def sample(self, z):
        return self.model.sample(z)


class AveragesCodes(Own):
    def forward(self, x, eps):
        _, mu, log_var, z = self.model(x, eps)
        mean = torch.sinh(torch.asinh(z)).mean(0, keepdim=True).expand_as(z)
        return self.model.decode(mean), mu, log_var, z


@pytest.mark.parametrize("trick", [SeesTheImage, SeesTheImageInTheDark, AveragesCodes])
def test_logits_that_are_no_likelihood_are_refused(trick):
    with pytest.raises(CourseError, match="depend on"):
        evaluate.evaluate(trick(given()), binary_images(), num_samples=5)


def test_the_model_comes_back_as_it_was():
    model = Own(given()).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    evaluate.evaluate(model, binary_images(), num_samples=5)
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    model(binary_images().float(), torch.zeros(24, 3))[0].sum().backward()


def test_the_seed_decides_the_numbers():
    model, x = given(), binary_images()
    first, again = (evaluate.evaluate(model, x, num_samples=9) for _ in range(2))
    assert first == again
    assert evaluate.evaluate(model, x, num_samples=9, seed=1).nll != first.nll


# --- the test set -----------------------------------------------------------------


def test_the_binarised_digits_are_the_same_everywhere():
    x = binarized_test_set(data.load_digits("test")[0])
    assert evaluate.checksum(x) == DIGITS_SHA256


@pytest.mark.skipif(data.load().name != "mnist", reason="MNIST is not here")
def test_the_binarised_mnist_is_the_same_everywhere():
    x = binarized_test_set(data.load_mnist("test")[0])
    assert evaluate.checksum(x) == MNIST_SHA256


def test_the_test_set_follows_the_grey_values():
    grey = torch.tensor([0, 1, 128, 254, 255], dtype=torch.uint8).expand(200_000, 5)
    means = binarized_test_set(grey).double().mean(0)
    expected = grey[0].double() / 255
    error = (expected * (1 - expected) / 200_000).sqrt()
    assert bool(((means - expected).abs() <= 4 * error).all())


def test_a_part_of_the_test_set_is_a_part():
    grey = torch.randint(0, 256, (9, 16), dtype=torch.uint8)
    assert torch.equal(binarized_test_set(grey[:4]), binarized_test_set(grey)[:4])


def test_the_checksum_sees_values_and_shape():
    x = binary_images()
    other = x.clone()
    other[3, 3] ^= 1
    assert len({evaluate.checksum(t) for t in (x, other, x.view(48, 8))}) == 3


# --- bad input --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(0, 16), "n > 0"),
        (torch.zeros(4, 4, 4), "expected"),
        (torch.full((4, 16), 0.5), "other than 0 and 1"),
        (torch.full((4, 16), math.nan), "other than 0 and 1"),
        (torch.full((4, 16), 255, dtype=torch.uint8), "other than 0 and 1"),
    ],
)
def test_a_test_set_that_does_not_do_is_one_clear_error(x, words):
    with pytest.raises(EvaluationError, match=words):
        evaluate.evaluate(given(), x, num_samples=5)


def test_images_of_another_size_are_one_clear_error():
    with pytest.raises(CourseError, match="12 pixels"):
        evaluate.evaluate(Own(given()), binary_images(4, 12), num_samples=5)


def test_no_samples_are_refused():
    with pytest.raises(EvaluationError, match="num_samples is 0"):
        evaluate.evaluate(given(), binary_images(), num_samples=0)


def test_only_uint8_images_are_binarised():
    with pytest.raises(EvaluationError, match="uint8"):
        binarized_test_set(torch.rand(4, 16))


def test_weights_that_are_not_finite_have_no_numbers():
    model = given()
    with torch.no_grad():
        model.decoder.out.bias[0] = math.nan
    with pytest.raises(EvaluationError, match="not finite"):
        evaluate.evaluate(model, binary_images(), num_samples=5)


# --- devices that are not here --------------------------------------------------------


def test_where_there_is_no_float64_the_cpu_has_it(monkeypatch):
    class OnAMac:
        """Stands in for a tensor on MPS, which refuses to become float64."""

        device = torch.device("mps")

        def cpu(self):
            return torch.ones(2)

        def double(self):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

    assert torch.equal(evaluate.in_double(OnAMac()), torch.ones(2, dtype=torch.float64))


def test_rows_fit_the_memory_of_a_gpu():
    pixels = 784
    assert evaluate.rows_within(80 * 2**30, pixels) == evaluate.ROWS["cuda"]
    small = evaluate.rows_within(2**30, pixels)
    assert 1 < small < evaluate.ROWS["cuda"]
    assert small * pixels * 4 * 4 <= 2**30
    assert evaluate.rows_within(0, pixels) == 1


# --- progress ---------------------------------------------------------------------


def test_where_no_bar_is_seen_a_line_each_minute_tells_the_time_left(monkeypatch):
    """Of a clock that goes a quarter of a minute for each block of 20 images."""
    ticks = itertools.count(0.0, 15.0)
    monkeypatch.setattr(evaluate.time, "monotonic", lambda: next(ticks))
    said = []
    model = models.OneLayerVAE(12, (8,), 2)
    x = (torch.rand(200, 12) > 0.5).to(torch.uint8)
    evaluate.evaluate(model, x, num_samples=2, say=said.append)
    assert said == [
        "evaluated 80 of 200 images, about 90 s left",
        "evaluated 160 of 200 images, about 30 s left",
    ]
    evaluate.evaluate(model, x, num_samples=2, progress=False, say=said.append)
    assert len(said) == 2
    assert evaluate.progress_text(100, 10_000, 20.0).endswith("about 33 min left")
