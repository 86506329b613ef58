"""How good a predictor is: rank correlation and pair accuracy against the teachers, ladders of defects, attacks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from scipy.stats import spearmanr
from torch import Tensor

from iqsr.metrics.dense import Predictor
from iqsr.training.predictor.batches import Versions
from iqsr.training.predictor.ladders import even_strengths, ladder
from iqsr.training.predictor.objective import attacked

Score = Callable[[Tensor], Tensor]
"""(N, 3, H, W) in [0, 1] -> (N,), higher is better."""


CLEAR = 0.05
"""Distances that differ by this much differ clearly: by a sixth of the scale on which scores fall to 1 / e."""


@dataclass(frozen=True)
class Agreement:
    """Of scores with LPIPS-ST's distances to clean originals that the predictor never saw."""

    srcc: float
    """Spearman's rank correlation with the mean of both trunks, over all pictures."""
    srcc_alex: float
    """The same with the AlexNet trunk alone."""
    srcc_vgg: float
    """The same with the VGG16 trunk alone."""
    pairs: float
    """Share of the pairs of versions of one crop that are ordered as by the mean of both trunks."""
    agreed: float
    """The same, of the pairs that both trunks order alike: there LPIPS-ST is of one mind."""
    clear: float
    """The same, of the pairs whose mean distances differ by `CLEAR` or more."""
    pictures: int
    """How many were scored."""
    n_pairs: int
    """How many pairs there are."""
    n_agreed: int
    """How many of them both trunks order alike."""
    n_clear: int
    """How many of them differ clearly."""


def agreement(scores: Sequence[Tensor], versions: Versions) -> Agreement:
    """scores: a (K,) a crop, as the versions of `versions` stand."""
    ordered, agreed, clear = [], [], []
    for score, alex, vgg in zip(scores, versions.alex, versions.vgg, strict=True):
        i, j = torch.triu_indices(len(score), len(score), 1)
        mean = (alex + vgg) / 2
        right = (score[i] - score[j]) * (mean[j] - mean[i]) > 0
        ordered.append(right[mean[i] != mean[j]])
        agreed.append(right[(alex[i] - alex[j]) * (vgg[i] - vgg[j]) > 0])
        clear.append(right[(mean[i] - mean[j]).abs() >= CLEAR])
    flat, alex, vgg = torch.cat(list(scores)), torch.cat(versions.alex), torch.cat(versions.vgg)
    srcc, srcc_alex, srcc_vgg = (_srcc(flat, -d) for d in (alex + vgg, alex, vgg))
    (pairs, n_pairs), (alike, n_alike), (apart, n_apart) = map(_share, (ordered, agreed, clear))
    return Agreement(srcc, srcc_alex, srcc_vgg, pairs, alike, apart, len(flat), n_pairs, n_alike, n_apart)


def _share(right: Sequence[Tensor]) -> tuple[float, int]:
    """The share of pairs that are right, and how many there are."""
    pairs = torch.cat(list(right)).float()
    return float(pairs.mean()), len(pairs)


def _srcc(x: Tensor, y: Tensor) -> float:
    found: Any = spearmanr(x, y)
    return float(found.statistic)


@torch.inference_mode()
def score_versions(score: Score, versions: Versions) -> list[Tensor]:
    """A (K,) of scores a crop."""
    return [score(pictures.float() / 255).float() for pictures in versions.pictures]


class Monotone(NamedTuple):
    """Shares of pictures whose score falls with every rung of a ladder of defects."""

    from_clean: float
    """From the clean picture on: also from it to the mildest defect, which may be less than the picture's own."""
    strengths: float
    """From the mildest defect on."""


@torch.inference_mode()
def monotone(score: Score, pictures: Sequence[Tensor], defect: str, seed: int = 0) -> Monotone:
    """The shares for pictures (1, 3, H, W), each followed by `even_strengths` of the defect."""
    falls = [
        [better > worse for better, worse in pairwise(score(ladder(x, defect, even_strengths(), seed + n)).tolist())]
        for n, x in enumerate(pictures)
    ]
    return Monotone(sum(map(all, falls)) / len(falls), sum(all(steps[1:]) for steps in falls) / len(falls))


def rise_under_attack(model: Predictor, pictures: Tensor, *, eps: float = 4 / 255, steps: int = 20) -> Tensor:
    """How many points projected gradient ascent adds to each picture's score; pictures: (N, 3, H, W), returns (N,)."""
    rises = []
    for x in pictures.split(10):
        adversarial = attacked(model, x, eps=eps, steps=steps)
        with torch.inference_mode():
            rises.append(model.predict(adversarial).score - model.predict(x).score)
    return torch.cat(rises)
