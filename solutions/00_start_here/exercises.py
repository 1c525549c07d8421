"""Lesson 00, reference answers: the mean of numbers known by their logarithms."""

import math

from torch import Tensor

from vae_edu.catalogue import declare


@declare(
    "0.1",
    points=3,
    minutes=15,
    difficulty="one identity, and one case where it breaks",
    needed_for="every log-evidence in this course (lessons 02, 03, 09 and 10)",
)
def log_mean_exp(log_values: Tensor, dim: int) -> Tensor:
    r"""The log of the mean of exp(log_values) over one dimension, in nats.

    $$\log \frac1n \sum_{i=1}^{n} e^{a_i}
      = m + \log \frac1n \sum_{i=1}^{n} e^{a_i - m}, \qquad m = \max_i a_i$$

    Finite wherever the true value is: for log-values of ±10,000 as well, in float32 as
    in float64. An entry of -inf is a value of zero and counts among the n; where every
    entry is -inf the result is -inf. Blanchard, Higham & Higham 2021, Eq. 1.3.

    log_values: any shape; dim: one of its dimensions, from the front (0, 1, ...) or
    from the end (-1, -2, ...)  ->  the shape without that dimension
    """
    ### BEGIN SOLUTION
    m = log_values.detach().amax(dim, keepdim=True)
    m = m.masked_fill(m == -math.inf, 0.0)  # -inf - (-inf) would be nan
    return m.squeeze(dim) + (log_values - m).exp().mean(dim).log()
    ### END SOLUTION
