"""Lesson 07: the stubs of its exercises, built from the instructor's source.

Your own answers, in work/, take their places when this is imported.
"""

import torch
from torch import Tensor, nn
from vae_edu.catalogue import declare
from vae_edu.work import resolve

@declare(
    "7.1",
    points=4,
    minutes=12,
    difficulty="one hidden layer, two heads",
    needed_for="the VAE of 7.3, and every model from here on",
)
class Encoder(nn.Module):
    r"""The network behind q(z|x) = N(mu(x), diag exp(log_var(x))).

    $$h = a(W_1 x + b_1), \qquad \mu = W_\mu h + b_\mu, \qquad
      \log\sigma^2 = W_\sigma h + b_\sigma$$

    The nonlinearity a is your choice. Each latent has a mean and a log-variance of its
    own; both depend on x from the start, and both may take any real value. Each row
    of a batch is treated alone and without chance: no dropout, no batch norm, no noise.
    Kingma & Welling 2014, App. C.2, Eq. 12.
    """

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        """input_dim, hidden_dim, latent_dim: how many pixels, hidden units, latents."""
        raise NotImplementedError("Exercise 7.1: fill it in in notebooks/07_building_the_vae")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (batch, input)  ->  (mu, log_var), each (batch, latent)"""
        raise NotImplementedError("Exercise 7.1: fill it in in notebooks/07_building_the_vae")



@declare(
    "7.2",
    points=3,
    minutes=8,
    difficulty="two layers, and nothing after them",
    needed_for="the VAE of 7.3",
)
class Decoder(nn.Module):
    r"""The network behind p(x|z): one logit for each pixel.

    $$h = a(W_1 z + b_1), \qquad l = W_2 h + b_2$$

    The nonlinearity a is your choice. Logits take any real value; the probability of
    ink, σ(l), is left to whoever needs it. No dropout, no batch norm, no noise.
    Kingma & Welling 2014, App. C.1, Eq. 11, without its outermost sigmoid.
    """

    def __init__(self, latent_dim: int, hidden_dim: int, input_dim: int) -> None:
        """latent_dim, hidden_dim, input_dim: how many latents, hidden units, pixels."""
        raise NotImplementedError("Exercise 7.2: fill it in in notebooks/07_building_the_vae")

    def forward(self, z: Tensor) -> Tensor:
        """z: (batch, latent), or (num_samples, batch, latent)

        ->  logits: (batch, input), or (num_samples, batch, input)
        """
        raise NotImplementedError("Exercise 7.2: fill it in in notebooks/07_building_the_vae")



@declare(
    "7.3",
    points=5,
    minutes=12,
    difficulty="three lines that call what you have",
    needed_for="everything that is trained in lessons 08 to 10",
)
class VAE(nn.Module):
    r"""Encoder, noise and decoder in a row.

    $$x \;\to\; (\mu, \log\sigma^2) \;\to\; z = \mu + \sigma \epsilon \;\to\; l$$

    The noise comes from outside, as eps; nothing is drawn in here.
    Kingma & Welling 2014, Eqs. 9 and 10.
    """

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        """input_dim, hidden_dim, latent_dim: how many pixels, hidden units, latents."""
        raise NotImplementedError("Exercise 7.3: fill it in in notebooks/07_building_the_vae")

    def forward(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x: (batch, input); eps: (batch, latent), or (num_samples, batch, latent)

        ->  (logits, mu, log_var, z). mu and log_var: always (batch, latent); z: the
        shape of eps; logits: (batch, input), or (num_samples, batch, input)
        """
        raise NotImplementedError("Exercise 7.3: fill it in in notebooks/07_building_the_vae")

    def sample(self, z: Tensor) -> Tensor:
        """The image for a code: each pixel's probability of ink, not a drawn pixel.

        z: (batch, latent)  ->  (batch, input), between 0 and 1; differentiable
        """
        raise NotImplementedError("Exercise 7.3: fill it in in notebooks/07_building_the_vae")



@declare(
    "7.4",
    points=4,
    minutes=10,
    difficulty="two functions that you have, two signs, one mean",
    needed_for="the loss of every training run (lesson 08)",
)
def negative_elbo(
    x: Tensor, logits: Tensor, mu: Tensor, log_var: Tensor, beta: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    r"""The loss of a VAE with a Bernoulli decoder, in nats, averaged over the batch.

    $$\text{reconstruction} = \frac1B \sum_n -\log p(x_n|z_n), \qquad
      \text{kl} = \frac1B \sum_n \mathrm{KL}(q(z|x_n) \,\|\, \mathcal N(0, I)),$$
    $$\text{loss} = \text{reconstruction} + \beta\,\text{kl}$$

    Each term is summed over pixels or latents and averaged over the batch only. The kl
    that is returned is not multiplied by beta. Finite, with the right gradients, for
    logits of ±1000; x may be grey. Kingma & Welling 2014, Eq. 10; Higgins et al. 2017,
    Eq. 4, has the beta.

    x, logits: (batch, input), equal shapes; mu, log_var: (batch, latent); beta: a
    number  ->  (loss, reconstruction, kl), tensors of shape ()
    """
    raise NotImplementedError("Exercise 7.4: fill it in in notebooks/07_building_the_vae")



@declare(
    "7.5",
    points=3,
    minutes=10,
    difficulty="the chain rule through one line, twice",
    needed_for="telling what pulls on an encoder, and why one dies (lesson 08)",
)
def head_gradients(
    grad_z: Tensor, mu: Tensor, log_var: Tensor, eps: Tensor, beta: float = 1.0
) -> tuple[Tensor, Tensor]:
    r"""What reaches the two heads of an encoder, by hand, elementwise.

    With $r$ the reconstruction cost of an example, $z = \mu + e^{\ell/2}\epsilon$ and
    `grad_z` $= \partial r / \partial z$, the gradients

    $$\frac{d}{d\mu}\big[r(z) + \beta\,\mathrm{KL}\big] \quad\text{and}\quad
      \frac{d}{d\ell}\big[r(z) + \beta\,\mathrm{KL}\big],$$

    where KL is `gaussian_kl` and $\ell$ is log_var. You find the closed form. Tensors
    of the caller are left as they came: no `.grad`, no other `requires_grad`.

    grad_z, mu, log_var, eps: (batch, latent), equal shapes; beta: a number
    ->  (grad_mu, grad_log_var), (batch, latent) each
    """
    raise NotImplementedError("Exercise 7.5: fill it in in notebooks/07_building_the_vae")


resolve(globals())
