"""Lesson 03: the stubs of its exercises, built from the instructor's source.

Your own answers, in work/, take their places when this is imported.
"""

import torch
from torch import Tensor
from vae_edu.catalogue import declare
from vae_edu.work import resolve

@declare(
    "3.1",
    points=2,
    minutes=6,
    difficulty="one stable sum",
    needed_for="the number that every bound is held against (lesson 09)",
)
def discrete_log_evidence(log_joint: Tensor) -> Tensor:
    r"""The log-evidence of a model with finitely many latent states, in nats.

    $$\log p(x) = \log \sum_z e^{\log p(x, z)}$$

    Finite wherever the true value is, for log-values of ±1e4 too. A state whose
    log p(x, z) is -inf is impossible and adds nothing; where all are, so is x: -inf.

    log_joint: (batch, states), any leading dimensions  ->  (batch,)
    """
    raise NotImplementedError("Exercise 3.1: fill it in in notebooks/03_elbo")



@declare(
    "3.2",
    points=3,
    minutes=10,
    difficulty="two averages and a logarithm; mind the weights of 0",
    needed_for="the first derivation of the ELBO, 3.3",
)
def jensen_gap(values: Tensor, probs: Tensor) -> Tensor:
    r"""How far Jensen's inequality is from equality for the logarithm, in nats.

    $$\log \sum_k p_k v_k - \sum_k p_k \log v_k$$

    A term with p_k = 0 counts 0 in both sums, where v_k is 0 or inf too. Where v_k = 0
    and p_k > 0 the gap is +inf.

    values: (..., states), positive; probs: (..., states), sums to 1 over the last
    dimension; leading dimensions broadcast  ->  (...)
    """
    raise NotImplementedError("Exercise 3.2: fill it in in notebooks/03_elbo")



@declare(
    "3.3",
    points=3,
    minutes=10,
    difficulty="one average; mind the weights of 0",
    needed_for="the objective of every VAE in this course (lesson 07)",
)
def discrete_elbo(log_joint: Tensor, q: Tensor) -> Tensor:
    r"""The evidence lower bound of a model with finitely many latent states, in nats.

    $$\sum_z q(z) \, [\log p(x, z) - \log q(z)]$$   Kingma & Welling 2014, Eq. 2.

    A state with q = 0 counts 0, where log_joint = -inf too; q > 0 where log_joint is
    -inf gives -inf. Right for log-values of ±1e4.

    log_joint, q: (batch, states), leading dimensions broadcast  ->  (batch,)
    """
    raise NotImplementedError("Exercise 3.3: fill it in in notebooks/03_elbo")



@declare(
    "3.4",
    points=2,
    minutes=6,
    difficulty="Bayes' rule, in logarithms until the last step",
    needed_for="the second derivation, 3.6",
)
def discrete_posterior(log_joint: Tensor) -> Tensor:
    r"""The posterior p(z|x) of a model with finitely many latent states.

    $$p(z|x) = \frac{p(x, z)}{\sum_{z'} p(x, z')}$$

    Right for log-values of ±1e4; an impossible state (-inf) gets 0. At least one state
    of each row is possible: an impossible x has no posterior.

    log_joint: (batch, states), any leading dimensions  ->  probabilities of its shape
    """
    raise NotImplementedError("Exercise 3.4: fill it in in notebooks/03_elbo")



@declare(
    "3.5",
    points=3,
    minutes=10,
    difficulty="a sum with two kinds of zero",
    needed_for="the gap in 3.6, and lesson 04",
)
def discrete_kl(q: Tensor, p: Tensor) -> Tensor:
    r"""KL(q ‖ p) of two distributions over finitely many states, in nats.

    $$\sum_k q_k \log \frac{q_k}{p_k}, \qquad 0 \log 0 = 0$$

    A state with q = 0 counts 0, where p = 0 too. Where p = 0 < q the result is +inf.

    q, p: (batch, states) probabilities, leading dimensions broadcast  ->  (batch,)
    """
    raise NotImplementedError("Exercise 3.5: fill it in in notebooks/03_elbo")



@declare(
    "3.6",
    points=3,
    minutes=10,
    difficulty="3.5 again, without leaving the logarithms",
    needed_for="judging how good a bound is (lesson 09)",
)
def elbo_gap(log_joint: Tensor, q: Tensor) -> Tensor:
    r"""What the ELBO leaves out: KL(q ‖ p(z|x)) in nats.

    $$\sum_z q(z) \, [\log q(z) - \log p(z|x)]$$   Kingma & Welling 2014, Eq. 1.

    Right for log-values of ±1e4, where p(z|x) underflows to 0 and its log does not.
    A state with q = 0 counts 0, where log_joint = -inf too; q > 0 where log_joint is
    -inf gives +inf. At least one state of each row is possible.

    log_joint, q: (batch, states), leading dimensions broadcast  ->  (batch,)
    """
    raise NotImplementedError("Exercise 3.6: fill it in in notebooks/03_elbo")



@declare(
    "3.7",
    points=3,
    minutes=10,
    difficulty="two sums from 3.3, sorted differently",
    needed_for="the loss in lesson 07, which has these two terms",
)
def elbo_terms(
    log_likelihood: Tensor, log_prior: Tensor, q: Tensor
) -> tuple[Tensor, Tensor]:
    r"""The two terms of the ELBO, in nats: ELBO = reconstruction - kl.

    $$\sum_z q(z) \log p(x|z) \quad\text{and}\quad \sum_z q(z) \log \frac{q(z)}{p(z)}$$
    Kingma & Welling 2014, Eq. 3.

    A state with q = 0 counts 0 in both, where log_likelihood or log_prior is -inf too.
    kl is +inf where q > 0 and log_prior = -inf. Right for log-values of ±1e4.

    log_likelihood, q: (batch, states); log_prior: (batch, states) or (states,), logs of
    probabilities  ->  the tuple (reconstruction (batch,), kl (batch,))
    """
    raise NotImplementedError("Exercise 3.7: fill it in in notebooks/03_elbo")


resolve(globals())
