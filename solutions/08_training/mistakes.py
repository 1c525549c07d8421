"""Lesson 08: what learners write when something about training is misunderstood."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F  # noqa: N812

from vae_edu.build.answers import register
from vae_edu.lesson import find

REGISTER = register()
mutant = REGISTER.mutant


# --- minibatch_variance ---------------------------------------------------------------


@mutant(
    "minibatch_variance",
    "As if examples were drawn with replacement",
    "A batch of the whole set has no noise at all. Does your formula give 0 there?",
)
def _(gradients, batch_size):
    return gradients.var(0, correction=0) / batch_size


@mutant(
    "minibatch_variance",
    "The unbiased variance without the correction for the set",
    "An estimate for an endless supply of examples. Here the set is finite and drawn "
    "from without replacement: what is left when the batch is all of it?",
)
def _(gradients, batch_size):
    return gradients.var(0) / batch_size


@mutant(
    "minibatch_variance",
    "N - 1 is divided by twice",
    "torch's var divides by N - 1 unless told otherwise. The formula's variance divides "
    "by N; its N - 1 is in the second factor.",
)
def _(gradients, batch_size):
    n = len(gradients)
    return gradients.var(0) / batch_size * (n - batch_size) / (n - 1)


@mutant(
    "minibatch_variance",
    "N in place of N - 1",
    "Take N = 2 and B = 1: the batch is one of two gradients. What is its variance, "
    "counted by hand?",
)
def _(gradients, batch_size):
    n = len(gradients)
    return gradients.var(0, correction=0) / batch_size * (n - batch_size) / n


@mutant(
    "minibatch_variance",
    "The variance is divided without a remainder",
    "// rounds down to a whole number. Which quotients in the formula are whole numbers?",
)
def _(gradients, batch_size):
    n = len(gradients)
    return gradients.var(0, correction=0) // batch_size * (n - batch_size) / (n - 1)


@mutant(
    "minibatch_variance",
    "The correction for the set is divided without a remainder",
    "(N - B) // (N - 1) is 0 for any batch of more than one. A single / keeps the fraction.",
)
def _(gradients, batch_size):
    n = len(gradients)
    return gradients.var(0, correction=0) / batch_size * ((n - batch_size) // (n - 1))


@mutant(
    "minibatch_variance",
    "The number of batches, rounded down",
    "N // B counts whole batches. A batch size need not divide N, and the noise of one batch does "
    "not depend on how many there are.",
)
def _(gradients, batch_size):
    n = len(gradients)
    return gradients.var(0, correction=0) * (n // batch_size - 1) / (n - 1)


@mutant(
    "minibatch_variance",
    "One factor too few: not divided by the batch size",
    "A larger batch averages more: which factor says that, beside the one for the finite set?",
)
def _(gradients, batch_size):
    n = len(gradients)
    return gradients.var(0, correction=0) * (n - batch_size) / (n - 1)


@mutant(
    "minibatch_variance",
    "The sum of squares, not their mean",
    "sigma squared is a mean over the N gradients, so it does not grow with their number.",
)
def _(gradients, batch_size):
    n = len(gradients)
    spread = (gradients - gradients.mean(0)).square().sum(0)
    return spread / batch_size * (n - batch_size) / (n - 1)


@mutant(
    "minibatch_variance",
    "The correction is upside down",
    "A batch that is the whole set has no noise. Is the factor 0 there?",
)
def _(gradients, batch_size):
    n = len(gradients)
    return gradients.var(0, correction=0) / batch_size * (n - 1) / (n - batch_size)


@mutant(
    "minibatch_variance",
    "Only the first gradients are looked at",
    "The N gradients are all there are, however many.",
)
def _(gradients, batch_size):
    n = len(gradients)
    return (
        gradients[:100].var(0, correction=0) / batch_size * (n - batch_size) / (n - 1)
    )


@mutant(
    "minibatch_variance",
    "The standard deviation",
    "Variances of independent things add, standard deviations do not. Which one is "
    "asked for?",
)
def _(gradients, batch_size):
    n = len(gradients)
    variance = gradients.var(0, correction=0) / batch_size
    return (variance * (n - batch_size) / (n - 1)).sqrt()


@mutant(
    "minibatch_variance",
    "One number for all parameters",
    "Each parameter has a variance of its own: shape (parameters,).",
)
def _(gradients, batch_size):
    n = len(gradients)
    variance = gradients.var(0, correction=0) / batch_size
    return (variance * (n - batch_size) / (n - 1)).mean()


@mutant(
    "minibatch_variance",
    "The variance over the parameters, not over the examples",
    "What differs from batch to batch is the choice of examples. Which dimension counts "
    "them?",
)
def _(gradients, batch_size):
    n = len(gradients)
    variance = gradients.var(1, correction=0) / batch_size
    return variance * (n - batch_size) / (n - 1)


@mutant(
    "minibatch_variance",
    "The variance of a batch's sum",
    "A sum has B squared times the variance of an average. Which of the two is the "
    "gradient of a mean loss?",
)
def _(gradients, batch_size):
    n = len(gradients)
    variance = gradients.var(0, correction=0) * batch_size
    return variance * (n - batch_size) / (n - 1)


@mutant(
    "minibatch_variance",
    "B appears squared",
    "The mean has a factor 1/B, its variance one of 1/B squared. And how many variances are there "
    "in the bracket of (3)?",
)
def _(gradients, batch_size):
    n = len(gradients)
    spread = gradients.var(0, correction=0) / batch_size**2
    return spread * (n - batch_size) / (n - 1)


@mutant(
    "minibatch_variance",
    "Divided by the square root of the batch size",
    "The spread falls with the root of B. And its square, the variance?",
)
def _(gradients, batch_size):
    n = len(gradients)
    variance = gradients.var(0, correction=0) / math.sqrt(batch_size)
    return variance * (n - batch_size) / (n - 1)


@mutant(
    "minibatch_variance",
    "The mean is not subtracted",
    "The mean square is a variance only where the mean is 0. A gradient that all "
    "examples share makes no noise.",
)
def _(gradients, batch_size):
    n = len(gradients)
    return (gradients**2).mean(0) / batch_size * (n - batch_size) / (n - 1)


@mutant(
    "minibatch_variance",
    "Mean of squares less square of the mean",
    "True on paper. In floating point two large, nearly equal numbers are subtracted, "
    "and the digits that matter are gone. What can be subtracted earlier?",
)
def _(gradients, batch_size):
    n = len(gradients)
    variance = (gradients**2).mean(0) - gradients.mean(0) ** 2
    return variance / batch_size * (n - batch_size) / (n - 1)


@mutant(
    "minibatch_variance",
    "Something small is added, against zeros",
    "The variance is exactly 0 where the batch is the whole set, and nothing here "
    "divides by it.",
)
def _(gradients, batch_size):
    n = len(gradients)
    variance = gradients.var(0, correction=0) / batch_size
    return variance * (n - batch_size) / (n - 1) + 1e-8


@mutant(
    "minibatch_variance",
    "Estimated by drawing batches",
    "A simulation comes near the value; the formula gives it exactly.",
)
def _(gradients, batch_size):
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(2000, len(gradients), generator=generator)
    chosen = noise.argsort(1)[:, :batch_size]
    return gradients[chosen].mean(1).var(0)


# --- adam_update ----------------------------------------------------------------------


def _adam(
    grad,
    m,
    v,
    step,
    lr=1e-3,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    *,
    first=True,
    second=True,
):
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    m_hat = m / (1 - beta1**step) if first else m
    v_hat = v / (1 - beta2**step) if second else v
    return -lr * m_hat / (v_hat.sqrt() + eps), m, v


@mutant(
    "adam_update",
    "No bias correction",
    "The running means start at 0. In step 1, what part of the gradient is in m?",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    return _adam(grad, m, v, step, lr, beta1, beta2, eps, first=False, second=False)


@mutant(
    "adam_update",
    "Only m is corrected",
    "v starts at 0 too, and its memory is longer: it is too small for longer.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    return _adam(grad, m, v, step, lr, beta1, beta2, eps, second=False)


@mutant(
    "adam_update",
    "The corrected means are returned",
    "The next step starts from what you return, and would correct it once more.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = (beta1 * m + (1 - beta1) * grad) / (1 - beta1**step)
    v = (beta2 * v + (1 - beta2) * grad**2) / (1 - beta2**step)
    return -lr * m / (v.sqrt() + eps), m, v


@mutant(
    "adam_update",
    "eps inside the root",
    "Adam adds eps after the root; RMSprop's variants differ here. For a tiny gradient "
    "the two are far apart.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    _, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    v_hat = v / (1 - beta2**step)
    return -lr * m / (1 - beta1**step) / (v_hat + eps).sqrt(), m, v


@mutant(
    "adam_update",
    "No eps",
    "Where a parameter has never had a gradient, the quotient is 0 / 0.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    return _adam(grad, m, v, step, lr, beta1, beta2, 0.0)


@mutant(
    "adam_update",
    "Uphill",
    "A minimiser goes against the gradient. The update is added to the parameter.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    update, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    return -update, m, v


@mutant(
    "adam_update",
    "The weights are swapped",
    "A decay of 0.9 keeps nine tenths of the old mean. Which factor belongs to the new "
    "gradient?",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = (1 - beta1) * m + beta1 * grad
    v = (1 - beta2) * v + beta2 * grad**2
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return -lr * m_hat / (v_hat.sqrt() + eps), m, v


@mutant(
    "adam_update",
    "v is the mean of the gradient, not of its square",
    "A root is taken of v, and a gradient may be negative.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad.abs()
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return -lr * m_hat / (v_hat.sqrt() + eps), m, v


@mutant(
    "adam_update",
    "The gradient in v is not squared",
    "Look at the last factor of each half of (6): in which unit is v, if m is in the gradient's?",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return -lr * m_hat / (v_hat.sqrt() + eps), m, v


@mutant(
    "adam_update",
    "The weights of m are swapped",
    "With beta1 = 0.9, how much of the old mean is kept, and how much of it here?",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = (1 - beta1) * m + beta1 * grad
    v = beta2 * v + (1 - beta2) * grad**2
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return -lr * m_hat / (v_hat.sqrt() + eps), m, v


@mutant(
    "adam_update",
    "One decay corrects both means",
    "Each mean began at 0 and has a memory of its own. Which decay is v's?",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta1**step)
    return -lr * m_hat / (v_hat.sqrt() + eps), m, v


@mutant(
    "adam_update",
    "The update comes last",
    "All three are right. Read their order in the docstring.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    update, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    return m, v, update


@mutant(
    "adam_update",
    "The root is forgotten",
    "Follow the units: m is a gradient, v its square, and the quotient has no unit.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    _, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    return -lr * m / (1 - beta1**step) / (v / (1 - beta2**step) + eps), m, v


@mutant(
    "adam_update",
    "The steps are counted from 0",
    "The first step is number 1. What would the correction divide by at 0?",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    return _adam(grad, m, v, step + 1, lr, beta1, beta2, eps)


@mutant(
    "adam_update",
    "The old means are used",
    "The means are renewed with this step's gradient first, and then used.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    update = -lr * m_hat / (v_hat.sqrt() + eps)
    return update, beta1 * m + (1 - beta1) * grad, beta2 * v + (1 - beta2) * grad**2


@mutant(
    "adam_update",
    "m and v are renewed in place",
    "mul_ and add_ write into the caller's tensors. Here new ones are asked for.",
    "in-place",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m.mul_(beta1).add_((1 - beta1) * grad)
    v.mul_(beta2).add_((1 - beta2) * grad**2)
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return -lr * m_hat / (v_hat.sqrt() + eps), m.clone(), v.clone()


@mutant(
    "adam_update",
    "The default eps, whatever is given",
    "The argument is not used. Another value makes another step where gradients are "
    "small.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    return _adam(grad, m, v, step, lr, beta1, beta2)


@mutant(
    "adam_update",
    "One mean square for the whole tensor",
    "Adam has a step size for each parameter on its own; nothing is averaged over them.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    _, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    v_hat = (v / (1 - beta2**step)).mean()
    return -lr * m / (1 - beta1**step) / (v_hat.sqrt() + eps), m, v


@mutant(
    "adam_update",
    "A vector is expected",
    "Parameters are matrices too, and single numbers. Elementwise code needs no index.",
    "written-for-a-batch",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    rows = [
        _adam(grad[i], m[i], v[i], step, lr, beta1, beta2, eps)
        for i in range(grad.shape[0])
    ]
    return tuple(torch.hstack(t) for t in zip(*rows, strict=True))


@mutant(
    "adam_update",
    "Written for step numbers that a learner tries",
    "After many steps the correction is gone, but the formula stays the same.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    late = step > 1000
    return _adam(
        grad, m, v, step, lr, beta1, beta2, eps, first=not late, second=not late
    )


@mutant(
    "adam_update",
    "The mean square is kept away from 0",
    "A floor for v is no part of Adam: small gradients would take small steps, and the "
    "next step would start from it.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    _, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    v = v.clamp(min=1e-12)
    return -lr * m / (1 - beta1**step) / ((v / (1 - beta2**step)).sqrt() + eps), m, v


def _quotient(m, v, first, second, lr, eps):
    """The update with any two corrections."""
    return -lr * (m / first) / ((v / second).sqrt() + eps)


@mutant(
    "adam_update",
    "The decays are squared, not raised to the power t",
    "After how many steps is the correction 1 - beta squared? The power is the number "
    "of the step.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    _, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    return _quotient(m, v, 1 - beta1**2, 1 - beta2**2, lr, eps), m, v


@mutant(
    "adam_update",
    "The decays are not raised to the power t",
    "1 - beta is right for the first step alone. How much of the start is left in m "
    "after t of them?",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    _, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    return _quotient(m, v, 1 - beta1, 1 - beta2, lr, eps), m, v


@mutant(
    "adam_update",
    "The power is t - 1",
    "In step number 1 the first power of beta belongs there. What is divided by with "
    "power 0?",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    _, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    return (
        _quotient(m, v, 1 - beta1 ** (step - 1), 1 - beta2 ** (step - 1), lr, eps),
        m,
        v,
    )


@mutant(
    "adam_update",
    "The decays are multiplied by t",
    "What is left of the start shrinks by a factor in each step: a power, not a "
    "product.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    _, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    return _quotient(m, v, 1 - beta1 * step, 1 - beta2 * step, lr, eps), m, v


@mutant(
    "adam_update",
    "The power is taken of 1 - beta",
    "After t steps, beta to the power t is left of the start. Which of the two is "
    "raised, beta or what it leaves over?",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    _, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    return _quotient(m, v, (1 - beta1) ** step, (1 - beta2) ** step, lr, eps), m, v


@mutant(
    "adam_update",
    "The corrections multiply",
    "m is too small at first. Does the correction make it larger here?",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    _, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    return _quotient(m, v, 1 / (1 - beta1**step), 1 / (1 - beta2**step), lr, eps), m, v


@mutant(
    "adam_update",
    "The corrections change places",
    "Each mean began at 0 and has a memory of its own. Which decay is whose?",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    _, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    return _quotient(m, v, 1 - beta2**step, 1 - beta1**step, lr, eps), m, v


@mutant(
    "adam_update",
    "v is corrected with a squared power",
    "v has a decay of its own, and the power is t, as for m. That v averages squares "
    "does not change it.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    _, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    return _quotient(m, v, 1 - beta1**step, 1 - beta2 ** (2 * step), lr, eps), m, v


@mutant(
    "adam_update",
    "Only v is corrected",
    "m starts at 0 too: in the first step it holds a part of the gradient only.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    _, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    return _quotient(m, v, 1, 1 - beta2**step, lr, eps), m, v


@mutant(
    "adam_update",
    "eps at the uncorrected root",
    "The corrections may be taken together, as one factor of the step size. Then eps "
    "must be scaled as well: it is added to the corrected root.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    _, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    size = lr * (1 - beta2**step) ** 0.5 / (1 - beta1**step)
    return -size * m / (v.sqrt() + eps), m, v


@mutant(
    "adam_update",
    "The corrections are written with the usual betas",
    "0.9 and 0.999 are defaults. What are the arguments for?",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    _, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    return _quotient(m, v, 1 - 0.9**step, 1 - 0.999**step, lr, eps), m, v


@mutant(
    "adam_update",
    "The usual betas, whatever is given",
    "0.9 and 0.999 are defaults. A caller who gives others gets the same step here.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    return _adam(grad, m, v, step, lr, 0.9, 0.999, eps)


@mutant(
    "adam_update",
    "The means are written with the usual betas",
    "The corrections use the arguments, and what they correct was averaged with other decays.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = 0.9 * m + 0.1 * grad
    v = 0.999 * v + 0.001 * grad**2
    return _quotient(m, v, 1 - beta1**step, 1 - beta2**step, lr, eps), m, v


@mutant(
    "adam_update",
    "The usual step size, whatever is given",
    "lr is an argument: 1e-3 is its default and no more.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    return _adam(grad, m, v, step, 1e-3, beta1, beta2, eps)


@mutant(
    "adam_update",
    "The step size is forgotten",
    "Without lr the step is about 1 for every parameter.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    return _adam(grad, m, v, step, 1.0, beta1, beta2, eps)


@mutant(
    "adam_update",
    "The gradient itself is divided by the root",
    "That is RMSprop. What is the first of the two means for?",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    _, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    return -lr * grad / ((v / (1 - beta2**step)).sqrt() + eps), m, v


@mutant(
    "adam_update",
    "m and v change places in the quotient",
    "A parameter with large gradients should not take larger steps. Which of the two "
    "means is below?",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    _, m, v = _adam(grad, m, v, step, lr, beta1, beta2, eps)
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return -lr * v_hat / (m_hat.sqrt() + eps), m, v


@mutant(
    "adam_update",
    "m and v change places on entry",
    "Each mean is continued from its own past: m from m, v from v.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    return _adam(grad, v, m, step, lr, beta1, beta2, eps)


@mutant(
    "adam_update",
    "The new mean square is made from m",
    "v averages the squares of the gradients, m the gradients: m squared forgets how "
    "much they vary.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * m**2
    return _quotient(m, v, 1 - beta1**step, 1 - beta2**step, lr, eps), m, v


@mutant(
    "adam_update",
    "The gradient is added whole",
    "A running mean keeps a part beta of the old and adds a part 1 - beta of the new.",
)
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + grad
    v = beta2 * v + grad**2
    return _quotient(m, v, 1 - beta1**step, 1 - beta2**step, lr, eps), m, v


# --- train_step -----------------------------------------------------------------------

negative_elbo = find("building_the_vae").reference["negative_elbo"]


def _terms(model, x, eps, beta=1.0):
    logits, mu, log_var, _ = model(x, eps)
    return negative_elbo(x, logits, mu, log_var, beta)


def _numbers(terms):
    return tuple(t.item() for t in terms)


def _stepped(optimizer, lowered):
    optimizer.zero_grad()
    lowered.backward()
    optimizer.step()


@mutant(
    "train_step",
    "The gradients of earlier steps are not cleared",
    "backward adds to .grad. What is in it when the second step begins?",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    terms[0].backward()
    optimizer.step()
    return _numbers(terms)


@mutant(
    "train_step",
    "Cleared after the step, not before",
    "That helps the next call of this function. What if something else has called "
    "backward in between?",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    terms[0].backward()
    optimizer.step()
    optimizer.zero_grad()
    return _numbers(terms)


@mutant(
    "train_step",
    "Nothing moves",
    "After the call the parameters are what they were. Is there a step, and does it still "
    "find the gradients when it comes?",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    optimizer.zero_grad()
    terms[0].backward()
    return _numbers(terms)


@mutant(
    "train_step",
    "Two steps along one gradient",
    "The optimizer's step is called twice. After the first the gradient is out of date.",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    _stepped(optimizer, terms[0])
    optimizer.step()
    return _numbers(terms)


@mutant(
    "train_step",
    "The values after the step are returned",
    "The numbers belong to the parameters that the gradient was taken at. A curve of "
    "others is ahead by a step.",
)
def _(model, optimizer, x, eps, beta=1.0):
    _stepped(optimizer, _terms(model, x, eps, beta)[0])
    with torch.no_grad():
        return _numbers(_terms(model, x, eps, beta))


@mutant(
    "train_step",
    "The values come from a forward pass of their own",
    "With dropout no two forward passes are alike: these are not the numbers that the "
    "step was computed from. It costs twice the time, too.",
)
def _(model, optimizer, x, eps, beta=1.0):
    with torch.no_grad():
        shown = _numbers(_terms(model, x, eps, beta))
    _stepped(optimizer, _terms(model, x, eps, beta)[0])
    return shown


@mutant(
    "train_step",
    "Tensors are returned",
    "A tensor keeps its graph alive; a list of a thousand losses would keep a thousand "
    "graphs. Plain numbers are asked for.",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    _stepped(optimizer, terms[0])
    return terms


@mutant(
    "train_step",
    "Only the loss is returned",
    "The loss alone hides which of its two terms moves. Three numbers are asked for.",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    _stepped(optimizer, terms[0])
    return terms[0].item()


@mutant(
    "train_step",
    "A list is returned",
    "Its numbers are right; the signature promises a tuple.",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    _stepped(optimizer, terms[0])
    return [t.item() for t in terms]


@mutant(
    "train_step",
    "beta is not passed on",
    "The parameter is there; look where it goes.",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps)
    _stepped(optimizer, terms[0])
    return _numbers(terms)


@mutant(
    "train_step",
    "beta is shown but not trained with",
    "The value has beta in it; what is backward called on?",
)
def _(model, optimizer, x, eps, beta=1.0):
    loss, reconstruction, kl = _terms(model, x, eps)
    _stepped(optimizer, loss)
    return reconstruction.item() + beta * kl.item(), reconstruction.item(), kl.item()


@mutant(
    "train_step",
    "Images and logits change places in the loss",
    "One of the two is data, the other what the model says of it. Read the signature of "
    "negative_elbo.",
)
def _(model, optimizer, x, eps, beta=1.0):
    logits, mu, log_var, _ = model(x, eps)
    terms = negative_elbo(logits, x, mu, log_var, beta)
    _stepped(optimizer, terms[0])
    return _numbers(terms)


@mutant(
    "train_step",
    "The kl is multiplied by beta",
    "The kl that is returned is the divergence itself; the loss alone has beta in it.",
)
def _(model, optimizer, x, eps, beta=1.0):
    loss, reconstruction, kl = _terms(model, x, eps, beta)
    _stepped(optimizer, loss)
    return loss.item(), reconstruction.item(), beta * kl.item()


@mutant(
    "train_step",
    "backward on the reconstruction alone",
    "The decoder would learn, the KL would grow without bound. Of what is the gradient "
    "asked for?",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    _stepped(optimizer, terms[1])
    return _numbers(terms)


@mutant(
    "train_step",
    "The mode is set to train inside",
    "Who calls you may have a reason for eval mode. The mode is the caller's business.",
)
def _(model, optimizer, x, eps, beta=1.0):
    model.train()
    terms = _terms(model, x, eps, beta)
    _stepped(optimizer, terms[0])
    return _numbers(terms)


@mutant(
    "train_step",
    "The mode is set to train for the step",
    "It is set back, and yet a model that came in eval mode was trained with its dropout "
    "on. The mode is the caller's business.",
)
def _(model, optimizer, x, eps, beta=1.0):
    was = model.training
    model.train()
    terms = _terms(model, x, eps, beta)
    _stepped(optimizer, terms[0])
    model.train(was)
    return _numbers(terms)


@mutant(
    "train_step",
    "The model is put into train mode at the end",
    "It came in the mode that the caller wanted. Does a training step need to change "
    "it?",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    _stepped(optimizer, terms[0])
    model.train()
    return _numbers(terms)


@mutant(
    "train_step",
    "The model is left in eval mode",
    "From the second step on the dropout would be off. The mode is the caller's "
    "business.",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    _stepped(optimizer, terms[0])
    model.eval()
    return _numbers(terms)


@mutant(
    "train_step",
    "An optimizer of its own in every step",
    "A new Adam has forgotten its running means, and its learning rate is not the one "
    "that the caller chose.",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    _stepped(torch.optim.Adam(model.parameters(), lr=1e-3), terms[0])
    return _numbers(terms)


@mutant(
    "train_step",
    "The parameters are moved by hand",
    "This is plain gradient descent, whatever the optimizer is: no momentum, no Adam.",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    optimizer.zero_grad()
    terms[0].backward()
    with torch.no_grad():
        for p in model.parameters():
            if p.grad is not None:
                p -= optimizer.param_groups[0]["lr"] * p.grad
    return _numbers(terms)


@mutant(
    "train_step",
    "An optimizer of the same kind for all parameters",
    "The caller gave the optimizer a part of the model. The rest is to stay as it is.",
)
def _(model, optimizer, x, eps, beta=1.0):
    known = {id(p) for p in optimizer.param_groups[0]["params"]}
    for p in model.parameters():
        if id(p) not in known:
            optimizer.add_param_group({"params": [p]})
    terms = _terms(model, x, eps, beta)
    _stepped(optimizer, terms[0])
    return _numbers(terms)


@mutant(
    "train_step",
    "A gradient is expected for every parameter",
    "A frozen parameter has no gradient, and one that the loss does not use has none "
    "either. The loop stops at them.",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    parameters = list(model.parameters())
    grads = torch.autograd.grad(terms[0], parameters)
    for p, grad in zip(parameters, grads, strict=True):
        p.grad = grad
    optimizer.step()
    return _numbers(terms)


@mutant(
    "train_step",
    "Frozen parameters are thawed",
    "requires_grad_(True) on everything trains what the caller had frozen.",
)
def _(model, optimizer, x, eps, beta=1.0):
    for p in model.parameters():
        p.requires_grad_(True)
    terms = _terms(model, x, eps, beta)
    _stepped(optimizer, terms[0])
    return _numbers(terms)


@mutant(
    "train_step",
    "The noise is drawn inside",
    "eps is an argument, so that a step can be repeated and compared. It is not used "
    "here.",
    "noise-inside",
)
def _(model, optimizer, x, eps, beta=1.0):
    generator = torch.Generator().manual_seed(0)
    fresh = torch.randn(eps.shape, dtype=eps.dtype, generator=generator)
    terms = _terms(model, x, fresh, beta)
    _stepped(optimizer, terms[0])
    return _numbers(terms)


@mutant(
    "train_step",
    "The noise is forgotten",
    "With z = mu this is an autoencoder: nothing makes the variance worth its price.",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, torch.zeros_like(eps), beta)
    _stepped(optimizer, terms[0])
    return _numbers(terms)


@mutant(
    "train_step",
    "Summed over the batch",
    "The loss of lesson 07 is a mean over the batch. A sum makes the step depend on the "
    "batch size, and the numbers, too.",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = [len(x) * t for t in _terms(model, x, eps, beta)]
    _stepped(optimizer, terms[0])
    return _numbers(terms)


@mutant(
    "train_step",
    "Averaged over pixels and latents as well",
    "The loss of lesson 07 sums them: a mean makes each step smaller, and weighs the KL by "
    "numbers that nobody chose.",
)
def _(model, optimizer, x, eps, beta=1.0):
    logits, mu, log_var, _ = model(x, eps)
    _, reconstruction, kl = negative_elbo(x, logits, mu, log_var)
    reconstruction, kl = reconstruction / logits.shape[1], kl / mu.shape[1]
    terms = (reconstruction + beta * kl, reconstruction, kl)
    _stepped(optimizer, terms[0])
    return _numbers(terms)


@mutant(
    "train_step",
    "A sum is trained, a mean is shown",
    "The numbers look right, the step is as many times too long as there are images. "
    "What is backward called on?",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    _stepped(optimizer, 10 * len(x) * terms[0])
    return _numbers(terms)


@mutant(
    "train_step",
    "The gradient is clipped",
    "Clipping can help, and it is another step than the one asked for. The caller "
    "should know of it.",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    optimizer.zero_grad()
    terms[0].backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 100.0)
    optimizer.step()
    return _numbers(terms)


@mutant(
    "train_step",
    "Probabilities, then their logarithm",
    "At a logit of 1000 the sigmoid is 1 to the last digit, and log(1 - 1) is cut off "
    "or infinite. Lesson 07's loss takes logits.",
)
def _(model, optimizer, x, eps, beta=1.0):
    logits, mu, log_var, _ = model(x, eps)
    _loss, _r, kl = negative_elbo(x, logits, mu, log_var)
    p = torch.sigmoid(logits)
    reconstruction = F.binary_cross_entropy(p, x, reduction="sum") / len(x)
    loss = reconstruction + beta * kl
    _stepped(optimizer, loss)
    return _numbers((loss, reconstruction, kl))


@mutant(
    "train_step",
    "The images are made float64",
    "A model in float32 and images in float64 do not go together. Leave the dtype as "
    "it comes.",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x.double(), eps.double(), beta)
    _stepped(optimizer, terms[0])
    return _numbers(terms)


@mutant(
    "train_step",
    "The images are sent to a device by name",
    "On another machine, or beside a model on a GPU, this stops. The caller has put "
    "model and images where they should be.",
    "cpu-tensor",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x.to("cpu"), eps.to("cpu"), beta)
    _stepped(optimizer, terms[0])
    return _numbers(terms)


@mutant(
    "train_step",
    "The images are written to",
    "The caller's tensor is another one after the call. Methods that end in _ write in "
    "place.",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    _stepped(optimizer, terms[0])
    x.round_()
    return _numbers(terms)


@mutant(
    "train_step",
    "Far noise is cut off, in place",
    "clamp_ writes into the caller's eps. And noise that is cut off is no longer "
    "Gaussian.",
    "in-place",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps.clamp_(-4.5, 4.5), beta)
    _stepped(optimizer, terms[0])
    return _numbers(terms)


@mutant(
    "train_step",
    "The numbers go through a float32 tensor",
    "torch.tensor([...]) is float32 unless told otherwise: after seven digits the "
    "losses of two runs look alike.",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    _stepped(optimizer, terms[0])
    return tuple(torch.tensor(_numbers(terms)).tolist())


@mutant(
    "train_step",
    "The gradients go through float32",
    "The values are right and the step is right to seven digits. What is done to .grad "
    "between backward and step?",
)
def _(model, optimizer, x, eps, beta=1.0):
    terms = _terms(model, x, eps, beta)
    optimizer.zero_grad()
    terms[0].backward()
    for p in model.parameters():
        if p.grad is not None:
            p.grad = p.grad.float().to(p.dtype)
    optimizer.step()
    return _numbers(terms)


# --- evaluate -------------------------------------------------------------------------


def _measured(model, x, eps, size=128):
    """Weighted sums over chunks, in whatever mode and gradient mode it is called."""
    totals = [0.0, 0.0, 0.0]
    for a, b in zip(x.split(size), eps.split(size), strict=True):
        terms = _numbers(_terms(model, a, b))
        totals = [t + v * len(a) / len(x) for t, v in zip(totals, terms, strict=True)]
    return tuple(totals)


@mutant(
    "evaluate",
    "The mean of the batches' means",
    "The last batch is smaller than the others and counts as much as they do. What "
    "should each weigh?",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    with torch.no_grad():
        parts = zip(x.split(128), eps.split(128), strict=True)
        means = [_numbers(_terms(model, a, b)) for a, b in parts]
    model.train(was)
    return tuple(sum(column) / len(means) for column in zip(*means, strict=True))


@mutant(
    "evaluate",
    "The last, smaller batch is left out",
    "drop_last, or a loop to n // size: some images are never measured.",
)
def _(model, x, eps):
    size = 100 if len(x) >= 100 else len(x)
    whole = len(x) // size * size
    was = model.training
    model.eval()
    with torch.no_grad():
        values = _measured(model, x[:whole], eps[:whole])
    model.train(was)
    return values


@mutant(
    "evaluate",
    "A set smaller than one batch is not measured",
    "For 7 images the result is 0. In which of the batches are these seven, if a batch "
    "has a hundred?",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    totals = [0.0, 0.0, 0.0]
    with torch.no_grad():
        for i in range(len(x) // 100):
            a, b = x[100 * i : 100 * i + 100], eps[100 * i : 100 * i + 100]
            terms = _numbers(_terms(model, a, b))
            totals = [t + v * len(a) for t, v in zip(totals, terms, strict=True)]
    model.train(was)
    return tuple(t / len(x) for t in totals)


@mutant(
    "evaluate",
    "The number of batches is 0",
    "A set may be smaller than one batch. By what is the sum divided then?",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    totals = [0.0, 0.0, 0.0]
    batches = len(x) // 100
    with torch.no_grad():
        for i in range(batches):
            a, b = x[100 * i : 100 * i + 100], eps[100 * i : 100 * i + 100]
            terms = _numbers(_terms(model, a, b))
            totals = [t + v for t, v in zip(totals, terms, strict=True)]
    model.train(was)
    return tuple(t / batches for t in totals)


@mutant(
    "evaluate",
    "One batch too many",
    "Where the number of images is a multiple of the batch size, the last batch is "
    "empty, and the mean of nothing is nan.",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    totals = [0.0, 0.0, 0.0]
    with torch.no_grad():
        for i in range(len(x) // 100 + 1):
            a, b = x[100 * i : 100 * i + 100], eps[100 * i : 100 * i + 100]
            terms = _numbers(_terms(model, a, b))
            totals = [t + v * len(a) for t, v in zip(totals, terms, strict=True)]
    model.train(was)
    return tuple(t / len(x) for t in totals)


@mutant(
    "evaluate",
    "Every batch gets the first noise",
    "The images move on and eps does not: each z should have the noise of its own row.",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    totals = [0.0, 0.0, 0.0]
    with torch.no_grad():
        for a in x.split(128):
            terms = _numbers(_terms(model, a, eps[: len(a)]))
            totals = [t + v * len(a) for t, v in zip(totals, terms, strict=True)]
    model.train(was)
    return tuple(t / len(x) for t in totals)


@mutant(
    "evaluate",
    "Only the first thousand images",
    "A test number is about the whole test set.",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    with torch.no_grad():
        values = _measured(model, x[:1000], eps[:1000])
    model.train(was)
    return values


@mutant(
    "evaluate",
    "The sum over the set",
    "Nats per example are asked for: twice as many images should not give twice the "
    "number.",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    with torch.no_grad():
        values = _measured(model, x, eps)
    model.train(was)
    return tuple(v * len(x) for v in values)


@mutant(
    "evaluate",
    "Measured in training mode",
    "With dropout on, a thinned model is measured, not the one that was trained.",
)
def _(model, x, eps):
    with torch.no_grad():
        return _measured(model, x, eps)


@mutant(
    "evaluate",
    "Measured in training mode, left in it",
    "eval() comes before the measurement, train() after it. What is called here, and "
    "when?",
)
def _(model, x, eps):
    model.train()
    with torch.no_grad():
        return _measured(model, x, eps)


@mutant(
    "evaluate",
    "The model is left in eval mode",
    "The training goes on after this measurement, without its dropout.",
)
def _(model, x, eps):
    model.eval()
    with torch.no_grad():
        return _measured(model, x, eps)


@mutant(
    "evaluate",
    "Always back to training mode",
    "A finished model comes in eval mode. In which mode does it leave?",
)
def _(model, x, eps):
    model.eval()
    with torch.no_grad():
        values = _measured(model, x, eps)
    model.train()
    return values


@mutant(
    "evaluate",
    "Only the outer module's mode is set back",
    "model.training = ... sets one flag. The parts of the model have flags of their "
    "own.",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    with torch.no_grad():
        values = _measured(model, x, eps)
    model.training = was
    return values


@mutant(
    "evaluate",
    "The graph is built",
    "The numbers are right, and every batch pays for gradients that nobody asks for.",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    values = _measured(model, x, eps)
    model.train(was)
    return values


@mutant(
    "evaluate",
    "backward is called while measuring",
    "A .grad is left that the next training step may add to its own.",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    values = _measured(model, x, eps)
    _terms(model, x, eps)[0].backward()
    model.train(was)
    return values


@mutant(
    "evaluate",
    "Gradients stay off",
    "They are switched off for the whole program, and nobody switches them on again: "
    "the next training step has nothing to call backward on.",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    torch.set_grad_enabled(False)
    values = _measured(model, x, eps)
    model.train(was)
    return values


@mutant(
    "evaluate",
    "Gradients are switched on at the end",
    "They may have been off when you were called. What puts back what was, whatever it was?",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    torch.set_grad_enabled(False)
    values = _measured(model, x, eps)
    torch.set_grad_enabled(True)
    model.train(was)
    return values


@mutant(
    "evaluate",
    "The parameters are frozen",
    "requires_grad_(False) is a way to build no graph, and the model cannot be trained "
    "afterwards.",
)
def _(model, x, eps):
    was = model.training
    model.eval().requires_grad_(False)
    values = _measured(model, x, eps)
    model.train(was)
    return values


@mutant(
    "evaluate",
    "The model is made float64",
    "model.double() changes the model itself, for whoever trains it next.",
)
def _(model, x, eps):
    was = model.training
    model.eval().double()
    with torch.no_grad():
        values = _measured(model, x.double(), eps.double())
    model.train(was)
    return values


@mutant(
    "evaluate",
    "The images are made float64",
    "A model in float32 and images in float64 do not go together. Leave the dtype as "
    "it comes.",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    with torch.no_grad():
        values = _measured(model, x.double(), eps.double())
    model.train(was)
    return values


@mutant(
    "evaluate",
    "The images are sent to a device by name",
    "Beside a model on a GPU this stops. The caller has put model and images where they "
    "should be.",
    "cpu-tensor",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    with torch.no_grad():
        values = _measured(model, x.to("cpu"), eps.to("cpu"))
    model.train(was)
    return values


@mutant(
    "evaluate",
    "The noise is left out",
    "With z = mu the decoder has an easier task than the bound asks for. The number is "
    "no ELBO.",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    with torch.no_grad():
        values = _measured(model, x, torch.zeros_like(eps))
    model.train(was)
    return values


@mutant(
    "evaluate",
    "Tensors are returned",
    "Plain numbers are asked for: they are printed, compared and written to a file.",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    with torch.no_grad():
        terms = _terms(model, x, eps)
    model.train(was)
    return terms


@mutant(
    "evaluate",
    "The batches are added up in float32",
    "torch.zeros(3) is float32, and with each addition digits are lost. Python floats "
    "have twice as many.",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    total = torch.zeros(3)
    with torch.no_grad():
        for a, b in zip(x.split(128), eps.split(128), strict=True):
            total += torch.tensor(_numbers(_terms(model, a, b))) * len(a)
    model.train(was)
    return tuple((total / len(x)).tolist())


@mutant(
    "evaluate",
    "Probabilities, then their logarithm",
    "At a logit of 1000 the sigmoid is 1 to the last digit, and the logarithm of what "
    "is left is cut off or infinite.",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    with torch.no_grad():
        logits, mu, log_var, _ = model(x, eps)
        kl = negative_elbo(x, logits, mu, log_var)[2].item()
        p = torch.sigmoid(logits)
        reconstruction = F.binary_cross_entropy(p, x, reduction="sum").item() / len(x)
    model.train(was)
    return reconstruction + kl, reconstruction, kl


@mutant(
    "evaluate",
    "The images are written to",
    "A test set that is changed while it is measured is another one the next time.",
    "in-place",
)
def _(model, x, eps):
    was = model.training
    model.eval()
    with torch.no_grad():
        values = _measured(model, x, eps)
    model.train(was)
    eps.zero_()
    return values


# --- kl_warmup ------------------------------------------------------------------------


@mutant(
    "kl_warmup",
    "No end to the warm-up",
    "After the warm-up the weight should stay where the ELBO has it.",
)
def _(step, warmup_steps):
    return step / warmup_steps if warmup_steps else 1.0


@mutant(
    "kl_warmup",
    "Division by 0 where there is no warm-up",
    "What should the weight be when nobody asks for a warm-up?",
)
def _(step, warmup_steps):
    return min(1.0, step / warmup_steps)


@mutant(
    "kl_warmup",
    "0 where there is no warm-up",
    "Without a warm-up the whole KL counts, from the first step on.",
)
def _(step, warmup_steps):
    return min(1.0, step / warmup_steps) if warmup_steps else 0.0


@mutant(
    "kl_warmup",
    "An integer at the end",
    "min(1, 2.5) is the integer 1. The signature promises a float.",
)
def _(step, warmup_steps):
    return min(1, step / warmup_steps) if warmup_steps else 1


@mutant(
    "kl_warmup",
    "The steps are counted from 1",
    "Steps begin at 0, with a weight of 0.",
)
def _(step, warmup_steps):
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


@mutant(
    "kl_warmup",
    "From 1 down to 0",
    "A warm-up lets the KL in slowly. Which way does your line go?",
)
def _(step, warmup_steps):
    return max(0.0, 1.0 - step / warmup_steps) if warmup_steps else 1.0


@mutant(
    "kl_warmup",
    "All or nothing",
    "The weight grows in a straight line; a switch has no values between 0 and 1.",
)
def _(step, warmup_steps):
    return 1.0 if step >= warmup_steps else 0.0


@mutant(
    "kl_warmup",
    "Half a cosine",
    "A smooth ramp works, too, and is another one. A straight line is asked for.",
)
def _(step, warmup_steps):
    part = min(1.0, step / warmup_steps) if warmup_steps else 1.0
    return 0.5 - 0.5 * math.cos(math.pi * part)


@mutant(
    "kl_warmup",
    "A floor, so that the KL never vanishes",
    "In step 0 the weight is 0.",
)
def _(step, warmup_steps):
    return max(0.01, min(1.0, step / warmup_steps)) if warmup_steps else 1.0


@mutant(
    "kl_warmup",
    "A number that is 1 too early",
    "How far is step 3 of 10 along the way? Which of the two, that share or 1, should win there?",
)
def _(step, warmup_steps):
    return min(1.0, warmup_steps / step) if step else 1.0


@mutant(
    "kl_warmup",
    "A tensor",
    "A plain number is asked for.",
)
def _(step, warmup_steps):
    part = step / warmup_steps if warmup_steps else 1.0
    return torch.tensor(part, dtype=torch.float64).clamp(max=1.0)


@mutant(
    "kl_warmup",
    "The warm-up has a percent sign",
    "The weight goes from 0 to 1, not to 100.",
)
def _(step, warmup_steps):
    return min(100.0, 100.0 * step / warmup_steps) if warmup_steps else 100.0
