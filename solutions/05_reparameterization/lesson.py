# %% [markdown]
# # 05 · Reparameterization
#
# *The gradient of an expectation, two ways, and why one of them trains.*
#
# **After this lesson you can**
# - say why a sample stops a gradient, and derive two ways around it, line by line;
# - write both estimators, and tell from their assumptions where each may be used;
# - compute their variances exactly, and predict which of them can train a model;
# - repair the weaker one as far as it can be repaired, without making it biased.
#
# **You need** lesson 04 (`gaussian_kl` is used at the end), derivatives, PyTorch's autograd.
# **Time** about 80 minutes; every cell runs in seconds on a CPU, and a GPU is of no use here.
#
# The loss of a VAE contains $\mathbb E_{q(z|x)}[\log p(x|z)]$, and the parameters we train sit in $q$: in *what is
# averaged over*, not in what is averaged. This lesson is about the gradient of such an average.

# %% tags=["setup"]
import math
from collections.abc import Callable, Iterator
import torch
from torch import Tensor, nn
from vae_edu import check, data, exercise, viz

_ = torch.manual_seed(5)

# %% [markdown]
# ## 1 · A sample is a number
#
# Take the smallest case in which everything is known: $q = \mathcal N(\mu, 1)$ and $f(z) = z^2$. Then
#
# $$L(\mu) = \mathbb E_q[f(z)] = \mu^2 + 1, \qquad \frac{dL}{d\mu} = 2\mu .$$
#
# **Predict.** We draw samples at $\mu = 1.5$ and average $z^2$. If we then asked autograd for the gradient in $\mu$, what
# would come back: something near 3, exactly 0, or nothing?

# %%
mu = torch.tensor(1.5, requires_grad=True)
z = torch.distributions.Normal(mu, 1.0).sample((10_000,))
estimate = (z**2).mean()
print(f"L is estimated as {estimate:.3f}; the truth is {1.5**2 + 1:.3f}")
print("does the estimate know that it depends on mu?", estimate.requires_grad)

# %% [markdown]
# <details><summary>What happened</summary>
#
# Nothing: `estimate.backward()` would stop with "element 0 of tensors does not require grad". The value is right within two
# or three standard errors of about 0.03, but `sample()` returns plain numbers: which numbers came out does depend on $\mu$, and
# no operation recorded it. (A detached sample would even give the
# answer 0 without complaint, as soon as another part of the loss depends on $\mu$. The question at the end returns to this.)
#
# </details>
#
# We need the gradient as *another expectation*, one that samples can estimate. Start from the definition of an expectation.
#
# **Line 1** (definition): $\displaystyle \nabla_\theta\, \mathbb E_{q_\theta}[f(z)] = \nabla_\theta \int q_\theta(z) f(z)\, dz .$
#
# **Line 2** (exchange): $\displaystyle \phantom{\nabla_\theta\, \mathbb E_{q_\theta}[f(z)]} = \int \nabla_\theta\, q_\theta(z)\, f(z)\, dz .$
#
# A derivative is a limit and so is an integral, and two limits may be exchanged only under a condition. It is enough that,
# for almost every $z$, $q_{\theta'}(z)$ is differentiable at every $\theta'$ near $\theta$, with no jump, and that its derivative
# there stays below one integrable function: $|\nabla q_{\theta'}(z) f(z)| \le h(z)$ for all these $\theta'$, with
# $\int h < \infty$ (dominated convergence; "near" means the same distance for every $z$). A Gaussian's derivative in $\mu$ or
# $\log\sigma^2$ is a polynomial times a Gaussian: it falls so fast that any $f$ that grows like a power of $z$ is covered.
#
# The condition is not decoration. Take $q_\theta$ uniform on $(0, \theta)$ and $f(z) = z$: $L = \theta/2$, with derivative
# $1/2$. **Predict** what line 2 gives, with $q_\theta = 1/\theta$ inside the interval.

# %%
grid = torch.linspace(-12, 14, 20_001, dtype=torch.float64)
square = [(grid - m) ** 2 for m in (1.4999, 1.5, 1.5001)]
q = [torch.exp(-0.5 * d) / math.sqrt(2 * math.pi) for d in square]
outside = torch.trapezoid(grid**2 * (q[2] - q[0]), grid) / 2e-4
inside = torch.trapezoid(grid**2 * (grid - 1.5) * q[1], grid)
print(f"Gaussian: d/dmu of the integral {outside:.4f}, integral of d/dmu {inside:.4f}")
part = torch.linspace(0, 2, 2001, dtype=torch.float64)  # theta = 2, q = 1/theta
inside = torch.trapezoid(part * (-1 / 2.0**2), part)
print(f"uniform:  d/dtheta of the integral 0.5000, integral of d/dtheta {inside:.4f}")

# %% [markdown]
# <details><summary>What happened</summary>
#
# For the uniform, line 2 gives $\int_0^\theta z \cdot (-1/\theta^2)\, dz = -1/2$: the wrong sign. When $\theta$ grows, new
# values of $z$ become possible at the edge, and the derivative of the density at a fixed $z$ does not see them. For a $z$
# near $\theta$ the density jumps from 0 to $1/\theta'$ at $\theta' = z$: it is not differentiable at every $\theta'$ near
# $\theta$, and the condition fails. A Gaussian has no edge.
#
# </details>
#
# ## 2 · The log-derivative trick and the score
#
# Line 2 is an integral, but not an expectation: $\nabla q$ is no density. One identity repairs that.
#
# **Line 3** (chain rule for the logarithm; needs $q_\theta(z) > 0$, true for every Gaussian):
# $\nabla_\theta\, q_\theta(z) = q_\theta(z)\, \nabla_\theta \log q_\theta(z) .$
#
# **Line 4** (put line 3 into line 2):
# $$\nabla_\theta\, \mathbb E_{q_\theta}[f(z)] = \int q_\theta(z)\, f(z)\, \nabla_\theta \log q_\theta(z)\, dz
#   = \mathbb E_{q_\theta}\big[f(z)\, \nabla_\theta \log q_\theta(z)\big] .$$
#
# The vector $\nabla_\theta \log q_\theta(z)$ is called the **score**. It says in which direction to move the parameters to make this $z$
# more likely; $f(z)$ says how much we want that.
#
# **Line 5** (the score has mean zero): take $f = 1$ in line 4. The left side is $\nabla_\theta \int q_\theta = \nabla_\theta 1 = 0$, so
# $\mathbb E_{q_\theta}[\nabla_\theta \log q_\theta(z)] = 0$. The only assumption is that of line 2.
#
# For the Gaussian of a VAE, with $\ell_j = \log\sigma_j^2$,
# $\log q(z) = -\tfrac12 \sum_k \big(\log 2\pi + \ell_k + (z_k - \mu_k)^2 e^{-\ell_k}\big)$, and parameter $j$ occurs in the term $k = j$ only:
#
# $$\frac{\partial \log q}{\partial \mu_j} = (z_j - \mu_j)\, e^{-\ell_j}, \qquad
#   \frac{\partial \log q}{\partial \ell_j} = \tfrac12\big((z_j - \mu_j)^2 e^{-\ell_j} - 1\big) .$$
#
# The $-1$ comes from differentiating the normalising term $\ell_j$; without it the score's mean would not be zero.
#
# {{card:gaussian_score}}
#
# Everything in sections 3, 5 and 6 multiplies something by this score.
#
# <details><summary>Hint 1: a nudge</summary>
#
# Both results are elementwise; there is no sum in the code.
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Both need the distance z - mu and the inverse variance, which is the exponential of minus log_var. Broadcasting makes the shapes.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `distance = z - mu`
#
# </details>
#
# After the check, a picture (a straight line and a parabola, beside autograd's) and a test of line 5. **Predict** the mean of each score over samples of $q$, and its
# variance, for $\sigma^2 = e^{0.5} = 1.65$. (Write $z - \mu = \sigma\epsilon$; $\mathbb E\,\epsilon^2 = 1$ and $\mathbb E\,\epsilon^4 = 3$.)

# %% tags=["exercise:gaussian_score"]

# %% tags=["check:gaussian_score"]

# %%
at, zero = torch.linspace(-3, 4, 200), torch.zeros(200)
yours = gaussian_score(at[:, None], torch.tensor([0.8]), torch.tensor([0.5]))
leaf = [(zero + v).requires_grad_() for v in (0.8, 0.5)]
log_q = torch.distributions.Normal(leaf[0], (leaf[1] / 2).exp()).log_prob(at)
expected = torch.autograd.grad(log_q.sum(), leaf)
figure, panels = viz.axes(1, 2, size=(4.2, 2.9))
for k, name in enumerate(("score in mu", "score in log_var")):
    labels = ("z (latent units)", name)
    viz.beside(panels[k], at, yours[k][:, 0], expected[k], labels)
alt = "Your two scores against z, markers on autograd's lines: straight in mu; in log_var "
viz.show(figure, alt + "a parabola, negative within one sigma of mu, positive outside")

# %%
mu, log_var, eps = torch.tensor([0.8]), torch.tensor([0.5]), torch.randn(100_000, 1)
scores = gaussian_score(mu + (log_var / 2).exp() * eps, mu, log_var)
for k, name in enumerate(("mu", "log_var")):
    own, error = scores[k], scores[k].std() / math.sqrt(len(eps))
    print(f"{name:8} mean {own.mean():+.4f} ± {error:.4f}   variance {own.var():.3f}")

# %% [markdown]
# <details><summary>What to expect, and why</summary>
#
# Both means are 0 within two or three standard errors (line 5). The variances are
# $\operatorname{Var}[\epsilon/\sigma] = 1/\sigma^2 = 0.607$ and
# $\operatorname{Var}[\tfrac12(\epsilon^2 - 1)] = \tfrac14 (3 - 1) = 0.5$. The first one matters later: the narrower $q$, the noisier its
# score.
#
# </details>
#
# ## 3 · The score-function estimator
#
# Line 4 is an expectation under $q$, so an average over samples estimates it:
#
# $$\hat g = \frac1S \sum_{s=1}^{S} f(z^{(s)})\, \nabla_\mu \log q(z^{(s)}), \qquad z^{(s)} = \mu + \sigma\epsilon^{(s)},\; \epsilon^{(s)} \sim \mathcal N(0, I) .$$
#
# **Unbiased:** the expectation of a mean of $S$ terms is the mean of their expectations (linearity); each $z^{(s)}$ has density $q$, so each
# term has the expectation in line 4, which is the gradient. No assumption on $f$ beyond that of line 2.
#
# Note what is *not* there: a derivative of $f$. It may be a step, a count, a simulator.
#
# {{card:score_function_gradient}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# The formula is already a gradient. Nothing in it has to be differentiated, so autograd has no work here.
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Make the samples from eps, call f once on all of them, and weigh each sample's score (your function) with its value. f returns
# `(num_samples,)` and the scores are `(num_samples, latent)`: give f one dimension more.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `z = mu + (0.5 * log_var).exp() * eps`, best inside `with torch.no_grad():`
#
# </details>
#
# After the check, your estimator meets two functions whose gradients are known: $f = z^2$ with gradient $2\mu$, and a step, $f = 1$ where $z > 0$ and 0 elsewhere. For the step
# $\mathbb E f = P(\epsilon > -\mu/\sigma) = \Phi(\mu/\sigma)$, so the gradient is the normal density $\varphi(\mu/\sigma)/\sigma$.
# **Predict**: does the estimator notice that the step has no useful derivative?

# %% tags=["exercise:score_function_gradient"]

# %% tags=["check:score_function_gradient"]

# %%
mu, log_var, sigma = torch.tensor([0.8]), torch.tensor([-0.5]), math.exp(-0.25)
density = math.exp(-0.5 * (0.8 / sigma) ** 2) / math.sqrt(2 * math.pi) / sigma
cases = {
    "square": (lambda z: (z**2).sum(-1), 1.6),
    "step": (lambda z: (z > 0).float().sum(-1), density),
}
for name, (f, true) in cases.items():
    noise = torch.randn(100, 1000, 1)
    yours = torch.stack([score_function_gradient(f, mu, log_var, e) for e in noise])
    print(f"{name:7} {yours.mean():.3f} ± {yours.std() / 10:.3f}   true {true:.3f}")

# %% [markdown]
# Both agree within two or three standard errors (about 0.014 and 0.003). The estimator never asked $f$ for a derivative, so a jump is nothing special to it.
#
# ## 4 · The pathwise estimator
#
# The other way moves the parameters out of the distribution. Instead of asking *how likely is this z*, ask *where does this noise
# go*.
#
# **Line 6** (reparameterization): if $\epsilon \sim \mathcal N(0, I)$, then $z = g(\epsilon, \theta) = \mu + \sigma \odot \epsilon$ has the distribution
# $\mathcal N(\mu, \operatorname{diag}\sigma^2)$. Why: an affine map of a Gaussian vector is Gaussian; its mean is $\mu + \sigma \cdot 0$; its covariance
# is $\operatorname{diag}(\sigma)\, I \operatorname{diag}(\sigma)$.
#
# **What it assumes:** the noise has a distribution *free of the parameters*, and $g$ is differentiable in them. A Gaussian has such a $g$; a coin
# with probability $\theta$ does not, since its outcome jumps from 0 to 1 as $\theta$ moves.
#
# {{card:reparameterize}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# Which power of $e$ turns a log-variance into a standard deviation?
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Scale the noise, then shift it. Broadcasting takes care of samples and batches by itself.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# It is the only one, and it begins with `return mu + `.
#
# </details>

# %% tags=["exercise:reparameterize"]

# %% tags=["check:reparameterize"]

# %%
eps, at = torch.randn(20_000), torch.linspace(-5, 6, 300)
figure, panel = viz.axes(size=(6.0, 3.0))
choices = ((0.0, 0.0, "-"), (2.5, -1.0, "--"), (-1.0, 1.0, ":"))
for k, (m, v, style) in enumerate(choices):
    z, colour = reparameterize(torch.tensor(m), torch.tensor(v), eps), viz.COLOURS[k]
    panel.hist(z, bins=80, range=(-5, 6), density=True, color=colour, alpha=0.35)
    line, name = torch.distributions.Normal(m, math.exp(v / 2)), f"mu {m}, log_var {v}"
    panel.plot(at, line.log_prob(at).exp(), style, color=colour, label=name)
panel.set(xlabel="z (latent units)", ylabel="density")
panel.legend(frameon=False)
alt = "Histograms of the same noise moved and scaled by your function, for three pairs of "
viz.show(figure, alt + "mu and log_var; each fills the Gaussian density drawn as a line")

# %% [markdown]
# The same 20,000 numbers, moved and stretched, fill all three densities. Now the expectation is over a distribution that does not depend on
# $\theta$:
#
# **Line 7** (law of the unconscious statistician: average over $\epsilon$ in place of $z$): $\mathbb E_{q_\theta}[f(z)] = \mathbb E_{\epsilon}[f(g(\epsilon, \theta))]$.
#
# **Line 8** (exchange, as in line 2, now of $\nabla_\theta$ and $\mathbb E_\epsilon$; then the chain rule inside):
# $$\nabla_\mu\, \mathbb E_{q}[f(z)] = \mathbb E_\epsilon\big[\nabla_\mu f(\mu + \sigma\epsilon)\big]
#   = \mathbb E_\epsilon\big[\nabla_z f(z)\big], \qquad
#   \frac{\partial}{\partial \ell_j}\, \mathbb E_{q}[f(z)] = \mathbb E_\epsilon\Big[\frac{\partial f}{\partial z_j} \cdot \tfrac12 \sigma_j \epsilon_j\Big] .$$
#
# The first holds because $\partial z_j / \partial \mu_j = 1$, the second because $\partial e^{\ell/2} / \partial \ell = \tfrac12 e^{\ell/2}$. The exchange now asks
# something of $f$: it must be differentiable and have no jumps (kinks, as in a ReLU, are allowed), and $|\nabla f|$ must again be
# dominated by something integrable.
#
# An average over samples of $\nabla_\mu f(\mu + \sigma\epsilon)$ is the **pathwise** estimator: unbiased by linearity and line 8, as before.
#
# {{card:pathwise_gradient}}
#
# A VAE never calls such a function: `loss.backward()` does the same through the encoder. Here you do it by hand once, and as a good guest:
# no `.grad` of the caller's tensors, or of weights inside $f$, may be touched.
#
# <details><summary>Hint 1: a nudge</summary>
#
# Which tensor do you differentiate with respect to? If it is the caller's `mu`, autograd may need it to change.
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Make a leaf of your own with mu's value, send it through `reparameterize` and f, average, and use `torch.autograd.grad`, which returns
# gradients and stores none.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `leaf = mu.detach().clone().requires_grad_()`
#
# </details>
#
# After the check, two estimators of the same number, side by side. For $f(z) = \sum_j \sin z_j$ the truth is known: $\mathbb E \sin z_j = e^{-\sigma_j^2/2} \sin \mu_j$, so the
# gradient is $e^{-\sigma_j^2/2} \cos\mu_j$. We repeat each estimate 1,000 times, with $S = 10$ samples in ten dimensions.
# **Predict**: same centre? Which is wider?

# %% tags=["exercise:pathwise_gradient"]

# %% tags=["check:pathwise_gradient"]

# %%
mu, log_var, noise = torch.full((10,), 0.5), torch.zeros(10), torch.randn(1000, 10, 10)
figure, panel = viz.axes(size=(6.0, 3.0))
for k, way in enumerate((score_function_gradient, pathwise_gradient)):
    made = [way(lambda z: z.sin().sum(-1), mu, log_var, e)[0] for e in noise]
    own, style = torch.stack(made), {"color": viz.COLOURS[1 - k], "hatch": "/."[k]}
    name = f"{way.__name__}: {own.mean():.2f} ± {own.std():.2f}"
    panel.hist(own, bins=60, range=(-3, 4), alpha=0.6, label=name, **style)
panel.axvline(0.532, color=viz.BLACK, linestyle="--", label="truth: 0.532")
panel.set(xlabel="estimate of the gradient's first component", ylabel="count")
panel.legend(frameon=False, loc="upper left", fontsize=8)
alt = "Histograms of 1,000 estimates of each kind around the truth, 0.532: the pathwise "
viz.show(figure, alt + "ones in a narrow peak, the score-function ones six times as wide")

# %% [markdown]
# Same centre, and very different widths (the ± is the standard deviation of one estimate: about 0.16 against 1.0).
#
# But the pathwise estimator has a condition that the other has not. **Predict**: what does it say for $f(z) = \operatorname{sign}(z)$, whose derivative is 0
# everywhere but at one point?

# %%
mu, log_var, eps = torch.tensor([0.3]), torch.tensor([0.0]), torch.randn(100_000, 1)
true = 2 * math.exp(-0.5 * 0.3**2) / math.sqrt(2 * math.pi)  # of P(z > 0) - P(z < 0)
for way in (score_function_gradient, pathwise_gradient):
    yours = way(lambda z: torch.sign(z).sum(-1), mu, log_var, eps).item()
    print(f"{way.__name__:24} {yours:.3f}   (true: {true:.3f})")

# %% [markdown]
# <details><summary>What happened</summary>
#
# The pathwise estimate is 0, with no error and no warning: every sample sits where $f$ is flat, and the jump, where all of the change happens,
# is hit with probability zero. "Differentiable almost everywhere" is not enough; line 8 needs $f$ without jumps. The score
# function is right within two or three standard errors of about 0.003.
#
# </details>
#
# ## 5 · The variance, exactly
#
# For $f(z) = \sum_k z_k^2$ everything can be computed. One sample, component $j$.
#
# **Pathwise.** The estimate is $\partial f / \partial z_j = 2 z_j$, so
# $$\operatorname{Var}[2 z_j] = 4\sigma_j^2 .$$
# The other dimensions do not occur: the path knows which of them it moves.
#
# **Score function.** The estimate is $g_j = f(z)\, \epsilon_j / \sigma_j$, of mean $2\mu_j$. Split $f = z_j^2 + R_j$ with $R_j = \sum_{k \ne j} z_k^2$,
# which is independent of $\epsilon_j$. Then, term by term of the square, and since independent factors have a product of expectations,
#
# $$\mathbb E[f^2 \epsilon_j^2] = \mathbb E[z_j^4 \epsilon_j^2] + 2\,\mathbb E[z_j^2 \epsilon_j^2]\,\mathbb E[R_j] + \mathbb E[R_j^2]\,\mathbb E[\epsilon_j^2] .$$
#
# Put in $z = \mu + \sigma\epsilon$, multiply out, and use that odd powers of $\epsilon$ have mean 0 and $\mathbb E\,\epsilon^2, \epsilon^4, \epsilon^6 = 1, 3, 15$:
#
# - $\mathbb E[z^2 \epsilon^2] = \mu^2 + 3\sigma^2$ and $\mathbb E[z^4 \epsilon^2] = \mu^4 + 18\mu^2\sigma^2 + 15\sigma^4$ (here $18 = 6 \cdot 3$);
# - $\mathbb E[z_k^2] = \mu_k^2 + \sigma_k^2$ and $\operatorname{Var}[z_k^2] = 2\sigma_k^4 + 4\mu_k^2\sigma_k^2$;
# - $\mathbb E[R_j^2] = \big(\sum_{k \ne j} \mathbb E[z_k^2]\big)^2 + \sum_{k \ne j} \operatorname{Var}[z_k^2]$, as variances of independent terms add.
#
# Divide by $\sigma_j^2$ and subtract the square of the mean, $4\mu_j^2$. At $\mu = 0$ with one $\sigma$ for all, this becomes $(d+2)(d+4)\,\sigma^2$,
# against $4\sigma^2$: the square of the dimension, against a constant.
#
# {{card:score_function_variance}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# Name the pieces: the mean and the variance of each $z_k^2$ first. Sums over $k \ne j$ are the sum over all, less the own term.
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# `total.sum(-1, keepdim=True) - total` is the sum over the others, for every $j$ at once. Use it for the means and for the variances.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `mu, log_var = torch.broadcast_tensors(mu, log_var)`, then `var = log_var.exp()`
#
# </details>
#
# **Predict** the ratio of the two variances at $\mu_j = \sigma_j = 1$: for $d = 1$, for $d = 20$ (a usual latent size), and for $d = 200$. By hand for $d = 1$:
# $1 + 18 + 15 - 4 = 30$ against 4.

# %% tags=["exercise:score_function_variance"]

# %% tags=["check:score_function_variance"]

# %%
sizes, exact, measured = (1, 2, 5, 10, 20, 50, 100, 200), [], []
for d in sizes:
    at = torch.ones(d), torch.zeros(d)  # mu and log_var
    exact.append((score_function_variance(*at) / 4).mean().item())
    z = reparameterize(*at, torch.randn(5_000, d))
    estimate = (z**2).sum(-1, keepdim=True) * gaussian_score(z, *at)[0]
    measured.append((estimate.var(0).mean() / (2 * z).var(0).mean()).item())
figure, panel = viz.axes(subplot_kw={"xlabel": "latent dimensions d", "ylabel": "variance ratio"})
panel.loglog(sizes, measured, color=viz.BLUE, linewidth=3, alpha=0.6, label="measured")
panel.loglog(sizes, exact, "o", color=viz.RED, label="yours, exact")
panel.legend(frameon=False)
viz.show(figure, "Ratio of variances against d: yours, 7.5 to 40,703, on the measured line")

# %% [markdown]
# The measured ratios, with 5,000 samples, lie within 3% of yours from $d = 5$ on, and within some 10% below, where the tails are heavy:
# 7.5 at $d = 1$, 473 at $d = 20$, 40,703 at $d = 200$. Averaging $S$ samples divides a variance by $S$. So at 20 dimensions the
# score function needs 473 samples to be as good as *one* pathwise sample. A VAE takes one.
#
# <details><summary>Question: where does the square of d come from, in words?</summary>
#
# $f$ has a mean of size $d$ that has nothing to do with $\epsilon_j$. The estimate is $\epsilon_j/\sigma_j$ times a number of size $d$: its variance is of size $d^2$.
# In the mean over many samples the product averages out, since the score has mean zero (line 5); in one sample it does not.
#
# </details>
#
# ## 6 · A baseline
#
# That answer suggests a repair: subtract from $f$ what has nothing to do with the sample.
#
# **Line 9** (a constant does no harm): for every $b$ that does not depend on $z$,
# $\mathbb E[(f - b)\, \nabla\log q] = \mathbb E[f\, \nabla\log q] - b\, \mathbb E[\nabla\log q] = \nabla\, \mathbb E[f] - b \cdot 0$, by linearity and line 5.
#
# **Line 10** (it changes the variance): with $u = \epsilon_j/\sigma_j$, the score, and the mean unchanged,
# $\operatorname{Var}[(f - b)u] = \mathbb E[f^2 u^2] - 2b\, \mathbb E[f u^2] + b^2\, \mathbb E[u^2] - (\mathbb E[f u])^2$: a parabola in $b$, lowest at
# $b^* = \mathbb E[f u^2] / \mathbb E[u^2]$.
#
# At $\mu = 0$, $\sigma = 1$ the section before gives $\mathbb E[f u^2] = 3 + (d - 1) = d + 2$ and $\mathbb E[f^2 u^2] = (d+2)(d+4)$, so
#
# | baseline | none | $b = \mathbb E f = d$ | $b^* = d + 2$ | pathwise, to compare |
# | --- | --- | --- | --- | --- |
# | variance | $(d+2)(d+4)$ | $2(d + 4)$ | $2(d + 2)$ | $4$ |
#
# The plain mean of $f$ is nearly the best constant: the square of $d$ is gone. A factor $d$ remains. **Check** the parabola for $d = 10$:

# %%
eps, b = torch.randn(100_000, 10), torch.linspace(-5, 25, 31)
value = (eps**2).sum(-1)
measured = torch.stack([((value - c)[:, None] * eps).var(0).mean() for c in b])
figure, panel = viz.axes()
panel.plot(b, 168 - 24 * b + b**2, color=viz.BLUE, label="line 10")
panel.plot(b, measured, "o", color=viz.RED, markersize=4, label="measured")
marks = ((0, "none: 168", "s"), (10, "mean: 28", "^"), (12, "best: 24", "D"))
for c, name, mark in marks:
    panel.plot(c, 168 - 24 * c + c**2, mark, color=viz.BLACK, label=name)
panel.set(xlabel="baseline b (units of f)", ylabel="variance of one component")
panel.legend(frameon=False)
viz.show(figure, "A parabola in b: 168 at b = 0, 28 at the mean of f, 24 at its lowest")

# %% [markdown]
# We do not know $\mathbb E f$. Can the samples themselves supply it? The mean over all $S$ samples contains $f(z^{(s)})$ itself, so it is *not* independent of the score it
# multiplies, and line 9 no longer applies. How bad is it? With $\bar f$ the mean over all samples, in $\mathbb E[\bar f\, u^{(s)}]$ only the sample's own share
# $f(z^{(s)})/S$ is correlated with $u^{(s)}$, the score of sample $s$; every other product has expectation
# $\mathbb E[f]\,\mathbb E[u] = 0$. So
#
# $$\mathbb E[(f - \bar f)\, u] = \Big(1 - \frac1S\Big)\, \nabla\, \mathbb E[f] :$$
#
# too short, by half at $S = 2$. **Leave one out:** let sample $s$ use $b_s$, the mean over the *other* $S - 1$. It is independent of $z^{(s)}$, so line 9 holds given the other
# samples, and then on average over them: unbiased. Since $b_s = \frac{S\bar f - f_s}{S-1}$, we have
# $f_s - b_s = \frac{S f_s - S\bar f}{S-1} = \frac{S}{S-1}(f_s - \bar f)$: it repairs exactly the factor above. (It is the sample
# covariance of $f$ and the score, with the familiar $S - 1$.)
#
# {{card:score_function_gradient_with_baseline}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# Start from your `score_function_gradient`. Only what multiplies the score changes.
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# The sum over the others is the sum over all, less the own value: one tensor operation for all samples, no loop.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# After `values = f(z)`: `baseline = (values.sum() - values) / (len(values) - 1)`
#
# </details>

# %% tags=["exercise:score_function_gradient_with_baseline"]

# %% tags=["check:score_function_gradient_with_baseline"]

# %%
plain, loo = score_function_gradient, score_function_gradient_with_baseline
at = torch.ones(1), torch.zeros(1)  # mu and log_var; the true gradient is 2
print("mean estimate / true gradient")
for n in (2, 3, 5, 10):
    noise = torch.randn(3000, n, 1)
    own = torch.stack([loo(lambda z: (z**2).sum(-1), *at, e) for e in noise]) / 2
    all_in = [plain(lambda z: (z**2).sum(-1) - (z**2).mean(), *at, e) for e in noise]
    naive, error = torch.stack(all_in).mean() / 2, own.std() / math.sqrt(3000)
    words = f"mean over all {naive:.2f}   1 - 1/S = {1 - 1 / n:.2f}"
    print(f"S = {n:2}   leave one out (yours) {own.mean():.2f} ± {error:.2f}   {words}")

# %% [markdown]
# Yours stays at 1 within two or three of its error bars (each one standard error, up to 0.04); the other follows $1 - 1/S$.
#
# ## 7 · Does it train?
#
# A model with a known answer first: minimise $\mathbb E\,\lVert z - c\rVert^2$ over $\mu$, with $z \sim \mathcal N(\mu, I)$, $c = (2, \dots, 2)$, by plain gradient steps of 0.005 with $S = 8$
# samples each. Without noise the distance to $c$ shrinks by $1 - 2 \cdot 0.005$ a step: to $2 \cdot 0.99^{300} = 0.098$ after 300. **Predict** which of the three methods
# follows that line at $d = 2$, 20 and 100.


# %%
def descend(way: Callable, d: int) -> list[float]:
    mu, path, chance = torch.zeros(d), [], torch.Generator().manual_seed(6)
    for _ in range(300):
        noise = torch.randn(8, d, generator=chance)
        gradient = way(lambda z: ((z - 2) ** 2).sum(-1), mu, torch.zeros(d), noise)
        mu = mu - 0.005 * gradient
        path.append((mu - 2).square().mean().sqrt().item())
    return path


print(f"pathwise, d = 2: {descend(pathwise_gradient, 2)[-1]:.3f} after 300 steps")

# %%
ways = {"pathwise": pathwise_gradient, "leave one out": loo, "score function": plain}
how = {"yscale": "log", "ylim": (0.05, 30), "xlabel": "step"}
figure, panels = viz.axes(1, 3, size=(3.6, 3.2), sharey=True, subplot_kw=how)
for panel, d in zip(panels, (2, 20, 100), strict=True):
    for k, (name, way) in enumerate(ways.items()):
        style = {"color": viz.COLOURS[k], "marker": viz.MARKERS[k], "markevery": 60}
        panel.plot(descend(way, d), label=name, **style)
    panel.plot([2 * 0.99**t for t in range(1, 301)], "k--", label="without noise")
    panel.set(title=f"d = {d}", ylabel="distance to c, per dimension")
    panel.yaxis.label.set_visible(d == 2)  # once is enough
panels[0].legend(frameon=False, fontsize=9)
viz.show(figure, "Pathwise stays near the noise-free line; the score function runs off at d = 100")

# %% [markdown]
# The pathwise line stays near the noise-free one at every $d$: about 0.11 after 300 steps (over 20 seeds 0.07 to 0.13 at $d = 2$, where only two coordinates are averaged,
# and 0.09 to 0.12 above). The plain score function keeps up at $d = 2$, lags at $d = 20$ (it ends between 0.25 and 0.6) and runs away at $d = 100$: its noise grows with
# $f$, hence with the distance, hence with its own mistakes. The baseline keeps it in check: 0.10 to 0.18 at $d = 20$, 0.2 to 0.3 at $d = 100$.
#
# Now a real, if tiny, model: a linear encoder, a linear decoder, 20 latent dimensions, 1,000 binarised digits. Only the gradient of the reconstruction term differs; the
# KL is in closed form (your `gaussian_kl` of lesson 04).

# %% tags=["data"]
from vae_edu.exercises.kl_divergence import gaussian_kl

torch.set_num_threads(1)  # for matrices this small, one thread is the fastest
digits, bce = data.load(), nn.functional.binary_cross_entropy_with_logits
x = data.binarize_images(digits.train[:1000], torch.Generator().manual_seed(0))
rate = x.mean(0)
blind = -(torch.xlogy(rate, rate) + torch.xlogy(1 - rate, 1 - rate)).sum().item()
print(f"{digits.label}\nbest model that ignores z: {blind:.1f} nats per image")
figure, panel = viz.axes(size=(6.0, 1.2))
viz.image_grid(panel, x[:20], digits.shape, columns=10)
viz.show(figure, "Twenty binarised handwritten digits from the training data")

# %% [markdown]
# How does a score-function gradient enter autograd? Through a term that has *value zero* and the right *gradient*: with cost and score held as numbers,
# $\text{cost} \cdot (\text{score}_\mu \cdot \mu + \text{score}_\ell \cdot \ell)$, less its own value, has the derivatives $\text{cost} \cdot \text{score}_\mu$ in $\mu$ and
# $\text{cost} \cdot \text{score}_\ell$ in $\ell$.
#
# The next cell tries it: value 0, and gradient 2 (the cost) times 1 (the score at $z = 1$). With it, the three losses are one function. Two noise samples for each image, so the others' mean
# is just the other sample's cost: `cost.flip(0)`.
#
# **Predict.** The dashed line in the last figure is the best that a model can do whose decoder learns nothing from $z$. Which of the three get below it in 500 steps?


# %%
def score_term(cost: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    score_mu, score_log_var = gaussian_score(z, mu.detach(), log_var.detach())
    slope = (score_mu * mu + score_log_var * log_var).sum(-1)  # (num_samples, batch)
    return cost.detach() * (slope - slope.detach())


mu, log_var = torch.zeros(1, 3, requires_grad=True), torch.zeros(1, 3)
term = score_term(torch.tensor([[2.0]]), torch.ones(1, 1, 3), mu, log_var).sum()
print(
    f"value {term.item():.1f}, gradient in mu {torch.autograd.grad(term, mu)[0].tolist()}"
)


# %% tags=["data"]
def loss_of(way: str, encoder: nn.Module, decoder: nn.Module, x: Tensor) -> Tensor:
    mu, log_var = encoder(x).chunk(2, -1)
    z = reparameterize(mu, log_var, torch.randn(2, *mu.shape))
    z = z if way == "pathwise" else z.detach()
    cost = bce(decoder(z), x.expand(2, *x.shape), reduction="none").sum(-1)
    centred = cost - cost.flip(0) if way == "leave one out" else cost
    term = 0 if way == "pathwise" else score_term(centred, z, mu, log_var)
    return ((cost + term).mean(0) + gaussian_kl(mu, log_var)).mean()


start = loss_of("pathwise", nn.Linear(x.shape[1], 40), nn.Linear(20, x.shape[1]), x)
print(f"an untrained model: {start.item():.1f} nats per image")


# %% tags=["data"]
def train(way: str) -> Iterator[float]:
    parts = nn.ModuleList([nn.Linear(x.shape[1], 40), nn.Linear(20, x.shape[1])])
    optimizer = torch.optim.Adam(parts.parameters(), lr=0.08 / math.sqrt(x.shape[1]))
    for _ in range(500):
        loss = loss_of(way, *parts, x[torch.randint(len(x), (100,))])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


print(f"the loss at the first step: {next(train('leave one out')):.1f} nats per image")

# %% tags=["data"]
figure, panel = viz.axes(size=(6.5, 3.4), subplot_kw={"yscale": "log"})
for k, way in enumerate(("pathwise", "leave one out", "score function")):
    _ = torch.manual_seed(0)
    curve = torch.tensor(list(train(way))).view(25, 20).mean(1)  # means of 20 steps
    style = {"color": viz.COLOURS[k], "marker": viz.MARKERS[k], "markersize": 4}
    panel.plot(range(10, 500, 20), curve, label=f"{way}: {curve[-1]:.1f}", **style)
    print(f"{way:15} {curve[-1]:.1f} nats per image over the last 20 steps")
panel.axhline(blind, color="k", linestyle="--", label=f"ignoring z: {blind:.1f}")
panel.set(xlabel="step", ylabel="negative ELBO (nats per image)")
panel.legend(frameon=False)
panel.yaxis.set_minor_formatter("{x:.0f}")
viz.show(figure, "Negative ELBO by step: pathwise lowest, leave-one-out next, score function last")

# %% [markdown]
# What to expect, as mean and standard deviation over five seeds, averaged over the last 20 of 500 steps, in nats per image:
#
# | images | pathwise | leave one out | score function | ignoring $z$ |
# | --- | --- | --- | --- | --- |
# | MNIST | 142.2 ± 0.9 | 156.6 ± 0.9 | 255 ± 36 | 203.0 |
# | scikit-learn's digits | 25.2 ± 0.2 | 26.4 ± 0.2 | 29.9 ± 0.6 | 27.0 |
#
# All three are unbiased estimates of the same gradient; only their variance differs. The plain score function does not get below the dashed line (on MNIST it may even
# climb away from it): it learns no more than the average digit, since what the encoder receives is mostly noise. The baseline turns it into
# an estimator that trains; the path still wins, at the same cost for each step.
#
# <details><summary>Question: where in a VAE's training loop is pathwise_gradient?</summary>
#
# In `loss.backward()`. The loss is an average over samples of $f(\mu + \sigma\epsilon)$, and autograd sends its gradient through $z$ to $\mu$ and $\ell$ and on into the
# encoder's weights, for the whole batch at once. One sample for each image is enough, since the batch averages too.
#
# </details>
#
# <details><summary>Question: the latent variable is a coin, 0 or 1. Which estimator is left?</summary>
#
# The score function: its conditions are on $q$, and $\log q(z) = z \log\theta + (1 - z)\log(1 - \theta)$ is smooth in $\theta$. A path does not exist: as $\theta$ moves, each
# outcome stays where it is until it jumps. This is where leave-one-out baselines are used in earnest.
#
# </details>
#
# <details><summary>Question: add 1,000 to f. What happens to the mean and the variance of each estimator?</summary>
#
# The means stay: a constant has gradient 0. The pathwise estimator does not change at all, as it sees only $\nabla f$; nor does leave-one-out, as the constant
# cancels in $f_s - b_s$. The plain score function's variance grows by about $1000^2 / \sigma^2$ (line 10, with $b = -1000$).
#
# </details>

# %% [markdown] tags=["written:sample_or_rsample:2"]
# **Written question** (2 points). In a VAE a friend writes `z = Normal(mu, sigma).sample()`, which detaches, where `rsample()`, which reparameterizes, was meant. There is no error and
# the loss goes down. Which gradients reach the encoder, which are missing, and what will the trained model look like? Name one
# number to print that would have shown the mistake. (Four to six sentences.)
#
# ### BEGIN SOLUTION
# The decoder receives its full gradient, so the loss falls. The encoder receives the gradient of the KL term only, since that term is computed from mu and log_var; the gradient of the
# reconstruction term is missing, because it would have to come through z, and z is a plain number. What is left is not a noisy gradient of the loss but a biased one: it lacks a
# term. The KL alone is lowest when q equals the prior for every image, so the encoder moves there and z carries no information about x. The decoder then
# can do no better than the average image: all reconstructions look alike. The KL per image, printed at each epoch, goes to 0; the norm of the gradient of the
# reconstruction term with respect to the encoder's weights is exactly 0 (or None) from the first step.
# (1 point: which gradients arrive and which do not. 1 point: KL to zero or identical reconstructions, with a number that shows it.)
# ### END SOLUTION

# %% [markdown]
# ## Summary
#
# | | score function | pathwise |
# | --- | --- | --- |
# | gradient in $\mu$ | $\mathbb E_q[f(z)\, \nabla_\mu \log q(z)]$ | $\mathbb E_\epsilon[\nabla_z f(\mu + \sigma\epsilon)]$ |
# | asks of $q$ | a differentiable density, no moving edges | a path $z = g(\epsilon, \theta)$, noise free of $\theta$ |
# | asks of $f$ | its value | a derivative, and no jumps |
# | variance, $f = \sum_j z_j^2$, $\mu = 0$ | $(d+2)(d+4)\,\sigma^2$; with a baseline $2(d+4)\,\sigma^2$ | $4\sigma^2$ |
#
# - A sample is a number; a gradient of an expectation must be derived, and each derivation exchanges a derivative and an integral.
# - The score has mean zero: that makes baselines harmless, and the sample's own value in its baseline harmful.
# - Both are unbiased. Only one of them has a variance that does not grow with the number of dimensions here.
#
# **Next:** lesson 06 looks at the $f$ of a VAE, the likelihood $\log p(x|z)$.
#
# **To read**
# - Kingma & Welling 2014, *Auto-Encoding Variational Bayes*: Sec. 2.2 on the variance of the score-function estimator, Sec. 2.4 and Eq. 10 for the trick of this lesson.
# - Rezende, Mohamed & Wierstra 2014, *Stochastic Backpropagation and Approximate Inference in Deep Generative Models*: Sec. 3, the Gaussian case.
# - Williams 1992, *Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning*: Theorem 1 and, for Gaussians, Sec. 6.
# - Kool, van Hoof & Welling 2019, *Buy 4 REINFORCE Samples, Get a Baseline for Free!*: the leave-one-out baseline.
# - Mohamed, Rosca, Figurnov & Mnih 2020, *Monte Carlo Gradient Estimation in Machine Learning*: Sec. 4 (Eq. 13) and Sec. 5, with the conditions in full.
