"""Lesson 00: the stubs of its exercises, built from the instructor's source.

Your own answers, in work/, take their places when this is imported.
"""

import math
from torch import Tensor
from vae_edu.catalogue import declare
from vae_edu.work import resolve

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
    raise NotImplementedError("Exercise 0.1: fill it in in notebooks/00_start_here")


resolve(globals())
