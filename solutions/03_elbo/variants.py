"""Lesson 03: right answers, written differently."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from vae_edu.build.answers import register

REGISTER = register()
variant = REGISTER.variant


@variant("discrete_log_evidence", "the largest value taken out by hand")
def _(log_joint: Tensor) -> Tensor:
    top = log_joint.max(dim=-1, keepdim=True).values
    top = torch.where(torch.isinf(top), torch.zeros_like(top), top).detach()
    return top.squeeze(-1) + torch.exp(log_joint - top).sum(-1).log()


@variant("discrete_log_evidence", "a loop of logaddexp")
def _(log_joint):
    total = log_joint[..., 0]
    for k in range(1, log_joint.shape[-1]):
        total = torch.logaddexp(total, log_joint[..., k])
    return total


@variant("discrete_log_evidence", "the last value of a running sum")
def _(log_joint: Tensor) -> Tensor:
    return torch.logcumsumexp(log_joint, dim=-1)[..., -1]


@variant("discrete_log_evidence", "one x after the other, impossible states left out")
def _(log_joint: Tensor) -> Tensor:
    values = []
    for row in log_joint.reshape(-1, log_joint.shape[-1]):
        possible = row[row > -math.inf]
        empty = torch.full_like(row[0], -math.inf)
        values.append(torch.logsumexp(possible, 0) if len(possible) else empty)
    return torch.stack(values).reshape(log_joint.shape[:-1])


@variant("jensen_gap", "arithmetic over geometric mean")
def _(values: Tensor, probs: Tensor) -> Tensor:
    arithmetic = torch.where(probs == 0, 0, probs * values).sum(-1)
    geometric = torch.pow(values, probs).prod(-1)
    return torch.log(arithmetic / geometric)


@variant("jensen_gap", "the values that never occur replaced by 1")
def _(values: Tensor, probs: Tensor) -> Tensor:
    values, probs = torch.broadcast_tensors(values, probs)
    values = values.masked_fill(probs == 0, 1.0)
    mean = torch.einsum("...k,...k->...", probs, values)
    return mean.log() - torch.einsum("...k,...k->...", probs, values.log())


@variant("jensen_gap", "the average of log(mean / value)")
def _(values, probs):
    mean = (probs * values).nan_to_num(nan=0.0, posinf=math.inf).sum(-1, keepdim=True)
    return (probs * (mean / values).log()).nan_to_num(nan=0.0, posinf=math.inf).sum(-1)


@variant("jensen_gap", "boolean selection, state after state")
def _(values: Tensor, probs: Tensor) -> Tensor:
    values, probs = torch.broadcast_tensors(values, probs)
    flat = zip(
        values.reshape(-1, values.shape[-1]),
        probs.reshape(-1, probs.shape[-1]),
        strict=True,
    )
    gaps = []
    for v, p in flat:
        v, p = v[p > 0], p[p > 0]
        gaps.append(torch.dot(p, v).log() - torch.dot(p, v.log()))
    return torch.stack(gaps).reshape(values.shape[:-1])


@variant("discrete_elbo", "nan_to_num that leaves the infinities")
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    terms = q * (log_joint - q.log())
    return torch.nan_to_num(terms, nan=0.0, neginf=-math.inf, posinf=math.inf).sum(-1)


@variant("discrete_elbo", "expected log-joint plus entropy")
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    energy = (q * torch.where(q == 0, torch.zeros_like(log_joint), log_joint)).sum(-1)
    return energy + torch.special.entr(q).sum(-1)


@variant("discrete_elbo", "Categorical's entropy")
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    energy = log_joint.masked_fill(q == 0, 0).mul(q).sum(dim=-1)
    return energy + Categorical(probs=q).entropy()


@variant("discrete_elbo", "a loop over the states")
def _(log_joint, q):
    total = 0
    for k in range(q.shape[-1]):
        w, a = torch.broadcast_tensors(q[..., k], log_joint[..., k])
        seen = w > 0
        safe = torch.where(seen, w, torch.ones_like(w))
        total = total + torch.where(seen, w * (a - safe.log()), torch.zeros_like(a))
    return total


@variant("discrete_elbo", "log evidence minus the gap, where x is possible")
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    evidence = torch.logsumexp(log_joint, -1, keepdim=True)
    if bool(torch.isinf(evidence).any()):
        evidence = torch.where(torch.isinf(evidence), 0.0, evidence)
    log_posterior = log_joint - evidence
    used = torch.where(q > 0, q * (log_posterior - q.log()), 0.0)
    return evidence.squeeze(-1) + used.sum(-1)


@variant("discrete_posterior", "a loop of logaddexp, then differences")
def _(log_joint):
    total = log_joint[..., -1]
    for k in range(log_joint.shape[-1] - 1):
        total = torch.logaddexp(total, log_joint[..., k])
    return torch.exp(log_joint - total[..., None])


@variant("discrete_posterior", "exponential of the log-posterior")
def _(log_joint: Tensor) -> Tensor:
    return torch.exp(log_joint - torch.logsumexp(log_joint, dim=-1, keepdim=True))


@variant("discrete_posterior", "shares after taking the largest out")
def _(log_joint):
    joint = (log_joint - log_joint.amax(dim=-1, keepdim=True)).exp()
    return joint / torch.sum(joint, -1, keepdim=True)


@variant("discrete_posterior", "Categorical")
def _(log_joint: Tensor) -> Tensor:
    return Categorical(logits=log_joint).probs


@variant("discrete_posterior", "one over the sum of the odds against")
def _(log_joint: Tensor) -> Tensor:
    top = log_joint.max(-1, keepdim=True)[0].detach()
    joint = torch.exp(log_joint - top)
    return torch.einsum("...k,...->...k", joint, 1 / joint.sum(-1))


@variant("discrete_kl", "two xlogy")
def _(q: Tensor, p: Tensor) -> Tensor:
    return (torch.xlogy(q, q) - torch.xlogy(q, p)).sum(-1)


@variant("discrete_kl", "Categorical")
def _(q: Tensor, p: Tensor) -> Tensor:
    return kl_divergence(Categorical(probs=q), Categorical(probs=p))


@variant("discrete_kl", "three cases, each in its place")
def _(q, p):
    q, p = torch.broadcast_tensors(q, p)
    terms = torch.zeros_like(q)
    both = (q > 0) & (p > 0)
    terms[both] = q[both] * (q[both] / p[both]).log()
    terms[(q > 0) & (p == 0)] = math.inf
    return terms.sum(dim=-1)


@variant("discrete_kl", "an if for each term")
def _(q: Tensor, p: Tensor) -> Tensor:
    q, p = torch.broadcast_tensors(q, p)
    made = []
    for a, b in zip(
        q.reshape(-1, q.shape[-1]), p.reshape(-1, p.shape[-1]), strict=True
    ):
        total = q.new_zeros(())
        for x, y in zip(a, b, strict=True):
            if x > 0:
                total = total + x * (x.log() - y.log())
        made.append(total)
    return torch.stack(made).view(q.shape[:-1])


@variant("discrete_kl", "torch's pointwise divergence on safe arguments")
def _(q: Tensor, p: Tensor) -> Tensor:
    q, p = torch.broadcast_tensors(q, p)
    log_p = p.log().masked_fill(q == 0, 0.0)
    return torch.nn.functional.kl_div(log_p, q, reduction="none").sum(-1)


@variant("elbo_gap", "log evidence minus the bound")
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    bound = torch.where(q > 0, q * (log_joint - q.log()), 0.0).sum(-1)
    return torch.logsumexp(log_joint, -1) - bound


@variant("elbo_gap", "Jensen's gap of log-weights, the average inside")
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    log_joint, q = torch.broadcast_tensors(log_joint, q)
    evidence = log_joint.logsumexp(dim=-1, keepdim=True)
    log_odds = (evidence + q.log() - log_joint).masked_fill(q == 0, 0.0)
    return torch.einsum("...k,...k->...", q, log_odds)


@variant("elbo_gap", "nan_to_num that leaves the infinities")
def _(log_joint, q):
    terms = q * (q.log() - log_joint.log_softmax(-1))
    return terms.nan_to_num(nan=0.0, posinf=math.inf, neginf=-math.inf).sum(-1)


@variant("elbo_gap", "Categorical's entropy and log-probabilities")
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    log_posterior = Categorical(logits=log_joint).logits
    cross = torch.where(q > 0, q * log_posterior, torch.zeros_like(q)).sum(-1)
    return -cross - Categorical(probs=q).entropy()


@variant("elbo_terms", "a NamedTuple, and the other terms made 0 first")
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor):
    class Terms(NamedTuple):
        reconstruction: Tensor
        kl: Tensor

    unseen = q == 0
    likelihood = log_likelihood.masked_fill(unseen, 0.0)
    log_ratio = torch.where(unseen, 0.0, q.log() - log_prior)
    return Terms((q * likelihood).sum(-1), (q * log_ratio).sum(-1))


@variant("elbo_terms", "KL as cross-entropy minus entropy")
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    cross = torch.where(q > 0, -q * log_prior, 0.0).sum(-1)
    entropy = torch.special.entr(q).sum(-1)
    seen = torch.where(q > 0, log_likelihood, 0.0)
    return torch.einsum("...k,...k->...", q, seen), cross - entropy


@variant("elbo_terms", "the KL as reconstruction minus bound")
def _(log_likelihood, log_prior, q):
    def average(log_values):
        return (q * log_values).nan_to_num(nan=0.0, neginf=-math.inf).sum(dim=-1)

    negative_entropy = torch.xlogy(q, q).sum(dim=-1)
    return average(log_likelihood), negative_entropy - average(log_prior)


@variant("elbo_terms", "torch's pointwise divergence on safe arguments")
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    prior = log_prior.expand_as(q).masked_fill(q == 0, 0)
    kl = torch.nn.functional.kl_div(prior, q, reduction="none").sum(-1)
    return torch.where(q == 0, 0 * q, q * log_likelihood).sum(-1), kl


@variant("elbo_terms", "a loop over the states")
def _(log_likelihood, log_prior, q):
    reconstruction = kl = 0.0
    for k in range(q.shape[-1]):
        w, zero = q[..., k], torch.zeros_like(q[..., k])
        reconstruction = reconstruction + torch.where(
            w > 0, w * log_likelihood[..., k], zero
        )
        kl = kl + torch.where(w > 0, w * (torch.log(w) - log_prior[..., k]), zero)
    return reconstruction, kl
