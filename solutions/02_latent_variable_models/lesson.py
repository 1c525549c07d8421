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
viz.show(figure, "Samples of x form a ring, coloured by z; densest on the right")

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

# %%
points = torch.linspace(-6, 8, 561)
mean, log_var = torch.tensor([1.0]), torch.tensor(0.5)
density = gaussian_log_prob(points[:, None], mean, log_var).exp()
integral = torch.trapezoid(density, points).item()
print(f"the integral of your density is {integral:.4f} (expected 1)")
drawn = 1 + math.exp(0.25) * torch.randn(20_000)  # by torch, to compare with
figure, panel = viz.axes()
panel.hist(drawn.numpy(), bins=80, density=True, color=viz.SKY, label="samples")
panel.plot(points, density, color=viz.RED, label="yours")
panel.set(xlabel="x", ylabel="density")
panel.legend(frameon=False)
viz.show(figure, "Your Gaussian density along the top of a histogram of samples")

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
log_prior = gaussian_log_prob(z, torch.zeros(1), torch.zeros(1))
evidence = torch.trapezoid((log_x_given_z + log_prior).exp(), z[:, 0], dim=1)
print(f"integral of p(x): {evidence.sum().item() * 0.1**2:.3f} (expected 1)")
figure, panel = viz.axes(size=(4.6, 3.8))
drawing = panel.pcolormesh(side, side, evidence.view(61, 61).T, cmap="viridis")
figure.colorbar(drawing, ax=panel, label="p(x)")
panel.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
viz.show(figure, "p(x) on a grid: a ring, brightest on the right, dark in its middle")

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
weight, bias = torch.tensor([[1.5], [0.8]]), torch.tensor([0.5, -0.5])  # D = 2, K = 1
sigma, log_var = math.sqrt(0.3), torch.tensor(math.log(0.3))
x = torch.randn(100_000, 1) @ weight.T + bias + sigma * torch.randn(100_000, 2)
C = torch.tensor([[2.55, 1.20], [1.20, 0.94]])  # (4), by hand
A = torch.cat([weight, sigma * torch.eye(2)], 1)
S = torch.linalg.qr(A.T).R.T  # A.T = Q R with orthonormal columns in Q
print(f"1  mean of 100,000 samples, less b: {(x.mean(0) - bias).abs().max():.2f} at most")
print(f"2  their covariance, less C       : {(x.T.cov() - C).abs().max():.2f} at most")
print(f"3  S S', less C                   : {(S @ S.T - C).abs().max():.4f} at most")
print(f"4  |det S| and sqrt(det C)        : {S.det().abs():.4f}, {C.det().sqrt():.4f}")

# %% [markdown]
# Lines 1 and 2 agree up to sampling noise (0.01, sometimes 0.03, with 100,000 samples), lines 3 and 4 in all digits.
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

# %%
steps = torch.linspace(-4, 5, 181)
x = torch.stack([steps, 0.3 * steps], -1)  # along a line: your formula, integral (2)
yours = linear_gaussian_log_evidence(x, weight, bias, log_var)
z = torch.linspace(-8, 8, 801)[:, None]
log_x_given_z = gaussian_log_prob(x[:, None], z @ weight.T + bias, log_var)
log_prior = gaussian_log_prob(z, torch.zeros(1), torch.zeros(1))
expected = torch.trapezoid((log_x_given_z + log_prior).exp(), z[:, 0], dim=1).log()
print(f"largest difference: {(yours - expected).abs().max():.4f} nats")
figure, panel = viz.axes()
labels = "$x_1$, with $x_2 = 0.3 x_1$", "log p(x) (nats)"
viz.beside(panel, steps, yours, expected, labels)
viz.show(figure, "Your log-evidence lies on the curve found on a grid: a parabola")

# %% [markdown]
# With one latent the grid still works, so it could judge the formula.
#
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
    """At most 14 pixels wide, in [0, 1], with a little noise: (n, pixels)."""
    x = data.to_unit(part).double().view(-1, 1, *digits.shape)
    x = torch.nn.functional.avg_pool2d(x, 2) if x.shape[-1] > 14 else x
    return x.flatten(1) + 0.1 * torch.randn(x.flatten(1).shape)


digits = data.load()
train, new = images(digits.train[:150]), images(digits.test[:300])
print(f"{digits.label}; here {train.shape[1]} pixels")
eigenvalues, eigenvectors = torch.linalg.eigh(train.T.cov())
print("the largest eigenvalues:", eigenvalues.flip(0)[:5].numpy().round(2))


# %% tags=["data"]
def fit(num_latents: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best weight, bias and log_var for the training images."""
    noise = eigenvalues[: len(eigenvalues) - num_latents].mean()
    columns = eigenvectors * (eigenvalues - noise).clamp(min=0).sqrt()
    return columns[:, len(eigenvalues) - num_latents :], train.mean(0), noise.log()


weight, bias, log_var = fit(20)
rows = torch.cat([new[:10], torch.randn(20, 20).double() @ weight.T + bias])
figure, panel = viz.axes(size=(5.4, 1.8))
viz.image_grid(panel, rows.clamp(0, 1), (math.isqrt(len(bias)), math.isqrt(len(bias))))
viz.show(figure, "Ten noisy digits; below them twenty blurred images drawn from the model")

# %% tags=["data"]
sizes = [0, 1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 60]
figure, panel = viz.axes()
styles = {"150 images of the fit": (viz.BLUE, "o"), "300 new images": (viz.RED, "s")}
for part, (label, (colour, marker)) in zip((train, new), styles.items(), strict=True):
    scores = [linear_gaussian_log_evidence(part, *fit(k)).mean().item() for k in sizes]
    panel.plot(sizes, scores, color=colour, marker=marker, label=label)
    print(f"{label}: {scores[0]:.1f} nats without latents, {max(scores):.1f} at most")
panel.set(xlabel="number of latents K", ylabel="mean log p(x) (nats per image)")
panel.legend(frameon=False)
viz.show(figure, "log p(x) against K: rising on the fit's images, best near 20 on new ones")

# %% [markdown]
# Expect on new images about $-12$ nats without latents and $+6$ at $K \approx 20$ on scikit-learn's digits ($-1.5$ and
# $+35.5$ on MNIST); another seed of the noise moves them by up to 1. A log-density may be positive:
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
x, weight = torch.tensor([1.5, 1.5, -0.3]), torch.tensor([[1.5], [0.8], [-0.4]])
bias, log_var, zero = torch.zeros(3), torch.tensor(-1.0), torch.zeros(1)
mean, covariance = linear_gaussian_posterior(x, weight, bias, log_var)
print("   z    log p(x|z)   log p(z)  log p(z|x)       sum")
for z in torch.tensor([[-2.0], [0.5], [3.0]]):
    likelihood = gaussian_log_prob(x, z @ weight.T + bias, log_var)
    prior = gaussian_log_prob(z, zero, zero)
    posterior = gaussian_log_prob(z, mean, covariance.diagonal().log())  # one latent
    row = f"{z.item():5.1f} {likelihood:11.3f} {prior:11.3f} {posterior:11.3f}"
    print(row, f"{likelihood + prior - posterior:10.3f}")
exact = linear_gaussian_log_evidence(x, weight, bias, log_var)
print(f"your log-evidence {exact:34.3f}")

# %%
x, weight = torch.tensor([1.5, 1.5, -0.3]), torch.tensor([[1.5], [0.8], [-0.4]])
bias, log_var, zero = torch.zeros(3), torch.tensor(-1.0), torch.zeros(1)
mean, covariance = linear_gaussian_posterior(x, weight, bias, log_var)
z = torch.linspace(-3, 3, 301)[:, None]
yours = gaussian_log_prob(z, mean, covariance.diagonal().log()).exp()
prior = gaussian_log_prob(z, zero, zero).exp()
joint = gaussian_log_prob(x, z @ weight.T + bias, log_var).exp() * prior
expected = joint / torch.trapezoid(joint, z[:, 0])
figure, panel = viz.axes()
panel.plot(z[:, 0], prior, color=viz.BLACK, linestyle="--", label="prior")
viz.beside(panel, z[:, 0], yours, expected, ("z", "density"))
viz.show(figure, "Your posterior on the one found on a grid, narrower than the prior")

# %% [markdown]
# $x$ moved the belief about $z$ to the right and made it about three times narrower: expect
# $m = 1.04$ and a standard deviation of 0.33.
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
# Your estimate is a random number, and its logarithm has a flaw. $\hat p$ is unbiased, but $\log\hat p$ is
# not. The logarithm is concave, so by **Jensen's inequality**
#
# $$E[\log \hat p(x)] \le \log E[\hat p(x)] = \log p(x). \tag{12}$$
#
# How much too small? *Assume* $S \gg \rho$, so that $\hat p = p\,(1 + \delta)$ with a small $\delta$. By lines 3 and 4,
# $E[\delta] = 0$ and $E[\delta^2] = \rho/S$. Insert Taylor's $\log(1 + \delta) \approx \delta - \delta^2/2$:
#
# $$E[\log\hat p(x)] - \log p(x) \approx -\frac{\rho}{2S}. \tag{13}$$
#
# We estimate a known evidence 20,000 times over (the batch holds the repetitions). The model is
# $x \mid z \sim N(z, 0.1)$ with one latent, and $x = 1$; section 6 computes $\rho = 2.70$ for it.
#
# **Predict:** at which $S$ is the relative error $\sqrt{\rho/S}$ about 0.1? (A relative error of 0.1 is one of 0.1 nats.)
# Averaged over the repetitions, which of $\hat p/p$ and $\log\hat p - \log p$ shows a bias, and what becomes
# of it as $S$ grows tenfold?
#
# <details><summary>Answer</summary>
#
# $\sqrt{2.7/S} = 0.1$ gives $S = 270$. The average of $\hat p/p$ is 1 at every $S$. The average of
# $\log\hat p - \log p$ is negative, and a tenth of it is left at ten times the samples, by (13).
# </details>

# %%
x, weight, log_var = torch.ones(1, 1), torch.ones(1, 1), torch.tensor(math.log(0.1))
exact = linear_gaussian_log_evidence(x, weight, torch.zeros(1), log_var)
print("   S   mean of p^/p   mean of log p^/p   -rho/2S   spread")
sizes, errors, (figure, panel) = [10, 30, 100, 300, 1000], [], viz.axes()
for size in sizes:
    z = torch.randn(size, 20_000, 1, generator=generator)  # from the prior
    e = monte_carlo_log_evidence(gaussian_log_prob(x, z, log_var)) - exact
    print(f"{size:4}{e.exp().mean():15.2f}{e.mean():18.3f}{-1.35 / size:11.3f}{e.std():9.2f}")
    errors.append(e.numpy())
panel.boxplot(errors, tick_labels=sizes, showfliers=False, whis=(5, 95))
panel.set(xlabel="samples S", ylabel="error of log p(x) (nats)")
viz.show(figure, "Boxes of 20,000 errors: lopsided downwards at S = 10, then narrow")

# %% [markdown]
# The estimate itself is right at every $S$ (to about 0.01). Its log is too
# small, by $\rho/2S$ as soon as $S$ is large; at $S = 10$ Taylor's formula is not yet good, and the box is lopsided.
# A hundred times the samples leave a tenth of the spread.
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
x, noise, zero = torch.ones(1), torch.tensor(0.1), torch.zeros(1)
narrow = gaussian_log_prob(x, zero, (1 + noise / 2).log())
wide = gaussian_log_prob(x, zero, (1 + noise).log())
growth = (narrow - 2 * wide).exp().item() / math.sqrt(0.4 * math.pi)
print(f"1 + rho_1 = {growth:.3f}\n\n  d        rho   measured   error of log p^ (nats)")
for d in (1, 2, 4, 6, 10, 20, 50):
    z = torch.randn(100_000, 1, d, generator=generator)
    logs = gaussian_log_prob(torch.ones(d), z, noise.log())  # (num_samples, 1)
    found = monte_carlo_log_evidence(logs)
    rho = (monte_carlo_log_evidence(2 * logs) - 2 * found).exp() - 1
    print(f"{d:3}{growth**d - 1:11.2g}{rho.item():11.2g}{(found - d * wide).item():14.1f}")

# %%
dims, log_var, errors = [1, 2, 5, 10, 15, 20, 30, 40], torch.tensor(0.1).log(), []
figure, panel = viz.axes()
for size, look in ((100, {"fmt": "o-"}), (10_000, {"fmt": "s--", "color": viz.RED})):
    for d in dims:
        x, z = torch.ones(d), torch.randn(size, 30, d, generator=generator)
        exact = linear_gaussian_log_evidence(x, torch.eye(d), 0 * x, log_var)
        e = monte_carlo_log_evidence(gaussian_log_prob(x, z, log_var)) - exact
        errors.append([e.mean().item(), e.std().item()])
    panel.errorbar(dims, *zip(*errors[-8:], strict=True), **look, label=f"S = {size:,}")
panel.set(xlabel="dimensions d", ylabel="error of log p(x) (nats)")
panel.legend(frameon=False)
viz.show(figure, "The error falls below -100 nats by d = 40; more samples only delay it")

# %% [markdown]
# In the table, with 100,000 samples, the estimate is off by a nat or two at $d = 10$, too small by 7 to 24 at $d = 20$, and by more than 100 at
# $d = 50$: a factor of $10^{50}$. No error is raised. $\hat p$ is still unbiased, but its mean now lives from a sample so rare
# that nobody will ever draw it. In the picture (30 repetitions each, bars of one standard deviation) the fall begins some three dimensions later
# for a hundred times the samples, as $3.7^d$ predicts: $\log 100 / \log 3.7 = 3.5$. The bars are much shorter than the
# errors: at $d = 40$ an error is five to twelve of its bars long.
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
# known: $N(10/11, 1/11)$ in each dimension. We try it at $d = 20$, beside proposals that are only roughly right: 1.2
# times wider; shifted by 0.3 standard deviations; shifted so and twice as wide ("far"). Each line holds 200 repetitions
# of 100 samples.
#
# **Predict:** by how much will the log-weights vary under the posterior? Is a proposal that is twice as wide as the
# posterior, and off by 0.3 of its standard deviations, still better than the prior?
#
# <details><summary>Answer</summary>
#
# Under the posterior all weights are the same number, $p(x)$: no variation at all, and one sample would do. The
# doubly wrong proposal is worse than the others by far, and still some fifty nats better than the prior.
# </details>

# %%
x, zero, log_var = torch.ones(20), torch.zeros(20), torch.tensor(math.log(0.1))
exact = linear_gaussian_log_evidence(x, torch.eye(20), zero, log_var)
mean, covariance = linear_gaussian_posterior(x, torch.eye(20), zero, log_var)
sd = covariance.diagonal().sqrt()
close = {"posterior": (mean, sd), "wider": (mean, 1.2 * sd), "shifted": (mean + 0.3 * sd, sd)}
far = {"far": (mean + 0.3 * sd, 2 * sd), "prior": (zero, zero + 1)}
for name, (m, s) in (close | far).items():
    z = m + s * torch.randn(100, 200, 20, generator=generator)
    log_joint = gaussian_log_prob(x, z, log_var) + gaussian_log_prob(z, zero, zero)
    e = importance_log_evidence(log_joint, gaussian_log_prob(z, m, 2 * s.log())) - exact
    print(f"{name:9} error {e.mean():6.2f}, standard deviation {e.std():5.2f} nats")

# %% [markdown]
# Proposals that are 1.2 times wider than the posterior, or shifted by 0.3 of its standard deviations, spread by 0.1 or
# 0.2 nats; one that is twice as wide *and* shifted is off by 2, the prior by nearly 60.
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
# **Predict:** at $d = 5$ and $S = 1{,}000$: what is worse, a proposal that is twice as wide as the posterior, or one of
# 0.6 times its width?
#
# <details><summary>Answer</summary>
#
# Twice as wide: $1 + \rho_1 = 4/\sqrt7 = 1.51$, so $\rho_5 = 6.9$ and the relative error is
# $\sqrt{6.9/1000} = 0.08$. At 0.6 it is infinite, however it may look.
# </details>

# %%
widths = torch.tensor([0.6, 0.65, 0.72, 0.76, 0.8, 0.9, 1, 1.2, 1.5, 2, 2.5, 3])
expected = (((widths**2 / (2 * widths**2 - 1).sqrt()) ** 5 - 1) / 1000).sqrt()
x, zero, log_var = torch.ones(5), torch.zeros(5), torch.tensor(math.log(0.1))
exact, yours = linear_gaussian_log_evidence(x, torch.eye(5), zero, log_var), []
for s in widths / math.sqrt(11):  # the posterior is N(10/11, 1/11) in each dimension
    z = 10 / 11 + s * torch.randn(1000, 200, 5, generator=generator)
    log_joint = gaussian_log_prob(x, z, log_var) + gaussian_log_prob(z, zero, zero)
    log_q = gaussian_log_prob(z, zero + 10 / 11, 2 * s.log())
    yours.append((importance_log_evidence(log_joint, log_q) - exact).exp().std())
figure, panel = viz.axes()
viz.beside(panel, widths, torch.stack(yours), expected, ("relative width of q", "relative error"))
viz.show(figure, "Relative error: 0 at width 1, slowly up to the right, steeply to the left")

# %% [markdown]
# Too narrow is the dangerous side. At 0.6 the markers still look harmless (0.2 to 0.7, another value at each seed), while
# the true variance is infinite. A few samples out in the tails carry weights without
# a bound, and mostly they are not drawn. **When in doubt, propose wider.**
#
# ## 8. The catch
#
# The best proposal is the posterior, and the posterior contains $p(x)$, the number we were after. In the
# linear-Gaussian model both had a formula. Back to the ring, whose decoder is not linear. At $x = (-2, 0)$, on
# the far left, two codes explain $x$ equally well, $z \approx 2.1$ and $z \approx -2.1$: its posterior has two
# narrow peaks.
#
# **Predict:** a colleague proposes from a Gaussian that sits well on the right one of the two. Its
# weights are nearly constant, the spread over the repetitions is tiny. What will the estimate be?
#
# <details><summary>Answer</summary>
#
# Half of $p(x)$, so the log is too small by $\log 2 = 0.69$ nats. $q$ is positive at the other code as well, so the
# estimate is unbiased; but a sample lands there once in some $10^{200}$ draws. A small spread proves nothing
# about what was never visited.
# </details>

# %%
x, log_var, zero = torch.tensor([-2.0, 0]), torch.tensor(math.log(0.1)), torch.zeros(1)
z = torch.linspace(-5, 5, 2001)[:, None]
joint = gaussian_log_prob(x, ring(z), log_var) + gaussian_log_prob(z, zero, zero)
exact = torch.trapezoid(joint.exp(), z[:, 0]).log()
for name, m, s in (("prior", zero, zero + 1), ("one peak", zero + 2.07, zero + 0.13)):
    z = m + s * torch.randn(1000, 200, 1, generator=generator)
    log_joint = gaussian_log_prob(x, ring(z), log_var) + gaussian_log_prob(z, zero, zero)
    log_q = gaussian_log_prob(z, m, 2 * s.log())
    e = importance_log_evidence(log_joint, log_q) - exact
    print(f"{name:8} error {e.mean():6.2f}, standard deviation {e.std():.2f} nats")

# %% [markdown]
# For a neural decoder with 20 latents there is no formula, no grid, and no looking at a picture. A good proposal
# must depend on $x$, be close to the posterior of that $x$, and be cheap. So let us **learn** a function from $x$
# to a proposal: $q(z \mid x)$. That function is the encoder of a variational autoencoder. To train it we need to say how far
# $q$ is from a posterior that we cannot compute; lesson 03 does, with inequality (12).
#
# **Three questions before you go on**
#
# <details><summary>1. Your estimate has S = 100,000 and a standard deviation of 0.001 nats over ten repetitions. Is it right?</summary>
#
# Not necessarily: the ring's proposal had a tiny spread too. A small spread is necessary, not sufficient. Better evidence:
# a wider proposal gives the same value, or a model with a known evidence is estimated well by the same procedure.
# </details>
# <details><summary>2. Why is log p(x) of a grey image not a probability, and when may it be positive?</summary>
#
# It is the log of a density. Where a density is concentrated (small noise), it exceeds 1 and its log is positive.
# Only differences between models on the same data scale mean something.
# </details>
# <details><summary>3. Is the mean of log-weights, in place of the log of the mean weight, also an estimate of log p(x)?</summary>
#
# Of a lower bound of it: that is (12) with $S = 1$. It is the evidence lower bound, the subject of lesson 03. It is tight for
# the posterior, where all the weights are equal.
# </details>

# %% [markdown] tags=["written:prior_samples:2"]
# **Question (2 points).** A colleague trains a VAE with 50 latents and reports a test log-likelihood by averaging
# $p(x \mid z)$ over 10,000 samples of the prior for each image. In which direction is the number wrong, why does the
# standard deviation over repetitions not tell how wrong, and what would you do instead? Answer in
# about five sentences, with the formulas of this lesson.
#
# ### BEGIN SOLUTION
# The reported number is too small: the log of an unbiased estimate has a negative bias by Jensen's inequality (12), and with
# 50 latents $\rho$ grows exponentially with the dimension (15), so $S = 10{,}000$ is nowhere near $\rho$. Hardly any prior sample
# falls into the posterior's region, and the average lives from the best of the bad ones. The standard deviation
# is computed from the samples that were drawn; the rare samples that carry the mean (and the variance) are in
# none of the repetitions, so it is far smaller than the error (in the picture of section 6, 10 nats against 110). I would use importance sampling (17) with the encoder's $q(z \mid x)$ as the
# proposal, which is unbiased as long as $q > 0$ wherever $p(x, z) > 0$, rather a little too wide than too narrow (19). The result
# is still a lower bound on average, but close to the truth when $q$ is close to the posterior, where the weights are constant (18);
# I would check that it does not rise any more with $S$.
# ### END SOLUTION

# %% [markdown]
# ## Summary
#
# - A latent variable model is a story, $z \sim p(z)$, $x \sim p(x \mid z)$; the evidence sums over all $z$: (2).
# - The linear-Gaussian model has it in closed form, $C = WW^\top + \sigma^2 I$: (5); its posterior is Gaussian: (8).
# - Averaging over the prior is unbiased (10); the log of the average is biased downwards, by $\rho/2S$: (13).
# - $1 + \rho$ grows exponentially with the dimension (15); the spread over repetitions shows a fraction of the error.
# - Importance sampling moves the samples to where they count (16). The posterior is the one proposal without variance: (18).
#
# ## What to read next
#
# - C. M. Bishop, *Pattern Recognition and Machine Learning*, 2006: Eq. 2.113–2.117 (marginal and posterior of a
#   linear-Gaussian model), 12.31–12.46 (probabilistic PCA), 11.2 and 11.19 (Monte Carlo, importance sampling).
# - M. E. Tipping and C. M. Bishop, [Probabilistic Principal Component
#   Analysis](https://doi.org/10.1111/1467-9868.00196), 1999: the model of section 3 and its best parameters.
# - A. B. Owen, [Monte Carlo theory, methods and examples](https://artowen.su.domains/mc/), 2013, chapter 9: Theorem 9.1 is
#   our (18).
# - D. P. Kingma and M. Welling, [Auto-Encoding Variational Bayes](https://arxiv.org/abs/1312.6114), 2014, section 2.1: the
#   same problem, set for neural networks.
#
# **Next:** lesson 03 turns inequality (12) into something that can be trained.
