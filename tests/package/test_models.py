"""The given networks: the contract's shapes, densities against torch's own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, nn
from torch.distributions import Bernoulli, Normal

from vae_edu import models
from vae_edu.errors import CourseError


def one_layer() -> models.OneLayerVAE:
    return models.OneLayerVAE(12, (7, 6), 3, generator=Generator().manual_seed(0))


def two_layers() -> models.TwoLayerVAE:
    return models.TwoLayerVAE(
        12, ((9, 8), (7, 6)), (5, 3), generator=Generator().manual_seed(0)
    )


def inputs(model: nn.Module, *samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = Generator().manual_seed(1)
    x = torch.bernoulli(torch.full((4, 12), 0.4), generator=generator)
    eps = torch.randn(*samples, 4, model.latent_dim, generator=generator)
    return x, eps


@pytest.mark.parametrize("samples", [(), (2,)])
@pytest.mark.parametrize("make", [one_layer, two_layers])
def test_the_contracts_shapes(make, samples):
    model = make()
    logits, mu, log_var, z = model(*inputs(model, *samples))
    assert logits.shape == (*samples, 4, 12)
    assert z.shape == (*samples, 4, model.latent_dim)
    assert mu.shape == log_var.shape
    assert mu.shape[-2:] == (4, model.latent_dim)
    torch.testing.assert_close(model.decode(z), logits)


def test_a_code_is_its_mean_plus_scaled_noise():
    model = one_layer()
    x, eps = inputs(model, 5)
    _, mu, log_var, z = model(x, eps)
    torch.testing.assert_close(z, mu + log_var.exp().sqrt() * eps)


def normal(z, mu, log_var):
    return Normal(mu, (0.5 * log_var).exp()).log_prob(z).sum(-1)


def test_log_weights_of_one_layer_against_torchs_distributions():
    model = one_layer().double()
    x, eps = (t.double() for t in inputs(model, 5))
    logits, mu, log_var, z = model(x, eps)
    expected = (
        Bernoulli(logits=logits).log_prob(x).sum(-1)
        + normal(z, torch.zeros(3).double(), torch.zeros(3).double())
        - normal(z, mu, log_var)
    )
    found = models.log_importance_weights(x, logits, z, mu, log_var)
    torch.testing.assert_close(found, expected)


def test_log_weights_of_two_layers_against_torchs_distributions():
    model = two_layers().double()
    x, eps = (t.double() for t in inputs(model, 6))
    logits, mu, log_var, z = model(x, eps)
    h1, h2 = z.split([5, 3], dim=-1)
    expected = (
        Bernoulli(logits=logits).log_prob(x).sum(-1)
        + normal(h1, *model.decoder_2(h2))
        + normal(h2, torch.zeros(3).double(), torch.zeros(3).double())
        - normal(z, mu, log_var)
    )
    torch.testing.assert_close(model.log_weights(x, eps), expected)
    torch.testing.assert_close(model.dreg_log_weights(x, eps)[0], expected)


@pytest.mark.parametrize("make", [one_layer, two_layers])
def test_features_and_the_output_layer_give_the_logits(make):
    model = make()
    x, eps = inputs(model, 2)
    h, _ = model.features(model.encode(x), eps)
    weight, bias = model.output_layer
    torch.testing.assert_close(h @ weight.T + bias, model(x, eps)[0])


def test_the_papers_networks_have_its_sizes():
    shapes = [
        tuple(layer.weight.shape)
        for layer in models.burda_one_layer().modules()
        if isinstance(layer, nn.Linear)
    ]
    assert shapes == [
        *((200, 784), (200, 200), (50, 200), (50, 200)),
        *((200, 50), (200, 200), (784, 200)),
    ]
    two = models.burda_two_layers()
    assert two.latent_dims == [100, 50]
    assert two.encoder_2.hidden[0].weight.shape == (100, 100)
    assert two.decoder_2.mu.weight.shape == (100, 100)
    mlp = models.mlp_400_20()
    assert (mlp.latent_dim, mlp.decoder.out.weight.shape) == (20, (784, 400))


def test_the_same_generator_draws_the_same_weights():
    first, second = one_layer().state_dict(), one_layer().state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_the_output_bias_starts_at_the_datas_mean():
    images = torch.tensor([[0, 255, 51], [0, 255, 153]], dtype=torch.uint8)
    layer = nn.Linear(2, 3)
    models.set_output_bias(layer, images)
    means = layer.bias.sigmoid()
    torch.testing.assert_close(means, torch.tensor([0.001, 0.999, 0.4]))
    models.set_output_bias(layer, images / 255)
    torch.testing.assert_close(layer.bias.sigmoid(), means)
    with pytest.raises(models.ModelError, match="the layer that gives the logits"):
        models.set_output_bias(nn.Linear(3, 2), images)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_input_bias_centres_what_the_layer_sees(dtype):
    images = torch.randint(0, 256, (1003, 5), generator=Generator().manual_seed(0))
    images = images.to(dtype) if dtype == torch.uint8 else images / 255
    layer = nn.Linear(5, 4)
    models.set_input_bias(layer, images)
    grey = images / 255 if dtype == torch.uint8 else images
    torch.testing.assert_close(layer(grey).mean(0), torch.zeros(4), atol=1e-6, rtol=0)
    with pytest.raises(models.ModelError, match="the layer that the images enter"):
        models.set_input_bias(nn.Linear(4, 5), images)


@pytest.mark.parametrize(
    "sizes",
    [
        {"latent_dim": 0},
        {"latent_dim": -1},
        {"latent_dim": 2.5},
        {"input_dim": 0},
        {"hidden": (3, 0)},
        {"hidden": ()},
        {"activation": "sine"},
    ],
)
def test_a_size_that_does_not_do_is_one_clear_error(sizes):
    with pytest.raises(CourseError, match="expected") as refusal:
        models.OneLayerVAE(**{"input_dim": 12, "hidden": (4,), "latent_dim": 2} | sizes)
    assert len(str(refusal.value).splitlines()) == 1


def test_two_layers_refuse_a_latent_size_of_0():
    with pytest.raises(models.ModelError, match="latent_dim_2 is 0"):
        models.TwoLayerVAE(12, ((4,), (4,)), (2, 0))


@pytest.mark.parametrize("make", [one_layer, two_layers])
def test_a_network_is_built_again_from_its_sizes(make):
    model = make()
    name = {models.OneLayerVAE: "one_layer", models.TwoLayerVAE: "two_layers"}
    again = models.build(name[type(model)], model.sizes)
    again.load_state_dict(model.state_dict())
    x, eps = inputs(model)
    assert torch.equal(again(x, eps)[0], model(x, eps)[0])


@pytest.mark.parametrize(("name", "sizes"), [("three", {}), ("one_layer", {"a": 1})])
def test_an_unknown_network_is_refused(name, sizes):
    with pytest.raises(models.ModelError, match="no given network"):
        models.build(name, sizes)


class Bare(nn.Module):
    """A learner's model: nothing but the contract's forward."""

    def __init__(self, input_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.code = nn.Linear(input_dim, 2 * latent_dim)
        self.out = nn.Linear(latent_dim, input_dim)

    def forward(self, x, eps):
        mu, log_var = self.code(x).chunk(2, dim=-1)
        z = mu + (0.5 * log_var).exp() * eps
        return self.out(z), mu, log_var, z


def test_the_size_of_the_noise_is_found():
    assert models.latent_dim_of(Bare(12, 3), 12) == 3
    assert models.latent_dim_of(one_layer(), 12) == 3
    with pytest.raises(models.ModelError, match="images of 10 pixels"):
        models.latent_dim_of(Bare(12, 3), 10)


def test_the_log_ratio_is_zero_where_q_is_the_prior():
    z = torch.randn(7, 3, generator=Generator().manual_seed(0))
    zero = torch.zeros(3)
    torch.testing.assert_close(models.log_ratio(z, zero, zero), torch.zeros(7))
    shifted = models.log_ratio(torch.zeros(3), torch.full((3,), math.sqrt(2)), zero)
    assert float(shifted) == pytest.approx(3.0)
