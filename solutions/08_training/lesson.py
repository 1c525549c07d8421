# %% [markdown]
# # 08 · Training: small steps, and how they fail
#
# **After this lesson you can** say what a mini-batch costs in accuracy, and what Adam does to its gradient; write the step that every training run of this course is
# made of, and the measurement that leaves no trace; overfit one batch before anything else; read the two curves of a VAE; and name five ways to fail by their symptoms.
#
# **You need** your `VAE` and `negative_elbo` of lesson 07. **Time:** about 85 minutes, 49 of them for five exercises. The cells run in about a minute.
#
# The model is built and its loss is right. What is left are five lines in a loop. They hold few ideas and many traps, and the traps make no noise: not one of the five
# failures at the end of this lesson raises an error, and the loss goes down in all of them.

# %% tags=["setup"]
import math
from functools import cache
import torch
from torch import Tensor, nn
from vae_edu import check, data, exercise, gallery, viz
from vae_edu.exercises.building_the_vae import VAE, negative_elbo
_ = torch.set_num_threads(1), torch.manual_seed(8)  # the same, however many cores

# %%
digits = data.load()
chance = torch.Generator().manual_seed(8)
count = len(digits.train) // 6  # held out: nothing is trained on these
split = data.train_validation_split(digits.train, digits.train_labels, count, chance)
(seen, _), (unseen, _) = split
images, held_out = (data.binarize_images(part, chance) for part in (seen, unseen[:2000]))
noise, pixels = torch.randn(len(held_out), 10, generator=chance), images.shape[1]
share = images.mean(0).clamp(1e-6, 1 - 1e-6)  # of ink, for each pixel
silent = -(share * share.log() + (1 - share) * (1 - share).log()).sum().item()
print(f"{digits.label}, {pixels} pixels of 0 or 1")
print(f"{len(images):,} images to train on, {len(held_out):,} held out")
print(f"a decoder of z alone that ignores it: {silent:.1f} nats at best (lesson 07, equation 10)")

# %% [markdown]
# That last number is the zero of every scale in this lesson. A reconstruction term above it has learned less than the mean image; below it, codes are at work, if the decoder sees $z$ and nothing else.
# The images that are held out come from the training set. The test set stays shut until lesson 10: whoever looks at it while choosing a learning rate has trained on it.
#
# ## 1 · A small batch is a noisy look at the whole
#
# Let $g_n$ be the gradient of example $n$'s loss. We want $\bar g = \frac1N\sum_n g_n$, and it costs $N$ backward passes. A **mini-batch** takes $B$ examples at random,
# without replacement, and uses their mean
# $$\hat g = \frac1B \sum_{i \in \text{batch}} g_i. \tag{1}$$
# *It is right on average.* Every example is in the batch with probability $B/N$, so, by linearity,
# $$\mathbb E\,\hat g = \frac1B \sum_{n=1}^N \frac BN\, g_n = \bar g. \tag{2}$$
# Nothing was assumed about the gradients. The noise $\epsilon$ of the model adds chance of its own, and its mean is right too (lesson 05).
#
# *How far off is it?* Look at one parameter. Let $\sigma^2 = \frac1N\sum_n (g_n - \bar g)^2$ be the variance of one random example, and $c$ the covariance of two different ones, the same for each pair.
# The variance of a sum is the sum of all variances and covariances:
# $$\operatorname{Var}\hat g = \frac1{B^2}\big[B\sigma^2 + B(B-1)\,c\big]. \tag{3}$$
# What is $c$? Take $B = N$: the batch is the whole set, and $\hat g = \bar g$ with no variance at all. So $N\sigma^2 + N(N-1)\,c = 0$, that is
# $$c = -\frac{\sigma^2}{N-1}. \tag{4}$$
# Negative, as it should be: a large gradient that is in the batch cannot be drawn again. Insert (4) into (3):
# $$\operatorname{Var}\hat g = \frac{\sigma^2}{B}\Big(1 - \frac{B-1}{N-1}\Big) = \frac{\sigma^2}{B}\,\frac{N-B}{N-1}. \tag{5}$$
# For $B \ll N$ the second factor is nearly 1. **Four times the batch, half the spread**, at four times the price.
#
# **Predict.** Your batch has 100 of 50,000 images. By what factor does the spread of the gradient shrink if you take 200? And if you take all?
#
# <details><summary>Answer</summary>
#
# By √2 ≈ 1.41, for twice the arithmetic. With all of them there is no spread left, and a step costs 500 times as much. Two noisy steps often bring more than one step that is 1.41 times as exact.
#
# </details>

# %% [markdown]
# {{card:minibatch_variance}}
#
# Equation (5), for each parameter. You have all $N$ gradients here, so nothing is estimated.
#
# <details><summary>Hint 1: a nudge</summary>
#
# Try it in your head with N = 2 and B = 1, gradients 0 and 2. The batch is one of them. Then with B = 2.
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# A variance over dimension 0 with 1/N, divided by B, times the second factor. `Tensor.var` divides by N - 1 unless told `correction=0`.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `sigma2 = torch.var(gradients, dim=0, correction=0)`
#
# </details>

# %% tags=["exercise:minibatch_variance"]
# %% tags=["check:minibatch_variance"]
# %%
model, some, eps = VAE(pixels, 100, 10), images[:200, None], torch.randn(200, 1, 10)
bias = list(model.parameters())[-1]  # of the last layer: its gradients for 200 images
losses = [negative_elbo(x, *model(x, e)[:3])[0] for x, e in zip(some, eps, strict=True)]
grads = torch.stack([torch.autograd.grad(loss, bias)[0].flatten() for loss in losses])
sizes = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128, 180])
yours = torch.stack([minibatch_variance(grads, int(b)).sum() for b in sizes])
orders = torch.rand(500, 200).argsort(1)  # 500 ways to draw a batch
means = (torch.stack([grads[o[:b]].mean(0) for o in orders]) for b in sizes)
drawn = torch.stack([m.var(0).sum() for m in means])
figure, panel = viz.axes(subplot_kw={"xscale": "log", "yscale": "log"})
viz.beside(panel, sizes, yours, drawn, ("batch size B (images)", "variance of gradient (nats²)"))
viz.show(figure, "Your formula on the line of 500 drawn batches: slope -1, and a bend at the end.")

# %% [markdown]
# The line comes from 500 batches drawn at random, the dots from your formula; they agree within the 5% that 500 draws allow. Slope $-1$, and at the right end the bend of the second factor: 180 of 200 images leave
# little to chance.
#
# ## 2 · Adam: steps of one size
#
# Gradients of a VAE differ by orders of magnitude between layers, and all are noisy. Plain descent, $\theta \leftarrow \theta - \eta g$, would need a learning rate for each parameter. **Adam** keeps two
# running means per parameter, of the gradient and of its square:
# $$m_t = \beta_1 m_{t-1} + (1-\beta_1)\,g_t, \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2)\,g_t^2, \qquad m_0 = v_0 = 0. \tag{6}$$
# (These $\beta$s have nothing to do with the $\beta$ before the KL, nor $\varepsilon$ with the noise $\epsilon$.) *Unroll it*, inserting each line into the next:
# $$m_t = (1-\beta_1)\sum_{s=1}^t \beta_1^{\,t-s} g_s, \qquad (1-\beta_1)\sum_{s=1}^t \beta_1^{\,t-s} = 1 - \beta_1^t. \tag{7}$$
# The second is a geometric sum. The weights do not add up to 1, since the mean began at 0. *So divide by their sum*: $\hat m_t = m_t/(1-\beta_1^t)$ is a weighted average, and so is
# $\hat v_t = v_t/(1-\beta_2^t)$. The step is
# $$\theta_t = \theta_{t-1} - \eta\,\frac{\hat m_t}{\sqrt{\hat v_t} + \varepsilon}. \tag{8}$$
# *The first step.* $\hat m_1 = g_1$ and $\hat v_1 = g_1^2$, so it is $-\eta\, g_1/(|g_1| + \varepsilon)$: it has the size $\eta$, whatever the gradient is (unless it is 0, or as small as $\varepsilon$).
# *Later.* If all gradients were multiplied by $a > 0$, $\hat m$ would be multiplied by $a$ and $\sqrt{\hat v}$ too. Up to $\varepsilon$,
# **(8) does not see the scale of the loss.** The learning rate is a length: about how far each parameter may go in one step.
#
# **Predict.** You replace the loss by its sum over 100 images. What happens to plain descent, and what to Adam?
#
# <details><summary>Answer</summary>
#
# Plain descent takes steps 100 times as long, and most likely explodes. Adam takes the same steps as before. That is convenient, and it hides the mistake; patient D below lives off it.
#
# </details>

# %% [markdown]
# {{card:adam_update}}
#
# You will use torch's. But a learning rate can be chosen with reason only by someone who has written (8) once.
#
# <details><summary>Hint 1: a nudge</summary>
#
# Which of the four quantities m, v, m-hat and v-hat does the next step need?
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# First (6), giving new m and v, not in place. Then the two corrected ones under other names. Then (8), without the theta, and with its sign.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `m = beta1 * m + (1 - beta1) * grad`
#
# </details>

# %% tags=["exercise:adam_update"]
# %% tags=["check:adam_update"]
# %%
start, curvature = torch.tensor([-2.0, 1.0]), torch.tensor([1.0, 100.0])  # 100 times steeper
descents = {lr: [start * (1 - lr * curvature) ** t for t in range(61)] for lr in (0.019, 0.001)}
point, theirs = nn.Parameter(start.clone()), [start]
adam = torch.optim.Adam([point], lr=0.1)
for _ in range(60):
    point.grad = curvature * point.detach()  # the slope of (x² + 100 y²) / 2
    adam.step()
    theirs.append(point.detach().clone())
ends = {f"plain descent, lr {lr}": path[-1] for lr, path in descents.items()}
for name, place in {**ends, "torch's Adam, lr 0.1": theirs[-1]}.items():
    print(f"{name:24} is {place.norm():.2f} from the minimum after 60 steps")

# %%
m, v, own = torch.zeros(2), torch.zeros(2), [start]
for t in range(1, 61):
    update, m, v = adam_update(curvature * own[-1], m, v, t, lr=0.1)
    own.append(own[-1] + update)
figure, panel = viz.axes(size=(5.6, 3.2))
for (lr, path), style in zip(descents.items(), (":", "--"), strict=True):
    panel.plot(*torch.stack(path).T, style, color=viz.ORANGE, label=f"plain descent, lr {lr}")
panel.plot(*torch.stack(theirs).T, color=viz.BLUE, linewidth=3, label="torch's Adam, lr 0.1")
panel.plot(*torch.stack(own).T, "o", color=viz.RED, markersize=3, label="yours")
panel.set(xlabel="along the valley (no unit)", ylabel="across it (no unit)")
panel.legend(frameon=False)
viz.show(figure, "Plain descent leaps or creeps; your Adam, on torch's line, sets out diagonally.")

# %% [markdown]
# Plain descent has one learning rate for both directions: just below 2/100, where the steep one stops converging, it leaps across the valley; at a twentieth of that it creeps along. Adam starts
# diagonally, 0.1 in each direction per step, though one slope is 50 times the other.
#
# ## 3 · One step
#
# What a step has to do, in words: forward, loss, *forget old gradients*, backward, move. The third is needed because `backward` **adds** to `.grad`:
# $$\texttt{p.grad} \leftarrow \texttt{p.grad} + \nabla_p\,\text{loss}. \tag{9}$$
# Adding is right where a parameter is used twice in one graph, and wrong from one step to the next: the second step would go along $g_1 + g_2$, the tenth along a sum of ten gradients, nine of them out of date.
#
# The numbers that a step reports are those of the parameters it *started* from: they come free with the forward pass. That gives a check. For a small $\eta$, the first-order expansion says what plain descent gains:
# $$\text{loss}(\theta - \eta g) = \text{loss}(\theta) - \eta\,\|g\|^2 + O(\eta^2). \tag{10}$$
# Assumed: the same batch and the same noise on both sides, and a loss whose gradient changes smoothly near $\theta$ (is Lipschitz there: it changes by at most a constant times the distance).
#
# **Predict.** Somebody calls `optimizer.zero_grad()` between `backward()` and `step()`. What does the loss curve look like?
#
# <details><summary>Answer</summary>
#
# Flat, but for the noise of the batches: no parameter has a gradient when the step comes, so nothing moves. No error is raised.
#
# </details>

# %% [markdown]
# {{card:train_step}}
#
# Model and optimizer come from outside, and so do images and noise. The model's mode is the caller's business: call neither `train()` nor `eval()`.
#
# <details><summary>Hint 1: a nudge</summary>
#
# Five calls. Which of them must stand before which?
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# `model(x, eps)` gives four things, `negative_elbo` takes three of them with x, and returns three numbers. Call `backward` on the one with beta in it. `.item()` makes a Python float of a tensor.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `logits, mu, log_var, _ = model(x, eps)`
#
# </details>

# %% tags=["exercise:train_step"]
# %% tags=["check:train_step"]
# %%
print("   lr     your loss fell by   equation (10) says")
for lr in (1e-3, 1e-4, 1e-5):
    torch.manual_seed(0)
    model = VAE(pixels, 100, 10).double()
    x, eps = images[:100].double(), torch.randn(100, 10).double()
    weights = [*model.parameters()]
    grads = torch.autograd.grad(negative_elbo(x, *model(x, eps)[:3])[0], weights)
    squared = sum(g.square().sum() for g in grads).item()
    optimizer = torch.optim.SGD(weights, lr=lr)
    before, _, _ = train_step(model, optimizer, x, eps)
    after, _, _ = train_step(model, optimizer, x, eps)  # starts where the first has led
    print(f"{lr:7.0e} {before - after:16.6f} {lr * squared:18.6f}")

# %% [markdown]
# Each time the learning rate falls by 10, the two columns agree to about one more digit: the difference is of second order, as (10) promises. So the step goes along the gradient, and as far as it should.
#
# ## 4 · Overfit one batch
#
# Before a long run, a short one: train on the same 20 images over and over. A model that cannot learn 20 images by heart will not learn 50,000, and this takes seconds.
#
# To what loss? Not to 0. Let $x_1, \dots, x_N$ be distinct binary images. A model's probabilities of them add up to at most 1, and the logarithm is concave (Jensen, lesson 03):
# $$\frac1N\sum_n \log p(x_n) \;\le\; \log\Big(\frac1N\sum_n p(x_n)\Big) \;\le\; \log\frac1N. \tag{11}$$
# The loss, in its mean over the noise, is at least $-\log p(x_n)$ for each image. So **no VAE gets below $\log N$ on $N$ distinct images**, whatever its size:
# to say *which* of them it was takes $\log N$ nats. For 20 images that is 3.0.

# %%
torch.manual_seed(1)
model, batch = VAE(pixels, 128, 10), images[:20]
optimizer, curve = torch.optim.Adam(model.parameters(), lr=3e-3), []
for _ in range(300):
    curve.append(train_step(model, optimizer, batch, torch.randn(20, 10)))
words = "{:.1f} = {:.1f} + {:.1f} nats".format(*torch.tensor(curve)[-20:].mean(0))
print(f"{len(batch.unique(dim=0))} distinct images; mean of the last 20 steps: {words}")
figure, panel = viz.axes(size=(5.6, 3.0), subplot_kw={"yscale": "log"})
panel.plot(torch.tensor(curve)[:, 0], color=viz.BLUE, label="your loss on one batch")
panel.axhline(math.log(20), color=viz.BLACK, linestyle="--", label="log 20, equation (11)")
panel.set(xlabel="step (number)", ylabel="loss (nats per image)"), panel.legend(frameon=False)
viz.show(figure, "Loss on 20 images, log scale: it falls fast, then slowly, to above log 20.")

# %% [markdown]
# **The number to expect:** below 30 nats on MNIST (18 to 21 in our runs, 27 with tanh), below 14 on the 8×8 digits (10 to 11, 13 with tanh), where an untrained model begins at 550 and 45. If yours stays above 100 or above 25, do not train longer: look for the cause.
# Most of what is left is KL, the price of telling the 20 apart through noise; it is still some way above $\log 20$.
#
# ## 5 · A run, and its two curves
#
# The loop that the rest of this lesson uses. `noise` and `beta` are there for the patients.

# %%
def train(model, steps=300, lr=3e-3, beta=lambda step: 1.0, noise=lambda eps: eps, seed=0):
    """The curve of a run: (steps, 3) of loss, reconstruction, kl."""
    torch.manual_seed(seed)
    optimizer, curve = torch.optim.Adam(model.parameters(), lr=lr), []
    for step in range(steps):
        x = images[torch.randint(len(images), (100,))]  # with replacement: no matter here
        eps = noise(torch.randn(100, 10))
        curve.append(train_step(model, optimizer, x, eps, beta(step)))
    return torch.tensor(curve)

two = train(VAE(pixels, 128, 10), steps=2)
print("the first two steps, loss, reconstruction, kl:", two.round().tolist())

# %% [markdown]
# **Predict.** Two curves, reconstruction and KL, over 300 steps. Which of them falls from the beginning to the end? Does the other one rise, fall, or both?
#
# <details><summary>Answer</summary>
#
# The reconstruction falls all the way. The KL starts near 0, since an untrained encoder says almost nothing, and after some swings it rises from there to the end. A rising KL is no bad sign: it is what the code costs, and the reconstruction gains more than that.
#
# </details>

# %%
def draw(panels, curve, **style):
    """Reconstruction on the first panel, KL on the second."""
    panels[0].plot(curve[:, 1], **style), panels[1].plot(curve[:, 2], **style)
    panels[0].axhline(silent, color=viz.BLACK, linestyle=":", linewidth=1)
    panels[0].set(xlabel="step", ylabel="reconstruction (nats)")
    panels[1].set(xlabel="step", ylabel="KL (nats)")

torch.manual_seed(0)
curve, (figure, panels) = train(VAE(pixels, 128, 10)), viz.axes(1, 2, size=(4.2, 3.0))
draw(panels, curve, color=viz.BLUE)
print("mean of the last 20 steps: {:.1f} = {:.1f} + {:.1f} nats".format(*curve[-20:].mean(0)))
viz.show(figure, "A healthy run: the reconstruction falls past the dotted line, the KL rises.")

# %% [markdown]
# Three phases. First the reconstruction drops to the dotted line: the model learns the mean image. All weights help to make everything lighter (from grey to mostly paper), the means of the codes too: `mu` leaves 0 for all images alike, which tells nothing and costs a spike of KL. The decoder's biases can do
# the same for nothing, so most of the spike goes back. Then a bend: the codes begin to *differ*, and the KL climbs, this time for a return. Then both creep. The loss to expect after 300 steps, with one hidden layer of ReLUs on each side, is 136 to 143 nats on MNIST (148 with tanh), 23.5 to 24.5 on the digits.
# The jitter is the noise of section 1, 100 images at a time. Never judge a run by one step: average over 20 or more, or measure.
#
# ## 6 · Measure on images that were not trained on
#
# The curve mixes three things: other parameters at each step, other images, other noise. For a number, freeze all three: one model, *all* held-out images, one fixed $\epsilon$. Three traps.
#
# *The mean.* Let batch $b$ have $n_b$ examples and the mean loss $L_b$. The mean over all $N = \sum_b n_b$ is
# $$\frac1N\sum_n \text{loss}_n = \frac1N\sum_b \sum_{n \in b} \text{loss}_n = \sum_b \frac{n_b}{N}\,L_b. \tag{12}$$
# Only if all $n_b$ are equal is it the mean of the means.
#
# *The mode.* Dropout and batch norm behave differently in training. Your VAE has neither, but the next one may: measure in `eval()`, and hand the model back in the mode in which it came, since
# the training goes on.
#
# *The graph.* Without `torch.no_grad()` each forward pass keeps everything that a backward pass would need.

# %% [markdown]
# {{card:evaluate}}
#
# No trace afterwards: parameters, `.grad`, `requires_grad`, mode, and torch's own gradient switch are as before.
#
# <details><summary>Hint 1: a nudge</summary>
#
# What would your function return for 130 images in batches of 128, if the last two were the worst of all?
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Remember `model.training`, call `model.eval()`, and under `torch.no_grad()` add up each batch's numbers times its size. Divide by the number of images, set the mode back with `model.train(...)`. You may also do the whole set in one batch, if you trust the memory.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `was_training = model.training`, then `model.eval()`, then `with torch.no_grad():` around the loop
#
# </details>

# %% tags=["exercise:evaluate"]
# %% tags=["check:evaluate"]
# %%
print("seed   last 20 steps   held out = reconstruction + KL    held out, another noise")
results = []
for seed in range(3):
    torch.manual_seed(seed)
    model = VAE(pixels, 128, 10)
    last = train(model, seed=seed)[-20:, 0].mean()
    results.append(evaluate(model, held_out, noise))
    again, _, _ = evaluate(model, held_out, torch.randn_like(noise))
    terms = "{:11.1f} = {:.1f} + {:.1f}".format(*results[-1])
    print(f"{seed:4d} {last:15.1f} {terms} {again:24.1f}")
losses = torch.tensor(results)[:, 0]
print(f"three seeds: {losses.mean():.1f} nats with a spread of {losses.std():.1f}")

# %% [markdown]
# Read it from right to left. Another noise for the same model changes the number by 0.1 to 0.3 on MNIST: one $\epsilon$ for each of 2,000 images is enough. (By up to 0.5 on the small digits, where only 239 are held out.) On MNIST another seed (other initial weights, other batches) can change it by two nats, now and then by five: that is **the spread of the whole
# procedure**, and a difference between two methods counts only where it is larger. (On the small digits the spread is about 0.2.) On MNIST the held-out number is, as a rule, even lower than that of the last 20 steps: those average over models that were not yet as good, and over noise and images of their own. Measured in the same way, with
# `evaluate`, training images are no better than held-out ones yet (within 0.3 nats, over 20,000 of them): 300 steps are too few to learn images by heart. With the same images over and over a gap opens, and section 4 was the extreme.
#
# **Predict.** On MNIST colleague 1 reports 137.6 with one seed. Colleague 2 has another method, one seed, and 136.9. Who is better?
#
# <details><summary>Answer</summary>
#
# Nobody knows: the difference is no larger than what a seed does. Several seeds each, and the spread beside the mean.
#
# </details>
#
# ## 7 · A gallery of failures
#
# Five patients. Each is trained by `train`, for 300 steps, with your functions, and with one thing wrong; `vae_edu.gallery` knows what. For each of them, and for a healthy run, you get two curves and these numbers:
#
# - loss, reconstruction and KL, each the mean of the last 20 steps of training, and the *peak* of the loss;
# - *active*: how many of the 10 latents have a mean that varies over the images, with a variance above 0.01 (Burda et al. 2016);
# - *sigma*: the average $\sigma$ of $q(z|x)$. The prior has 1;
# - *spread*: how much `mu` differs from image to image (standard deviation), before the first step and after the last;
# - *held out*: your `evaluate`, with noise.
#
# The five causes, in another order: *a learning rate of 0.1; a decoder that reads, beside z, the pixels before each pixel; z = mu; a sum against a mean; a blank image for the encoder.* Look, and give each patient its cause before you unfold it.
# The ticks of the upper row are half, one, two and four times the dotted line. The KL's scale is linear from 0 to 1 and logarithmic above.

# %%
@cache
def patient(name):
    """A run: its curve, mu before it, mu and sigma after it, the held-out loss."""
    torch.manual_seed(1)
    model = gallery.model(name, VAE(pixels, 128, 10), pixels)
    birth = model(held_out, noise)[1]
    curve = train(model, **gallery.habits(name))
    _, mu, log_var, _ = model(held_out, noise)
    return curve, birth, mu, (0.5 * log_var).exp(), evaluate(model, held_out, noise)[0]

print(f"the healthy run, held out: {patient('healthy')[-1]:.1f} nats")

# %%
for name in gallery.PATIENTS:
    curve, birth, mu, sigma, loss = patient(name)
    means = "loss {:.1f}, reconstruction {:.1f}, KL {:.1f},".format(*curve[-20:].mean(0))
    print(f"{name:8}{means} peak {curve[:, 0].max():,.0f}, held out {loss:.1f},")
    print(f"        active {(mu.var(0) > 0.01).sum()}, sigma {sigma.mean():.2f},", end=" ")
    print(f"spread {birth.std(0).mean():.2f} to {mu.std(0).mean():.2f}")

# %%
figure, panels = viz.axes(2, 6, size=(2.3, 2.2), sharex=True, sharey="row")
ticks = [round(silent * f) for f in (0.5, 1, 2, 4)]
for (upper, lower), name in zip(panels.T, gallery.PATIENTS, strict=True):
    draw((upper, lower), patient(name)[0], color=viz.BLUE if name == "healthy" else viz.RED)
    upper.set(title=name, yscale="log", ylim=(0.4 * silent, 4 * silent))
    upper.set_yticks(ticks, ticks), upper.minorticks_off(), lower.set_yscale("symlog")
alt = "Reconstruction and KL, on log scales, of a healthy run and five sick ones: A and D fall "
alt += "lower, B is flat, its KL 0, C leaves the frame, then stays at the line, E falls, KL near 0."
viz.show(figure, alt)

# %% [markdown]
# <details><summary>Patient A: the training loss is better than the healthy one, the KL small. Sigma is 1, and the held-out loss is far above the healthy one.</summary>
#
# **Forgotten noise.** On MNIST the held-out loss is nearly twice the healthy one. The training used z = mu. Nothing in the reconstruction depends on `log_var` then, so the KL alone decides it: sigma = 1, at no cost. The codes lie closer together than noise of
# sigma = 1 is wide; with real noise the decoder takes one image for another. A reconstruction that is *too good for its KL* is the symptom in the curves. Here the images travelled by another way than the noisy code.
#
# </details>
# <details><summary>Patient B: after some 40 steps flat at the dotted line, a KL that is back at 0, no active unit. And the spread is 0.00 before the first step.</summary>
#
# **A dead encoder.** `mu` is the same for every image from the start: no information enters, so none can be learned, and the KL takes q to the prior. Here the encoder is handed a blank image; a first layer whose ReLUs are all off looks the same. No weight on the loss and no patience will help.
# Look at the path of the data: two different images in, two different `mu` out?
#
# </details>
# <details><summary>Patient C: a peak far above where it began, then about the dotted line for good. In most runs no unit is active, and what KL there is buys next to nothing.</summary>
#
# **Too high a learning rate.** 0.1, where 0.003 is healthy. By (8) every weight moves by 0.1 in the first step, and an output that adds up a hundred of them moves by several units, all at once. The loss shoots up, by a factor of 10 to 300 in our runs. On the way back the hidden units are pushed out of their range
# (of the reference encoder's 128 ReLUs, five at most are still on for any image at the end), and the codes never recover. It ends like B, but it was alive. The peak is the symptom: look at the first 20 steps, on a log scale. Divide the rate by 10 until it is gone.
#
# </details>
# <details><summary>Patient D: a very good reconstruction, many times the healthy KL, a tiny sigma.</summary>
#
# **A sum against a mean.** The reconstruction was summed over the 100 images of a batch, the KL averaged: in all, a beta of 1/100, which is why the three numbers do not add up. (The run shown divides that loss by 100, which by (8) is the same to Adam.) By section 2 Adam does not notice that the loss is 100 times larger; only the ratio of its terms is left. So the KL is as good as free, sigma shrinks, and
# the model is an autoencoder with holes (lesson 01). The opposite mistake, a mean over pixels with a sum over latents, is a beta of 784 on MNIST (lesson 06). It ends like B, yet alive at birth.
#
# </details>
# <details><summary>Patient E: no peak, alive at birth, a loss that would please anyone. The KL is near 0 (0.1 to 1.4 nats in our runs), and yet the reconstruction is well below the dotted line.</summary>
#
# **Posterior collapse.** If the codes say nothing, who tells the decoder about the image? The image does: this decoder predicts each pixel from z *and from all pixels before it*, as decoders of text do. That is a proper likelihood, and the bound holds. But what neighbours tell is free, and what z tells costs a nat of KL for each nat.
# So the codes fade: they say little, and all that was wanted of them, a description of the image, is missing. The loss does not complain. (Active still counts most of the units: a variance of 0.01 is a generous threshold. Look at the KL and the spread.)
#
# </details>
#
# Not one of the five raised an error, and three have a training loss that beats the healthy one. What told them apart was never the loss alone: it was its **two terms**, their level against known numbers (0, the dotted line, the healthy run), and a look at `mu` and sigma.
#
# ## 8 · KL warm-up
#
# In patient E two learners race: the part that reads neighbours and the part that reads z. The KL holds the second one back from the first step on. So take the weight off while they start. It grows in a straight line from 0 to 1 over the first $T$ steps, and stays at 1:
# $$\beta(t) = \min\Big(1, \frac tT\Big). \tag{13}$$
# While $\beta < 1$ the loss is no bound: it lies below the negative ELBO, by $(1-\beta)\,\mathrm{KL}$. Only the path changes. At the end the loss is the old one, and so is the number reported.
#
# **Predict.** What does the KL do in the first steps of a warm-up, and what while $\beta$ grows to 1?
#
# <details><summary>Answer</summary>
#
# It shoots up: at the start codes cost nothing, as with patient D. As beta grows the price rises, and the KL comes down to what the codes are worth. From step T on the run is an ordinary one, but it starts with an encoder that has something to say.
#
# </details>

# %% [markdown]
# {{card:kl_warmup}}
#
# Mind the run without a warm-up, $T = 0$.
#
# <details><summary>Hint 1: a nudge</summary>
#
# What does your line do for $T = 0$? Should anything be divided there?
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Equation (13) as it stands, and before it the case without a warm-up. Mind the type: which of 1 and 2.5 does `min` return, and is it a float?
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `if warmup_steps == 0:`
#
# </details>

# %% tags=["exercise:kl_warmup"]
# %% tags=["check:kl_warmup"]
# %%
print("beta in steps 0, 50, 100, 200, 299:", [kl_warmup(t, 200) for t in (0, 50, 100, 200, 299)])

# %%
figure, panels = viz.axes(1, 2, size=(4.2, 3.0))
for warmup, colour, style in ((0, viz.RED, "-"), (200, viz.GREEN, "--")):
    torch.manual_seed(1)
    model = gallery.model("E", VAE(pixels, 128, 10), pixels)
    curve = train(model, beta=lambda step, T=warmup: kl_warmup(step, T))
    draw(panels, curve, color=colour, linestyle=style, label=f"E, warm-up of {warmup} steps")
    (loss, _, kl), mu = evaluate(model, held_out, noise), model(held_out, noise)[1]
    print(f"warm-up of {warmup:3d} steps: held out {loss:.1f} nats, of which KL {kl:.2f};", end=" ")
    print(f"spread of mu {mu.std(0).mean():.2f}")
panels[0].set_ylim(0.3 * silent, 1.8 * silent), panels[0].legend(frameon=False)
panels[1].set_yscale("symlog"), panels[1].set_yticks(*2 * [(0, 1, 3, 10, 30, 100)])
viz.show(figure, "Patient E: with a warm-up the KL shoots up first and ends well above the other.")

# %% [markdown]
# The held-out loss is the same to within what a seed does, or a little better. The KL is 1.6 to 4 times as large on MNIST (six seeds), 10 to 14 times on the digits (twelve). **Two models of equal loss, and the codes of one say far more**: the bound alone does not ask for codes, so whoever wants them has to look. Lesson 12 measures this, and shows models where the
# collapsed solution is the best one and no warm-up holds.
#
# ## In your own words

# %% [markdown] tags=["written:two_causes:2"]
# **Question (2 points).** A run shows, from step 50 on, a reconstruction at the level of a model that ignores $z$, and a KL of 0.00. Name two different causes that lead to such curves (one of them may be the wrong balance that patient D did not have), and one measurement that tells
# them apart *without* training again (you may build the model anew). Why would a longer training or a larger learning rate help in neither case?
#
# ### BEGIN SOLUTION
# The encoder may be dead (mu does not depend on x from the start: blank input, all units off), or alive and collapsed (the KL's weight is too large, as with a mean over pixels against a sum over latents, or its pull came too early). Measurement: build the
# model afresh and give it two different images before any step; equal mu means a dead encoder, different mu means that training did it. (Or: the effective beta computed from the reductions in the code.) One point for two causes and a measurement that separates them.
# Longer: at q = p the KL is at its minimum and the decoder ignores z, so both gradients that reach the encoder vanish or nearly do; more steps stay there. A larger learning rate drives the encoder to the prior even faster, and gives a dead one nothing to
# learn from. One point for the argument.
# ### END SOLUTION

# %% [markdown]
# ## Summary
#
# - A mini-batch gradient is unbiased, (2), with variance (5): the spread falls with $1/\sqrt B$.
# - Adam divides by the size of the gradient, (8): the learning rate is a length, and the scale of the loss is invisible. The ratio of its terms is not.
# - A step forgets old gradients, (9), and reports where it started, (10).
# - First overfit one batch, down to the order of $\log N$, (11). Then read two curves against known levels. Then measure, (12), with seeds and their spread.
# - Symptoms: too good with $\sigma = 1$ (no noise); dead at birth; a spike (learning rate); a huge KL (a sum against a mean); alive, a good loss, and no KL (collapse). Warm-up, (13), gives the codes a head start.
#
# **Next:** lesson 09. The loss is a bound; how far below it does the truth lie?
#
# ## Reading
#
# - D. P. Kingma and M. Welling, *Auto-Encoding Variational Bayes*, ICLR 2014: Algorithm 1 is our step, Eq. 8 the mini-batch.
# - D. P. Kingma and J. Ba, *Adam: a method for stochastic optimization*, ICLR 2015: Algorithm 1 is (6) and (8); section 3 derives the correction (7).
# - W. G. Cochran, *Sampling Techniques*, 3rd ed. 1977, Theorem 2.2: equation (5).
# - S. R. Bowman et al., *Generating sentences from a continuous space*, CoNLL 2016, section 3.1: collapse, and an annealed KL.
# - C. K. Sønderby et al., *Ladder variational autoencoders*, NIPS 2016: warm-up, (13), in deep VAEs.
# - Y. Burda, R. Grosse and R. Salakhutdinov, *Importance weighted autoencoders*, ICLR 2016, section 5.2: active units.
