"""Lesson 03: what learners write when something about the bound is misunderstood."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vae_edu.build.answers import register

REGISTER = register()
mutant = REGISTER.mutant
INF = math.inf


def _second(x: Tensor) -> int:
    return min(1, x.dim() - 1)


# --- discrete_log_evidence ------------------------------------------------------------


@mutant(
    "discrete_log_evidence",
    "The exponentials overflow or vanish",
    "exp(1e4) is inf and exp(-1e4) is 0 in a computer. Lesson 00 had a way to take the largest "
    "value out first.",
)
def _(log_joint: Tensor) -> Tensor:
    return log_joint.exp().sum(-1).log()


@mutant(
    "discrete_log_evidence",
    "An average over the states, not a sum",
    "p(x) adds up the joint over all states; the prior is inside the joint already.",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.logsumexp(log_joint, -1) - math.log(log_joint.shape[-1])


@mutant(
    "discrete_log_evidence",
    "The largest state alone",
    "The other states explain x too, less well. Every one of them adds to p(x).",
)
def _(log_joint: Tensor) -> Tensor:
    return log_joint.amax(-1)


@mutant(
    "discrete_log_evidence",
    "The logarithms are added, not the probabilities",
    "A sum of logarithms is the logarithm of a product. Which of the two marginalises?",
)
def _(log_joint: Tensor) -> Tensor:
    return log_joint.sum(-1)


@mutant(
    "discrete_log_evidence",
    "The sum runs over the second dimension, not the last",
    "With another dimension in front, dimension 1 is the batch. Count from the end.",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.logsumexp(log_joint, _second(log_joint))


@mutant(
    "discrete_log_evidence",
    "One maximum for the whole batch",
    "Where one x has log-values near 1e4 and another near -1e4, the second is lost. Each row needs "
    "its own largest value.",
)
def _(log_joint: Tensor) -> Tensor:
    top = log_joint.max()
    return top + (log_joint - top).exp().sum(-1).log()


@mutant(
    "discrete_log_evidence",
    "The search for the largest value starts at 0",
    "Where all log-values are near -1e4, the largest of them is not 0, and every exponential "
    "vanishes.",
)
def _(log_joint: Tensor) -> Tensor:
    top = log_joint.amax(-1, keepdim=True).clamp(min=0)
    return top.squeeze(-1) + (log_joint - top).exp().sum(-1).log()


@mutant(
    "discrete_log_evidence",
    "The maximum is taken out and not put back",
    "Dividing all terms by the largest one makes the sum safe. What undoes the division?",
)
def _(log_joint: Tensor) -> Tensor:
    top = log_joint.amax(-1, keepdim=True).clamp(min=-1e30)
    return (log_joint - top).exp().sum(-1).log()


@mutant(
    "discrete_log_evidence",
    "An impossible x gives NaN",
    "Where every state is -inf, so is the largest of them, and -inf - (-inf) is NaN.",
    "infinity-minus-infinity",
)
def _(log_joint: Tensor) -> Tensor:
    top = log_joint.amax(-1, keepdim=True)
    return top.squeeze(-1) + (log_joint - top).exp().sum(-1).log()


@mutant(
    "discrete_log_evidence",
    "A small number is added inside the logarithm",
    "It protects from log 0, which is -inf and is the right answer there, and it changes every "
    "other value.",
)
def _(log_joint: Tensor) -> Tensor:
    top = log_joint.amax(-1, keepdim=True)
    return top.squeeze(-1) + ((log_joint - top).exp().sum(-1) + 1e-8).log()


@mutant(
    "discrete_log_evidence",
    "The log-joint is clamped",
    "A log-value of -1e4 is a real one: images with many pixels have them. A clamp makes another "
    "number of it.",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.logsumexp(log_joint.clamp(-700, 700), -1)


@mutant(
    "discrete_log_evidence",
    "Every dimension of size 1 is squeezed away",
    "squeeze without a dimension takes a batch of one away as well.",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.logsumexp(log_joint, -1, keepdim=True).squeeze()


@mutant(
    "discrete_log_evidence",
    "A branch that is not used spoils the gradient",
    "torch.where takes the good value, but the gradient goes through both branches, and 0 times "
    "inf is NaN. Make each branch finite, or have only the stable one.",
)
def _(log_joint: Tensor) -> Tensor:
    plain = log_joint.exp().sum(-1).log()
    return torch.where(plain.isfinite(), plain, torch.logsumexp(log_joint, -1))


@mutant(
    "discrete_log_evidence",
    "Minus infinity is replaced by a large number",
    "log 0 is -inf, and that is the truth about an impossible x.",
    "infinity-made-finite",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.logsumexp(torch.nan_to_num(log_joint, neginf=-1e9), -1)


@mutant(
    "discrete_log_evidence",
    "-1000 stands in for minus infinity",
    "Beside log-values of -1e4 a stand-in is the largest of all. An impossible state is smaller "
    "than any number.",
    "infinity-made-finite",
)
def _(log_joint: Tensor) -> Tensor:
    low = log_joint.masked_fill(log_joint == -INF, -1e3)
    total = torch.logsumexp(low, -1)
    return total.masked_fill((log_joint == -INF).all(-1), -INF)


@mutant(
    "discrete_log_evidence",
    "The sum runs over the batch, not over the states",
    "Each x has an evidence of its own. Which dimension holds the states?",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.logsumexp(log_joint, 0)


@mutant(
    "discrete_log_evidence",
    "Ten states at most",
    "How many states there are is a matter of the model: all of them explain x.",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.logsumexp(log_joint[..., :10], -1)


@mutant(
    "discrete_log_evidence",
    "One number for the whole batch",
    "The states of all x are added up. One value per example was asked for.",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.logsumexp(log_joint.flatten(), 0)


@mutant(
    "discrete_log_evidence",
    "Log-probabilities are added",
    "log_softmax normalises, so that the evidence is gone. What did it divide by?",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.log_softmax(log_joint, -1).sum(-1)


# --- jensen_gap -----------------------------------------------------------------------


def _mean(values: Tensor, probs: Tensor) -> Tensor:
    return torch.where(probs > 0, probs * values, 0.0).sum(-1)


def _mean_log(values: Tensor, probs: Tensor) -> Tensor:
    return torch.xlogy(probs, values).sum(-1)


@mutant(
    "jensen_gap",
    "The gap with the wrong sign",
    "By Jensen's inequality one of log E[v] and E[log v] is never the smaller. A gap starts from it.",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    return _mean_log(values, probs) - _mean(values, probs).log()


@mutant(
    "jensen_gap",
    "Every value counts the same",
    "The expectation weights each value by its own probability.",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    values = values + 0 * probs
    return values.mean(-1).log() - values.log().mean(-1)


@mutant(
    "jensen_gap",
    "A mean of weighted values divides twice",
    "The probabilities sum to 1 already: a weighted sum is the mean.",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    return (probs * values).mean(-1).log() - torch.xlogy(probs, values).mean(-1)


@mutant(
    "jensen_gap",
    "The first sum is not weighted",
    "log E[v] needs the expectation of v: the weights belong in both terms.",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    return (values + 0 * probs).sum(-1).log() - _mean_log(values, probs)


@mutant(
    "jensen_gap",
    "0 times log 0 comes out as NaN",
    "A value that never occurs counts 0. The computer multiplies 0 by -inf and gets NaN.",
    "zero-times-infinity",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    return _mean(values, probs).log() - (probs * values.log()).sum(-1)


@mutant(
    "jensen_gap",
    "0 times infinity comes out as NaN",
    "The second sum is safe; look at the first one where a value is inf and its probability 0.",
    "zero-times-infinity",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    return (probs * values).sum(-1).log() - _mean_log(values, probs)


@mutant(
    "jensen_gap",
    "An infinite gap is made finite",
    "Where a value of 0 has positive probability, E[log v] is -inf, and so the gap is infinite. "
    "nan_to_num and clamps hide that.",
    "infinity-made-finite",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    logs = torch.nan_to_num(probs * values.log(), neginf=-1e6, posinf=0.0)
    return _mean(values, probs).log() - logs.sum(-1)


@mutant(
    "jensen_gap",
    "Values of 0 are left out",
    "Leaving out is right for values of probability 0, not for values that are 0.",
    "infinity-made-finite",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    used = (probs > 0) & (values > 0)
    logs = torch.where(used, values, 1.0).log()
    return _mean(values, probs).log() - (probs * logs).sum(-1)


@mutant(
    "jensen_gap",
    "A small weight is taken for 0",
    "A value of 0 that occurs with probability 1e-13 does occur: the gap is infinite.",
    "infinity-made-finite",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    seen = torch.where(probs > 1e-8, probs, 0.0)
    return _mean(values, seen).log() - _mean_log(values, seen)


@mutant(
    "jensen_gap",
    "A small number is added inside the logarithms",
    "It changes every value a little, and the infinite ones a lot.",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    return (_mean(values, probs) + 1e-8).log() - _mean_log(values + 1e-8, probs)


@mutant(
    "jensen_gap",
    "Small values are clamped",
    "1e-30 is a fine number to take a logarithm of.",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    low = torch.where(values > 0, values.clamp(min=1e-10), values)
    return _mean(low, probs).log() - _mean_log(low, probs)


@mutant(
    "jensen_gap",
    "The sums run over the second dimension, not the last",
    "With more dimensions in front, dimension 1 is one of them. Count from the end.",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    mean = torch.where(probs > 0, probs * values, 0.0)
    logs = torch.xlogy(probs, values)
    return mean.sum(_second(mean)).log() - logs.sum(_second(logs))


@mutant(
    "jensen_gap",
    "Written for two dimensions only",
    "There may be no batch, or several leading dimensions, or probabilities that all rows share.",
    "written-for-a-batch",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    logs = torch.xlogy(probs, values)
    mean = torch.where(probs > 0, probs * values, 0.0)
    return torch.einsum("bk->b", mean).log() - torch.einsum("bk->b", logs)


@mutant(
    "jensen_gap",
    "Logarithms of base 2",
    "The course counts in nats: natural logarithms.",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    gap = _mean(values, probs).log() - _mean_log(values, probs)
    return gap / math.log(2)


@mutant(
    "jensen_gap",
    "The mean is taken for a constant",
    "log E[v] changes with every value as well; its share of the gradient is missing.",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    return _mean(values, probs).detach().log() - _mean_log(values, probs)


@mutant(
    "jensen_gap",
    "The caller's values are overwritten where the weight is 0",
    "The value is right, and the caller's tensor is another one afterwards.",
    "in-place",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    if bool((probs == 0).any()) and values.shape == probs.shape:
        values.data[probs == 0] = 1.0
    return _mean(values, probs).log() - _mean_log(values, probs)


@mutant(
    "jensen_gap",
    "nan_to_num with what it does by itself",
    "It makes 0 of NaN, and of an infinity the largest float. The gap is infinite there.",
    "infinity-made-finite",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    mean = (probs * values).nan_to_num().sum(-1)
    return mean.log() - (probs * values.log()).nan_to_num().sum(-1)


@mutant(
    "jensen_gap",
    "nan_to_num of the result",
    "The sum is NaN as soon as one term is: what is lost cannot be put right afterwards.",
    "zero-times-infinity",
    "infinity-made-finite",
    "weight-0-counts",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    gap = (probs * values).sum(-1).log() - (probs * values.log()).sum(-1)
    return gap.nan_to_num()


@mutant(
    "jensen_gap",
    "The second sum is not weighted",
    "E[log v] is an expectation as well: the weights belong in both terms.",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    return _mean(values, probs).log() - (values.log() + 0 * probs).mean(-1)


@mutant(
    "jensen_gap",
    "The first term alone",
    "log E[v] is one end of the gap. Where is the other?",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    return _mean(values, probs).log()


@mutant(
    "jensen_gap",
    "The second term alone",
    "E[log v] is one end of the gap. Where is the other?",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    return _mean_log(values, probs)


@mutant(
    "jensen_gap",
    "A difference of means, without logarithms",
    "The gap is between two logarithms: exp of the second term is the geometric mean.",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    return _mean(values, probs) - _mean_log(values, probs).exp()


@mutant(
    "jensen_gap",
    "The logarithm is inside both sums",
    "In the first term the logarithm comes after the sum: that is the whole difference.",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    return (probs * values).log().sum(-1) - _mean_log(values, probs)


@mutant(
    "jensen_gap",
    "Ten states at most",
    "How many values there are is a matter of the caller: all of them are averaged.",
)
def _(values: Tensor, probs: Tensor) -> Tensor:
    some, weights = values[..., :10], probs[..., :10]
    return _mean(some, weights).log() - _mean_log(some, weights)


# --- discrete_elbo --------------------------------------------------------------------


def _used(terms: Tensor, q: Tensor) -> Tensor:
    return torch.where(q > 0, terms, 0.0).sum(-1)


@mutant(
    "discrete_elbo",
    "The entropy with the wrong sign",
    "A q that spreads out is rewarded: minus E[log q] is added.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return _used(q * log_joint + torch.xlogy(q, q), q)


@mutant(
    "discrete_elbo",
    "The entropy of q is missing",
    "Without - log q the best q would put everything on one state. Where did Jensen's ratio go?",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return _used(q * log_joint, q)


@mutant(
    "discrete_elbo",
    "The loss, not the bound",
    "This is the negative ELBO. The bound lies below log p(x), and training raises it.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return _used(torch.xlogy(q, q) - q * log_joint, q)


@mutant(
    "discrete_elbo",
    "0 times log 0 comes out as NaN",
    "A state that q never visits counts 0. The computer multiplies 0 by -inf and gets NaN.",
    "zero-times-infinity",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return (q * (log_joint - q.log())).sum(-1)


@mutant(
    "discrete_elbo",
    "Only log q is protected",
    "log 0 in q's own term is safe now. What is 0 times log_joint where log_joint is -inf?",
    "zero-times-infinity",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return (q * log_joint - torch.xlogy(q, q)).sum(-1)


@mutant(
    "discrete_elbo",
    "Minus infinity is replaced by a large number",
    "Where q visits an impossible state, the bound is -inf, and nothing finite.",
    "infinity-made-finite",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return (torch.nan_to_num(q * log_joint, neginf=-1e9) - torch.xlogy(q, q)).sum(-1)


@mutant(
    "discrete_elbo",
    "Impossible states are left out although q visits them",
    "Leaving a state out is right where q is 0. Where q > 0 the impossible state costs everything.",
    "infinity-made-finite",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    safe = torch.where(torch.isinf(log_joint), 0.0, log_joint)
    return _used(q * safe - torch.xlogy(q, q), q)


@mutant(
    "discrete_elbo",
    "The joint is normalised first",
    "log_joint does not sum to 1 over the states: its sum is p(x), which is what we bound.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return _used(q * torch.log_softmax(log_joint, -1) - torch.xlogy(q, q), q)


@mutant(
    "discrete_elbo",
    "The logarithm is outside the average",
    "log E_q[p/q] is log p(x) itself, for every q. The bound has the logarithm inside.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    weights = torch.where(q > 0, log_joint - q.log(), -INF)
    return torch.logsumexp(weights + q.log(), -1)


@mutant(
    "discrete_elbo",
    "A small weight is taken for 0",
    "A state that is visited with probability 1e-13 is visited: if it is impossible, it costs everything.",
    "infinity-made-finite",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    terms = q * (log_joint - q.log())
    return torch.where(q > 1e-8, terms, 0.0).sum(-1)


@mutant(
    "discrete_elbo",
    "A small number is added inside the logarithm",
    "It protects from log 0 and changes every other value. A weight of 0 can be left out instead.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return (q * (log_joint - (q + 1e-8).log())).sum(-1)


@mutant(
    "discrete_elbo",
    "q is clamped away from 0",
    "A state that q never visits gets a small weight, which multiplies a log-value of any size.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    low = q.clamp(min=1e-8)
    return (low * (log_joint - low.log())).sum(-1)


@mutant(
    "discrete_elbo",
    "The sum runs over the second dimension, not the last",
    "With more dimensions in front, dimension 1 is one of them. Count from the end.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    terms = torch.where(q > 0, q * log_joint - torch.xlogy(q, q), 0.0)
    return terms.sum(_second(terms))


@mutant(
    "discrete_elbo",
    "Written for two dimensions only",
    "There may be no batch, or several leading dimensions, or one q that all rows share.",
    "written-for-a-batch",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    ratio = torch.where(q > 0, log_joint - q.log(), 0.0)
    return torch.einsum("bk,bk->b", q, ratio)


@mutant(
    "discrete_elbo",
    "The ratio is formed from probabilities",
    "exp(1e4) is inf and exp(-1e4) is 0. The logarithm of a ratio is a difference of logarithms.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return _used(q * (log_joint.exp() / q).log(), q)


@mutant(
    "discrete_elbo",
    "A mean over the states",
    "The weights q sum to 1 already: the weighted sum is the expectation.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return torch.where(q > 0, q * (log_joint - q.log()), 0.0).mean(-1)


@mutant(
    "discrete_elbo",
    "The log-joint is clamped",
    "A log-value of -1e4 is a real one: images with many pixels have them.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    low = torch.where(torch.isinf(log_joint), log_joint, log_joint.clamp(min=-1e3))
    return _used(q * (low - q.log()), q)


@mutant(
    "discrete_elbo",
    "The caller's q is overwritten where it is 0",
    "clamp_ with its underscore writes into the tensor that came in.",
    "in-place",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    visited = q > 0
    q.clamp_(min=1e-20)
    return torch.where(visited, q * (log_joint - q.log()), 0.0).sum(-1)


@mutant(
    "discrete_elbo",
    "nan_to_num with what it does by itself",
    "It makes 0 of NaN, and of minus infinity the most negative float. The bound is -inf there.",
    "infinity-made-finite",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return (q * (log_joint - q.log())).nan_to_num().sum(-1)


@mutant(
    "discrete_elbo",
    "The weights are missing",
    "An expectation weights each state by q. A plain sum counts each of them once.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return (log_joint - q.log()).sum(-1)


@mutant(
    "discrete_elbo",
    "q is taken for its logarithm",
    "log p(x, z) - log q(z): one of the two comes as a logarithm, the other as a probability.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return _used(q * (log_joint - q), q)


@mutant(
    "discrete_elbo",
    "log_joint is taken for the logarithm of a logarithm",
    "log_joint is a logarithm already, as its name says: it enters the sum as it is.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return _used(q * (log_joint.exp() - q.log()), q)


@mutant(
    "discrete_elbo",
    "The joint is weighted, its ratio to q is not",
    "The bracket belongs to the expectation as a whole: q times the difference.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return _used(q * log_joint - q.log(), q)


@mutant(
    "discrete_elbo",
    "The states are weighted with the joint, not with q",
    "The expectation is under q: it is the bound's to choose.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return _used(log_joint.exp() * (log_joint - q.log()), q)


@mutant(
    "discrete_elbo",
    "Ten states at most",
    "How many states there are is a matter of the model: q visits all of them.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    terms = q * log_joint - torch.xlogy(q, q)
    return torch.where(q > 0, terms, 0.0)[..., :10].sum(-1)


# --- discrete_posterior ---------------------------------------------------------------


@mutant(
    "discrete_posterior",
    "The logarithm of the posterior",
    "The last step back from logarithms is missing: probabilities were asked for.",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.log_softmax(log_joint, -1)


@mutant(
    "discrete_posterior",
    "The exponentials overflow or vanish",
    "inf / inf and 0 / 0 are NaN. Subtract log p(x) first, then take the exponential.",
)
def _(log_joint: Tensor) -> Tensor:
    joint = log_joint.exp()
    return joint / joint.sum(-1, keepdim=True)


@mutant(
    "discrete_posterior",
    "It is not normalised",
    "Divided by the largest term, the largest is 1. A distribution sums to 1.",
)
def _(log_joint: Tensor) -> Tensor:
    return (log_joint - log_joint.amax(-1, keepdim=True)).exp()


@mutant(
    "discrete_posterior",
    "The joint itself",
    "p(x, z) and p(z|x) have the same shape over z. What makes the second sum to 1?",
)
def _(log_joint: Tensor) -> Tensor:
    return log_joint.exp()


@mutant(
    "discrete_posterior",
    "Normalised over the batch, not over the states",
    "Each x has a posterior of its own: the sum over its states is 1.",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.softmax(log_joint, 0)


@mutant(
    "discrete_posterior",
    "Normalised over the second dimension, not the last",
    "With another dimension in front, dimension 1 is the batch. Count from the end.",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.softmax(log_joint, _second(log_joint))


@mutant(
    "discrete_posterior",
    "Normalised over everything at once",
    "The whole tensor sums to 1, so each row sums to less.",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.softmax(log_joint.flatten(), 0).reshape(log_joint.shape)


@mutant(
    "discrete_posterior",
    "All on the most probable state",
    "The best guess is not the distribution: the other states keep their shares.",
)
def _(log_joint: Tensor) -> Tensor:
    best = log_joint.argmax(-1, keepdim=True)
    one = torch.zeros_like(log_joint).scatter(-1, best, 1.0)
    return one + 0 * torch.softmax(log_joint, -1)


@mutant(
    "discrete_posterior",
    "One maximum for the whole batch",
    "Where one x has log-values near 1e4 and another near -1e4, the second becomes 0 / 0.",
)
def _(log_joint: Tensor) -> Tensor:
    joint = (log_joint - log_joint.max()).exp()
    return joint / joint.sum(-1, keepdim=True)


@mutant(
    "discrete_posterior",
    "The search for the largest value starts at 0",
    "Where all log-values are near -1e4, the largest of them is not 0, and every exponential "
    "vanishes.",
)
def _(log_joint: Tensor) -> Tensor:
    top = log_joint.amax(-1, keepdim=True).clamp(min=0)
    joint = (log_joint - top).exp()
    return joint / joint.sum(-1, keepdim=True)


@mutant(
    "discrete_posterior",
    "A branch that is not used spoils the gradient",
    "torch.where takes the good value, but the gradient goes through both branches, and 0 times "
    "inf is NaN. Have only the stable one.",
)
def _(log_joint: Tensor) -> Tensor:
    joint = log_joint.exp()
    plain = joint / joint.sum(-1, keepdim=True)
    return torch.where(plain.isnan(), torch.softmax(log_joint, -1), plain)


@mutant(
    "discrete_posterior",
    "A small number is added below the fraction",
    "It hides a sum that vanished for want of digits, and the shares no longer add up to 1.",
)
def _(log_joint: Tensor) -> Tensor:
    joint = log_joint.exp()
    return joint / (joint.sum(-1, keepdim=True) + 1e-8)


@mutant(
    "discrete_posterior",
    "The evidence is taken for a constant",
    "p(x) changes with every log_joint as well: raising one state lowers the others.",
)
def _(log_joint: Tensor) -> Tensor:
    return (log_joint - torch.logsumexp(log_joint, -1, keepdim=True).detach()).exp()


@mutant(
    "discrete_posterior",
    "Impossible states get a small probability",
    "A state that cannot have made x has posterior 0; a clamp says that it might have.",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.softmax(log_joint, -1).clamp(min=1e-8)


@mutant(
    "discrete_posterior",
    "Minus infinity is replaced by 0",
    "A log of 0 means probability 1. An impossible state keeps its -inf until the exponential.",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.softmax(torch.nan_to_num(log_joint, neginf=0.0), -1)


@mutant(
    "discrete_posterior",
    "Each state by itself",
    "A sigmoid looks at one state alone. Bayes' rule compares it with all others.",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.sigmoid(log_joint)


@mutant(
    "discrete_posterior",
    "-1000 stands in for minus infinity",
    "Beside log-values of -1e4 a stand-in is the largest of all, and the impossible state gets "
    "all of the posterior.",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.softmax(log_joint.masked_fill(log_joint == -INF, -1e3), -1)


@mutant(
    "discrete_posterior",
    "The logarithms are divided by their sum",
    "Bayes' rule divides probabilities. A quotient of probabilities is a difference of logarithms.",
)
def _(log_joint: Tensor) -> Tensor:
    return log_joint / log_joint.sum(-1, keepdim=True)


@mutant(
    "discrete_posterior",
    "Divided by the logarithm of the evidence",
    "p(x, z) is divided by p(x). What does logsumexp give?",
)
def _(log_joint: Tensor) -> Tensor:
    return log_joint.exp() / torch.logsumexp(log_joint, -1, keepdim=True)


@mutant(
    "discrete_posterior",
    "The average in place of the sum below the fraction",
    "A distribution sums to 1. What does yours sum to?",
)
def _(log_joint: Tensor) -> Tensor:
    return log_joint.shape[-1] * torch.softmax(log_joint, -1)


@mutant(
    "discrete_posterior",
    "Summed over the states",
    "The sum of a posterior is 1, whatever x is. Its shares were asked for.",
)
def _(log_joint: Tensor) -> Tensor:
    return torch.softmax(log_joint, -1).sum(-1)


# --- discrete_kl ----------------------------------------------------------------------


@mutant(
    "discrete_kl",
    "The KL in the other direction",
    "KL(q ‖ p) and KL(p ‖ q) differ. The expectation is under the first of the two.",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1)


@mutant(
    "discrete_kl",
    "The KL with the wrong sign",
    "A KL divergence is never negative.",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return (torch.xlogy(q, p) - torch.xlogy(q, q)).sum(-1)


@mutant(
    "discrete_kl",
    "0 log 0 comes out as NaN",
    "A state of weight 0 counts 0. The computer multiplies 0 by -inf and gets NaN.",
    "zero-times-infinity",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return (q * (q.log() - p.log())).sum(-1)


@mutant(
    "discrete_kl",
    "0 times infinity, or 0/0, where q and p are both 0",
    "One half of the term is protected, and the other still gives NaN. What is q * p.log(), or q / p, "
    "where both are 0?",
    "zero-times-infinity",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return torch.xlogy(q, q / p).sum(-1)


@mutant(
    "discrete_kl",
    "Infinity is replaced by a large number",
    "Where q visits a state that p excludes, the divergence is infinite. nan_to_num makes a finite "
    "number of that as well.",
    "infinity-made-finite",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return torch.nan_to_num(q * (q.log() - p.log()), nan=0.0, posinf=1e9).sum(-1)


@mutant(
    "discrete_kl",
    "States that p excludes are left out although q visits them",
    "Leaving a state out is right where q is 0. What does it cost where only p is?",
    "infinity-made-finite",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    used = (q > 0) & (p > 0)
    return torch.where(used, q * (q / p).log(), 0.0).sum(-1)


@mutant(
    "discrete_kl",
    "A small weight is taken for 0",
    "A state that is visited with probability 1e-13 is visited: if it is impossible, it costs everything.",
    "infinity-made-finite",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return torch.where(q > 1e-8, q * (q / p).log(), 0.0).sum(-1)


@mutant(
    "discrete_kl",
    "A small number is added inside the logarithms",
    "It protects from log 0, and it changes every value and makes the infinite ones finite.",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return (q * ((q + 1e-8).log() - (p + 1e-8).log())).sum(-1)


@mutant(
    "discrete_kl",
    "Tiny probabilities are clamped",
    "A probability of 1e-13 is not 0, and its logarithm is a fine number.",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    kl = torch.xlogy(q, q) - torch.xlogy(q, p.clamp(min=1e-10))
    return torch.where((q > 0) & (p == 0), INF, kl).sum(-1)


@mutant(
    "discrete_kl",
    "A mean over the states",
    "The weights q sum to 1 already: the weighted sum is the expectation.",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return (torch.xlogy(q, q) - torch.xlogy(q, p)).mean(-1)


@mutant(
    "discrete_kl",
    "One number for the whole batch",
    "A sum without dim adds the examples up too. One value per example was asked for.",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return (torch.xlogy(q, q) - torch.xlogy(q, p)).sum()


@mutant(
    "discrete_kl",
    "The cross-entropy",
    "E_q[- log p] counts what q itself costs as well: at p = q it is not 0.",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return -torch.xlogy(q, p).sum(-1)


@mutant(
    "discrete_kl",
    "Each term made positive",
    "Single terms may be negative; only their sum never is.",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return (torch.xlogy(q, q) - torch.xlogy(q, p)).abs().sum(-1)


@mutant(
    "discrete_kl",
    "Both directions averaged",
    "The divergence is not symmetric, and it is not meant to be.",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return 0.5 * (torch.xlogy(q - p, q) - torch.xlogy(q - p, p)).sum(-1)


@mutant(
    "discrete_kl",
    "The sum runs over the second dimension, not the last",
    "With more dimensions in front, dimension 1 is one of them. Count from the end.",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    terms = torch.xlogy(q, q) - torch.xlogy(q, p)
    return terms.sum(_second(terms))


@mutant(
    "discrete_kl",
    "Logarithms of base 2",
    "The course counts in nats: natural logarithms.",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return (torch.xlogy(q, q) - torch.xlogy(q, p)).sum(-1) / math.log(2)


@mutant(
    "discrete_kl",
    "The caller's q is overwritten where it is 0",
    "clamp_ with its underscore writes into the tensor that came in.",
    "in-place",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    visited = q > 0
    q.clamp_(min=1e-20)
    return torch.where(visited, q * (q.log() - p.log()), 0.0).sum(-1)


@mutant(
    "discrete_kl",
    "nan_to_num with what it does by itself",
    "It makes 0 of NaN, and of an infinity the largest float. The divergence is infinite there.",
    "infinity-made-finite",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return (q * (q.log() - p.log())).nan_to_num().sum(-1)


@mutant(
    "discrete_kl",
    "p is clamped away from 0",
    "Where q visits a state that p excludes, the divergence is infinite: there is nothing to "
    "protect from.",
    "infinity-made-finite",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return (torch.xlogy(q, q) - q * p.clamp(min=1e-15).log()).sum(-1)


@mutant(
    "discrete_kl",
    "The logarithms of probabilities are exponentials already",
    "q and p are probabilities here. kl_div of torch, and Categorical(logits=...), take logarithms.",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return (torch.xlogy(q, q) - q * p).sum(-1)


@mutant(
    "discrete_kl",
    "Probabilities are taken for logits",
    "A softmax of probabilities is another distribution, nearly a uniform one.",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    log_q, log_p = torch.log_softmax(q, -1), torch.log_softmax(p, -1)
    return (log_q.exp() * (log_q - log_p)).sum(-1)


@mutant(
    "discrete_kl",
    "The negative entropy of q",
    "At p = q the divergence is 0: where has log p gone?",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return torch.xlogy(q, q).sum(-1) + 0 * p.sum(-1)


@mutant(
    "discrete_kl",
    "The Jensen-Shannon divergence",
    "It is symmetric and never infinite. KL(q ‖ p) is neither.",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    m = (q + p) / 2
    one = torch.xlogy(q, q) - torch.xlogy(q, m)
    return 0.5 * (one + torch.xlogy(p, p) - torch.xlogy(p, m)).sum(-1)


@mutant(
    "discrete_kl",
    "The ratio without its logarithm",
    "The average of q / p is another divergence. The logarithm of the ratio is averaged.",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return torch.where(q > 0, q * q / p, 0.0).sum(-1)


@mutant(
    "discrete_kl",
    "Ten states at most",
    "How many states there are is a matter of the caller.",
)
def _(q: Tensor, p: Tensor) -> Tensor:
    return (torch.xlogy(q, q) - torch.xlogy(q, p))[..., :10].sum(-1)


# --- elbo_gap -------------------------------------------------------------------------


@mutant(
    "elbo_gap",
    "The posterior's probabilities underflow",
    "Where log p(z|x) is -1e4, p(z|x) is 0 in a computer and its logarithm -inf. Stay in "
    "logarithms.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    p = torch.softmax(log_joint, -1)
    return (torch.xlogy(q, q) - torch.xlogy(q, p)).sum(-1)


@mutant(
    "elbo_gap",
    "The joint in place of the posterior",
    "Between log p(x, z) and log p(z|x) lies log p(x): this is the negative ELBO.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return _used(torch.xlogy(q, q) - q * log_joint, q)


@mutant(
    "elbo_gap",
    "The gap with the wrong sign",
    "The bound lies below log p(x), so what it leaves out is never negative.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return _used(q * torch.log_softmax(log_joint, -1) - torch.xlogy(q, q), q)


@mutant(
    "elbo_gap",
    "The KL in the other direction",
    "The expectation in the bound is under q, so it is in the gap.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    log_p = torch.log_softmax(log_joint, -1)
    p = log_p.exp()
    return torch.where(p > 0, p * (log_p - q.log()), 0.0).sum(-1)


@mutant(
    "elbo_gap",
    "0 times log 0 comes out as NaN",
    "A state that q never visits counts 0. The computer multiplies 0 by -inf and gets NaN.",
    "zero-times-infinity",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return (q * (q.log() - torch.log_softmax(log_joint, -1))).sum(-1)


@mutant(
    "elbo_gap",
    "Only log q is protected from 0 times infinity",
    "0 log 0 is safe now. What is 0 times the log-posterior of an impossible state?",
    "zero-times-infinity",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return (torch.xlogy(q, q) - q * torch.log_softmax(log_joint, -1)).sum(-1)


@mutant(
    "elbo_gap",
    "Impossible states are left out although q visits them",
    "Leaving a state out is right where q is 0. Where q > 0 the impossible state costs everything.",
    "infinity-made-finite",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    log_p = torch.log_softmax(log_joint, -1)
    used = (q > 0) & torch.isfinite(log_p)
    return torch.where(used, q * (q.log() - log_p), 0.0).sum(-1)


@mutant(
    "elbo_gap",
    "The posterior is normalised over the second dimension",
    "Its probabilities must add up to 1 over the states of one x. Which dimension, counted "
    "from the end, holds the states?",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    log_p = torch.log_softmax(log_joint, _second(log_joint))
    return _used(torch.xlogy(q, q) - q * log_p, q)


@mutant(
    "elbo_gap",
    "The sum runs over the second dimension, not the last",
    "With more dimensions in front, dimension 1 is one of them. Count from the end.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    terms = torch.xlogy(q, q) - q * torch.log_softmax(log_joint, -1)
    terms = torch.where(q > 0, terms, 0.0)
    return terms.sum(_second(terms))


@mutant(
    "elbo_gap",
    "The evidence is taken for a constant",
    "log p(x) depends on every log_joint; without its share the gradient of the gap is minus that "
    "of the bound.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    log_p = log_joint - torch.logsumexp(log_joint, -1, keepdim=True).detach()
    return _used(torch.xlogy(q, q) - q * log_p, q)


@mutant(
    "elbo_gap",
    "A small weight is taken for 0",
    "A state that is visited with probability 1e-13 is visited: if it is impossible, it costs everything.",
    "infinity-made-finite",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    terms = q * (q.log() - torch.log_softmax(log_joint, -1))
    return torch.where(q > 1e-8, terms, 0.0).sum(-1)


@mutant(
    "elbo_gap",
    "A small number is added inside the logarithm",
    "It protects from log 0 and changes every other value. A weight of 0 can be left out instead.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    log_p = torch.log_softmax(log_joint, -1)
    return (q * ((q + 1e-8).log() - log_p)).sum(-1)


@mutant(
    "elbo_gap",
    "The entropy of q is missing",
    "log p(x) - E_q[log p(x, z)] is more than the gap: the bound has - log q in it.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return -_used(q * torch.log_softmax(log_joint, -1), q)


@mutant(
    "elbo_gap",
    "The evidence is counted once for each state",
    "log p(x) stands outside the sum over the states, or inside with the weight q.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    terms = torch.where(q > 0, q * (q.log() - log_joint), 0.0)
    return (terms + torch.logsumexp(log_joint, -1, keepdim=True)).sum(-1)


@mutant(
    "elbo_gap",
    "A log-posterior is clamped",
    "log p(z|x) = -1e4 is a real value: q pays for visiting that state.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    log_p = torch.log_softmax(log_joint, -1)
    low = torch.where(torch.isinf(log_p), log_p, log_p.clamp(min=-1e3))
    return _used(q * (q.log() - low), q)


@mutant(
    "elbo_gap",
    "-1000 stands in for minus infinity",
    "Beside log-values of -1e4 a stand-in is the largest of all, and takes the whole posterior.",
    "weight-0-counts",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    low = log_joint.masked_fill(log_joint == -INF, -1e3)
    log_p = torch.where(log_joint == -INF, -INF, torch.log_softmax(low, -1))
    return _used(torch.xlogy(q, q) - q * log_p, q)


@mutant(
    "elbo_gap",
    "nan_to_num with what it does by itself",
    "It makes 0 of NaN, and of an infinity the largest float. The gap is infinite there.",
    "infinity-made-finite",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return (q * (q.log() - torch.log_softmax(log_joint, -1))).nan_to_num().sum(-1)


@mutant(
    "elbo_gap",
    "The bound itself",
    "The gap is what the bound leaves out of log p(x).",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return _used(q * log_joint - torch.xlogy(q, q), q)


@mutant(
    "elbo_gap",
    "The evidence itself",
    "The gap is what the bound leaves out of log p(x): it depends on q.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return torch.logsumexp(log_joint, -1) + 0 * q.sum(-1)


@mutant(
    "elbo_gap",
    "q is taken for logits",
    "A softmax of probabilities is another distribution, nearly a uniform one.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    log_q = torch.log_softmax(q, -1)
    return (log_q.exp() * (log_q - torch.log_softmax(log_joint, -1))).sum(-1)


@mutant(
    "elbo_gap",
    "The posterior is normalised over the batch",
    "Its probabilities must add up to 1 over the states of one x.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    return _used(torch.xlogy(q, q) - q * torch.log_softmax(log_joint, 0), q)


@mutant(
    "elbo_gap",
    "The entropy of q is counted twice",
    "The bound has - log q in it already: log p(x) minus the bound needs no other.",
)
def _(log_joint: Tensor, q: Tensor) -> Tensor:
    log_p = torch.log_softmax(log_joint, -1)
    return _used(2 * torch.xlogy(q, q) - q * log_p, q)


# --- elbo_terms -----------------------------------------------------------------------


def _reconstruction(log_likelihood: Tensor, q: Tensor) -> Tensor:
    return _used(q * log_likelihood, q)


def _kl_to(log_prior: Tensor, q: Tensor) -> Tensor:
    return _used(torch.xlogy(q, q) - q * log_prior, q)


@mutant(
    "elbo_terms",
    "The reconstruction with the sign of a loss",
    "Here the first term is E_q[log p(x|z)] as it stands in the bound; the loss of lesson 07 turns "
    "its sign.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return -_reconstruction(log_likelihood, q), _kl_to(log_prior, q)


@mutant(
    "elbo_terms",
    "Minus the KL, as it stands in the bound",
    "The second term was asked for as a KL divergence, which is never negative.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return _reconstruction(log_likelihood, q), -_kl_to(log_prior, q)


@mutant(
    "elbo_terms",
    "The KL in the other direction",
    "The expectation in the bound is under q, in both terms.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    p = log_prior.exp()
    kl = torch.where(p > 0, p * (log_prior - q.log()), 0.0).sum(-1)
    return _reconstruction(log_likelihood, q), kl


@mutant(
    "elbo_terms",
    "The cross-entropy in place of the KL",
    "E_q[- log p(z)] is not 0 where q is the prior: log q is missing.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return _reconstruction(log_likelihood, q), -_used(q * log_prior, q)


@mutant(
    "elbo_terms",
    "The gap's KL",
    "Yours goes to the posterior p(z|x). The second term of the bound is another KL: where does it go?",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    log_posterior = torch.log_softmax(log_likelihood + log_prior, -1)
    return _reconstruction(log_likelihood, q), _kl_to(log_posterior, q)


@mutant(
    "elbo_terms",
    "A logarithm where a probability is expected",
    "log_prior is a logarithm already. What is the logarithm of a negative number?",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    kl = torch.where(q > 0, torch.xlogy(q, q) - q * log_prior.log(), 0.0)
    return _reconstruction(log_likelihood, q), kl.sum(-1)


@mutant(
    "elbo_terms",
    "The two terms in the other order",
    "The reconstruction comes first, then the KL.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return _kl_to(log_prior, q), _reconstruction(log_likelihood, q)


@mutant(
    "elbo_terms",
    "The prior is counted in the first term too",
    "E_q[log p(x, z)] and the entropy is the other way to split the bound. Here the prior is in "
    "the KL.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return _reconstruction(log_likelihood + log_prior, q), _kl_to(log_prior, q)


@mutant(
    "elbo_terms",
    "The whole bound in place of its first term",
    "Reconstruction minus KL is the bound; the two were asked for one by one.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    kl = _kl_to(log_prior, q)
    return _reconstruction(log_likelihood, q) - kl, kl


@mutant(
    "elbo_terms",
    "The prior is expected to have a batch dimension",
    "One prior of shape (states,) may serve every x.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    kl = torch.where(q > 0, q * (q.log() - log_prior[:, :]), 0.0).sum(1)
    return _reconstruction(log_likelihood, q), kl


@mutant(
    "elbo_terms",
    "0 times infinity comes out as NaN",
    "A state that q never visits counts 0 in both terms, whatever it would have cost.",
    "zero-times-infinity",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    kl = (q * (q.log() - log_prior)).sum(-1)
    return (q * log_likelihood).sum(-1), kl


@mutant(
    "elbo_terms",
    "Only the KL is protected from 0 times infinity",
    "The likelihood of a state may be 0 as well: what is 0 times -inf in the first term?",
    "zero-times-infinity",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return (q * log_likelihood).sum(-1), _kl_to(log_prior, q)


@mutant(
    "elbo_terms",
    "Only log q is protected from 0 times infinity",
    "0 log 0 is safe now. What is 0 times log_prior where the prior is 0?",
    "zero-times-infinity",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    kl = (torch.xlogy(q, q) - q * log_prior).sum(-1)
    return _reconstruction(log_likelihood, q), kl


@mutant(
    "elbo_terms",
    "States that the prior excludes are left out although q visits them",
    "Leaving a state out is right where q is 0. Where only the prior is 0 the KL is infinite.",
    "infinity-made-finite",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    used = (q > 0) & torch.isfinite(log_prior)
    kl = torch.where(used, q * (q.log() - log_prior), 0.0).sum(-1)
    return _reconstruction(log_likelihood, q), kl


@mutant(
    "elbo_terms",
    "The prior's probabilities underflow",
    "exp(-1e4) is 0 in a computer. The logarithm that came in is what the sum needs.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    p = log_prior.exp()
    kl = (torch.xlogy(q, q) - torch.xlogy(q, p)).sum(-1)
    return _reconstruction(log_likelihood, q), kl


@mutant(
    "elbo_terms",
    "The log-prior is clamped",
    "A log-probability of -1e4 is a real one: q pays for every visit to that state.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    low = torch.where(torch.isinf(log_prior), log_prior, log_prior.clamp(min=-100))
    return _reconstruction(log_likelihood, q), _kl_to(low, q)


@mutant(
    "elbo_terms",
    "A mean over the states",
    "The weights q sum to 1 already: the weighted sum is the expectation.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    states = q.shape[-1]
    return _reconstruction(log_likelihood, q) / states, _kl_to(log_prior, q) / states


@mutant(
    "elbo_terms",
    "A small weight is taken for 0",
    "A state that is visited with probability 1e-13 is visited: if the prior excludes it, the KL is infinite.",
    "infinity-made-finite",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    kl = torch.where(q > 1e-8, q * (q.log() - log_prior), 0.0).sum(-1)
    return _reconstruction(log_likelihood, q), kl


@mutant(
    "elbo_terms",
    "A small number is added inside the logarithm",
    "It protects from log 0 and changes every other value. A weight of 0 can be left out instead.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    kl = (q * ((q + 1e-8).log() - log_prior)).sum(-1)
    return _reconstruction(log_likelihood, q), kl


@mutant(
    "elbo_terms",
    "The sums run over the second dimension, not the last",
    "With more dimensions in front, dimension 1 is one of them. Count from the end.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    first = torch.where(q > 0, q * log_likelihood, 0.0)
    second = torch.where(q > 0, torch.xlogy(q, q) - q * log_prior, 0.0)
    return first.sum(_second(first)), second.sum(_second(second))


@mutant(
    "elbo_terms",
    "The terms are summed over the batch",
    "One value per example was asked for; the mean over the batch comes with the loss.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return _reconstruction(log_likelihood, q).sum(), _kl_to(log_prior, q).sum()


@mutant(
    "discrete_posterior",
    "A tiny floor keeps impossible states alive",
    "A state with log p(x, z) = -inf cannot have made x. A small number added to each "
    "probability gives it a posterior, and code that tests for 0 no longer finds it.",
)
def _(log_joint: Tensor) -> Tensor:
    floored = torch.softmax(log_joint, -1) + 1e-13
    return floored / floored.sum(-1, keepdim=True)


@mutant(
    "elbo_terms",
    "Logarithms are left by exp, and taken again",
    "exp(1e4) is inf and exp(-1e4) is 0 in a computer; their logarithms are not what came in.",
    "overflow",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    kl = torch.where(q > 0, q * (q / log_prior.exp()).log(), 0.0).sum(-1)
    return _reconstruction(log_likelihood.exp().log(), q), kl


@mutant(
    "elbo_terms",
    "The likelihood is averaged, not its logarithm",
    "The first term is the expectation of log p(x|z), and that is what came in.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return _used(q * log_likelihood.exp(), q), _kl_to(log_prior, q)


@mutant(
    "elbo_terms",
    "The log of the average likelihood",
    "Jensen's inequality lies between the two. In the bound the logarithm is inside.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    mean = torch.logsumexp(log_likelihood + q.log(), -1)
    return mean, _kl_to(log_prior, q)


@mutant(
    "elbo_terms",
    "The likelihood is not weighted",
    "The first term is an expectation under q: each state counts with its probability.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return (log_likelihood + 0 * q).sum(-1), _kl_to(log_prior, q)


@mutant(
    "elbo_terms",
    "The likelihood is weighted with the prior",
    "That is an average over the prior. The bound averages over q, which it is free to choose.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return _used(log_prior.exp() * log_likelihood, q), _kl_to(log_prior, q)


@mutant(
    "elbo_terms",
    "The entropy of q in place of the KL",
    "The second term compares q with the prior: where does log_prior come in?",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    entropy = torch.special.entr(q).sum(-1) + 0 * _used(log_prior, q)
    return _reconstruction(log_likelihood, q), entropy


@mutant(
    "elbo_terms",
    "The sums run over the batch",
    "Each x has a bound of its own. Which dimension holds the states?",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    first = torch.where(q > 0, q * log_likelihood, 0.0)
    second = torch.where(q > 0, torch.xlogy(q, q) - q * log_prior, 0.0)
    return first.sum(0), second.sum(0)


@mutant(
    "elbo_terms",
    "nan_to_num with what it does by itself",
    "It makes 0 of NaN, and of an infinity the largest float. The KL is infinite there.",
    "infinity-made-finite",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    first = (q * log_likelihood).nan_to_num().sum(-1)
    return first, (q * (q.log() - log_prior)).nan_to_num().sum(-1)


@mutant(
    "elbo_terms",
    "Ten states at most",
    "How many states there are is a matter of the model: q visits all of them.",
)
def _(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    first = torch.where(q > 0, q * log_likelihood, 0.0)
    second = torch.where(q > 0, torch.xlogy(q, q) - q * log_prior, 0.0)
    return first[..., :10].sum(-1), second[..., :10].sum(-1)
