"""Terms of the objective that compare pictures. All return a scalar, a mean over the batch."""

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.datasets.labels import Label
from iqsr.metrics.lr_consistency import reduced

NEGATIVE_FACTOR = 300.0
"""HGGT's factor of the negative term, before the recipe's weight."""


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference."""
    return F.l1_loss(output, target)


def consistency_loss(output: Tensor, lr: Tensor, scale: int) -> Tensor:
    """Mean absolute difference of the reduced output to the input: what is invented must not contradict it."""
    return F.l1_loss(reduced(output, scale), lr)


def flatness(original: Tensor, allowed: float = 2.0) -> Tensor:
    """How flat a picture is: (N, 3, H, W) -> (N, 1, H, W), near 1 on sky and walls, 0 on texture and beside edges.

    exp(-E / (allowed / 255)^2), E being the mean square of `detail` over 15x15 pixels and the channels: where a picture
    has detail of that standard deviation, in steps of 1/255, a third is left. Of a typical photo a fifth weighs at 2.
    """
    return torch.exp(-_around(detail(original).square().mean(1, keepdim=True), 15) * (255 / allowed) ** 2)


def flat_loss(output: Tensor, original: Tensor, *, square: float = 0.0, allowed: float = 2.0) -> Tensor:
    """Grain on flat areas: mean of flatness(original, allowed) * (|d| + square * d^2); d = detail(output - original).

    original: the photo, whichever ground truth is learned from: what another has of grain is no reason to learn it, and
    makes nothing less flat. No gradient passes through it. The absolute value, for the square's gradient fades with the
    grain, so that the weaker half of it would stay; this one pushes all grain alike, as hard as L1 does. The square
    beside it pushes hardest where a whole texture was drawn on nothing, harder from d = 1 / (2 square) on.
    """
    original = original.detach()
    off = detail(output - original).abs()
    return (flatness(original, allowed) * (off + square * off.square())).mean()


def detail(x: Tensor) -> Tensor:
    """x: (N, C, H, W) without the mean of the 5x5 pixels around each, edges reflected."""
    return x - _around(x, 5)


def _around(x: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(F.pad(x, (side // 2,) * 4, mode="reflect"), side, 1)


def ldl_map(output: Tensor, averaged: Tensor, target: Tensor) -> Tensor:
    """Where details are artefacts (Liang et al., "Details or Artifacts", CVPR 2022, arXiv:2203.09195): (N, 1, H, W).

    averaged: the output of the averaged weights. Local variance (7x7) of the output's residual, times a fifth root of
    the residual's variance over the picture; 0 where the output is nearer to the target than the averaged one.
    """
    residual = (target - output).abs().sum(1, keepdim=True)
    averaged_residual = (target - averaged).abs().sum(1, keepdim=True)
    whole = residual.var((1, 2, 3), keepdim=True) ** (1 / 5)
    weight = whole * local_variance(residual, 7)
    return weight.masked_fill(residual < averaged_residual, 0.0)


def ldl_loss(output: Tensor, averaged: Tensor, target: Tensor) -> Tensor:
    """L1 where `ldl_map` finds artefacts. The map is a weight: no gradient passes through it.

    In the authors' code one does, which is not finite where output and target are equal.
    """
    weight = ldl_map(output.detach(), averaged, target)
    return F.l1_loss(weight * output, weight * target)


def local_variance(x: Tensor, side: int) -> Tensor:
    """x: (N, 1, H, W). Unbiased variance of the side x side neighbourhood of each place, edges reflected."""
    around = F.unfold(F.pad(x, (side // 2,) * 4, mode="reflect"), side)
    return around.var(1).view(x.shape)


def negative_map(original: Tensor, negative: Tensor, positive: Tensor | None, votes: tuple[int, int]) -> Tensor:
    """Where a negative ground truth is to be avoided (HGGT, arXiv:2303.13069): (1, 1, H, W).

    All pictures (1, 3, H, W) in [0, 1]. votes: how many of three people said so of the negative, of the positive.
    The local variance of what was changed, 3x3, to the power 3/4, times the share of votes; 0 where the positive
    changed more. Without a positive every place counts.
    """
    worse = votes[0] / 3 * _changed(original, negative)
    if positive is None:
        return worse
    return worse.masked_fill(votes[1] / 3 * _changed(original, positive) >= worse, 0.0)


def negative_loss(output: Tensor, gts: Tensor, labels: Tensor, votes: Tensor, *, rng: torch.Generator) -> Tensor:
    """-300 times the L1 distance to a negative ground truth where it differs, a mean over the batch; 0 without one.

    gts: (N, K, 3, H, W) in [0, 1]; labels, votes: (N, K). A negative, and a positive for the map, are drawn a sample;
    every sample takes two numbers from rng, whatever its labels are.
    """
    terms: list[Tensor] = []
    drawn = torch.rand(len(output), 2, dtype=torch.float64, generator=rng)
    for i in range(len(output)):
        negatives, positives = (
            (labels[i] == int(kind)).nonzero().flatten() for kind in (Label.NEGATIVE, Label.POSITIVE)
        )
        if not len(negatives):
            terms.append(output[i].sum() * 0)
            continue
        chosen = negatives[int(drawn[i, 0] * len(negatives))]
        better = positives[int(drawn[i, 1] * len(positives))] if len(positives) else None
        negative = gts[i, chosen][None]
        weight = negative_map(
            gts[i, 0][None],
            negative,
            None if better is None else gts[i, better][None],
            (int(votes[i, chosen]), 0 if better is None else int(votes[i, better])),
        )
        terms.append((weight * output[i] - weight * negative).abs().mean())
    return -NEGATIVE_FACTOR * torch.stack(terms).mean()


def _changed(original: Tensor, version: Tensor) -> Tensor:
    return local_variance((original - version).abs().sum(1, keepdim=True), 3) ** 0.75
