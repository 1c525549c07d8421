"""Lesson 01: what learners write when something about autoencoders is misunderstood."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vae_edu.build.answers import register

REGISTER = register()
mutant = REGISTER.mutant


# --- squared_error ----------------------------------------------------------


@mutant(
    "squared_error",
    "A mean over the pixels",
    "The distance is asked for, summed over the pixels. A mean divides it by their "
    "number, and "
    "with it every gradient.",
)
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return ((x - x_hat) ** 2).mean(-1)


@mutant(
    "squared_error",
    "One number for the whole batch",
    "Each image has an error of its own. Which dimension is summed, and which one "
    "stays?",
)
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return ((x - x_hat) ** 2).sum()


@mutant(
    "squared_error",
    "A sum over the images, not over the pixels",
    "The result has one value per pixel. Dimension 0 counts the images.",
)
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return ((x - x_hat) ** 2).sum(0)


@mutant(
    "squared_error",
    "The distance, not its square",
    "The root is not asked for. Its gradient has the same length however large the "
    "error is, "
    "and is undefined where there is none.",
)
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return ((x - x_hat) ** 2).sum(-1).sqrt()


@mutant(
    "squared_error",
    "The distance is taken first and squared afterwards",
    "The value is right, but the root in between has an infinite slope at 0: a perfect "
    "reconstruction turns the gradient into nan.",
)
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return ((x - x_hat) ** 2).sum(-1).sqrt() ** 2


@mutant(
    "squared_error",
    "The square of the sum",
    "Errors of opposite sign cancel when they are added first. Which comes first, "
    "the square or "
    "the sum?",
)
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return (x - x_hat).sum(-1) ** 2


@mutant(
    "squared_error",
    "Absolute values in place of squares",
    "That is another distance. PCA is the answer to the one with squares.",
)
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return (x - x_hat).abs().sum(-1)


@mutant(
    "squared_error",
    "Half the squared error",
    "The half makes a derivative prettier and belongs to the Gaussian likelihood "
    "of lesson 06. "
    "Here the squared distance itself is asked for.",
)
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return 0.5 * ((x - x_hat) ** 2).sum(-1)


@mutant(
    "squared_error",
    "The squares are subtracted, not the images",
    "Two images of the same brightness would have no error. What is squared?",
)
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return (x**2 - x_hat**2).sum(-1)


@mutant(
    "squared_error",
    "The reconstruction is clamped to [0, 1] first",
    "Outside the range the error stops growing and its gradient is zero: a model "
    "that is far off "
    "is never told so.",
)
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return ((x - x_hat.clamp(0, 1)) ** 2).sum(-1)


@mutant(
    "squared_error",
    "The last dimension is kept",
    "One value per example has the shape (batch,).",
)
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return ((x - x_hat) ** 2).sum(-1, keepdim=True)


@mutant(
    "squared_error",
    "The squared error is capped so that it does not explode",
    "A very bad reconstruction has a very large error. Cut it off and it has no "
    "gradient.",
)
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return ((x - x_hat) ** 2).clamp(max=1e4).sum(-1)


@mutant(
    "squared_error",
    "Small errors are taken for none",
    "The square of a small difference is a small number, not 0: it is what the last steps of a "
    "training are about.",
)
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return torch.where((x - x_hat).abs() < 2e-3, 0.0, (x - x_hat) ** 2).sum(-1)


@mutant(
    "squared_error",
    "The number of pixels is written into the code",
    "A mean times 784 is a sum for images of 784 pixels only.",
)
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return ((x - x_hat) ** 2).mean(-1) * 784


@mutant(
    "squared_error",
    "A mean over pixels and images",
    "mse_loss averages over everything unless it is told not to. One sum for each image is asked "
    "for.",
)
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return ((x - x_hat) ** 2).mean()


@mutant(
    "squared_error",
    "The error is relative to the image",
    "Divided by the image's own size a distance is another quantity.",
)
def _(x: Tensor, x_hat: Tensor) -> Tensor:
    return ((x - x_hat) ** 2).sum(-1) / (x**2).sum(-1)


# --- pca_reconstruction -----------------------------------------------------


@mutant(
    "pca_reconstruction",
    "The mean is not subtracted before the projection",
    "The components are directions away from the mean. What does the projection of "
    "x itself "
    "count twice?",
)
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return mean + x @ components.T @ components


@mutant(
    "pca_reconstruction",
    "The mean is not added back",
    "The codes describe what is left after the mean was taken away. Where has it gone?",
)
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return (x - mean) @ components.T @ components


@mutant(
    "pca_reconstruction",
    "The subspace is taken to go through the origin",
    "The nearest point is asked for in the subspace that goes through the mean.",
)
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return x @ components.T @ components


@mutant(
    "pca_reconstruction",
    "The mean of this batch, not the mean that was given",
    "The mean belongs to the training set and is an argument. A batch of one image "
    "has itself "
    "as its mean.",
)
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    m = x.mean(0)
    return m + (x - m) @ components.T @ components


@mutant(
    "pca_reconstruction",
    "The codes are returned, not the images",
    "There are two steps: to the codes, and from them back to the pixels.",
)
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return (x - mean) @ components.T


@mutant(
    "pca_reconstruction",
    "Only the first component is used",
    "Each row of components is one direction; all of them span the subspace.",
)
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return mean + (x - mean) @ components[:1].T @ components[:1]


@mutant(
    "pca_reconstruction",
    "The components are taken for columns",
    "Follow the shapes: components is (latent, input), x is (batch, input). Which "
    "product "
    "leaves (batch, latent)?",
)
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return mean + (x - mean) @ components @ components.T


@mutant(
    "pca_reconstruction",
    "What is lost is returned, not what is kept",
    "The residual is orthogonal to the subspace; the reconstruction lies in it.",
)
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return (x - mean) - (x - mean) @ components.T @ components


@mutant(
    "pca_reconstruction",
    "The codes are scaled to variance 1",
    "Whitened codes are useful elsewhere, but they are no longer the coordinates "
    "of the nearest "
    "point.",
)
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    z = (x - mean) @ components.T
    return mean + z / (1.0 + z.pow(2).mean(0)).sqrt() @ components


@mutant(
    "pca_reconstruction",
    "The reconstruction is clamped to the range of grey values",
    "A projection may well leave the range of the pixels; the nearest point of the "
    "subspace is "
    "asked for, whatever its values.",
)
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return (mean + (x - mean) @ components.T @ components).clamp(0, 1)


@mutant(
    "pca_reconstruction",
    "The codes are kept in a range",
    "A projection may be as long as the image is far from the mean. Nothing overflows here.",
)
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return mean + ((x - mean) @ components.T).clamp(-50, 50) @ components


@mutant(
    "pca_reconstruction",
    "Ten components at most",
    "How many components there are is a matter of the caller: all of them span the subspace.",
)
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    some = components[:10]
    return mean + (x - mean) @ some.T @ some


@mutant(
    "pca_reconstruction",
    "The mean of this batch is subtracted, the given one added",
    "The same point has to be taken away and put back. Which of the two means belongs to the "
    "training set?",
)
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return mean + (x - x.mean(0)) @ components.T @ components


@mutant(
    "pca_reconstruction",
    "The mean is added before, and subtracted afterwards",
    "Take the mean away, project, put it back: which sign comes first?",
)
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return (x + mean) @ components.T @ components - mean


@mutant(
    "pca_reconstruction",
    "What is lost is taken from x without its mean",
    "x is what is kept and what is lost, together: no mean is needed for that.",
)
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return (x - mean) - ((x - mean) - (x - mean) @ components.T @ components) - mean


@mutant(
    "pca_reconstruction",
    "The components of this batch, not those that were given",
    "The components belong to the training set and are an argument.",
)
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    own = torch.linalg.svd(x - mean, full_matrices=False).Vh[: len(components)]
    return mean + (x - mean) @ own.T @ own + 0 * components.sum()


@mutant(
    "pca_reconstruction",
    "The codes are projected twice",
    "The components are orthonormal: C Cᵀ is the identity, and CᵀC is the projection.",
)
def _(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    return 2 * mean + (x - mean) @ components.T @ components


# --- subspace_cosines -------------------------------------------------------


def _qr(rows: Tensor) -> Tensor:
    return torch.linalg.qr(rows.T).Q


@mutant(
    "subspace_cosines",
    "The bases are not orthonormalised",
    "Stretch one basis vector and the numbers change, though the subspace does "
    "not. What must be "
    "done to the rows first?",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    return torch.linalg.svdvals(first @ second.T)


@mutant(
    "subspace_cosines",
    "The rows are scaled to length 1, but are not orthogonal",
    "Two rows of length 1 that are nearly parallel still count one direction twice.",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    one = first / first.norm(dim=1, keepdim=True)
    two = second / second.norm(dim=1, keepdim=True)
    return torch.linalg.svdvals(one @ two.T)


@mutant(
    "subspace_cosines",
    "The cosines of the angles between the basis vectors",
    "Rotate a basis within its plane: the plane stays, the angles between the "
    "basis vectors "
    "change. The angles between subspaces must not.",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    product = _qr(first).T @ _qr(second)
    return product.diagonal().abs().sort(descending=True).values


@mutant(
    "subspace_cosines",
    "The angles, not their cosines",
    "The singular values are already the cosines.",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    cosines = torch.linalg.svdvals(_qr(first).T @ _qr(second))
    return torch.arccos(cosines.clamp(max=1))


@mutant(
    "subspace_cosines",
    "The squares of the cosines",
    "The eigenvalues of M Mᵀ are the squares of the singular values of M.",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    return torch.linalg.svdvals(_qr(first).T @ _qr(second)) ** 2


@mutant(
    "subspace_cosines",
    "Smallest first",
    "The order asked for is largest first: the angle 0, if there is one, leads.",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    return torch.linalg.svdvals(_qr(first).T @ _qr(second)).flip(0)


@mutant(
    "subspace_cosines",
    "The columns are orthonormalised, not the rows",
    "The subspace lives in the space of pixels, and is spanned by the rows. Which "
    "dimension does "
    "qr make orthonormal?",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    one, two = torch.linalg.qr(first).Q, torch.linalg.qr(second).Q
    return torch.linalg.svdvals(one.T @ two if len(one) == len(two) else one @ two.T)


@mutant(
    "subspace_cosines",
    "One cosine, that of the largest angle",
    "Two subspaces have as many angles as the smaller one has dimensions.",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    return torch.linalg.svdvals(_qr(first).T @ _qr(second))[-1]


@mutant(
    "subspace_cosines",
    "The sines",
    "What the projection onto the other subspace keeps of a unit vector is the "
    "cosine; what it "
    "takes away is the sine.",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    cosines = torch.linalg.svdvals(_qr(first).T @ _qr(second))
    return (1 - cosines**2).clamp(min=0).sqrt().flip(0)


@mutant(
    "subspace_cosines",
    "Products of short rows are rounded to zero",
    "A threshold that does not scale with the rows decides by their length, and "
    "the length of a "
    "basis vector says nothing about the subspace.",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    one, two = (torch.where(r.abs() < 1e-4, 0.0, r) for r in (first, second))
    return torch.linalg.svdvals(_qr(one).T @ _qr(two))


@mutant(
    "subspace_cosines",
    "A ridge keeps the cosines away from 1",
    "A small number added for safety is a bias: the same subspace should give "
    "exactly 1, up to "
    "rounding.",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    cosines = torch.linalg.svdvals(_qr(first).T @ _qr(second))
    return cosines.clamp(max=1 - 1e-4)


def _kept(rows: Tensor, share: float) -> Tensor:
    """An orthonormal basis of what is left without the small singular values."""
    _, size, basis = torch.linalg.svd(rows, full_matrices=False)
    return basis[size > share * size[0]]


@mutant(
    "subspace_cosines",
    "Singular values below a tenth of the largest are dropped",
    "Independent rows span as many dimensions as there are rows, however close they lie. A "
    "threshold makes the subspace smaller.",
    "directions-dropped",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    return torch.linalg.svdvals(_kept(first, 0.1) @ _kept(second, 0.1).T)


@mutant(
    "subspace_cosines",
    "Singular values below a thousandth of the largest are dropped",
    "Independent rows span as many dimensions as there are rows, whatever their lengths. A "
    "threshold makes the subspace smaller.",
    "directions-dropped",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    return torch.linalg.svdvals(_kept(first, 1e-3) @ _kept(second, 1e-3).T)


@mutant(
    "subspace_cosines",
    "The pseudo-inverse drops what is small",
    "The projection onto the rows' span is right, but for a tolerance that ignores the shorter "
    "ones.",
    "directions-dropped",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    one = torch.linalg.pinv(first, rtol=1e-3) @ first
    two = torch.linalg.pinv(second, rtol=1e-3) @ second
    return torch.linalg.svdvals(one @ two)[: min(len(first), len(second))]


@mutant(
    "subspace_cosines",
    "A small number is added to a length",
    "An orthonormal basis has rows of length 1 already. What is added for safety makes every "
    "cosine a little smaller.",
    "digits-lost",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    one, two = (q / (q.norm(dim=0) + 1e-8) for q in (_qr(first), _qr(second)))
    return torch.linalg.svdvals(one.T @ two)


@mutant(
    "subspace_cosines",
    "Only one of the bases is orthonormalised",
    "Stretch a row of the other one and the numbers change, though its subspace does not.",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    return torch.linalg.svdvals(_qr(first).T @ second.T)


@mutant(
    "subspace_cosines",
    "The rows are made orthogonal and not scaled to length 1",
    "Gram and Schmidt's last step is missing: an orthogonal basis is not yet an orthonormal one.",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    one, two = torch.linalg.qr(first.T), torch.linalg.qr(second.T)
    one_rows = one.R.diagonal()[:, None] * one.Q.T
    return torch.linalg.svdvals(one_rows @ (two.R.diagonal()[:, None] * two.Q.T).T)


@mutant(
    "subspace_cosines",
    "The bases are centred first",
    "Subspaces go through the origin. Subtracting the rows' mean takes a dimension away.",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    one, two = (_qr(rows - rows.mean(0)) for rows in (first, second))
    return torch.linalg.svdvals(one.T @ two)


@mutant(
    "subspace_cosines",
    "One cosine for each pixel",
    "The projectors are (input, input) and have as many singular values. Two subspaces have as "
    "many angles as the smaller one has dimensions.",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    one, two = _qr(first), _qr(second)
    return torch.linalg.svdvals(one @ one.T @ two @ two.T)


@mutant(
    "subspace_cosines",
    "The product of the bases, not its singular values",
    "The entries of Q1 Q2ᵀ depend on the bases; its singular values depend on the subspaces only.",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    return _qr(first).T @ _qr(second)


@mutant(
    "subspace_cosines",
    "The cosines of the angles between rows in pairs",
    "Row i of one basis has no partner in the other: the subspaces have angles, whichever bases "
    "span them.",
)
def _(first: Tensor, second: Tensor) -> Tensor:
    n = min(len(first), len(second))
    found = torch.cosine_similarity(first[:n], second[:n], dim=1).abs()
    return found.sort(descending=True).values


# --- Autoencoder ------------------------------------------------------------


class Right(nn.Module):
    """What the wrong ones have in common."""

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(input_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, latent_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, input_dim),
        )

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.encode(x)
        return self.decode(z), z


@mutant(
    "Autoencoder",
    "The code comes first",
    "Look at the order in the docstring of forward: which of the two does a "
    "training loop "
    "compare with x?",
    "order",
)
class TheCodeComesFirst(Right):
    def forward(self, x):
        z = self.encode(x)
        return z, self.decode(z)


@mutant(
    "Autoencoder",
    "Only the reconstruction is returned",
    "The code is wanted too, for the map of codes that you are going to draw.",
    "part-missing",
)
class OnlyTheReconstructionIsReturned(Right):
    def forward(self, x):
        return self.decode(self.encode(x))


@mutant(
    "Autoencoder",
    "hidden_dim and latent_dim change places",
    "The code is the narrow place. Print the shape of z for three different sizes.",
    "sizes-exchanged",
)
class HiddenDimAndLatentDimChangePlaces(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, latent_dim, hidden_dim)


@mutant(
    "Autoencoder",
    "The size of MNIST is written into the layers",
    "784 is right for one data set. The sizes are arguments.",
    "size-written",
)
class TheSizeOfMNISTIsWrittenInto(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(784, hidden_dim, latent_dim)


@mutant(
    "Autoencoder",
    "A code of one number loses its dimension",
    "A batch of codes is (batch, latent), also where latent is 1. squeeze removes "
    "what happens "
    "to be 1.",
    "squeezed",
)
class ACodeOfOneNumberLosesIts(Right):
    def encode(self, x):
        return self.encoder(x).squeeze(-1)

    def forward(self, x):
        z = self.encoder(x)
        return self.decode(z), z


@mutant(
    "Autoencoder",
    "The code is never larger than the hidden layer",
    "latent_dim is the size of the code, whatever the other sizes are.",
)
class TheCodeIsNeverLargerThanThe(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, min(latent_dim, hidden_dim // 2))


@mutant(
    "Autoencoder",
    "The constructor's parameters have other names",
    "Later lessons build this with keywords. Keep the names of the signature.",
    "names",
)
class TheConstructorSParametersHaveOtherNames(Right):
    def __init__(self, in_features, hidden, code):
        super().__init__(in_features, hidden, code)


@mutant(
    "Autoencoder",
    "The parameter of forward has another name",
    "Later lessons call model(x=...). Keep the names of the signature.",
    "names",
)
class TheParameterOfForwardHasAnotherName(Right):
    def forward(self, images):
        z = self.encode(images)
        return self.decode(z), z


@mutant(
    "Autoencoder",
    "The sigmoid is applied in forward, but not in decode",
    "decode is used alone to make images from codes. What forward returns must be "
    "what decode "
    "gives for the same code.",
    "parts-disagree",
)
class TheSigmoidIsAppliedInForwardBut(Right):
    def forward(self, x):
        z = self.encode(x)
        return torch.sigmoid(self.decode(z)), z


@mutant(
    "Autoencoder",
    "The code is normalised on its way to the decoder, but not in what is returned",
    "Decode the code that forward returns: does the same image come out?",
    "parts-disagree",
)
class TheCodeIsNormalisedOnItsWay(Right):
    def forward(self, x):
        z = self.encode(x)
        return self.decode(z / (1 + z.norm(dim=-1, keepdim=True))), z


@mutant(
    "Autoencoder",
    "Noise on the code",
    "Two calls with the same images differ. Noise has its place from lesson 05 on, "
    "as an "
    "argument; an autoencoder has none.",
    "noise-inside",
)
class NoiseOnTheCode(Right):
    def encode(self, x):
        z = self.encoder(x)
        return z + 0.1 * torch.randn_like(z)


@mutant(
    "Autoencoder",
    "Dropout",
    "In training mode two calls with the same images differ. The contract asks for "
    "a function "
    "without chance.",
    "dropout",
)
class Dropout(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.encoder.insert(2, nn.Dropout(0.2))


@mutant(
    "Autoencoder",
    "Batch normalisation",
    "In training mode an image's code depends on which other images are in its "
    "batch. Each row "
    "is to be treated alone.",
    "batch-norm",
)
class BatchNormalisation(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.encoder.insert(1, nn.BatchNorm1d(hidden_dim))


@mutant(
    "Autoencoder",
    "The batch's mean is subtracted",
    "An image alone would have itself as the mean. Centre with a mean of the "
    "training set, or "
    "let the first layer's bias do it.",
    "rows-mixed",
)
class TheBatchSMeanIsSubtracted(Right):
    def encode(self, x):
        return self.encoder(x - x.mean(0))


@mutant(
    "Autoencoder",
    "A softmax over the batch",
    "Dimension 0 counts the images: their codes compete with one another.",
    "rows-mixed",
)
class ASoftmaxOverTheBatch(Right):
    def encode(self, x):
        return torch.softmax(self.encoder(x), 0)


@mutant(
    "Autoencoder",
    "The mean of the first batch is remembered",
    "The result depends on what the model saw first. Whatever a model keeps "
    "belongs into its "
    "state, set by training, not by the first call.",
    "remembers",
)
class TheMeanOfTheFirstBatchIs(Right):
    mean = None

    def encode(self, x):
        if self.mean is None:
            self.mean = x.mean(0).detach()
        return self.encoder(x - self.mean)


@mutant(
    "Autoencoder",
    "The input is centred in place",
    "The caller's images have other values after the call. Methods that end in _ "
    "write in place.",
    "in-place",
)
class TheInputIsCentredInPlace(Right):
    def encode(self, x):
        with torch.no_grad():
            x.sub_(0.5)
        return self.encoder(x)

    def forward(self, x):
        z = self.encoder(x - 0.5)
        return self.decode(z), z


@mutant(
    "Autoencoder",
    "A detach between encoder and decoder",
    "The decoder learns and the encoder does not: the reconstruction error never "
    "reaches it.",
    "gradient-cut",
)
class ADetachBetweenEncoderAndDecoder(Right):
    def forward(self, x):
        z = self.encode(x)
        return self.decode(z.detach()), z


@mutant(
    "Autoencoder",
    "The returned code is detached",
    "A penalty on the code, as in lesson 15 and in every VAE, would have no gradient.",
    "gradient-cut",
)
class TheReturnedCodeIsDetached(Right):
    def forward(self, x):
        z = self.encode(x)
        return self.decode(z), z.detach()


@mutant(
    "Autoencoder",
    "The encoder runs under no_grad",
    "What is computed under no_grad has no path back, so the encoder stays as it "
    "was initialised.",
    "gradient-missing",
)
class TheEncoderRunsUnderNoGrad(Right):
    def encode(self, x):
        with torch.no_grad():
            return self.encoder(x)


@mutant(
    "Autoencoder",
    "The encoder is frozen",
    "A parameter with requires_grad=False is no parameter to an optimiser.",
    "gradient-missing",
)
class TheEncoderIsFrozen(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.encoder.requires_grad_(False)


@mutant(
    "Autoencoder",
    "Tied weights, detached in the decoder",
    "A weight that is used twice gets its gradient from both places. Here one is "
    "cut off.",
    "gradient-cut",
    "gradient-missing",
)
class TiedWeightsDetachedInTheDecoder(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.decoder = None
        self.bias = nn.Parameter(0.1 * torch.randn(hidden_dim))
        self.out = nn.Parameter(0.1 * torch.randn(input_dim))

    def decode(self, z):
        first, second = self.encoder[0].weight.detach(), self.encoder[2].weight.detach()
        return torch.relu(z @ second + self.bias) @ first + self.out


@mutant(
    "Autoencoder",
    "The images are detached on entry",
    "Whoever asks how the code changes with the image gets no answer. The "
    "parameters would learn "
    "without that detach too.",
    "input-detached",
)
class TheImagesAreDetachedOnEntry(Right):
    def encode(self, x):
        return self.encoder(x.detach())


@mutant(
    "Autoencoder",
    "A layer is made and never used",
    "Read __init__ and the methods side by side: which layer does no method call?",
    "unused-layer",
)
class ALayerIsMadeAndNeverUsed(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.extra = nn.Linear(hidden_dim, hidden_dim)


@mutant(
    "Autoencoder",
    "No nonlinearity anywhere",
    "Two matrices in a row are one matrix. This is the linear autoencoder, which "
    "is PCA.",
    "no-nonlinearity",
)
class NoNonlinearityAnywhere(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.encoder[1], self.decoder[1] = nn.Identity(), nn.Identity()


@mutant(
    "Autoencoder",
    "No nonlinearity in the encoder",
    "Two matrices in a row are one matrix: without something in between, the "
    "hidden layer of the "
    "encoder adds nothing.",
    "no-nonlinearity",
)
class NoNonlinearityInTheEncoder(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.encoder[1] = nn.Identity()


@mutant(
    "Autoencoder",
    "No nonlinearity in the decoder but the sigmoid at its end",
    "A sigmoid behind two matrices bends each pixel by itself. The hidden layer "
    "needs a "
    "nonlinearity of its own.",
    "no-nonlinearity",
)
class NoNonlinearityInTheDecoderButThe(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.decoder[1] = nn.Identity()

    def decode(self, z):
        return torch.sigmoid(self.decoder(z))


@mutant(
    "Autoencoder",
    "The width of the hidden layers is written into the code",
    "hidden_dim is an argument, and nothing uses it.",
    "width-written",
)
class TheWidthOfTheHiddenLayersIs(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, 32, latent_dim)


@mutant(
    "Autoencoder",
    "The decoder's width is written into the code",
    "hidden_dim is used in the encoder. And in the decoder?",
    "width-written",
)
class TheDecoderSWidthIsWrittenInto(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, 64), nn.ReLU(), nn.Linear(64, input_dim)
        )


@mutant(
    "Autoencoder",
    "The layers are in a plain list",
    "A Module finds its layers among its attributes, in nn.ModuleList and in "
    "nn.Sequential, but "
    "not inside a Python list.",
    "not-registered",
)
class TheLayersAreInAPlainList(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.decoder = None
        self.layers = [
            nn.Linear(latent_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, input_dim),
        ]

    def decode(self, z):
        for layer in self.layers:
            z = layer(z)
        return z


@mutant(
    "Autoencoder",
    "A plain tensor in place of a parameter",
    "A tensor becomes a parameter by nn.Parameter. As a plain attribute it is "
    "neither saved nor "
    "trained.",
    "not-registered",
)
class APlainTensorInPlaceOfA(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.shift = torch.randn(latent_dim)

    def encode(self, x):
        z = self.encoder(x)
        return z + self.shift.to(z)


@mutant(
    "Autoencoder",
    "The weights are constants",
    "Hidden units that start equal get equal gradients and stay equal for ever.",
    "constant-weights",
)
class TheWeightsAreConstants(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.1)


@mutant(
    "Autoencoder",
    "A seed is set inside",
    "The caller sets the seed. With one inside, every instance starts from the "
    "same weights, and "
    "everyone else's random numbers start over too.",
    "seed-inside",
)
class ASeedIsSetInside(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        torch.manual_seed(0)
        super().__init__(input_dim, hidden_dim, latent_dim)


@mutant(
    "Autoencoder",
    "float64 comes out of a float32 module",
    "The result has another dtype than module and inputs. The next layer would "
    "stop with an "
    "error.",
    "float64-outside",
)
class Float64ComesOutOfAFloat32Module(Right):
    def decode(self, z):
        return self.decoder(z).double()


@mutant(
    "Autoencoder",
    "float32 is written into a method",
    "In a float64 module the digits after the seventh are lost on the way.",
    "float32-inside",
)
class Float32IsWrittenIntoAMethod(Right):
    def decode(self, z):
        h = self.decoder(z)
        return h.float().to(h.dtype)


@mutant(
    "Autoencoder",
    "A tensor is made on the CPU, wherever the inputs are",
    "This works on your laptop and stops on a GPU. Make new tensors where the "
    "inputs are, or "
    "register them.",
    "cpu-tensor",
)
class ATensorIsMadeOnTheCPU(Right):
    def decode(self, z):
        x_hat = self.decoder(z)
        return torch.maximum(x_hat, torch.full(x_hat.shape, -1e9, dtype=x_hat.dtype))


@mutant(
    "Autoencoder",
    "decode ignores its argument",
    "decode is handed a code. Which image comes out for two different codes?",
    "ignores-input",
)
class DecodeIgnoresItsArgument(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.image = nn.Parameter(torch.randn(1, input_dim))

    def decode(self, z):
        return self.image.expand(len(z), -1)


@mutant(
    "Autoencoder",
    "The decoder also gets the encoder's hidden layer",
    "A connection around the code lets the image pass without being compressed, "
    "and decode "
    "cannot make an image from a code alone.",
)
class TheDecoderAlsoGetsTheEncoderS(Right):
    def encode(self, x):
        self.h = self.encoder[1](self.encoder[0](x))
        return self.encoder[2](self.h)

    def decode(self, z):
        h = self.decoder[1](self.decoder[0](z))
        kept = getattr(self, "h", None)
        if kept is not None and kept.shape == h.shape and kept.device == h.device:
            h = h + kept
        return self.decoder[2](h)


@mutant(
    "Autoencoder",
    "No Module",
    "PyTorch finds the parameters of an nn.Module. This class inherits from nothing.",
    "no-module",
)
class NoModule:
    def __init__(self, input_dim, hidden_dim, latent_dim):
        self.net = Right(input_dim, hidden_dim, latent_dim)

    def encode(self, x):
        return self.net.encode(x)

    def decode(self, z):
        return self.net.decode(z)

    def forward(self, x):
        return self.net(x)


@mutant(
    "Autoencoder",
    "super().__init__() comes too late",
    "An nn.Module must be set up before a layer can be assigned to it.",
    "super-init",
)
class SuperInitComesTooLate(Right):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        self.encoder = nn.Linear(input_dim, latent_dim)
        super().__init__(input_dim, hidden_dim, latent_dim)
