# %% [markdown]
# # 04 · The KL divergence of Gaussians, in closed form
#
# **After this lesson you can** say what a KL divergence measures and why it is not a distance;
# derive the KL term of a VAE from its definition and implement it; estimate it by sampling where no
# closed form exists, and say how far off the estimate will be; and read from its gradient what it
# does to an encoder.
#
# **You need** lesson 03 (the ELBO contains a KL) and the density of a Gaussian (lesson 02). **Time:** about
# 85 minutes, 50 of them for six exercises. The cells run in about 10 s.
#
# Lesson 03 ended with a bound, `ELBO = reconstruction - KL`. For a handful of states you summed the KL.
# A VAE has a continuous $z$, and there the sum is an integral over many dimensions, in every training
# step. For two Gaussians the integral has a value that fits in one line of code. This lesson earns it.

# %% tags=["setup"]
import math
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from vae_edu import check, data, exercise, viz
_ = torch.manual_seed(4)

# %% [markdown]
# ## 1 · What it measures
#
# Draw $z$ from $q$ and ask how much more probable $q$ makes it than $p$ does: the log-ratio
# $\log q(z) - \log p(z)$. The **Kullback-Leibler divergence** is the average of that log-ratio, over
# draws from $q$:
#
# $$\mathrm{KL}(q \,\|\, p) = \int q(z) \log\frac{q(z)}{p(z)}\,dz
#   = \mathbb E_{q}\big[\log q(z) - \log p(z)\big]. \tag{1}$$
#
# Assumed: $p(z) > 0$ wherever $q(z) > 0$, so that the ratio exists, and the integral exists. For
# Gaussians both hold. With the natural logarithm the unit is the *nat*; one nat is
# $1/\log 2 \approx 1.44$ bits.
#
# **Predict.** Let $q = N(1, 0.5^2)$ and $p = N(0, 1)$. Is the integrand
# $q(z)\,[\log q(z) - \log p(z)]$ positive everywhere?
#
# <details><summary>Answer</summary>
# No. Where p is the larger of the two the log-ratio is negative. Only the area, positive parts less
# negative parts, cannot be negative; we prove that next.
# </details>

# %%
z = torch.linspace(-40, 40, 8001, dtype=torch.float64)  # 0.01 apart: sums are integrals
q, p = Normal(1.0, 0.5), Normal(0.0, 1.0)
density, ratio = q.log_prob(z).exp(), q.log_prob(z) - p.log_prob(z)
print(f"KL(q || p) by quadrature: {torch.trapezoid(density * ratio, z):.6f} nats")
figure, panel = viz.axes()
panel.plot(z, density, viz.BLUE, linestyle="--", label="q(z)")
panel.plot(z, p.log_prob(z).exp(), viz.ORANGE, linestyle=":", label="p(z)")
panel.fill_between(z, density * ratio, color=viz.GREEN, alpha=0.4, label="integrand")
panel.set(xlim=(-3, 4), xlabel="z (no unit)", ylabel="density; integrand (nats)")
panel.legend(frameon=False)
alt = "q, p and the integrand: negative left of 0.4 and, barely visible, right of 2.3"
viz.show(figure, alt + "; positive between; its area, signs counted, is 0.82 nats.")

# %% [markdown]
# The log-ratio is a parabola in $z$ with two zeros, at 0.38 and 2.29. The green area between them counts as
# positive; on both sides of it the integrand is negative (on the right by too little to see).
#
# ### It is never negative
#
# Two lines prove it, and each is used again below.
#
# *Line 1.* For every $t > 0$,
# $$\log t \le t - 1, \quad\text{with equality only at } t = 1. \tag{2}$$
# Let $g(t) = t - 1 - \log t$. Its slope $1 - 1/t$ is negative before 1 and positive after, so the
# minimum is $g(1) = 0$, and it is attained nowhere else.
#
# *Line 2.* Put $t = p(z)/q(z)$, multiply by $q(z) > 0$ and integrate where $q > 0$ (integrating keeps an
# inequality):
# $$-\mathrm{KL}(q\,\|\,p) = \int q \log\frac{p}{q}\,dz \le \int q\,\Big(\frac{p}{q} - 1\Big)dz
#   = \int p\,dz - \int q\,dz \le 1 - 1 = 0. \tag{3}$$
#
# This is **Gibbs' inequality**. When is it an equality? Only if (2) is an equality at every $z$ that $q$
# can produce, that is, if $p = q$ there. So **KL = 0 says that the two distributions are the same**.
#
# ### It is not a distance
#
# A distance is symmetric and obeys the triangle inequality: a detour is never shorter.
#
# **Predict.** Which of the two fails for the KL?
#
# <details><summary>Answer</summary>
# Both. Equation (1) averages over draws from its first argument, so exchanging the two changes the
# question. And three Gaussians in a row break the triangle inequality; see the last two rows below.
# </details>

# %%
def by_quadrature(q, p):
    log_q, log_p = q.log_prob(z), p.log_prob(z)
    return torch.trapezoid(log_q.exp() * (log_q - log_p), z).item()

narrow, standard = Normal(1.0, 0.5), Normal(0.0, 1.0)
one, two = Normal(1.0, 1.0), Normal(2.0, 1.0)
detour = by_quadrature(standard, one) + by_quadrature(one, two)
print(f"KL(narrow || standard)  {by_quadrature(narrow, standard):.4f} nats")
print(f"KL(standard || narrow)  {by_quadrature(standard, narrow):.4f} nats")
print(f"0 to 2 directly         {by_quadrature(standard, two):.4f} nats")
print(f"0 to 1, then 1 to 2     {detour:.4f} nats")

# %% [markdown]
# ## 2 · The first half: $\mathbb E_q \log q$
#
# Equation (1) is a difference of two expectations, and an expectation of a difference is the difference
# of the expectations (linearity). We compute one, then the other. From here on $q$ is a Gaussian with
# mean $\mu$ and variance $\sigma^2 = e^{\ell}$; an encoder will output $\mu$ and $\ell$, `mu` and `log_var`.
#
# In one dimension,
# $$\log q(z) = -\tfrac12\Big[\log 2\pi + \ell + \frac{(z-\mu)^2}{\sigma^2}\Big]. \tag{4}$$
#
# Take the expectation under $q$. The first two terms are constants. For the third, $\mathbb
# E_q(z-\mu)^2 = \sigma^2$ is the definition of the variance, so its expectation is $1$:
# $$\mathbb E_q \log q(z) = -\tfrac12\big[\log 2\pi + \ell + 1\big]. \tag{5}$$
#
# With $D$ dimensions and a diagonal covariance the density is a product, its logarithm a sum, and the
# expectation of a sum is the sum of the expectations: (5) is added up over the dimensions.
#
# **Predict.** What happens to (5) when $\mu$ moves by 3?
#
# <details><summary>Answer</summary>
# Nothing: q moves as a whole, and a density takes the same values at other places. So mu is not even an
# argument of the exercise.
# </details>

# %% [markdown]
# {{card:expected_log_q}}
#
# The first half of the KL; with the other sign it is the entropy of $q$.
#
# <details><summary>Hint 1: a nudge</summary>
# The shape (batch, latent) becomes (batch,). Which dimension goes, and is it summed or averaged?
# </details>
# <details><summary>Hint 2: the idea</summary>
# Write equation (5) for each entry of log_var, then sum over the last dimension, counted from the
# end, so that it works with a sample dimension in front too.
# </details>
# <details><summary>Hint 3: the first line</summary>
# <code>per_dimension = -0.5 * (math.log(2 * math.pi) + ...)</code>
# </details>

# %% tags=["exercise:expected_log_q"]
# %% tags=["check:expected_log_q"]
# %%
ell = torch.linspace(-4, 3, 101, dtype=torch.float64)
yours = expected_log_q(ell.unsqueeze(-1))  # 101 examples of one dimension
sigma = (0.5 * ell).exp().unsqueeze(-1)
log_q = Normal(0.7, sigma).log_prob(z)  # (101, 8001); any other mean would do
truth = torch.trapezoid(log_q.exp() * log_q, z)
figure, panel = viz.axes()
viz.beside(panel, ell, yours, truth, ("log-variance (no unit)", "E log q (nats)"))
panel.set_title("A wider q has a lower average log-density")
viz.show(figure, "Your expected log q on the integral: a straight line of slope -1/2.")

# %% [markdown]
# A straight line of slope $-\tfrac12$: each unit of log-variance lowers the average log-density by half a
# nat. Taken alone, this half of the KL would drive the variance up without end. The other half holds it.
#
# ## 3 · The second half: $\mathbb E_q \log p$
#
# The prior is $p = N(0, 1)$ in each dimension, so $\log p(z) = -\tfrac12[\log 2\pi + z^2]$ and the only
# thing to find is $\mathbb E_q z^2$. Write $z = \mu + (z - \mu)$ and square:
# $$\mathbb E_q z^2 = \mu^2 + 2\mu\,\mathbb E_q(z-\mu) + \mathbb E_q(z-\mu)^2 = \mu^2 + 0 + \sigma^2. \tag{6}$$
# The middle term vanishes because $\mu$ is the mean of $q$; nothing else about $q$ was used, so (6)
# holds for any distribution with this mean and variance. Hence
# $$\mathbb E_q \log p(z) = -\tfrac12\big[\log 2\pi + \mu^2 + e^{\ell}\big], \tag{7}$$
# again to be summed over the dimensions.

# %% [markdown]
# {{card:expected_log_prior}}
#
# The half that keeps codes near the origin: large means and large variances both make $\log p$ small.
#
# <details><summary>Hint 1: a nudge</summary>
# Is exp(log_var) a variance or a standard deviation?
# </details>
# <details><summary>Hint 2: the idea</summary>
# The shape of the previous exercise, with equation (7) inside. Add before you sum: then mu and
# log_var may have different leading dimensions.
# </details>
# <details><summary>Hint 3: the first line</summary>
# <code>second_moment = mu**2 + ...</code>
# </details>

# %% tags=["exercise:expected_log_prior"]
# %% tags=["check:expected_log_prior"]
# %%
ell = torch.linspace(-4, 2, 101, dtype=torch.float64)
figure, panel = viz.axes()
for m, colour in ((0.0, viz.BLUE), (1.0, viz.ORANGE), (2.0, viz.GREEN)):
    yours = expected_log_prior(torch.full((101, 1), m).double(), ell.unsqueeze(-1))
    weights = Normal(m, (0.5 * ell).exp().unsqueeze(-1)).log_prob(z).exp()
    truth = torch.trapezoid(weights * p.log_prob(z), z)
    panel.plot(ell, truth, color=colour, label=f"integral, mu = {m:.0f}")
    panel.plot(ell[::8], yours[::8], "o", color=colour)
panel.set(xlabel="log-variance (no unit)", ylabel="E log p (nats)", title="dots: yours")
panel.legend(frameon=False)
alt = "E log p against the log-variance, three means: flat, then bending down to the right"
viz.show(figure, alt)

# %% [markdown]
# On the left the curves are flat: once $q$ is nearly a point, making it narrower no longer pleases the
# prior, and only $\mu^2$ is left. On the right the exponential takes over.
#
# ## 4 · The subtraction
#
# Equation (5) less equation (7). Both contain $-\tfrac12\log 2\pi$, which cancels:
# $$\mathrm{KL}\big(N(\mu, \operatorname{diag} e^{\ell})\,\|\,N(0, I)\big)
#   = \tfrac12\sum_{j}\big(\mu_j^2 + e^{\ell_j} - 1 - \ell_j\big). \tag{8}$$
#
# Read it term by term. $\tfrac12\mu_j^2$ is the price of a mean away from 0. $\tfrac12(e^{\ell_j} - 1 -
# \ell_j)$ is the price of a variance other than 1, and it is never negative: put $t = e^{\ell}$ into (2).
# Both prices are zero only for $\mu_j = 0$, $\ell_j = 0$, as Gibbs' inequality demands.
#
# **Predict.** Keep $\mu = 0$. Which $q$ is farther from the prior, the one with $\sigma = 2$ or the one
# with $\sigma = \tfrac12$?
#
# <details><summary>Answer</summary>
# The wide one: (4 - 1 - log 4)/2 = 0.81 nats against (1/4 - 1 + log 4)/2 = 0.32 nats. The wide q often draws z
# where p is tiny; the narrow q draws only where p is large.
# </details>

# %% [markdown]
# {{card:gaussian_kl}}
#
# The KL term of every VAE with a standard normal prior. You may subtract your two functions or write
# equation (8) down; both are right.
#
# <details><summary>Hint 1: a nudge</summary>
# Test yours in your head at mu = 0, log_var = 0, for three dimensions. What must come out?
# </details>
# <details><summary>Hint 2: the idea</summary>
# One expression with four terms inside a sum over the last dimension. The 1 is inside, too: it
# belongs to every dimension.
# </details>
# <details><summary>Hint 3: the first line</summary>
# <code>per_dimension = mu**2 + log_var.exp() ...</code>
# </details>

# %% tags=["exercise:gaussian_kl"]
# %% tags=["check:gaussian_kl"]
# %%
ell = torch.linspace(-4, 2, 121, dtype=torch.float64).unsqueeze(-1)  # (121, 1)
yours = gaussian_kl(torch.zeros_like(ell), ell)
log_q = Normal(0.0, (0.5 * ell).exp()).log_prob(z)
truth = torch.trapezoid(log_q.exp() * (log_q - p.log_prob(z)), z)
figure, panel = viz.axes(size=(5.4, 3.4))
viz.beside(panel, ell[:, 0], yours, truth, ("log-variance (no unit)", "KL at mu = 0 (nats)"))
panel.plot(ell, 0.5 * (ell.exp() - 1), "--", color=viz.ORANGE, label="(exp l - 1)/2")
panel.plot(ell, -0.5 * ell, ":", color=viz.GREEN, label="-l/2")
panel.legend(frameon=False)
alt = "Your KL on the integral, at mu = 0: a valley with its bottom, 0, at log-variance 0"
viz.show(figure, alt + "; steep to the right, nearly a straight line to the left.")

# %% [markdown]
# The valley is lopsided. (The two broken curves add up to the KL.) To the right the exponential dominates; to
# the left the KL approaches the straight line $-\ell/2 - 1/2$. Narrowing $q$ from $\sigma = 0.1$ to $\sigma = 0.01$ costs just $\log 10
# \approx 2.3$ nats in each dimension; keep that in mind for section 9.
#
# ## 5 · Why the dimensions add up, and when they do not
#
# Let $q(z) = \prod_j q_j(z_j)$ and $p(z) = \prod_j p_j(z_j)$: in both, the dimensions are independent. Then
# $$\mathrm{KL}(q\,\|\,p) = \mathbb E_q \sum_j \log\frac{q_j(z_j)}{p_j(z_j)}
#   = \sum_j \mathbb E_{q}\log\frac{q_j(z_j)}{p_j(z_j)} = \sum_j \mathrm{KL}(q_j\,\|\,p_j). \tag{9}$$
# First the log of a product became a sum (independence of both). Then linearity. In the last step
# the $j$-th term involves $z_j$ alone, so the other dimensions integrate to 1.
#
# **Predict.** Suppose $q$ has correlation $\rho$ between two dimensions of mean 0 and variance 1. Each
# dimension alone then equals the prior. Is the KL to $N(0, I)$ zero?
#
# <details><summary>Answer</summary>
# No. KL = 0 only for the same distribution, and this one is tilted. The sum over dimensions sees the
# marginals and misses the tilt, which costs another -log(1 - rho²)/2 nats: the mutual information of the
# two dimensions. An encoder with diagonal covariance cannot make that tilt, and (9) holds for it exactly.
# </details>

# %%
print("  rho   sum over dimensions   full KL   -log(1 - rho^2)/2")
prior = MultivariateNormal(torch.zeros(2), torch.eye(2))
for rho in (0.0, 0.3, 0.6, 0.9):
    covariance = torch.tensor([[1.0, rho], [rho, 1.0]])
    full = kl_divergence(MultivariateNormal(torch.zeros(2), covariance), prior)
    summed = gaussian_kl(torch.zeros(2), covariance.diagonal().log())
    tilt = 0.5 * math.log(1 / (1 - rho**2))
    print(f"{rho:5.1f} {summed:15.4f} {full:15.4f} {tilt:15.4f}")

# %% [markdown]
# What the sum misses is exactly what the correlation is worth. For the diagonal encoders of this course the
# sum is the whole truth. For a $q$ with a full covariance, and $p$ still $N(0, I)$, it is a lower bound.
#
# ## 6 · Between any two Gaussians
#
# Now $p = N(\mu_p, e^{\ell_p})$. Rather than repeat sections 2 to 4, measure $z$ from $p$'s mean in
# $p$'s standard deviations, $u = (z - \mu_p)/\sigma_p$. This loses nothing: by the change of variables
# both densities are multiplied by the same $\sigma_p$, their *ratio* stays as it was, and (1) depends on
# the densities only through that ratio, averaged over the same draws. So
# $$\mathrm{KL}(q\,\|\,p) = \mathrm{KL}(q_u\,\|\,p_u), \qquad
#   p_u = N(0, 1), \quad q_u = N\Big(\frac{\mu_q - \mu_p}{\sigma_p},\; e^{\ell_q - \ell_p}\Big). \tag{10}$$
# Insert that mean and log-variance into (8):
# $$\mathrm{KL}(q\,\|\,p) = \tfrac12\sum_j\Big(\frac{(\mu_{q,j} - \mu_{p,j})^2}{e^{\ell_{p,j}}}
#   + e^{\ell_{q,j} - \ell_{p,j}} - 1 - (\ell_{q,j} - \ell_{p,j})\Big). \tag{11}$$

# %% [markdown]
# {{card:gaussian_kl_between}}
#
# Four arguments, of which any may be shared by the whole batch.
#
# <details><summary>Hint 1: a nudge</summary>
# Whose standard deviation measures the distance of the means?
# </details>
# <details><summary>Hint 2: the idea</summary>
# Build the two arguments of equation (10), then reuse what you have. Divide variances by subtracting
# log-variances: one exponential in place of a ratio of two.
# </details>
# <details><summary>Hint 3: the first line</summary>
# <code>log_ratio = log_var_q - log_var_p</code>
# </details>

# %% tags=["exercise:gaussian_kl_between"]
# %% tags=["check:gaussian_kl_between"]

# %% [markdown]
# ### Ten digits as ten Gaussians
#
# An experiment with images: describe each image by its five principal components, and each class of
# digits by the mean and variance of its components. Your function then says how far each class is
# from each other class.
#
# **Predict.** Will the table be symmetric? Take the narrowest class, the one with the least variance: will
# the larger numbers be in its row (as $q$) or in its column (as $p$)?
#
# <details><summary>Answer</summary>
# It is not symmetric, and they are in the column. As p, a narrow class measures every distance in small
# standard deviations, so the others are far from it. As q, it fits well into a wider one.
# </details>

# %%
digits = data.load().to_unit()
x, labels = digits.train[:5000].double(), digits.train_labels[:5000]
codes = (x - x.mean(0)) @ torch.linalg.eigh(torch.cov(x.T))[1][:, -5:]
centre = torch.stack([codes[labels == d].mean(0) for d in range(10)])
log_var = torch.stack([codes[labels == d].var(0).log() for d in range(10)])
least = log_var.sum(-1).argmin().item()
print(f"{digits.name}: {least} is the narrowest class")

# %%
table = gaussian_kl_between(centre[:, None], log_var[:, None], centre, log_var)
row, column = table.mean(1)[least], table.mean(0)[least]
print(f"class {least}: row {row:.0f}, column {column:.0f} nats on average")
names = {"xlabel": "p (digit)", "ylabel": "q (digit)"}
figure, panel = viz.axes(size=(4.8, 3.9), subplot_kw=names)
picture = panel.imshow(table.clamp(min=1), cmap="cividis", norm="log")
bar = figure.colorbar(picture, label="KL(q || p) in nats (all below 1 the darkest)")
bar.set_ticks([1, 3, 10, 30], labels=["1", "3", "10", "30"])
bar.minorticks_off()
panel.set(xticks=range(10), yticks=range(10))
alt = "Ten by ten table of the KL between digit classes: darkest on the diagonal, not "
viz.show(figure, alt + "symmetric, and the brightest column is that of the narrowest class.")

# %% [markdown]
# The diagonal is 0, nothing is negative, and the two directions of a pair can differ by a factor of
# several: the brightest column is the narrowest class. Cells as dark as the diagonal are below 1 nat, not 0. (Which
# class it is depends on the data, MNIST or scikit-learn's smaller digits; the printed line says which you have.)
#
# ## 7 · Two directions, two behaviours
#
# When a Gaussian $q$ is fitted to a $p$ that is no Gaussian, the order of the arguments decides the
# result. Where $p$ is nearly 0, $\mathrm{KL}(q\,\|\,p)$ forbids $q$ to be: the ratio $q/p$ explodes
# there. $\mathrm{KL}(p\,\|\,q)$ forbids the opposite: $q$ must not be nearly 0 wherever $p$ is not.
#
# **Predict.** Let $p$ be an equal mixture of $N(-2, 0.6^2)$ and $N(2, 0.6^2)$. Sketch the Gaussian that
# minimises $\mathrm{KL}(p\,\|\,q)$, and the one that minimises $\mathrm{KL}(q\,\|\,p)$.
#
# <details><summary>Answer</summary>
# KL(p ‖ q), the forward one, is minimised by p's own mean and variance: mean 0, variance 0.36 + 4 = 4.36, a
# wide bell that covers both humps and the empty middle. KL(q ‖ p), the reverse one, prefers a single hump
# and misses the other; the price of missing half of p is log 2 = 0.69 nats.
# </details>

# %%
grid = z[2000:6001:10]  # -20 to 20, 0.1 apart
left, right = Normal(-2.0, 0.6).log_prob(grid), Normal(2.0, 0.6).log_prob(grid)
log_p = torch.logaddexp(left, right) - math.log(2)
means = torch.arange(-30, 31).double() / 10
sds = torch.arange(8, 61).double() / 20
log_q = Normal(means[:, None, None], sds[:, None]).log_prob(grid)  # (61, 53, 401)
forward = 0.1 * (log_p.exp() * (log_p - log_q)).sum(-1)  # KL(p || q)
reverse = 0.1 * (log_q.exp() * (log_q - log_p)).sum(-1)  # KL(q || p)
best = {}
for name, kl in (("KL(p || q)", forward), ("KL(q || p)", reverse)):
    i, j = best[name] = divmod(kl.round(decimals=6).argmin().item(), len(sds))
    print(f"least {name}: mean {means[i]:.1f}, sd {sds[j]:.2f}, {kl[i, j]:.2f} nats")

# %%
figure, panel = viz.axes(size=(5.6, 3.2))
panel.fill_between(grid, log_p.exp(), color=viz.SKY, alpha=0.4, label="p, the mixture")
for (name, place), style in zip(best.items(), ("--", "-"), strict=True):
    label = f"the q of least {name}"
    panel.plot(grid, log_q[place].exp(), style, label=label, color=viz.BLUE)
panel.set(xlim=(-6, 6), ylim=(0, 1), xlabel="z (no unit)", ylabel="density")
panel.legend(frameon=False)
alt = "A mixture with two humps and two fitted Gaussians: the forward fit covers both "
viz.show(figure, alt + "humps, the reverse fit sits on one.")

# %% [markdown]
# The forward fit has mean 0 and standard deviation $\sqrt{4.36} \approx 2.09$ and puts much of its mass where $p$
# has little. The reverse fit takes one hump, for $\log 2 \approx 0.69$ nats; the other hump would be as good, and a
# descent ends in the one that is nearer to its start.
#
# A VAE minimises the reverse direction twice over. Its loss contains $\mathrm{KL}(q(z|x)\,\|\,p(z))$, and
# the gap of its bound, lesson 03, is $\mathrm{KL}(q(z|x)\,\|\,p(z|x))$. The expectation is under $q$ because
# $q$ is what we can sample from. One consequence: an encoder tends to report less spread than the
# true posterior has.
#
# ## 8 · When there is no closed form: sample
#
# Equation (1) is an expectation, so the average over $S$ draws from $q$ estimates it:
# $$\widehat{\mathrm{KL}}_S = \frac1S\sum_{s=1}^S\big[\log q(z^{(s)}) - \log p(z^{(s)})\big],
#   \qquad z^{(s)} = \mu + e^{\ell/2}\epsilon^{(s)},\quad \epsilon^{(s)}\sim N(0, I). \tag{12}$$
# Each term has the KL as its mean, hence so has the average: the estimate is *unbiased* for every $S$.
# The terms are independent, so their variances add, and the average of $S$ terms with variance $v$ has
# variance $S v / S^2 = v/S$. The spread (standard deviation) is $\sqrt{v/S}$: **four times the samples
# halve it**.
#
# Here even $v$ can be computed. With $z_j = \mu_j + \sigma_j\epsilon_j$ one term is
# $\tfrac12\sum_j[(\sigma_j^2 - 1)\epsilon_j^2 + 2\mu_j\sigma_j\epsilon_j + \mu_j^2 - \ell_j]$. Using
# $\operatorname{Var}\epsilon^2 = 2$, $\operatorname{Var}\epsilon = 1$ and $\operatorname{Cov}(\epsilon^2,
# \epsilon) = \mathbb E\epsilon^3 = 0$,
# $$v = \sum_j\Big[\tfrac12(\sigma_j^2 - 1)^2 + \mu_j^2\sigma_j^2\Big]. \tag{13}$$

# %% [markdown]
# {{card:monte_carlo_kl}}
#
# Use the densities only, not equation (8): the same lines must work for a $q$ and a $p$ without a
# closed form.
#
# <details><summary>Hint 1: a nudge</summary>
# eps has one dimension more than mu. Where is it, and what becomes of it?
# </details>
# <details><summary>Hint 2: the idea</summary>
# Form z. Sum each log-density over the last dimension, subtract, average over the first. In log q the
# squared distance (z - mu)²/sigma² is eps² itself.
# </details>
# <details><summary>Hint 3: the first line</summary>
# <code>z = mu + (0.5 * log_var).exp() * eps</code>
# </details>

# %% tags=["exercise:monte_carlo_kl"]
# %% tags=["check:monte_carlo_kl"]
# %%
mu, log_var = torch.tensor([1.0, -0.5]), torch.tensor([-1.0, 0.5])
many = (mu.expand(1000, 2), log_var.expand(1000, 2))  # 1,000 estimates at once
sizes = torch.tensor([1, 4, 16, 64, 256, 1024])
estimates = torch.stack([monte_carlo_kl(*many, torch.randn(s, 1000, 2)) for s in sizes])
print(f"true KL {gaussian_kl(mu, log_var):.3f}; mean estimate for each S:")
print("  ".join(f"{m:.3f}" for m in estimates.mean(1)))
v = (0.5 * (log_var.exp() - 1) ** 2 + mu**2 * log_var.exp()).sum()  # equation (13)
figure, panel = viz.axes(subplot_kw={"xscale": "log", "yscale": "log"})
labels = ("samples S (number)", "spread of the estimate (nats)")
viz.beside(panel, sizes, estimates.std(1), (v / sizes).sqrt(), labels)
alt = "Spread of your estimate against S, log scales: dots on a line of slope -1/2"
viz.show(figure, alt)

# %% [markdown]
# The means agree with the truth for every $S$, one sample included (their own spread is
# $\sqrt{v/S/1000}$, about 0.03 for $S = 1$). The spreads lie on the line of equation (13), within a few percent.
# To know this KL of about 0.9 nats to within 0.01 you need some 12,000 samples, for every image, in every
# step; the closed form gives it for free. That is why a VAE uses (8) where it can, and (12) where it must.
#
# **Predict.** A single term of (12) can be negative, although a KL cannot. Is that a mistake?
#
# <details><summary>Answer</summary>
# No. The term is the log-ratio at one z, and it is negative wherever p is larger than q. Only the average over
# q is at least 0. Do not clamp the terms: the estimate would no longer be unbiased.
# </details>
#
# ## 9 · What the KL pulls at
#
# Training follows gradients, so it matters less how large the KL is than where it points.
# Differentiate (8); each term involves one coordinate:
# $$\frac{\partial\,\mathrm{KL}}{\partial\mu_j} = \mu_j, \qquad
#   \frac{\partial\,\mathrm{KL}}{\partial\ell_j} = \tfrac12\big(e^{\ell_j} - 1\big). \tag{14}$$
# The mean hangs on a spring: the farther out, the stronger the pull. The log-variance is pulled
# towards 0 as well, but unevenly.
#
# **Predict.** By what force is a log-variance of $-10$ pulled back, and one of $-5$?
#
# <details><summary>Answer</summary>
# Both by almost exactly 1/2, the steepest slope there is on that side. From above the force grows without
# bound: at +5 it is (148 - 1)/2 = 74.
# </details>

# %% [markdown]
# {{card:gaussian_kl_gradients}}
#
# By hand, without autograd: two formulas that you will want to have in mind when a latent dimension
# dies in lesson 12.
#
# <details><summary>Hint 1: a nudge</summary>
# Nothing is summed: each coordinate keeps its own slope.
# </details>
# <details><summary>Hint 2: the idea</summary>
# Return the two right-hand sides of equation (14) as a tuple, mu's first.
# </details>
# <details><summary>Hint 3: the first line</summary>
# <code>grad_mu = mu</code>, and the derivative of exp is exp.
# </details>

# %% tags=["exercise:gaussian_kl_gradients"]
# %% tags=["check:gaussian_kl_gradients"]
# %%
side = torch.linspace(-2.5, 2.5, 15), torch.linspace(-4, 1.6, 15)
at = [t.reshape(-1, 1).requires_grad_() for t in torch.meshgrid(*side, indexing="xy")]
kl = gaussian_kl(*at)
yours, auto = gaussian_kl_gradients(*at), torch.autograd.grad(kl.sum(), at)
agree = all(torch.allclose(a, b, atol=1e-6) for a, b in zip(yours, auto, strict=True))
print(f"your gradients agree with autograd's to 1e-6: {agree}")
m, v, level, pull_m, pull_v = (t.detach().view(15, 15) for t in (*at, kl, *yours))
figure, panel = viz.axes(size=(5.6, 3.8))
figure.colorbar(panel.contourf(m, v, level, levels=12, cmap="cividis"), label="KL (nats)")
panel.quiver(m, v, -pull_m, -pull_v, color="white")
panel.set(xlabel="mu (no unit)", ylabel="log-variance (no unit)")
viz.show(figure, "The KL with arrows of descent: all lead to (0, 0), weakly from below.")

# %% [markdown]
# Every arrow leads to $(0, 0)$, the prior. Long ones come in from the sides and from above; along the middle
# line, from below, they are short and nearly of one length. How long does the way back take? With step size 0.1, a mean shrinks by a factor
# of 0.9 in each step. A log-variance far below 0 moves by at most 0.05 a step.

# %%
figure, panel = viz.axes(size=(5.6, 3.2))
for start, style in (((3.0, 0.0), "-"), ((0.0, 3.0), "--"), ((0.0, -3.0), ":")):
    mu, log_var, path = torch.tensor(start[:1]), torch.tensor(start[1:]), []
    for _ in range(101):
        path.append((mu + log_var).item())  # one of the two is 0 and stays 0
        grad_mu, grad_log_var = gaussian_kl_gradients(mu, log_var)
        mu, log_var = mu - 0.1 * grad_mu, log_var - 0.1 * grad_log_var
    name = "mu" if start[0] else "log-variance"
    panel.plot(path, style, color=viz.BLUE, label=f"{name} from {path[0]:.0f}")
panel.set(xlabel="steps of gradient descent (number)", ylabel="what is left (no unit)")
panel.legend(frameon=False)
viz.show(figure, "Descent from log-variance 3, at once; from mu 3; from log-variance -3, slow.")

# %% [markdown]
# The large variance is corrected first, the small one last. In a trained VAE the reconstruction pulls
# the other way: precise codes need small variances, distinct codes need large means. Where a latent
# dimension helps the reconstruction too little, the KL wins, and (14) takes it to $\mu = 0$, $\ell = 0$ for
# every image. That is *posterior collapse*, lesson 12.
#
# ## In your own words

# %% [markdown] tags=["written:why_zero:2"]
# **Question (2 points).** During training somebody reports with joy that the KL term has fallen to exactly 0 for
# every image. What do you now know about the encoder's output, with what argument, and why is it bad news?
#
# ### BEGIN SOLUTION
# By Gibbs' inequality the KL is 0 only where the two distributions are equal: log t <= t - 1 is an equality only at
# t = 1. (Or term by term: mu² >= 0 and exp(l) - 1 - l >= 0, and both are zero only at mu = 0, l = 0.) So the encoder
# outputs mu = 0 and log_var = 0, the prior, for every image. Its output does not depend on x, hence z carries no
# information about x, and the decoder cannot tell the images apart: it can at best produce the same distribution for
# all of them. One point for the argument that q equals the prior, one for the consequence.
# ### END SOLUTION

# %% [markdown]
# ## Summary
#
# - $\mathrm{KL}(q\,\|\,p)$ is the average log-ratio under $q$, (1). It is at least 0, and 0 only if $q = p$,
#   because $\log t \le t - 1$. It is not symmetric and no distance.
# - Two expectations give it for Gaussians, (5) and (7); their difference is (8), the KL term of a VAE. It adds up over
#   independent dimensions, (9), and one change of variables extends it to any two Gaussians, (11).
# - $\mathrm{KL}(q\,\|\,p)$ makes $q$ choose a hump, $\mathrm{KL}(p\,\|\,q)$ makes it cover all of them. A VAE minimises the first.
# - Sampling estimates it without bias, with a spread of $\sqrt{v/S}$.
# - Its gradient is a spring on $\mu$ and a lopsided pull on $\ell$: without bound from above, at most $\tfrac12$ from below.
#
# **Next:** lesson 05. The KL has a gradient in closed form; the reconstruction is an expectation over $z$ without
# one. How does a gradient pass through a sample?
#
# ## Reading
#
# - D. P. Kingma and M. Welling, *Auto-Encoding Variational Bayes*, ICLR 2014: equation (8) is their Appendix B; it enters
#   the bound in Eqs. 7 and 10, and the sampled form (12) is part of Eq. 6.
# - C. M. Bishop, *Pattern Recognition and Machine Learning*, 2006: the KL in section 1.6.1 (Eq. 1.113); the two
#   directions in section 10.1.2 (Figs. 10.2 and 10.3).
# - D. J. C. MacKay, *Information Theory, Inference, and Learning Algorithms*, 2003: relative entropy and Gibbs'
#   inequality in section 2.6 (Eqs. 2.45 and 2.46).
