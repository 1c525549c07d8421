# %% [markdown]
# # 03 · The evidence lower bound
#
# **About 80 minutes.** Everything runs in seconds on a laptop's CPU.
#
# After this lesson you will be able to
#
# - derive the ELBO in two ways, and say for each line what it assumes;
# - name what lies between the ELBO and $\log p(x)$, and compute it;
# - write each line so that weights of 0 and log-values of ±1e4 come out right;
# - say what it costs when $q$ may only be of a simple kind, as in every VAE.
#
# **You need** lesson 02 ($p(x) = \int p(x|z)\,p(z)\,dz$), the log-sum-exp of lesson 00, and the
# derivative of the logarithm.
#
# ## Why
#
# To fit a model with a latent variable we want to raise $\log p(x)$. Lesson 02 showed the trouble: the
# integral over $z$ has no closed form once a network is inside, naive Monte Carlo misses the few $z$ that
# matter, and importance sampling needs a $q(z)$ that already knows where they are. The ELBO turns this
# round. It is a number that we *can* estimate, never above $\log p(x)$, and raising it improves $q$ and
# the model at the same time.
#
# Here $z$ takes finitely many values. Then $\log p(x)$ and the posterior can be computed by listing the
# states, and no line of the derivation has to be believed: each one is compared with the truth.
#
# ## 1. A model that can be enumerated
#
# A smoke alarm in a kitchen: $x = 1$ when it rings. Two things may set it off, burnt toast $a$ and steam
# $b$, each present or not. The latent variable is the pair, $z = (a, b)$, with four states.
#
# - Prior: toast burns with probability 0.10, there is steam with 0.15, independently.
# - Likelihood: the alarm stays silent with probability $0.999 \cdot 0.05^{a} \cdot 0.10^{b}$: a false
#   alarm is rare, toast is noticed 95 times in 100, steam 90 times.
#
# The *joint* multiplies the two, $p(x, z) = p(x|z)\,p(z)$. Below it is a tensor `(batch, states)`: one row
# for the silent alarm, one for the ringing one.
#
# **Predict.** The alarm rings. Which of the four states is the most probable, and is "neither" out of the
# question?
#
# <details><summary>Answer</summary>
#
# Steam alone: it is the more frequent cause, and the alarm notices it well. Toast alone follows. Both at
# once is rare to begin with, and "neither" would need the one false alarm in a thousand. Not out of the
# question, but nearly.
#
# </details>

# %% tags=["setup"]
import torch
from torch import Tensor
from vae_edu import check, data, exercise, viz
_ = torch.manual_seed(3)

# %%
states = ["neither", "toast", "steam", "both"]
real = {"dtype": torch.float64}  # exact enough to compare each line to 12 digits
prior = torch.tensor([0.90 * 0.85, 0.10 * 0.85, 0.90 * 0.15, 0.10 * 0.15], **real)
silent = 0.999 * torch.tensor([1.0, 0.05, 0.10, 0.05 * 0.10], **real)  # p(x=0|z)
joint = torch.stack([prior * silent, prior * (1 - silent)])  # (x, states)
log_joint = joint.log()
ringing = log_joint[1]

print(f"{'z':>8} {'p(z)':>8} {'p(x=1|z)':>9} {'p(x=1, z)':>10}")
for k, name in enumerate(states):
    print(f"{name:>8} {prior[k]:8.4f} {1 - silent[k]:9.4f} {joint[1, k]:10.5f}")

# %% [markdown]
# ### The evidence, by listing the states
#
# $$\log p(x) = \log \sum_z p(x, z)$$
#
# This is the definition of a marginal; nothing is assumed but that the states can be listed. It is the
# number that all bounds of this lesson are compared with. Real models give log-values far from 0 (an
# image has hundreds of pixels), so it must be computed without leaving the logarithms.
#
# {{card:discrete_log_evidence}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# In lesson 00 you averaged exponentials safely. What differs between a mean and a sum?
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Take the largest value of each row out, so that the largest exponential is 1, and add it back at the end.
# Watch the row in which every value is -inf.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# PyTorch has a function that does all of it: `torch.logsumexp` takes the tensor and the dimension of the
# states, which is the last one.
#
# </details>

# %% tags=["exercise:discrete_log_evidence"]

# %% tags=["check:discrete_log_evidence"]

# %%
evidence = discrete_log_evidence(log_joint)
print(f"yours:     silent {evidence[0]:.4f}   ringing {evidence[1]:.4f} nats")
print("expected:  silent -0.2458   ringing -1.5235 nats")
print(f"p(silent) + p(ringing) = {evidence.exp().sum():.12f}, and must be 1")

# %% [markdown]
# **Predict.** With two causes the sum has four terms. How many has it with 20 causes, with 200? And with a
# continuous $z$?
#
# <details><summary>Answer</summary>
#
# $2^{20} \approx 10^6$, which is fine; $2^{200} \approx 10^{60}$, which is hopeless; and an integral. A VAE
# has the last. From here on we look for something that needs no sum over *all* states, and use the sum
# only to check what we found.
#
# </details>
#
# ## 2. Jensen's inequality
#
# The first derivation needs one fact: the average of a logarithm is at most the logarithm of the average.
#
# **Line 1. The logarithm lies below each of its tangents.** For $t > 0$ and any $m > 0$
#
# $$\log t \;\le\; \log m + \frac{t - m}{m}, \qquad \text{with equality only at } t = m.$$
#
# Why: let $d(t)$ be the right side minus the left. Its derivative $\frac1m - \frac1t$ is negative before
# $t = m$ and positive after it, so $d$ has its minimum at $t = m$, and there $d = 0$.
#
# **Line 2. Average it.** Put $t = v_k$, multiply by the probability $p_k$, and add up. Multiplying by
# $p_k \ge 0$ and adding keep the direction of an inequality; the $p_k$ sum to 1.
#
# $$\sum_k p_k \log v_k \;\le\; \log m + \frac{\sum_k p_k v_k - m}{m}$$
#
# **Line 3. Choose the tangent.** $m$ was free. At $m = \mathbb E[v] = \sum_k p_k v_k$ the last term is 0:
#
# $$\mathbb E[\log v] \;\le\; \log \mathbb E[v]$$
#
# Equality holds only if each $v_k$ with $p_k > 0$ sits at the point of contact: if $v$ does not vary.

# %%
v, weight = torch.tensor([0.4, 1.2, 3.6]), torch.tensor([0.5, 0.3, 0.2])
m, t = (weight * v).sum(), torch.linspace(0.2, 4.2, 200)
figure, panel = viz.axes(size=(6.0, 3.6))
panel.plot(t, t.log(), color=viz.BLUE, label="log t")
panel.plot(t, m.log() + (t - m) / m, color=viz.ORANGE, linestyle="--", label="tangent at E[v]")
panel.plot(v, v.log(), "o", color=viz.BLACK, label="the values v")
panel.plot(m, m.log(), "^", color=viz.GREEN, markersize=9, label="log E[v]")
panel.plot(m, (weight * v.log()).sum(), "v", color=viz.RED, markersize=9, label="E[log v]")
panel.set(xlabel="t (no unit)", ylabel="log t (nats)")
panel.legend(frameon=False)
viz.show(figure, "The logarithm below its tangent at E[v]; E[log v] lies below log E[v].")

# %% [markdown]
# The dashed tangent is above the curve everywhere and touches it once. Averaging heights along the
# *straight* line gives its height at the mean, the upper triangle. Averaging along the *curve* gives the
# lower one. The distance between the triangles is what the inequality gives away:
#
# $$\log \sum_k p_k v_k \;-\; \sum_k p_k \log v_k$$
#
# **Two kinds of zero.** A value that never occurs ($p_k = 0$) must count nothing, even where its logarithm
# is $-\infty$. A value of 0 that does occur makes $\mathbb E[\log v] = -\infty$, and the gap $+\infty$.
# A computer turns the first, $0 \cdot \infty$, into NaN unless you prevent it. These two zeros return in
# every exercise of this lesson.
#
# **Predict** what you will see below your answer. Let $v$ be $1 - s$ or $1 + s$, each with probability ½.
# The mean is 1 whatever $s$ is. How does the gap behave for small $s$, and where does it go as $s \to 1$?
#
# {{card:jensen_gap}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# Write the formula down as it stands, then try `values = [2., 0.]` with `probs = [1., 0.]`. Which of the
# two sums becomes NaN? And with `values = [2., inf]`?
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# `torch.where(condition, a, b)` can put a 0 wherever the probability is 0. For a product of the form
# $p \log v$ there is also `torch.xlogy`.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# The terms of the first sum are `probs * values` where `probs > 0`, and 0 elsewhere: a `torch.where` with
# three arguments.
#
# </details>

# %% tags=["exercise:jensen_gap"]

# %% tags=["check:jensen_gap"]

# %%
s = torch.linspace(0.0, 0.99, 200, **real)
two_values = torch.stack([1 - s, 1 + s], dim=-1)  # (200, 2)
yours = jensen_gap(two_values, torch.tensor([0.5, 0.5], **real))

figure, panel = viz.axes()
viz.beside(panel, s, yours, -0.5 * (1 - s**2).log(), ("spread s (no unit)", "gap (nats)"))
viz.show(figure, "Jensen's gap grows from 0, first like half the variance, then without limit.")

# %% [markdown]
# <details><summary>Answer, and what it shows</summary>
#
# $\log 1 - \tfrac12[\log(1-s) + \log(1+s)] = -\tfrac12 \log(1 - s^2)$. For small $s$ that is about
# $s^2/2$, half the variance; as $s \to 1$ one of the values goes to 0 and the gap to $+\infty$.
#
# Remember it as: *the gap measures how much $v$ varies*. Where $v$ is nearly constant, little is lost.
#
# </details>
#
# ## 3. First derivation: Jensen
#
# Let $q(z)$ be any distribution over the states: our guess at what $z$ was.
#
# $$
# \begin{aligned}
# \log p(x) &= \log \sum_z p(x, z) && \text{(1)}\\
# &= \log \sum_z q(z)\, \frac{p(x, z)}{q(z)} && \text{(2)}\\
# &= \log \mathbb E_q[w(z)], \qquad w(z) = \frac{p(x, z)}{q(z)} && \text{(3)}\\
# &\ge \mathbb E_q[\log w(z)] && \text{(4)}\\
# &= \sum_z q(z)\,[\log p(x, z) - \log q(z)] \;=\; \mathrm{ELBO}(x; q) && \text{(5)}
# \end{aligned}
# $$
#
# 1. The definition of a marginal.
# 2. Each term is multiplied and divided by $q(z)$. That is allowed where $q(z) > 0$, so for this line we
#    assume $q > 0$ wherever $p(x, z) > 0$. (What if not? A question below.)
# 3. The definition of an expectation: a sum with the weights $q$.
# 4. Jensen's inequality with values $w(z)$ and probabilities $q(z)$. **The only line that gives something
#    away**, and section 2 says how much: the Jensen gap of $w$ under $q$.
# 5. The logarithm of a ratio is a difference.
#
# Line 5 of this section is Kingma & Welling 2014, Eq. 2. It is an average under $q$, so samples from $q$ estimate it without
# bias. Line 3 has the logarithm outside, and there samples do not: that is the practical gain.
#
# **Predict.** The alarm rings, and the guess is $q = (0.1, 0.4, 0.4, 0.1)$. Which of the five lines have
# the same value? The cell below your answer computes them.
#
# {{card:discrete_elbo}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# It is one weighted sum. Which factor is $-\infty$ when $q(z) = 0$, and which when the state is impossible?
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Form the terms, put 0 where $q = 0$, and sum over the last dimension. Where $q > 0$ meets an impossible
# state, leave the $-\infty$ alone: it is right.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `negative_entropy_terms = torch.xlogy(q, q)` is safe. Subtract it from `q * log_joint`, and then comes the
# `torch.where`.
#
# </details>

# %% tags=["exercise:discrete_elbo"]

# %% tags=["check:discrete_elbo"]

# %%
q = torch.tensor([0.1, 0.4, 0.4, 0.1], **real)
line_1, line_5 = discrete_log_evidence(ringing), discrete_elbo(ringing, q)
w = ringing.exp() / q
print("w(z) =", [f"{value:.4f}" for value in w.tolist()])
print(f"line 1  log of the sum     {line_1:.4f}")
print(f"line 3  log E_q[w]         {(q * w).sum().log():.4f}")
print(f"line 4  E_q[log w]         {(q * w.log()).sum():.4f}")
print(f"line 5  your ELBO          {line_5:.4f}   expected -1.7941")
print(f"Jensen gap of w            {jensen_gap(w, q):.4f}   line 3 - line 4")

# %% [markdown]
# Lines 1 to 3 agree, lines 4 and 5 agree, and between them lies the Jensen gap of $w$, 0.27 nats. The ratio
# $w$ varies: that of "neither" is 40 times smaller than that of "steam".
#
# **Predict.** Now let $q$ put everything on one state $k$, which breaks the assumption of line 2 above. What is
# the ELBO? Is it still a lower bound?
#
# <details><summary>Answer</summary>
#
# Only the term of state $k$ is left, with $\log q = 0$: the ELBO is $\log p(x, z = k)$. It is still a lower
# bound. Where $q$ is 0, line 2 leaves terms $p(x, z) \ge 0$ out, so its "=" becomes "$\ge$" in the
# direction we need. A $q$ that is too narrow costs tightness and never the bound.
#
# </details>

# %%
guesses = {f"only {name}": torch.eye(4, **real)[k] for k, name in enumerate(states)}
guesses |= {"uniform": torch.full((4,), 0.25, **real), "the prior": prior}
bounds = {name: float(discrete_elbo(ringing, guess)) for name, guess in guesses.items()}

figure, panel = viz.axes(size=(6.4, 3.2))
panel.plot(list(bounds.values()), list(bounds), "o", color=viz.RED)
panel.axvline(float(ringing.logsumexp(-1)), color=viz.BLUE, label="log p(x)")
panel.set(xlabel="ELBO (nats)", ylabel="q", xlim=(-7.6, -1.2))
panel.legend(frameon=False, loc="center left")
print(", ".join(f"{name}: {bound:.2f}" for name, bound in bounds.items()))
viz.show(figure, "The ELBO of six guesses q, each to the left of log p(x).")

# %% [markdown]
# Six guesses, six bounds, none above $\log p(x) = -1.52$. The prior is a poor guess here (-5.30): it
# spends 0.765 of its weight on "neither", which hardly ever makes the alarm ring. The single best state
# (-2.11) beats it.
#
# Which $q$ is the best? Line 4 of section 3 is an equality when $w(z) = p(x, z)/q(z)$ is the same for all $z$, that is
# when $q(z) \propto p(x, z)$. Only one distribution is proportional to the joint: the posterior.
#
# ## 4. Second derivation: the KL gap
#
# Jensen told us *that* something is lost. A second derivation, without any inequality, tells us *what*. It
# needs two ingredients.
#
# ### The posterior
#
# $$p(z|x) = \frac{p(x, z)}{p(x)} = \exp\big(\log p(x, z) - \log p(x)\big)$$
#
# Bayes' rule; it assumes $p(x) > 0$.
#
# {{card:discrete_posterior}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# Dividing $e^{-10000}$ by $e^{-10000}$ gives NaN. What is the same division in logarithms?
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Subtract the log-evidence from each state's log-joint, and take the exponential last. Machine learning has
# a name for the whole function, and PyTorch has it.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `log_evidence = torch.logsumexp(...)` with `keepdim=True`, so that it can be subtracted from each row.
#
# </details>

# %% tags=["exercise:discrete_posterior"]

# %% tags=["check:discrete_posterior"]

# %%
posterior = discrete_posterior(log_joint)
print(f"{'z':>8} {'prior':>7} {'silent':>7} {'ringing':>8}")
for k, name in enumerate(states):
    print(f"{name:>8} {prior[k]:7.4f} {posterior[0, k]:7.4f} {posterior[1, k]:8.4f}")
print("expected when it rings: 0.0035 0.3705 0.5575 0.0685")
p_steam = posterior[1, 2] + posterior[1, 3]
p_both = joint[1, 3] / joint[1, [1, 3]].sum()
print(f"p(steam | rings) = {p_steam:.3f}; if toast burnt, {p_both:.3f}")

# %% [markdown]
# The last line is worth a pause. Toast and steam were independent in the prior. Once the alarm rings they
# are not: knowing about the toast makes steam much less needed as an explanation (0.626 falls to 0.156).
# Causes that compete to explain one $x$ are correlated in the posterior. Section 6 comes back to it.
#
# ### The KL divergence
#
# $$\mathrm{KL}(q \,\|\, p) = \sum_k q_k \log \frac{q_k}{p_k}$$
#
# It measures how far $q$ is from $p$, in nats, seen from $q$. **It is never negative**, by Jensen's
# inequality with the values $p_k/q_k$ and the probabilities $q_k$:
#
# $$-\mathrm{KL}(q\,\|\,p) = \sum_{q_k > 0} q_k \log \frac{p_k}{q_k} \;\le\;
#   \log \sum_{q_k > 0} q_k\, \frac{p_k}{q_k} = \log \sum_{q_k > 0} p_k \;\le\; \log 1 = 0$$
#
# Both steps are equalities only if $p_k/q_k$ does not vary and $p$ has no weight outside: only if $q = p$.
#
# **Predict.** Let $p = (0.2, 0.8)$ and $q = (t, 1 - t)$. Sketch $\mathrm{KL}(q\,\|\,p)$ and
# $\mathrm{KL}(p\,\|\,q)$ over $t$. Where do they meet, and which of them is infinite at an end?
#
# {{card:discrete_kl}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# List the four cases: $q$ zero or not, $p$ zero or not. What is the term in each of them?
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Where $q = 0$ the term is 0, whatever $p$ is. Where $q > 0 = p$ the formula gives $+\infty$ by itself:
# let it. Adding a small number inside the logarithm would spoil all four cases.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `torch.xlogy(q, q)` is the first half of each term, with $0 \log 0 = 0$. The second half is protected
# in the same way.
#
# </details>

# %% tags=["exercise:discrete_kl"]

# %% tags=["check:discrete_kl"]

# %%
chance = torch.linspace(0.0, 1.0, 201, **real)
q_t, p = torch.stack([chance, 1 - chance], dim=-1), torch.tensor([0.2, 0.8], **real)
forward, backward = discrete_kl(q_t, p), discrete_kl(p, q_t)

figure, panel = viz.axes()
panel.plot(chance, forward, color=viz.BLUE, label="KL(q ‖ p)")
panel.plot(chance, backward, color=viz.RED, linestyle="--", label="KL(p ‖ q)")
panel.plot(chance, (chance - 0.2) ** 2 / 0.32, "k:", label="(t - 0.2)² / 0.32")
panel.set(xlabel="t (a probability)", ylabel="divergence (nats)", ylim=(-0.05, 2))
panel.legend(frameon=False)
print(f"at t = 0: {forward[0]:.4f} and {backward[0]};  at t = 0.2: {abs(forward[40]):.4f}")
viz.show(figure, "Two divergences that touch 0 at t = 0.2; KL(p ‖ q) goes to infinity at the ends.")

# %% [markdown]
# <details><summary>Answer, and what it shows</summary>
#
# Both are 0 at $t = 0.2$ and nowhere else, and near it both follow the same parabola. At $t = 0$ the first is
# $\log(1/0.8) = 0.2231$: $q$ ignores a state that $p$ uses, which is forgiven. The second is $+\infty$:
# there the *first* argument uses a state that the second excludes. The ELBO will have $q$ in the first
# place, so it forgives a $q$ that is too narrow and punishes one that is too wide.
#
# </details>
#
# ### The derivation
#
# $$
# \begin{aligned}
# \log p(x) &= \sum_z q(z) \log p(x) && \text{(1)}\\
# &= \sum_z q(z) \log \frac{p(x, z)}{p(z|x)} && \text{(2)}\\
# &= \sum_z q(z) \log \left[\frac{p(x, z)}{q(z)} \cdot \frac{q(z)}{p(z|x)}\right] && \text{(3)}\\
# &= \underbrace{\sum_z q(z) \log \frac{p(x, z)}{q(z)}}_{\mathrm{ELBO}(x;\, q)}
#  + \underbrace{\sum_z q(z) \log \frac{q(z)}{p(z|x)}}_{\mathrm{KL}(q \,\|\, p(z|x))} && \text{(4)}
# \end{aligned}
# $$
#
# 1. $\log p(x)$ does not depend on $z$, and the weights $q$ sum to 1.
# 2. The product rule $p(x, z) = p(z|x)\,p(x)$, solved for $p(x)$. It assumes $p(z|x) > 0$ where $q(z) > 0$.
# 3. Multiplied and divided by $q(z)$, which is positive in every term that counts.
# 4. The logarithm of a product is a sum, and the sum over $z$ is split.
#
# No line gives anything away: $\log p(x) = \mathrm{ELBO} + \mathrm{KL}(q\,\|\,p(z|x))$ exactly (Kingma &
# Welling 2014, Eq. 1). And since the KL is never negative, the ELBO is a lower bound, again.
#
# The gap deserves a function of its own, for a reason that lies in the computer and not in the formula: with
# real log-values the posterior's *probabilities* underflow to 0. Try `discrete_kl(q, discrete_posterior(...))`
# on log-values 1000 nats apart, and it says $+\infty$ where the truth is finite.
#
# The cell below your answer tries three statements on a thousand random $q$: the exact decomposition; that
# Jensen's gap of $w$ *is* the KL to the posterior, so that both derivations lose the same thing; and that
# at the posterior nothing is left. Rounding in float64 leaves errors of about $10^{-15}$. (Write the sum: if
# you return $\log p(x)$ less the ELBO, the first statement checks a subtraction and nothing more.)
#
# {{card:elbo_gap}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# $\log p(z|x)$ is a fine number where $p(z|x)$ is too small for the computer. Do you need the latter at all?
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# It is your KL with $\log p(z|x)$ in the place of `p.log()`, and $\log p(z|x)$ is a log-joint minus a
# log-evidence.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `log_posterior = ...`, by `torch.log_softmax` over the states.
#
# </details>

# %% tags=["exercise:elbo_gap"]

# %% tags=["check:elbo_gap"]

# %%
many = torch.rand(1000, 1, 4, **real)
many = many / many.sum(-1, keepdim=True)  # (guesses, 1, states), against (x, states)
bound, gap = discrete_elbo(log_joint, many), elbo_gap(log_joint, many)
errors = {
    "log p(x) = ELBO + KL": discrete_log_evidence(log_joint) - bound - gap,
    "Jensen's gap of w = KL": jensen_gap(log_joint.exp() / many, many) - gap,
    "gap 0 at the posterior": elbo_gap(log_joint, discrete_posterior(log_joint)),
}
for statement, error in errors.items():
    print(f"{statement:>24}: within 1e-12 {bool(error.abs().max() < 1e-12)}")
print(f"the smallest of {gap.numel()} gaps: {gap.min():.3f} nats, never below 0")

# %% [markdown]
# | | what it uses | what it gives |
# | --- | --- | --- |
# | Jensen | concavity of log | a bound, and that it is tight when $w$ does not vary |
# | KL | Bayes' rule, no inequality | the size of the gap: the KL from $q$ to the posterior |
#
# ## 5. Raise the bound
#
# $\log p(x)$ does not depend on $q$. So when we change $q$ to raise the ELBO, the KL must fall by the same
# amount: **making the bound tight and finding the posterior are one problem**, and we can work on it
# without knowing the posterior.
#
# Let $q = \mathrm{softmax}(\eta)$. By the chain rule, with $\partial q_j / \partial \eta_k =
# q_j(\delta_{jk} - q_k)$ ($\delta_{jk}$ is 1 for $j = k$, else 0) and $\partial\,\mathrm{ELBO} / \partial q_j = \log w_j - 1$,
#
# $$\frac{\partial\, \mathrm{ELBO}}{\partial \eta_k} = q_k\,\big(\log w_k - \mathrm{ELBO}\big),$$
#
# where the $-1$ has cancelled since the columns of the softmax's derivative sum to 0. States whose ratio is
# better than average gain weight.
#
# **Predict.** Start from the uniform $q$ and take 60 steps of size 1. Where does the bound end, and what
# is $q$ then?

# %%
eta, history = torch.zeros(4, **real), []
for _ in range(61):
    q = eta.softmax(-1)
    history.append(float(discrete_elbo(ringing, q)))
    eta = eta + q * (ringing - q.log() - history[-1])
figure, panel = viz.axes(size=(6.0, 3.2))
panel.plot(history, color=viz.RED, marker="o", markevery=5, label="ELBO")
panel.axhline(float(ringing.logsumexp(-1)), color=viz.BLUE, ls="--", label="log p(x)")
panel.set(xlabel="step of gradient ascent", ylabel="ELBO (nats)")
panel.legend(frameon=False)
print(f"ELBO {history[-1]:.4f}, q =", [round(value, 3) for value in q.tolist()])
viz.show(figure, "The ELBO rises over 60 steps and approaches log p(x) from below.")

# %% [markdown]
# The bound climbs towards $\log p(x) = -1.5235$ and stays below it, 0.002 nats short; $q$ is close to the
# posterior (0.004, 0.370, 0.558, 0.068), which the loop never saw. What is left is "neither": the gradient has the
# factor $q_k$, so a state that has little weight loses it slowly.
#
# <details><summary>A box for those who know EM (optional)</summary>
#
# Let the model have parameters $\theta$. Then $\log p_\theta(x) = \mathrm{ELBO}(\theta, q) +
# \mathrm{KL}(q\,\|\,p_\theta(z|x))$, and EM climbs the ELBO in turns. *E-step*: fix $\theta$, set $q$ to the
# posterior; the KL is 0 and the ELBO touches $\log p_\theta(x)$. *M-step*: fix $q$, raise the ELBO in
# $\theta$; $\log p_\theta(x)$ rises by at least as much, since the KL, which was 0, cannot fall. So
# $\log p_\theta(x)$ never decreases. A VAE does both at once with small gradient steps, and its $q$ comes
# from a network instead of Bayes' rule, so the KL is never quite 0. See Bishop 2006, Eqs. 9.70–9.72.
#
# </details>
#
# ## 6. What a simple $q$ costs
#
# In a large model we cannot give each state its own number; $q$ has to be of a simple *family*. The usual one
# is factorised: $q(a, b) = q(a)\,q(b)$, two numbers for our alarm instead of three, $d$ instead of $2^d - 1$
# for $d$ causes. But the posterior's causes are correlated.
#
# **Predict.** How should an independent $q$ deal with "one of the two, rarely both"? Cover both
# explanations, or settle on one?

# %%
grid = torch.linspace(0.005, 0.995, 199, **real)
a, b = torch.meshgrid(grid, grid, indexing="ij")  # q(toast), q(steam)
product = [(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b]
surface = discrete_elbo(ringing, torch.stack(product, dim=-1))  # (199, 199)
figure, panel = viz.axes(size=(5.6, 4.2), subplot_kw={"xlim": (0, 1.03), "ylim": (0, 1.03)})
levels = panel.contourf(a, b, surface, [-8, -5, -4, -3.5, -3, -2.6, -2.4, -2.2, -2.1, -1.95])
for (i, j), mark in {(23, 196): "*", (193, 36): "X"}.items():
    panel.plot(a[i, j], b[i, j], mark, color=viz.RED, ms=13, label=f"{surface[i, j]:.2f} nats")
panel.set(xlabel="q(toast), a probability", ylabel="q(steam), a probability")
panel.legend(loc="center")
figure.colorbar(levels, label="ELBO (nats)")
viz.show(figure, "The ELBO over two probabilities: separate maxima near steam and near toast.")

# %% [markdown]
# It settles on one. There are two hills: "steam, hardly toast" (-1.98, marked *) and "toast, hardly steam"
# (-2.32, marked X), and between them a valley, since an independent $q$ that gives both causes even odds
# must also give weight to "neither" and "both". Gradient ascent ends on whichever hill it started from.
#
# Even on the better hill 0.45 nats are missing to $\log p(x)$, and no amount of training brings them back:
# this $q$ *cannot* be the posterior. Cremer, Li & Duvenaud 2018 call it the **approximation gap**.
#
# How large is it in general? Take a posterior that is Gaussian with correlation $\rho$ between two latents of
# variance 1, as in lesson 02, and the family of independent Gaussians with common variance $s^2$. Put both on
# a grid fine enough to enumerate. Bishop 2006, Sec. 10.1.2, derives that the best variance is $1 - \rho^2$,
# *narrower* than the true 1; the gap there is $-\tfrac12 \log(1 - \rho^2)$.

# %%
axis, rhos = torch.linspace(-6, 6, 121, **real), torch.linspace(0, 0.96, 25, **real)
z1, z2 = torch.cartesian_prod(axis, axis).T  # 14,641 states
shares, gaps = torch.linspace(0.5, 2.0, 31, **real), []  # of the variance 1 - rho²
for rho in rhos:
    target = -(z1**2 - 2 * rho * z1 * z2 + z2**2) / (2 * (1 - rho**2))
    guess = -(z1**2 + z2**2) / (2 * (1 - rho**2) * shares[:, None])
    gaps.append(elbo_gap(target, guess.softmax(-1)))
least, place = torch.stack(gaps).min(dim=-1)
figure, panel = viz.axes()
viz.beside(panel, rhos, least, -0.5 * (1 - rhos**2).log(), ("correlation ρ", "gap (nats)"))
print(f"best variance / (1 - ρ²): {shares[place].min():.2f} to {shares[place].max():.2f}")
viz.show(figure, "The smallest gap of a factorised q grows with the correlation, without limit.")

# %% [markdown]
# Your gaps lie on the curve, and of 31 variances the best is $1 - \rho^2$ for each $\rho$. A weak
# correlation costs next to nothing (0.05 nats at $\rho = 0.3$), a strong one a lot (1.27 nats at 0.96).
#
# <details><summary>Question: why is the best factorised q too narrow, and not too wide?</summary>
#
# The KL has $q$ in the first place. A wide $q$ would put weight where the narrow ridge of the posterior has
# almost none, and pay dearly; a narrow one leaves out a part of the ridge, which is forgiven. It is the same
# reason that made the alarm's $q$ choose one hill.
#
# </details>
#
# ## 7. The two terms that a VAE trains with
#
# One more way to write the same number, in three steps:
#
# $$
# \begin{aligned}
# \mathrm{ELBO} &= \mathbb E_q[\log p(x, z) - \log q(z)] && \text{(1)}\\
# &= \mathbb E_q[\log p(x|z) + \log p(z) - \log q(z)] && \text{(2)}\\
# &= \underbrace{\mathbb E_q[\log p(x|z)]}_{\text{reconstruction}}
#  - \underbrace{\mathrm{KL}(q \,\|\, p(z))}_{\text{distance to the prior}} && \text{(3)}
# \end{aligned}
# $$
#
# Line 2 is the product rule, line 3 the definition of the KL. Nothing is dropped (Kingma & Welling 2014,
# Eq. 3). Mind that *this* KL goes to the **prior**, and the gap's KL goes to the **posterior**. The first
# can be computed in closed form (lesson 04); the second cannot, and never has to be.
#
# {{card:elbo_terms}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# Both are averages under $q$ that you have written before. Which state may be left out of both?
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# The second term is the KL of 3.5 with a logarithm given instead of `p`. A prior of shape `(states,)`
# broadcasts by itself if you always sum over the last dimension.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `seen = q > 0` is what decides in both sums. The first has the terms `q * log_likelihood`.
#
# </details>

# %% tags=["exercise:elbo_terms"]

# %% tags=["check:elbo_terms"]

# %%
log_likelihood, log_prior = (1 - silent).log(), prior.log()  # the alarm rings
guesses = {"prior": prior, "posterior": ringing.softmax(-1), "steam": torch.eye(4, **real)[2]}
print(f"{'q':>10} {'reconstruction':>15} {'KL to prior':>12} {'difference':>11} {'ELBO':>8}")
for name, q in guesses.items():
    reconstruction, kl = elbo_terms(log_likelihood, log_prior, q)
    bound = discrete_elbo(ringing, q)
    print(f"{name:>10} {reconstruction:15.4f} {kl:12.4f} {reconstruction - kl:11.4f} {bound:8.4f}")

# %% [markdown]
# The two forms agree. Staying at the prior costs no KL and explains the alarm badly; jumping to one state
# explains it well and pays for leaving the prior. The posterior is the best compromise.
#
# ## 8. The same on images
#
# Let $z$ be one of ten classes and $x$ the top quarter of an image of black and white pixels. Each class has a
# probability of ink for each pixel: the share of training images of that class that are black there. Ten
# states, real images, and a posterior that keeps its doubts, since a quarter of a digit may belong to several
# classes.

# %% tags=["data"]
images = data.load()
height, width = images.shape
seen = height // 4 * width  # pixels of the top quarter: of the top 7 rows of 28, or 2 of 8
train, labels = images.train[:10_000] > 127, images.train_labels[:10_000]
ink = torch.stack([train[labels == k].double().mean(0) for k in range(10)]).clamp(0.01, 0.99)
log_prior_10 = (labels.bincount(minlength=10) / len(labels)).double().log()
x, on, off = (images.test[:300, :seen] > 127).double(), ink[:, :seen], 1 - ink[:, :seen]
log_likelihood_10 = x @ on.log().T + (1 - x) @ off.log().T  # (300, 10)
figure, panel = viz.axes(size=(7.0, 1.2))
viz.image_grid(panel, ink, images.shape)
panel.axhline(height // 4 - 0.5, color=viz.RED, linestyle="--")
viz.show(figure, "Probability of ink for the classes 0 to 9; x is what lies above the dashed line.")

# %% [markdown]
# Now a family of guesses with one knob, the temperature $T$: $q_T = \mathrm{softmax}(\log p(x, z) / T)$. At
# $T = 1$ it is the posterior; for small $T$ it jumps to the best class; for large $T$ it becomes uniform.
#
# **Predict.** As $T$ falls from 10 to 0.1, what do the reconstruction, the KL to the prior and their
# difference do? Where is the difference largest, and how large is it there?

# %% tags=["data"]
temperature = torch.logspace(-1, 1, 61, **real)
joint_10 = log_likelihood_10 + log_prior_10  # (300, 10)
q = (joint_10 / temperature[:, None, None]).softmax(-1)  # (61, 300, 10)
reconstruction, kl = (term.mean(-1) for term in elbo_terms(log_likelihood_10, log_prior_10, q))
best, truth = (reconstruction - kl).max(0), joint_10.logsumexp(-1).mean()
figure, panel = viz.axes(size=(6.4, 3.6))
panel.semilogx(temperature, reconstruction, "--", color=viz.ORANGE, label="reconstruction")
panel.semilogx(temperature, reconstruction - kl, color=viz.RED, label="ELBO")
panel.axhline(truth, color=viz.BLUE, ls=":", label=f"log p(x) = {truth:.2f}")
panel.set(xlabel="temperature T (no unit)", ylabel="mean of 300 images (nats)")
panel.legend(title=f"best ELBO {best[0]:.2f} at T = {temperature[best[1]]:.2f}", loc="lower left")
viz.show(figure, "Reconstruction falls with T; the ELBO below it touches log p(x) at T = 1.")

# %% [markdown]
# <details><summary>Answer, and what it shows</summary>
#
# As $T$ falls the reconstruction rises all the way, and so does the KL, the distance between the dashed and
# the solid line: a surer guess explains better and is further from the prior, up to about 2.2 nats, nearly
# the surprise of one class in ten, $\log 10 = 2.30$. Their difference, the ELBO, is largest at $T = 1$, and
# there it equals $\log p(x)$ (-19.52 nats on MNIST, -5.04 on scikit-learn's smaller digits). Watching the
# reconstruction alone would not have found that point.
#
# To the left of 1 the guess is too sure and loses a few tenths of a nat (0.2 on MNIST, 0.5 on the smaller
# digits); to the right it ignores more and more of what it sees and loses more (3.7 and 1.4).
#
# </details>
#
# **Question.** Both terms of the ELBO can be estimated from samples of $q$. Why can the gap not?
#
# <details><summary>Answer</summary>
#
# The gap is the average of $\log q(z) - \log p(z|x)$, and $\log p(z|x) = \log p(x, z) - \log p(x)$ contains
# the number that we could not compute in the first place. Lesson 09 narrows it down with more samples.
#
# </details>

# %% [markdown] tags=["written:which_model:2"]
# **Written question (2 points).** Two VAEs are trained on the same images. The first reaches a test ELBO of
# -95 nats, the second of -98 nats. A friend concludes that the first gives the images a higher probability.
# Is that right? Say what the ELBO tells for certain, what it leaves open, and what you would compute next.
#
# ### BEGIN SOLUTION
# It does not follow. For each model log p(x) = ELBO + KL(q ‖ p(z|x)), and the KL is at least 0. So the first
# model has log p(x) of at least -95 on average and the second at least -98; that is all that is certain.
# How far each lies above its bound depends on how well its q matches its posterior. If the second model's
# gap is more than 3 nats larger than the first's (for example since its posterior is more correlated, or its
# encoder weaker), it is the second that gives the images the higher probability. To decide, estimate log p(x)
# itself for both: by importance sampling with q as the proposal and many samples (lessons 02 and 09), or
# exactly where the model is small enough to enumerate.
# ### END SOLUTION

# %% [markdown]
# ## Summary
#
# - **Jensen**: the logarithm lies below its tangent, so $\mathbb E_q[\log w] \le \log \mathbb E_q[w] =
#   \log p(x)$. The loss is the variation of $w = p(x, z)/q(z)$.
# - **KL**: $\log p(x) = \mathrm{ELBO}(x; q) + \mathrm{KL}(q\,\|\,p(z|x))$, an identity. Both derivations lose
#   the same number, and nothing at $q = p(z|x)$.
# - Raising the ELBO in $q$ finds the posterior; in the model's parameters it raises $\log p(x)$ or tightens
#   the bound. A restricted $q$ leaves a gap that training cannot close: $-\tfrac12\log(1 - \rho^2)$ for two
#   correlated Gaussian latents.
# - **Two forms**: $\mathbb E_q[\log p(x, z) - \log q(z)] = \mathbb E_q[\log p(x|z)] - \mathrm{KL}(q\,\|\,p(z))$.
# - A weight of 0 counts 0, an impossible state that $q$ uses costs $\infty$, and a small number inside a
#   logarithm is right in neither case.
#
# ## What to read next
#
# - Kingma & Welling 2014, *Auto-Encoding Variational Bayes*, Eqs. 1–3: the decomposition, the bound, the two
#   terms.
# - Bishop 2006, *Pattern Recognition and Machine Learning*: Jensen's inequality, Eqs. 1.114–1.117; the
#   decomposition in EM, Eqs. 9.70–9.72; factorised approximations of a correlated Gaussian, Sec. 10.1.2.
# - Blei, Kucukelbir & McAuliffe 2017, *Variational Inference: A Review for Statisticians*, Sec. 2.2.
#
# **Next:** lesson 04 works out $\mathrm{KL}(q\,\|\,p(z))$ in closed form where $q$ and the prior are
# Gaussian, the second of the two terms in every VAE.
