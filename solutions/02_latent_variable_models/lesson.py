# %% [markdown]
# # 02 · Latent variable models
#
# **After this lesson you can**
# - say what $p(x)$ of a latent variable model is, and derive it from $p(z)$ and $p(x \mid z)$;
# - write the evidence and the posterior of the linear-Gaussian model, line by line, and check each
#   of them against the other;
# - estimate $\log p(x)$ by sampling, predict when that fails, and repair it by importance sampling;
# - say which proposal is the best one, and why that makes an encoder worth having.
#
# **You need** lesson 00 (`log_mean_exp`), lesson 01 (codes with holes), Gaussians, and matrices that
# you can multiply and invert.
#
# **Time** 80 minutes. The whole notebook runs in half a minute on two cores; no GPU is used.

# %% tags=["setup"]
import math

import torch
from torch import Tensor
from vae_edu import check, data, exercise, viz
from vae_edu.exercises.start_here import log_mean_exp
generator = torch.manual_seed(2)

# %% [markdown]
# ## 1. A story of how x came about
#
# The autoencoder of lesson 01 could not generate: nothing said where in code space the codes lie, so
# a code drawn at random fell into a hole. A **latent variable model** starts from the other end. It
# tells how an $x$ is made, in two steps:
#
# $$z \sim p(z) \quad\text{(draw a code from the prior)}, \qquad
#   x \sim p(x \mid z) \quad\text{(turn it into data, with noise)}.$$
#
# We say which codes there are before any data is seen, so every draw is legal and there are no holes.
# $z$ is called latent because the data holds only $x$.
#
# Here is the smallest model whose data is not Gaussian: one latent, two data dimensions.
#
# $$z \sim N(0, 1), \qquad x \mid z \sim N\big(2(\cos 1.5 z,\, \sin 1.5 z),\; 0.1\, I\big)$$
#
# **Predict** before you run: the codes are Gaussian, densest at $z = 0$. What shape will 2,000 samples
# of $x$ have, and where are they densest?
#
# <details><summary>Answer</summary>
#
# The decoder bends the line of codes around a circle of radius 2, and the noise gives the ring its
# thickness (standard deviation $\sqrt{0.1} \approx 0.32$). $z = 0$ lands at angle 0, so the right side
# is the densest; $z = \pm\pi/1.5 \approx \pm 2.1$ meet on the left, where few codes are.
# </details>

# %%
def ring(z: Tensor) -> Tensor:
    """The mean of x given z: (..., 1) -> (..., 2)."""
    return 2 * torch.cat([(1.5 * z).cos(), (1.5 * z).sin()], -1)

z = torch.randn(2000, 1)
x = ring(z) + math.sqrt(0.1) * torch.randn(2000, 2)
figure, panel = viz.axes(size=(4.6, 3.8))
dots = panel.scatter(x[:, 0], x[:, 1], c=z[:, 0], s=6, cmap="viridis")
figure.colorbar(dots, ax=panel, label="latent z")
panel.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
viz.show(figure, "2,000 samples of x on a ring of radius 2, coloured by z; densest on the right")

# %% [markdown]
# Samples are easy. The question of this lesson is the opposite one: **given an $x$, how likely is it
# under the model?** That number, $p(x)$, is called the *evidence* (or marginal likelihood). Training
# a model means to raise it; comparing models means to compare it.
#
# Both factors of the story are Gaussian densities, so we write that function first. In one dimension,
# with $\ell = \log\sigma^2$,
#
# $$\log N(x; m, \sigma^2) = \log\frac{1}{\sqrt{2\pi\sigma^2}}\, e^{-(x-m)^2/2\sigma^2}
#   = -\tfrac12\Big(\log 2\pi + \ell + \frac{(x-m)^2}{e^{\ell}}\Big).$$
#
# *Assumed from here on:* the dimensions are independent given their means. Densities of independent
# variables multiply, so their logs add up:
#
# $$\log N(x; m, \operatorname{diag} e^{\ell})
#   = -\tfrac12\sum_j \Big(\log 2\pi + \ell_j + \frac{(x_j-m_j)^2}{e^{\ell_j}}\Big). \tag{1}$$
#
# Why the log of the variance, and not the variance? Any real number is a legal $\ell$, so a network
# can put it out freely, and nothing under- or overflows.
#
# {{card:gaussian_log_prob}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# Write the three terms in the bracket for all dimensions at once; sum at the very end. Then one
# `log_var` for all dimensions needs no code of its own.
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Dividing by $e^\ell$ is multiplying by $e^{-\ell}$. Broadcasting brings the terms to one shape as soon
# as they are added; only then is the sum over the last dimension counted correctly.
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `terms = math.log(2 * math.pi) + log_var + ...`
# </details>

# %% tags=["exercise:gaussian_log_prob"]

# %% tags=["check:gaussian_log_prob"]

# %% [markdown]
# A density must integrate to 1. Below is yours, on a grid, beside a histogram of samples that torch drew.

# %%
points = torch.linspace(-6.0, 8.0, 561, dtype=torch.float64)
mean, log_var = torch.tensor(1.0).double(), torch.tensor(0.5).double()
density = gaussian_log_prob(points[:, None], mean.expand(1), log_var).exp()
print(f"integral of your density: {torch.trapezoid(density, points).item():.6f} (expected 1)")
drawn = 1 + math.exp(0.25) * torch.randn(20_000)
figure, panel = viz.axes()
panel.hist(drawn.numpy(), bins=80, density=True, color=viz.SKY, label="samples")
panel.plot(points, density, color=viz.RED, label="yours")
panel.set(xlabel="x", ylabel="density")
panel.legend(frameon=False)
viz.show(figure, "The learner's Gaussian density runs along the top of a histogram of samples")

# %% [markdown]
# ## 2. Summing over everything we did not see
#
# *Line 1, the product rule:* the joint density of both steps is $p(x, z) = p(x \mid z)\, p(z)$. This is
# the definition of a conditional density; nothing is assumed.
#
# *Line 2, the sum rule:* $x$ came with some $z$, and different $z$ exclude each other. So their
# contributions add up, and for a continuous $z$ the sum is an integral:
#
# $$p(x) = \int p(x, z)\, dz = \int p(x \mid z)\, p(z)\, dz. \tag{2}$$
#
# This is called *marginalising* $z$. With one latent, an integral is a sum on a grid:
# $p(x) \approx \sum_k p(x \mid z_k)\, p(z_k)\, \Delta z$.
#
# **Predict:** the noise given $z$ is one small round Gaussian. Is $p(x)$ a Gaussian too?
#
# <details><summary>Answer</summary>
#
# No. It is an average of many Gaussians, one for each $z$, with weights $p(z)$. That is the power of a
# latent variable: simple parts, and a whole that may have any shape.
# </details>

# %%
z = torch.linspace(-5, 5, 401)[:, None]
side = torch.linspace(-3, 3, 61)
x = torch.cartesian_prod(side, side)[:, None]  # (places, 1, 2) against (401, 2)
log_x_given_z = gaussian_log_prob(x, ring(z), torch.tensor(math.log(0.1)))
log_prior = gaussian_log_prob(z, torch.zeros_like(z), torch.zeros_like(z))
evidence = torch.trapezoid((log_x_given_z + log_prior).exp(), z[:, 0], dim=1)
print(f"integral of p(x): {evidence.sum().item() * 0.1**2:.3f} (expected 1)")
figure, panel = viz.axes(size=(4.6, 3.8))
drawing = panel.pcolormesh(side, side, evidence.view(61, 61).T, cmap="viridis")
figure.colorbar(drawing, ax=panel, label="p(x)")
panel.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
viz.show(figure, "p(x) by quadrature: a ring, brightest on its right side and dark in its middle")

# %% [markdown]
# The picture agrees with the samples: the ring is brightest on the right.
#
# The grid is also where it ends. 401 points suffice for one latent. With 100 points for each of 20
# latents there would be $100^{20} = 10^{40}$ places to visit, for every single $x$. Any method that must
# *visit* latent space fails like this, and we shall watch it fail. To notice failure we need a model
# with many latents whose evidence is known. There is one.
#
# ## 3. The linear-Gaussian model: an integral we can do
#
# Let the decoder be linear, with the same noise variance $\sigma^2$ in every data dimension:
#
# $$z \sim N(0, I_K), \qquad x = z W^\top + b + \sigma\epsilon, \qquad \epsilon \sim N(0, I_D)
#   \ \text{ independent of } z. \tag{3}$$
#
# ($x$ and $z$ are rows, as in torch; $W$ is $D \times K$. This model is called probabilistic PCA.)
#
# *Line 1, the mean.* Expectation is linear, and $z$ and $\epsilon$ have mean 0: $E[x] = b$.
#
# *Line 2, the covariance.* Multiply out $(x-b)^\top(x-b)$. The mixed terms vanish, since $z$ and
# $\epsilon$ are independent with mean 0; $E[z^\top z] = I$ and $E[\epsilon^\top\epsilon] = I$ are left:
#
# $$C = E\big[(zW^\top + \sigma\epsilon)^\top (zW^\top + \sigma\epsilon)\big]
#   = W E[z^\top z] W^\top + \sigma^2 E[\epsilon^\top\epsilon] = WW^\top + \sigma^2 I. \tag{4}$$
#
# *Line 3, it is a Gaussian.* Two moments do not make a distribution, so this needs an argument.
# Put all that is random into one row, $u = (z, \epsilon)$, of $K + D$ independent standard normals;
# then $x - b = uA^\top$ with $A = [\,W \;\; \sigma I\,]$, and $AA^\top = C$. The density of $u$ depends on
# its length alone, so $u$ is standard normal in every rotated coordinate system. Choose one whose first
# $D$ axes span the rows of $A$: then $x - b = vS^\top$, where $v$ are $u$'s first $D$ new coordinates (standard
# normal again), and $S$ is square with $SS^\top = AA^\top = C$.
#
# *Line 4, change of variables.* $C$ has no eigenvalue below $\sigma^2 > 0$, so $S$ can be inverted:
# $v = (x-b)S^{-\top}$. A density transforms with the volume, $p(x) = N(v; 0, I) / |\det S|$. Insert
# $\|v\|^2 = (x-b)S^{-\top}S^{-1}(x-b)^\top = (x-b)\,C^{-1}(x-b)^\top$ and $|\det S| = \sqrt{\det C}$:
#
# $$\log p(x) = -\tfrac12\Big(D\log 2\pi + \log\det C + (x-b)\,C^{-1}(x-b)^\top\Big). \tag{5}$$
#
# No line of this looked at the size of $K$. Now each line in numbers:

# %%
weight = torch.tensor([[1.5], [0.8]]).double()  # two data dimensions, one latent
bias, log_var = torch.tensor([0.5, -0.5]).double(), torch.tensor(math.log(0.3)).double()
eps = torch.randn(100_000, 2).double()
x = torch.randn(100_000, 1).double() @ weight.T + bias + (0.5 * log_var).exp() * eps
identity = torch.eye(2).double()
covariance = weight @ weight.T + log_var.exp() * identity
A = torch.cat([weight, (0.5 * log_var).exp() * identity], 1)
rotation, triangle = torch.linalg.qr(A.T)  # A.T = rotation @ triangle, so S = triangle.T
print("1  mean of 100,000 samples, less b  ", (x.mean(0) - bias).numpy().round(2))
print("2  their covariance, less C, at most", f"{(x.T.cov() - covariance).abs().max():.2f}")
print("3  S S' less C, at most             ", f"{(triangle.T @ triangle - covariance).abs().max():.0e}")
print("4  |det S|, sqrt(det C)             ", f"{triangle.det().abs():.4f}, {covariance.det().sqrt():.4f}")

# %% [markdown]
# Lines 1 and 2 agree up to sampling noise (about $1/\sqrt{100{,}000} \approx 0.003$ times the variances),
# lines 3 and 4 to the last digits.
#
# {{card:linear_gaussian_log_evidence}}
#
# The check tries data sets of 160 dimensions: there a determinant no longer fits into a float, though its
# logarithm does.
#
# <details><summary>Hint 1: a nudge</summary>
#
# Build $C$ first, and look at its shape: it has to be `(data, data)`. A number added to a matrix goes to
# all entries; the noise belongs on the diagonal only.
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# `x - bias` has rows $r$. All the quadratic forms $r\,C^{-1}r^\top$ at once: multiply the rows by $C^{-1}$ from
# the right, multiply elementwise by the rows, sum over the last dimension. `torch.logdet` (or
# `torch.linalg.slogdet`) never forms the determinant.
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `identity = torch.eye(weight.shape[0], dtype=weight.dtype, device=weight.device)`
# </details>

# %% tags=["exercise:linear_gaussian_log_evidence"]

# %% tags=["check:linear_gaussian_log_evidence"]

# %% [markdown]
# With one latent the grid of section 2 still works, so it can judge the formula. We walk through data
# space along a line and compare your evidence with the integral (2).

# %%
steps = torch.linspace(-4, 5, 181, dtype=torch.float64)
x = torch.stack([steps, 0.3 * steps], -1)  # a line through data space
yours = linear_gaussian_log_evidence(x, weight, bias, log_var)
z = torch.linspace(-8, 8, 801, dtype=torch.float64)[:, None]
log_x_given_z = gaussian_log_prob(x[:, None], z @ weight.T + bias, log_var)  # (181, 801)
log_prior = gaussian_log_prob(z, torch.zeros_like(z), torch.zeros_like(z))
expected = torch.trapezoid((log_x_given_z + log_prior).exp(), z[:, 0], dim=1).log()
print(f"largest difference: {(yours - expected).abs().max().item():.0e} nats")
figure, panel = viz.axes()
viz.beside(panel, steps, yours, expected, ("$x_1$ (with $x_2 = 0.3 x_1$)", "log p(x) (nats)"))
viz.show(figure, "The learner's log-evidence as markers on the curve found by quadrature: a parabola")

# %% [markdown]
# ### What it says about real images
#
# Equation (5) lets us do something no neural network of this course can do: compute the evidence of images
# exactly. For a linear decoder even the best parameters have a formula (Tipping & Bishop 1999; Bishop
# Eq. 12.45 and 12.46). With $\lambda_1 \ge \lambda_2 \ge \dots$ the eigenvalues of the data's covariance and $u_k$
# its eigenvectors, $\sigma^2$ is the mean of the $D - K$ smallest eigenvalues, and the columns of $W$ are
# $\sqrt{\lambda_k - \sigma^2}\; u_k$. So the codes are PCA's, as in lesson 01, now with a prior.
#
# We fit it to 150 images, and score 300 others. All get a little noise (standard deviation 0.1), since a
# pixel that is white in each training image would have variance 0 and an infinite density.
#
# **Predict:** with $K = 0, 1, 2, 5, \dots$ latents, will more of them always help? What is the model with
# $K = 0$?
#
# <details><summary>Answer</summary>
#
# $K = 0$ is one round Gaussian around the mean image. A few latents help greatly, as pixels vary
# together. On the 150 images of the fit, more latents never hurt: the larger model contains the smaller
# one. On new images they do in the end: a direction in which 150 images happen to vary little is taken for
# a law, and a new image that does vary there pays for it.
# </details>

# %% tags=["data"]
def images(part: Tensor) -> Tensor:
    """float64 in [0, 1], at most 14 pixels wide, with a little noise: (n, pixels)."""
    square = data.to_unit(part).double().view(-1, 1, *digits.shape)
    wide = digits.shape[0] > 14
    flat = (torch.nn.functional.avg_pool2d(square, 2) if wide else square).flatten(1)
    return flat + 0.1 * torch.randn(flat.shape).double()

digits = data.load()
train, new = images(digits.train[:150]), images(digits.test[:300])
eigenvalues, eigenvectors = torch.linalg.eigh(train.T.cov())
print(digits.label, "\nlargest eigenvalues:", eigenvalues.flip(0)[:5].numpy().round(2))

# %% tags=["data"]
def fit(num_latents: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best weight, bias and log_var for the training images."""
    kept = len(eigenvalues) - num_latents
    noise = eigenvalues[:kept].mean()
    scale = (eigenvalues[kept:] - noise).clamp(min=0).sqrt()
    return eigenvectors[:, kept:] * scale, train.mean(0), noise.log()
weight, bias, log_var = fit(20)
drawn = torch.randn(20, 20).double() @ weight.T + bias
figure, panel = viz.axes(size=(5.4, 1.8))
side = math.isqrt(len(bias))
viz.image_grid(panel, torch.cat([new[:10], drawn]).clamp(0, 1), (side, side))
viz.show(figure, "Ten noisy digits; below them twenty means of x drawn from the model with 20 latents")

# %% tags=["data"]
sizes = [0, 1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 60]
figure, panel = viz.axes()
for part, label, colour, marker in ((train, "150 images of the fit", viz.BLUE, "o"),
                                    (new, "300 new images", viz.RED, "s")):
    scores = [linear_gaussian_log_evidence(part, *fit(k)).mean().item() for k in sizes]
    panel.plot(sizes, scores, color=colour, marker=marker, label=label)
    print(f"{label}: {scores[0]:.1f} nats with no latent, {max(scores):.1f} at most")
panel.set(xlabel="number of latents K", ylabel="mean log p(x) (nats per image)", ylim=(-60, None))
panel.legend(frameon=False)
viz.show(figure, "Log-evidence against K: rising for the images of the fit, highest near K = 20 for new ones")

# %% [markdown]
# On 150 images per fit expect about $-11$ nats with no latent and $+6$ at $K \approx 20$ on scikit-learn's
# digits ($-2$ and $+35$ on MNIST; another noise seed moves these by 0.3). A log-density may be positive:
# densities, unlike probabilities, can exceed 1. The gap between the curves is overfitting, **seen in nats, on
# new data, without drawing a single sample**. That is what an evidence is good for.
#
# The samples (rows 2 and 3) are ghosts of digits. A linear decoder can only add strokes up, it
# cannot bend them. From lesson 07 on the decoder is a network; then equation (5) no longer holds, and what
# remains is the integral (2). The rest of this lesson prepares for that day.
#
# ## 4. Which z made this x? The posterior
#
# *Line 1, Bayes' rule.* The product rule can be read in both directions,
# $p(z \mid x)\,p(x) = p(x \mid z)\,p(z)$. As a function of $z$, the evidence $p(x)$ is a constant:
#
# $$\log p(z \mid x) = \log p(x \mid z) + \log p(z) + \text{const}. \tag{6}$$
#
# *Line 2, insert the two Gaussians*, and collect in the constant all that is free of $z$:
#
# $$\log p(z \mid x) = -\frac{1}{2\sigma^2}\|x - b - zW^\top\|^2 - \tfrac12\|z\|^2 + \text{const}$$
#
# *Line 3, sort by powers of $z$:*
#
# $$= -\tfrac12\, z\Big(I + \tfrac{1}{\sigma^2}W^\top W\Big)z^\top
#   + \tfrac{1}{\sigma^2}(x-b)\,W z^\top + \text{const}. \tag{7}$$
#
# *Line 4, complete the square.* For a symmetric, invertible $\Lambda$ and any row $m$,
# $-\tfrac12 (z-m)\Lambda(z-m)^\top = -\tfrac12 z\Lambda z^\top + m\Lambda z^\top + \text{const}$. Compare with (7):
# $\Lambda$ is the bracket, and $m\Lambda = \tfrac{1}{\sigma^2}(x-b)W$.
#
# *Line 5, read it off.* A log-density that is quadratic in $z$ belongs to a Gaussian; its covariance is
# the inverse of $\Lambda$:
#
# $$p(z \mid x) = N(z; m, \Sigma), \qquad
#   \Sigma = \Big(I + \tfrac{1}{\sigma^2}W^\top W\Big)^{-1}, \qquad
#   m = \tfrac{1}{\sigma^2}(x-b)\,W\,\Sigma. \tag{8}$$
#
# **Predict:** what becomes of the posterior as $\sigma^2 \to \infty$? Does $\Sigma$ depend on $x$?
#
# <details><summary>Answer</summary>
#
# With endless noise $x$ says nothing: $\Sigma \to I$ and $m \to 0$, the posterior is the prior. $\Sigma$
# does not contain $x$ at all: this model is equally sure about every $x$. (An encoder of lesson 07 will not be.)
# </details>
#
# {{card:linear_gaussian_posterior}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# There are two products of $W$ with its transpose. $\Sigma$ is about $z$: which one is `(latent, latent)`?
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Build the bracket of (8), which is a precision; invert it with `torch.linalg.inv`. The mean is a chain of
# products that starts with `x - bias` on the left, so any leading dimensions of `x` pass through.
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `identity = torch.eye(weight.shape[1], dtype=weight.dtype, device=weight.device)`
# </details>

# %% tags=["exercise:linear_gaussian_posterior"]

# %% tags=["check:linear_gaussian_posterior"]

# %% [markdown]
# Three of your functions must now fit together. Solve Bayes' rule for the evidence:
#
# $$\log p(x) = \log p(x \mid z) + \log p(z) - \log p(z \mid x) \quad \text{for every } z. \tag{9}$$
#
# **Predict:** the right-hand side contains $z$ three times. At three quite different $z$, how
# different will the sums be?
#
# <details><summary>Answer</summary>
#
# Not at all: each term changes by tens of nats, the sum never does. Any single $z$ gives the evidence,
# *if* the posterior is known exactly. Keep this in mind for section 7.
# </details>

# %%
weight, bias = torch.tensor([[1.5], [0.8], [-0.4]]).double(), torch.tensor([0.5, -0.5, 0]).double()
log_var, x = torch.tensor(-1.0).double(), torch.tensor([2.0, 1.0, -0.3]).double()
mean, covariance = linear_gaussian_posterior(x, weight, bias, log_var)
print("   z    log p(x|z)   log p(z)   log p(z|x)        sum")
for z in torch.tensor([[-2.0], [0.5], [3.0]]).double():
    likelihood = gaussian_log_prob(x, z @ weight.T + bias, log_var)
    prior = gaussian_log_prob(z, torch.zeros_like(z), torch.zeros_like(z))
    posterior = gaussian_log_prob(z, mean, covariance.diagonal().log())  # one latent
    row = f"{z.item():5.1f} {likelihood:11.4f} {prior:11.4f} {posterior:11.4f}"
    print(row, f"{likelihood + prior - posterior:11.4f}")
print(f"your log-evidence {linear_gaussian_log_evidence(x, weight, bias, log_var):37.4f}")

# %%
weight, bias = torch.tensor([[1.5], [0.8], [-0.4]]).double(), torch.tensor([0.5, -0.5, 0]).double()
log_var, x = torch.tensor(-1.0).double(), torch.tensor([2.0, 1.0, -0.3]).double()
mean, covariance = linear_gaussian_posterior(x, weight, bias, log_var)
z = torch.linspace(-3, 3, 301, dtype=torch.float64)[:, None]
yours = gaussian_log_prob(z, mean, covariance.diagonal().log()).exp()
prior = gaussian_log_prob(z, torch.zeros_like(z), torch.zeros_like(z)).exp()
joint = gaussian_log_prob(x, z @ weight.T + bias, log_var).exp() * prior
figure, panel = viz.axes()
panel.plot(z[:, 0], prior, color=viz.BLACK, linestyle="--", label="prior")
viz.beside(panel, z[:, 0], yours, joint / torch.trapezoid(joint, z[:, 0]), ("z", "density"))
viz.show(figure, "The learner's posterior on the one found by Bayes' rule on a grid, narrower than the prior")

# %% [markdown]
# $x$ moved the belief about $z$ to the right and made it about three times narrower: expect
# $m = 0.82$ and a standard deviation of 0.33.
#
# ## 5. The evidence by sampling
#
# Suppose now that the integral has no formula. *Line 1:* (2) is an expectation under the prior. *Line 2:* replace the
# expectation by an average over samples:
#
# $$p(x) = E_{z \sim p(z)}\big[p(x \mid z)\big] \;\approx\; \hat p(x) =
#   \frac1S\sum_{s=1}^S p(x \mid z^{(s)}), \qquad z^{(s)} \sim p(z). \tag{10}$$
#
# *Line 3, it is unbiased.* The mean of a sum is the sum of the means, and each of them is $p(x)$ by (2):
# $E[\hat p(x)] = p(x)$, for every $S$, one included.
#
# *Line 4, its variance.* The samples are independent, so variances add up: $\operatorname{Var}\hat p = \operatorname{Var}
# [p(x \mid z)]/S$. We measure it against what we want to know, with
# $\rho = \operatorname{Var}[p(x \mid z)] / p(x)^2$, the *relative variance* of one sample:
#
# $$\frac{\operatorname{Var}\hat p(x)}{p(x)^2} = \frac{\rho}{S}. \tag{11}$$
#
# So the relative error is about $\sqrt{\rho/S}$: a hundred times the samples for one more digit. Likelihoods of
# images are around $e^{-100}$ or smaller still, so the average has to be taken in logs, by your `log_mean_exp`.
#
# {{card:monte_carlo_log_evidence}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# Which of the two dimensions holds the samples? That one disappears.
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# The mean stands inside the log. The inputs are logs already; the output is one again. You wrote
# such a function in lesson 00.
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `return log_mean_exp(log_likelihoods, ...)`
# </details>

# %% tags=["exercise:monte_carlo_log_evidence"]

# %% tags=["check:monte_carlo_log_evidence"]

# %% [markdown]
# Now we estimate a known evidence 500 times over (the batch holds the repetitions), for growing $S$.
# The model is $x \mid z \sim N(z, 0.1)$ with one latent, and $x = 1$; section 6 computes $\rho = 2.7$ for it.
#
# **Predict:** at which $S$ is the relative error $\sqrt{\rho/S}$ about 5 %? (An error of 5 % is one of 0.05 nats.)
#
# <details><summary>Answer</summary>
#
# $\sqrt{2.7/S} = 0.05$ gives $S \approx 1{,}100$.
# </details>

# %%
x, weight, log_var = torch.ones(1, 1), torch.ones(1, 1), torch.tensor(math.log(0.1))
exact = linear_gaussian_log_evidence(x, weight, torch.zeros(1), log_var)
sizes, errors = [10, 30, 100, 300, 1000, 3000], []
for num_samples in sizes:
    z = torch.randn(num_samples, 500, 1, generator=generator)  # from the prior
    errors.append(monte_carlo_log_evidence(gaussian_log_prob(x, z, log_var)) - exact)
    print(f"S = {num_samples:4}: standard deviation {errors[-1].std():.3f} nats")
figure, panel = viz.axes()
panel.boxplot(torch.stack(errors).T.numpy(), tick_labels=sizes, sym=".", whis=(5, 95))
panel.set(xlabel="samples S", ylabel="error of log p(x) (nats)")
viz.show(figure, "Boxes of 500 errors for S from 10 to 3,000: they shrink to zero, at first lopsided downwards")

# %% [markdown]
# A hundred times the samples, a tenth of the spread: from about 0.5 nats at $S = 10$ to 0.05 at $S = 1{,}000$.
#
# The boxes on the left are lopsided, and that is no accident. $\hat p$ is unbiased, $\log\hat p$ is
# not. The logarithm is concave, so by **Jensen's inequality**
#
# $$E[\log \hat p(x)] \le \log E[\hat p(x)] = \log p(x). \tag{12}$$
#
# How much too small? *Assume* $S \gg \rho$, so that $\hat p = p\,(1 + \delta)$ with a small $\delta$. By lines 3 and 4,
# $E[\delta] = 0$ and $E[\delta^2] = \rho/S$. Insert Taylor's $\log(1 + \delta) \approx \delta - \delta^2/2$:
#
# $$E[\log\hat p(x)] - \log p(x) \approx -\frac{\rho}{2S}. \tag{13}$$
#
# **Predict:** of $\hat p/p$ and $\log\hat p - \log p$, averaged over 20,000 repetitions, which shows the bias, and
# what becomes of it as $S$ grows tenfold?

# %%
x, weight, log_var = torch.ones(1, 1), torch.ones(1, 1), torch.tensor(math.log(0.1))
exact = linear_gaussian_log_evidence(x, weight, torch.zeros(1), log_var)
print("   S   mean of p^ / p   mean of log p^ - log p   -rho/2S")
for num_samples in (10, 30, 100, 300):
    z = torch.randn(num_samples, 20_000, 1, generator=generator)
    error = monte_carlo_log_evidence(gaussian_log_prob(x, z, log_var)) - exact
    ratio, bias = error.exp().mean(), error.mean()
    print(f"{num_samples:4} {ratio:16.3f} {bias:24.4f} {-2.70 / 2 / num_samples:9.4f}")

# %% [markdown]
# The estimate itself is right at every $S$ (to about 0.004, twice its standard error at $S = 10$). Its log is too
# small, by $\rho/2S$ as soon as $S$ is large; at $S = 10$ Taylor's formula is not yet good.
#
# So **the average of a log-estimate is a lower bound of $\log p(x)$**. In lesson 03 this defect turns into the
# method: a bound that is always on the same side can be raised by gradient ascent.
#
# ## 6. Why naive Monte Carlo fails
#
# Everything depends on $\rho$. *Line 1:* from its definition, $1 + \rho = E[p(x \mid z)^2] / p(x)^2$.
#
# *Line 2, one dimension, $x \mid z \sim N(z, \sigma^2)$.* The square of a Gaussian density is one again, narrower
# and not normalised: $N(x; z, \sigma^2)^2 = \frac{1}{2\sqrt{\pi}\,\sigma} N(x; z, \sigma^2/2)$. Its expectation
# over $z \sim N(0, 1)$ is a linear-Gaussian evidence, so by (5)
#
# $$1 + \rho_1 = \frac{N(x; 0, 1 + \sigma^2/2)}{2\sqrt\pi\,\sigma\; N(x; 0, 1 + \sigma^2)^2}. \tag{14}$$
#
# *Line 3, d independent dimensions, each with a latent of its own:* likelihoods multiply, and so do the
# expectations of independent factors:
#
# $$1 + \rho_d = (1 + \rho_1)^d. \tag{15}$$
#
# With $\sigma^2 = 0.1$ and $x = 1$ in every dimension, (14) gives $1 + \rho_1 = 3.70$. The number of samples
# for a given error grows like $3.7^d$.
#
# **Predict:** we measure $\rho_d$ from 100,000 samples. Up to which $d$ will the measurement agree?
#
# <details><summary>Answer</summary>
#
# While $100{,}000 \gg \rho_d$, so up to $d \approx 6$ ($3.7^6 \approx 2{,}600$). And then? The variance lives from samples
# so rare that none of them was drawn. The measured value cannot even exceed $S - 1$: the failure hides itself.
# </details>

# %%
noise, place = torch.tensor(0.1).double(), torch.ones(1).double()
narrow = gaussian_log_prob(place, 0 * place, (1 + noise / 2).log()).exp()
wide = gaussian_log_prob(place, 0 * place, (1 + noise).log()).exp()
growth = narrow / (2 * math.sqrt(math.pi) * noise.sqrt() * wide**2)
print(f"1 + rho_1 = {growth:.4f}\n\n  d         rho   measured    error of log p^ (nats)")
for d in (1, 2, 4, 6, 10, 20, 50):
    z = torch.randn(100_000, 1, d, generator=generator).double()
    logs = gaussian_log_prob(torch.ones(d), z, noise.log())  # (num_samples, 1)
    measured = (monte_carlo_log_evidence(2 * logs) - 2 * monte_carlo_log_evidence(logs)).exp() - 1
    error = monte_carlo_log_evidence(logs) - d * wide.log()
    print(f"{d:3} {growth**d - 1:11.3g} {measured.item():10.4g} {error.item():12.2f}")

# %% [markdown]
# At $d = 10$ the estimate is too small by about 2 nats, at $d = 50$ by more than 100: a factor of $10^{50}$,
# with 100,000 samples. No error is raised, and $\hat p$ is still unbiased; only that its mean comes from a sample
# that nobody will live to see. The same with the spread of 30 repetitions:

# %%
figure, panel = viz.axes()
dims, log_var = [1, 2, 5, 10, 15, 20, 30, 40], torch.tensor(math.log(0.1))
for num_samples, colour, marker in ((100, viz.ORANGE, "o"), (10_000, viz.BLUE, "s")):
    errors = []
    for d in dims:
        x, z = torch.ones(d), torch.randn(num_samples, 30, d, generator=generator)
        exact = linear_gaussian_log_evidence(x, torch.eye(d), torch.zeros(d), log_var)
        errors.append(monte_carlo_log_evidence(gaussian_log_prob(x, z, log_var)) - exact)
    mean, spread = [e.mean().item() for e in errors], [e.std().item() for e in errors]
    panel.errorbar(dims, mean, spread, color=colour, marker=marker, label=f"S = {num_samples:,}")
panel.set(xlabel="dimensions d", ylabel="error of log p(x) (nats)"); panel.legend(frameon=False)
viz.show(figure, "The error falls from 0 to below -80 nats as d grows to 40; 10,000 samples only delay the fall")

# %% [markdown]
# A hundred times the samples move the break from $d \approx 5$ to $d \approx 8$, as $3.7^d$ predicts
# ($\log 100 / \log 3.7 = 3.5$ dimensions more).
#
# The reason can be drawn. Prior samples lie all over latent space; only those that explain this one $x$
# contribute, and the region where they lie, the posterior, is a fraction of the prior that shrinks
# exponentially with $d$. **Nearly all samples are spent on codes that have nothing to do with x.**
#
# ## 7. Importance sampling
#
# So let us sample where it matters, from a *proposal* $q(z)$ of our choice, and correct for having done so.
#
# *Line 1, multiply by one.* Where $q(z) > 0$, $q(z)/q(z) = 1$. *Assumed:* $q(z) > 0$ wherever
# $p(x, z) > 0$, otherwise a part of the integral is lost.
#
# *Line 2, read the integral as an expectation under $q$:*
#
# $$p(x) = \int p(x, z)\, dz = \int \frac{p(x, z)}{q(z)}\, q(z)\, dz
#   = E_{z \sim q}\Big[\frac{p(x, z)}{q(z)}\Big]. \tag{16}$$
#
# *Line 3, average:* with the *weights* $w^{(s)} = p(x, z^{(s)})/q(z^{(s)})$,
#
# $$\hat p(x) = \frac1S\sum_{s=1}^S w^{(s)}, \qquad z^{(s)} \sim q(z). \tag{17}$$
#
# It is unbiased for every such $q$, by the argument of section 5. With $q$ the prior, $w = p(x \mid z)$: formula (10)
# is the special case. What $q$ changes is the variance, that is $\rho = \operatorname{Var}_q[w]/p(x)^2$.
#
# {{card:importance_log_evidence}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# A weight is a ratio of densities. What is a ratio, in logs?
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Subtract before anything is exponentiated: both logs may be out of a float's range while their difference is
# an ordinary number. Then it is exercise 2.4 once more.
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `log_weights = log_joint - ...`
# </details>

# %% tags=["exercise:importance_log_evidence"]

# %% tags=["check:importance_log_evidence"]

# %% [markdown]
# **Which proposal is the best?** The variance of the weights is 0 exactly when they are constant. As their mean
# is $p(x)$, the constant is $p(x)$:
#
# $$\frac{p(x, z)}{q(z)} = p(x) \ \text{ for all } z
#   \quad\Longleftrightarrow\quad q(z) = \frac{p(x, z)}{p(x)} = p(z \mid x). \tag{18}$$
#
# The posterior, and nothing else. (This is equation (9): a single $z$ was enough.) In this model of $d$ copies it is
# known: $N(10/11, 1/11)$ in each dimension. We try it at $d = 20$, beside proposals that are only roughly right: wider,
# shifted, or both. Each line holds 200 repetitions of 100 samples.
#
# **Predict:** by how much will the log-weights vary under the posterior? Is a proposal that is twice as wide as the
# posterior, and off by 0.3 of its standard deviations, still better than the prior?

# %%
x, identity, zero = torch.ones(20).double(), torch.eye(20).double(), torch.zeros(20).double()
log_var = torch.tensor(0.1).double().log()
exact = linear_gaussian_log_evidence(x, identity, zero, log_var)
mean, covariance = linear_gaussian_posterior(x, identity, zero, log_var)
sd = covariance.diagonal().sqrt()
proposals = {"posterior": (mean, sd), "1.2 times wider": (mean, 1.2 * sd), "shifted by 0.3 sd": (mean + 0.3 * sd, sd),
             "shifted, twice as wide": (mean + 0.3 * sd, 2 * sd), "prior": (zero, zero + 1)}
for name, (m, s) in proposals.items():
    z = m + s * torch.randn(100, 200, 20, generator=generator).double()
    log_joint, log_q = gaussian_log_prob(x, z, log_var) + gaussian_log_prob(z, zero, zero), gaussian_log_prob(z, m, 2 * s.log())
    error = importance_log_evidence(log_joint, log_q) - exact
    print(f"{name:23} log-weights vary by {(log_joint - log_q).std():6.3f}, error {error.mean():7.3f} ± {error.std():6.3f} nats")

# %% [markdown]
# Under the posterior every weight is $p(x)$ and one sample would do. Roughly right proposals are off by
# 0.1 or 0.2 nats, the doubly wrong one by 2, and the prior by nearly 60.
#
# **How wrong may a proposal be?** Take the posterior $N(m, \sigma_p^2)$ in one dimension and the proposal $N(m, s^2\sigma_p^2)$.
# As $w/p(x) = p(z \mid x)/q(z)$, with $u = (z - m)/\sigma_p$,
#
# $$1 + \rho = E_q\Big[\frac{p(z \mid x)^2}{q(z)^2}\Big] = \int \frac{p(z \mid x)^2}{q(z)}\,dz
#   = \frac{s}{\sqrt{2\pi}} \int e^{-\frac{u^2}{2}\left(2 - \frac{1}{s^2}\right)} du = \frac{s^2}{\sqrt{2s^2 - 1}}. \tag{19}$$
#
# The integral exists only for $2 - 1/s^2 > 0$, that is $s > 1/\sqrt2 \approx 0.71$; for a narrower proposal $\rho$
# is infinite. In $d$ dimensions, (15) holds again.
#
# **Predict:** at $d = 5$ and $S = 1{,}000$: is it worse to be twice too wide, or half too wide (so twice too narrow)?

# %%
widths = torch.tensor([0.5, 0.6, 0.72, 0.8, 0.9, 1, 1.2, 1.5, 2, 3]).double()
x, zero, log_var = torch.ones(5).double(), torch.zeros(5).double(), torch.tensor(0.1).double().log()
exact = linear_gaussian_log_evidence(x, torch.eye(5).double(), zero, log_var)
measured = []
for s in widths / math.sqrt(11):  # the posterior is N(10/11, 1/11) in each dimension
    z = 10 / 11 + s * torch.randn(1000, 400, 5, generator=generator).double()
    log_joint = gaussian_log_prob(x, z, log_var) + gaussian_log_prob(z, zero, zero)
    log_q = gaussian_log_prob(z, zero + 10 / 11, 2 * s.log())
    measured.append((importance_log_evidence(log_joint, log_q) - exact).exp().std().item())
