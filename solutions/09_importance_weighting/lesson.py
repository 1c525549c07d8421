# %% [markdown]
# # 09 · Importance weighting: how good is the bound?
#
# **After this lesson you can**
# - write the importance weight of a code, and get both $p(x)$ and the ELBO out of it;
# - derive the IWAE bound, prove line by line that more samples never loosen it, and say how fast its gap closes;
# - say what more samples do to the encoder's gradient, and repair it (DReG);
# - estimate the test log-likelihood of a VAE as papers report it, with its spread, and know when not to trust it.
#
# **You need** lesson 02 (importance sampling, the linear-Gaussian model), lesson 03 (the gap of the ELBO), lesson 05 (two
# gradients of one expectation) and lesson 07 (your `VAE`). **Time:** about 85 minutes, 46 of them for five exercises. The cells run in about 40 s
# on two idle cores; most of it is one cell of section 7, which is silent until it has finished. No GPU is used.
#
# Two VAEs, trained on the same images. By the ELBO the first is better, clearly more than by chance. By $\log p(x)$ the second is
# better, as clearly. Both numbers are right; you will produce them in section 7. The ELBO judges two things at once,
#
# $$\mathrm{ELBO}(x) = \log p(x) - \mathrm{KL}\big(q(z \mid x)\,\|\,p(z \mid x)\big), \tag{1}$$
#
# how good the *model* is, and how good the *encoder*. This lesson takes them apart.

# %% tags=["setup"]
import torch
from torch import Tensor
from vae_edu import check, data, exercise, viz
from vae_edu.exercises.latent_variable_models import gaussian_log_prob, linear_gaussian_log_evidence
from vae_edu.exercises.likelihoods import bernoulli_log_likelihood, bits_per_dim
from vae_edu.exercises.start_here import log_mean_exp
_ = torch.set_num_threads(1), torch.manual_seed(9)  # the same numbers, in one pass

# %% [markdown]
# ## 1 · One weight, two averages
#
# Lesson 02 drew codes from a proposal and corrected for it with weights. A VAE has a proposal for every image, its
# encoder. So, for $z \sim q(z \mid x)$, the weight and its logarithm are
#
# $$w = \frac{p(x \mid z)\,p(z)}{q(z \mid x)}, \qquad
#   \log w = \log p(x \mid z) + \log p(z) - \log q(z \mid x). \tag{2}$$
#
# *Line 1, the mean of $w$.* Assumed: $q(z \mid x) > 0$ for all $z$, which is true of a Gaussian. Then $q$ cancels, and the sum rule is left:
# $$\mathbb E_q[w] = \int q(z \mid x)\,\frac{p(x, z)}{q(z \mid x)}\,dz = \int p(x, z)\,dz = p(x). \tag{3}$$
#
# *Line 2, the mean of $\log w$.* That is the ELBO, by its definition in lesson 03:
# $$\mathbb E_q[\log w] = \mathbb E_q\big[\log p(x, z) - \log q(z \mid x)\big] = \mathrm{ELBO}(x). \tag{4}$$
#
# The same weights, averaged before or after the logarithm: the truth, or a bound of it.
#
# **Predict.** When are the two the same, $\mathbb E[\log w] = \log \mathbb E[w]$?
#
# <details><summary>Answer</summary>
# When all the weights are equal. Then p(x, z) is proportional to q(z|x), so q is the posterior, and the KL in (1)
# is 0. How much the weights vary is what the rest of this lesson is about.
# </details>
#
# So the first thing to write is (2): one log-weight for each sample and each image, nothing averaged yet. The cell after the check compares both averages with the
# truth, since a decoder of three pixels and one latent has only eight images, and for each of them the integral (3) can be done on a grid.
#
# {{card:log_importance_weights}}
#
# <details><summary>Hint 1: a nudge</summary>
# Each of the three terms is a function of an earlier lesson, and each sums over its last dimension. Which shape is left?
# </details>
# <details><summary>Hint 2: the idea</summary>
# The prior is a Gaussian too, with mean 0 and log-variance 0; torch.zeros_like(mu) is both, in the dtype of mu. All three
# densities are taken at z and x as they are given; mu and log_var appear in q only.
# </details>
# <details><summary>Hint 3: the first line</summary>
# <code>log_likelihood = bernoulli_log_likelihood(x, logits)</code>
# </details>

# %% tags=["exercise:log_importance_weights"]
# %% tags=["check:log_importance_weights"]

# %%
x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)  # all 8 images
slope, shift = torch.tensor([2.0, -1.0, 1.5]), torch.tensor([0.5, 0.0, -1.0])
z, zero = 1.3 * torch.randn(20_000, 8, 1), torch.zeros(8, 1)  # q is N(0, 1.3²) for all
log_w = log_importance_weights(x, z * slope + shift, z, zero, zero + torch.tensor(1.69).log())
grid = torch.linspace(-8, 8, 1601).view(-1, 1, 1).expand(-1, 8, 1)
log_joint = bernoulli_log_likelihood(x, grid * slope + shift) + gaussian_log_prob(grid, zero, zero)
exact, yours = torch.trapezoid(log_joint.exp(), grid[..., 0], dim=0), log_w.exp().mean(0)
print(f"sum of p(x) over all images: grid {exact.sum():.3f}, your weights {yours.sum():.3f}")
figure, panel = viz.axes(subplot_kw={"ylim": (-5.8, -1)})
panel.plot(log_w.mean(0), "s", color=viz.GREEN, label="mean of your log-weights")
viz.beside(panel, torch.arange(8), yours.log(), exact.log(), ("image (number)", "log p(x) (nats)"))
viz.show(figure, "Eight images: the log of your mean weight on the line, the ELBO below it")

# %% [markdown]
# The logs of the mean weights lie on the line. The means of the log-weights, the ELBOs, lie below it, by 0.7 to 1.9 nats: this $q$ is
# the same for all images, and a poor posterior for most of them. The eight estimates sum to 1 within 0.01: together they are a distribution.
# (Numbers quoted here are those of one pass from top to bottom. A cell that is run twice draws other samples.)
#
# ## 2 · From one sample to k
#
# The ELBO takes the logarithm of each weight by itself. Average $k$ weights first, and take the logarithm then:
#
# $$\mathcal L_k(x) = \mathbb E_{z_1, \dots, z_k \sim q}\Big[\log \frac1k \sum_{s=1}^k w_s\Big]. \tag{5}$$
#
# This is the **importance-weighted bound**, IWAE for short (Burda, Grosse & Salakhutdinov 2016).
#
# *Line 1.* For $k = 1$ it is (4): $\mathcal L_1 = \mathrm{ELBO}$.
#
# *Line 2.* By linearity and (3), $\mathbb E\big[\tfrac1k\sum_s w_s\big] = p(x)$ for every $k$.
#
# *Line 3.* The logarithm is concave, so by Jensen's inequality (lesson 03) the mean of a logarithm is at most the logarithm of the mean:
# $$\mathcal L_k(x) \le \log \mathbb E\Big[\frac1k\sum_s w_s\Big] = \log p(x). \tag{6}$$
#
# Nothing about $q$ was used but (3). So **for every encoder and every $k$, this is a lower bound**.
#
# **Predict.** You have 50 weights for an image. What is the difference between averaging 50 logs, and the log of the average of 50?
#
# <details><summary>Answer</summary>
# The first estimates L_1, the ELBO: more samples reduce its spread, and leave its gap as it is. The second estimates L_50:
# more samples reduce the spread and the gap.
# </details>
#
# You write the quantity inside the expectation (5), for one draw of the samples.
#
# {{card:iwae_bound}}
#
# <details><summary>Hint 1: a nudge</summary>
# You have written this function before, for another purpose. What did its input hold?
# </details>
# <details><summary>Hint 2: the idea</summary>
# A log of a mean of exponentials, over the samples, which come first. Log-weights of images are near -100, so it has to be the stable one.
# </details>
# <details><summary>Hint 3: the first line</summary>
# <code>return log_mean_exp(log_weights, ...)</code>
# </details>

# %% tags=["exercise:iwae_bound"]
# %% tags=["check:iwae_bound"]

# %% [markdown]
# Now a model whose $\log p(x)$ is known: lesson 02's linear-Gaussian one, with five latents, $z \sim N(0, I)$, $x \mid z \sim N(z, 0.1\, I)$, at
# $x = (1, \dots, 1)$. Its posterior is $N(\tfrac{10}{11}, \tfrac{1}{11})$ in each dimension. Our encoder is off: its mean by `shift` posterior standard deviations, its
# standard deviation by the factor `width`. We use these helpers to the end of section 6.

# %%
noise = torch.tensor(0.1).log()  # the log-variance of x given z
def log_joint(z: Tensor) -> Tensor:
    """log p(x, z) at x = (1, 1, 1, 1, 1): (..., 5) -> (...)"""
    log_x_given_z = gaussian_log_prob(torch.ones(5), z, noise)
    return log_x_given_z + gaussian_log_prob(z, torch.zeros(5), torch.zeros(5))
def draw(k: int, repeats: int, shift: float, width: float) -> Tensor:
    """log-weights of k samples, many times over: (k, repeats)"""
    mu, log_var = torch.full((5,), 10 / 11 + shift / 11**0.5), torch.full((5,), width**2 / 11).log()
    z = mu + (0.5 * log_var).exp() * torch.randn(k, repeats, 5)
    return log_joint(z) - gaussian_log_prob(z, mu, log_var)

print(f"ten log-weights: {[round(v, 1) for v in draw(10, 1, 0.5, 1.2)[:, 0].tolist()]}")

# %%
exact = linear_gaussian_log_evidence(torch.ones(5), torch.eye(5), torch.zeros(5), noise)
sizes = [1, 2, 5, 10, 20, 50, 100, 200]
bounds = torch.stack([iwae_bound(draw(k, 4000, 0.5, 1.2)) for k in sizes])
for k, row in zip(sizes, bounds, strict=True):
    print(f"k = {k:3}: mean {row.mean():7.3f}, spread of one estimate {row.std():.3f}")
figure, panel = viz.axes(subplot_kw={"xscale": "log"})
panel.axhline(exact, color=viz.BLACK, linestyle="--", label=f"log p(x) = {exact:.3f}")
panel.errorbar(sizes, bounds.mean(1), bounds.std(1), fmt="o-", color=viz.RED, label="your bound")
panel.set(xlabel="samples k (number)", ylabel="bound on log p(x) (nats)")
panel.legend(frameon=False)
alt = "Your bound against the number of samples: it rises from 0.8 nats below log p(x) "
viz.show(figure, alt + "and approaches it; its spread shrinks.")

# %% [markdown]
# The mean starts about 0.8 nats below the truth (the KL of (1) is 0.81) and rises with $k$, up to the scatter of a mean at the end. A single estimate may well lie above $\log p(x)$ (the bars are one
# standard deviation): the bound holds on average.
#
# ## 3 · More samples never hurt: the proof
#
# The picture shows one model. Let $m < k$, and let $I$ be a random set of $m$ of the numbers $1, \dots, k$, all sets equally likely.
#
# *Line 1.* Each number is in $I$ with probability $m/k$. So the average over a random subset is, on average, the average over all:
# $$\mathbb E_I\Big[\frac1m\sum_{s \in I} w_s\Big] = \frac1m \sum_{s=1}^k \frac mk\, w_s = \frac1k\sum_{s=1}^k w_s. \tag{7}$$
#
# *Line 2.* Jensen's inequality, this time for the draw of $I$, with the weights held fixed:
# $$\log\frac1k\sum_{s=1}^k w_s \;\ge\; \mathbb E_I\Big[\log\frac1m\sum_{s\in I} w_s\Big]. \tag{8}$$
#
# *Line 3.* Take the expectation over $z_1, \dots, z_k$ on both sides. The left becomes $\mathcal L_k$. On the right, the samples are independent and alike, so
# any $m$ of them are distributed as the first $m$, and each set $I$ contributes $\mathcal L_m$:
# $$\mathcal L_1 \le \dots \le \mathcal L_m \le \dots \le \mathcal L_k \le \log p(x). \tag{9}$$
#
# Line 2 holds for *any* positive numbers, so it can be checked on six of them, with all their subsets.
#
# **Predict.** Is the bound from six weights larger than the one from *each* subset of them?
#
# <details><summary>Answer</summary>
# No. A subset that happens to hold the largest weights has a larger average. Inequality (8) is about the mean over the subsets.
# </details>

# %%
from itertools import combinations
log_w, means = draw(6, 1, 0.5, 1.0), []
figure, panel = viz.axes()
for m in range(1, 7):
    subsets = torch.tensor(list(combinations(range(6), m)))  # all of size m
    bounds = iwae_bound(log_w[subsets, 0].T)  # (number of subsets,)
    panel.plot([m] * len(bounds), bounds, "o", color=viz.SKY, markersize=4)
    means.append(bounds.mean().item())
panel.plot(range(1, 7), means, "D-", color=viz.RED, label="mean over the subsets")
panel.set(xlabel="size m of the subset of six weights (number)", ylabel="your bound (nats)")
panel.legend(frameon=False)
viz.show(figure, "Bounds of all subsets of six weights: scattered dots, and a mean that only rises")

# %% [markdown]
# The dots scatter, some of them above the last point; their mean rises at each step, as (8) says it must.
#
# With one latent the whole chain (9) can be computed without any sampling. The expectation (5) is an integral over $k$ independent standard normals, and
# Gauss–Hermite quadrature replaces a normal by 24 points with probabilities. For $k = 4$ that makes $24^4 = 331{,}776$ points; it ends there, but no sampling error is left.

# %%
from numpy.polynomial.hermite_e import hermegauss
points, chances = (torch.tensor(a) for a in hermegauss(24))
eps, chances, one = points[:, None], chances / chances.sum(), torch.ones(1).double()
mu, log_var = one * (10 / 11 + 0.5 / 11**0.5), (one * 1.44 / 11).log()  # as above, one latent
z, tenth = mu + 1.2 / 11**0.5 * eps, (one * 0.1).log()
log_w = gaussian_log_prob(one, z, tenth) + gaussian_log_prob(z, 0 * one, 0 * one)
log_w = log_w - gaussian_log_prob(z, mu, log_var)
exact = linear_gaussian_log_evidence(one, one[None], 0 * one, tenth[0])
for k in (1, 2, 3, 4):
    index = torch.cartesian_prod(*[torch.arange(24)] * k).view(-1, k).T  # (k, 24^k)
    bound = (chances[index].prod(0) * iwae_bound(log_w[index])).sum()
    print(f"L_{k} = {bound:.6f}, gap {exact - bound:.6f} nats")

# %% [markdown]
# Each line is closer to $\log p(x)$ than the one before. The first gap is the KL of two Gaussians, $\tfrac12(1.2^2 - 1 - \log 1.2^2 + 0.5^2) = 0.162678$ by lesson 04's
# equation (11); lines 2 to 4 had no formula until now.
#
# ## 4 · How fast the gap closes
#
# *Line 1.* Write the average weight as $\frac1k\sum_s w_s = p(x)(1 + \delta)$. By (3), $\mathbb E[\delta] = 0$. The samples are independent, so
# $\mathbb E[\delta^2] = \rho/k$, where $\rho = \operatorname{Var}_q[w]/p(x)^2$ is the relative variance of one weight.
#
# *Line 2.* Assume $k \gg \rho$, so that $\delta$ is small, and use $\log(1 + \delta) \approx \delta - \delta^2/2$:
# $$\log p(x) - \mathcal L_k = -\mathbb E[\log(1 + \delta)] \approx \frac{\mathbb E[\delta^2]}{2} = \frac{\rho}{2k}. \tag{10}$$
#
# *Line 3, $\rho$ for our encoder.* By the product rule $p(x, z) = p(x)\,p(z \mid x)$, so $w/p(x) = p(z \mid x)/q(z \mid x)$. With $u$ the distance of $z$ from the
# posterior mean, in posterior standard deviations, that is the ratio of $N(u; 0, 1)$ and $N(u; d, s^2)$, with $d$ the shift and $s$ the width. In one dimension
# $$1 + \rho_1 = \int \frac{N(u; 0, 1)^2}{N(u; d, s^2)}\,du = \frac{s}{\sqrt{2\pi}}\int e^{-u^2 + (u - d)^2/2s^2}\,du
#   = \frac{s^2}{\sqrt{2s^2 - 1}}\; e^{d^2/(2s^2 - 1)}. \tag{11}$$
# The last step completes the square, and needs $2s^2 > 1$; for a narrower encoder the integral is infinite. In five independent dimensions,
# $1 + \rho = (1 + \rho_1)^5$.
#
# **Predict.** For $d = 0.5$, $s = 1.2$, (11) gives $\rho = 1.48$. How many samples bring the gap below 0.01 nats? And if the width is 0.65,
# so that $\rho$ is infinite: is the gap infinite too?
#
# <details><summary>Answer</summary>
# rho / 2k = 0.01 gives k = 74. An infinite variance makes formula (10) void, not the bound: the gap is at most that of k = 1, a KL, which is 0.71 nats here. But it closes more slowly than 1/k.
# </details>

# %%
exact = linear_gaussian_log_evidence(torch.ones(5), torch.eye(5), torch.zeros(5), noise)
sizes, (figure, panel) = torch.tensor([1, 4, 16, 64, 256, 1024]), viz.axes()
for d, s, marker, i in ((0.5, 1.2, "o", 0), (1.0, 1.2, "s", 1), (0.0, 0.65, "^", 2)):
    errors = torch.stack([iwae_bound(draw(k, 2000, d, s)) - exact for k in sizes])  # log(1 + delta)
    gaps = (errors.expm1() - errors if 2 * s**2 > 1 else -errors).mean(1)
    panel.loglog(sizes, gaps, marker, color=viz.COLOURS[i], label=f"shift {d}, width {s}")
    if 2 * s**2 > 1:
        one = s**2 / (2 * s**2 - 1) ** 0.5 * torch.tensor(d**2 / (2 * s**2 - 1)).exp()
        panel.plot(sizes, (one**5 - 1) / (2 * sizes), "--", color=viz.COLOURS[i])
panel.set(xlabel="samples k (number)", ylabel="gap of your bound (nats)")
panel.legend(frameon=False)
viz.show(figure, "Gap against k: two encoders reach lines of slope -1, a narrow one is slower")

# %% [markdown]
# The dashed lines are $\rho/2k$. The first encoder ($\rho = 1.48$) follows its line almost from the start, the second ($\rho = 17$) only from $k \approx 100$ on, since (10) assumed
# $k \gg \rho$; before that it is better than the formula. The narrow encoder has no line, and falls less steeply. (Where $\rho$ is finite the cell averages $\delta - \log(1 + \delta)$: as $\delta$ has mean 0,
# that is the same gap, with far less scatter.)
#
# For a VAE on MNIST the log-weights of one image spread over tens of nats, and $\rho$ is beyond any affordable $k$. Then (10) does not apply yet, and the gap closes
# slowly: from $k = 50$ on, by 0.5 to 2 nats for every tenfold $k$. You will see it in section 7.
#
# ## 5 · Which samples count
#
# To *train* on $\mathcal L_k$ we need its gradient. Any parameter of model or encoder may be meant by $\nabla$.
#
# *Line 1.* The chain rule for the logarithm; the factor $1/k$ cancels. *Line 2.* $\nabla w = w\,\nabla\log w$, since $\nabla\log w = \nabla w / w$:
# $$\nabla\log\frac1k\sum_s w_s = \frac{\sum_s \nabla w_s}{\sum_t w_t} = \sum_s \tilde w_s\,\nabla\log w_s,
#   \qquad \tilde w_s = \frac{w_s}{\sum_t w_t}. \tag{12}$$
#
# The ELBO's gradient averages $\nabla\log w_s$ with equal weights $1/k$. IWAE's averages them with weights $\tilde w_s$: a sample that explains $x$ well counts more.
# That frees the encoder. A stray sample costs the ELBO dearly, and hardly moves (12).
#
# You have met these weights: lesson 00 found them as the gradient of `log_mean_exp`.
#
# {{card:normalized_weights}}
#
# <details><summary>Hint 1: a nudge</summary>
# exp of a log-weight of 10,000 is infinite, but a ratio of two weights depends on the difference of their logs only.
# </details>
# <details><summary>Hint 2: the idea</summary>
# Divide numerator and denominator by the largest weight of each example; or find the function of torch that does so.
# </details>
# <details><summary>Hint 3: the first line</summary>
# <code>return log_weights.softmax(...)</code>
# </details>

# %% tags=["exercise:normalized_weights"]
# %% tags=["check:normalized_weights"]
# %%
log_w = draw(30, 1, 1.0, 1.2).sort(0, descending=True).values.requires_grad_()
yours = normalized_weights(log_w)
expected = torch.autograd.grad(iwae_bound(log_w).sum(), log_w)[0]  # equation (12)
print(f"your weights sum to {yours.sum():.4f}")
print(f"the largest is {yours.max():.2f}, equal ones would be {1 / 30:.3f}")
figure, panel = viz.axes()
labels = ("sample, largest weight first (number)", "normalised weight (no unit)")
viz.beside(panel, torch.arange(1, 31), yours[:, 0], expected[:, 0], labels)
panel.axhline(1 / 30, color=viz.BLACK, linestyle=":")
alt = "Thirty normalised weights in order: a handful carries most of the sum, "
viz.show(figure, alt + "and yours lie on the gradient found by autograd.")

# %% [markdown]
# A few of the thirty samples carry most of the weight. How many is "a few"? Suppose each sample has a number $f_s$ with the same variance $v$, independent of each other, and
# treat the weights as given. The average of $n$ equally weighted numbers has variance $v/n$; the average $\sum_s \tilde w_s f_s$ has variance
# $v\sum_s\tilde w_s^2$. Both are equally steady for
#
# $$\mathrm{ESS} = \frac{1}{\sum_s \tilde w_s^2} = \frac{\big(\sum_s w_s\big)^2}{\sum_s w_s^2}, \tag{13}$$
#
# the **effective sample size**. Two lines bound it. By Cauchy–Schwarz, $\big(\sum_s 1\cdot w_s\big)^2 \le k\sum_s w_s^2$. As no weight is negative, $\sum_s w_s^2 \le \big(\sum_s w_s\big)^2$. Hence
# $$1 \le \mathrm{ESS} \le k, \tag{14}$$
# with $k$ for equal weights, and 1 if a single one is not 0. And it measures $\rho$: divide both sums by $k$ and let $k \to \infty$. By the law of large numbers
# $\frac1k\sum_s w_s \to p(x)$ and $\frac1k\sum_s w_s^2 \to \mathbb E[w^2] = p(x)^2(1 + \rho)$, so
# $$\frac{\mathrm{ESS}}{k} \to \frac{1}{1 + \rho}. \tag{15}$$
#
# It is the first number to look at whenever weights are averaged.
#
# {{card:effective_sample_size}}
#
# <details><summary>Hint 1: a nudge</summary>
# Multiply all the weights by 10. What becomes of (13)?
# </details>
# <details><summary>Hint 2: the idea</summary>
# The middle of (13) needs the normalised weights only, and those never overflow.
# </details>
# <details><summary>Hint 3: the first line</summary>
# <code>weights = normalized_weights(log_weights)</code>
# </details>

# %% tags=["exercise:effective_sample_size"]
# %% tags=["check:effective_sample_size"]
# %%
shifts = torch.linspace(0, 1.5, 16)
log_w = torch.stack([draw(20_000, 1, d, 1.2)[:, 0] for d in shifts.tolist()], 1)
yours = effective_sample_size(log_w) / 20_000  # (16,)
one = 1.44 / 1.88**0.5 * (shifts**2 / 1.88).exp()  # (11) with s = 1.2
figure, panel = viz.axes()
labels = ("shift of the encoder (posterior sds)", "ESS / k (no unit)")
viz.beside(panel, shifts, yours, one**-5, labels)
print(f"without a shift {yours[0]:.2f} of the samples count, at 1.5 sds {yours[-1]:.3f}")
alt = "Effective share of the samples against the encoder's shift: yours on the curve "
viz.show(figure, alt + "1/(1+rho), from 0.78 down to nearly 0.")

# %% [markdown]
# **Predict.** A posterior has two equal, narrow peaks far apart, and the encoder sits exactly on one of them. $k = 1{,}000$. What is the ESS, and
# what is the error of the bound?
#
# <details><summary>Answer</summary>
# Wherever samples fall, the weights are equal, so the ESS is 1,000: perfect. And the bound is too low by log 2 = 0.69 nats, since half of p(x) lies where no sample ever falls.
# A low ESS is an alarm. A high one is no proof: it knows only what was drawn.
# </details>

# %%
def log_posterior(z: Tensor) -> Tensor:
    """Two peaks at -4 and 4, half each; scaled so that log p(x) = 0."""
    peaks = torch.tensor([[-4.0], [4.0]])[:, None, None]  # against (k, repeats, 1)
    return log_mean_exp(gaussian_log_prob(z, peaks, torch.tensor(0.25).log()), 0)

print("encoder            bound   ESS of 1,000")
encoders = (("on one peak", 4.0, 0.5), ("a bit wider", 4.0, 0.7), ("over both", 0.0, 4.5))
for name, mean, sd in encoders:
    z = mean + sd * torch.randn(1000, 200, 1)
    log_w = log_posterior(z) - gaussian_log_prob(z, torch.tensor([mean]), torch.tensor(sd**2).log())
    print(f"{name:14} {iwae_bound(log_w).mean():9.3f} {effective_sample_size(log_w).mean():10.0f}")

# %% [markdown]
# The third encoder covers both peaks: a poor ESS, and by far the best bound.
#
# ## 6 · A tighter bound, a weaker signal
#
# Then train with the largest $k$ that fits into memory? For the decoder, yes. For the encoder there is a catch (Rainforth et al. 2018).
#
# *Line 1.* Write $\phi$ for the encoder's parameters and $\frac1k\sum_s w_s = p(x)(1 + \delta)$ as in section 4. The true $p(x)$ does not contain $\phi$ (the
# encoder is no part of the model). So the gradient of one estimate is $\nabla_\phi\log(1 + \delta)$, and to second order
# $$\nabla_\phi \log(1 + \delta) \approx \nabla_\phi\delta - \tfrac12\nabla_\phi\delta^2. \tag{16}$$
#
# *Line 2, its mean (the signal).* The noise $\epsilon$ behind the samples does not depend on $\phi$, so mean and gradient may be exchanged. $\mathbb E[\delta] = 0$ whatever $\phi$ is, so the first term has mean 0. The second leaves $-\nabla_\phi\,\rho/2k$, in agreement with
# (10): **the signal falls like $1/k$**.
#
# *Line 3, its standard deviation (the noise).* $\delta$ is an average of $k$ independent terms, so $\nabla_\phi\delta$ is one too: **the noise falls like $1/\sqrt k$**.
#
# *Line 4.* Their ratio, the signal-to-noise ratio, falls:
# $$\mathrm{SNR}_\phi \propto \frac{1/k}{1/\sqrt k} = \frac{1}{\sqrt k}. \tag{17}$$
# For the decoder's parameters $\theta$, $p(x)$ does change; the signal tends to $\nabla_\theta\log p(x)$, a constant, and the ratio *grows* like $\sqrt k$.
#
# ### The repair: reparameterise twice
#
# Let $z_s = \mu + \sigma\epsilon_s$, with $\phi$ the mean and standard deviation.
#
# *Line 1.* $\phi$ enters $\log w_s$ in two ways, through $z_s$ and through the density $q_\phi$ in the denominator:
# $$\nabla_\phi\log w_s = \frac{\partial\log w_s}{\partial z_s}\frac{\partial z_s}{\partial\phi} - \frac{\partial\log q_\phi(z_s)}{\partial\phi}. \tag{18}$$
#
# *Line 2.* Lesson 05 had two gradients of one expectation: for any smooth $f$ (not differentiated in $\phi$), score function and pathwise agree in the mean,
# $$\mathbb E_q\Big[f(z)\,\frac{\partial\log q_\phi(z)}{\partial\phi}\Big] = \mathbb E_\epsilon\Big[\frac{\partial f}{\partial z}\,\frac{\partial z}{\partial\phi}\Big]. \tag{19}$$
#
# *Line 3.* By (12) the last term of (18) enters as $-\tilde w_s\,\partial\log q_\phi(z_s)/\partial\phi$. Apply (19) to it, with $f = \tilde w_s$ as a function of $z_s$, the other
# samples held fixed. By the quotient rule $\partial\tilde w_s/\partial z_s = \tilde w_s(1 - \tilde w_s)\,\partial\log w_s/\partial z_s$.
#
# *Line 4.* Collect the factors, $\tilde w_s - \tilde w_s(1 - \tilde w_s) = \tilde w_s^2$:
# $$\nabla_\phi\mathcal L_k = \mathbb E\Big[\sum_s \tilde w_s^2\,\frac{\partial\log w_s}{\partial z_s}\,\frac{\partial z_s}{\partial\phi}\Big]. \tag{20}$$
#
# This is **DReG**, the doubly reparameterised gradient (Tucker et al. 2019). The weights are about $1/k$ each, so the sum has a mean of about $k \cdot 1/k^2 = 1/k$,
# and a standard deviation of about $\sqrt k/k^2$: **its ratio grows like $\sqrt k$**. In code: squared weights, detached, times log-weights in which $q$'s own parameters are detached.
#
# **Predict.** What is (20) if the encoder is the posterior? And (12)?
#
# <details><summary>Answer</summary>
# Then log w does not depend on z at all, so every term of (20) is 0: no signal is needed, and no noise is made. In (12) the score term of (18) remains; its mean is 0, its noise is not.
# </details>

# %%
def gradients(k: int, repeats: int = 2000) -> list[Tensor]:
    """Both estimates of the gradient in mu, each (repeats, 5)."""
    log_var = torch.full((5,), 1.44 / 11).log()  # width 1.2
    mu = torch.full((repeats, 5), 10 / 11 + 0.5 / 11**0.5, requires_grad=True)  # shift 0.5
    z = mu + (0.5 * log_var).exp() * torch.randn(k, repeats, 5)
    plain, path = (log_joint(z) - gaussian_log_prob(z, m, log_var) for m in (mu, mu.detach()))
    dreg = normalized_weights(path).detach() ** 2 * path  # equation (20)
    losses = iwae_bound(plain).sum(), dreg.sum()
    return [torch.autograd.grad(each, mu, retain_graph=True)[0] for each in losses]

means = [round(g.mean().item(), 2) for g in gradients(4, 40_000)]
print("mean gradient at k = 4, plain and DReG:", means)

# %%
sizes, (figure, panel) = torch.tensor([1, 4, 16, 64, 256]), viz.axes()
pairs = [gradients(k) for k in sizes.tolist()]
signal = torch.stack([dreg.mean(0).abs() for _, dreg in pairs])  # of both; DReG measures it better
for i, (name, style, colour) in enumerate((("plain", "o-", viz.BLUE), ("DReG", "s-", viz.RED))):
    noise = torch.stack([pair[i].std(0) for pair in pairs])
    ratio = (signal / noise).mean(1)
    panel.loglog(sizes, ratio, style, color=colour, label=name)
    panel.plot(sizes, ratio[2] * (sizes / 16) ** (i - 0.5), ":", color=viz.BLACK)
    print(f"{name:5} signal / noise at k = 1, 4, ...:", [round(v, 3) for v in ratio.tolist()])
panel.set(xlabel="samples k (number)", ylabel="signal / noise (no unit)")
panel.legend(frameon=False)
viz.show(figure, "Signal / noise against k: plain falls, DReG rises, both along dotted lines")

# %% [markdown]
# Both estimators have the same mean (about $-0.53$ at $k = 4$, within 0.01), which checks (20). The plain one loses a factor of two of its ratio for every fourfold $k$,
# DReG gains one. The dotted lines have slopes $\mp\tfrac12$; at small $k$ neither law of large $k$ holds yet.
#
# ## 7 · Your VAE, judged
#
# Everything so far on real images, at a scale of seconds. Two of *your* VAEs (lesson 07; 200 hidden units, 20 latents), with the same start and 800 steps on 5,000
# training images, binarised afresh each time. One maximises $\mathcal L_1$, the other $\mathcal L_{10}$. Then both are judged on the same 100 test images, **binarised once**.

# %%
from functools import cache
from vae_edu.exercises.building_the_vae import VAE
digits = data.load()
train, chance = digits.train[:5000], torch.Generator().manual_seed(1)
test = data.binarize_images(digits.test[:100], chance)
def sample_weights(model: VAE, x: Tensor, k: int) -> Tensor:  # k for each image: (k, batch)
    logits, mu, log_var, z = model(x, torch.randn(k, len(x), 20))
    return log_importance_weights(x, logits, z, mu, log_var)
print(digits.label)
figure, panel = viz.axes(size=(5.4, 1.4))
viz.image_grid(panel, test[:20], digits.shape)
viz.show(figure, "Twenty of the hundred test images, binarised: ink and paper, no grey.")

# %% tags=["nbval-ignore-output"]
@cache
def trained(k: int) -> VAE:  # maximises L_k
    chance, model = torch.manual_seed(0), VAE(train.shape[1], 200, 20)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(800):
        x = data.binarize_images(train[torch.randint(len(train), (100,))], chance)
        loss = -iwae_bound(sample_weights(model, x, k)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.requires_grad_(False)
print(f"trained on L_1: ELBO {sample_weights(trained(1), test, 100).mean():.1f} nats (test images)")

# %% [markdown]
# Papers report the test **negative log-likelihood** (NLL), $-\mathcal L_k$ averaged over test images, with $k = 5{,}000$ since Burda et al. We draw 5,000 log-weights for each image once, and
# cut them into sets of $k$: ten sets, so that the table can say how much the result varies with the samples (a single one, without a spread, for $k = 5{,}000$). Divided by the number of pixels and by $\log 2$ (lesson 06), the NLL
# becomes bits per dimension, the size of a file.
#
# **Predict.** Which of the two models has the lower NLL at $k = 1$? At $k = 5{,}000$?
#
# <details><summary>Answer</summary>
# At k = 1 the NLL is minus the ELBO, which only the first model was trained on: it wins. The other encoder spreads wider than the ELBO likes, since stray samples
# cost it little. At k = 5,000 the encoder hardly matters any more, the models are compared, and the second wins.
# </details>

# %% tags=["nbval-ignore-output"]
@cache
def test_weights(k: int) -> Tensor:  # of the model that was trained on L_k: (5000, 100)
    model, _ = trained(k), torch.manual_seed(1)
    return torch.cat([sample_weights(model, test, 50) for _ in range(100)])
def estimates(trained_on: int, k: int) -> Tensor:  # the NLL, once for each set of k samples
    sets = test_weights(trained_on)[: 10 * k].reshape(-1, k, 100).transpose(0, 1)
    return -iwae_bound(sets.flatten(1)).view(-1, 100).mean(1)
for trained_on, k in [(m, k) for m in (1, 10) for k in (1, 5, 50, 500, 5000)]:
    nll = estimates(trained_on, k)
    spread = f"{nll.std(correction=0):.3f}" if len(nll) > 1 else "-"  # of one: unknown
    row = f"trained on L_{trained_on:<2}  k = {k:5,}  NLL {nll.mean():6.2f}  spread {spread:5}"
    print(f"{row}  bits per dimension {bits_per_dim(nll.mean(), test.shape[1]):.3f}")

# %%
figure, panel = viz.axes(size=(5.6, 3.4), subplot_kw={"xscale": "log"})
sizes = [1, 5, 50, 500, 5000]
for trained_on, look, colour in ((1, "o-", viz.BLUE), (10, "s--", viz.RED)):
    rows = [estimates(trained_on, k) for k in sizes]
    mean, spread = [r.mean() for r in rows], [r.std(correction=0) for r in rows]
    name = f"trained on L_{trained_on}"
    panel.errorbar(sizes, mean, spread, fmt=look, color=colour, capsize=3, label=name)
panel.set(xlabel="samples k at the test (number)", ylabel="NLL (nats per image)")
panel.legend(frameon=False)
alt = "NLL of two models against the samples used: both fall, and the curves cross; "
viz.show(figure, alt + "the model trained on L_10 starts worse and ends better.")

# %% [markdown]
# Expect, on MNIST, 114 to 117 against 116 to 120 at $k = 1$, and 106 to 109 against 104 to 106 at $k = 5{,}000$ (on scikit-learn's digits 23.5 to 24 against 25 to 26, and 22.9 to 23.3 against 22.5 to 22.9; with tanh, on MNIST, all are three to five
# nats more). In 23 pairs of runs, with other seeds and nonlinearities, the first was better at $k = 1$ every time, the second at $k = 5{,}000$. The curves cross: **the order of two models can depend on $k$**. By the ELBO you would have kept the wrong one.
#
# The error bars (one standard deviation over sets of samples) are short, and on MNIST much shorter than what is still missing: the NLL keeps falling even from 500 to 5,000 samples, by 0.5 to 1 nat. The rest of the gap is
# invisible to error bars. Is there a sign of it? Look at the ESS.

# %% tags=["nbval-ignore-output"]
figure, panel = viz.axes(size=(5.4, 3.4), subplot_kw={"xscale": "log"})
for trained_on, marker, colour in ((1, "o", viz.BLUE), (10, "s", viz.RED)):
    log_w, name = test_weights(trained_on), f"trained on L_{trained_on}"
    size = effective_sample_size(log_w)
    fewer = iwae_bound(log_w.view(10, 500, 100).transpose(0, 1).flatten(1)).view(10, 100).mean(0)
    panel.plot(size, iwae_bound(log_w) - fewer, marker, color=colour, markersize=4, label=name)
    print(f"{name}: ESS of 5,000 samples, median {size.median():,.0f}, least {size.min():.1f}")
panel.set(xlabel="effective sample size of 5,000 (number)")
panel.set(ylabel="bound at 5,000 less at 500 (nats)")
panel.legend(frameon=False)
alt = "Each test image: the smaller its effective sample size, the more its bound "
viz.show(figure, alt + "still gains from 500 to 5,000 samples.")

# %% [markdown]
# Each marker is an image. On MNIST, where a handful of samples carries the estimate (left), the bound still gains half a nat to several; where dozens do, it has nearly settled.
# The median ESS is 5 to 10 of 5,000 there, for both models; on the small digits, 64 pixels, it is about 1,800 and 400, and hardly anything is left to gain.
#
# ### What papers report
#
# Test NLL on MNIST in nats, dynamic binarisation, one stochastic layer of 50 latents, 200 + 200 hidden units, 5,000 samples (Burda et al. 2016, Table 1):
#
# | trained with $k$ = | 1 | 5 | 50 |
# | --- | --- | --- | --- |
# | VAE (more samples of the ELBO) | 86.76 | 86.47 | 86.35 |
# | IWAE | 86.76 | 85.54 | 84.78 |
#
# They took 3,280 passes over the training images; ours took 800 steps, 16 passes over 5,000 of them. In lesson 10 you train your own model in full, and compare with this table. Four traps on the way there:
#
# - **Fewer test samples inflate the NLL.** On our run of Burda's one-layer VAE (160 test images), against 5,000 samples, 1,000 give 0.15 nats more, 500 give 0.23, 100 give 0.5; on models whose encoder fits worse, twice that and more. Compare NLLs of the same $k$ only.
# - **The images have a spread as well.** Over the 10,000 test images the standard error of that run is 0.22 nats, nearly as much as the first two entries of the first row differ. Compare models on the *same* binarised images: then
#   most of that spread cancels.
# - **Fixed and dynamic binarisation** differ by about 2 nats.
# - **Cross-entropy on grey images** is no likelihood of binary ones (lesson 06); its value belongs in no such table.
#
# **Two questions before you go on**
#
# <details><summary>1. Somebody reports the NLL as the mean over 5,000 samples of -log w. What is it?</summary>
# Minus the ELBO, very precisely estimated. Averages of logs never leave L_1.
# </details>
# <details><summary>2. A model has an ESS of 4,990 of 5,000 for every image. Is its NLL right?</summary>
# Either the encoder is the posterior, or the samples miss a part of it, as in section 5. A latent that the decoder ignores is the usual reason for a high ESS: there the posterior is the prior,
# which is easy to hit. That is what the last exercise is about.
# </details>
#
# ## 8 · Which latents are in use?
#
# Burda et al. counted the latents that carry information. If the mean $\mu_j(x)$ does not move with the image, $z_j$ as a rule says nothing about it (only $\sigma_j(x)$ could still vary). Their measure is the variance of the posterior mean over the data, and
# their threshold is
#
# $$A_j = \frac1n\sum_{i=1}^n\big(\mu_j(x_i) - \bar\mu_j\big)^2 > 0.01. \tag{21}$$
#
# A collapsed latent (lesson 12) is found by this count, long before one sees it in the samples.
#
# {{card:active_units}}
#
# <details><summary>Hint 1: a nudge</summary>
# Which dimension holds the images? And does torch's variance divide by n?
# </details>
# <details><summary>Hint 2: the idea</summary>
# The variance of each column with 1/n, compared with 0.01; then truth values made into numbers of mu's dtype.
# </details>
# <details><summary>Hint 3: the first line</summary>
# <code>activity = mu.var(0, correction=...)</code>
# </details>

# %% tags=["exercise:active_units"]
# %% tags=["check:active_units"]
# %%
figure, panel = viz.axes(size=(5.6, 3.2), subplot_kw={"xticks": range(1, 21, 3)})
for k, marker, colour in ((1, "o", viz.BLUE), (10, "s", viz.RED)):
    mu = trained(k)(test, torch.zeros(len(test), 20))[1]
    size, order = (mu - mu.mean(0)).square().mean(0).sort(descending=True)
    rank, on = torch.arange(1, 21), active_units(mu)[order] == 1
    panel.semilogy(rank, size, marker, color=colour, markerfacecolor="none")
    panel.plot(rank[on], size[on], marker, color=colour, label=f"trained on L_{k}")
    print(f"trained on L_{k}: {on.sum()} of 20 units are active")
panel.axhline(0.01, color=viz.BLACK, linestyle="--")
panel.set(xlabel="latent, most active first (number)", ylabel="variance of its mean (no unit)")
panel.legend(frameon=False)
viz.show(figure, "Variance of each latent's mean, sorted; the threshold 0.01; filled where active")

# %% [markdown]
# Filled markers are those that you call active; none of them may lie below the dashed line, no hollow one above it. (Where all are active, as on MNIST here, no
# marker is hollow and none is near the line: the check has tried the rest.) At the low end the model trained on $\mathcal L_{10}$ keeps its latents busier. On MNIST all 20 are still
# active after this short training; of Burda's 50 latents, fully trained, 19 to 25 were (their Table 1; see lesson 12). On the smaller digits the model trained on $\mathcal L_1$ keeps 12 to 18, depending on the seed.
#
# ## In your own words

# %% [markdown] tags=["written:fair_comparison:2"]
# **Question (2 points).** A poster says: "Our VAE reaches a test NLL of 85.9 nats, estimated with 100 importance samples and a standard error of 0.02 over five repetitions. The baseline paper has 85.5, with 5,000 samples. So we are slightly
# worse." Is the conclusion justified? What does the standard error of 0.02 tell, and what does it not? What would you compute?
#
# ### BEGIN SOLUTION
# It is not justified: a bound with fewer samples is looser (L_100 <= L_5000, inequality (9)), so 85.9 is an upper bound of the NLL that would come down with 5,000 samples, by half a nat to a nat in the
# measurements quoted in section 7; the poster's model may well be the better one. The 0.02 says how much the estimate varies with the samples drawn. It says nothing of the bias, which is the gap of section 4 (rho/2k only once k is much larger than rho), and has the same sign in
# all repetitions; nor of the spread over test images (about 0.22 nats for 10,000 of them). I would evaluate both models with 5,000 samples on the same test images with the same binarisation, look whether the value still moves between 500 and 5,000
# samples and how small the ESS is, and give the standard error of the difference image by image. One point for the direction of the bias with its reason, one for what the standard error leaves out.
# ### END SOLUTION

# %% [markdown]
# ## Summary
#
# - A weight is $p(x, z)/q(z \mid x)$, (2). The mean of the weights is $p(x)$, (3); the mean of their logs is the ELBO, (4).
# - The log of the mean of $k$ weights is a lower bound on average, (6), never looser for more samples, (9); its gap closes like $\rho/2k$ once $k \gg \rho$, (10).
# - Its gradient weighs the samples by $\tilde w_s$, (12). The effective sample size, (13), says how many of them count; a low one is an alarm, a high one no proof.
# - For the encoder, a tighter bound means a weaker signal, (17); squared weights on the path through $z$ repair it, (20).
# - A test NLL comes with its $k$, its binarisation, its spread over images, or it cannot be compared.
#
# **Next:** lesson 10 trains your VAE in full, and puts its NLL beside the published table.
#
# ## Reading
#
# - Y. Burda, R. Grosse and R. Salakhutdinov, [Importance Weighted Autoencoders](https://arxiv.org/abs/1509.00519), 2016: the bound is Eq. 8, its monotonicity Theorem 1 (proof in Appendix A), the gradient Eqs. 13 and 14.
# - T. Rainforth et al., [Tighter Variational Bounds are Not Necessarily Better](https://arxiv.org/abs/1802.04537), 2018: Theorem 1 is our (17).
# - G. Tucker, D. Lawson, S. Gu and C. J. Maddison, [Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives](https://arxiv.org/abs/1810.04152), 2019: our (20).
# - A. B. Owen, [Monte Carlo theory, methods and examples](https://artowen.su.domains/mc/), 2013, section 9.3: the effective sample size is Eq. 9.13.
# - D. P. Kingma and M. Welling, [Auto-Encoding Variational Bayes](https://arxiv.org/abs/1312.6114), 2014: their Appendix D estimates $\log p(x)$ in another way.
