"""The terms of a predictor's objective: the teachers' scale, their order within a picture, their map, and attacks."""

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.metrics.dense import Prediction, Predictor, quality_of


def score_loss(score: Tensor, target: Tensor) -> Tensor:
    """Smooth L1 between scores and teachers' qualities, (N,) in [0, 100]."""
    return F.smooth_l1_loss(score / 100, target / 100, beta=0.05)


def map_loss(prediction: Prediction, places: Tensor) -> Tensor:
    """L1 between the predicted and the teachers' quality of each place; places: (N, 1, h, w) distances."""
    wanted = F.adaptive_avg_pool2d(places, (places.shape[2] // 2, places.shape[3] // 2))
    found = F.adaptive_avg_pool2d(prediction.distance, (wanted.shape[2], wanted.shape[3]))
    return F.l1_loss(quality_of(found), quality_of(wanted)) / 100


def rank_loss(score: Tensor, target: Tensor, *, softness: float = 4.0, margin: float = 1.0) -> Tensor:
    """Logistic loss on all pairs of versions of one crop (RankNet; Burges et al., ICML 2005).

    score, target: (G, V) in [0, 100], a row a crop. Pairs whose targets differ by less than `margin` teach nothing.
    """
    gap = score[:, :, None] - score[:, None, :]
    wanted = target[:, :, None] - target[:, None, :]
    pairs = wanted > margin
    return F.softplus(-gap[pairs] / softness).mean() if pairs.any() else score.sum() * 0


def ladder_loss(score: Tensor, *, softness: float = 1.0, margin: float = 1.0) -> Tensor:
    """Logistic loss on neighbouring rungs, each of which is worse than the one before it by `margin` points.

    score: (L, R) in [0, 100], a row a ladder, from the clean picture down.
    """
    return F.softplus((score[:, 1:] - score[:, :-1] + margin) / softness).mean()


def preference_loss(first: Tensor, second: Tensor, share_first: Tensor, *, softness: float = 10.0) -> Tensor:
    """Negative Bradley-Terry log-likelihood (Biometrika 1952) of the shares of people who prefer the first.

    first, second: (N,) scores in [0, 100]; share_first: (N,) in [0, 1].
    """
    return F.binary_cross_entropy_with_logits((first - second) / softness, share_first)


def attacked(
    model: Predictor,
    x: Tensor,
    *,
    eps: float,
    steps: int,
    reach: float = 2.5,
    rng: torch.Generator | None = None,
) -> Tensor:
    """Pictures close to `x` that score as high as projected gradient ascent gets them (Madry et al., ICLR 2018).

    x: (N, 3, H, W) in [0, 1]; eps: largest change of a value, in [0, 1]. Each step is reach * eps / steps long in
    the sign of the gradient. With a random source it starts at random within eps, otherwise at `x`.
    """
    start = torch.zeros_like(x) if rng is None else torch.rand(x.shape, generator=rng).sub_(0.5) * 2 * eps
    adversarial = (x + start).clamp(0, 1)
    for _ in range(steps):
        adversarial.requires_grad_(True)
        (gradient,) = torch.autograd.grad(model.predict(adversarial).score.sum(), adversarial)
        moved = adversarial.detach() + reach * eps / steps * gradient.sign()
        adversarial = torch.minimum(torch.maximum(moved, x - eps), x + eps).clamp(0, 1)
    return adversarial.detach()


def gaming_loss(score: Tensor, ceiling: Tensor) -> Tensor:
    """How far attacked pictures score above the quality of the pictures they were made from; both (N,)."""
    above = F.relu(score - ceiling) / 100
    return F.smooth_l1_loss(above, torch.zeros_like(above), beta=0.05)
