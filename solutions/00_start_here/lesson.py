# %% [markdown]
# # 00 · Start here
#
# Welcome. In this course you derive a variational autoencoder, a VAE, from its first line, implement every
# line yourself, and have the truth of each step checked while you go. At the end, code that you
# wrote and understand draws digits that nobody has ever written.
#
# **After this first page you can** work through any lesson of the course, and average numbers that are far too
# small for a computer to hold.
#
# **You need** Python, PyTorch tensors and modules, and derivatives. **Time:** about 40 minutes, with one
# exercise. Nothing on this page needs a GPU.
#
# Run the cells from top to bottom with Shift+Enter. Begin with this one.

# %% tags=["setup"]
import math
import torch
from torch import Tensor
from vae_edu import check, data, exercise, progress, viz
_ = torch.manual_seed(0)

# %% [markdown]
# ## 1 · Where this is going
#
# Here is what we want to generate. Each image is a list of numbers between 0 (white) and 1 (black), one for
# each pixel.
#
# The simplest model that could draw such images gives each pixel its own probability of being
# black, measured on the training set, and draws the pixels independently of each other.
#
# **Predict.** What will its images look like? Decide before you run the cell.
#
# <details><summary>Answer</summary>
# Clouds in the shape of an average digit. Each pixel is right on average, but no pixel knows of its neighbours, so
# no stroke ever forms.
# </details>

# %%
digits = data.load().to_unit()
print(digits.label)
pixel_mean = digits.train.mean(0)  # one probability for each pixel
drawn = torch.bernoulli(pixel_mean.expand(10, -1))
rows = {"real": digits.train[:10], "pixels drawn independently": drawn}
figure, panels = viz.axes(2, 1, size=(7, 1.0))
for panel, (title, images) in zip(panels, rows.items(), strict=True):
    viz.image_grid(panel, images, digits.shape)
    panel.set_title(title)
alt = "Ten real digits above; below, ten images of independent pixels: no digits."
viz.show(figure, alt)

# %% [markdown]
# What is missing is something that all pixels have in common: which digit it is, how it leans, how
# thick the pen was. A VAE invents such common causes, a handful of numbers $z$ for each image $x$. An *encoder*
# guesses $z$ from an image; a *decoder* draws an image from $z$; and to make a new image, we draw a
# random $z$. How to train the two together is the subject of these lessons:
#
# | lesson | the question it answers |
# | --- | --- |
# | [01 autoencoders](../01_autoencoders/01_autoencoders.ipynb) | Why is compressing not yet generating? |
# | [02 latent variable models](../02_latent_variable_models/02_latent_variable_models.ipynb) | How probable is an image, if many z could have made it? |
# | [03 ELBO](../03_elbo/03_elbo.ipynb) | Which quantity can we raise instead, and what does that cost? |
# | [04 KL divergence](../04_kl_divergence/04_kl_divergence.ipynb) | What is its second term, in closed form? |
# | [05 reparameterization](../05_reparameterization/05_reparameterization.ipynb) | How does a gradient pass through a random draw? |
# | [06 likelihoods](../06_likelihoods/06_likelihoods.ipynb) | How should an image be compared with its reconstruction? |
#
# Then Part II builds and trains the VAE from the functions that you write in Part I, and Part III goes beyond it.
#
# ## 2 · How a lesson works
#
# Each step goes the same way: a reason, an equation, a question to you (answer it before you unfold the
# answer; guessing wrong is the best way to remember), a few lines of code, a picture, and what it shows.
#
# Some steps are **exercises**. You replace the line `raise NotImplementedError(...)` by your answer and run the
# cell. The cell below it, `check(...)`, tries your answer on many inputs and says what was tried, what came out
# and what was expected; if it recognises a common mistake, it names it. Nothing is counted against you: try as
# often as you like. The first check in a session takes some seconds, later ones a fraction of one. Three folded hints come
# before each exercise, each saying more than the one before.
#
# Now the exercise for this page. It is small, and it returns in lessons 02, 03, 09 and 10.
#
# ## 3 · Why everything happens in logarithms
#
# How probable are the first 20 training images under the model of independent pixels? Independent means multiplied:
# one factor for each pixel of each image.
#
# **Predict.** What will a computer give for this product?
#
# <details><summary>Answer</summary>
# Exactly 0. The factors lie below 1 and there are thousands of them; the product is smaller than the smallest
# positive number of its type. The sum of their logarithms is an ordinary negative number.
# </details>

# %%
images = (digits.train[:20] > 0.5).float()  # black or white
factors = torch.where(images == 1, pixel_mean, 1 - pixel_mean)
print(f"{factors.numel():,} factors")
print(f"their product:           {factors.prod().item()}")
print(f"the sum of their logs:   {factors.log().sum().item():.0f} nats")

# %% [markdown]
# So we keep the logarithm of each probability and never the probability itself. Products become sums, which
# is convenient. Logarithms here are natural ones, and their unit is the *nat*.
#
# But soon we shall need the *average* of probabilities that we only know by their logarithms $a_1, \dots, a_n$:
# $$L = \log\frac1n\sum_{i=1}^n e^{a_i}. \tag{1}$$
#
# Typed in as it stands, this takes `exp` first. The largest number of float32 is about $3.4\cdot10^{38}$, and its
# logarithm is 88.7: above that `exp` gives `inf`. Below about $-104$ it gives 0, and $\log 0$ is `-inf`.

# %%
def naive(log_values, dim):
    return log_values.exp().mean(dim).log()

for dtype in (torch.float32, torch.float64):
    top = math.log(torch.finfo(dtype).max)
    print(f"{dtype}: exp overflows above {top:.1f}")
    for size in (10.0, 1000.0, -1000.0):
        same = torch.full((3,), size, dtype=dtype)  # their mean is that value
        print(f"    L of three times {size:g}: {naive(same, 0).item():g}")

# %% [markdown]
# ### The way out
#
# Choose any finite number $m$. Since $e^{a_i} = e^{m}\,e^{a_i - m}$ for each $i$, the factor $e^m$ can be taken out of
# the sum, and the logarithm of a product is the sum of the logarithms:
# $$L = \log\Big(e^{m}\cdot\frac1n\sum_i e^{a_i - m}\Big) = m + \log\frac1n\sum_i e^{a_i - m}. \tag{2}$$
#
# This holds for every $m$, but on a computer not every $m$ helps. Take the largest value, $m = \max_i a_i$. Then
#
# - every exponent $a_i - m$ is at most 0, so every term is at most 1: *nothing overflows*;
# - the exponent of the largest value is exactly 0, so one term is 1 and the mean is at least $1/n$: *the logarithm
#   never sees 0*.
#
# The mean therefore lies between $1/n$ and 1, and with (2) the result lies in a narrow band:
# $$\max_i a_i - \log n \;\le\; L \;\le\; \max_i a_i. \tag{3}$$
#
# Terms more than 104 below the maximum (745 in float64) still become 0. They may: beside a term of 1 they are far below
# the last digit.
#
# ### A weight of zero
#
# Some probabilities are 0, and their logarithm is $-\infty$. In (1) such an entry adds $e^{-\infty} = 0$ to the sum and
# still counts as one of the $n$.
#
# **Predict.** What is $L$ if *all* entries are $-\infty$, and what does formula (2) give with $m = \max_i a_i$?
#
# <details><summary>Answer</summary>
# The mean of zeros is 0, so L = -inf. Formula (2) was derived for a finite m. With m = -inf it asks for
# -inf - (-inf), which is nan.
# </details>

# %% [markdown]
# {{card:log_mean_exp}}
#
# If you like, type the formula as it stands first, run the check, and see what it says. Then mend it.
#
# <details><summary>Hint 1: a nudge</summary>
# There is one mean for each position along the other dimensions. How many shifts do you need?
# </details>
# <details><summary>Hint 2: the idea</summary>
# Take the maximum over dim with keepdim=True, so that it can be subtracted from every entry it belongs to. At
# the end, add it back without the kept dimension. Where the maximum is -inf, another finite number will do as the
# shift, since (2) holds for any.
# </details>
# <details><summary>Hint 3: the first line</summary>
# <code>m = log_values.amax(dim, keepdim=True)</code>, and then look after an m of -inf. (torch.logsumexp has all of
# this inside, if you prefer to build on it: only the n is missing.)
# </details>

# %% tags=["exercise:log_mean_exp"]
# %% tags=["check:log_mean_exp"]

# %% [markdown]
# ### Your function beside the naive one
#
# Add the same number $c$ to all values: by (2) the result should grow by $c$ and by nothing else. So $L(a + c) - c$
# should not depend on $c$.

# %%
a, shifts = torch.tensor([0.0, -1.3, 2.1]), torch.arange(-200.0, 201.0, 10.0)
moved = a + shifts.unsqueeze(-1)  # (41, 3), float32
yours, expected = log_mean_exp(moved, 1) - shifts, naive(a, 0).expand(41)
figure, panel = viz.axes(size=(6, 3))
viz.beside(panel, shifts, yours, expected, ("shift c (nats)", "L(a + c) - c (nats)"))
panel.plot(shifts, naive(moved, 1) - shifts, "x", color=viz.BLACK, label="naive")
panel.set_ylim(0, 2)
panel.legend(frameon=False)
alt = "L(a + c) - c against c: yours is constant; the naive marks stop at -100 and 80"
viz.show(figure, alt)

# %% [markdown]
# Yours is a horizontal line. The naive marks (10 apart) stop after 80 and after $-100$: beyond, its `exp` leaves the range of
# float32.
#
# ### How many digits are left
#
# Large logarithms are coarse by themselves. A float32 has 24 binary digits, so rounding
# changes a number $a$ by at most $|a|\cdot 2^{-24}$. That happens once to the values and once to the result:
# $$|\text{error of } L| \;\lesssim\; 2\cdot|a|\cdot 2^{-24}. \tag{4}$$
#
# **Predict.** For log-values near $-10{,}000$ in float32, to how many nats is $L$ known? And to how many percent is the mean
# itself, $e^{L}$?
#
# <details><summary>Answer</summary>
# To about 0.001 nats, by (4). A small change d of L changes exp(L) by the factor exp(d), about 1 + d: so the mean is
# known to about 0.1 percent, three digits where float32 has seven. That is plenty for us: we shall report log-probabilities
# to a tenth of a nat.
# </details>

# %%
sizes = torch.logspace(0, 4, 81, dtype=torch.float64)
values = torch.tensor([0.0, -1.3, -0.4]).double() - sizes.unsqueeze(-1)  # (81, 3)
errors = (log_mean_exp(values.float(), 1).double() - log_mean_exp(values, 1)).abs()
figure, panel = viz.axes(size=(5.4, 3.2))
panel.loglog(sizes, 2 * sizes * 2**-24, color=viz.BLUE, label="bound (4)")
panel.loglog(sizes, errors, "o", color=viz.RED, markersize=3, label="yours in float32")
panel.set(xlabel="size of the log-values (nats)", ylabel="error of L (nats)")
panel.legend(frameon=False)
alt = "Error of yours in float32 against the size of the log-values: dots on or below "
viz.show(figure, alt + "a line of slope 1, which reaches about 0.001 at 10,000")

# %% [markdown]
# The dots stay below the line (at the left end rounding inside `exp` and `log`, some $10^{-7}$, may lift one
# slightly above it). So the shift costs no digits.
#
# ### Its slope
#
# You will train through this function, so look at its gradient once. By the chain rule on (1),
# $$\frac{\partial L}{\partial a_k} = \frac{e^{a_k}}{\sum_i e^{a_i}}. \tag{5}$$
# These are weights: positive, with sum 1. The $1/n$ cancels. You may know (5) as the *softmax*; in lesson 09 it
# reappears as an importance weight.

# %%
a = torch.tensor([-1000.0, -1001.0, -1003.0, -math.inf], requires_grad=True)
log_mean_exp(a, 0).backward()
print("slope of yours:", [f"{g:.4f}" for g in a.grad])
print("softmax:       ", [f"{w:.4f}" for w in torch.softmax(a.detach(), 0)])

# %% [markdown]
# ## 4 · Where your answer went
#
# The line `@exercise` above your function compared its name and signature with what later lessons expect, and saved it to
# the file `work/start_here.py`, with the helpers, constants and imports of your cells that it uses. `check` saves it
# again if you have mended one of those since, and says what cannot be saved. From now on every notebook finds *your* function where
# this cell does.

# %%
from vae_edu.exercises.start_here import log_mean_exp as saved

result = saved(torch.tensor([0.0, math.log(3.0)]), 0)
print(f"log of the mean of 1 and 3: {result:.4f}, and log 2 is {math.log(2):.4f}")

# %% [markdown]
# Some things worth knowing:
#
# - **Restart the kernel whenever you like** (Kernel, Restart Kernel). Your answers are in files and come back with the import. Try
#   it now: restart, run the first cell and then the cell above.
# - **Running an empty exercise cell again does no harm.** An unfilled cell never replaces a saved answer, and what a new
#   version replaces is kept in `work/backup`.
# - **You may edit `work/start_here.py`** in any editor. Later lessons use the file, and `check("log_mean_exp")`, with the name
#   in quotes, judges it. What you hand in, if you hand in, is the notebook: replace the text of the exercise's cell by
#   `from vae_edu import fill_in; fill_in("log_mean_exp")`, run it, and the cell holds the file's answer. Run it once more.
# - **Helpers belong into cells of the notebook.** A module of your own beside it is neither saved nor handed in.
# - **If you are stuck**, sleep on it, or borrow: in a cell of your own, `import vae_edu` and then
#   `vae_edu.use_reference("start_here")` let you go on with the course's own answers wherever you have none. It is remembered
#   and shown; `vae_edu.use_own("start_here")` gives them back.
# - **The images** are MNIST if it is on this machine and scikit-learn's smaller digits otherwise; `data.load().label` says which.
#   `vae-edu data` in a terminal gets MNIST.
# - **If something does not work**, `vae-edu doctor` in a terminal says what, and what to do about it.
#
# And this is how far you are:

# %%
progress()

# %% [markdown]
# ## In your own words
#
# One question in each lesson is answered in prose, and a person reads it. If you learn on your own: write first. In the course's
# repository the notebook of the same name under `solutions/` ends with a model answer; a copy handed out by a teacher leaves
# that folder out.

# %% [markdown] tags=["written:why_the_maximum:2"]
# **Question (2 points).** A friend uses (2) with $m$ = the *mean* of the log-values, "since that keeps all the exponents small". Give
# log-values for which the friend's function fails in float64, say what it returns, and explain why the maximum cannot fail
# in this way.
#
# ### BEGIN SOLUTION
# For example 0, 0, 0 and 4000: the mean is 1000, the largest exponent is 3000, exp(3000) overflows to inf, and so does the
# result, which should be 4000 - log 4. (Any values whose largest lies more than about 710 above their mean will do.) With the
# maximum every exponent is at most 0, so no term exceeds 1; and one exponent is exactly 0, so the mean is at least 1/n and its
# logarithm is finite. One point for an example that fails, one for both halves of the argument.
# ### END SOLUTION

# %% [markdown]
# ## Summary
#
# - Products of many probabilities vanish in floating point; their logarithms do not. Everything from here on is in nats.
# - $L = m + \log\frac1n\sum_i e^{a_i - m}$ holds for every $m$; with the maximum nothing overflows and no logarithm of 0 is taken.
# - $-\infty$ is the logarithm of a weight of zero. It counts among the $n$.
# - In float32 a logarithm of size $|a|$ is known to about $|a|\cdot10^{-7}$ nats.
# - Write, run, check. Your answers live in `work/` and serve in all later lessons.
#
# **Next:** [lesson 01](../01_autoencoders/01_autoencoders.ipynb) builds the encoder and the decoder, and finds out why they do not generate yet.
#
# ## Reading
#
# - P. Blanchard, D. J. Higham and N. J. Higham, *Accurately computing the log-sum-exp and softmax functions*, IMA Journal of Numerical
#   Analysis 41, 2021: the shift (Eq. 1.3), the ranges of the floating-point types (Tables 1 and 2), and an analysis of the rounding errors.
# - D. P. Kingma and M. Welling, *Auto-Encoding Variational Bayes*, ICLR 2014: the paper that this course derives. Read its first page now; the
#   rest will be easier in a few lessons.
