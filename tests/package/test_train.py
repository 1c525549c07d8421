"""The loop: exact draws, exact gradients, exact resumption; bad input refused."""

from __future__ import annotations

import math
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Generator, nn
from torch.nn import functional

from vae_edu import data, models, train
from vae_edu.errors import CourseError
from vae_edu.train import TrainConfig

CPU = TrainConfig(device="cpu", matmul="float32", epochs=3, batch_size=16)


def quiet(line: str) -> None:
    pass


def images(n: int = 70, pixels: int = 12) -> torch.Tensor:
    generator = Generator().manual_seed(5)
    return torch.randint(
        0, 256, (n, pixels), dtype=torch.uint8, generator=generator
    ) * (torch.arange(pixels) % 3 != 0)


class Learners(nn.Module):
    """A model as a learner writes it: the contract, and no attribute beyond it."""

    def __init__(self, drop: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Linear(12, 8)
        self.drop = nn.Dropout(drop)
        self.heads = nn.Linear(8, 6)
        self.decoder = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 12))

    def forward(self, x, eps):
        h = self.drop(self.body(x).relu())
        mu, log_var = self.heads(h).chunk(2, dim=-1)
        z = mu + (0.5 * log_var).exp() * eps
        return self.decoder(z), mu, log_var, z


def learners(drop: float = 0.0) -> Learners:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Learners(drop)


def own_loss(x, logits, mu, log_var, beta=1.0):
    """As lesson 07 has it, with shapes of (batch, ...) only."""
    assert x.shape == logits.shape
    reconstruction = -(x * logits - functional.softplus(logits)).sum(-1).mean()
    kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1).mean()
    return reconstruction + beta * kl, reconstruction, kl


def run(model=None, config=CPU, **how):
    model = model or learners()
    how = {"loss": own_loss, "say": quiet} | how
    return train.train(model, images(), config, **how), model.state_dict()


def assert_same(first, second) -> None:
    rows_1, rows_2 = (
        [replace(row, seconds=0.0) for row in rows] for rows, _ in (first, second)
    )
    assert rows_1 == rows_2
    for key, value in first[1].items():
        assert torch.equal(value, second[1][key]), key


# --- binarising -------------------------------------------------------------------


def test_the_fast_draw_has_no_bias():
    """Comparing with a random byte would give p/256: a white pixel black once in 256,
    and 128 at 0.5 instead of 0.50196, five standard errors away here.
    """
    n = 2_000_000
    generator = Generator().manual_seed(0)
    for grey in (0, 1, 128, 254, 255):
        drawn = train.draw_binary(torch.full((n,), grey, dtype=torch.uint8), generator)
        p = grey / 255
        error = math.sqrt(p * (1 - p) / n)
        assert abs(float(drawn.mean(dtype=torch.float64)) - p) <= 4 * error


def test_random_bytes_are_uniform_below_255():
    shape = torch.Size([1000, 4001])
    octets = train._bytes_below_255(shape, Generator().manual_seed(1))
    counts = torch.bincount(octets.flatten().long(), minlength=256).double()
    assert counts[255] == 0
    expected = shape.numel() / 255
    chi_square = float(((counts[:255] - expected).square() / expected).sum())
    assert chi_square < 254 + 5 * math.sqrt(2 * 254)


def test_bytes_of_one_word_are_independent():
    octets = train._bytes_below_255(
        torch.Size([200_000, 8]), Generator().manual_seed(2)
    )
    correlations = torch.corrcoef(octets.double().T) - torch.eye(8)
    assert float(correlations.abs().max()) < 5 / math.sqrt(200_000)


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (0, 12), (2, 784)])
def test_a_draw_has_the_images_shape_and_is_binary(shape):
    x = torch.randint(0, 256, shape, dtype=torch.uint8)
    drawn = train.draw_binary(x, Generator().manual_seed(0))
    assert drawn.shape == x.shape
    assert drawn.dtype == torch.float32
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}
    assert bool((drawn[x == 0] == 0).all())
    assert bool((drawn[x == 255] == 1).all())


def test_float_images_are_drawn_too():
    grey = torch.tensor([0.0, 0.25, 1.0]).expand(100_000, 3)
    means = train.draw_binary(grey, Generator().manual_seed(0)).mean(0)
    torch.testing.assert_close(means, grey[0], atol=0.01, rtol=0)


# --- objectives -------------------------------------------------------------------


def small(kind=models.OneLayerVAE):
    generator = Generator().manual_seed(0)
    if kind is models.OneLayerVAE:
        return kind(12, (7,), 3, generator=generator).double()
    return kind(12, ((9,), (7,)), (5, 3), generator=generator).double()


def batch(model, k=6, n=4):
    generator = Generator().manual_seed(1)
    x = torch.bernoulli(torch.full((n, 12), 0.4), generator=generator).double()
    return x, torch.randn(k, n, model.latent_dim, generator=generator).double()


def gradients(model, objective, *inputs):
    model.zero_grad()
    loss, _, _ = objective(model, *inputs, 1.0)
    loss.backward()
    return float(loss.detach()), {
        name: p.grad.clone() for name, p in model.named_parameters()
    }


def test_the_given_loss_is_the_readable_one():
    model = small()
    x, eps = batch(model)
    logits, mu, log_var, _ = model(x, eps[0])
    found = train.negative_elbo(x, logits, mu, log_var, 0.7)
    expected = own_loss(x, logits, mu, log_var, 0.7)
    torch.testing.assert_close(found, expected)


def test_the_given_loss_averages_over_samples():
    model = small()
    x, eps = batch(model)
    logits, mu, log_var, _ = model(x, eps)
    found = train.negative_elbo(x, logits, mu, log_var)
    each = [train.negative_elbo(x, one, mu, log_var)[0] for one in logits]
    torch.testing.assert_close(found[0], torch.stack(each).mean())


@pytest.mark.parametrize("kind", [models.OneLayerVAE, models.TwoLayerVAE])
def test_iwae_is_the_log_of_the_mean_weight(kind):
    model = small(kind)
    x, eps = batch(model)
    weights = train._log_weights(model, x, eps).exp()
    expected = -weights.mean(0).log().mean()
    torch.testing.assert_close(train.iwae(model, x, eps, 1.0)[0], expected)


def test_iwae_runs_the_encoder_once():
    model, calls = small(), []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    train.iwae(model, *batch(model, k=50), 1.0)
    assert len(calls) == 1


def dreg_by_hand(model, x, eps):
    """Tucker et al. 2019, eq. 6: gradients of the codes as leaves, then onwards."""
    if isinstance(model, models.OneLayerVAE):
        _, mu, log_var, z = model(x, eps)
        leaf = z.detach().requires_grad_()
        weights = models.log_importance_weights(
            x, model.decoder(leaf), leaf, mu.detach(), log_var.detach()
        )
        codes, leaves = [z], [leaf]
    else:
        _, mu, log_var, z = model(x, eps)
        codes = list(z.split([5, 3], dim=-1))
        leaves = [code.detach().requires_grad_() for code in codes]
        weights = two_layer_weights(model, x, leaves, mu.detach(), log_var.detach())
    share = weights.detach().softmax(0)
    total = (share.square() * weights).sum(0).mean()
    at_codes = torch.autograd.grad(total, leaves, retain_graph=True)
    encoder = [p for n, p in model.named_parameters() if n.startswith("encoder")]
    found = torch.autograd.grad(codes, encoder, grad_outputs=at_codes)
    return {n: -g for n, g in zip(names(model, "encoder"), found, strict=True)}


def names(model, start):
    return [n for n, _ in model.named_parameters() if n.startswith(start)]


def two_layer_weights(model, x, leaves, mu, log_var):
    h1, h2 = leaves
    frozen = {k: v.detach() for k, v in model.encoder_2.named_parameters()}
    mu_2, log_var_2 = torch.func.functional_call(model.encoder_2, frozen, (h1,))
    return (
        models.bernoulli_log_prob(x, model.decoder(h1))
        + normal(h1, *model.decoder_2(h2))
        + normal(h2, torch.zeros_like(h2), torch.zeros_like(h2))
        - normal(h1, mu[..., :5][0], log_var[..., :5][0])
        - normal(h2, mu_2, log_var_2)
    )


def normal(z, mu, log_var):
    scale = (0.5 * log_var).exp()
    return torch.distributions.Normal(mu, scale).log_prob(z).sum(-1)


@pytest.mark.parametrize("kind", [models.OneLayerVAE, models.TwoLayerVAE])
def test_dreg_has_the_bound_and_the_decoders_gradient_of_iwae(kind):
    model = small(kind)
    x, eps = batch(model)
    bound, plain = gradients(model, train.iwae, x, eps)
    value, doubly = gradients(model, train.dreg, x, eps)
    assert value == pytest.approx(bound)
    for name in names(model, "decoder"):
        torch.testing.assert_close(doubly[name], plain[name])


@pytest.mark.parametrize("kind", [models.OneLayerVAE, models.TwoLayerVAE])
def test_dregs_gradient_of_the_encoder_is_the_formula(kind):
    model = small(kind)
    x, eps = batch(model)
    _, found = gradients(model, train.dreg, x, eps)
    for name, expected in dreg_by_hand(model, x, eps).items():
        torch.testing.assert_close(found[name], expected)


@pytest.mark.parametrize("kind", [models.OneLayerVAE, models.TwoLayerVAE])
def test_dreg_and_iwae_agree_in_the_mean_and_dreg_varies_less(kind):
    """Over many draws both estimate the same gradient of the encoder."""
    model = small(kind)
    x, _ = batch(model, n=1)
    generator = Generator().manual_seed(3)
    drawn = {"iwae": [], "dreg": []}
    for _ in range(400):
        eps = torch.randn(8, 1, model.latent_dim, generator=generator).double()
        for name, objective in (("iwae", train.iwae), ("dreg", train.dreg)):
            _, found = gradients(model, objective, x, eps)
            drawn[name].append(found["encoder.mu.bias"])
    plain, doubly = (torch.stack(drawn[name]) for name in ("iwae", "dreg"))
    difference = plain - doubly
    error = difference.std(0) / math.sqrt(len(difference))
    assert bool((difference.mean(0).abs() < 4 * error).all())
    assert float(doubly.var(0).sum()) < float(plain.var(0).sum())


# --- the loop ---------------------------------------------------------------------


def test_a_learners_model_and_loss_train_unchanged():
    rows, _ = run(config=replace(CPU, epochs=12, learning_rate=1e-2))
    assert [row.epoch for row in rows] == list(range(1, 13))
    assert rows[-1].loss < rows[0].loss - 0.5
    for row in rows:
        assert row.loss == pytest.approx(row.reconstruction + row.kl, abs=1e-4)


def test_the_engine_takes_the_same_steps_as_a_loop_by_hand():
    config = replace(CPU, epochs=2)
    rows, weights = run(config=config)
    model, x = learners(), images()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    order, noise = Generator().manual_seed(0), Generator().manual_seed(1)
    for epoch in range(2):
        shuffled, losses = torch.randperm(70, generator=order), []
        for i in range(4):
            for group in optimizer.param_groups:
                group["lr"] = train.learning_rate_at(4 * epoch + i, 4, config)
            b = train.draw_binary(x[shuffled[16 * i : 16 * i + 16]], noise)
            logits, mu, log_var, _ = model(b, torch.randn(16, 3, generator=noise))
            loss, _, _ = own_loss(b, logits, mu, log_var)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert rows[epoch].loss == pytest.approx(sum(losses) / 4, rel=1e-5)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(weights[name], value)


def test_beta_and_its_warm_up_reach_the_loss():
    seen = []

    def loss(x, logits, mu, log_var, beta):
        seen.append(beta)
        return own_loss(x, logits, mu, log_var, beta)

    run(config=replace(CPU, beta=4.0, kl_warmup=0.5), loss=loss)
    steps = [4 * min(1.0, step / 6) for step in range(12)]
    assert seen == pytest.approx([4.0, *steps])  # the first is the rehearsal's


@pytest.mark.parametrize("objective", ["iwae", "dreg"])
@pytest.mark.parametrize("kind", [models.OneLayerVAE, models.TwoLayerVAE])
def test_importance_weighted_training_learns(kind, objective):
    config = replace(
        CPU, objective=objective, num_samples=5, epochs=10, learning_rate=1e-2
    )
    rows, _ = run(small(kind).float(), config)
    assert rows[-1].loss < rows[0].loss


def test_two_layers_train_on_the_sampled_elbo():
    rows, _ = run(small(models.TwoLayerVAE).float(), replace(CPU, epochs=8))
    assert rows[-1].loss < rows[0].loss


def test_a_learners_model_trains_on_iwae():
    rows, _ = run(config=replace(CPU, objective="dreg", num_samples=4, epochs=8))
    assert rows[-1].loss < rows[0].loss


def test_nothing_is_read_back_within_an_epoch(monkeypatch):
    reads = []
    for name in ("item", "tolist", "__float__", "__bool__", "numpy"):
        original = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor,
            name,
            lambda self, *a, original=original, name=name: (
                reads.append(name) or original(self, *a)
            ),
        )
    trainer = train.Trainer(learners(), images(), CPU, own_loss)
    reads.clear()
    for number, rows in enumerate(trainer.batches()):
        trainer.step(*trainer.draw(rows), number)
    assert reads == []
    trainer.epoch_means()
    assert reads == ["tolist"]


def test_grey_images_are_given_as_they_are_when_not_binarised():
    trainer = train.Trainer(
        learners(), images(), replace(CPU, binarize=False), own_loss
    )
    x, _ = trainer.draw(torch.arange(16))
    torch.testing.assert_close(x, data.to_unit(images()[:16]))


def test_an_epoch_takes_each_image_at_most_once():
    trainer = train.Trainer(learners(), images(), CPU, own_loss)
    first, second = (torch.cat(list(trainer.batches())) for _ in range(2))
    assert len(first) == len(first.unique()) == 64
    assert not torch.equal(first, second)
    trainer = train.Trainer(learners(), images(), replace(CPU, shuffle=False), own_loss)
    assert torch.equal(torch.cat(list(trainer.batches())), torch.arange(64))


def test_training_leaves_the_global_generator_and_precision_alone():
    state = torch.get_rng_state()
    precision = torch.get_float32_matmul_precision()
    run(config=replace(CPU, matmul="bf16"))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_float32_matmul_precision() == precision


def test_a_printed_row_names_epoch_nats_and_the_time_left():
    lines = []
    run(say=lines.append)
    assert len(lines) == 3
    assert all(word in lines[0] for word in ("epoch", "1/3", "nats", "left"))


# --- faster forms of the step -----------------------------------------------------


def warm_and_replay(body):
    """What a CUDA graph does around a step: three to warm up, one to record."""
    for _ in range(4):
        body()
    return body


@pytest.mark.parametrize("objective", ["elbo", "dreg"])
def test_a_captured_step_gives_the_bits_of_the_readable_one(objective):
    config = replace(
        CPU, objective=objective, num_samples=1 if objective == "elbo" else 3
    )
    found = []
    for capture in (None, warm_and_replay):
        model = learners()
        trainer = train.Trainer(model, images(), config, own_loss, capture=capture)
        means = []
        for epoch in range(2):
            for number, rows in enumerate(trainer.batches(), 4 * epoch):
                trainer.step(*trainer.draw(rows), number)
            means.append(trainer.epoch_means())
        found.append((means, model.state_dict()))
    assert found[0][0] == found[1][0]
    for key, value in found[0][1].items():
        assert torch.equal(value, found[1][1][key])


def test_a_captured_step_keeps_its_places(monkeypatch):
    """A graph replays kernels at fixed addresses: everything must stay where it is."""
    trainer = train.Trainer(
        learners(), images(), CPU, own_loss, capture=warm_and_replay
    )
    batches = list(trainer.batches())
    trainer.step(*trainer.draw(batches[0]), 0)
    places = addresses(trainer)
    trainer.step(*trainer.draw(batches[1]), 1)
    assert addresses(trainer) == places


def addresses(trainer):
    tensors = [*trainer.model.state_dict().values(), trainer.totals]
    for state in trainer.optimizer.state.values():
        tensors += list(state.values())
    return [tensor.data_ptr() for tensor in tensors]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_cuda_graph_trains_like_the_readable_step():
    config = replace(CPU, device="cuda", epochs=5)
    found = []
    for capture in (lambda body: body, train.cuda_graph):
        trainer = train.Trainer(learners(), images(), config, own_loss, capture=capture)
        for number in range(12):
            rows = torch.arange(16, device="cuda")
            trainer.step(*trainer.draw(rows), number)
        found.append(trainer.epoch_means())
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_bf16_products_change_little():
    exact, _ = run(config=replace(CPU, epochs=6))
    rounded, _ = run(config=replace(CPU, epochs=6, matmul="bf16"))
    assert rounded[-1].loss == pytest.approx(exact[-1].loss, rel=0.02)


# --- schedule ---------------------------------------------------------------------


def test_the_rate_rises_then_falls_to_nothing():
    config = TrainConfig(epochs=10, learning_rate=1.0, warmup=0.1)
    rates = [train.learning_rate_at(step, 100, config) for step in range(1000)]
    assert rates[:100] == sorted(rates[:100])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert max(rates) == pytest.approx(1.0)
    assert 0 < rates[0] < 0.02
    assert rates[-1] < 1e-4
    constant = replace(config, schedule="constant")
    assert train.learning_rate_at(999, 100, constant) == 1.0


def test_burdas_schedule_is_the_published_one():
    config = TrainConfig(epochs=3280, learning_rate=1e-3, schedule="burda")
    expected = []
    for i in range(1, 9):
        expected += [1e-4 * round(10 ** (1 - (i - 1) / 7), 1)] * 3 ** (i - 1)
    assert len(expected) == 3280
    found = [
        train.learning_rate_at(2980 * epoch, 2980, config) for epoch in range(3280)
    ]
    assert found == pytest.approx(expected)


def test_the_second_moments_start_where_asked():
    trainer = train.Trainer(
        learners(), images(), replace(CPU, second_moment=1.0), own_loss
    )
    for state in trainer.optimizer.state.values():
        assert bool((state["exp_avg_sq"] == 1).all())


def given() -> models.OneLayerVAE:
    return models.OneLayerVAE(12, (9,), 3, generator=Generator().manual_seed(0))


def test_rates_are_factors_of_the_learning_rate_by_the_start_of_a_name():
    """Adam's first step moves every weight by its rate, whatever the gradient."""
    rates = (("decoder.out", 4.0), ("decoder", 0.5))
    config = replace(CPU, rates=rates, schedule="constant", warmup=0.0)
    model, before = given(), given().state_dict()
    trainer = train.Trainer(model, images(), config, train.negative_elbo)
    rows = next(iter(trainer.batches()))
    trainer.step(*trainer.draw(rows), 0)
    factors = {"decoder.out.bias": 4.0, "decoder.hidden.0.bias": 0.5, "encoder": 1.0}
    for start, factor in factors.items():
        for name, after in model.state_dict().items():
            if name.startswith(start):
                moved = (after - before[name]).abs()
                most = float(moved.max())
                assert most == pytest.approx(factor * CPU.learning_rate, rel=1e-3)


@pytest.mark.parametrize(
    ("rates", "told"),
    [
        ((("decoder.output", 2.0),), "decoder.output"),
        ((("decoder", 2.0), ("decoder.out", 3.0)), "that is left"),
        ((("decoder", 0.0),), "expected above 0"),
        ((("decoder", math.nan),), "expected above 0"),
    ],
)
def test_rates_that_fit_no_parameter_are_refused(rates, told):
    config = replace(CPU, rates=rates)
    with pytest.raises(train.TrainError, match=told):
        train.Trainer(given(), images(), config, train.negative_elbo)


# --- resuming ---------------------------------------------------------------------


class StopHereError(Exception):
    pass


def stop_after(epochs: int):
    seen = []

    def say(line: str) -> None:
        seen.append(line)
        if len(seen) > epochs:
            raise StopHereError

    return say


@pytest.mark.parametrize("change", [{}, {"objective": "dreg", "num_samples": 3}])
@pytest.mark.parametrize("epochs", [1, 2])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, epochs, change):
    """With dropout, so that torch's own generator matters too."""
    config = replace(CPU, epochs=4, **change)
    torch.manual_seed(9)
    whole = run(learners(drop=0.3), config)
    torch.manual_seed(9)
    path = tmp_path / "checkpoint"
    with pytest.raises(StopHereError):
        run(learners(drop=0.3), config, checkpoint=path, say=stop_after(epochs))
    torch.manual_seed(123)  # another process knows nothing of the first one's state
    with torch.random.fork_rng(devices=[]):
        other = Learners(drop=0.3)
    assert_same(whole, run(other, config, checkpoint=path))
    assert list(tmp_path.iterdir()) == [path]


def test_a_finished_run_is_not_trained_again(tmp_path):
    path = tmp_path / "checkpoint"
    whole = run(checkpoint=path)
    assert_same(whole, run(checkpoint=path, say=stop_after(0)))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "checkpoint"
    run(checkpoint=path)
    with pytest.raises(train.TrainError, match="other config"):
        run(config=replace(CPU, learning_rate=1e-4), checkpoint=path)
    with pytest.raises(train.TrainError, match="other images"):
        train.train(learners(), images() + 1, CPU, checkpoint=path, say=quiet)
    other = models.OneLayerVAE(12, (5,), 3)
    with pytest.raises(train.TrainError, match="no checkpoint of this model"):
        run(other, checkpoint=path)


def test_a_checkpoint_knows_the_loss_and_the_models_code(tmp_path):
    """By what they do: the same weights fit, and another loss or model is refused."""
    path = tmp_path / "checkpoint"
    run(checkpoint=path)

    def rewritten(x, logits, mu, log_var, beta=1.0):
        loss, reconstruction, kl = own_loss(x, logits, mu, log_var, 0.0)
        return loss + kl * beta, reconstruction, kl

    def halved(x, logits, mu, log_var, beta=1.0):
        loss, reconstruction, kl = own_loss(x, logits, mu, log_var, beta)
        return loss - 0.5 * beta * kl, reconstruction, kl

    class Other(Learners):
        def forward(self, x, eps):
            logits, mu, log_var, z = super().forward(x, eps)
            return 2 * logits, mu, log_var, z

    run(loss=rewritten, checkpoint=path)
    with pytest.raises(train.TrainError, match="another loss than yours is now"):
        run(loss=halved, checkpoint=path)
    with pytest.raises(train.TrainError, match="another model than yours is now"):
        run(Other(), checkpoint=path)
    with pytest.raises(train.TrainError, match="another model than yours is now"):
        run(learners(drop=0.5), checkpoint=path)


def test_a_checkpoint_of_before_is_still_read(tmp_path):
    path = tmp_path / "checkpoint"
    whole = run(checkpoint=path)
    state = torch.load(path, weights_only=True)
    del state["probe"]
    torch.save(state, path)
    assert_same(whole, run(checkpoint=path))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "checkpoint"
    run(checkpoint=path)
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    with pytest.raises(train.TrainError, match="delete it"):
        run(checkpoint=path)


def test_a_full_disk_keeps_the_earlier_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint"
    with pytest.raises(StopHereError):
        run(checkpoint=path, say=stop_after(1))
    before = path.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(train.os, "fsync", fail)
    with pytest.raises(train.TrainError, match="No space left") as refusal:
        run(checkpoint=path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    assert str(tmp_path) not in str(refusal.value)


# --- bad input --------------------------------------------------------------------

BAD_IMAGES = {
    "three dimensions": (torch.zeros(20, 3, 4, dtype=torch.uint8), "flat"),
    "no pixels": (torch.zeros(20, 0), "flat"),
    "none at all": (torch.zeros(0, 12), "empty"),
    "fewer than a batch": (torch.zeros(15, 12), "a batch of 16"),
    "above 1": (torch.full((20, 12), 1.5), r"outside \[0, 1\]"),
    "below 0": (torch.full((20, 12), -0.5), r"outside \[0, 1\]"),
    "not a number": (torch.full((20, 12), math.nan), r"outside \[0, 1\]"),
    "whole numbers": (torch.ones(20, 12, dtype=torch.int64), "expected uint8"),
    "another size": (torch.zeros(20, 13), "images of 13 pixels"),
}


@pytest.mark.parametrize(("bad", "words"), BAD_IMAGES.values(), ids=BAD_IMAGES.keys())
def test_bad_images_are_one_clear_error(bad, words):
    with pytest.raises(CourseError, match=words):
        train.train(learners(), bad, CPU, say=quiet)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"num_samples": 0},
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"schedule": "linear"},
        {"objective": "elbow"},
        {"matmul": "int8"},
        {"objective": "iwae", "beta": 2.0},
    ],
)
def test_settings_that_do_not_do_are_one_clear_error(change):
    with pytest.raises(train.TrainError):
        run(config=replace(CPU, **change))


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "cuda:x", "cpu:x", ""])
def test_a_device_that_is_not_there_is_one_clear_error(name):
    with pytest.raises(train.TrainError, match=r"is not here\. Remedy") as refusal:
        run(config=replace(CPU, device=name))
    assert len(str(refusal.value).splitlines()) == 1


def test_auto_takes_the_first_device_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert train.pick_device().type == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert train.pick_device().type == "cpu"
    with pytest.raises(train.TrainError, match='"cuda" is not here'):
        train.pick_device("cuda")


def test_a_diverging_run_says_so():
    calls = []

    def loss(x, logits, mu, log_var, beta):
        calls.append(1)
        wild = math.inf if len(calls) > 2 else 1.0
        return own_loss(x, logits * wild, mu, log_var, beta)

    with pytest.raises(train.TrainError, match="diverged"):
        run(loss=loss)


def test_a_model_without_parameters_is_refused():
    class Fixed(nn.Module):
        latent_dim = 3

    with pytest.raises(train.TrainError, match="no parameters"):
        train.train(Fixed(), images(), CPU, say=quiet)


def test_the_rows_are_sent_to_tensorboard(monkeypatch, tmp_path: Path):
    sent = []

    class SummaryWriter:
        def __init__(self, log_dir: str) -> None:
            assert log_dir == str(tmp_path)

        def __enter__(self):
            return self

        def __exit__(self, *raised: object) -> None:
            sent.append("closed")

        def add_scalar(self, name: str, value: float, step: int) -> None:
            sent.append((name, value, step))

    board = types.ModuleType("torch.utils.tensorboard")
    board.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", board)
    rows, _ = run(log_dir=tmp_path)
    names = ("loss", "reconstruction", "kl", "learning_rate")
    expected = [(n, getattr(row, n), row.epoch) for row in rows for n in names]
    assert sent == [*expected, "closed"]


def test_tensorboard_is_optional(tmp_path: Path):
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        with pytest.raises(train.TrainError, match="pip install tensorboard"):
            run(log_dir=tmp_path)
    else:
        run(log_dir=tmp_path)
        assert list(tmp_path.iterdir())
