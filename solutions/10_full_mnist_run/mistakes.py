"""Lesson 10: what learners write when a difference between two models is misread."""

from __future__ import annotations

from torch import Tensor

from vae_edu.build.answers import register

REGISTER = register()
mutant = REGISTER.mutant
Pair = tuple[Tensor, Tensor]


@mutant(
    "paired_difference",
    "The two models are treated as if they had seen different images",
    "Adding the variances of a and b is right for independent samples. Here an image that is "
    "hard for one model is hard for the other.",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    n = len(nll_a)
    return nll_a.mean() - nll_b.mean(), (nll_a.var() / n + nll_b.var() / n).sqrt()


@mutant(
    "paired_difference",
    "The spread of the images stands in for that of their mean",
    "How far would the mean move with other images? With more of them, it should move less.",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    d = nll_a - nll_b
    return d.mean(), d.std()


@mutant(
    "paired_difference",
    "Divided by n where the mean was fitted to the same numbers",
    "Deviations are measured from a mean that these differences gave, so they are a little too "
    "small on average. What makes up for it?",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    d = nll_a - nll_b
    return d.mean(), d.std(correction=0) / len(d) ** 0.5


@mutant(
    "paired_difference",
    "The lost degree of freedom is counted twice",
    "One n - 1 belongs to the variance of the differences. What does the other factor count?",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    d = nll_a - nll_b
    return d.mean(), d.std() / (len(d) - 1) ** 0.5


@mutant(
    "paired_difference",
    "The sign says that the worse model is better",
    "Lower is better. The docstring says in which case the difference is positive.",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    d = nll_b - nll_a
    return d.mean(), d.std() / len(d) ** 0.5


@mutant(
    "paired_difference",
    "The distance of the models, without its sign",
    "A mean of absolute values is above 0 for two equally good models as well.",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    d = nll_a - nll_b
    return d.abs().mean(), d.std() / len(d) ** 0.5


@mutant(
    "paired_difference",
    "Every difference comes out above 0",
    "Which of the two models is the better one is told by the sign. Here it is lost.",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    d = nll_a - nll_b
    return d.mean().abs(), d.std() / len(d) ** 0.5


@mutant(
    "paired_difference",
    "One error is subtracted from the other",
    "Two values that are equally unsure would then differ by something perfectly sure.",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    n = len(nll_a)
    return (nll_a - nll_b).mean(), (nll_a.std() - nll_b.std()) / n**0.5


@mutant(
    "paired_difference",
    "The spread is divided by n, not by its root",
    "Variances of independent terms add. What becomes of a standard deviation?",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    d = nll_a - nll_b
    return d.mean(), d.std() / len(d)


@mutant(
    "paired_difference",
    "A variance is returned as the error",
    "Its unit would be nats squared. The mean's unit is nats.",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    d = nll_a - nll_b
    return d.mean(), d.var() / len(d)


@mutant(
    "paired_difference",
    "The spread is measured from 0, not from the mean",
    "If one model were better by exactly one nat on every image, how sure would the mean be?",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    d = nll_a - nll_b
    return d.mean(), ((d**2).sum() / (len(d) - 1)).sqrt() / len(d) ** 0.5


@mutant(
    "paired_difference",
    "A confidence interval in place of a standard error",
    "The factor 1.96 turns one into the other. The docstring asks for the first.",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    d = nll_a - nll_b
    return d.mean(), 1.96 * d.std() / len(d) ** 0.5


@mutant(
    "paired_difference",
    "The typical image in place of the mean",
    "A median leaves out what happens on the hardest images. The log-likelihood of a test set "
    "is a sum over all of them.",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    d = nll_a - nll_b
    return d.median(), d.std() / len(d) ** 0.5


@mutant(
    "paired_difference",
    "The two numbers are exchanged",
    "Which of the two does the signature name first?",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    d = nll_a - nll_b
    return d.std() / len(d) ** 0.5, d.mean()


@mutant(
    "paired_difference",
    "The error of the first model alone",
    "How sure is the value of a, and how sure is what a and b differ by? They are two questions.",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    return (nll_a - nll_b).mean(), nll_a.std() / len(nll_a) ** 0.5


@mutant(
    "paired_difference",
    "The mean square less the square of the mean",
    "Both are huge where the differences share a large part, and what is left of their digits "
    "is rounding. Subtract the mean first.",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    d, n = nll_a - nll_b, len(nll_a)
    variance = ((d**2).mean() - d.mean() ** 2).clamp_min(0) * n / (n - 1)
    return d.mean(), (variance / n).sqrt()


@mutant(
    "paired_difference",
    "Sorted before they are subtracted",
    "Which image a value belongs to is what makes a pair. Sorting forgets it.",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    d = nll_a.sort().values - nll_b.sort().values
    return d.mean(), d.std() / len(d) ** 0.5


@mutant(
    "paired_difference",
    "Right to some digits, not to sixteen",
    "Two things cost digits here: a tensor of torch's default dtype, as torch.tensor(len(d)).sqrt() "
    "is one (a Python number has sixteen), and a small number added to the variance, which a root "
    "above 0 does not need.",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    d = nll_a - nll_b
    return d.mean(), (d.var() + 1e-7).sqrt() / len(d) ** 0.5


@mutant(
    "paired_difference",
    "Only the first hundred images are compared",
    "All images that both models have seen count, and the more there are, the smaller the error.",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    d = (nll_a - nll_b)[:100]
    return d.mean(), d.std() / len(d) ** 0.5


@mutant(
    "paired_difference",
    "The difference is summed over the images, not averaged",
    "Nats per image are asked for: twice as many images should not give twice the number.",
)
def _(nll_a: Tensor, nll_b: Tensor) -> Pair:
    d = nll_a - nll_b
    return d.sum(), d.std() * len(d) ** 0.5
