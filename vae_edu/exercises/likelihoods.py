"""Lesson 06: the stubs of its exercises, built from the instructor's source.

Your own answers, in work/, take their places when this is imported.
"""

import math
import torch
from torch import Tensor
from vae_edu.catalogue import declare
from vae_edu.work import resolve

@declare(
    "6.1",
    points=3,
    minutes=12,
    difficulty="one line, once the logs are in order",
    needed_for="the reconstruction term of every VAE in this course (lesson 07)",
)
def bernoulli_log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    r"""The log-likelihood of Bernoulli pixels, log p(x|z), in nats, one per example.

    $$\sum_j \big[x_j \log \sigma(l_j) + (1 - x_j) \log(1 - \sigma(l_j))\big],
      \qquad \sigma(l) = \frac{1}{1 + e^{-l}}$$

    Finite, and with the right gradient, for logits of ±1000. Grey values between 0
    and 1 go through the same formula. Kingma & Welling 2014, App. C.1, Eq. 11.

    x: (batch, input), values in [0, 1]; logits: (batch, input), or
    (num_samples, batch, input)  ->  the shape of the logits without the last dimension
    """
    raise NotImplementedError("Exercise 6.1: fill it in in notebooks/06_likelihoods")



@declare(
    "6.2",
    points=2,
    minutes=6,
    difficulty="one comparison and one dtype",
    needed_for="the binary images of lessons 07 to 10",
)
def binarize(x: Tensor, uniform: Tensor) -> Tensor:
    r"""Images of 0 and 1 whose mean is the grey image: one coin a pixel.

    $$b_j = \begin{cases} 1 & u_j < x_j \\ 0 & \text{otherwise} \end{cases}$$

    The noise is an argument, so the same noise gives the same image.
    Salakhutdinov & Murray 2008, sec. 5.

    x: (..., input), values in [0, 1]; uniform: (..., input), values in [0, 1), for
    example (num_samples, batch, input)  ->  their broadcast shape, in the dtype of x
    """
    raise NotImplementedError("Exercise 6.2: fill it in in notebooks/06_likelihoods")



@declare(
    "6.3",
    points=2,
    minutes=8,
    difficulty="two terms, and what happens at 0",
    needed_for="reading a test score: no model gets below this floor (lesson 10)",
)
def entropy_floor(x: Tensor) -> Tensor:
    r"""The entropy of a binarised image in nats, one value per example.

    $$-\sum_j \big[x_j \log x_j + (1 - x_j) \log(1 - x_j)\big], \qquad 0 \log 0 = 0$$

    No decoder that sees only the grey image x can have a smaller expected
    -log p(b|z) for b = `binarize(x, uniform)`. MacKay 2003, Eq. 2.35.

    x: (..., input), values in [0, 1], both ends included  ->  (...)
    """
    raise NotImplementedError("Exercise 6.3: fill it in in notebooks/06_likelihoods")



@declare(
    "6.4",
    points=3,
    minutes=10,
    difficulty="three terms, each counted once for each dimension",
    needed_for="decoders of continuous data, and exercise 6.5",
)
def gaussian_log_likelihood(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    r"""The log-density log N(x; mean, diag exp(log_var)) in nats, one per example.

    $$-\tfrac12 \sum_j \big[\log 2\pi + \ell_j + (x_j - m_j)^2 e^{-\ell_j}\big]$$

    Kingma & Welling 2014, App. C.2, Eq. 12.

    x, mean: (..., input), for example (batch, input) and (num_samples, batch, input);
    log_var: () for one variance that all dimensions share, or (..., input); leading
    dimensions broadcast  ->  (...)
    """
    raise NotImplementedError("Exercise 6.4: fill it in in notebooks/06_likelihoods")



@declare(
    "6.5",
    points=2,
    minutes=8,
    difficulty="one derivative set to zero",
    needed_for="a Gaussian decoder without a hand-picked variance",
)
def optimal_log_var(x: Tensor, mean: Tensor) -> Tensor:
    r"""The one log-variance, shared by all dimensions, that makes the data most likely.

    $$\ell^* = \arg\max_\ell \sum_{n} \log \mathcal N(x_n;\, m_n,\, e^\ell I)$$

    The sum runs over everything that x and mean broadcast to. You find the closed form.
    Rybkin, Daniilidis & Levine 2021, the optimal σ-VAE.

    x: (..., input); mean: (..., input), for example (num_samples, batch, input)  ->  ()
    """
    raise NotImplementedError("Exercise 6.5: fill it in in notebooks/06_likelihoods")



@declare(
    "6.6",
    points=2,
    minutes=5,
    difficulty="two divisions",
    needed_for="comparing models across image sizes (lessons 10 and 18)",
)
def bits_per_dim(nll: Tensor, num_dims: int) -> Tensor:
    r"""A negative log-likelihood in nats, as bits for each dimension.

    $$\frac{-\log_2 p(x)}{D}$$

    Theis, van den Oord & Bethge 2016, sec. 3.1.

    nll: any shape, in nats, summed over D = num_dims dimensions  ->  the same shape
    """
    raise NotImplementedError("Exercise 6.6: fill it in in notebooks/06_likelihoods")



@declare(
    "6.7",
    points=2,
    minutes=8,
    difficulty="multiply the whole loss by one number",
    needed_for="reading other people's losses; every comparison in lesson 12",
)
def effective_beta(num_pixels: int, num_latents: int) -> float:
    r"""The β that a mean over pixels plus a mean over latents amounts to.

    $$\frac{1}{P} \sum_{i=1}^{P} r_i + \frac{1}{L} \sum_{j=1}^{L} k_j
      \;\propto\; \sum_i r_i + \beta \sum_j k_j$$

    r are the pixels' negative log-likelihoods, k the latents' KL terms.
    Higgins et al. 2017, Eq. 4, has the β on the right.

    num_pixels: P; num_latents: L  ->  a Python float
    """
    raise NotImplementedError("Exercise 6.7: fill it in in notebooks/06_likelihoods")


resolve(globals())
