"""Lesson 08: right answers written in ways that the laws must not refuse."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from vae_edu.build.answers import register

REGISTER = register()
variant = REGISTER.variant


# --- minibatch_variance ---------------------------------------------------------------


@variant("minibatch_variance", "the unbiased variance of the set")
def _(gradients: Tensor, batch_size: int) -> Tensor:
    n = gradients.size(0)
    return gradients.var(dim=0) * (1 / batch_size - 1 / n)


@variant("minibatch_variance", "variance and covariance of the draws")
def _(gradients: Tensor, batch_size: int) -> Tensor:
    n, b = gradients.shape[0], batch_size
    variance = torch.var(gradients, 0, unbiased=False)
    return (b * variance - b * (b - 1) * variance / (n - 1)) / b**2


@variant("minibatch_variance", "a loop over parameters and examples")
def _(gradients: Tensor, batch_size: int) -> Tensor:
    n = len(gradients)
    out = gradients.new_zeros(gradients.shape[1])
    for j, column in enumerate(gradients.T):
        centre = sum(column) / n
        total = sum((g - centre) * (g - centre) for g in column)
        out[j] = total / (n - 1) * (n - batch_size) / (n * batch_size)
    return out


@variant("minibatch_variance", "all pairs of differences")
def _(gradients: Tensor, batch_size: int) -> Tensor:
    n = len(gradients)
    pairs = (gradients[:, None] - gradients[None]).square().sum((0, 1))
    return pairs / (2 * n * (n - 1)) * (n - batch_size) / (n * batch_size)


@variant("minibatch_variance", "the whole set as a special case")
def _(gradients: Tensor, batch_size: int) -> Tensor:
    n = gradients.shape[0]
    if batch_size == n:
        return torch.zeros_like(gradients[0])
    deviations = gradients - gradients.mean(dim=0, keepdim=True)
    second = torch.einsum("np,np->p", deviations, deviations)
    return second * ((n - batch_size) / (n * (n - 1) * batch_size))


# --- adam_update ----------------------------------------------------------------------


class Update(NamedTuple):
    update: Tensor
    m: Tensor
    v: Tensor


@variant("adam_update", "a named tuple; the corrections in the step size")
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad.square()
    root = (1 - beta2**step) ** 0.5
    size = lr * root / (1 - beta1**step)
    return Update(-size * m / (v.sqrt() + eps * root), m, v)


@variant("adam_update", "lerp and addcmul on copies")
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m, v = m.clone(), v.clone()
    m.lerp_(grad, 1 - beta1)
    v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    bias1, bias2 = 1 - beta1**step, 1 - beta2**step
    denominator = (v.sqrt() / bias2**0.5).add_(eps)
    return torch.addcdiv(torch.zeros_like(m), m, denominator, value=-lr / bias1), m, v


@variant("adam_update", "one element at a time")
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    updates, ms, vs = [], [], []
    for g, a, b in zip(grad.reshape(-1), m.reshape(-1), v.reshape(-1), strict=True):
        a = a + (1 - beta1) * (g - a)
        b = b + (1 - beta2) * (g * g - b)
        quotient = (a / (1 - beta1**step)) / (torch.sqrt(b / (1 - beta2**step)) + eps)
        updates.append(-lr * quotient)
        ms.append(a)
        vs.append(b)
    return tuple(torch.stack(t).reshape(grad.shape) for t in (updates, ms, vs))


@variant("adam_update", "torch's own optimizer, given this memory")
def _(grad, m, v, step, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    p = nn.Parameter(torch.zeros_like(grad))
    adam = torch.optim.Adam([p], lr=lr, betas=(beta1, beta2), eps=eps)
    before = {"exp_avg": m.clone(), "exp_avg_sq": v.clone()}
    adam.state[p] = {"step": torch.tensor(step - 1.0), **before}
    p.grad = grad.clone()
    adam.step()
    return p.data, adam.state[p]["exp_avg"], adam.state[p]["exp_avg_sq"]


# --- train_step -----------------------------------------------------------------------


def _loss(x, logits, mu, log_var, beta=1.0):
    pixels = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    kl = 0.5 * (mu.square() + log_var.exp() - log_var - 1).sum()
    reconstruction, kl = pixels / len(x), kl / len(x)
    return reconstruction + beta * kl, reconstruction, kl


class Numbers(NamedTuple):
    loss: float
    reconstruction: float
    kl: float


@variant("train_step", "cleared at the beginning, a named tuple")
def _(model, optimizer, x, eps, beta=1.0):
    optimizer.zero_grad(set_to_none=False)
    output = model(x=x, eps=eps)
    loss, reconstruction, kl = _loss(x, *output[:3], beta=beta)
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        return Numbers(*map(float, (loss, reconstruction, kl)))


@variant("train_step", "a closure for the optimizer")
def _(model, optimizer, x, eps, beta=1.0):
    seen = []

    def closure():
        optimizer.zero_grad()
        logits, mu, log_var, _z = model(x, eps)
        terms = _loss(x, logits, mu, log_var, beta)
        seen.extend(terms)
        terms[0].backward()
        return terms[0]

    optimizer.step(closure)
    return tuple(t.detach().item() for t in seen)


@variant("train_step", "gradients asked for and put in their places")
def _(model, optimizer, x, eps, beta=1.0):
    logits, mu, log_var, _z = model.forward(x, eps)
    loss, reconstruction, kl = _loss(x, logits, mu, log_var, beta)
    own = [p for p in model.parameters() if p.requires_grad]
    grads = torch.autograd.grad(loss, own, allow_unused=True)
    for p, grad in zip(own, grads, strict=True):
        p.grad = grad
    optimizer.step()
    return float(loss.data), float(reconstruction.data), float(kl.data)


@variant("train_step", "the model clears; torch.distributions; cleared again after")
def _(model, optimizer, x, eps, beta=1.0):
    model.zero_grad()
    logits, mu, log_var, _z = model(x, eps)
    likelihood = Bernoulli(logits=logits, validate_args=False).log_prob(x).sum(-1)
    q = Normal(mu, (log_var / 2).exp())
    kl = kl_divergence(q, Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum(-1)
    reconstruction, kl = -likelihood.mean(), kl.mean()
    torch.autograd.backward(reconstruction + beta * kl)
    optimizer.step()
    optimizer.zero_grad()
    a, b = reconstruction.item(), kl.item()
    return a + beta * b, a, b


@variant("train_step", "each .grad is forgotten by hand; one example at a time")
def _(model, optimizer, x, eps, beta=1.0):
    for p in model.parameters():
        p.grad = None
    logits, mu, log_var, _z = model(x, eps)
    terms = [
        _loss(x[n : n + 1], logits[n : n + 1], mu[n : n + 1], log_var[n : n + 1], beta)
        for n in range(len(x))
    ]
    loss, reconstruction, kl = (sum(t) / len(x) for t in zip(*terms, strict=True))
    loss.backward()
    optimizer.step()
    return loss.tolist(), reconstruction.tolist(), kl.tolist()


@variant("train_step", "gradients switched on in so many words, the parts apart")
def _(model, optimizer, x, eps, beta=1.0):
    with torch.enable_grad():
        logits, mu, log_var, _z = model(x, eps)
        _loss_1, reconstruction, kl = _loss(x, logits, mu, log_var)
        optimizer.zero_grad()
        reconstruction.backward(retain_graph=True)
        (beta * kl).backward()
    optimizer.step()
    values = torch.stack([reconstruction + beta * kl, reconstruction, kl])
    return tuple(values.detach().cpu().numpy().astype(float).tolist())


# --- evaluate -------------------------------------------------------------------------


@variant("evaluate", "the whole set at once, under a decorator")
@torch.no_grad()
def _(model, x, eps):
    mode = model.training
    try:
        model.eval()
        logits, mu, log_var, _z = model(x, eps)
        loss, reconstruction, kl = _loss(x, logits, mu, log_var)
    finally:
        model.train(mode)
    return float(loss), float(reconstruction), float(kl)


@variant("evaluate", "a DataLoader, sums divided at the end")
def _(model, x, eps):
    was, total, count = model.training, [0.0, 0.0, 0.0], 0
    model.train(False)
    with torch.inference_mode():
        for a, b in DataLoader(TensorDataset(x, eps), batch_size=128):
            logits, mu, log_var, _z = model(a, b)
            for i, term in enumerate(_loss(a, logits, mu, log_var)):
                total[i] += term.item() * a.shape[0]
            count += len(a)
    if was:
        model.train()
    return tuple(t / count for t in total)


@variant("evaluate", "shuffled indices, two sums")
def _(model, x, eps):
    was = model.training
    model.eval()
    reconstruction = kl = 0.0
    for chosen in torch.randperm(len(x)).split(64):
        with torch.set_grad_enabled(False):
            logits, mu, log_var, _z = model(x[chosen], eps[chosen])
            _ignored, r, k = _loss(x[chosen], logits, mu, log_var)
        reconstruction += float(r) * len(chosen)
        kl += float(k) * len(chosen)
    model.train(was)
    n = len(x)
    return Numbers((reconstruction + kl) / n, reconstruction / n, kl / n)


@variant("evaluate", "one value per example, kept and averaged at the end")
def _(model, x, eps):
    was = model.training
    model.eval()
    rows = []
    with torch.no_grad():
        for start in itertools.count(0, 1000):
            a, b = x[start : start + 1000], eps[start : start + 1000]
            if len(a) == 0:
                break
            logits, mu, log_var, _z = model(a, b)
            bce = F.binary_cross_entropy_with_logits(logits, a, reduction="none")
            q = Normal(mu, torch.exp(log_var / 2))
            prior = Normal(torch.zeros_like(mu), torch.ones_like(mu))
            rows.append(torch.stack([bce.sum(1), kl_divergence(q, prior).sum(1)], 1))
    model.train(was)
    reconstruction, kl = torch.cat(rows).mean(0).tolist()
    return reconstruction + kl, reconstruction, kl


@variant("evaluate", "a functional call with detached parameters")
def _(model, x, eps):
    state = {k: v.detach() for k, v in model.state_dict().items()}
    modes = {m: m.training for m in model.modules()}
    model.eval()
    logits, mu, log_var, _z = functional_call(model, state, (x, eps))
    values = _loss(x, logits, mu, log_var)
    for module, mode in modes.items():
        module.training = mode
    return tuple(v.item() for v in values)


@variant("evaluate", "chunks of both, weights as fractions")
def _(model: Any, x: Tensor, eps: Tensor) -> tuple[float, ...]:
    training = model.training
    model.eval()
    parts = -(-len(x) // 256)
    result = torch.zeros(3).double()
    with torch.no_grad():
        for a, b in zip(x.chunk(parts), eps.chunk(parts), strict=True):
            terms = torch.tensor(
                [float(t) for t in _loss(a, *model(a, b)[:3])], dtype=torch.float64
            )
            result = result + terms * (len(a) / len(x))
    model.train(training)
    return tuple(result.tolist())


# --- kl_warmup ------------------------------------------------------------------------


@variant("kl_warmup", "three cases")
def _(step, warmup_steps):
    if warmup_steps == 0:
        return 1.0
    if step > warmup_steps:
        return 1.0
    return step / warmup_steps


@variant("kl_warmup", "the smaller of two before dividing")
def _(step, warmup_steps):
    return float(min(step, warmup_steps)) / warmup_steps if warmup_steps > 0 else 1.0


@variant("kl_warmup", "an exception for the division")
def _(step, warmup_steps):
    try:
        ratio = step / warmup_steps
    except ZeroDivisionError:
        return 1.0
    return 1.0 if ratio >= 1 else ratio


@variant("kl_warmup", "a tensor inside, a float outside")
def _(step, warmup_steps):
    if step >= warmup_steps:
        return 1.0
    return torch.tensor(step / warmup_steps, dtype=torch.float64).clamp(max=1).item()
