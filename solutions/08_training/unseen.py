"""Lesson 08: mistakes of strangers about noise, Adam, a step, a measurement, a ramp."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

from tests.unseen import register
from vae_edu.lesson import find

UNSEEN, unseen = register()
negative_elbo = find("building_the_vae").reference["negative_elbo"]


# --- minibatch_variance ---------------------------------------------------------------


@unseen("minibatch_variance", "As if examples were drawn with replacement")
def _(gradients, batch_size):
    return torch.var(gradients, dim=0, unbiased=False).div(batch_size)


@unseen(
    "minibatch_variance", "The unbiased variance without the correction for the set"
)
def _(gradients, batch_size):
    return gradients.std(dim=0).pow(2) / batch_size


@unseen("minibatch_variance", "N - 1 is divided by twice")
def _(gradients, batch_size):
    n, b = gradients.shape[0], batch_size
    return torch.var(gradients, 0) * (n - b) / (b * (n - 1))


@unseen("minibatch_variance", "N in place of N - 1")
def _(gradients, batch_size):
    n = gradients.size(0)
    centred = gradients - gradients.mean(0, keepdim=True)
    sigma2 = torch.einsum("np,np->p", centred, centred) / n
    return sigma2 / batch_size * (1 - batch_size / n)


@unseen("minibatch_variance", "The standard deviation", "root")
def _(gradients, batch_size):
    n = len(gradients)
    sd = gradients.std(0, correction=0)
    return sd * math.sqrt((n - batch_size) / (n - 1) / batch_size)


@unseen(
    "minibatch_variance",
    "The variance over the parameters, not over the examples",
    "wrong-axis",
)
def _(gradients, batch_size):
    n = len(gradients)
    return gradients.var(1, correction=0) / batch_size * (n - batch_size) / (n - 1)


@unseen("minibatch_variance", "not-averaged")
def _(gradients, batch_size):
    n = len(gradients)
    sigma2 = (gradients - gradients.mean(0)) ** 2
    return sigma2 / batch_size * (n - batch_size) / (n - 1)


@unseen(
    "minibatch_variance", "The correction for the set is divided without a remainder"
)
def _(gradients, batch_size):
    n = len(gradients)
    fpc = (n - batch_size) // (n - 1)
    return ((gradients - gradients.mean(0)) ** 2).mean(0) * fpc / batch_size


@unseen("minibatch_variance", "Divided by the square root of the batch size")
def _(gradients, batch_size):
    n = len(gradients)
    sigma2 = gradients.var(0, unbiased=False)
    return sigma2 / np.sqrt(batch_size) * (n - batch_size) / (n - 1)


@unseen("minibatch_variance", "The mean is not subtracted")
def _(gradients, batch_size):
    n = len(gradients)
    return torch.square(gradients).mean(0) / batch_size * (n - batch_size) / (n - 1)


@unseen("minibatch_variance", "One number for all parameters", "summed-over-the-batch")
def _(gradients, batch_size):
    n = len(gradients)
    s = gradients.var(0, correction=0).sum()
    return s / batch_size * (n - batch_size) / (n - 1)


@unseen("minibatch_variance")
def _(gradients, batch_size):
    n = len(gradients)
    return gradients.var(0, correction=0) / batch_size * (n - batch_size + 1) / (n - 1)


# --- adam_update ----------------------------------------------------------------------


@unseen("adam_update", "The decays are squared, not raised to the power t")
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = m.lerp(grad, 1 - beta1)
    v = v.lerp(grad * grad, 1 - beta2)
    mh = m / (1 - beta1 * beta1)
    vh = v / (1 - beta2 * beta2)
    return -lr * mh / (torch.sqrt(vh) + eps), m, v


@unseen("adam_update", "The decays are not raised to the power t")
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    b1, b2 = 1 - beta1, 1 - beta2
    m, v = beta1 * m + b1 * grad, beta2 * v + b2 * grad.pow(2)
    return -(lr * (m / b1)) / (eps + (v / b2).pow(0.5)), m, v


@unseen("adam_update", "eps at the uncorrected root")
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = m + (1 - beta1) * (grad - m)
    v = v + (1 - beta2) * (grad.square() - v)
    alpha = lr * math.sqrt(1 - beta2**step) / (1 - beta1**step)
    return m.mul(-alpha).div(v.sqrt().add(eps)), m, v


@unseen("adam_update", "eps at the uncorrected root")
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    root = (v.sqrt() + eps) / (1 - beta2**step) ** 0.5
    return -lr * m / (1 - beta1**step) / root, m, v


@unseen("adam_update", "The usual betas, whatever is given")
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = 0.9 * m + 0.1 * grad
    v = 0.999 * v + 0.001 * grad**2
    mh, vh = m / (1 - 0.9**step), v / (1 - 0.999**step)
    return -lr * mh / (vh.sqrt() + eps), m, v


@unseen("adam_update", "m and v change places in the quotient")
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = torch.lerp(grad, m, beta1)
    v = torch.lerp(grad**2, v, beta2)
    mh, vh = m / (1 - beta1**step), v / (1 - beta2**step)
    return -lr * vh / (mh**0.5 + eps), m, v


@unseen("adam_update", "order", "v comes before m")
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    mh, vh = m / (1 - beta1**step), v / (1 - beta2**step)
    return -lr * mh / (vh.sqrt() + eps), v, m


@unseen("adam_update", "part-missing")
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    mh, vh = m / (1 - beta1**step), v / (1 - beta2**step)
    return -lr * mh / (vh.sqrt() + eps)


@unseen("adam_update", "The decays are multiplied by t")
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    mh, vh = m / (1 - step * beta1), v / (1 - step * beta2)
    return -lr * mh / (vh.sqrt() + eps), m, v


@unseen("adam_update", "Uphill", "The update has the sign of the gradient")
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    return lr * m / (1 - beta1**step) / (eps + (v / (1 - beta2**step)).sqrt()), m, v


@unseen("adam_update", "eps inside the root")
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    mh, vh = m / (1 - beta1**step), v / (1 - beta2**step)
    return -lr * mh * torch.rsqrt(vh + eps), m, v


@unseen("adam_update", "The old means are used")
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    new_m = beta1 * m + (1 - beta1) * grad
    new_v = beta2 * v + (1 - beta2) * grad**2
    mh, vh = m / (1 - beta1**step), v / (1 - beta2**step)
    return -lr * mh / (vh.sqrt() + eps), new_m, new_v


@unseen("adam_update")
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * grad
    v = torch.maximum(v, beta2 * v + (1 - beta2) * grad**2)
    mh, vh = m / (1 - beta1**step), v / (1 - beta2**step)
    return -lr * mh / (vh.sqrt() + eps), m, v


# --- train_step -----------------------------------------------------------------------


@unseen("train_step", "The gradients of earlier steps are not cleared")
def _(model, optimizer, x, eps, beta=1.0):
    out = model(x, eps)
    loss, rec, kl = negative_elbo(x, *out[:3], beta=beta)
    loss.backward()
    optimizer.step()
    return float(loss), float(rec), float(kl)


@unseen("train_step", "Cleared after the step, not before")
def _(model, optimizer, x, eps, beta=1.0):
    logits, mu, log_var, _ = model(x, eps)
    loss, rec, kl = negative_elbo(x, logits, mu, log_var, beta)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item(), rec.item(), kl.item()


@unseen("train_step", "Nothing moves")
def _(model, optimizer, x, eps, beta=1.0):
    logits, mu, log_var, _ = model(x, eps)
    loss, rec, kl = negative_elbo(x, logits, mu, log_var, beta)
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.item(), rec.item(), kl.item()


@unseen("train_step", "Nothing moves")
def _(model, optimizer, x, eps, beta=1.0):
    logits, mu, log_var, _ = model(x, eps)
    loss, rec, kl = negative_elbo(x, logits, mu, log_var, beta)
    optimizer.zero_grad()
    loss.backward()
    return loss.item(), rec.item(), kl.item()


@unseen("train_step", "The gradient is clipped")
def _(model, optimizer, x, eps, beta=1.0):
    logits, mu, log_var, _ = model(x, eps)
    loss, rec, kl = negative_elbo(x, logits, mu, log_var, beta)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
    optimizer.step()
    return loss.item(), rec.item(), kl.item()


@unseen("train_step", "The gradient is clipped")
def _(model, optimizer, x, eps, beta=1.0):
    logits, mu, log_var, _ = model(x, eps)
    loss, rec, kl = negative_elbo(x, logits, mu, log_var, beta)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_value_(model.parameters(), 0.5)
    optimizer.step()
    return loss.item(), rec.item(), kl.item()


@unseen("train_step", "The kl is multiplied by beta")
def _(model, optimizer, x, eps, beta=1.0):
    logits, mu, log_var, _ = model(x, eps)
    _, rec, kl = negative_elbo(x, logits, mu, log_var)
    kl = beta * kl
    optimizer.zero_grad()
    (rec + kl).backward()
    optimizer.step()
    return (rec + kl).item(), rec.item(), kl.item()


@unseen("train_step", "beta is not passed on")
def _(model, optimizer, x, eps, beta=1.0):
    optimizer.zero_grad()
    logits, mu, log_var, _ = model(x, eps)
    terms = negative_elbo(x, logits, mu, log_var)
    terms[0].backward()
    optimizer.step()
    return tuple(t.item() for t in terms)


@unseen("train_step", "Tensors are returned")
def _(model, optimizer, x, eps, beta=1.0):
    optimizer.zero_grad()
    logits, mu, log_var, _ = model(x, eps)
    terms = negative_elbo(x, logits, mu, log_var, beta)
    terms[0].backward()
    optimizer.step()
    return tuple(t.detach() for t in terms)


@unseen("train_step", "part-missing", "Only the loss is returned")
def _(model, optimizer, x, eps, beta=1.0):
    optimizer.zero_grad()
    logits, mu, log_var, _ = model(x, eps)
    loss, *_ = negative_elbo(x, logits, mu, log_var, beta)
    loss.backward()
    optimizer.step()
    return loss.item()


@unseen("train_step", "The mode is set to train inside")
def _(model, optimizer, x, eps, beta=1.0):
    model.train(True)
    optimizer.zero_grad()
    logits, mu, log_var, _ = model.forward(x, eps)
    loss, rec, kl = negative_elbo(x, logits, mu, log_var, beta)
    loss.backward()
    optimizer.step()
    return loss.item(), rec.item(), kl.item()


@unseen("train_step", "The noise is drawn inside", "noise-inside")
def _(model, optimizer, x, eps, beta=1.0):
    eps = torch.randn_like(eps)
    optimizer.zero_grad()
    logits, mu, log_var, _ = model(x, eps)
    loss, rec, kl = negative_elbo(x, logits, mu, log_var, beta)
    loss.backward()
    optimizer.step()
    return loss.item(), rec.item(), kl.item()


@unseen("train_step", "Summed over the batch")
def _(model, optimizer, x, eps, beta=1.0):
    logits, mu, log_var, _ = model(x, eps)
    rec = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    kl = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
    loss = rec + beta * kl
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item(), rec.item(), kl.item()


@unseen("train_step", "Averaged over pixels and latents as well")
def _(model, optimizer, x, eps, beta=1.0):
    logits, mu, log_var, _ = model(x, eps)
    rec = functional.binary_cross_entropy_with_logits(logits, x)
    kl = -0.5 * torch.mean(1 + log_var - mu.pow(2) - log_var.exp())
    loss = rec + beta * kl
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item(), rec.item(), kl.item()


# --- evaluate -------------------------------------------------------------------------


def _loop(model, x, eps, size=100):
    for i in range(0, len(x), size):
        a, b = x[i : i + size], eps[i : i + size]
        logits, mu, log_var, _ = model(a, b)
        yield len(a), negative_elbo(a, logits, mu, log_var)


@unseen("evaluate", "The mean of the batches' means")
def _(model, x, eps):
    was = model.training
    model.eval()
    losses = []
    with torch.no_grad():
        for _, terms in _loop(model, x, eps):
            losses.append([t.item() for t in terms])
    model.train(was)
    return tuple(float(v) for v in np.mean(losses, axis=0))


@unseen("evaluate", "The model is left in eval mode")
@torch.no_grad()
def _(model, x, eps):
    model.eval()
    logits, mu, log_var, _ = model(x, eps)
    return tuple(t.item() for t in negative_elbo(x, logits, mu, log_var))


@unseen("evaluate", "Always back to training mode")
@torch.no_grad()
def _(model, x, eps):
    model.eval()
    logits, mu, log_var, _ = model(x, eps)
    loss, rec, kl = negative_elbo(x, logits, mu, log_var)
    model.train()
    return loss.item(), rec.item(), kl.item()


@unseen("evaluate", "Measured in training mode")
@torch.no_grad()
def _(model, x, eps):
    logits, mu, log_var, _ = model(x, eps)
    return tuple(float(t) for t in negative_elbo(x, logits, mu, log_var))


@unseen("evaluate", "The graph is built")
def _(model, x, eps):
    was = model.training
    model.eval()
    logits, mu, log_var, _ = model(x, eps)
    model.train(was)
    return tuple(float(t) for t in negative_elbo(x, logits, mu, log_var))


@unseen("evaluate", "The sum over the set")
def _(model, x, eps):
    was = model.training
    model.eval()
    rec = kl = 0.0
    with torch.inference_mode():
        for n, terms in _loop(model, x, eps):
            rec, kl = rec + n * terms[1].item(), kl + n * terms[2].item()
    model.train(was)
    return rec + kl, rec, kl


@unseen("evaluate", "Gradients are switched on at the end")
def _(model, x, eps):
    was = model.training
    torch.set_grad_enabled(False)
    model.eval()
    logits, mu, log_var, _ = model(x, eps)
    terms = negative_elbo(x, logits, mu, log_var)
    torch.set_grad_enabled(True)
    model.train(was)
    return tuple(t.item() for t in terms)


@unseen("evaluate", "Gradients stay off")
def _(model, x, eps):
    was = model.training
    torch.autograd.set_grad_enabled(False)
    model.eval()
    logits, mu, log_var, _ = model(x, eps)
    model.train(was)
    return tuple(t.item() for t in negative_elbo(x, logits, mu, log_var))


@unseen("evaluate", "Every batch gets the first noise", "shapes-do-not-meet")
def _(model, x, eps):
    was = model.training
    model.eval()
    rec = kl = 0.0
    with torch.no_grad():
        for i in range(0, len(x), 100):
            a = x[i : i + 100]
            logits, mu, log_var, _ = model(a, eps[: len(a)])
            _, r, k = negative_elbo(a, logits, mu, log_var)
            rec, kl = rec + r.item() * len(a), kl + k.item() * len(a)
    model.train(was)
    return (rec + kl) / len(x), rec / len(x), kl / len(x)


@unseen("evaluate", "turned-sign", "The bound, not its negative")
def _(model, x, eps):
    was = model.training
    model.eval()
    with torch.no_grad():
        logits, mu, log_var, _ = model(x, eps)
        loss, rec, kl = negative_elbo(x, logits, mu, log_var)
    model.train(was)
    return -loss.item(), -rec.item(), -kl.item()


@unseen("evaluate", "The noise is left out")
def _(model, x, eps):
    was = model.training
    model.eval()
    with torch.no_grad():
        logits, mu, log_var, _ = model(x, torch.zeros_like(eps))
        terms = negative_elbo(x, logits, mu, log_var)
    model.train(was)
    return tuple(t.item() for t in terms)


# --- kl_warmup ------------------------------------------------------------------------


@unseen("kl_warmup", "Division by 0 where there is no warm-up")
def _(step, warmup_steps):
    return float(np.clip(step / warmup_steps, 0, 1))


@unseen("kl_warmup", "The steps are counted from 1")
def _(step, warmup_steps):
    return min(1.0, (step + 1) / max(1, warmup_steps))


@unseen("kl_warmup", "0 where there is no warm-up")
def _(step, warmup_steps):
    return min(1.0, step / (warmup_steps or 1)) if warmup_steps else 0.0


@unseen("kl_warmup", "No end to the warm-up")
def _(step, warmup_steps):
    if warmup_steps == 0:
        return 1.0
    return step / float(warmup_steps)


@unseen("kl_warmup", "An integer at the end")
def _(step, warmup_steps):
    return step / warmup_steps if step < warmup_steps else 1


@unseen("kl_warmup", "A tensor")
def _(step, warmup_steps):
    if not warmup_steps:
        return torch.ones(())
    return torch.clamp(torch.tensor(step / warmup_steps), max=1.0)


@unseen("kl_warmup", "From 1 down to 0", "complement")
def _(step, warmup_steps):
    return max(0.0, 1 - step / warmup_steps) if warmup_steps else 0.0


@unseen("kl_warmup", "A curve in place of the straight line")
def _(step, warmup_steps):
    if not warmup_steps:
        return 1.0
    return 1 / (1 + math.exp(-10 * (step / warmup_steps - 0.5)))


@unseen("kl_warmup", "Whole numbers only: // rounds down", "All or nothing")
def _(step, warmup_steps):
    return float(min(1, step // warmup_steps)) if warmup_steps else 1.0


@unseen("kl_warmup", "A number that is 1 too early")
def _(step, warmup_steps):
    return max(1.0, step / warmup_steps) if warmup_steps else 1.0
