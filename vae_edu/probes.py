"""Test functions `f` that a law gives to an exercise by name, so they can cross a wire.

A probe is data (a kind and tensors); `function()` turns it into the function. What does
not belong here: expected values of any exercise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Probe:
    """A function (num_samples, latent) -> (num_samples,) named by `kind`.

    kinds: "quadratic" sum_j a_j z_j^2, "sine" sum_j sin(a_j z_j), "step"
    sum_j a_j 1[z_j > 0] (not differentiable: its result has no gradient), "constant"
    a_0 for every z (attached to z with gradient zero), "product" a_0 z_0 z_1 ...
    (couples the dimensions). `weight` is a tensor (latent,); where `trainable`, it is a
    leaf that requires a gradient, as a network's weight inside f would be.
    """

    kind: str
    weight: Tensor
    trainable: bool = False
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def function(self) -> Callable[[Tensor], Tensor]:
        """The function itself; it notes the shape of every argument it gets."""
        body = _KINDS[self.kind]

        def f(z: Tensor) -> Tensor:
            self.shapes.append(tuple(z.shape))
            if z.dim() != 2 or z.shape[-1] != self.weight.shape[-1]:
                raise ValueError(
                    f"f got z of shape {tuple(z.shape)}; it takes "
                    f"(num_samples, latent) with latent = {self.weight.shape[-1]}"
                )
            return body(z, self.weight)

        return f


_KINDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "quadratic": lambda z, a: (a * z**2).sum(-1),
    "sine": lambda z, a: torch.sin(a * z).sum(-1),
    "step": lambda z, a: (a.detach() * (z.detach() > 0)).sum(-1),
    "constant": lambda z, a: a[0] + 0.0 * z.sum(-1),
    "product": lambda z, a: a[0] * z.prod(-1),
}
