"""Lesson 01, reference answers: squared error, PCA as an autoencoder, a deep one."""

import torch
from torch import Tensor, nn

from vae_edu.catalogue import declare


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
    ### BEGIN SOLUTION
    return ((x - x_hat) ** 2).sum(-1)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    z = (x - mean) @ components.T  # (batch, latent)
    return mean + z @ components
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    q_first = torch.linalg.qr(first.T).Q  # (input, k)
    q_second = torch.linalg.qr(second.T).Q  # (input, m)
    return torch.linalg.svdvals(q_first.T @ q_second)
    ### END SOLUTION


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
        ### BEGIN SOLUTION
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(input_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, latent_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, input_dim),
        )
        ### END SOLUTION

    def encode(self, x: Tensor) -> Tensor:
        """x: (batch, input)  ->  z: (batch, latent)"""
        ### BEGIN SOLUTION
        return self.encoder(x)
        ### END SOLUTION

    def decode(self, z: Tensor) -> Tensor:
        """z: (batch, latent)  ->  x_hat: (batch, input)"""
        ### BEGIN SOLUTION
        return self.decoder(z)
        ### END SOLUTION

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (batch, input)  ->  (x_hat (batch, input), z (batch, latent))"""
        ### BEGIN SOLUTION
        z = self.encode(x)
        return self.decode(z), z
        ### END SOLUTION
