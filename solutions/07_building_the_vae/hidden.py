"""Lesson 07: independent oracles, and the hidden laws."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from vae_edu.checks.building_the_vae import CASES, DECODER, ENCODER, VAE, forward
from vae_edu.checks.draw import Draw
from vae_edu.checks.law import LOOSE, Laws, Truth, compare
from vae_edu.checks.modules import ModuleCases
from vae_edu.checks.standard import add_fresh
from vae_edu.subject import Subject

LAWS = Laws("building_the_vae")


def negative_elbo(
    x: Tensor, logits: Tensor, mu: Tensor, log_var: Tensor, beta: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Two-class log-softmaxes and torch.distributions' KL, one example at a time."""
    classes = torch.stack([torch.zeros_like(logits), logits])
    log_p = classes - torch.logsumexp(classes, dim=0)
    weight = torch.stack([1 - x, x])
    scale = torch.exp(log_var / 2)
    prior = Normal(torch.zeros_like(mu), torch.ones_like(mu))
    rate = kl_divergence(Normal(mu, scale), prior)
    costs = [-(weight[:, n] * log_p[:, n]).sum() for n in range(len(x))]
    reconstruction = torch.stack(costs).sum() / len(x)
    kl = torch.stack([row.sum() for row in rate]).sum() / len(x)
    return reconstruction + float(beta) * kl, reconstruction, kl


def head_gradients(
    grad_z: Tensor, mu: Tensor, log_var: Tensor, eps: Tensor, beta: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Autograd, with a cost that is linear in z."""
    mu, log_var = (v.detach().clone().requires_grad_() for v in (mu, log_var))
    q = Normal(mu, torch.exp(log_var / 2))
    z = q.mean + q.stddev * eps
    prior = Normal(torch.zeros_like(mu), torch.ones_like(mu))
    total = (grad_z * z).sum() + float(beta) * kl_divergence(q, prior).sum()
    first, second = torch.autograd.grad(total, (mu, log_var))
    return first, second


ORACLES = {f.__name__: f for f in (negative_elbo, head_gradients)}

for _cases in CASES.values():
    add_fresh(LAWS, _cases)


# --- modules --------------------------------------------------------------------------

IMAGES = (
    {"input_dim": 784, "hidden_dim": 24, "latent_dim": 2, "batch": 3},
    {"input_dim": 64, "hidden_dim": 16, "latent_dim": 20, "batch": 4},
    {"input_dim": 8, "hidden_dim": 8, "latent_dim": 8, "batch": 8},
)


def _image_sizes(cases: ModuleCases, subject: Subject, draw: Draw) -> None:
    for sizes in IMAGES:
        sizes = {**sizes, "num_samples": 8 if sizes["batch"] == 8 else 2}
        module = cases.ready(subject, sizes, draw)
        for place, method in enumerate(cases.methods):
            args, parts = forward(cases, module, sizes, draw, place)
            last = [a.narrow(a.dim() - 2, sizes["batch"] - 1, 1) for a in args]
            got = module.call(*last, method=method.name)
            want = [p.narrow(p.dim() - 2, sizes["batch"] - 1, 1) for p in parts]
            what = f"the last row alone, in {cases.tried(sizes, method)},"
            expected = want[0] if isinstance(method.gives, str) else tuple(want)
            compare(got, expected, what=what, scale=20, rtol=LOOSE)


def _add_image_sizes(cases: ModuleCases) -> None:
    @LAWS.law(
        cases.exercise,
        "image sizes",
        "everything holds at the sizes of images, and where all sizes are equal",
        hidden=True,
    )
    def _(subject: Subject, truth: Truth, draw: Draw) -> None:
        _image_sizes(cases, subject, draw)


for _modules in (ENCODER, DECODER, VAE):
    _add_image_sizes(_modules)
