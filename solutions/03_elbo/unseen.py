"""Lesson 03: wrong answers that no mutant and no sign was made from."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from tests.unseen import register

UNSEEN, unseen = register()


# --- discrete_log_evidence ------------------------------------------------------------


@unseen(
    "discrete_log_evidence",
    "The sum runs over the batch, not over the states",
    "wrong-axis",
)
def over_the_batch(log_joint: Tensor) -> Tensor:
    return torch.logsumexp(log_joint, dim=0)


@unseen("discrete_log_evidence", "One number for the whole batch")
def over_everything(log_joint: Tensor) -> Tensor:
    return log_joint.flatten().logsumexp(0)


@unseen("discrete_log_evidence", "summed-over-the-batch")
def summed(log_joint: Tensor) -> Tensor:
    return torch.logsumexp(log_joint, -1).sum()


@unseen("discrete_log_evidence", "The exponentials overflow or vanish", "overflow")
def plain(log_joint: Tensor) -> Tensor:
    return torch.log(torch.einsum("...k->...", log_joint.exp()))


@unseen("discrete_log_evidence", "log-missing")
def evidence_itself(log_joint: Tensor) -> Tensor:
    return torch.sum(torch.exp(log_joint), dim=-1)


@unseen("discrete_log_evidence", "kept-dimension")
def keeps(log_joint: Tensor) -> Tensor:
    return torch.logsumexp(log_joint, dim=-1, keepdim=True)


@unseen("discrete_log_evidence", "An average over the states, not a sum")
def mean_of_states(log_joint: Tensor) -> Tensor:
    return log_joint.exp().mean(-1).log()


@unseen("discrete_log_evidence", "An impossible x gives NaN")
def textbook_trick(log_joint: Tensor) -> Tensor:
    m = log_joint.max(-1, keepdim=True).values
    return (
        m + torch.log(torch.sum(torch.exp(log_joint - m), -1, keepdim=True))
    ).squeeze(-1)


@unseen(
    "discrete_log_evidence",
    "-1000 stands in for minus infinity",
    "infinity-made-finite",
    "weight-0-counts",
)
def minus_a_thousand(log_joint: Tensor) -> Tensor:
    return torch.logsumexp(log_joint.masked_fill(log_joint == -torch.inf, -1e3), -1)


@unseen("discrete_log_evidence", "Log-probabilities are added")
def normalised(log_joint: Tensor) -> Tensor:
    return F.log_softmax(log_joint, -1).sum(-1)


@unseen("discrete_log_evidence", "The maximum is taken out and not put back")
def lost_maximum(log_joint: Tensor) -> Tensor:
    centred = log_joint - log_joint.amax(-1, True)
    return centred.exp().sum(-1).log()


@unseen("discrete_log_evidence", "turned-sign")
def surprise(log_joint: Tensor) -> Tensor:
    return -torch.logsumexp(log_joint, -1)


# --- jensen_gap -----------------------------------------------------------------------


@unseen("jensen_gap", "infinity-made-finite", "nan_to_num with what it does by itself")
def nan_to_num_of_the_products(values: Tensor, probs: Tensor) -> Tensor:
    mean = (probs * values).nan_to_num().sum(-1)
    return mean.log() - (probs * values.log()).nan_to_num().sum(-1)


@unseen(
    "jensen_gap", "infinity-made-finite", "weight-0-counts", "nan_to_num of the result"
)
def nan_to_num_of_the_result(values: Tensor, probs: Tensor) -> Tensor:
    gap = (probs * values).sum(-1).log() - (probs * values.log()).sum(-1)
    return torch.nan_to_num(gap)


@unseen("jensen_gap", "An infinite gap is made finite", "infinity-made-finite")
def clamped_values(values: Tensor, probs: Tensor) -> Tensor:
    safe = values.clamp(min=1e-38, max=1e38)
    return (probs * safe).sum(-1).log() - (probs * safe.log()).sum(-1)


@unseen("jensen_gap", "0 times log 0 comes out as NaN", "zero-times-infinity")
def as_it_stands(values: Tensor, probs: Tensor) -> Tensor:
    return torch.log((probs * values).sum(-1)) - (probs * torch.log(values)).sum(-1)


@unseen("jensen_gap", "turned-sign", "The gap with the wrong sign")
def the_other_way(values: Tensor, probs: Tensor) -> Tensor:
    return torch.xlogy(probs, values).sum(-1) - torch.log((probs * values).sum(-1))


@unseen("jensen_gap", "Every value counts the same")
def unweighted(values: Tensor, probs: Tensor) -> Tensor:
    return torch.log(values.mean(-1)) - torch.mean(torch.log(values), dim=-1)


@unseen("jensen_gap", "The second sum is not weighted")
def logs_unweighted(values: Tensor, probs: Tensor) -> Tensor:
    return (probs * values).sum(-1).log() - values.log().mean(-1)


@unseen("jensen_gap", "The first term alone")
def first_term_only(values: Tensor, probs: Tensor) -> Tensor:
    return (probs * values).sum(-1).log()


@unseen("jensen_gap", "A difference of means, without logarithms")
def difference_of_means(values: Tensor, probs: Tensor) -> Tensor:
    return (probs * values).sum(-1) - torch.xlogy(probs, values).sum(-1).exp()


@unseen("jensen_gap", "The logarithm is inside both sums")
def log_inside_twice(values: Tensor, probs: Tensor) -> Tensor:
    return torch.log(probs * values).sum(-1) - (probs * values.log()).sum(-1)


@unseen("jensen_gap", "wrong-axis")
def over_rows(values: Tensor, probs: Tensor) -> Tensor:
    return (probs * values).sum(0).log() - torch.xlogy(probs, values).sum(0)


@unseen("jensen_gap", "not-summed")
def not_summed(values: Tensor, probs: Tensor) -> Tensor:
    mean = (probs * values).sum(-1, keepdim=True)
    return probs * (mean.log() - values.log())


@unseen("jensen_gap", "kept-dimension")
def kept(values: Tensor, probs: Tensor) -> Tensor:
    mean = torch.where(probs > 0, probs * values, 0.0).sum(-1, keepdim=True)
    return mean.log() - torch.xlogy(probs, values).sum(-1, keepdim=True)


# --- discrete_elbo --------------------------------------------------------------------


@unseen("discrete_elbo", "0 times log 0 comes out as NaN", "zero-times-infinity")
def bound_as_it_stands(log_joint: Tensor, q: Tensor) -> Tensor:
    return torch.einsum("...k,...k->...", q, log_joint - torch.log(q))


@unseen(
    "discrete_elbo", "infinity-made-finite", "nan_to_num with what it does by itself"
)
def nan_to_num_all(log_joint: Tensor, q: Tensor) -> Tensor:
    return torch.nan_to_num(q * (log_joint - q.log())).sum(-1)


@unseen("discrete_elbo", "The loss, not the bound", "turned-sign")
def loss(log_joint: Tensor, q: Tensor) -> Tensor:
    return torch.where(q > 0, q * (q.log() - log_joint), 0.0).sum(-1)


@unseen("discrete_elbo", "The entropy with the wrong sign")
def entropy_subtracted(log_joint: Tensor, q: Tensor) -> Tensor:
    energy = torch.where(q > 0, q * log_joint, 0.0).sum(-1)
    return energy - torch.special.entr(q).sum(-1)


@unseen("discrete_elbo", "The entropy of q is missing")
def energy_only(log_joint: Tensor, q: Tensor) -> Tensor:
    return torch.where(q == 0, 0.0, q * log_joint).sum(dim=-1)


@unseen("discrete_elbo", "wrong-axis")
def bound_over_rows(log_joint: Tensor, q: Tensor) -> Tensor:
    return torch.where(q > 0, q * (log_joint - q.log()), 0.0).sum(0)


@unseen("discrete_elbo", "The weights are missing", "weights-missing")
def no_weights(log_joint: Tensor, q: Tensor) -> Tensor:
    return (log_joint - q.log()).sum(-1)


@unseen("discrete_elbo", "not-summed")
def terms(log_joint: Tensor, q: Tensor) -> Tensor:
    return torch.where(q > 0, q * (log_joint - q.log()), 0.0)


@unseen("discrete_elbo", "q is taken for its logarithm", "log-q-missing")
def q_for_log_q(log_joint: Tensor, q: Tensor) -> Tensor:
    return torch.where(q > 0, q * (log_joint - q), 0.0).sum(-1)


@unseen("discrete_elbo", "log_joint is taken for the logarithm of a logarithm")
def log_of_log(log_joint: Tensor, q: Tensor) -> Tensor:
    return torch.where(q > 0, q * (log_joint.exp() - q.log()), 0.0).sum(-1)


@unseen("discrete_elbo", "The joint is normalised first")
def minus_kl(log_joint: Tensor, q: Tensor) -> Tensor:
    return -kl_divergence(Categorical(probs=q), Categorical(logits=log_joint))


@unseen("discrete_elbo", "averaged-over-the-batch", "summed-over-the-batch")
def batch_mean(log_joint: Tensor, q: Tensor) -> Tensor:
    return torch.where(q > 0, q * (log_joint - q.log()), 0.0).sum(-1).mean()


@unseen("discrete_elbo", "A small number is added inside the logarithm", "digits-lost")
def eps(log_joint: Tensor, q: Tensor) -> Tensor:
    return (q * (log_joint - torch.log(q + 1e-10))).sum(-1)


@unseen(
    "discrete_elbo",
    "infinity-made-finite",
    "Impossible states are left out although q visits them",
)
def finite_states(log_joint: Tensor, q: Tensor) -> Tensor:
    seen = torch.isfinite(log_joint) & (q > 0)
    return torch.where(seen, q * (log_joint - q.log()), 0.0).sum(-1)


# --- discrete_posterior ---------------------------------------------------------------


@unseen(
    "discrete_posterior", "wrong-axis", "Normalised over the batch, not over the states"
)
def softmax_over_rows(log_joint: Tensor) -> Tensor:
    return log_joint.softmax(0)


@unseen("discrete_posterior", "The exponentials overflow or vanish", "overflow")
def exp_over_sum(log_joint: Tensor) -> Tensor:
    return torch.exp(log_joint) / torch.exp(log_joint).sum(-1, keepdim=True)


@unseen("discrete_posterior", "log-too-many", "The logarithm of the posterior")
def log_posterior(log_joint: Tensor) -> Tensor:
    return log_joint - torch.logsumexp(log_joint, -1, keepdim=True)


@unseen("discrete_posterior", "The logarithms are divided by their sum")
def logs_over_their_sum(log_joint: Tensor) -> Tensor:
    return log_joint / log_joint.sum(-1, keepdim=True)


@unseen("discrete_posterior", "Divided by the logarithm of the evidence")
def over_the_log_evidence(log_joint: Tensor) -> Tensor:
    return torch.exp(log_joint) / torch.logsumexp(log_joint, -1, keepdim=True)


@unseen("discrete_posterior", "shapes-do-not-meet", "written-for-a-batch")
def no_keepdim(log_joint: Tensor) -> Tensor:
    return torch.exp(log_joint - torch.logsumexp(log_joint, -1))


@unseen(
    "discrete_posterior",
    "-1000 stands in for minus infinity",
    "extremes-wrong",
    "weight-0-counts",
)
def minus_a_thousand_instead(log_joint: Tensor) -> Tensor:
    return torch.softmax(log_joint.clamp(min=-1e3), -1)


@unseen("discrete_posterior", "sign-of-logs", "negated-log_joint")
def softmin(log_joint: Tensor) -> Tensor:
    return F.softmin(log_joint, dim=-1)


@unseen("discrete_posterior", "All on the most probable state")
def map_state(log_joint: Tensor) -> Tensor:
    best = log_joint.argmax(-1)
    return F.one_hot(best, log_joint.shape[-1]).to(log_joint.dtype)


@unseen("discrete_posterior", "argument-detached")
def detached(log_joint: Tensor) -> Tensor:
    return torch.softmax(log_joint.detach(), -1)


@unseen("discrete_posterior", "Summed over the states")
def summed_posterior(log_joint: Tensor) -> Tensor:
    return torch.softmax(log_joint, -1).sum(-1)


@unseen(
    "discrete_posterior", "A small number is added below the fraction", "digits-lost"
)
def eps_below(log_joint: Tensor) -> Tensor:
    joint = torch.exp(log_joint - log_joint.amax(-1, keepdim=True))
    return joint / (joint.sum(-1, keepdim=True) + 1e-6)


# --- discrete_kl ----------------------------------------------------------------------


@unseen("discrete_kl", "exchanged-q-p", "The KL in the other direction")
def torch_order(q: Tensor, p: Tensor) -> Tensor:
    q, p = torch.broadcast_tensors(q, p)
    return F.kl_div(q.log(), p, reduction="none").sum(-1)


@unseen("discrete_kl", "The logarithms of probabilities are exponentials already")
def kl_div_of_probabilities(q: Tensor, p: Tensor) -> Tensor:
    q, p = torch.broadcast_tensors(q, p)
    return F.kl_div(p, q, reduction="none").sum(-1)


@unseen("discrete_kl", "0 log 0 comes out as NaN", "zero-times-infinity")
def kl_as_it_stands(q: Tensor, p: Tensor) -> Tensor:
    return torch.sum(q * torch.log(q / p), dim=-1)


@unseen("discrete_kl", "infinity-made-finite", "nan_to_num with what it does by itself")
def kl_nan_to_num(q: Tensor, p: Tensor) -> Tensor:
    return torch.nan_to_num(q * (q.log() - p.log())).sum(-1)


@unseen(
    "discrete_kl",
    "infinity-made-finite",
    "A small number is added inside the logarithms",
)
def clamped_p(q: Tensor, p: Tensor) -> Tensor:
    return (torch.xlogy(q, q) - q * p.clamp(min=1e-12).log()).sum(-1)


@unseen("discrete_kl", "turned-sign", "The KL with the wrong sign")
def p_over_q(q: Tensor, p: Tensor) -> Tensor:
    return torch.where(q > 0, q * torch.log(p / q), 0.0).sum(-1)


@unseen("discrete_kl", "The cross-entropy")
def cross_entropy(q: Tensor, p: Tensor) -> Tensor:
    return -torch.where(q > 0, q * p.log(), 0.0).sum(-1)


@unseen("discrete_kl", "The negative entropy of q")
def minus_entropy(q: Tensor, p: Tensor) -> Tensor:
    return torch.xlogy(q, q).sum(-1) + 0 * p.sum(-1)


@unseen("discrete_kl", "wrong-axis")
def kl_over_rows(q: Tensor, p: Tensor) -> Tensor:
    return torch.where(q > 0, q * (q.log() - p.log()), 0.0).sum(0)


@unseen("discrete_kl", "averaged-over-the-batch")
def batchmean(q: Tensor, p: Tensor) -> Tensor:
    q, p = torch.broadcast_tensors(q, p)
    return F.kl_div(p.log(), q, reduction="batchmean")


@unseen("discrete_kl", "mean-for-sum", "A mean over the states")
def kl_mean(q: Tensor, p: Tensor) -> Tensor:
    return torch.where(q > 0, q * (q.log() - p.log()), 0.0).mean(-1)


@unseen("discrete_kl", "The Jensen-Shannon divergence")
def jensen_shannon(q: Tensor, p: Tensor) -> Tensor:
    m = (q + p) / 2
    one = torch.where(q > 0, q * (q / m).log(), 0.0).sum(-1)
    two = torch.where(p > 0, p * (p / m).log(), 0.0).sum(-1)
    return (one + two) / 2


@unseen("discrete_kl", "Probabilities are taken for logits")
def as_logits(q: Tensor, p: Tensor) -> Tensor:
    return kl_divergence(Categorical(logits=q), Categorical(logits=p))


# --- elbo_gap -------------------------------------------------------------------------


@unseen("elbo_gap", "The joint in place of the posterior")
def gap_to_the_joint(log_joint: Tensor, q: Tensor) -> Tensor:
    return torch.where(q > 0, q * (q.log() - log_joint), 0.0).sum(-1)


@unseen("elbo_gap", "The posterior's probabilities underflow", "overflow")
def by_probabilities(log_joint: Tensor, q: Tensor) -> Tensor:
    posterior = torch.softmax(log_joint, -1)
    return torch.where(q > 0, q * (q / posterior).log(), 0.0).sum(-1)


@unseen("elbo_gap", "0 times log 0 comes out as NaN", "zero-times-infinity")
def gap_as_it_stands(log_joint: Tensor, q: Tensor) -> Tensor:
    evidence = torch.logsumexp(log_joint, -1)
    return evidence - (q * (log_joint - q.log())).sum(-1)


@unseen("elbo_gap", "infinity-made-finite", "nan_to_num with what it does by itself")
def gap_nan_to_num(log_joint: Tensor, q: Tensor) -> Tensor:
    return torch.nan_to_num(q * (q.log() - F.log_softmax(log_joint, -1))).sum(-1)


@unseen("elbo_gap", "turned-sign", "The gap with the wrong sign")
def bound_minus_evidence(log_joint: Tensor, q: Tensor) -> Tensor:
    bound = torch.where(q > 0, q * (log_joint - q.log()), 0.0).sum(-1)
    return bound - torch.logsumexp(log_joint, -1)


@unseen("elbo_gap", "wrong-axis")
def gap_over_rows(log_joint: Tensor, q: Tensor) -> Tensor:
    terms = q * (q.log() - F.log_softmax(log_joint, 0))
    return torch.where(q > 0, terms, 0.0).sum(0)


@unseen("elbo_gap", "The bound itself")
def the_bound(log_joint: Tensor, q: Tensor) -> Tensor:
    return torch.where(q > 0, q * (log_joint - q.log()), 0.0).sum(-1)


@unseen("elbo_gap", "The evidence itself", "ignores-q")
def the_evidence(log_joint: Tensor, q: Tensor) -> Tensor:
    return torch.logsumexp(log_joint, -1) + 0 * q.sum(-1)


@unseen("elbo_gap", "The KL in the other direction")
def reverse(log_joint: Tensor, q: Tensor) -> Tensor:
    return kl_divergence(Categorical(logits=log_joint), Categorical(probs=q))


@unseen(
    "elbo_gap",
    "infinity-made-finite",
    "-1000 stands in for minus infinity",
    "weight-0-counts",
    "extremes-wrong",
)
def gap_minus_a_thousand(log_joint: Tensor, q: Tensor) -> Tensor:
    log_p = F.log_softmax(log_joint.clamp(min=-1e3), -1)
    return torch.where(q > 0, q * (q.log() - log_p), 0.0).sum(-1)


@unseen("elbo_gap", "q is taken for logits")
def q_as_logits(log_joint: Tensor, q: Tensor) -> Tensor:
    return kl_divergence(Categorical(logits=q), Categorical(logits=log_joint))


# --- elbo_terms -----------------------------------------------------------------------


@unseen("elbo_terms", "Logarithms are left by exp, and taken again", "overflow")
def by_exp_and_back(
    log_likelihood: Tensor, log_prior: Tensor, q: Tensor
) -> tuple[Tensor, Tensor]:
    likelihood, prior = log_likelihood.exp(), log_prior.exp()
    first = torch.where(q > 0, q * likelihood.log(), 0.0).sum(-1)
    return first, torch.where(q > 0, q * (q / prior).log(), 0.0).sum(-1)


@unseen("elbo_terms", "Logarithms are left by exp, and taken again", "overflow")
def all_xlogy(
    log_likelihood: Tensor, log_prior: Tensor, q: Tensor
) -> tuple[Tensor, Tensor]:
    first = torch.xlogy(q, log_likelihood.exp()).sum(-1)
    second = torch.xlogy(q, q) - torch.xlogy(q, log_prior.exp())
    return first, second.sum(-1)


@unseen("elbo_terms", "order", "The two terms in the other order")
def kl_first(
    log_likelihood: Tensor, log_prior: Tensor, q: Tensor
) -> tuple[Tensor, Tensor]:
    first = torch.where(q > 0, q * log_likelihood, 0.0).sum(-1)
    second = torch.where(q > 0, q * (q.log() - log_prior), 0.0).sum(-1)
    return second, first


@unseen("elbo_terms", "turned-sign", "Minus the KL, as it stands in the bound")
def kl_negative(
    log_likelihood: Tensor, log_prior: Tensor, q: Tensor
) -> tuple[Tensor, Tensor]:
    first = torch.where(q > 0, q * log_likelihood, 0.0).sum(-1)
    return first, torch.where(q > 0, q * (log_prior - q.log()), 0.0).sum(-1)


@unseen("elbo_terms", "part-missing")
def the_difference(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> Tensor:
    first = torch.where(q > 0, q * log_likelihood, 0.0).sum(-1)
    return first - torch.where(q > 0, q * (q.log() - log_prior), 0.0).sum(-1)


@unseen("elbo_terms", "zero-times-infinity", "0 times infinity comes out as NaN")
def terms_as_they_stand(
    log_likelihood: Tensor, log_prior: Tensor, q: Tensor
) -> tuple[Tensor, Tensor]:
    kl = torch.einsum("...k,...k->...", q, q.log() - log_prior)
    return torch.einsum("...k,...k->...", q, log_likelihood), kl


@unseen("elbo_terms", "infinity-made-finite", "nan_to_num with what it does by itself")
def terms_nan_to_num(
    log_likelihood: Tensor, log_prior: Tensor, q: Tensor
) -> tuple[Tensor, Tensor]:
    first = torch.nan_to_num(q * log_likelihood).sum(-1)
    return first, torch.nan_to_num(q * (q.log() - log_prior)).sum(-1)


@unseen("elbo_terms", "The likelihood is averaged, not its logarithm")
def likelihood_not_log(
    log_likelihood: Tensor, log_prior: Tensor, q: Tensor
) -> tuple[Tensor, Tensor]:
    first = (q * log_likelihood.exp()).sum(-1)
    return first, torch.where(q > 0, q * (q.log() - log_prior), 0.0).sum(-1)


@unseen("elbo_terms", "The likelihood is not weighted")
def unweighted_likelihood(
    log_likelihood: Tensor, log_prior: Tensor, q: Tensor
) -> tuple[Tensor, Tensor]:
    second = torch.where(q > 0, q * (q.log() - log_prior), 0.0).sum(-1)
    return log_likelihood.sum(-1), second


@unseen("elbo_terms", "The sums run over the batch", "wrong-axis")
def terms_over_rows(
    log_likelihood: Tensor, log_prior: Tensor, q: Tensor
) -> tuple[Tensor, Tensor]:
    first = torch.where(q > 0, q * log_likelihood, 0.0).sum(0)
    return first, torch.where(q > 0, q * (q.log() - log_prior), 0.0).sum(0)


@unseen("elbo_terms", "list-for-tuple")
def a_list(log_likelihood: Tensor, log_prior: Tensor, q: Tensor) -> list[Tensor]:
    first = torch.where(q > 0, q * log_likelihood, 0.0).sum(-1)
    return [first, torch.where(q > 0, q * (q.log() - log_prior), 0.0).sum(-1)]


@unseen("elbo_terms", "The log of the average likelihood")
def log_of_the_average(
    log_likelihood: Tensor, log_prior: Tensor, q: Tensor
) -> tuple[Tensor, Tensor]:
    first = torch.logsumexp(log_likelihood + q.log(), -1)
    return first, torch.where(q > 0, q * (q.log() - log_prior), 0.0).sum(-1)


@unseen("elbo_terms", "argument-detached")
def prior_detached(
    log_likelihood: Tensor, log_prior: Tensor, q: Tensor
) -> tuple[Tensor, Tensor]:
    first = torch.where(q > 0, q * log_likelihood, 0.0).sum(-1)
    second = torch.where(q > 0, q * (q.log() - log_prior.detach()), 0.0).sum(-1)
    return first, second
