"""Lesson 08, reference answers: a training step, its noise, and how it is measured."""

import torch
from torch import Tensor, nn

from vae_edu.catalogue import declare
from vae_edu.exercises.building_the_vae import negative_elbo


@declare(
    "8.1",
    points=2,
    minutes=10,
    difficulty="one variance, two factors",
    needed_for="knowing what a larger batch buys, here and in lesson 10",
)
def minibatch_variance(gradients: Tensor, batch_size: int) -> Tensor:
    r"""The variance of a mini-batch gradient, for each parameter on its own.

    A batch of B examples is drawn from all N without replacement, and its gradients
    $g_n$ are averaged. Over all the batches that could be drawn, that average has mean
    $\bar g = \frac1N\sum_n g_n$ and the variance

    $$\frac{\sigma^2}{B}\,\frac{N - B}{N - 1}, \qquad
      \sigma^2 = \frac1N \sum_n (g_n - \bar g)^2$$

    Exact, not estimated: the N gradients are all there are. Cochran 1977, Theorem 2.2.

    gradients: (n, parameters), n >= 2; batch_size: an integer from 1 to n
    ->  (parameters,)
    """
    ### BEGIN SOLUTION
    n = gradients.shape[0]
    spread = ((gradients - gradients.mean(0)) ** 2).mean(0)
    return spread / batch_size * (n - batch_size) / (n - 1)
    ### END SOLUTION


@declare(
    "8.2",
    points=3,
    minutes=12,
    difficulty="two running means, corrected, and a quotient",
    needed_for="knowing what a learning rate means to the optimizer of this course",
)
def adam_update(
    grad: Tensor,
    m: Tensor,
    v: Tensor,
    step: int,
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""What Adam adds to a parameter in its step number t, elementwise.

    $$m_t = \beta_1 m_{t-1} + (1 - \beta_1)\, g_t, \qquad
      v_t = \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2,$$
    $$\text{update} = -\eta\, \frac{m_t / (1 - \beta_1^t)}
      {\sqrt{v_t / (1 - \beta_2^t)} + \varepsilon}$$

    The m and v that are returned are not corrected: they are what the next step starts
    from. Kingma & Ba 2015, Algorithm 1.

    grad, m, v: equal shapes, any; step: t, an integer from 1  ->  (update, m, v)
    """
    ### BEGIN SOLUTION
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return -lr * m_hat / (v_hat.sqrt() + eps), m, v
    ### END SOLUTION


@declare(
    "8.3",
    points=4,
    minutes=10,
    difficulty="five calls in the right order",
    needed_for="every training run of this course",
)
def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    eps: Tensor,
    beta: float = 1.0,
) -> tuple[float, float, float]:
    r"""One step of the optimizer on one batch: lowers `negative_elbo` of lesson 07.

    $$\theta \leftarrow \theta + \text{update}\big(\nabla_\theta \text{loss}\big),
      \qquad \text{loss} = \text{reconstruction} + \beta\,\text{kl}$$

    The gradient is that of this batch alone, whatever an earlier step has left in
    `.grad`. The three numbers are those that the gradient was taken of, before the
    parameters moved; the kl among them is not multiplied by beta. The model's mode, x
    and eps stay as they are. Kingma & Welling 2014, Algorithm 1.

    model: called as model(x, eps) -> (logits, mu, log_var, z); optimizer: has some or
    all of its parameters; x: (batch, input); eps: (batch, latent)
    ->  (loss, reconstruction, kl), Python floats, in nats per example
    """
    ### BEGIN SOLUTION
    logits, mu, log_var, _ = model(x, eps)
    loss, reconstruction, kl = negative_elbo(x, logits, mu, log_var, beta)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item(), reconstruction.item(), kl.item()
    ### END SOLUTION


@declare(
    "8.4",
    points=4,
    minutes=12,
    difficulty="a loop, a weight, and leaving no trace",
    needed_for="every number that this course reports",
)
def evaluate(model: nn.Module, x: Tensor, eps: Tensor) -> tuple[float, float, float]:
    r"""The negative ELBO of a whole set of images, in nats per example.

    $$\frac1N \sum_{n=1}^N
      \big[-\log p(x_n|z_n) + \mathrm{KL}(q(z|x_n) \,\|\, p(z))\big]$$

    In evaluation mode and without gradients; afterwards the model is as it was, its
    mode included. You may go through the set in batches, of any size: the result is the
    mean over all N examples all the same. Kingma & Welling 2014, Eq. 10.

    model: as in `train_step`; x: (n, input), the whole set; eps: (n, latent)
    ->  (loss, reconstruction, kl), Python floats, loss = reconstruction + kl
    """
    ### BEGIN SOLUTION
    was_training = model.training
    model.eval()
    reconstruction = kl = 0.0
    with torch.no_grad():
        for start in range(0, len(x), 500):
            part = slice(start, start + 500)
            logits, mu, log_var, _ = model(x[part], eps[part])
            _, mean, mean_kl = negative_elbo(x[part], logits, mu, log_var)
            reconstruction += mean.item() * len(logits) / len(x)
            kl += mean_kl.item() * len(logits) / len(x)
    model.train(was_training)
    return reconstruction + kl, reconstruction, kl
    ### END SOLUTION


@declare(
    "8.5",
    points=1,
    minutes=5,
    difficulty="one line and one special case",
    needed_for="a remedy against collapse, here and in lesson 12",
)
def kl_warmup(step: int, warmup_steps: int) -> float:
    r"""The weight of the KL in step number `step`, for a straight warm-up from 0 to 1.

    $$\beta(t) = \min\Big(1, \frac{t}{T}\Big), \qquad \beta = 1 \text{ where } T = 0$$
    Bowman et al. 2016, sec. 3.1 (KL cost annealing); Sønderby et al. 2016 (warm-up).

    step: t >= 0; warmup_steps: T >= 0  ->  a Python float from 0 to 1
    """
    ### BEGIN SOLUTION
    return min(1.0, step / warmup_steps) if warmup_steps else 1.0
    ### END SOLUTION
