"""Lesson 07: what learners write when something about building a VAE is misunderstood."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from vae_edu.build.answers import register

REGISTER = register()
mutant = REGISTER.mutant


class RightEncoder(nn.Module):
    """What the wrong encoders have in common."""

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.first = nn.Linear(input_dim, hidden_dim)
        self.to_mu = nn.Linear(hidden_dim, latent_dim)
        self.to_log_var = nn.Linear(hidden_dim, latent_dim)

    def hidden(self, x: Tensor) -> Tensor:
        return torch.relu(self.first(x))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.hidden(x)
        return self.to_mu(h), self.to_log_var(h)


class RightDecoder(nn.Module):
    """What the wrong decoders have in common."""

    def __init__(self, latent_dim: int, hidden_dim: int, input_dim: int) -> None:
        super().__init__()
        self.first = nn.Linear(latent_dim, hidden_dim)
        self.last = nn.Linear(hidden_dim, input_dim)

    def forward(self, z: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(z)))


class RightVAE(nn.Module):
    """What the wrong VAEs have in common."""

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.encoder = RightEncoder(input_dim, hidden_dim, latent_dim)
        self.decoder = RightDecoder(latent_dim, hidden_dim, input_dim)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.encoder(x)

    def draw(self, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
        sigma = log_var.div(2).exp()
        return mu + sigma * eps

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)

    def forward(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mu, log_var = self.encode(x)
        z = self.draw(mu, log_var, eps)
        return self.decode(z), mu, log_var, z

    def sample(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.decode(z))


# --- Encoder --------------------------------------------------------------------------


@mutant(
    "Encoder",
    "One head for mu and log_var",
    "Where the code lies and how sure of it one is are two questions. Here they have one answer: "
    "an image with a large mu is always an uncertain one.",
    "one-head",
)
class OneHeadForBoth(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        del self.to_log_var

    def forward(self, x):
        mu = self.to_mu(self.hidden(x))
        return mu, mu


@mutant(
    "Encoder",
    "log_var is minus mu",
    "One head is still all there is: the second number can be computed from the first.",
    "one-head",
)
class LogVarIsMinusMu(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        del self.to_log_var

    def forward(self, x):
        mu = self.to_mu(self.hidden(x))
        return mu, -mu


@mutant(
    "Encoder",
    "One log-variance for all latents",
    "A latent that matters is known exactly, one that does not is left to the prior. With a "
    "single number for all of them neither can happen.",
    "one-log-var",
)
class OneLogVarianceForAllLatents(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.to_log_var = nn.Linear(hidden_dim, 1)

    def forward(self, x):
        h = self.hidden(x)
        mu = self.to_mu(h)
        return mu, self.to_log_var(h).expand_as(mu)


@mutant(
    "Encoder",
    "The log-variance is a parameter without x",
    "Some images are ambiguous and others are not. Who tells the decoder which is which, if the "
    "spread is the same for all?",
    "log-var-without-x",
)
class TheLogVarianceIsAParameter(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        del self.to_log_var
        self.spread = nn.Parameter(torch.randn(latent_dim))

    def forward(self, x):
        mu = self.to_mu(self.hidden(x))
        return mu, self.spread.expand_as(mu)


@mutant(
    "Encoder",
    "The log-variance is a free parameter that starts at zero",
    "It can learn one spread for the whole data set. Which of two images does it say more about?",
    "log-var-without-x",
)
class TheLogVarianceIsAFreeZero(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        del self.to_log_var
        self.spread = nn.Parameter(torch.zeros(latent_dim))

    def forward(self, x):
        mu = self.to_mu(self.hidden(x))
        return mu, self.spread.expand_as(mu)


@mutant(
    "Encoder",
    "The weights of the log-variance's head start at zero",
    "A calm start, but the contract asks for a log_var that depends on x from the first step on. A "
    "smaller random start is calm too.",
    "head-starts-at-zero",
)
class TheHeadStartsAtZero(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        nn.init.zeros_(self.to_log_var.weight)


@mutant(
    "Encoder",
    "A spread is returned, not its logarithm",
    "The second output is the logarithm of the variance: whoever takes its exponential next would "
    "do so twice.",
    "exponential",
)
class TheStandardDeviationIsReturned(RightEncoder):
    def forward(self, x):
        mu, log_var = super().forward(x)
        return mu, (0.5 * log_var).exp()


@mutant(
    "Encoder",
    "A softplus keeps log_var positive",
    "A variance is positive. Its logarithm is negative for every spread below 1, and most latents "
    "that carry information are there.",
    "softplus",
)
class ASoftplusKeepsLogVarPositive(RightEncoder):
    def forward(self, x):
        mu, log_var = super().forward(x)
        return mu, F.softplus(log_var)


@mutant(
    "Encoder",
    "A ReLU on log_var",
    "A spread below 1 has a negative log_var. Here it is cut off, together with its gradient.",
    "relu-last",
)
class AReLUOnLogVar(RightEncoder):
    def forward(self, x):
        mu, log_var = super().forward(x)
        return mu, torch.relu(log_var)


@mutant(
    "Encoder",
    "A ReLU behind both heads",
    "Neither a mean nor a log-variance has a sign that is forbidden. Which layers need a "
    "nonlinearity after them, and which are read as they are?",
    "relu-last",
)
class AReLUBehindBothHeads(RightEncoder):
    def forward(self, x):
        mu, log_var = super().forward(x)
        return torch.relu(mu), torch.relu(log_var)


@mutant(
    "Encoder",
    "The log-variance is computed from x, past the hidden layer",
    "The sizes meet, and the second question gets no hidden layer: a linear map of the pixels "
    "answers it.",
    "past-the-hidden-layer",
)
class TheLogVarianceIsComputedFromX(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.to_log_var = nn.Linear(input_dim, latent_dim)

    def forward(self, x):
        return self.to_mu(self.hidden(x)), self.to_log_var(x)


@mutant(
    "Encoder",
    "A ReLU on mu",
    "The prior lies on both sides of 0, and with a ReLU half of the space is never used. Which "
    "layers need a nonlinearity behind them?",
    "relu-last",
)
class AReLUOnMu(RightEncoder):
    def forward(self, x):
        mu, log_var = super().forward(x)
        return torch.relu(mu), log_var


@mutant(
    "Encoder",
    "A tanh on mu",
    "The codes are locked into a cube. What keeps them near 0 is the KL, and it says at what price "
    "they may leave.",
    "tanh-last",
)
class ATanhOnMu(RightEncoder):
    def forward(self, x):
        mu, log_var = super().forward(x)
        return torch.tanh(mu), log_var


@mutant(
    "Encoder",
    "log_var is clamped for safety",
    "Beyond the clamp the gradient is zero, so what got there stays there. The KL pulls "
    "it back without help.",
    "clamped",
)
class LogVarIsClamped(RightEncoder):
    def forward(self, x):
        mu, log_var = super().forward(x)
        return mu, log_var.clamp(-20, 20)


@mutant(
    "Encoder",
    "One tensor with both halves",
    "Both halves are there. The caller unpacks two things: mu, log_var = encoder(x).",
    "joined",
)
class OneTensorWithBothHalves(RightEncoder):
    def forward(self, x):
        return torch.cat(super().forward(x), -1)


@mutant(
    "Encoder",
    "A sample is returned as well",
    "The encoder says what q is. Drawing from it is the next step and needs noise, which comes "
    "from outside.",
    "part-too-many",
)
class ASampleIsReturnedAsWell(RightEncoder):
    def forward(self, x):
        mu, log_var = super().forward(x)
        return mu + (log_var / 2).exp() * torch.randn_like(mu), mu, log_var


@mutant(
    "Encoder",
    "A sample takes the place of mu",
    "Two calls with the same image differ. The mean is asked for; the noise has a place of its own.",
    "noise-inside",
)
class ASampleTakesThePlaceOfMu(RightEncoder):
    def forward(self, x):
        mu, log_var = super().forward(x)
        return mu + (0.5 * log_var).exp() * torch.randn_like(mu), log_var


@mutant(
    "Encoder",
    "A single latent loses its dimension",
    "mu is (batch, latent), also where latent is 1. squeeze removes what happens to be 1.",
    "squeezed",
)
class ASingleLatentLosesItsDimension(RightEncoder):
    def forward(self, x):
        mu, log_var = super().forward(x)
        return mu.squeeze(-1), log_var.squeeze(-1)


@mutant(
    "Encoder",
    "hidden_dim and latent_dim change places",
    "Print the shape of mu for three different sizes: which of the arguments sets it?",
    "sizes-exchanged",
)
class HiddenDimAndLatentDimChangePlaces(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, latent_dim, hidden_dim)


@mutant(
    "Encoder",
    "Two sizes do not meet",
    "Where the error shows two shapes: the last number of the first and the first of the second must "
    "agree. Write beside each layer what comes in and what goes out, in the names of the three "
    "arguments. (784, say, is right for one data set only.)",
    "sizes-do-not-meet",
    "size-written",
)
class TheSizeOfMNIST(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(784, hidden_dim, latent_dim)


@mutant(
    "Encoder",
    "The constructor's parameters have other names",
    "Later lessons build this with keywords. Keep the names of the signature.",
    "names",
)
class TheConstructorsParametersHaveOtherNames(RightEncoder):
    def __init__(self, in_features, hidden, code):
        super().__init__(in_features, hidden, code)


@mutant(
    "Encoder",
    "The parameter of forward has another name",
    "Later lessons call encoder(x=...). Keep the names of the signature.",
    "names",
)
class TheParameterOfForwardHasAnotherName(RightEncoder):
    def forward(self, images):
        return super().forward(images)


@mutant(
    "Encoder",
    "The batch's mean is subtracted",
    "What an image is encoded as depends on its neighbours in the batch. Alone it would be 0.",
    "rows-mixed",
)
class TheBatchsMeanIsSubtracted(RightEncoder):
    def forward(self, x):
        return super().forward(x - x.mean(0))


@mutant(
    "Encoder",
    "Dropout in the encoder",
    "In training mode two calls with the same images differ. The one source of chance in a VAE is "
    "the noise that z is drawn with.",
    "dropout",
)
class DropoutInTheEncoder(RightEncoder):
    def hidden(self, x):
        return F.dropout(super().hidden(x), 0.2, self.training)


@mutant(
    "Encoder",
    "Batch normalisation in the encoder",
    "In training mode q(z|x) of one image depends on the others in its batch, and the ELBO is no "
    "longer a sum over images.",
    "batch-norm",
)
class BatchNormalisationInTheEncoder(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.norm = nn.BatchNorm1d(hidden_dim)

    def hidden(self, x):
        return torch.relu(self.norm(self.first(x)))


@mutant(
    "Encoder",
    "The first batch's mean is remembered",
    "The result depends on what was seen first. Whatever a model keeps belongs into its state, put "
    "there by training.",
    "remembers",
)
class TheFirstBatchsMeanIsRemembered(RightEncoder):
    centre = None

    def forward(self, x):
        if self.centre is None:
            self.centre = x.mean(0).detach()
        return super().forward(x - self.centre)


@mutant(
    "Encoder",
    "The images are centred in place",
    "The caller's images have other values after the call. Methods that end in _ write in place.",
    "in-place",
)
class TheImagesAreCentredInPlace(RightEncoder):
    def forward(self, x):
        with torch.no_grad():
            x.sub_(0.5)
        return super().forward(x)


@mutant(
    "Encoder",
    "The log-variance's head sees a detached hidden layer",
    "The head learns, and what it would like the hidden layer to tell it is never heard.",
    "gradient-cut",
)
class TheHeadSeesADetachedHiddenLayer(RightEncoder):
    def forward(self, x):
        h = self.hidden(x)
        return self.to_mu(h), self.to_log_var(h.detach())


@mutant(
    "Encoder",
    "A bias is used in both heads, in one of them detached",
    "A parameter that is used twice gets its gradient from both places. Here one is cut off.",
    "gradient-cut",
)
class ABiasIsUsedInBothHeads(RightEncoder):
    def forward(self, x):
        mu, log_var = super().forward(x)
        return mu, log_var + self.to_mu.bias.detach()


@mutant(
    "Encoder",
    "The images are detached on entry",
    "Whoever asks how the code changes with the image gets no answer. The parameters would learn "
    "without that detach too.",
    "input-detached",
)
class TheImagesAreDetachedOnEntry(RightEncoder):
    def forward(self, x):
        return super().forward(x.detach())


@mutant(
    "Encoder",
    "The log-variance is computed under no_grad",
    "What is computed under no_grad has no path back: the spread stays as it was initialised.",
    "gradient-missing",
    "gradient-cut",
)
class TheLogVarianceIsComputedUnderNoGrad(RightEncoder):
    def forward(self, x):
        h = self.hidden(x)
        with torch.no_grad():
            log_var = self.to_log_var(h)
        return self.to_mu(h), log_var


@mutant(
    "Encoder",
    "A layer is made and never used",
    "Read __init__ and forward side by side: which layer is never called?",
    "unused-layer",
)
class ALayerIsMadeAndNeverUsed(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.to_z = nn.Linear(latent_dim, latent_dim)


@mutant(
    "Encoder",
    "No nonlinearity in the encoder",
    "Two matrices in a row are one matrix, so the hidden layer adds nothing.",
    "no-nonlinearity",
)
class NoNonlinearityInTheEncoder(RightEncoder):
    def hidden(self, x):
        return self.first(x)


@mutant(
    "Encoder",
    "Only the log-variance goes through the hidden layer",
    "mu is a linear map of the pixels here, which is what PCA has too.",
    "past-the-hidden-layer",
)
class OnlyTheLogVarianceGoesThroughTheHiddenLayer(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.to_mu = nn.Linear(input_dim, latent_dim)

    def forward(self, x):
        return self.to_mu(x), self.to_log_var(self.hidden(x))


@mutant(
    "Encoder",
    "The width of the hidden layer is written into the code",
    "hidden_dim is an argument, and nothing uses it.",
    "width-written",
)
class TheWidthIsWrittenIntoTheCode(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, 400, latent_dim)


@mutant(
    "Encoder",
    "The heads are in a plain list",
    "A Module finds its layers among its attributes and in nn.ModuleList, but not inside a "
    "Python list: they are neither trained nor saved.",
    "not-registered",
)
class TheHeadsAreInAPlainList(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        del self.to_mu, self.to_log_var
        self.heads = [nn.Linear(hidden_dim, latent_dim) for _ in range(2)]

    def forward(self, x):
        h = self.hidden(x)
        return self.heads[0](h), self.heads[1](h)


@mutant(
    "Encoder",
    "A plain tensor in place of a parameter",
    "A tensor becomes a parameter by nn.Parameter. As a plain attribute it is neither saved nor "
    "trained.",
    "not-registered",
)
class APlainTensorInPlaceOfAParameter(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.shift = torch.randn(latent_dim)

    def forward(self, x):
        mu, log_var = super().forward(x)
        return mu, log_var + self.shift.to(log_var)


@mutant(
    "Encoder",
    "A head is made in forward",
    "A layer that is made in forward has new random weights at each call, and no optimiser knows it.",
    "noise-inside",
)
class AHeadIsMadeInForward(RightEncoder):
    def forward(self, x):
        h = self.hidden(x)
        mu = self.to_mu(h)
        head = nn.Linear(h.shape[-1], mu.shape[-1]).to(h)
        return mu, head(h)


@mutant(
    "Encoder",
    "The weights start as constants",
    "Hidden units that start equal get equal gradients and stay equal for ever.",
    "constant-weights",
)
class TheWeightsStartAsConstants(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.1)


@mutant(
    "Encoder",
    "A seed is set inside",
    "The caller sets the seed. With one inside, every instance starts from the same weights, and "
    "everyone else's random numbers start over too.",
    "seed-inside",
)
class ASeedIsSetInside(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        torch.manual_seed(0)
        super().__init__(input_dim, hidden_dim, latent_dim)


@mutant(
    "Encoder",
    "float32 is written into forward",
    "In a float64 module the digits after the seventh are lost on the way.",
    "float32-inside",
)
class Float32IsWrittenIntoForward(RightEncoder):
    def forward(self, x):
        mu, log_var = super().forward(x)
        return mu, log_var.float().to(mu.dtype)


@mutant(
    "Encoder",
    "float64 comes out of a float32 module",
    "The result has another dtype than module and inputs. The decoder would stop with an error.",
    "float64-outside",
)
class Float64ComesOutOfAFloat32Module(RightEncoder):
    def forward(self, x):
        mu, log_var = super().forward(x)
        return mu.double(), log_var.double()


@mutant(
    "Encoder",
    "A tensor is made on the CPU, wherever the inputs are",
    "This works on your laptop and stops on a GPU. Make new tensors where the inputs are, or "
    "register them.",
    "cpu-tensor",
)
class ATensorIsMadeOnTheCPU(RightEncoder):
    def forward(self, x):
        mu, log_var = super().forward(x)
        return mu + torch.zeros(mu.shape, dtype=mu.dtype), log_var


@mutant(
    "Encoder",
    "super().__init__() is forgotten",
    "An nn.Module must be set up before a layer can be assigned to it.",
    "super-init",
)
class SuperInitIsForgotten(RightEncoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        self.first = nn.Linear(input_dim, hidden_dim)


# --- Decoder --------------------------------------------------------------------------


@mutant(
    "Decoder",
    "Probabilities come out, not logits",
    "The loss of lesson 06 takes logits. A sigmoid here and another one there flatten every image "
    "to grey.",
    "probabilities",
)
class ProbabilitiesComeOut(RightDecoder):
    def forward(self, z):
        return torch.sigmoid(super().forward(z))


@mutant(
    "Decoder",
    "A ReLU after the last layer",
    "No pixel can be white then: a probability below one half has a negative logit.",
    "relu-last",
)
class AReLUAfterTheLastLayer(RightDecoder):
    def forward(self, z):
        return torch.relu(super().forward(z))


@mutant(
    "Decoder",
    "A tanh after the last layer",
    "A logit between -1 and 1 is a probability between 0.27 and 0.73. Images are blacker and whiter.",
    "tanh-last",
)
class ATanhAfterTheLastLayer(RightDecoder):
    def forward(self, z):
        return torch.tanh(super().forward(z))


@mutant(
    "Decoder",
    "The logits are clamped for safety",
    "The likelihood of lesson 06 is finite for every logit. Behind a clamp the gradient is zero "
    "where it is needed most.",
    "clamped",
)
class TheLogitsAreClamped(RightDecoder):
    def forward(self, z):
        return super().forward(z).clamp(-15, 15)


@mutant(
    "Decoder",
    "A log-softmax over the pixels",
    "It makes one pixel out of all of them the winner. Here each pixel is a coin of its own.",
    "log-softmax",
)
class ALogSoftmaxOverThePixels(RightDecoder):
    def forward(self, z):
        return torch.log_softmax(super().forward(z), -1)


@mutant(
    "Decoder",
    "Binary pixels come out",
    "The decoder describes the coins; nobody has flipped them yet. A step has no gradient either.",
    "hard-values",
)
class BinaryPixelsComeOut(RightDecoder):
    def forward(self, z):
        logits = super().forward(z)
        return (logits > 0).to(logits.dtype)


@mutant(
    "Decoder",
    "The sizes in the encoder's order",
    "Read the signature: the decoder starts where the encoder ends.",
    "sizes-exchanged",
)
class TheSizesInTheEncodersOrder(RightDecoder):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(latent_dim, hidden_dim, input_dim)


@mutant(
    "Decoder",
    "What comes before the latents is flattened",
    "A code may come with other dimensions in front than the batch alone. Does nn.Linear need "
    "any help with them?",
    "sizes-do-not-meet",
)
class WhatComesBeforeTheLatentsIsFlattened(RightDecoder):
    def forward(self, z):
        return super().forward(z.view(z.shape[0], -1))


@mutant(
    "Decoder",
    "A batch of one loses its dimension",
    "A batch of one image is (1, input). squeeze removes what happens to be 1.",
    "squeezed",
)
class ABatchOfOneLosesItsDimension(RightDecoder):
    def forward(self, z):
        return super().forward(z).squeeze(0)


@mutant(
    "Decoder",
    "A single latent is squeezed away before the first layer",
    "z is (batch, latent), also where latent is 1. squeeze removes what happens to be 1.",
    "squeezed",
)
class ASingleLatentIsSqueezedAwayFirst(RightDecoder):
    def forward(self, z):
        return super().forward(z.squeeze(-1))


@mutant(
    "Decoder",
    "Images come out, with height and width",
    "Images are flat in this course: (batch, input). The picture's shape is a matter of drawing.",
    "image-shaped",
    "kept-dimension",
)
class ImagesComeOut(RightDecoder):
    def forward(self, z):
        return super().forward(z).unsqueeze(1)


@mutant(
    "Decoder",
    "The size of the image is written into the last layer",
    "784 is right for one data set. The sizes are arguments.",
    "size-written",
)
class TheSizeOfTheImageIsWrittenIn(RightDecoder):
    def __init__(self, latent_dim, hidden_dim, input_dim):
        super().__init__(latent_dim, hidden_dim, 784)


@mutant(
    "Decoder",
    "The decoder's forward calls its argument something else",
    "Later lessons call decoder(z=...). Keep the names of the signature.",
    "names",
)
class TheParameterOfForwardIsNotZ(RightDecoder):
    def forward(self, code):
        return super().forward(code)


@mutant(
    "Decoder",
    "The codes are standardised over the batch",
    "The image for a code depends on the codes beside it. A code alone would become 0.",
    "rows-mixed",
)
class TheCodesAreStandardisedOverTheBatch(RightDecoder):
    def forward(self, z):
        return super().forward((z - z.mean(0)) / (1 + z.var(0, correction=0)).sqrt())


@mutant(
    "Decoder",
    "Dropout in the decoder",
    "In training mode one code gives many images. All the chance is in z and in the coins.",
    "dropout",
)
class DropoutInTheDecoder(RightDecoder):
    def forward(self, z):
        h = F.dropout(torch.relu(self.first(z)), 0.2, self.training)
        return self.last(h)


@mutant(
    "Decoder",
    "Batch normalisation in the decoder",
    "In training mode the image for a code depends on the other codes of its batch.",
    "batch-norm",
)
class BatchNormalisationInTheDecoder(RightDecoder):
    def __init__(self, latent_dim, hidden_dim, input_dim):
        super().__init__(latent_dim, hidden_dim, input_dim)
        self.norm = nn.BatchNorm1d(hidden_dim)

    def forward(self, z):
        return self.last(torch.relu(self.norm(self.first(z))))


@mutant(
    "Decoder",
    "Noise is added to the code",
    "The code arrives with its noise already in it: eps was added when z was made.",
    "noise-inside",
)
class NoiseIsAddedToTheCode(RightDecoder):
    def forward(self, z):
        return super().forward(z + 0.1 * torch.randn_like(z))


@mutant(
    "Decoder",
    "The mean of the first codes is remembered",
    "The result depends on what was decoded first. A forward pass leaves no trace.",
    "remembers",
)
class TheFirstCodesAreRemembered(RightDecoder):
    centre = None

    def forward(self, z):
        if self.centre is None:
            self.centre = z.mean(0).detach()
        return super().forward(z - self.centre)


@mutant(
    "Decoder",
    "The code is changed in place",
    "The caller's z has other values after the call, and the KL of a sample may still need it.",
    "in-place",
)
class TheCodeIsChangedInPlace(RightDecoder):
    def forward(self, z):
        z *= 2
        return super().forward(z)


@mutant(
    "Decoder",
    "A bias is used twice, the second time detached",
    "A parameter that is used twice gets its gradient from both places. Here one is cut off.",
    "gradient-cut",
)
class ABiasIsUsedTwice(RightDecoder):
    def forward(self, z):
        return super().forward(z) + self.last.bias.detach()


@mutant(
    "Decoder",
    "The code is detached on entry",
    "The decoder learns, and no gradient reaches z: the encoder never hears what its codes are "
    "worth.",
    "input-detached",
)
class TheCodeIsDetachedOnEntry(RightDecoder):
    def forward(self, z):
        return super().forward(z.detach())


@mutant(
    "Decoder",
    "A decoder's layer is made and never used",
    "Read __init__ and forward side by side: which layer is never called?",
    "unused-layer",
)
class ADecodersLayerIsNeverUsed(RightDecoder):
    def __init__(self, latent_dim, hidden_dim, input_dim):
        super().__init__(latent_dim, hidden_dim, input_dim)
        self.log_var = nn.Linear(hidden_dim, input_dim)


@mutant(
    "Decoder",
    "No nonlinearity in the decoder",
    "Two matrices in a row are one matrix. The images would lie on a plane, as those of PCA do.",
    "no-nonlinearity",
)
class NoNonlinearityInTheDecoder(RightDecoder):
    def forward(self, z):
        return self.last(self.first(z))


@mutant(
    "Decoder",
    "The decoder's width is written into the code",
    "hidden_dim is an argument, and nothing uses it.",
    "width-written",
)
class TheDecodersWidthIsWrittenIn(RightDecoder):
    def __init__(self, latent_dim, hidden_dim, input_dim):
        super().__init__(latent_dim, 64, input_dim)


@mutant(
    "Decoder",
    "The decoder's layers are in a plain list",
    "A Module finds its layers among its attributes and in nn.ModuleList, but not inside a "
    "Python list: they are neither trained nor saved.",
    "not-registered",
)
class TheDecodersLayersAreInAPlainList(RightDecoder):
    def __init__(self, latent_dim, hidden_dim, input_dim):
        super().__init__(latent_dim, hidden_dim, input_dim)
        self.layers = [self.first, self.last]
        del self.first, self.last

    def forward(self, z):
        return self.layers[1](torch.relu(self.layers[0](z)))


@mutant(
    "Decoder",
    "The mean image is a plain tensor",
    "As a plain attribute it is neither saved nor trained. nn.Parameter or register_buffer keep it "
    "in the state.",
    "not-registered",
)
class TheMeanImageIsAPlainTensor(RightDecoder):
    def __init__(self, latent_dim, hidden_dim, input_dim):
        super().__init__(latent_dim, hidden_dim, input_dim)
        self.mean = torch.rand(input_dim)

    def forward(self, z):
        logits = super().forward(z)
        return logits + self.mean.to(logits)


@mutant(
    "Decoder",
    "The decoder's weights start as constants",
    "Hidden units that start equal get equal gradients and stay equal for ever.",
    "constant-weights",
)
class TheDecodersWeightsStartAsConstants(RightDecoder):
    def __init__(self, latent_dim, hidden_dim, input_dim):
        super().__init__(latent_dim, hidden_dim, input_dim)
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.01)


@mutant(
    "Decoder",
    "float32 is written into the decoder",
    "In a float64 module the digits after the seventh are lost on the way.",
    "float32-inside",
)
class Float32IsWrittenIntoTheDecoder(RightDecoder):
    def forward(self, z):
        return super().forward(z.float().to(z.dtype))


@mutant(
    "Decoder",
    "float64 logits come out of a float32 decoder",
    "The result has another dtype than module and input: it should follow them.",
    "float64-outside",
)
class Float64LogitsComeOut(RightDecoder):
    def forward(self, z):
        return super().forward(z).double()


@mutant(
    "Decoder",
    "A tensor of the decoder is made on the CPU",
    "This works on your laptop and stops on a GPU. Make new tensors where the inputs are, or "
    "register them.",
    "cpu-tensor",
)
class ATensorOfTheDecoderIsMadeOnTheCPU(RightDecoder):
    def forward(self, z):
        logits = super().forward(z)
        return torch.maximum(logits, torch.full(logits.shape, -1e9, dtype=logits.dtype))


@mutant(
    "Decoder",
    "The image does not depend on the code",
    "Decode two different codes. What has the decoder learnt about z?",
    "ignores-input",
)
class TheImageDoesNotDependOnTheCode(RightDecoder):
    def __init__(self, latent_dim, hidden_dim, input_dim):
        super().__init__(latent_dim, hidden_dim, input_dim)
        self.image = nn.Parameter(torch.randn(1, input_dim))

    def forward(self, z):
        return self.image.expand(len(z), -1)


# --- VAE ------------------------------------------------------------------------------


@mutant(
    "VAE",
    "The variance where the standard deviation belongs",
    "eps counts standard deviations. Which power of exp(log_var) is one?",
    "variance-for-std",
)
class TheVarianceWhereTheStandardDeviationBelongs(RightVAE):
    def draw(self, mu, log_var, eps):
        return mu + log_var.exp() * eps


@mutant(
    "VAE",
    "log_var is taken for the standard deviation",
    "A spread can be multiplied with the noise, a logarithm cannot: it may be negative.",
    "log-var-as-std",
)
class LogVarIsTakenForTheStandardDeviation(RightVAE):
    def draw(self, mu, log_var, eps):
        return mu + log_var * eps


@mutant(
    "VAE",
    "The noise is forgotten",
    "With z = mu this is the autoencoder of lesson 01 with a penalty: the decoder never sees the "
    "spread that the KL is paid for.",
    "noise-forgotten",
)
class TheNoiseIsForgotten(RightVAE):
    def draw(self, mu, log_var, eps):
        return mu.expand_as(eps)


@mutant(
    "VAE",
    "The decoder reads mu, and z is only returned",
    "What eps does never reaches the picture. Which of the encoder's words does the KL charge for, "
    "and does the decoder hear them with their noise?",
    "decoder-reads-mu",
)
class TheDecoderReadsMu(RightVAE):
    def forward(self, x, eps):
        _, mu, log_var, z = super().forward(x, eps)
        return self.decode(mu), mu, log_var, z


@mutant(
    "VAE",
    "z is mu, and no noise is added",
    "The noise stops before the decoder. How many images should come out for four samples of eps?",
    "noise-forgotten",
)
class ZIsMu(RightVAE):
    def draw(self, mu, log_var, eps):
        return mu


@mutant(
    "VAE",
    "mu and log_var change places on their way to z",
    "What comes back is in order; what reparameterize is given is not. Which of its arguments does "
    "it exponentiate?",
    "mu-log-var-exchanged",
)
class MuAndLogVarChangePlacesOnTheirWayToZ(RightVAE):
    def draw(self, mu, log_var, eps):
        return super().draw(log_var, mu, eps)


@mutant(
    "VAE",
    "The noise is drawn inside, and eps ignored",
    "Two calls with the same arguments should agree. Noise is always an argument in this course.",
    "noise-inside",
)
class TheNoiseIsDrawnInside(RightVAE):
    def draw(self, mu, log_var, eps):
        return super().draw(mu, log_var, torch.randn_like(eps))


@mutant(
    "VAE",
    "Noise in training mode only",
    "An evaluation asks for the bound too, with the noise that it was given.",
    "noise-in-training-only",
)
class NoiseInTrainingModeOnly(RightVAE):
    def draw(self, mu, log_var, eps):
        return super().draw(mu, log_var, eps if self.training else 0 * eps)


@mutant(
    "VAE",
    "The noise is cut off at two standard deviations",
    "One draw in twenty lies further out. Without them q is not the Gaussian that the KL is "
    "charged for.",
    "noise-cut",
)
class TheNoiseIsCutOff(RightVAE):
    def draw(self, mu, log_var, eps):
        return super().draw(mu, log_var, eps.clamp(-2, 2))


@mutant(
    "VAE",
    "A small number is added to the standard deviation",
    "exp is never zero, so nothing needs protection. The decoder sees another q than the KL does.",
    "small-added-to-std",
)
class ASmallNumberIsAdded(RightVAE):
    def draw(self, mu, log_var, eps):
        return mu + ((0.5 * log_var).exp() + 1e-6) * eps


@mutant(
    "VAE",
    "log_var is clamped on its way to z, but not in what is returned",
    "The KL is charged for one q, and the decoder sees samples of another one.",
    "spread-clamped",
)
class LogVarIsClampedOnItsWayToZ(RightVAE):
    def draw(self, mu, log_var, eps):
        return super().draw(mu, log_var.clamp(-10, 10), eps)


@mutant(
    "VAE",
    "mu and log_var change places in what is returned",
    "Read the order in the docstring of forward. The KL is not symmetric in the two.",
    "mu-log-var-exchanged",
)
class MuAndLogVarChangePlaces(RightVAE):
    def forward(self, x, eps):
        logits, mu, log_var, z = super().forward(x, eps)
        return logits, log_var, mu, z


@mutant(
    "VAE",
    "z comes first",
    "Read the order in the docstring of forward: the loss takes its first part for the logits.",
    "order",
)
class ZComesFirst(RightVAE):
    def forward(self, x, eps):
        logits, mu, log_var, z = super().forward(x, eps)
        return z, mu, log_var, logits


@mutant(
    "VAE",
    "z comes second",
    "All four are there. Read their order in the docstring of forward: whoever unpacks them takes "
    "the second for mu.",
    "order",
)
class ZComesSecond(RightVAE):
    def forward(self, x, eps):
        logits, mu, log_var, z = super().forward(x, eps)
        return logits, z, mu, log_var


@mutant(
    "VAE",
    "z is not returned",
    "Lesson 09 weighs each sample and needs to know which one it was.",
    "part-missing",
)
class ZIsNotReturned(RightVAE):
    def forward(self, x, eps):
        return super().forward(x, eps)[:3]


@mutant(
    "VAE",
    "The standard deviation is returned, not the log-variance",
    "Whoever computes the KL from it would take an exponential of a number that is one already.",
    "std-returned",
)
class TheSigmaIsReturned(RightVAE):
    def forward(self, x, eps):
        logits, mu, log_var, z = super().forward(x, eps)
        return logits, mu, (0.5 * log_var).exp(), z


@mutant(
    "VAE",
    "mu and log_var are repeated for each sample",
    "There is one q(z|x) for each image, however many samples are drawn: (batch, latent).",
    "repeated-for-samples",
)
class MuAndLogVarAreRepeated(RightVAE):
    def forward(self, x, eps):
        logits, mu, log_var, z = super().forward(x, eps)
        return logits, mu.expand_as(z), log_var.expand_as(z), z


@mutant(
    "VAE",
    "The samples are averaged before they are decoded",
    "The decoder sees the mean of many samples, whose spread is far too small. Each sample has an "
    "image of its own.",
    "one-image-for-all-samples",
)
class TheSamplesAreAveraged(RightVAE):
    def forward(self, x, eps):
        logits, mu, log_var, z = super().forward(x, eps)
        if z.dim() == 3:
            logits = self.decode(z.mean(0)).expand(len(z), -1, -1)
        return logits, mu, log_var, z


@mutant(
    "VAE",
    "Samples and batch change places",
    "Samples come first: z[s] is one sample for every image of the batch.",
    "exchanged-dimensions",
)
class SamplesAndBatchChangePlaces(RightVAE):
    def forward(self, x, eps):
        logits, mu, log_var, z = super().forward(x, eps)
        if z.dim() == 3:
            logits = logits.transpose(0, 1).reshape(logits.shape)
        return logits, mu, log_var, z


@mutant(
    "VAE",
    "Only the first sample is decoded",
    "Logits are asked for each sample: (num_samples, batch, input).",
    "one-image-for-all-samples",
)
class OnlyTheFirstSampleIsDecoded(RightVAE):
    def forward(self, x, eps):
        mu, log_var = self.encode(x)
        z = self.draw(mu, log_var, eps)
        return self.decode(z[0] if z.dim() == 3 else z), mu, log_var, z


@mutant(
    "VAE",
    "A single latent is squeezed away",
    "z is (batch, latent), also where latent is 1. squeeze removes what happens to be 1.",
    "squeezed",
)
class ASingleLatentIsSqueezedAway(RightVAE):
    def forward(self, x, eps):
        logits, mu, log_var, z = super().forward(x, eps)
        return logits, mu.squeeze(-1), log_var.squeeze(-1), z.squeeze(-1)


@mutant(
    "VAE",
    "Probabilities are returned by forward",
    "forward promises logits: the loss of lesson 06 applies the sigmoid itself.",
    "probabilities",
)
class TheDecoderReturnsProbabilities(RightVAE):
    def forward(self, x, eps):
        logits, mu, log_var, z = super().forward(x, eps)
        return torch.sigmoid(logits), mu, log_var, z


@mutant(
    "VAE",
    "The logits are clamped inside the model",
    "Behind a clamp the gradient is zero where it is needed most, and the likelihood needs no help.",
    "clamped",
)
class TheLogitsAreClampedInside(RightVAE):
    def decode(self, z):
        return super().decode(z).clamp(-20, 20)


@mutant(
    "VAE",
    "The log-variance is clamped inside the model",
    "Beyond the clamp the gradient is zero, so what got there stays there.",
    "clamped",
)
class TheLogVarianceIsClampedInside(RightVAE):
    def encode(self, x):
        mu, log_var = super().encode(x)
        return mu, log_var.clamp(-8, 8)


@mutant(
    "VAE",
    "sample returns logits",
    "The name of what is asked for is probability: a number between 0 and 1.",
    "sample-logits",
)
class SampleReturnsLogits(RightVAE):
    def sample(self, z):
        return self.decode(z)


@mutant(
    "VAE",
    "sample applies the sigmoid twice",
    "Every pixel lies between 0.5 and 0.73 then. How many sigmoids turn a logit into a probability?",
    "sigmoid-twice",
)
class SampleAppliesTheSigmoidTwice(RightVAE):
    def sample(self, z):
        return torch.sigmoid(super().sample(z))


@mutant(
    "VAE",
    "sample returns hard pixels",
    "A probability is asked for, with a gradient. Whoever wants 0 or 1 flips the coins afterwards.",
    "sample-rounds",
)
class SampleReturnsHardPixels(RightVAE):
    def sample(self, z):
        chance = super().sample(z)
        return (chance > 0.5).to(chance.dtype)


@mutant(
    "VAE",
    "sample flips the coins",
    "Two calls with the same code should agree. The probability is asked for, not a draw.",
    "sample-draws",
)
class SampleFlipsTheCoins(RightVAE):
    def sample(self, z):
        return torch.bernoulli(super().sample(z))


@mutant(
    "VAE",
    "sample adds noise to the code",
    "z is the code already, drawn by whoever calls. Noise on top makes it another one.",
    "sample-noise",
)
class SampleAddsNoiseToTheCode(RightVAE):
    def sample(self, z):
        return super().sample(z + torch.randn_like(z))


@mutant(
    "VAE",
    "sample has no gradient",
    "Lesson 11 asks how an image changes with its code. What is computed under no_grad cannot say.",
    "sample-no-gradient",
)
class SampleHasNoGradient(RightVAE):
    @torch.no_grad()
    def sample(self, z):
        return super().sample(z)


@mutant(
    "VAE",
    "sample squashes the code first",
    "forward and sample must give the same image for the same code.",
    "sample-other-code",
)
class SampleSquashesTheCode(RightVAE):
    def sample(self, z):
        return super().sample(torch.tanh(z))


@mutant(
    "VAE",
    "The sigmoid is written out, and overflows",
    "exp(1000) is infinite, and infinity over infinity is not a number. Which way of writing the "
    "sigmoid never exponentiates a large number?",
    "sigmoid-overflows",
)
class TheSigmoidIsWrittenOut(RightVAE):
    def sample(self, z):
        odds = self.decode(z).exp()
        return odds / (1 + odds)


@mutant(
    "VAE",
    "sample has a decoder of its own",
    "One p(x|z), one decoder: what forward learns must be what sample shows.",
    "sample-other-decoder",
)
class SampleHasADecoderOfItsOwn(RightVAE):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.painter = RightDecoder(latent_dim, hidden_dim, input_dim)

    def sample(self, z):
        return torch.sigmoid(self.painter(z))


@mutant(
    "VAE",
    "The decoder also gets the image",
    "p(x|z) may look at z only. With x at hand it needs no code, and nobody can sample from it.",
    "decoder-sees-x",
)
class TheDecoderAlsoGetsTheImage(RightVAE):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.skip = nn.Linear(input_dim, input_dim)

    def forward(self, x, eps):
        logits, mu, log_var, z = super().forward(x, eps)
        return logits + self.skip(x), mu, log_var, z


@mutant(
    "VAE",
    "mu is detached on its way into z",
    "The reconstruction never tells the encoder where the code should lie: only the KL is heard, "
    "and it wants 0.",
    "mu-detached",
)
class MuIsDetachedInZ(RightVAE):
    def draw(self, mu, log_var, eps):
        return super().draw(mu.detach(), log_var, eps)


@mutant(
    "VAE",
    "log_var is detached on its way into z",
    "The reconstruction never tells the encoder how much noise it can stand: only the KL is heard, "
    "and it wants a spread of 1.",
    "log-var-detached",
)
class LogVarIsDetachedInZ(RightVAE):
    def draw(self, mu, log_var, eps):
        return super().draw(mu, log_var.detach(), eps)


@mutant(
    "VAE",
    "z is detached before it is decoded",
    "The decoder learns alone. This is the path that lesson 05 was about.",
    "z-detached",
)
class ZIsDetachedBeforeItIsDecoded(RightVAE):
    def forward(self, x, eps):
        mu, log_var = self.encode(x)
        z = self.draw(mu, log_var, eps)
        return self.decode(z.detach()), mu, log_var, z


@mutant(
    "VAE",
    "z is drawn with Normal.sample",
    "Normal.sample draws noise of its own and cuts the gradient. eps is there to be used.",
    "noise-inside",
    "both-detached",
)
class ZIsDrawnWithNormalSample(RightVAE):
    def draw(self, mu, log_var, eps):
        shape = eps.shape[: eps.dim() - mu.dim()]
        return torch.distributions.Normal(mu, (0.5 * log_var).exp()).sample(shape)


@mutant(
    "VAE",
    "The samples beyond the first have no gradient",
    "With num_samples the gradient is that of all of them.",
    "gradient-cut",
)
class TheSamplesBeyondTheFirstHaveNoGradient(RightVAE):
    def decode(self, z):
        if z.dim() == 3:
            return super().decode(torch.cat([z[:1], z[1:].detach()]))
        return super().decode(z)


@mutant(
    "VAE",
    "The latent bias is used twice, once detached",
    "A parameter that is used twice gets its gradient from both places. Here one is cut off.",
    "gradient-cut",
)
class TheLatentBiasIsUsedTwice(RightVAE):
    def encode(self, x):
        mu, log_var = super().encode(x)
        return mu, log_var + self.encoder.to_mu.bias.detach()


@mutant(
    "VAE",
    "The model detaches its images",
    "Whoever asks how the loss changes with a pixel gets no answer. The parameters would learn "
    "without that detach too.",
    "input-detached",
)
class TheModelDetachesItsImages(RightVAE):
    def encode(self, x):
        return super().encode(x.detach())


@mutant(
    "VAE",
    "The encoder is frozen",
    "A parameter with requires_grad=False is no parameter to an optimiser.",
    "gradient-missing",
)
class TheEncoderIsFrozen(RightVAE):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.encoder.requires_grad_(False)


@mutant(
    "VAE",
    "A module is made and never used",
    "Read __init__ and the methods side by side: what is never called?",
    "unused-layer",
)
class AModuleIsMadeAndNeverUsed(RightVAE):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.prior = nn.Linear(latent_dim, latent_dim)


@mutant(
    "VAE",
    "One head serves for mu and log_var",
    "Where the code lies and how sure of it one is are two questions, and have two answers.",
    "one-head",
)
class OneHeadServesForBoth(RightVAE):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        del self.encoder.to_log_var

    def encode(self, x):
        mu = self.encoder.to_mu(self.encoder.hidden(x))
        return mu, mu


@mutant(
    "VAE",
    "One log-variance serves for all latents",
    "A latent that matters is known exactly, one that does not is left to the prior. With a "
    "single number for all of them neither can happen.",
    "one-log-var",
)
class OneLogVarianceServesForAll(RightVAE):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.encoder.to_log_var = nn.Linear(hidden_dim, 1)

    def encode(self, x):
        mu, log_var = super().encode(x)
        return mu, log_var.expand_as(mu)


@mutant(
    "VAE",
    "The spread's head starts at zero",
    "The contract asks for a log_var that depends on x from the first step on.",
    "head-starts-at-zero",
)
class TheSpreadsHeadStartsAtZero(RightVAE):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        nn.init.zeros_(self.encoder.to_log_var.weight)


@mutant(
    "VAE",
    "No nonlinearity in the model's decoder",
    "Two matrices in a row are one matrix: the images lie on a plane, bent by the sigmoid alone.",
    "no-nonlinearity",
)
class NoNonlinearityInTheModelsDecoder(RightVAE):
    def decode(self, z):
        return self.decoder.last(self.decoder.first(z))


@mutant(
    "VAE",
    "No nonlinearity in the model's encoder",
    "Two matrices in a row are one matrix: the hidden layer of the encoder adds nothing.",
    "no-nonlinearity",
)
class NoNonlinearityInTheModelsEncoder(RightVAE):
    def encode(self, x):
        h = self.encoder.first(x)
        return self.encoder.to_mu(h), self.encoder.to_log_var(h)


@mutant(
    "VAE",
    "Both widths are written into the model",
    "hidden_dim is an argument, and nothing uses it.",
    "width-written",
)
class BothWidthsAreWrittenIn(RightVAE):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, 400, latent_dim)


@mutant(
    "VAE",
    "The encoder's width is written into the model",
    "hidden_dim is used in the decoder. And in the encoder?",
    "width-written",
)
class TheEncodersWidthIsWrittenIn(RightVAE):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.encoder = RightEncoder(input_dim, 400, latent_dim)


@mutant(
    "VAE",
    "The decoder's width is written into the model",
    "hidden_dim is used in the encoder. And in the decoder?",
    "width-written",
)
class TheDecodersWidthIsWrittenIntoTheModel(RightVAE):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.decoder = RightDecoder(latent_dim, 400, input_dim)


@mutant(
    "VAE",
    "The decoder gets its sizes in the encoder's order",
    "Decoder(latent_dim, hidden_dim, input_dim): it starts where the encoder ends.",
    "sizes-exchanged",
)
class TheDecoderGetsItsSizesInTheWrongOrder(RightVAE):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.decoder = RightDecoder(input_dim, hidden_dim, latent_dim)


@mutant(
    "VAE",
    "The noise has another name",
    "Lesson 08 calls model(x, eps=...). Keep the names of the signature.",
    "names",
)
class TheNoiseHasAnotherName(RightVAE):
    def forward(self, x, noise):
        return super().forward(x, noise)


@mutant(
    "VAE",
    "The model centres its images with the batch",
    "q(z|x) of one image depends on the others in its batch, and the ELBO is no longer a sum over "
    "images.",
    "rows-mixed",
)
class TheModelCentresItsImages(RightVAE):
    def encode(self, x):
        return super().encode(x - x.mean(0))


@mutant(
    "VAE",
    "Dropout in the model",
    "In training mode two calls with the same noise differ. All the chance of a VAE is in eps.",
    "dropout",
)
class DropoutInTheModel(RightVAE):
    def encode(self, x):
        return super().encode(F.dropout(x, 0.2, self.training))


@mutant(
    "VAE",
    "Batch normalisation in the model",
    "In training mode the result for one image depends on the others of its batch.",
    "batch-norm",
)
class BatchNormalisationInTheModel(RightVAE):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.norm = nn.BatchNorm1d(input_dim)

    def encode(self, x):
        return super().encode(self.norm(x))


@mutant(
    "VAE",
    "The noise of the first call is kept",
    "Each call comes with noise of its own. With the old one the decoder learns a single sample by "
    "heart.",
    "remembers",
    "noise-forgotten",
)
class TheNoiseOfTheFirstCallIsKept(RightVAE):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.kept = {}

    def draw(self, mu, log_var, eps):
        key = (eps.shape, eps.dtype, eps.device)
        return super().draw(mu, log_var, self.kept.setdefault(key, eps))


@mutant(
    "VAE",
    "The grey level of the first batch is kept",
    "The result depends on what was seen first. A forward pass leaves no trace.",
    "remembers",
)
class TheGreyLevelOfTheFirstBatchIsKept(RightVAE):
    level = None

    def encode(self, x):
        if self.level is None:
            self.level = float(x.detach().mean()) if x.is_cpu else 0.0
        return super().encode(x - self.level)


@mutant(
    "VAE",
    "The noise is scaled in place",
    "The caller's eps has other values after the call.",
    "in-place",
)
class TheNoiseIsScaledInPlace(RightVAE):
    def draw(self, mu, log_var, eps):
        z = super().draw(mu, log_var, eps.clone())
        with torch.no_grad():
            eps.mul_(0.5)
        return z


@mutant(
    "VAE",
    "Encoder and decoder are in a plain list",
    "A Module finds its parts among its attributes and in nn.ModuleList, but not inside a Python "
    "list: they are neither trained nor saved.",
    "not-registered",
)
class EncoderAndDecoderAreInAPlainList(RightVAE):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.parts = [self.encoder, self.decoder]
        del self.encoder, self.decoder

    def encode(self, x):
        return self.parts[0](x)

    def decode(self, z):
        return self.parts[1](z)


@mutant(
    "VAE",
    "A shift of the logits is a plain tensor",
    "As a plain attribute it is neither saved nor trained. nn.Parameter or register_buffer keep it "
    "in the state.",
    "not-registered",
)
class AShiftOfTheLogitsIsAPlainTensor(RightVAE):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        self.shift = torch.randn(input_dim)

    def decode(self, z):
        logits = super().decode(z)
        return logits + self.shift.to(logits)


@mutant(
    "VAE",
    "The decoder is made in forward",
    "New random weights at each call, and no optimiser ever sees them.",
    "noise-inside",
)
class TheDecoderIsMadeInForward(RightVAE):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        super().__init__(input_dim, hidden_dim, latent_dim)
        del self.decoder
        self.sizes = (latent_dim, hidden_dim, input_dim)

    def decode(self, z):
        return RightDecoder(*self.sizes).to(z)(z)


@mutant(
    "VAE",
    "The model sets a seed",
    "The caller sets the seed. With one inside, every instance starts from the same weights.",
    "seed-inside",
)
class TheModelSetsASeed(RightVAE):
    def __init__(self, input_dim, hidden_dim, latent_dim):
        torch.manual_seed(42)
        super().__init__(input_dim, hidden_dim, latent_dim)


@mutant(
    "VAE",
    "The model casts to float32",
    "In a float64 module the digits after the seventh are lost on the way.",
    "float32-inside",
)
class TheModelCastsToFloat32(RightVAE):
    def draw(self, mu, log_var, eps):
        return super().draw(mu, log_var, eps)

    def encode(self, x):
        return super().encode(x.float().to(x.dtype))


@mutant(
    "VAE",
    "float64 comes out of a float32 model",
    "The result has another dtype than model and inputs: it should follow them.",
    "float64-outside",
)
class Float64ComesOutOfAFloat32Model(RightVAE):
    def forward(self, x, eps):
        return tuple(part.double() for part in super().forward(x, eps))


@mutant(
    "VAE",
    "The model makes a tensor on the CPU",
    "This works on your laptop and stops on a GPU. Make new tensors where the inputs are.",
    "cpu-tensor",
)
class TheModelMakesATensorOnTheCPU(RightVAE):
    def encode(self, x):
        return super().encode(x + torch.zeros(x.shape, dtype=x.dtype))


# --- negative_elbo --------------------------------------------------------------------


def _cost(x: Tensor, logits: Tensor) -> Tensor:
    return (F.softplus(logits) - x * logits).sum(-1)


def _kl(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)


@mutant(
    "negative_elbo",
    "A mean over the pixels",
    "The cost of an image is divided by its number of pixels, and the KL is not: a beta as large as "
    "that number, which nobody chose.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction = F.binary_cross_entropy_with_logits(logits, x)
    kl = _kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "The KL is averaged over the latents",
    "Independent latents add their KL terms. A mean makes the KL cheaper, the more latents there are.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction = _cost(x, logits).mean()
    kl = (_kl(mu, log_var) / mu.shape[-1]).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "Means over pixels and over latents",
    "Both terms are divided, by different numbers. Exercise 6.7 says which beta that is.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction = _cost(x, logits).mean() / x.shape[-1]
    kl = _kl(mu, log_var).mean() / mu.shape[-1]
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "A sum over the batch",
    "The loss grows with the batch size, and the learning rate that fits grows smaller.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).sum(), _kl(mu, log_var).sum()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "The KL is summed over the batch, the reconstruction averaged",
    "The balance of the two depends on the batch size then.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).mean(), _kl(mu, log_var).sum()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "The reconstruction is summed over the batch, the KL averaged",
    "The balance of the two moves with the number of images in the batch: a small beta that nobody "
    "chose.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).sum(), _kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "A log-probability stands where a cost belongs",
    "Is it good or bad for an image to be probable? A loss falls when things get better.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = -_cost(x, logits).mean(), _kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "The logits go to a loss that takes probabilities",
    "binary_cross_entropy takes probabilities, and a logit may be any number. Its sibling "
    "..._with_logits takes them as they are.",
    "logits-for-probabilities",
)
def _(x, logits, mu, log_var, beta=1.0):
    cost = torch.nn.functional.binary_cross_entropy(logits, x, reduction="none").sum(-1)
    reconstruction, kl = cost.mean(), _kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "Images and logits change places",
    "One of the two is data, the other what the decoder says of it. In which order does "
    "bernoulli_log_likelihood take them?",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(logits, x).mean(), _kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "The KL before the reconstruction",
    "The three numbers are right. Read their order in the docstring.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).mean(), _kl(mu, log_var).mean()
    return reconstruction + beta * kl, kl, reconstruction


@mutant(
    "negative_elbo",
    "The KL is subtracted",
    "The KL stands with a minus in the ELBO. What does it have in minus the ELBO?",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).mean(), _kl(mu, log_var).mean()
    return reconstruction - beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "The half of the KL is forgotten",
    "Lesson 04's formula has a factor in front of the bracket. Without it this is a beta of 2 that "
    "nobody chose.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).mean(), 2 * _kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "The sign of the KL term",
    "A KL is never negative. This one is: the terms in the bracket have the wrong signs.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).mean(), -_kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "The log-likelihood itself is returned as reconstruction",
    "The loss is right. The second part is asked for as a cost: positive, and smaller is better.",
)
def _(x, logits, mu, log_var, beta=1.0):
    log_likelihood, kl = -_cost(x, logits).mean(), _kl(mu, log_var).mean()
    return beta * kl - log_likelihood, log_likelihood, kl


@mutant(
    "negative_elbo",
    "The ELBO, not its negative",
    "An optimiser walks downhill. Which of the two should it walk down?",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).mean(), _kl(mu, log_var).mean()
    return -reconstruction - beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "The returned KL is multiplied by beta",
    "Two runs with different beta could not be compared. The factor belongs to the loss alone.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).mean(), beta * _kl(mu, log_var).mean()
    return reconstruction + kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "beta is applied twice",
    "It is in the KL already when the sum is taken.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).mean(), beta * _kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "beta multiplies the reconstruction",
    "A larger beta should make the KL count for more.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).mean(), _kl(mu, log_var).mean()
    return beta * reconstruction + kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "beta shares out one whole",
    "As a weighted mean the loss is scaled too: at beta = 1 the reconstruction would not count.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).mean(), _kl(mu, log_var).mean()
    return (1 - beta) * reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "beta is ignored",
    "Call it with beta = 0 and with beta = 4: what should change?",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).mean(), _kl(mu, log_var).mean()
    return reconstruction + kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "A beta of 0 becomes a beta of 1",
    "0 is a number like any other here, and the first step of every warm-up. In an `or` it counts "
    "as nothing.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).mean(), _kl(mu, log_var).mean()
    return reconstruction + (beta or 1.0) * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "beta is left out by default as 0",
    "Called without a beta, it is the ELBO that is asked for.",
)
def _(x, logits, mu, log_var, beta=0.0):
    reconstruction, kl = _cost(x, logits).mean(), _kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "A sigmoid before a loss that takes logits",
    "The loss applies the sigmoid itself. Twice makes every pixel grey.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction = _cost(x, torch.sigmoid(logits)).mean()
    kl = _kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "The logits are taken for probabilities",
    "A logit of 2 is not a probability. Clamped into [0, 1] it says something else than it meant.",
)
def _(x, logits, mu, log_var, beta=1.0):
    p = logits.clamp(1e-6, 1 - 1e-6)
    reconstruction = -(x * p.log() + (1 - x) * (1 - p).log()).sum(-1).mean()
    kl = _kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "Cross-entropy of probabilities",
    "The sigmoid is rounded to 0 or 1 before the logarithm is taken, and PyTorch stops the damage "
    "at 100 nats, with no gradient behind it.",
)
def _(x, logits, mu, log_var, beta=1.0):
    cost = F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="none")
    reconstruction, kl = cost.sum(-1).mean(), _kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "log(1 + exp) without care",
    "exp(1000) is infinite, though the softplus of 1000 is 1000.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction = (torch.log(1 + logits.exp()) - x * logits).sum(-1).mean()
    kl = _kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "The logits are clamped in the loss",
    "A decoder that is sure and wrong pays less than it owes, and has no gradient to mend it.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction = _cost(x, logits.clamp(-30, 30)).mean()
    kl = _kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "The log-variance is clamped in the loss",
    "Outside the clamp the KL is another function, and its gradient there is zero.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction = _cost(x, logits).mean()
    kl = _kl(mu, log_var.clamp(-10, 10)).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "The variance is capped so that it does not explode",
    "An enormous variance has an enormous KL. Cut it off, and nothing pulls it back.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction = _cost(x, logits).mean()
    kl = 0.5 * (mu**2 + log_var.exp().clamp(max=1e12) - 1 - log_var).sum(-1).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "A small number is added inside the logarithm",
    "It protects from a zero that a log-likelihood of logits never meets, and shifts every value.",
)
def _(x, logits, mu, log_var, beta=1.0):
    p = torch.sigmoid(logits)
    cost = -(x * (p + 1e-8).log() + (1 - x) * (1 - p + 1e-8).log()).sum(-1)
    reconstruction, kl = cost.mean(), _kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "The squared error in place of the likelihood",
    "That is a Gaussian decoder, with a variance of 1/2 that nobody chose.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction = (x - torch.sigmoid(logits)).square().sum(-1).mean()
    kl = _kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "Grey pixels are rounded first",
    "The formula holds for grey pixels as it stands: lesson 06 says what it means then.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x.round(), logits).mean(), _kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "log_var is taken for the log of sigma in the KL",
    "log_var is log sigma squared: exp(log_var) is the variance already.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).mean(), _kl(mu, 2 * log_var).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "mu and log_var change places in the loss",
    "The KL is not symmetric in the two. Read the order of the arguments.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).mean(), _kl(log_var, mu).mean()
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "One value per example",
    "A loss is one number: the values of the examples are averaged.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits), _kl(mu, log_var)
    return reconstruction + beta * kl, reconstruction, kl


@mutant(
    "negative_elbo",
    "Python floats are returned",
    "A float has no gradient. What would backward() start from?",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).mean(), _kl(mu, log_var).mean()
    return (reconstruction + beta * kl).item(), reconstruction.item(), kl.item()


@mutant(
    "negative_elbo",
    "Only the loss is returned",
    "The two terms are asked for as well: one number alone cannot show a collapse.",
)
def _(x, logits, mu, log_var, beta=1.0):
    return _cost(x, logits).mean() + beta * _kl(mu, log_var).mean()


@mutant(
    "negative_elbo",
    "The loss comes last",
    "Read the order in the docstring: (loss, reconstruction, kl).",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).mean(), _kl(mu, log_var).mean()
    return reconstruction, kl, reconstruction + beta * kl


@mutant(
    "negative_elbo",
    "The returned terms are detached",
    "Whoever plots the terms needs no gradient, but lesson 08 and others build losses from them.",
)
def _(x, logits, mu, log_var, beta=1.0):
    reconstruction, kl = _cost(x, logits).mean(), _kl(mu, log_var).mean()
    return reconstruction + beta * kl, reconstruction.detach(), kl.detach()


# --- head_gradients -------------------------------------------------------------------


@mutant(
    "head_gradients",
    "The half of the exponent is forgotten",
    "sigma is exp(log_var / 2). What does its derivative bring down?",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    through = grad_z * eps * (log_var / 2).exp()
    return grad_z + beta * mu, through + beta * (log_var.exp() - 1) / 2


@mutant(
    "head_gradients",
    "The variance in the path through z",
    "z moves with sigma, not with sigma squared.",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    through = grad_z * eps * log_var.exp() / 2
    return grad_z + beta * mu, through + beta * (log_var.exp() - 1) / 2


@mutant(
    "head_gradients",
    "The noise is forgotten in the path through z",
    "How far does z move when sigma grows a little? It depends on which noise was drawn.",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    through = grad_z * (log_var / 2).exp() / 2
    return grad_z + beta * mu, through + beta * (log_var.exp() - 1) / 2


@mutant(
    "head_gradients",
    "No path through z to the log-variance",
    "log_var changes z too. This is what a detach in the reparameterisation would give.",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    return grad_z + beta * mu, 0 * grad_z + beta * (log_var.exp() - 1) / 2


@mutant(
    "head_gradients",
    "The reconstruction alone",
    "Two terms of the loss reach the heads. Which one is missing?",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    return grad_z, grad_z * eps * (log_var / 2).exp() / 2


@mutant(
    "head_gradients",
    "The KL alone",
    "Two terms of the loss reach the heads. What does the decoder send back?",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    return beta * mu + 0 * grad_z, beta * (log_var.exp() - 1) / 2


@mutant(
    "head_gradients",
    "beta multiplies the reconstruction's pull",
    "beta stands before the KL alone.",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    through = grad_z * eps * (log_var / 2).exp() / 2
    return beta * grad_z + mu, beta * through + (log_var.exp() - 1) / 2


@mutant(
    "head_gradients",
    "No beta",
    "Call it with beta = 0: what should be left?",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    through = grad_z * eps * (log_var / 2).exp() / 2
    return grad_z + mu, through + (log_var.exp() - 1) / 2


@mutant(
    "head_gradients",
    "A beta that counts as nothing",
    "0 is a number like any other here. In an `or` it counts as nothing.",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    beta = beta or 1.0
    through = grad_z * eps * (log_var / 2).exp() / 2
    return grad_z + beta * mu, through + beta * (log_var.exp() - 1) / 2


@mutant(
    "head_gradients",
    "The KL pulls the wrong way",
    "A positive mu has a positive gradient, so that the step goes down.",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    through = grad_z * eps * (log_var / 2).exp() / 2
    return grad_z - beta * mu, through - beta * (log_var.exp() - 1) / 2


@mutant(
    "head_gradients",
    "The KL's part in log_var has lost its half",
    "Differentiate lesson 04's formula once more, and mind what stands before the bracket.",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    through = grad_z * eps * (log_var / 2).exp() / 2
    return grad_z + beta * mu, through + beta * (log_var.exp() - 1)


@mutant(
    "head_gradients",
    "The KL's part in log_var is turned round",
    "Where is the KL's slope in log_var 0? And for a larger spread than that: does the KL rise or "
    "fall?",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    through = grad_z * eps * (log_var / 2).exp() / 2
    return grad_z + beta * mu, through + beta * (1 - log_var.exp()) / 2


@mutant(
    "head_gradients",
    "The logarithm where the variance belongs, in the KL's part",
    "Where is this part 0, and at which log_var is the KL least?",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    through = grad_z * eps * (log_var / 2).exp() / 2
    return grad_z + beta * mu, through + beta * (log_var - 1) / 2


@mutant(
    "head_gradients",
    "sigma where the variance belongs, in the KL's part",
    "The part is 0 where it should be. Which power of sigma stands in the KL, and what is that in "
    "log_var?",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    sigma = (log_var / 2).exp()
    return grad_z + beta * mu, grad_z * eps * sigma / 2 + beta * (sigma - 1) / 2


@mutant(
    "head_gradients",
    "beta multiplies everything",
    "Call it with beta = 0: what should be left of each of the two?",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    through = grad_z * eps * (log_var / 2).exp() / 2
    return beta * (grad_z + mu), beta * (through + (log_var.exp() - 1) / 2)


@mutant(
    "head_gradients",
    "beta is missing from the second result",
    "The KL has a part in both results. Which of the two changes with beta here?",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    through = grad_z * eps * (log_var / 2).exp() / 2
    return grad_z + beta * mu, through + (log_var.exp() - 1) / 2


@mutant(
    "head_gradients",
    "The pull of the KL on a spread of 1 is not zero",
    "At the prior, mu = 0 and log_var = 0, the KL is at its minimum. Its gradient there?",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    through = grad_z * eps * (log_var / 2).exp() / 2
    return grad_z + beta * mu, through + beta * log_var.exp() / 2


@mutant(
    "head_gradients",
    "The gradient in sigma, not in log_var",
    "The head's output is log_var: one more factor of the chain rule.",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    sigma = (log_var / 2).exp()
    return grad_z + beta * mu, grad_z * eps + beta * (sigma - 1 / sigma)


@mutant(
    "head_gradients",
    "z in place of the noise",
    "What multiplies sigma in z = mu + sigma eps?",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    sigma = (log_var / 2).exp()
    through = grad_z * (mu + sigma * eps) * sigma / 2
    return grad_z + beta * mu, through + beta * (sigma**2 - 1) / 2


@mutant(
    "head_gradients",
    "Averaged over the batch",
    "Each row is the gradient of its own example's cost, whatever the size of the batch.",
    "divided-by-batch",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    through = grad_z * eps * (log_var / 2).exp() / 2
    both = grad_z + beta * mu, through + beta * (log_var.exp() - 1) / 2
    return both[0] / len(mu), both[1] / len(mu)


@mutant(
    "head_gradients",
    "Summed over the latents",
    "Each latent has gradients of its own here: (batch, latent).",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    through = grad_z * eps * (log_var / 2).exp() / 2
    both = grad_z + beta * mu, through + beta * (log_var.exp() - 1) / 2
    return both[0].sum(-1), both[1].sum(-1)


@mutant(
    "head_gradients",
    "The KL's part is missing from the first result",
    "The KL has a part in both results: how does it change with mu?",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    through = grad_z * eps * (log_var / 2).exp() / 2
    return grad_z + 0 * mu, through + beta * (log_var.exp() - 1) / 2


@mutant(
    "head_gradients",
    "The KL's part is missing from the second result",
    "The KL has a part in both results: how does it change with log_var?",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    return grad_z + beta * mu, grad_z * eps * (log_var / 2).exp() / 2


@mutant(
    "head_gradients",
    "The KL's part is divided by the batch",
    "The cost of one example has the whole KL of that example in it.",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    part = beta / len(mu)
    through = grad_z * eps * (log_var / 2).exp() / 2
    return grad_z + part * mu, through + part * (log_var.exp() - 1) / 2


@mutant(
    "head_gradients",
    "log_var is taken for the log of sigma",
    "log_var is log sigma squared. How does sigma depend on it, and what does its derivative bring "
    "down?",
    "log-sigma",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    through = grad_z * eps * log_var.exp()
    return grad_z + beta * mu, through + beta * ((2 * log_var).exp() - 1)


@mutant(
    "head_gradients",
    "Only the first hundred rows",
    "Every row of the batch is asked for, however many there are.",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    first = (torch.arange(len(mu)) < 100).to(mu.dtype)[:, None]
    through = grad_z * eps * (log_var / 2).exp() / 2
    return first * (grad_z + beta * mu), first * (
        through + beta * (log_var.exp() - 1) / 2
    )


@mutant(
    "head_gradients",
    "The two gradients change places",
    "The docstring has the gradient in mu first.",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    through = grad_z * eps * (log_var / 2).exp() / 2
    return through + beta * (log_var.exp() - 1) / 2, grad_z + beta * mu


@mutant(
    "head_gradients",
    "The log-variance is clamped on the way",
    "Nothing overflows here, and outside the clamp the formula is another one.",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    log_var = log_var.clamp(-10, 10)
    through = grad_z * eps * (log_var / 2).exp() / 2
    return grad_z + beta * mu, through + beta * (log_var.exp() - 1) / 2


@mutant(
    "head_gradients",
    "Autograd on the caller's tensors",
    "The inputs belong to the caller, and are left with a gradient that nobody asked for.",
    "grad-left",
)
def _(grad_z, mu, log_var, eps, beta=1.0):
    for tensor in (mu, log_var):
        if tensor.is_leaf:
            tensor.requires_grad_()
    total = (grad_z * (mu + (log_var / 2).exp() * eps)).sum()
    total = total + beta * _kl(mu, log_var).sum()
    return torch.autograd.grad(total, (mu, log_var))
