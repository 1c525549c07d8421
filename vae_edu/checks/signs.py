"""What wrong answers are called: a sign for each mistake that a law can compute.

A law, or an examination of a broken answer, finds out *what* the wrong number is ("the
spread is that of exp(log_var)") and says so by one of these signs. A sign is given only
where the numbers prove it, so it names a mistake in whatever form it was written.

What belongs here: labels (stable: never rename one), names and sentences, and signs
that are read off a shape or an error. What does not: laws, and mistakes of one answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vae_edu.subject import Wrong


@dataclass(frozen=True)
class Sign:
    """What a law found a wrong answer to be, computed from what came back.

    label: stable, for statistics and translations; name and sentence: for the learner;
    category: what it is about ("values", "shape", "gradient", "chance", "form",
    "architecture", "error"); priority: of several, the smallest is shown.
    """

    label: str
    name: str
    sentence: str
    category: str = "values"
    priority: int = 50


_ALL = (
    # --- values -----------------------------------------------------------------------
    Sign(
        "exponential",
        "The exponential is taken already",
        "No value of {what} is negative, and they grow without bound like exp: a "
        "variance or a standard deviation. What is asked for is a logarithm, whose "
        "exponential is taken by whoever needs it.",
        priority=30,
    ),
    Sign(
        "softplus",
        "A softplus keeps it positive",
        "No value of {what} is negative, though any real number should be possible: a "
        "logarithm needs no protection from a softplus.",
        priority=30,
    ),
    Sign(
        "never-positive",
        "No value is positive",
        "No value of {what} is positive, whatever the weights: something behind the "
        "last layer (minus a softplus, a logsigmoid) forbids half of the real line.",
        priority=30,
    ),
    Sign(
        "relu-last",
        "A ReLU after the last layer",
        "No value of {what} is negative and many are exactly 0: a ReLU stands behind "
        "the last layer, where any real number should be possible.",
        priority=30,
    ),
    Sign(
        "tanh-last",
        "A tanh after the last layer",
        "All values of {what} lie between -1 and 1, whatever the weights. Which layers "
        "need a nonlinearity after them, and which do not?",
        priority=30,
    ),
    Sign(
        "probabilities",
        "Probabilities, where logits are asked for",
        "All values of {what} lie between 0 and 1: a sigmoid (or a softmax) stands "
        "behind the last layer. The likelihood takes logits, and applies it itself.",
        priority=30,
    ),
    Sign(
        "log-softmax",
        "A log-softmax over the last dimension",
        "The exponentials of {what} sum to 1 in each row, as if one of them had to "
        "win. Each is a quantity of its own.",
        priority=30,
    ),
    Sign(
        "hard-values",
        "Zeros and ones",
        "All values of {what} are 0 or 1: a step, which has no gradient. The numbers "
        "that such a draw is made from are asked for.",
        priority=30,
    ),
    Sign(
        "clamped",
        "Something keeps the values in a range",
        "Several values of {what} are exactly the same bound: a clamp, or a tanh times "
        "a number. Beyond it the gradient is zero, so what got there stays there.",
        priority=30,
    ),
    Sign(
        "variance-for-std",
        "The variance where the standard deviation belongs",
        "(z - mu) / eps is exp(log_var). eps counts standard deviations: which power "
        "of exp(log_var) is one?",
        priority=10,
    ),
    Sign(
        "log-var-as-std",
        "log_var is taken for the standard deviation",
        "(z - mu) / eps is log_var itself. A spread can be multiplied with the noise; "
        "a logarithm cannot, it may be negative.",
        priority=10,
    ),
    Sign(
        "std-returned",
        "The standard deviation is returned, not the log-variance",
        "What is returned as log_var is (z - mu) / eps, and never negative. Whoever "
        "takes its exponential would do so twice.",
        priority=9,
    ),
    Sign(
        "variance-returned",
        "The variance is returned, not its logarithm",
        "What is returned as log_var is the square of (z - mu) / eps, and never "
        "negative. Whoever takes its exponential would do so twice.",
        priority=9,
    ),
    Sign(
        "mu-log-var-exchanged",
        "mu and log_var change places",
        "z is the third result plus exp(second / 2) times eps: what is called mu and "
        "what is called log_var have changed places, on their way to z or in what is "
        "returned.",
        priority=10,
    ),
    Sign(
        "small-added-to-std",
        "A small number is added to the standard deviation",
        "(z - mu) / eps is more than exp(log_var / 2), by the same amount everywhere. "
        "exp is never zero: nothing needs protection.",
        priority=10,
    ),
    Sign(
        "spread-clamped",
        "log_var is clamped on its way to z",
        "Where log_var is far from 0, the spread of z stays at one value. The KL is "
        "charged for one q, and the decoder sees samples of another one.",
        priority=20,
    ),
    Sign(
        "exponential-forgotten",
        "Half of log_var is taken for the standard deviation",
        "(z - mu) / eps is log_var / 2: the logarithm of the standard deviation, which "
        "may be negative. What turns a logarithm into its number?",
        priority=10,
    ),
    Sign(
        "softplus-as-std",
        "A softplus makes the standard deviation",
        "(z - mu) / eps is softplus(log_var). The KL reads the same number as the log "
        "of a variance: it is charged for another q than the one that is drawn from.",
        priority=10,
    ),
    Sign(
        "noise-subtracted",
        "The noise is subtracted",
        "(z - mu) / eps is the standard deviation with a minus in front. As a draw it "
        "is as good; but eps is given, and z is expected where eps says.",
        priority=10,
    ),
    Sign(
        "noise-unscaled",
        "The noise is not scaled",
        "(z - mu) / eps is 1 everywhere: log_var has no part in z.",
        priority=10,
    ),
    Sign(
        "parts-disagree",
        "forward is not encode and decode in a row",
        "forward(x) gives another image than decode(encode(x)), or another code than "
        "encode(x). Whatever is done to a code or an image belongs into the method "
        "that is used alone, too.",
        priority=40,
    ),
    Sign(
        "noise-cut",
        "The noise is cut off",
        "Three standard deviations of noise move z less than three times as far as "
        "one. Without the far draws q is not the Gaussian that the KL is charged for.",
        priority=10,
    ),
    Sign(
        "noise-forgotten",
        "The noise is forgotten",
        "z is the same for any eps. With z = mu this is an autoencoder with a penalty: "
        "the decoder never sees the spread that the KL is charged for.",
        priority=10,
    ),
    Sign(
        "decoder-reads-mu",
        "The decoder reads mu, and z is only returned",
        "z depends on eps and the logits do not. Which of the two is decoded?",
        priority=10,
    ),
    Sign(
        "decoder-sees-x",
        "The decoder also gets the image",
        "For one and the same z, two images have other logits: p(x|z) may look at z "
        "only, else nobody can sample from it.",
        priority=15,
    ),
    Sign(
        "sample-logits",
        "sample returns logits",
        "sample(z) is what forward gives as logits for that z. A probability is asked "
        "for: a number between 0 and 1.",
        priority=15,
    ),
    Sign(
        "sigmoid-twice",
        "sample applies the sigmoid twice",
        "sample(z) is the sigmoid of the sigmoid of the logits, so every pixel lies "
        "between 0.5 and 0.73. How many turn a logit into a probability?",
        priority=15,
    ),
    Sign(
        "sample-draws",
        "sample flips the coins",
        "sample(z) is 0 or 1, another time the other. The probability is asked for, "
        "not a draw.",
        priority=15,
    ),
    Sign(
        "sample-rounds",
        "sample returns hard pixels",
        "sample(z) is 0 or 1 everywhere. A probability is asked for, with a gradient; "
        "whoever wants 0 or 1 flips the coins afterwards.",
        priority=15,
    ),
    Sign(
        "sample-noise",
        "sample adds noise",
        "sample(z) is another image at each call with one z. z is the code already, "
        "drawn by whoever calls.",
        priority=15,
    ),
    Sign(
        "sample-other-decoder",
        "sample has a decoder of its own",
        "sample and forward have no parameter in common. One p(x|z), one decoder: what "
        "forward learns must be what sample shows.",
        priority=15,
    ),
    Sign(
        "sample-other-code",
        "sample does something else with the code than forward",
        "sample uses forward's decoder, and for one z its probability is not the one "
        "that forward's logits stand for. What happens to z, or after the decoder?",
        priority=16,
    ),
    Sign(
        "sigmoid-overflows",
        "The sigmoid is written out, and overflows",
        "sample(z) is not finite where the logits are large: exp(1000) is infinite, "
        "and infinity over infinity is not a number. Which sigmoid never does that?",
        priority=15,
    ),
    Sign(
        "ignores-input",
        "The input is ignored",
        "{what} is the same for two different inputs. What has the network learnt "
        "about its input?",
        priority=20,
    ),
    Sign(
        "overflow",
        "A value on the way is too large, too small, or not a number",
        "The result is infinite or NaN where the true value is not: an exponential "
        "that overflows, the logarithm of what has become 0, 0 times infinity, "
        "infinity minus infinity. Rewrite the formula so that it never appears.",
        priority=60,
    ),
    Sign(
        "extremes-wrong",
        "Right for ordinary inputs, wrong for extreme ones",
        "Something keeps the values in a range: a clamp, a cap, or a small number that "
        "is added for safety. The formula needs none where it is written well.",
        priority=60,
    ),
    Sign(
        "zeros",
        "Zero everywhere",
        "Nothing but zeros came out. A gradient is 0 where the path that it should "
        "take is cut (a detach, or terms that cancel); a value is 0 where everything "
        "is rounded or multiplied away.",
        priority=40,
    ),
    Sign(
        "digits-lost",
        "Digits are lost on the way",
        "Five or six digits are right, and float64 has sixteen: a float32 tensor made "
        "inside, a constant typed with few digits, a small number added for safety, a "
        "difference of two large ones.",
        "form",
        priority=60,
    ),
    Sign(
        "restless",
        "The same call gives another result each time",
        "Something is drawn at random inside, or remembered from call to call. Noise "
        "that a function needs comes in as an argument, as eps does.",
        "chance",
        priority=5,
    ),
    Sign(
        "zero-times-infinity",
        "0 times infinity comes out as NaN",
        "Where a weight is 0 its term counts 0, whatever it multiplies; the computer "
        "multiplies 0 by an infinity, or divides 0 by 0, and gets NaN. Choose what is "
        "summed before it is multiplied.",
        priority=35,
    ),
    Sign(
        "infinity-minus-infinity",
        "Minus infinity minus minus infinity",
        "NaN comes out where the true value is infinite: an infinity has been "
        "subtracted from itself. What should be subtracted there?",
        priority=35,
    ),
    Sign(
        "infinity-made-finite",
        "An infinite value is made finite",
        "The true value is infinite there, and a finite number comes out: nan_to_num, "
        "a clamp or a number that stands in for an infinity hides it, or the state "
        "that costs it is left out.",
        priority=35,
    ),
    Sign(
        "weight-0-counts",
        "What has the weight 0 makes a difference",
        "The values are right where nothing is 0 or infinite. Where a weight is 0, a "
        "small number that is added or put in its place multiplies an infinity or a "
        "large value.",
        priority=45,
    ),
    Sign(
        "directions-dropped",
        "Directions are dropped, or short rows count less",
        "The rows are independent, only of very different lengths or nearly parallel. "
        "A subspace has as many dimensions as it has independent rows, whatever the "
        "singular values of its basis.",
        priority=35,
    ),
    # --- architecture -----------------------------------------------------------------
    Sign(
        "one-head",
        "One head for mu and log_var",
        "Each log_var can be computed from the mu beside it by one straight line: one "
        "head serves for both. Where the code lies, and how sure of it one is, are two "
        "questions.",
        "architecture",
        priority=20,
    ),
    Sign(
        "one-log-var",
        "One log-variance for all latents",
        "The columns of log_var move in step: with a single number for all latents, "
        "none can be known more exactly than another.",
        "architecture",
        priority=20,
    ),
    Sign(
        "log-var-without-x",
        "{what} does not depend on x",
        "{what} is the same for different images, whatever the weights: a parameter, "
        "not a head. Some images are ambiguous and others are not.",
        "architecture",
        priority=20,
    ),
    Sign(
        "head-starts-at-zero",
        "The weights of a head start at zero",
        "Just built, {what} is the same for different images, and with other weights "
        "it is not: it should depend on x from the start. A smaller random start does.",
        "architecture",
        priority=40,
    ),
    Sign(
        "no-nonlinearity",
        "No nonlinearity between the layers",
        "{what} is a linear map of its input, perhaps with something elementwise at "
        "the end. Two matrices in a row are one matrix.",
        "architecture",
        priority=55,
    ),
    Sign(
        "past-the-hidden-layer",
        "Only part of the results go through the hidden layer",
        "{what} is a linear map of the input and the other result is not: it is "
        "computed past the hidden layer.",
        "architecture",
        priority=55,
    ),
    Sign(
        "width-written",
        "A width is written into the code",
        "The number of parameters behind {what} does not grow with hidden_dim: the "
        "width of that layer does not come from the argument.",
        "architecture",
    ),
    Sign(
        "unused-layer",
        "A layer is made and never used",
        "No result depends on the parameter {what}. Read __init__ and the methods side "
        "by side: what is never called?",
        "architecture",
    ),
    Sign(
        "not-registered",
        "Layers or tensors that the module does not know",
        "Something that the results depend on is not in state_dict, so it is neither "
        "saved nor trained nor moved: layers in a plain Python list (nn.ModuleList "
        "knows its own), a plain tensor as an attribute (nn.Parameter, "
        "register_buffer).",
        "architecture",
        priority=20,
    ),
    Sign(
        "constant-weights",
        "The weights start as constants",
        "Two instances start with the same weights, and all entries of a matrix are "
        "equal. Hidden units that start equal get equal gradients and stay equal.",
        "architecture",
        priority=40,
    ),
    Sign(
        "seed-inside",
        "A seed is set inside",
        "Two instances start from the same random weights, whatever the caller's seed. "
        "The caller sets the seed.",
        "architecture",
        priority=40,
    ),
    Sign(
        "shared-weights",
        "Instances share their weights",
        "Changing one instance changes the other: the layers are made once, outside "
        "__init__.",
        "architecture",
        priority=40,
    ),
    Sign(
        "no-module",
        "No nn.Module",
        "PyTorch finds the parameters of an nn.Module, and this class is none.",
        "architecture",
        priority=5,
    ),
    Sign(
        "super-init",
        "super().__init__() is missing, or comes too late",
        "An nn.Module must be set up before a layer can be assigned to it.",
        "architecture",
        priority=5,
    ),
    # --- shapes -----------------------------------------------------------------------
    Sign(
        "order",
        "The results come in another order",
        "All results are there: compare their order with the docstring's. Whoever "
        "unpacks them takes each for what stands at its place.",
        "shape",
        priority=15,
    ),
    Sign(
        "part-missing",
        "A result is missing",
        "{what}. Read the docstring again: what else is promised, and who needs it?",
        "shape",
        priority=15,
    ),
    Sign(
        "part-too-many",
        "One result too many",
        "{what}. Return what the docstring promises, and nothing else.",
        "shape",
        priority=15,
    ),
    Sign(
        "joined",
        "One tensor with all the parts",
        "The parts are there, side by side in one tensor. The caller unpacks a tuple.",
        "shape",
        priority=15,
    ),
    Sign(
        "list-for-tuple",
        "A list, not a tuple",
        "The parts are there, in a list. The signature promises a tuple.",
        "shape",
        priority=15,
    ),
    Sign(
        "distribution-returned",
        "A distribution is returned",
        "{what} gives an object of torch.distributions. Its parameters are asked for, "
        "as tensors: whoever calls makes the distribution.",
        "shape",
        priority=10,
    ),
    Sign(
        "no-return",
        "A function without a return gives None",
        "None came out, or is used inside: is a `return` missing, in a helper perhaps?",
        "shape",
        priority=10,
    ),
    Sign(
        "squeezed",
        "A dimension of size 1 is lost",
        "{what}. squeeze (or an index) removes what happens to be 1: the shape should "
        "be the one of the docstring for a batch of one, too.",
        "shape",
        priority=15,
    ),
    Sign(
        "kept-dimension",
        "A dimension of size 1 is left",
        "{what}. From keepdim=True?",
        "shape",
        priority=15,
    ),
    Sign(
        "sizes-exchanged",
        "Two sizes change places",
        "{what}. Print the shapes for three different sizes: which argument sets which "
        "layer?",
        "shape",
        priority=15,
    ),
    Sign(
        "sizes-do-not-meet",
        "Two sizes do not meet",
        "{what}. Write the shapes beside each line: what leaves one layer must be what "
        "the next one takes.",
        "shape",
    ),
    Sign(
        "size-written",
        "A size is written into the layers",
        "{what}. The sizes are arguments: a number that is right for one data set is "
        "wrong for the next.",
        "shape",
        priority=12,
    ),
    Sign(
        "repeated-for-samples",
        "mu and log_var are repeated for each sample",
        "{what}. There is one q(z|x) for each image, however many samples are drawn.",
        "shape",
        priority=15,
    ),
    Sign(
        "one-image-for-all-samples",
        "One image for all samples of z",
        "{what}. Logits are asked for each sample: the samples are neither averaged "
        "nor left out before they are decoded.",
        "shape",
        priority=15,
    ),
    Sign(
        "exchanged-dimensions",
        "Two dimensions change places",
        "{what}: the same sizes, in another order.",
        "shape",
        priority=16,
    ),
    Sign(
        "image-shaped",
        "Images come out with height and width, or flattened too far",
        "{what}: the same numbers in another shape. Rows and columns of a picture are "
        "a matter of drawing; dimensions in front stay as they came.",
        "shape",
        priority=16,
    ),
    Sign(
        "written-for-a-batch",
        "Written for one number of dimensions",
        "{what} does not work, a plain batch does. Count dimensions from the end: the "
        "last one is always there.",
        "shape",
        priority=45,
    ),
    # --- chance, memory, neighbours ---------------------------------------------------
    Sign(
        "noise-inside",
        "Something is drawn inside",
        "Two calls with the same arguments differ, in evaluation mode too: noise is "
        "drawn in here, or a layer made anew at each call. Noise always comes from "
        "outside, as an argument.",
        "chance",
        priority=10,
    ),
    Sign(
        "dropout",
        "Dropout, or noise in training mode",
        "In training mode two calls with the same arguments differ, in evaluation mode "
        "they agree. The contract asks for a function without chance.",
        "chance",
        priority=10,
    ),
    Sign(
        "batch-norm",
        "Batch normalisation",
        "In training mode a row's result depends on the other rows of its batch. Each "
        "example is to be treated alone.",
        "chance",
        priority=10,
    ),
    Sign(
        "mode-dependent",
        "The mode decides on the result",
        "Training mode gives another result than evaluation mode, for the same "
        "arguments and without chance. An evaluation asks for the same function.",
        "chance",
        priority=11,
    ),
    Sign(
        "noise-in-training-only",
        "Noise in training mode only",
        "In training mode z depends on eps, in evaluation mode it does not. An "
        "evaluation asks for the bound too, with the noise that it was given.",
        "chance",
        priority=8,
    ),
    Sign(
        "rows-mixed",
        "Rows of a batch are mixed",
        "A row's result depends on the other rows: a mean, a standard deviation or a "
        "softmax over dimension 0. Alone, each row should give the same.",
        "chance",
        priority=18,
    ),
    Sign(
        "remembers",
        "An earlier call is remembered",
        "What comes out depends on what was seen before. A call leaves no trace: what "
        "a model keeps belongs into its state, put there by training.",
        "chance",
        priority=18,
    ),
    Sign(
        "in-place",
        "The inputs are written to",
        "The caller's tensor has other values after the call. Methods that end in _, "
        "inplace=True and assignments like x[...] = ... write in place.",
        "form",
        priority=18,
    ),
    Sign(
        "result-shared",
        "Two results share one tensor",
        "A call wrote into the result of the call before it. Return a new tensor each "
        "time.",
        "form",
        priority=18,
    ),
    # --- gradients --------------------------------------------------------------------
    Sign(
        "gradient-missing",
        "No gradient reaches a parameter",
        "The result depends on {what}, and autograd finds no way back to it: a detach, "
        "torch.no_grad, .data, or requires_grad=False.",
        "gradient",
    ),
    Sign(
        "gradient-cut",
        "Part of a path back is cut",
        "{what} gets a gradient, but not all of it: a value is used twice and one of "
        "its uses is detached, or a detach stands between two layers.",
        "gradient",
    ),
    Sign(
        "argument-detached",
        "No gradient reaches {what}",
        "The value is right, but autograd cannot get from the result back to {what}, "
        "so nothing before it would learn. Look for detach, .data, .item(), "
        "torch.no_grad or a trip through numpy.",
        "gradient",
    ),
    Sign(
        "gradient-nan",
        "The gradient is not a number",
        "The value is right and its gradient is NaN or infinite: both branches of "
        "torch.where are differentiated, also the one that is not taken. Replace the "
        "input before the operation, not the result after it.",
        "gradient",
    ),
    Sign(
        "gradient-wrong",
        "The value is right, its gradient is not",
        "With respect to {what}: a part of the formula is detached or rounded, or a "
        "clamp or a branch has a slope of its own.",
        "gradient",
    ),
    Sign(
        "grad-left",
        "A .grad is left behind",
        "What belongs to the caller has a .grad, or another requires_grad, after the "
        "call. torch.autograd.grad computes a gradient without writing it anywhere.",
        "form",
    ),
    Sign(
        "grad-mode",
        "Autograd is left switched off",
        "After the call no gradient is recorded any more, for anybody: whoever "
        "switches it off switches it on again. A `with torch.no_grad():` block does.",
        "form",
    ),
    Sign(
        "input-detached",
        "The input is detached on entry",
        "The parameters learn, and no gradient reaches {what}: whoever asks how the "
        "result changes with it gets no answer.",
        "gradient",
    ),
    Sign(
        "z-detached",
        "z is detached before it is decoded",
        "No gradient of the logits reaches the encoder: the decoder learns alone. This "
        "is the path that the reparameterization is for.",
        "gradient",
        priority=20,
    ),
    Sign(
        "mu-detached",
        "mu is detached on its way into z",
        "z moves with mu and autograd does not know it: the reconstruction never tells "
        "the encoder where the code should lie.",
        "gradient",
        priority=20,
    ),
    Sign(
        "log-var-detached",
        "log_var is detached on its way into z",
        "z moves with log_var and autograd does not know it: the reconstruction never "
        "tells the encoder how much noise it can stand.",
        "gradient",
        priority=20,
    ),
    Sign(
        "both-detached",
        "mu and log_var are both detached on their way into z",
        "z moves with mu and log_var and autograd does not know it, as where z is "
        "drawn under no_grad or by a sampler without a gradient: only the KL teaches "
        "the encoder.",
        "gradient",
        priority=20,
    ),
    Sign(
        "sample-no-gradient",
        "sample has no gradient",
        "An image changes with its code, and autograd finds no way back from sample's "
        "result: a detach or torch.no_grad inside.",
        "gradient",
        priority=20,
    ),
    # --- form -------------------------------------------------------------------------
    Sign(
        "float32-inside",
        "float32 is written into the code",
        "For float64 inputs the digits after the seventh are lost: a cast (.float()) "
        "or a constant tensor in torch's default dtype. Let the dtype follow the "
        "inputs.",
        "form",
        priority=40,
    ),
    Sign(
        "float64-outside",
        "float64 comes out of float32",
        "The result has another dtype than the inputs. The next layer of a float32 "
        "model would stop.",
        "form",
    ),
    Sign(
        "dtype-of-the-noise",
        "The dtype of the noise",
        "The result has the dtype of the noise, not of what the noise is for.",
        "form",
    ),
    Sign(
        "integer-result",
        "Integers or truth values, where real numbers belong",
        "The result has an integer or a bool dtype; it should have the inputs'.",
        "form",
    ),
    Sign(
        "cpu-tensor",
        "A tensor is made on the CPU, wherever the inputs are",
        "This works on your laptop and stops on a GPU. Make new tensors where the "
        "inputs are: torch.zeros_like(x), x.new_zeros(...), device=x.device.",
        "form",
    ),
    Sign(
        "names",
        "The parameters have other names",
        "Later lessons call this with keywords. Keep the names of the signature.",
        "form",
    ),
)
SIGNS: Mapping[str, Sign] = {sign.label: sign for sign in _ALL}


def sign(label: str, what: str = "") -> Sign:
    """The sign of that label, its words filled in."""
    known = SIGNS[label]
    name, sentence = (w.replace("{what}", what) for w in (known.name, known.sentence))
    return replace(known, name=_capital(name), sentence=_capital(sentence))


def of_dtypes(got: Any, expected: Any) -> Sign | None:
    """The sign of a result in another dtype than the inputs'."""
    if not isinstance(got, Tensor) or not isinstance(expected, Tensor):
        return None
    if not got.is_floating_point():
        return SIGNS["integer-result"]
    return SIGNS["float64-outside" if got.dtype == torch.float64 else "float32-inside"]


def _capital(text: str) -> str:
    first = text.split()[0].split("(")[0].split(".")[0].strip(",:")
    kept = first in _NAMES or not text[0].isascii()
    return text if kept else text[:1].upper() + text[1:]


_NAMES = {"mu", "log_var", "z", "x", "eps", "sample", "forward", "encode", "decode"}
_NAMES |= {"logits", "float32", "float64", "super", "sigma", "q", "p"}


# --- read off a result's shape --------------------------------------------------------


def of_shape(
    got: Any,
    expected: Any,
    what: str,
    sizes: Mapping[str, int] | None = None,
) -> Sign | None:
    """What a result of another type or shape is, where that can be told.

    expected: a tensor or a tuple of tensors, of the right shapes; sizes: the named
    sizes that these were made of; what: the call in words.
    """
    if isinstance(expected, tuple):
        return _of_parts(got, expected, what, sizes)
    if isinstance(got, Wrong):
        return _of_another_type(got, what)
    if isinstance(got, tuple) and isinstance(expected, Tensor):
        return sign("part-too-many", f"{what} gives {len(got)} results, not one")
    if not isinstance(got, Tensor) or not isinstance(expected, Tensor):
        return None
    if got.shape == expected.shape:
        return None
    return _of_two_shapes(tuple(got.shape), tuple(expected.shape), what, sizes)


def _of_another_type(got: Wrong, what: str) -> Sign | None:
    if got.type == "NoneType":
        return SIGNS["no-return"]
    return sign("distribution-returned", what) if got.type in _DISTRIBUTIONS else None


_DISTRIBUTIONS = {
    "Normal",
    "MultivariateNormal",
    "Independent",
    "TransformedDistribution",
}
_DISTRIBUTIONS |= {"Bernoulli", "ContinuousBernoulli", "RelaxedBernoulli"}


def _of_parts(
    got: Any,
    expected: tuple[Tensor, ...],
    what: str,
    sizes: Mapping[str, int] | None,
) -> Sign | None:
    wanted = f"{len(expected)} are asked for"
    if isinstance(got, Wrong):
        listed = got.type == "list"
        return SIGNS["list-for-tuple"] if listed else _of_another_type(got, what)
    if isinstance(got, Tensor):
        return _of_one_tensor(got, expected, f"{what} gives one tensor, {wanted}")
    if not isinstance(got, tuple):
        return None
    if len(got) != len(expected):
        label = "part-missing" if len(got) < len(expected) else "part-too-many"
        return sign(label, f"{what} gives {len(got)} results, {wanted}")
    shapes = [tuple(v.shape) if isinstance(v, Tensor) else () for v in got]
    right = [tuple(v.shape) for v in expected]
    if shapes != right and sorted(shapes) == sorted(right):
        return sign("order")
    for place, (g, e) in enumerate(zip(got, expected, strict=True)):
        found = of_shape(g, e, f"result {place + 1} of {what}", sizes)
        if found:
            return found
    return None


def _of_one_tensor(got: Tensor, expected: Sequence[Tensor], what: str) -> Sign:
    last = sum(e.shape[-1] for e in expected if e.dim())
    stacked = got.dim() and (len(expected), *expected[0].shape) == tuple(got.shape)
    if stacked or (got.dim() == expected[0].dim() and got.shape[-1:] == (last,)):
        return sign("joined")
    return sign("part-missing", what)


def _of_two_shapes(
    got: tuple[int, ...],
    expected: tuple[int, ...],
    what: str,
    sizes: Mapping[str, int] | None,
) -> Sign | None:
    words = f"{what} has shape {got}, not {expected}"
    if any(expected[:i] + expected[i + 1 :] == got for i in _ones(expected)):
        return sign("squeezed", words)
    if any(got[:i] + got[i + 1 :] == expected for i in _ones(got)):
        return sign("kept-dimension", words)
    if sizes and len(got) == len(expected) and got[:-1] == expected[:-1]:
        names = [n for n, size in sizes.items() if size == got[-1]]
        right = [n for n, size in sizes.items() if size == expected[-1]]
        if names and right:
            told = f"{words}: {got[-1]} is {names[0]}, {expected[-1]} is {right[0]}"
            return sign("sizes-exchanged", told)
        if got[-1] > 2 * max(sizes.values()):
            return sign("size-written", words)
    if sorted(got) == sorted(expected):
        return sign("exchanged-dimensions", words)
    if _product(got) == _product(expected):
        return sign("image-shaped", words)
    return None


def _ones(shape: tuple[int, ...]) -> list[int]:
    return [i for i, size in enumerate(shape) if size == 1]


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


# --- read off values without a bound --------------------------------------------------


def of_range(usual: Tensor, large: Tensor, what: str) -> Sign | None:
    """What keeps values that may be any real number from being so.

    usual, large: (n, features), values under ordinary weights and under very large
    ones; what: their name.
    """
    if _only(usual, (0.0, 1.0)) and _only(large, (0.0, 1.0)):
        return sign("hard-values", what)
    both = torch.cat([usual.flatten(), large.flatten()])
    both = both[torch.isfinite(both)]
    low, high = float(both.min()), float(both.max())
    if low >= 0:
        return _of_positive(usual, large, high, what)
    if _sums_to_one(usual):
        return sign("log-softmax", what)
    if high <= 0:
        return sign("never-positive", what)
    if low >= -1 and high <= 1:
        return sign("tanh-last", what)
    held = [float((both == bound).double().mean()) for bound in (low, high)]
    return sign("clamped", what) if max(held) > 0.02 and low < high else None


def _of_positive(usual: Tensor, large: Tensor, high: float, what: str) -> Sign | None:
    if high <= 1:
        return sign("probabilities", what)
    if float((usual == 0).double().mean()) > 0.05:
        return sign("relu-last", what)
    far = large[torch.isfinite(large)]
    # the weights of many layers multiply to much, but only exp leaves float64
    if not bool(torch.isfinite(large).all()) or float(far.max()) > 1e100:
        return sign("exponential", what)
    return sign("softplus", what) if bool((usual > 0).all()) else None


def _only(values: Tensor, allowed: Sequence[float]) -> bool:
    wanted = torch.tensor(allowed, dtype=values.dtype)
    return values.numel() > 1 and bool(torch.isin(values, wanted).all())


def _sums_to_one(values: Tensor) -> bool:
    rows = values.reshape(-1, values.shape[-1])
    total = torch.logsumexp(rows.to(torch.float64), -1)
    return rows.shape[-1] > 1 and bool((total.abs() < 1e-6).all())


def of_infinities(got: Any, expected: Any) -> Sign | None:
    """Which mistake with zeros and infinities a wrong result shows.

    To be asked only about inputs with weights of 0, where plain inputs give no error.
    """
    if isinstance(expected, tuple):
        pairs = zip(got, expected, strict=False) if isinstance(got, tuple) else ()
        return next(filter(None, (of_infinities(g, e) for g, e in pairs)), None)
    if not isinstance(got, Tensor) or got.shape != expected.shape:
        return None
    infinite, lost = torch.isinf(expected), torch.isnan(got)
    if bool((lost & ~infinite).any()):
        return sign("zero-times-infinity")
    if bool(lost.any()):
        return sign("infinity-minus-infinity")
    if bool((torch.isinf(got) & ~infinite).any()):
        return sign("overflow")
    if bool((torch.isfinite(got) & infinite).any()):
        return sign("infinity-made-finite")
    close = torch.isclose(got.double(), expected.double(), rtol=1e-4, atol=1e-4)
    return None if bool(close.all()) else sign("weight-0-counts")


# --- read off an error ----------------------------------------------------------------

_TWO_MATRICES = re.compile(r"shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)")
_TWO_DTYPES = re.compile(r"must have the same dtype, but got (\w+) and (\w+)")
_A_VIEW = re.compile(r"shape '\[([-\d, ]+)\]' is invalid for input of size (\d+)")
_STOPPED: tuple[tuple[str, Sign], ...] = (
    ("before Module.__init__", SIGNS["super-init"]),
    ("not an nn.Module", SIGNS["no-module"]),
    ("got an unexpected keyword argument", SIGNS["names"]),
    (
        "all elements of input should be between 0 and 1",
        Sign(
            "logits-for-probabilities",
            "Logits are given where probabilities belong",
            "binary_cross_entropy takes probabilities, and a logit may be any number. "
            "Its sibling ..._with_logits takes them as they are.",
            "error",
            priority=12,
        ),
    ),
    (
        "Dimension out of range",
        Sign(
            "counted-from-the-front",
            "A dimension is asked for that is not there",
            "The tensor has fewer dimensions than that line counts on. Counted from "
            "the end, the last one is always there.",
            "error",
        ),
    ),
    (
        "must match the size of tensor",
        Sign(
            "shapes-do-not-meet",
            "Two shapes do not broadcast",
            "Print both. A maximum or a sum that is to meet the tensor it came from "
            "keeps its dimension, with keepdim=True; a batch and a sum over it have "
            "other shapes.",
            "error",
        ),
    ),
    (
        "does not require grad",
        Sign(
            "no-leaf",
            "A gradient is asked of what records none",
            "Nothing that this value was computed from records operations. The tensors "
            "you are given may be plain ones: to differentiate, make a leaf of your "
            "own from them.",
            "error",
        ),
    ),
    ("'NoneType' object", SIGNS["no-return"]),
    ("in-place operation", SIGNS["in-place"]),
    ("modified by an inplace operation", SIGNS["in-place"]),
    (
        "Boolean value of Tensor with more than one value",
        Sign(
            "if-of-a-tensor",
            "An if asks a whole tensor",
            "A tensor of many values is neither true nor false. torch.where chooses "
            "entry by entry.",
            "error",
        ),
    ),
    (
        "only one element tensors can be converted",
        Sign(
            "number-of-a-tensor",
            "A tensor is made into one number",
            "float(), math.log and the like take one number. The methods of torch work "
            "on every entry, and keep the gradient.",
            "error",
        ),
    ),
    (
        "on Tensor that requires grad",
        Sign(
            "through-numpy",
            "A trip through numpy",
            "numpy knows no gradients: stay with torch's own functions.",
            "error",
        ),
    ),
    (
        "No module named",
        Sign(
            "missing-module",
            "A module is imported that is not there",
            "What an answer uses stands in the notebook itself, or comes from torch.",
            "error",
        ),
    ),
    (
        "is not defined",
        Sign(
            "undefined-name",
            "A name is used that is not defined",
            "A misspelt name, a cell that was not run, or a helper that stands "
            "elsewhere?",
            "error",
        ),
    ),
    (
        "only tensors of floating point",
        Sign(
            "integer-tensor",
            "An integer tensor where real numbers belong",
            "torch.tensor(1) and arange make integers. Give them the inputs' dtype.",
            "error",
        ),
    ),
)


def of_error(message: str, sizes: Mapping[str, int] | None = None) -> Sign | None:
    """What an error says of the mistake behind it, where that is one of a few."""
    for words, found in _STOPPED:
        if words in message:
            return found
    if told := _TWO_DTYPES.search(message):
        came, own = told.groups()
        if (came, own) == ("Double", "Float"):
            return SIGNS["not-registered"]
        return SIGNS["float32-inside"] if came == "Float" else None
    if told := _A_VIEW.search(message):
        return _of_view(told[1], told[2])
    if told := _TWO_MATRICES.search(message):
        return _of_matrices(int(told[2]), int(told[3]), sizes or {})
    return None


def _of_view(shape: str, count: str) -> Sign:
    words = f"A view asks for [{shape}], and {count} numbers come"
    known = {"784", "28", "400", "20"} & set(shape.split(", "))  # of MNIST's examples
    return sign("size-written", words) if known else sign("sizes-do-not-meet", words)


def _of_matrices(came: int, wanted: int, sizes: Mapping[str, int]) -> Sign:
    words = f"A layer that takes {wanted} numbers is given {came}"
    named = {size: name for name, size in sizes.items()}
    if wanted == 1:
        return sign("squeezed", words)
    if wanted in named and came in named:
        words += f": it takes {named[wanted]}, and {named[came]} comes"
        return sign("sizes-exchanged", words)
    if wanted > 64 and wanted not in named:
        return sign("size-written", words)
    return sign("sizes-do-not-meet", words)
