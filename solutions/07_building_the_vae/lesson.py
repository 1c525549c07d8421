# %% [markdown]
# # 07 · Building the VAE: four pieces, one loss
#
# **After this lesson you can** write an encoder with two heads, a decoder of logits, and the model that joins them; write down the shape of
# every tensor on the way; write the loss, and know what it must be before anything is trained; say which gradient reaches which head, and by
# which of two paths; measure what it costs that one network answers for all images.
#
# **You need** lesson 03 (the ELBO), and your own `gaussian_kl` (04), `reparameterize` (05) and `bernoulli_log_likelihood` (06): the model is made of them.
# **Time:** about 85 minutes, 52 of them for five exercises. The cells run in less than a minute.
#
# Every formula is there; what is left is plumbing. Plumbing is where VAEs fail, and fail quietly: a forgotten noise, a swapped pair, a mean where a sum belongs, and
# the loss still goes down. So each pipe gets a gauge here: a number that is known before the water is turned on.

# %% tags=["setup"]
import torch
from torch import Tensor, nn
from vae_edu import check, data, exercise, viz
from vae_edu.exercises.kl_divergence import gaussian_kl
from vae_edu.exercises.likelihoods import bernoulli_log_likelihood, binarize
from vae_edu.exercises.reparameterization import reparameterize
_ = torch.set_num_threads(1), torch.manual_seed(7)  # the same, however many cores

# %%
from functools import cache

digits = data.load().to_unit()
images, test, pixels = digits.train[:6000], digits.test[:500], digits.train.shape[1]
print(f"{digits.label}\nused here: {len(images)} to train on, {len(test)} to test on")
figure, panel = viz.axes(size=(6.4, 1.6))
viz.image_grid(panel, test[:20], digits.shape)
viz.show(figure, "Twenty handwritten digits in grey, those that this lesson encodes and decodes.")

# %% [markdown]
# ## 1 · From the bound to a program
#
# For one image, lesson 03 left us with
# $$-\mathrm{ELBO}(x) = \mathbb E_{q(z|x)}\big[-\log p(x|z)\big] + \mathrm{KL}\big(q(z|x)\,\|\,p(z)\big). \tag{1}$$
# Five decisions, lines 2 to 6, turn it into a program (the equations carry the numbers of their lines). The first one chooses families, the others choose how to compute.
#
# *Line 2: the families.* Assumed: $p(z) = \mathcal N(0, I)$, $p(x|z)$ independent Bernoulli pixels with logits $g_\theta(z)$, and $q(z|x)$ a Gaussian with a
# diagonal covariance. (1) is a bound for any $q$ whatever, so the last choice can make it looser, never wrong.
#
# *Line 3: amortisation.* The bound wants a $q$ for each image: $\mu_n$ and $\ell_n = \log\sigma_n^2$ for $n = 1, \dots, N$. We let one network compute them,
# $(\mu_n, \ell_n) = f_\phi(x_n)$. The best $\phi$ is one way of choosing the $N$ pairs among all ways, and a minimum over fewer choices is no smaller:
# $$\min_\phi \sum_n L\big(x_n; f_\phi(x_n)\big) \;\ge\; \sum_n \min_{\mu_n, \ell_n} L(x_n; \mu_n, \ell_n), \tag{3}$$
# with $L$ for (1) as a function of $q$'s parameters. The difference is the *amortisation gap*. What it buys: a new image costs one
# forward pass, not an optimisation, and images help each other. Section 7 measures the gap.
#
# *Line 4: one sample.* By lesson 05, $z = \mu + \sigma\epsilon$ with $\epsilon \sim \mathcal N(0, I)$ has the distribution $q(z|x)$, so
# $$\mathbb E_{q(z|x)}\big[-\log p(x|z)\big] = \mathbb E_{\epsilon}\big[-\log p(x \,|\, \mu + \sigma\epsilon)\big], \tag{4}$$
# and one draw of $\epsilon$ estimates the right side without bias. (The mean over $S$ draws has $1/S$ of the variance. One is enough, since a
# minibatch has a hundred images, each with noise of its own.)
#
# *Line 5: a closed form for the rest.* No sample is needed for the KL; lesson 04 has it, since both are Gaussian.
#
# *Line 6: a batch.* The mean over $B$ images drawn at random is an unbiased estimate of the mean over the data, because the loss of one image drawn at random has the mean loss as its expectation:
# $$\text{loss} = \frac1B \sum_{n=1}^{B}\Big[\underbrace{-\log p\big(x_n \,|\, \mu_n + \sigma_n\epsilon_n\big)}_{\text{sum over pixels}} + \underbrace{\tfrac12\textstyle\sum_j\big(\mu_{nj}^2 + e^{\ell_{nj}} - 1 - \ell_{nj}\big)}_{\text{sum over latents}}\Big]. \tag{6}$$
#
# As a program, with the shape at each line:
#
# | name | what | shape |
# | --- | --- | --- |
# | `x` | images | `(batch, input)` |
# | `h` | the encoder's hidden layer | `(batch, hidden)` |
# | `mu`, `log_var` | two heads on `h` | `(batch, latent)` each |
# | `eps` | noise from outside | `(batch, latent)`, or `(num_samples, batch, latent)` |
# | `z` | `reparameterize(mu, log_var, eps)` | the shape of `eps` |
# | `logits` | the decoder at `z` | `(batch, input)`, or `(num_samples, batch, input)` |
# | two terms | `bernoulli_log_likelihood`, `gaussian_kl` | `(batch,)` each |
# | `loss` | their means, added | `()` |
#
# <details><summary>Question: which of the lines 2 to 6 would fail for a q that is a mixture of two Gaussians?</summary>
#
# Line 5: the KL of a mixture has no closed form (a sample estimates it). And line 4 in this form: choosing a component is a jump, and a
# jump has no derivative.
#
# </details>
#
# ## 2 · The encoder
#
# A Gaussian has two parameters per dimension, so the network has two outputs per dimension: **two heads** on one hidden layer. Could one head do?
# With $\ell = \mu$, say, an image that lies far out would always be an uncertain one. Where a code lies and how sure of it one is are two questions.
#
# Why is the second head $\ell = \log\sigma^2$, and why is there **nothing after it**? A last linear layer puts out any real number, and $\sigma = e^{\ell/2}$ maps the real line
# one to one onto the positive numbers. Nothing needs to be cut off, and a step of $\ell$ multiplies $\sigma$:
# $$\ell \to \ell + \delta \quad\Longrightarrow\quad \sigma \to e^{\delta/2}\,\sigma. \tag{7}$$
# A ReLU would forbid every $\sigma < 1$, where most latents that carry information lie: at $\ell = 0$ a code is as blurred as the whole prior, and only $\mu$ can say anything.
#
# **Predict.** A fresh `nn.Linear` puts out numbers of about ±0.1 to ±0.3 here. How large is the KL then, roughly, in nats per latent?
#
# <details><summary>Answer</summary>
#
# For small values $\tfrac12(\mu^2 + e^\ell - 1 - \ell) \approx \tfrac12\mu^2 + \tfrac14\ell^2$, since $e^\ell = 1 + \ell + \ell^2/2 + \dots$ With 0.2 for both it is 0.03 nats: an untrained
# encoder says almost nothing. If yours starts at 5 or 500, something is scaled wrongly.
#
# </details>
#
# {{card:Encoder}}
#
# In the contract: any nonlinearity, any number of hidden layers, no batch norm and no dropout; both heads depend on $x$ when just built, and are free to take any
# real value.
#
# <details><summary>Hint 1: a nudge</summary>
#
# Three layers, not two. Which size goes in, which comes out of each?
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# One `nn.Linear` to the hidden layer, then two more `nn.Linear`, both from the hidden layer to the latents. The nonlinearity stands between, not behind.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `super().__init__()`, then `self.hidden = nn.Linear(input_dim, hidden_dim)`
#
# </details>

# %% tags=["exercise:Encoder"]
# %% tags=["check:Encoder"]
# %%
torch.manual_seed(0)
mu, log_var = Encoder(pixels, 100, 2)(images[:500])
print(f"KL per latent {gaussian_kl(mu, log_var).mean(0) / 2:.4f} nats (expected: below 0.1)")
labels = {"xlabel": "output of the head (no unit)", "ylabel": "images (number)"}
figure, panel = viz.axes(size=(6.0, 3.0), subplot_kw=labels)
how = {"bins": 40, "histtype": "step", "linewidth": 2}
panel.hist(mu[:, 0].detach(), color=viz.BLUE, label="yours: mu of latent 1", **how)
how |= {"linestyle": "--", "label": "yours: log_var of latent 1"}
panel.hist(log_var[:, 0].detach(), color=viz.ORANGE, **how)
panel.axvline(0, color=viz.BLACK, linestyle=":", label="the prior: both 0")
panel.margins(y=0.4), panel.legend(frameon=False)
viz.show(figure, "Your untrained mu and log_var for 500 digits: narrow, near 0, not constant.")

# %% [markdown]
# Both heads differ from image to image, a little: that is the start from which they can learn. Both lie near 0, where the KL has its minimum.
#
# ## 3 · The decoder
#
# The same network backwards, with **one logit per pixel** and again nothing after the last layer. The sigmoid waits outside for two reasons. The
# likelihood of lesson 06 takes logits because only there it is exact (its equation 5); and a sigmoid followed by a likelihood that applies one
# too is a model whose pixels lie between $\sigma(0) = 0.5$ and $\sigma(1) = 0.73$: nothing crashes, and no image ever gets white paper.
#
# {{card:Decoder}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# Mind the order of the three sizes in the signature. The decoder begins where the encoder ends.
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Two `nn.Linear` with a nonlinearity between them, and the output as it is. `nn.Linear` works on the last dimension, so codes of shape `(num_samples, batch, latent)` need no extra code, and no `view`.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `super().__init__()`, then `self.hidden = nn.Linear(latent_dim, hidden_dim)`
#
# </details>
#
# **Predict**, for the cell after the check: a fresh decoder's logits are small. Which grey do you see, and what does it cost per image, whatever the image?
#
# <details><summary>Answer</summary>
#
# $\sigma(0) = \tfrac12$ for each pixel: middle grey, a coin. A coin costs $\log 2$ nats, whichever side shows, so $D$ pixels cost
# $$D \log 2 = 784 \cdot 0.6931 = 543.4 \text{ nats on MNIST}, \qquad 64 \cdot 0.6931 = 44.4 \text{ on 8×8 digits.} \tag{8}$$
#
# </details>

# %% tags=["exercise:Decoder"]
# %% tags=["check:Decoder"]
# %%
torch.manual_seed(0)
logits = Decoder(2, 100, pixels)(torch.randn(500, 2))
cost = -bernoulli_log_likelihood(images[:500], logits)
expected = pixels * torch.tensor(2.0).log()
print(f"logits {tuple(logits.shape)}, from {logits.min():.2f} to {logits.max():.2f}")
print(f"cost {cost.mean(0):.1f} nats per image; a coin for each pixel: {expected:.1f}")
figure, panel = viz.axes(size=(6.4, 1.6))
coin = torch.full((10, pixels), 0.5)
viz.image_grid(panel, torch.cat([torch.sigmoid(logits[:10]), coin]), digits.shape)
viz.show(figure, "Ten images of your untrained decoder, grainy grey, above plain middle grey.")

# %% [markdown]
# Expect 546 to 558 nats on MNIST (43 to 47 on the 8×8 digits): the first gauge. As a rule it is a little above (8), since logits that differ from 0 at random are surer
# than a coin without being righter. A cost of 0.69 would mean that somewhere a mean over pixels was taken; one of hundreds of thousands, that the batch was summed.
#
# ## 4 · The model
#
# Now the two are joined. The noise is an **argument**, so a call is a function: the same `x` and `eps` give the same result, in training as in evaluation. Whoever wants chance draws
# `eps`; whoever wants several samples hands over `(num_samples, batch, latent)`. There is still one $q(z|x)$ per image then, so `mu` and `log_var` keep their shape.
#
# `sample` is the other way into the model: a code comes in, drawn from the prior or chosen by hand, and the *probability* of ink comes out. Not a drawn pixel:
# who wants one flips the coins with `binarize`.
#
# {{card:VAE}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# Everything that `forward` needs has a name already: your encoder, your `reparameterize`, your decoder.
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Make both networks in `__init__` and keep them as attributes, so that their parameters count as the model's. In `forward`: encode, reparameterize, decode, and return in the order
# of the docstring. In `sample`: decode, and turn the logits into probabilities.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# In `forward`: `mu, log_var = self.encoder(x)`
#
# </details>

# %% tags=["exercise:VAE"]
# %% tags=["check:VAE"]
# %%
model = VAE(input_dim=pixels, hidden_dim=100, latent_dim=20)
names = ("logits", "mu", "log_var", "z")
for eps in (torch.randn(4, 20), torch.randn(3, 4, 20)):
    parts = zip(names, model(images[:4], eps), strict=True)
    shapes = "  ".join(f"{name} {tuple(part.shape)}" for name, part in parts)
    print(f"eps {tuple(eps.shape)!s:12}", shapes)
count = sum(p.numel() for p in model.parameters())
one_layer = 2 * 100 * pixels + 100 + 2 * 2020 + 2100 + pixels
print(f"{count:,} parameters; with one hidden layer on each side: {one_layer:,}")

# %% [markdown]
# Check the table of section 1 against these lines. (The number of parameters agrees with the second one if you have one hidden layer on each side.)
#
# What comes out where nothing has been learnt? Change one thing at a time.
#
# **Predict.** Ten images, decoded with noise and, a row below, without it; below that, ten codes from the prior. Will you see a shape in any of the three rows? And which row will differ from the other two?
#
# <details><summary>Answer</summary>
#
# The row without noise: its grain is much finer, since every $z$ is near 0 there. The other two look alike. None shows a shape: the image depends on the code, but no code has a meaning yet.
#
# </details>

# %%
torch.manual_seed(0)
model, eps = VAE(pixels, 100, 20).requires_grad_(False), torch.randn(10, 20)
noisy, still = (torch.sigmoid(model(test[:10], e)[0]) for e in (eps, 0 * eps))
made = torch.cat([noisy, still, model.sample(torch.randn(10, 20))])
print(f"probabilities from {made.min():.2f} to {made.max():.2f}")
print(f"with and without noise they differ by at most {(noisy - still).abs().max():.3f}")
figure, panel = viz.axes(size=(6.4, 2.8))
viz.image_grid(panel, torch.cat([test[:10], made]), digits.shape)
alt = "Four rows of ten images: digits, then three grey rows from your untrained model: with "
alt += "noise, without (finer grain), from the prior."
viz.show(figure, alt)

# %% [markdown]
# ## 5 · The loss
#
# Equation (6), with two additions that every experiment needs: the two terms are returned beside their sum, and the KL may be weighted with a $\beta$:
# $$\text{loss} = \text{reconstruction} + \beta\,\text{kl}. \tag{9}$$
# `kl` itself stays unweighted: two runs with different $\beta$ are compared by their terms, and $\beta = 1$ must be recoverable from what was logged. With $\beta = 1$ the loss is minus the ELBO, and
# $\text{loss} \ge -\log p(x)$ on average. For $\beta > 1$ it is still a bound, only looser, because the KL is never negative; for $\beta < 1$ it is just a loss.
#
# {{card:negative_elbo}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# Both terms come from functions that you have, one value per image. What is left is a sign and a mean.
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# `bernoulli_log_likelihood` is a log-probability, and a cost is its negative. Average each term over the batch, and only then add.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `reconstruction = -bernoulli_log_likelihood(x, logits)...`
#
# </details>

# %% tags=["exercise:negative_elbo"]
# %% tags=["check:negative_elbo"]
# %% [markdown]
# ### Two gauges: losses known in closed form
#
# **A network of zeros.** Set every weight and bias to 0: then the logits $l$, the means $\mu$ and the log-variances $\ell$ are all 0, for each image. By (8) the reconstruction is $D\log 2$; the KL of the prior with itself is 0.
#
# **A decoder that knows only the mean image.** Let $l_j = \log\frac{m_j}{1 - m_j}$ for every $z$, with $m_j$ the mean of pixel $j$ over the data. The cost is affine in $x$, so its mean over the data is its
# value at the mean:
# $$\frac1N\sum_n\sum_j\big[-x_{nj}\log m_j - (1 - x_{nj})\log(1 - m_j)\big] = \sum_j\big[-m_j\log m_j - (1-m_j)\log(1-m_j)\big] = \sum_j H(m_j). \tag{10}$$
# ($H$: the entropy of a coin, lesson 06.) No model that ignores $z$ can do better: a constant $p_j$ costs $H(m_j) + \mathrm{KL}(m_j \| p_j)$ for pixel $j$ (lesson 06, equation 11). So, for a decoder that sees $z$ and nothing else, a reconstruction below (10) proves that $z$ is used.
#
# **Predict.** Where between 543 and 0 does (10) lie for MNIST: near 500, near 200, or near 70?

# %%
model = VAE(pixels, 100, 20).requires_grad_(False)
for parameter in model.parameters():
    parameter.zero_()
x, eps, mean = images.double(), torch.randn(len(images), 20), images.double().mean(0)
logits, mu, log_var, z = (part.double() for part in model(images, eps))
constant = torch.logit(mean, eps=1e-12).expand_as(x)  # a pixel that is never ink has a logit of -28
entropy = torch.special.entr(mean) + torch.special.entr(1 - mean)
coins = pixels * torch.tensor(2.0).double().log()
cases = (("zeros", logits, coins), ("the mean image", constant, entropy.sum()))
for name, at, truth in cases:
    loss, r, kl = negative_elbo(x, at, mu, log_var)
    print(f"{name:15} yours: {loss:.4f} = {r:.4f} + {kl:.4f}   closed form {truth:.4f} nats")

# %% [markdown]
# Four digits agree. On MNIST (10) is about 206 nats, on the 8×8 digits about 27. (Most pixels are nearly always paper, and cost nearly nothing.) Remember both numbers: a training curve starts at
# the first, falls quickly to the second, and becomes interesting below it.
#
# ### A third gauge: line 4
#
# One sample estimates an expectation; so the mean over many must be that expectation. With a single latent and $r(z) = -\log p(x|z)$ it is an integral over one $\epsilon$, which a fine grid computes to many digits:
# $$\mathbb E_\epsilon[r(\mu + \sigma\epsilon)] = \int r(\mu + \sigma\epsilon)\,\frac{e^{-\epsilon^2/2}}{\sqrt{2\pi}}\,d\epsilon. \tag{11}$$
# The weights are enlarged threefold, so that there is something to integrate.

# %%
torch.manual_seed(1)
model = VAE(pixels, 100, 1).double().requires_grad_(False)
for parameter in model.parameters():
    parameter.mul_(3)
x, grid = test[:20].double(), torch.linspace(-8, 8, 401).double()
at = model(x, grid[:, None, None].expand(-1, 20, 1))[0]  # (401, 20, input)
cost = -bernoulli_log_likelihood(x, at).mean(1)  # of the batch, for each eps
truth = torch.trapezoid(cost * (-0.5 * grid**2).exp(), grid) / (2 * torch.pi) ** 0.5
many = (model(x, torch.randn(20, 1).double())[:3] for _ in range(500))
draws = torch.stack([negative_elbo(x, *parts)[1] for parts in many])
error = draws.std() / 500**0.5
print(f"mean of 500 single samples {draws.mean():.2f} ± {error:.2f}   integral {truth:.2f} nats")

# %% [markdown]
# The two agree within two or three standard errors, as (4) says. Had the noise been forgotten, every draw would have been the same, and wrong.
#
# ## 6 · Which gradient reaches whom
#
# The loss pulls on the encoder through its two outputs, by **two paths**: the KL touches $\mu$ and $\ell$ directly; the reconstruction cost $r$ touches them only through $z = \mu + e^{\ell/2}\epsilon$. The chain rule
# needs two derivatives of that line,
# $$\frac{\partial z_j}{\partial \mu_j} = 1, \qquad \frac{\partial z_j}{\partial \ell_j} = \tfrac12\, e^{\ell_j/2}\,\epsilon_j, \tag{12}$$
# the two of the KL from lesson 04 ($\mu_j$ and $\tfrac12(e^{\ell_j} - 1)$), and $\partial r/\partial z$, which is the decoder's business: how much cheaper would this image become if its code moved?
#
# **Predict.** If you call the model with `eps = 0`, which of the four contributions vanishes, and what will become of $\sigma$ in training?
#
# <details><summary>Answer</summary>
#
# By (12) the reconstruction's pull on $\ell$: no noise, no reason to make it small. The KL is left alone with $\ell$ and moves it to 0, so $\sigma = 1$ for every image, while the decoder never sees
# a noisy code.
#
# </details>
#
# {{card:head_gradients}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# Each of the two results is a sum of a part from $r$ and a part from the KL. Which of the parts carry beta?
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Multiply `grad_z` with the derivatives (12), and add beta times the gradients of the KL.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `sigma = (0.5 * log_var).exp()`: both the path through z and the KL's part can be written with it.
#
# </details>

# %% tags=["exercise:head_gradients"]
# %% tags=["check:head_gradients"]
# %%
torch.manual_seed(2)
eps, x = torch.randn(200, 20), images[:200]
logits, mu, log_var, z = VAE(pixels, 100, 20)(x, eps)
r, kl = -bernoulli_log_likelihood(x, logits).sum(), gaussian_kl(mu, log_var).sum()
grad_z = torch.autograd.grad(r, z, retain_graph=True)[0]
yours = head_gradients(grad_z, mu, log_var, eps)
autograd = torch.autograd.grad(r + kl, (mu, log_var))
for name, mine, theirs in zip(("mu", "log_var"), yours, autograd, strict=True):
    gap = (mine - theirs).abs().max()
    print(f"{name:8} largest entry {theirs.abs().max():.3f}, off from autograd by {gap:.1e}")
silent = head_gradients(0 * grad_z, mu, log_var, eps)
print(f"with a deaf decoder (grad_z = 0) your first result is mu: {torch.allclose(silent[0], mu)}")

# %% [markdown]
# A difference below 1e-5 is the rounding of float32. Now use your function to see the two paths apart: $\beta = 0$ leaves the reconstruction's pull, and the rest is the KL's.

# %%
torch.manual_seed(2)
eps, x = torch.randn(200, 20), images[:200]
logits, mu, log_var, z = VAE(pixels, 100, 20)(x, eps)
grad_z = torch.autograd.grad(-bernoulli_log_likelihood(x, logits).sum(), z)[0]
both, ours = (torch.stack(head_gradients(grad_z, mu, log_var, eps, b)) for b in (1.0, 0.0))
path, direct = (g.detach().square().mean((1, 2)).sqrt() for g in (ours, both - ours))
figure, panel = viz.axes(size=(6.0, 3.0))
panel.bar([0, 1], path, 0.33, color=viz.BLUE, label="reconstruction, through z")
panel.bar([0.35, 1.35], direct, 0.33, color=viz.ORANGE, hatch="//", label="KL, directly")
panel.set(xticks=[0.17, 1.17], xticklabels=["mu", "log_var"], xlabel="head")
panel.margins(y=0.4), panel.legend(frameon=False), panel.set_ylabel("gradient (nats, r.m.s.)")
viz.show(figure, "Gradients on mu and log_var: the reconstruction's, through z, and the KL's.")

# %% [markdown]
# The picture is of a first step. On MNIST the reconstruction pulls 6 to 20 times as hard as the KL, on both heads; on the 8×8 digits, with a twelfth of the pixels to speak for, 1 to 2 times, now and then a little less. The
# KL is nearly content, since $\mu$ and $\ell$ are close to 0. On
# $\ell$ the reconstruction's pull has a random sign (it carries $\epsilon$), so most of it averages out. What remains is found by integrating by parts: the normal density $\varphi$ has $\varphi'(\epsilon) = -\epsilon\,\varphi(\epsilon)$,
# so $\mathbb E[\epsilon f(\epsilon)] = -\int f \varphi' = \int f' \varphi = \mathbb E[f'(\epsilon)]$ for any smooth $f$ that grows more slowly than $1/\varphi$. With $f(\epsilon) = \frac{\partial r}{\partial z_j}(\mu + \sigma\epsilon)$, whose derivative in $\epsilon_j$ is
# $\sigma_j\, \partial^2 r/\partial z_j^2$,
# $$\mathbb E_\epsilon\Big[\tfrac12\sigma_j\epsilon_j\,\frac{\partial r}{\partial z_j}\Big] = \tfrac12\,\sigma_j^2\;\mathbb E_\epsilon\Big[\frac{\partial^2 r}{\partial z_j^2}\Big]. \tag{13}$$
# (With ReLUs $f$ jumps at their kinks, and each jump belongs to the second derivative; for a tanh (13) holds as it stands.)
# So the reconstruction narrows $q$ where the cost is curved upwards, widens it where it is curved downwards, and leaves it alone where the decoder does not care.
#
# <details><summary>Question: z.detach() before the decoder. Which bars vanish, and what does the encoder learn?</summary>
#
# The two blue ones. The encoder hears the KL alone and collapses to the prior: $\mu = 0$, $\ell = 0$, for every image. The decoder learns the mean image, and the loss stops at (10).
#
# </details>
# <details><summary>Question: why does a hidden unit of the encoder get gradients of both kinds, though it belongs to no head?</summary>
#
# Both heads read it, so the chain rule adds what comes back from each. One hidden layer serves both questions; two separate encoders would do as well, with twice the parameters.
#
# </details>
#
# ## 7 · Turn the water on
#
# A bare loop of Adam, a few seconds, no care: lesson 08 does it properly. Each step takes 100 images, binarises them anew, draws noise, and follows the gradient of your loss.
#
# **Predict.** After how many of the 500 steps will the reconstruction be below the mean image's level, (10)? And the KL: which way will it go?

# %%
def step(model, optimizer):
    """One step on 100 images: loss, reconstruction and kl before it."""
    grey = images[torch.randint(len(images), (100,))]
    x = binarize(grey, torch.rand_like(grey))
    terms = negative_elbo(x, *model(x, torch.randn(100, 10))[:3])
    optimizer.zero_grad()
    terms[0].backward()
    optimizer.step()
    return [float(t.detach()) for t in terms]
model = VAE(pixels, 200, 10)
first = step(model, torch.optim.Adam(model.parameters(), lr=2e-3))
print("a first step: loss {:.1f} = {:.1f} + {:.2f} nats".format(*first))

# %%
@cache
def trained(steps=500):
    torch.manual_seed(3)
    model = VAE(pixels, 200, 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    path = [step(model, optimizer) for _ in range(steps)]
    return model.requires_grad_(False), torch.tensor(path)
last = trained()[1][-100:].mean(0)
print(f"first step {trained()[1][0, 0]:.1f}")
print("mean of the last 100: loss {:.1f} = {:.1f} + {:.1f} nats".format(*last))

# %%
loss, reconstruction, kl = trained()[1].T
figure, (left, right) = viz.axes(1, 2, size=(4.6, 3.2), subplot_kw={"xlabel": "step"})
left.plot(loss, color=viz.BLUE, label="loss")
left.plot(reconstruction, color=viz.ORANGE, linestyle="--", label="reconstruction")
entropy = sum(torch.special.entr(m).sum() for m in (images.mean(0), 1 - images.mean(0)))
for level, words in ((0.6931 * pixels, "coins, (8)"), (entropy, "the mean image, (10)")):
    left.axhline(level, color=viz.BLACK, linestyle=":")
    left.text(len(loss), level, words, ha="right", va="top")
right.plot(kl, color=viz.GREEN)
left.set(ylabel="nats per image"), left.legend(frameon=False, loc="center right")
right.set(ylabel="KL (nats per image)")
viz.show(figure, "Left: loss and reconstruction fall past (10). Right: the KL leaps, then climbs.")

# %% [markdown]
# With one hidden layer of ReLUs, expect on MNIST that the reconstruction passes (10) after 25 to 40 steps, and that the last 100 steps average 128 ± 1 = 112 + 16 nats (with tanh 20 steps, and 137 nats); on the 8×8 digits
# 34 to 52 steps (26 to 33 with tanh), and 23.7 ± 0.1 = 19.5 + 4.2.
#
# Note the right panel. In the long run the KL *rises*, and that is good news: with it the codes buy the right to speak about the image, and the reconstruction pays back more. The leap
# at about step 10 (to 27 to 47 nats over seeds on MNIST, 1 to 2.5 on the 8×8 digits) is another matter. It is not there if the bias of the decoder's last layer starts at the logits of the mean image,
# $\log\frac{m_j}{1-m_j}$: without that, the quickest way to make every image lighter at once (from grey to mostly paper) leads through the codes.

# %%
torch.manual_seed(4)
model, start = trained()[0], VAE(pixels, 200, 10).requires_grad_(False)
x, z = binarize(test[:10], torch.rand(10, pixels)), torch.randn(20, 10)
reconstructed = torch.sigmoid(model(x, torch.randn(10, 10))[0])
rows = torch.cat([x, reconstructed, start.sample(z[:10]), model.sample(z)])
terms = negative_elbo(x, *model(x, torch.randn(10, 10))[:3])
print("these ten test digits: loss {:.0f}, reconstruction {:.0f}, kl {:.0f}".format(*terms))
figure, panel = viz.axes(size=(6.4, 3.4))
viz.image_grid(panel, rows, digits.shape)
alt = "Five rows: test digits, their reconstructions, samples of the untrained model (grey), "
alt += "and two rows of samples of the trained model, soft but digit-like."
viz.show(figure, alt)

# %% [markdown]
# Third row: codes from the prior before training, grey. Fourth and fifth: codes from the prior after a few seconds. Compare them with the last rows of lesson 01: there the
# codes of a plain autoencoder lay where they liked, and the prior's codes gave scribbles. Here the KL has tied them to $\mathcal N(0, I)$. Not every sample is a digit yet, and all are soft; lesson 08 trains longer and lesson
# 10 in earnest.
#
# ### The price of amortisation
#
# Inequality (3), measured: keep the trained decoder, and for 50 test images improve $\mu$ and $\ell$ by gradient descent, each image for itself. The start is what the encoder said. Both are judged
# on the same 50 draws of fresh noise. (The weights of the encoder are not at the minimum in (3) either, after 500 steps; that is counted in.)
#
# **Predict.** Will the gap be about 0.1, about 5, or about 50 nats?

# %%
def bound(x, mu, log_var, eps):
    model = trained()[0]  # it may name its decoder as it likes: we reach it through forward
    _, m, v, _ = model(x, torch.zeros_like(mu))  # what the encoder says
    z = reparameterize(mu, log_var, eps)
    logits = model(x, (z - m) / (v / 2).exp())[0]  # decodes this z: the noise that leads there
    return gaussian_kl(mu, log_var) - bernoulli_log_likelihood(x, logits).mean(0)

torch.manual_seed(5)
x, judge = binarize(test[:50], torch.rand(50, pixels)), torch.randn(50, 50, 10)
encoded = trained()[0](x, judge[0])[1:3]
print(f"-ELBO with the encoder's own mu and log_var: {bound(x, *encoded, judge).mean():.1f} nats")

# %%
@cache
def gaps():
    encoded = trained()[0](x, judge[0])[1:3]
    own = [part.clone().requires_grad_() for part in encoded]
    optimizer = torch.optim.Adam(own, lr=0.03)
    for _ in range(100):
        optimizer.zero_grad()
        bound(x, *own, torch.randn(5, 50, 10)).sum().backward()
        optimizer.step()
    return bound(x, *encoded, judge), bound(x, *own, judge).detach()
before, after = gaps()
print(f"encoder {before.mean():.1f}, each for itself {after.mean():.1f} nats")

# %%
before, after = gaps()
labels = {"xlabel": "-ELBO with the encoder's q (nats)", "ylabel": "amortisation gap (nats)"}
figure, panel = viz.axes(size=(5.0, 3.2), subplot_kw=labels)
panel.plot(before, before - after, "o", color=viz.BLUE)
panel.axhline(0, color=viz.BLACK, linestyle="--")
print(f"a gap of {(before - after).mean():.1f} nats; better for {(after < before).sum()} of 50")
alt = "For 50 test digits, the nats that an optimised q of its own saves each image, against "
alt += "minus the ELBO with the encoder's q: nearly all points lie above the dashed line at 0."
viz.show(figure, alt)

# %% [markdown]
# On MNIST expect 4 to 5 nats of 126 (2 to 4 with another nonlinearity than ReLU), on the 8×8 digits 0.1 to 0.25 of 24, and 44 to 50 of the 50 above the line (the others are at their optimum already, within the noise
# of the descent). That is what it costs that one network answers for all.
#
# <details><summary>Question: does the gap say how far the bound is from log p(x)?</summary>
#
# No. Even the best diagonal Gaussian is not the posterior; $\mathrm{KL}(q \,\|\, p(z|x))$ is what remains then (lesson 03). The distance to $\log p(x)$ is the sum of both gaps; lesson 09 estimates it.
#
# </details>
# <details><summary>Question: does the gap exist for training images too?</summary>
#
# Yes, as in (3). On MNIST it was 3.3 to 4.1 nats in place of 3.9 to 5.0 in our runs, since the encoder was trained on them; on the 8×8 digits this little training leaves no difference to be seen.
#
# </details>
#
# ## In your own words

# %% [markdown] tags=["written:forgotten_noise:2"]
# **Question (2 points).** A friend's model calls the decoder with `mu` in place of `z`, and trains with your loss, $\beta = 1$. It runs, and the loss is lower than yours. What happens to
# `log_var` during training, and why? Is the loss still a bound on $-\log p(x)$? What do you expect of images decoded from $z \sim \mathcal N(0, I)$?
#
# ### BEGIN SOLUTION
# Without noise the reconstruction does not depend on log_var: its path in (12) carries the factor eps = 0. Only the KL is left, whose gradient (exp(log_var) - 1)/2 moves every
# log_var to 0, so that sigma = 1 for all images and latents and that part of the KL is 0 (1 point). The loss is -log p(x|mu) + KL(q || p) with a q of spread 1; the first term is not the
# expectation under that q, the true one is far larger since the decoder was never shown noisy codes. So it is no bound, and that it is lower proves nothing. It is the autoencoder of lesson 01 with a
# penalty mu^2/2: the codes stay near 0, but nothing fills the space between them, and draws from the prior fall into holes (1 point).
# ### END SOLUTION

# %% [markdown]
# ## Summary
#
# - The loss is (6): sums over pixels and latents, a mean over the batch, one noise per image. Means elsewhere are a hidden $\beta$.
# - The encoder has two heads without anything behind them, because $\mu$ and $\log\sigma^2$ are any real numbers; the decoder puts out logits for the same reason.
# - Noise is an argument. With several samples `mu` and `log_var` keep their shape.
# - Gauges: an untrained model costs about $D\log 2$, (8), with a KL near 0; a decoder that sees $z$ alone and ignores it cannot go below $\sum_j H(m_j)$, (10).
# - The encoder hears the KL directly and the reconstruction through $z$, (12). Cut that path and it collapses; take the noise away and $\sigma$ means nothing.
# - One encoder for all images costs the amortisation gap, (3).
#
# **Next:** lesson 08 trains this model with care, and breaks it in five ways to learn their symptoms.
#
# ## Reading
#
# - D. P. Kingma and M. Welling, *Auto-Encoding Variational Bayes*, ICLR 2014: the estimator is Eqs. 7 and 10, minibatches Eq. 8, the networks Appendix C, Eqs. 11 and 12.
# - D. J. Rezende, S. Mohamed and D. Wierstra, *Stochastic backpropagation and approximate inference in deep generative models*, ICML 2014: (13) is their Eq. 8, for a full covariance.
# - C. Cremer, X. Li and D. Duvenaud, *Inference suboptimality in variational autoencoders*, ICML 2018, section 3: the amortisation gap and the approximation gap.
# - I. Higgins et al., *beta-VAE*, ICLR 2017, Eq. 4.
