"""Lesson 01: the stubs of its exercises, built from the instructor's source.

Your own answers, in work/, take their places when this is imported.
"""

import torch
from torch import Tensor, nn
from vae_edu.catalogue import declare
from vae_edu.work import resolve

@declare(
    "1.1",
    points=2,
    minutes=5,
    difficulty="a difference, a square, a sum",
    needed_for="every loss of this lesson, and the Gaussian likelihood of lesson 06",
)
def squared_error(x: Tensor, x_hat: Tensor) -> Tensor:
    r"""The squared distance of each image to its reconstruction, one value per example.

    $$\lVert x - \hat x \rVert^2 = \sum_j (x_j - \hat x_j)^2$$

    Summed over the pixels, not averaged; in squared grey values; differentiable in
    both. The term of one example in Bishop 2006, Eq. 12.11.

    x, x_hat: (batch, input), equal shapes  ->  (batch,)
    """
    raise NotImplementedError("Exercise 1.1: fill it in in notebooks/01_autoencoders")



@declare(
    "1.2",
    points=2,
    minutes=8,
    difficulty="centre, project, go back",
    needed_for="the best that any linear autoencoder can do",
)
def pca_reconstruction(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    r"""The point of the affine subspace mean + span(components) that is nearest to x.

    $$z = C (x - m), \qquad \hat x = m + C^\top z$$

    C holds the components as its rows; they are orthonormal, $C C^\top = I$.
    Bishop 2006, Eqs. 12.10, 12.12 and 12.13.

    x: (batch, input); mean: (input,); components: (latent, input)  ->  (batch, input)
    """
    raise NotImplementedError("Exercise 1.2: fill it in in notebooks/01_autoencoders")



@declare(
    "1.3",
    points=3,
    minutes=12,
    difficulty="one factorisation twice, then singular values",
    needed_for="showing that a trained linear autoencoder has found PCA's subspace",
)
def subspace_cosines(first: Tensor, second: Tensor) -> Tensor:
    r"""The cosines of the principal angles between two subspaces, largest first.

    With orthonormal bases $Q_1, Q_2$ (as rows), they are the singular values of

    $$Q_1 Q_2^\top$$

    All are 1 where the subspaces are the same, whichever bases span them.
    Björck & Golub 1973, Theorem 1.

    first: (k, input), second: (m, input), each with independent rows: of any lengths,
    some of them nearly parallel, not necessarily equally many
    ->  (min(k, m),) between 0 and 1 up to rounding
    """
    raise NotImplementedError("Exercise 1.3: fill it in in notebooks/01_autoencoders")



@declare(
    "1.4",
    points=4,
    minutes=15,
    difficulty="four layers and two nonlinearities",
    needed_for="the rest of this lesson; a VAE (lesson 07) changes two of its lines",
)
class Autoencoder(nn.Module):
    r"""Two small networks in a row: an encoder z = f(x) and a decoder x̂ = g(z).

    $$f: \text{input} \to \text{hidden} \to \text{latent}, \qquad
      g: \text{latent} \to \text{hidden} \to \text{input}$$

    Each has hidden_dim units with a nonlinearity of your choice between its two layers.
    Each row of a batch is treated alone and without chance: no dropout, no batch norm.
    Goodfellow, Bengio & Courville 2016, ch. 14.
    """

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        """input_dim, hidden_dim, latent_dim: how many pixels, hidden units, codes."""
        raise NotImplementedError("Exercise 1.4: fill it in in notebooks/01_autoencoders")

    def encode(self, x: Tensor) -> Tensor:
        """x: (batch, input)  ->  z: (batch, latent)"""
        raise NotImplementedError("Exercise 1.4: fill it in in notebooks/01_autoencoders")

    def decode(self, z: Tensor) -> Tensor:
        """z: (batch, latent)  ->  x_hat: (batch, input)"""
        raise NotImplementedError("Exercise 1.4: fill it in in notebooks/01_autoencoders")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (batch, input)  ->  (x_hat (batch, input), z (batch, latent))"""
        raise NotImplementedError("Exercise 1.4: fill it in in notebooks/01_autoencoders")


resolve(globals())
