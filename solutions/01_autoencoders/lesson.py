# %% [markdown]
# # 01 · Autoencoders: what they learn, and why they cannot generate
#
# An autoencoder squeezes an image through a few numbers, the *code*, and rebuilds the image from them.
# It learns which numbers are worth keeping. It looks as if it could also invent images: pick a code,
# decode it. This lesson shows, line by line, what is learnt and why that last step fails. The
# variational autoencoder of lesson 07 is the repair, so it pays to see exactly what is broken.
#
# **You will be able to**
# - say what the squared error asks for, and prove what its best linear answer is (PCA);
# - check that a linear autoencoder, trained by gradient descent, finds PCA's subspace, though not its axes;
# - build a nonlinear autoencoder in PyTorch that beats PCA with the same two numbers per image;
# - show why its loss leaves the codes free to lie anywhere, with holes between them.
#
# **You need** PyTorch modules, derivatives, matrix products and eigenvectors of a symmetric matrix.
# About 80 minutes; the machine needs less than a minute of them on a CPU.
# %% tags=["setup"]
from functools import cache
import torch
from torch import Tensor, nn
from vae_edu import check, data, exercise, viz

torch.manual_seed(0)
torch.set_num_threads(1)  # matrices this small are faster on one
# %% [markdown]
# ## 1 · Images as points
#
# An image of 28×28 pixels is a point in a space of 784 dimensions, one of 8×8 pixels in a space of 64.
# Nearly all points of that space look like noise. Handwritten digits fill a thin, bent sheet in it, and
# whoever knows the sheet needs few numbers to say where on it an image lies.
#
# **Predict.** Draw each pixel of an image uniformly from [0, 1]. How many such images must you look at
# before one is a readable digit?
#
# <details><summary>Answer</summary>
#
# You will not live to see it. For a digit, hundreds of pixels of the background must be nearly white at once;
# if each is below 0.1 with probability 0.1, then 30 of them alone already happen once in $10^{30}$ images.
#
# </details>
# %%
raw = data.load()
images, labels = data.to_unit(raw.train[:1400]), raw.train_labels[:1400]
test, pixels, mean = data.to_unit(raw.test[:360]), raw.train.shape[1], images.mean(0)
print(f"{raw.label}\nused here: {len(images)} to train on, {len(test)} to test on")
figure, panel = viz.axes(size=(7, 1.6))
noise = torch.rand(10, pixels)
viz.image_grid(panel, torch.cat([images[:10], noise]), raw.shape)
alt = "Ten handwritten digits above; ten images of uniform noise below, none of them a digit"
viz.show(figure, alt)
# %% [markdown]
# ## 2 · What "close" means
#
# To learn a reconstruction $\hat x$ of $x$ we need one number that says how bad it is. We take the squared
# distance between the two points,
#
# $$\lVert x - \hat x \rVert^2 = \sum_j (x_j - \hat x_j)^2,$$
#
# summed over the pixels $j$, one value per image. Two reasons: its derivative is linear, so the best linear
# answer can be written down; and in lesson 06 it comes back as a log-likelihood, where a *sum* over pixels is
# the only right reduction. Means are taken over images alone.
#
# {{card:squared_error}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# `x` and `x_hat` have the shape (batch, input), the result has the shape (batch,). Which dimension disappears?
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Subtract, square elementwise, sum over the last dimension. No root: it has no derivative at 0.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `residual = x - x_hat`
#
# </details>
# %% tags=["exercise:squared_error"]
# %% tags=["check:squared_error"]
# %% [markdown]
# ### The best constant
#
# Before any network: what is the best answer that does not look at the image at all, one constant $c$ for all
# $N$ images? Put the mean image $m = \frac1N \sum_n x_n$ in between and multiply out:
#
# $$\frac1N \sum_n \lVert x_n - c \rVert^2
# = \frac1N \sum_n \lVert x_n - m \rVert^2 + \frac2N \sum_n (x_n - m)^\top (m - c) + \lVert m - c \rVert^2.$$
#
# The middle term is 0, because $\sum_n (x_n - m) = 0$ by the definition of $m$. Nothing else is assumed. So
#
# $$\frac1N \sum_n \lVert x_n - c \rVert^2 = \underbrace{\frac1N \sum_n \lVert x_n - m \rVert^2}_{\text{total variance}} + \lVert m - c \rVert^2,$$
#
# which is smallest at $c = m$. The total variance is the score that everything below has to beat.
#
# **Predict.** Which is the worse constant: an empty image, or one of the digits?
# %%
constants = {"mean image": mean, "empty": 0 * mean, "grey, 0.5": 0 * mean + 0.5}
constants["the first digit"] = images[0]
total = squared_error(images, mean.expand_as(images)).mean()
for name, c in constants.items():
    yours = squared_error(images, c.expand_as(images)).mean()
    expected = ((images - mean) ** 2).sum() / len(images) + (mean - c).square().sum()
    print(f"{name:16} yours {yours:7.3f}   total variance + distance to the mean {expected:7.3f}")
# %% [markdown]
# The two columns agree, since the identity holds for every $c$. Expect 52.0 for the mean image on MNIST and 4.68
# on scikit-learn's digits.
#
# <details><summary>Was the empty image worse than a digit?</summary>
#
# It depends on how far each lies from the mean. On MNIST most pixels are empty in most images, so the empty
# image is near the mean and usually the better constant. On the 8×8 digits much more of each image is inked.
#
# </details>
#
# ## 3 · The best code for a fixed subspace
#
# Now the answer may use $k$ numbers per image. Start with the simplest decoder: $\hat x = m + C^\top z$, where the
# $k$ rows of $C$ are orthonormal, $C C^\top = I$. The reconstructions fill a flat subspace through the mean. For one image,
# which code $z$ is best? The error is a quadratic function of $z$; its gradient is
#
# $$\nabla_z \lVert x - m - C^\top z \rVert^2 = -2\, C (x - m - C^\top z) = -2\,\big(C (x - m) - z\big).$$
#
# The last step uses $C C^\top = I$. The Hessian is $2I$, positive definite, so the one zero of the gradient is the minimum:
#
# $$z = C (x - m), \qquad \hat x = m + C^\top C (x - m).$$
#
# The first equation is an encoder and the second a decoder. This is an autoencoder without a single trained weight.
#
# {{card:pca_reconstruction}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# Images are rows here: `x` is (batch, input) and `components` is (latent, input). Which product of the two has the shape
# (batch, latent)?
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# Subtract the mean, multiply by the transposed components to get the codes, by the components to get back, add the mean.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `z = (x - mean) @ components.T`
#
# </details>
# %% tags=["exercise:pca_reconstruction"]
# %% tags=["check:pca_reconstruction"]
# %% [markdown]
# **Predict.** Below, a cloud of points in the plane is projected onto a line through its mean. Which angle do the
# connecting lines make with it? And what does Pythagoras say about the three distances: point to mean, point to line,
# and along the line?
# %%
torch.manual_seed(3)
cloud, centre = torch.randn(40, 2) @ torch.tensor([[2.0, 0.9], [0.0, 0.6]]), torch.zeros(2)
line = torch.tensor([[0.8, 0.6]])
flat = pca_reconstruction(cloud, centre, line)
figure, panel = viz.axes(size=(5.5, 3.6))
for a, b in zip(cloud, flat, strict=True):
    panel.plot([a[0], b[0]], [a[1], b[1]], color=viz.BLACK, linewidth=0.6)
panel.plot(*cloud.T, "o", color=viz.BLUE, label="x")
panel.plot(*flat.T, "s", color=viz.RED, markersize=4, label="yours: x̂")
panel.set(xlabel="first coordinate (no unit)", ylabel="second coordinate (no unit)", aspect="equal")
panel.legend(frameon=False)
viz.show(figure, "Forty points and their projections on a line, each connected at a right angle.")
# %% [markdown]
# The connecting lines are perpendicular to the subspace: $C (x - \hat x) = C(x - m) - C C^\top C (x - m) = 0$. So Pythagoras applies,
#
# $$\lVert x - m \rVert^2 = \lVert z \rVert^2 + \lVert x - \hat x \rVert^2,$$
#
# and in words: *variance = kept + lost*. To lose little is to keep much.
#
# ## 4 · The best subspace
#
# Average that equation over the images. With the covariance $S = \frac1N \sum_n (x_n - m)(x_n - m)^\top$, the kept part is
# $\frac1N \sum_n \lVert C (x_n - m) \rVert^2 = \operatorname{tr}(C S C^\top)$, and we want the $C$ that makes it largest. $S$ is symmetric, so
# $S = \sum_i \lambda_i u_i u_i^\top$ with orthonormal $u_i$ and $\lambda_1 \ge \lambda_2 \ge \dots \ge 0$. Then
#
# $$\operatorname{tr}(C S C^\top) = \sum_i \lambda_i w_i, \qquad w_i = \lVert C u_i \rVert^2.$$
#
# Two facts about the weights: $0 \le w_i \le 1$, since $C u_i$ holds the coordinates of a projection of the unit vector $u_i$, and a projection is
# never longer than what is projected; and $\sum_i w_i = \operatorname{tr}(C C^\top) = k$, since the $u_i$ are a basis. A budget of $k$, at most 1
# on each: spend it on the largest $\lambda_i$. The best choice is $w_1 = \dots = w_k = 1$, reached when the rows of $C$ are
# $u_1, \dots, u_k$, the *principal components*. What is then lost on average is
#
# $$\frac1N \sum_n \lVert x_n - \hat x_n \rVert^2 = \sum_{i > k} \lambda_i .$$
#
# **Predict.** How many components are needed to lose less than half of the total variance?
# %%
covariance = torch.cov(images.T.double(), correction=0)
variances, directions = torch.linalg.eigh(covariance)  # ascending
variances, components = variances.flip(0).float(), directions.T.flip(0).float()
half = int((variances.cumsum(0) < variances.sum() / 2).sum()) + 1
largest = [round(v, 2) for v in variances[:5].tolist()]
print(f"total variance {variances.sum():.3f}; the largest: {largest}")
print(f"{half} of {pixels} components keep more than half of it")
# %%
counts = torch.tensor([1, 2, 3, 5, 8, 12, 18, 25, 35, 50])
again = [pca_reconstruction(images, mean, components[:k]) for k in counts]
errors = [squared_error(images, x_hat).mean() for x_hat in again]
lost = torch.stack([variances[k:].sum() for k in counts])
figure, panel = viz.axes()
names = ("components k", "mean squared error per image")
viz.beside(panel, counts, torch.stack(errors), lost, names)
alt = "The mean error of your PCA reconstructions for 1 to 50 components, on the line of the "
viz.show(figure, alt + "sums of the variances left out: falling steeply, then flat.")
# %%
rows = [test[:12], *(pca_reconstruction(test[:12], mean, components[:k]) for k in (2, 10, 30))]
figure, panel = viz.axes(size=(8, 2.9))
viz.image_grid(panel, torch.cat(rows).clamp(0, 1), raw.shape, columns=12)
alt = "Four rows of twelve test images: the originals, and their PCA reconstructions with "
viz.show(figure, alt + "2 (blurred mixtures), 10 and 30 components (clearly readable).")
# %% [markdown]
# Your errors lie on the sums of the variances left out: two computations that share no step. Between 5 (8×8 digits) and 10
# (MNIST) numbers carry half of the variance. Two numbers carry little: in the second row, most digits cannot be told apart.
#
# ## 5 · A linear autoencoder finds the same subspace
#
# Drop the promise of orthonormal rows. Let the encoder be any matrix, $z = A (x - m)$, and the decoder any other,
# $\hat x = m + B^\top z$, with $B$ of shape $(k, \text{input})$, and minimise the mean squared error over both. What comes out?
#
# 1. Whatever $A$ is, every $\hat x$ lies in the subspace $m + \text{span}(\text{rows of } B)$, of $k$ dimensions at most.
# 2. So its error is at least that of the *nearest* point of that subspace (section 3), and this is at least
#    $\sum_{i>k} \lambda_i$ (section 4). No linear autoencoder beats PCA.
# 3. $A = B = C$ of PCA reaches this value. So it is the minimum.
# 4. It is reached only where the rows of $B$ span the principal subspace, if $\lambda_k > \lambda_{k+1}$: otherwise the budget of section 4 is not
#    spent on the largest $\lambda_i$.
# 5. But *which* basis of the subspace is left open. For every invertible $M$, the pair $(M A,\; M^{-\top} B)$ has the same product
#    $B^\top M^{-1} M A = B^\top A$, hence the same reconstructions and the same error.
#
# Baldi and Hornik (1989) proved in addition that all other stationary points are saddles, so gradient descent gets there.
# To check lines 4 and 5 we need a way to compare subspaces that does not see the basis. The largest cosine between a unit vector of one
# subspace and a unit vector of the other is $\max u^\top v$. With orthonormal bases, $u = Q_1^\top a$ and $v = Q_2^\top b$ for unit
# vectors $a$, $b$, so it is $\max a^\top (Q_1 Q_2^\top)\, b$, which is the largest singular value of $Q_1 Q_2^\top$. The further ones
# are the cosines in the directions orthogonal to those already found.
#
# {{card:subspace_cosines}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# The formula wants orthonormal bases, and the rows that you are given are not. Which factorisation turns independent vectors into
# orthonormal ones with the same span?
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# `torch.linalg.qr` makes the *columns* of a matrix orthonormal. Our vectors are rows: transpose first. Then `torch.linalg.svdvals`
# of the product.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `q_first = torch.linalg.qr(first.T).Q`, of shape (input, k)
#
# </details>
# %% tags=["exercise:subspace_cosines"]
# %% tags=["check:subspace_cosines"]
# %% [markdown]
# Train one by Adam, with two numbers per image, from random weights. **Predict:** will the error come near $\sum_{i>2} \lambda_i$ first, or the
# cosines near 1?
# %%
@cache
def train_linear(steps=300):
    torch.manual_seed(1)
    a, b = (nn.Parameter(0.1 * torch.randn(2, pixels)) for _ in range(2))
    optimiser = torch.optim.Adam([a, b], lr=0.05)
    path, x = [], images - mean
    for _ in range(steps):
        loss = squared_error(x, x @ a.T @ b).mean()
        optimiser.zero_grad(), loss.backward(), optimiser.step()
        path.append((loss.item(), b.detach().clone()))
    return path
print(f"trained {train_linear()[-1][0]:.2f}   PCA {variances[2:].sum():.2f}")
# %%
path = train_linear()
gap = [loss / float(variances[2:].sum()) - 1 for loss, _ in path]
cosines = torch.stack([subspace_cosines(b, components[:2]) for _, b in path])
figure, (left, right) = viz.axes(1, 2, size=(4.4, 3.2))
left.semilogy(gap, color=viz.BLUE)
left.set(xlabel="step", ylabel="error above PCA's (relative)")
for i, (colour, style) in enumerate(((viz.GREEN, "-"), (viz.RED, "--"))):
    right.plot(cosines[:, i], style, color=colour, label=f"your cosine {i + 1}")
right.set(xlabel="step", ylabel="cosine of the principal angle", ylim=(0, 1.05))
right.legend(frameon=False)
alt = "Left: the linear autoencoder's error falls, with bumps, towards PCA's (log scale). "
viz.show(figure, alt + "Right: both cosines of its decoder's span with PCA's plane rise to 1.")
# %% [markdown]
# Both cosines end at 1 within $10^{-3}$, and the error within 0.1% of PCA's: the same plane, found without an
# eigenvector. (The bumps on the way are Adam's: its steps do not shrink with the gradient.) The error is there first: when it comes within
# 1% of PCA's, the second cosine is 0.98 on the 8×8 digits. On MNIST it depends on the seed: 0.05 in this run, 0.5 to 0.99 in seven others. There,
# $\lambda_2$ and $\lambda_3$ are close (3.90 and 3.51), so a wrong direction costs little.
#
# Does the trained decoder have PCA's axes too?
# %%
basis = nn.functional.normalize(train_linear()[-1][1], dim=1)
for i, row in enumerate(basis @ components[:2].T):
    print("cosines of the decoder's row {} with the components: {:5.2f} {:5.2f}".format(i + 1, *row))
print(f"cosine between its two rows: {basis[0] @ basis[1]:.2f} (0 if they were PCA's)")
figure, panel = viz.axes(size=(6, 1.9))
pairs = torch.cat([basis, components[:2]])
viz.image_grid(panel, 0.5 + 0.5 * pairs / pairs.abs().amax(1, keepdim=True), raw.shape, columns=4)
alt = "Four patterns of pixels: the trained decoder's two rows, and the two principal "
viz.show(figure, alt + "components. The first two look like mixtures of the last two.")
# %% [markdown]
# Same plane, other axes: line 5, seen. Nothing asks the two rows to be orthogonal either; with another seed they meet at another angle. **The loss fixes what is kept and says nothing about how
# it is written down.** Keep this sentence; section 7 turns on it.
#
# <details><summary>Question: would weight decay change that?</summary>
#
# Yes. A penalty on $\lVert A \rVert^2 + \lVert B \rVert^2$ no longer allows every $M$; orthogonal ones still leave it unchanged, so
# the axes stay free to turn. It takes more, such as a prior on $z$ with different variances, to pin them down.
#
# </details>
#
# ## 6 · Bending the sheet
#
# Digits do not lie on a flat plane. Give encoder and decoder a hidden layer with a nonlinearity and the plane may bend. Without the
# nonlinearity two layers multiply into one matrix, and we are back at PCA.
#
# {{card:Autoencoder}}
#
# <details><summary>Hint 1: a nudge</summary>
#
# Two times two linear layers. Write the four pairs of sizes down first: in, hidden, code, hidden, out.
#
# </details>
# <details><summary>Hint 2: the idea</summary>
#
# In `__init__`, call `super().__init__()` and make two `nn.Sequential`s. `encode` and `decode` call one each, `forward` calls both
# and returns the reconstruction first. The code needs no nonlinearity of its own: let it range freely.
#
# </details>
# <details><summary>Hint 3: the first line</summary>
#
# `self.encoder = nn.Sequential(nn.Linear(input_dim, hidden_dim), nn.ReLU(), ...)` after `super().__init__()`
#
# </details>
# %% tags=["exercise:Autoencoder"]
# %% tags=["check:Autoencoder"]
# %% [markdown]
# Train it with two numbers per image, so that the codes can be drawn: 100 passes over the training images, about 2 seconds on a CPU for the 8×8
# digits and 8 for MNIST. **Predict:** with the same two numbers, by how much will it beat PCA, on training images and on new ones?
# %%
@cache
def trained(latent=2, epochs=100):
    torch.manual_seed(0)
    model = Autoencoder(pixels, 128, latent)
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, epochs * 14)
    for batch in (b for _ in range(epochs) for b in torch.randperm(len(images)).split(100)):
        loss = squared_error(images[batch], model(images[batch])[0]).mean()
        optimiser.zero_grad(), loss.backward(), optimiser.step(), schedule.step()
    return model.requires_grad_(False)
print(f"parameters: {sum(p.numel() for p in trained().parameters()):,}")
# %%
for name, x in (("training", images), ("test", test)):
    pca = squared_error(x, pca_reconstruction(x, mean, components[:2])).mean()
    deep = squared_error(x, trained()(x)[0]).mean()
    print(f"{name:9} error per image: PCA {pca:5.1f}   yours {deep:5.1f}   ratio {deep / pca:.2f}")
x = test[:12]
rows = [x, pca_reconstruction(x, mean, components[:2]), trained()(x)[0]]
figure, panel = viz.axes(size=(8, 2.2))
viz.image_grid(panel, torch.cat(rows).clamp(0, 1), raw.shape, columns=12)
alt = "Twelve test images, the same by PCA with two numbers, and by your autoencoder with "
viz.show(figure, alt + "two: the third row is sharper and often shows the right digit.")
# %% [markdown]
# On test images expect 2.2 to 3.1 against PCA's 3.49 on the 8×8 digits, and 36.5 to 40 against 42.9 on MNIST; the seed, the nonlinearity and the
# way the weights begin account for the spread. The error on training images is lower still: 1,400 images do not pin down all these
# weights, and the network has begun to learn them by heart.
#
# ## 7 · Codes with holes
#
# Here is where the images went. **Predict** before you look: do the codes fill a disc, a square, or neither? Is (0, 0) in the middle?
# %%
z = trained().encode(images)
figure, panel = viz.axes(size=(6.5, 4.6))
for digit in range(10):
    own, colour = z[labels == digit], viz.COLOURS[digit % 7]
    panel.plot(*own.T, linestyle="none", marker=f"${digit}$", markersize=5, color=colour, alpha=0.7)
panel.set(xlabel="first code (no unit)", ylabel="second code (no unit)")
alt = "The codes of the training images in the plane, each drawn as its digit: arms of "
viz.show(figure, alt + "single digits around a crowded middle, empty space between them.")
# %% [markdown]
# The map is useful: nobody told the network about labels, and yet digits of one kind lie together. But arms, clumps and gaps are all there is to its
# shape. Nothing asked for more, and this can be shown exactly.
#
# **Claim.** *For every invertible map $h$ of the code space, the encoder $h \circ f$ with the decoder $g \circ h^{-1}$ has the same loss as $f$ with $g$, on
# every data set.* Proof: the loss depends on reconstructions only, and
#
# $$(g \circ h^{-1})\big((h \circ f)(x)\big) = g\big(h^{-1}(h(f(x)))\big) = g(f(x)) = \hat x .$$
#
# Line 5 of section 5 was the linear case, $h(z) = M z$. Since $h$ may carry the cloud of codes to any shape and any place, the loss cannot
# prefer one distribution of codes to another. A generator needs exactly that: a distribution $p(z)$ to draw from. (A network of fixed size with weight decay does have
# preferences, but no one chose them.)
# %%
x_hat, z = trained()(test)
turn, shift = torch.tensor([[0.0, -3.0], [3.0, 0.0]]), torch.tensor([100.0, -50.0])
moved = z @ turn.T + shift  # h after your encoder
again = trained().decode((moved - shift) @ torch.linalg.inv(turn).T)  # your decoder after h⁻¹
for name, codes, images_hat in (("yours", z, x_hat), ("moved", moved, again)):
    centre, spread = [round(v, 1) for v in codes.mean(0).tolist()], codes.std(0).mean()
    loss = squared_error(test, images_hat).mean()
    print(f"{name}: loss {loss:.1f}, codes with centre {centre}, spread {spread:.1f}")
print(f"one loss divided by the other: {loss / squared_error(test, x_hat).mean():.4f}")
# %% [markdown]
# One loss, to four decimals of the ratio, and two clouds of quite different place and size. Whoever draws $z \sim \mathcal N(0, I)$ gets something
# from the first decoder and certainly nonsense from the second, and the loss cannot tell the two apart.
#
# ### Holes, seen
#
# Lay a grid of 20×20 cells over the box around your training codes. **Predict:** in what share of the cells is there not a single code? Below,
# the centre of every other cell is decoded.
# %%
model, z = trained(), trained().encode(images)
low, high = z.amin(0), z.amax(0)
cells = ((z - low) / (high - low) * 20).long().clamp(max=19)
print(f"a share of {1 - len(cells.unique(dim=0)) / 400:.2f} of the 400 cells holds none of {len(z)} codes")
steps = (torch.arange(10) + 0.5) / 10
grid = low + (high - low) * torch.cartesian_prod(1 - steps, steps).flip(1)
figure, panel = viz.axes(size=(5, 5))
viz.image_grid(panel, model.decode(grid).clamp(0, 1), raw.shape)
alt = "Ten by ten decoded codes from a grid over the box of training codes: some digits "
viz.show(figure, alt + "are clear, some are smears of several, those at the edges overdrawn.")
# %% [markdown]
# Expect 0.30 to 0.65 of the cells to be empty. The decoder answers for them
# as well, because a network answers everywhere, but no image ever told it what to say there.
#
# In two dimensions one could still find the good places by eye. With more dimensions the empty part takes over. Train the same network with 16 numbers per
# image. It reconstructs far better, so its decoder certainly *can* draw digits. **Predict:** does it draw them for
# codes from a normal distribution that has the mean and the spread of the training codes?
# %%
model, z = trained(16), trained(16).encode(images)
torch.manual_seed(4)
kinds, noise = {"of test images": model.encode(test[:200])}, torch.randn(200, 16)
kinds |= {"fitted normal": z.mean(0) + z.std(0) * noise, "standard normal": noise}
made = {name: model.decode(codes).clamp(0, 1) for name, codes in kinds.items()}
for name, x in made.items():
    nearest = torch.cdist(x, images).amin(1).square().mean()
    print(f"codes {name:15}  squared distance to the nearest training image {nearest:4.2g}")
figure, panel = viz.axes(size=(8, 2.2))
viz.image_grid(panel, torch.cat([x[:12] for x in made.values()]), raw.shape, columns=12)
alt = "Twelve images each: codes of test images give digits; those of a fitted and of a "
viz.show(figure, alt + "standard normal, mostly scribbles.")
# %% [markdown]
# The same noise, the same decoder. The codes of real images give digits; the fitted normal gives mostly scribbles, and so does the
# standard normal. The numbers agree: expect 1.0 for codes of images against 2.5 to 3.2 for the fitted normal on the 8×8 digits, and 22
# against 34 to 37 on MNIST. A normal distribution with the right mean and spread puts nearly all its draws where no image has its code.
#
# <details><summary>Question: the autoencoder with 16 numbers has a lower loss than the one with 2. Is it the better generator?</summary>
#
# No: its holes are larger. Sixteen dimensions have more room, and 1,400 codes fill less of it. The loss measures
# reconstructions of images only, and a generator is judged by what it does with codes that belong to none.
#
# </details>
# <details><summary>Question: what happens with as many numbers as pixels?</summary>
#
# Then encoder and decoder may both become the identity (or any map and its inverse). The loss is 0, and decoding noise gives noise.
#
# </details>
# <details><summary>Question: would more training images close the holes?</summary>
#
# They would fill the arms more densely. But the claim of this section holds for every data set: the shape of the cloud stays as free
# as it was, and you still would not know which distribution to draw from.
#
# </details>
#
# What is missing can now be said in one sentence: **nothing in the loss ties the codes to a distribution from which one can draw.** Lesson 02
# starts from that distribution, $p(z)$, and asks what the model then says about $x$; lesson 03 finds the loss that ties the encoder to it.
# %% [markdown] tags=["written:mixture:2"]
# ### In your own words (2 points)
#
# A friend proposes: "Train the autoencoder, fit a mixture of 50 Gaussians to the codes, and draw from that." Which of the problems shown in this
# lesson does this solve, and which not? Three or four sentences.
#
# ### BEGIN SOLUTION
# The mixture gives a distribution to draw from, and it follows the arms and clumps of the codes, so most draws land near codes of real images:
# this mends the worst of the holes (1 point). It does not change the training: the loss is still indifferent to where the codes lie, so the
# cloud may be as tangled as it likes, the mixture has to follow it, in many dimensions from few codes, and between the clumps the decoder was never trained.
# Nor does it give a likelihood of images, since encoder and decoder were not trained as parts of one probability model; a VAE
# trains the codes to fit a chosen prior from the start (1 point).
# ### END SOLUTION
# %% [markdown]
# ## Summary
#
# - The best constant reconstruction is the mean image, and its error is the total variance.
# - For a fixed subspace the best code is the orthogonal projection; variance = kept + lost.
# - The best subspace is spanned by the leading eigenvectors of the covariance, and the loss is the sum of the variances left out.
# - A linear autoencoder finds this subspace, in any basis. Cosines of principal angles see the first and not the second.
# - A nonlinear one does better with the same numbers, and its loss is unchanged by every invertible map of the codes. So the codes follow no
#   known distribution, they leave holes, and drawing from the decoder fails.
#
# ## Read next
#
# - Bishop, *Pattern Recognition and Machine Learning* (2006), section 12.1.2: PCA as minimum error; the loss is Eq. 12.11, the result Eq. 12.18.
#   Section 12.4.2 is on linear and nonlinear autoencoders.
# - Baldi and Hornik, *Neural networks and principal component analysis: learning from examples without local minima* (1989).
# - Björck and Golub, *Numerical methods for computing angles between linear subspaces* (1973), Theorem 1.
# - Goodfellow, Bengio and Courville, *Deep Learning* (2016), section 2.12 for PCA derived in another order, and chapter 14 for autoencoders.
# - Hinton and Salakhutdinov, *Reducing the dimensionality of data with neural networks* (2006): where deep ones began to beat PCA.
#
# Next: **02 · Latent variable models**, where $p(x) = \int p(x \mid z)\, p(z)\, dz$ gives the codes a distribution.
