"""Lesson 10, reference answers: reading a difference between two models."""

from torch import Tensor

from vae_edu.catalogue import declare


@declare(
    "10.1",
    points=3,
    minutes=8,
    difficulty="one subtraction, and knowing what it removes",
    needed_for="saying which of two models is better, here and in Part III",
)
def paired_difference(nll_a: Tensor, nll_b: Tensor) -> tuple[Tensor, Tensor]:
    r"""How much worse model a is than model b on the same images, and how sure that is.

    With $d_i = a_i - b_i$ for image i, in nats,

    $$\bar d = \frac1n\sum_i d_i, \qquad
      \mathrm{SE} = \frac{s_d}{\sqrt n}, \qquad
      s_d^2 = \frac{1}{n-1}\sum_i (d_i - \bar d)^2$$

    Positive where b is the better model. The images are the same ones in the same
    order, so what makes one hard for both models cancels. The standard error keeps its
    digits where all the $d_i$ share a large part (a million nats, in float64).
    Cochran 1977, sec. 2.6, with the differences as the observations.

    nll_a, nll_b: (n,), n >= 2, nats per image  ->  (difference, standard_error), two
    tensors of shape ()
    """
    ### BEGIN SOLUTION
    d = nll_a - nll_b
    return d.mean(), d.std() / len(d) ** 0.5
    ### END SOLUTION
