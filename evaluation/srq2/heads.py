"""The two heads of srq-2, learned from pairs by the Bradley-Terry likelihood (Biometrika 1952)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from iqsr.metrics.srq_2 import combined
from pairs import Pairs

COMPONENTS = 200
DEFECT_PENALTY, SHARPNESS_PENALTY = 0.6, 10.0
LADDER_WEIGHT = 0.3
LIMIT = 6.0


@dataclass(frozen=True)
class Head:
    """A weighted sum of standardised statistics, as `StandardisedSum` in srq_2.py computes it."""

    mean: np.ndarray
    deviation: np.ndarray
    weight: np.ndarray

    def __call__(self, statistics: np.ndarray) -> np.ndarray:
        return self.standard(statistics) @ self.weight

    def standard(self, statistics: np.ndarray) -> np.ndarray:
        return np.clip((statistics - self.mean) / self.deviation, -LIMIT, LIMIT)


class DefectSpace:
    """The leading principal components of the deep statistics, of all pictures to learn from; it knows no ratings."""

    def __init__(self, rated: np.ndarray, ladders: np.ndarray) -> None:
        both = np.concatenate([rated, ladders])
        self.mean, self.deviation = both.mean(0), both.std(0) + 1e-4
        standard = self._standard(both).astype(np.float64)
        values, vectors = np.linalg.eigh(standard.T @ standard)
        self.axes = vectors[:, np.argsort(-values)[:COMPONENTS]]
        self.axes /= (standard @ self.axes[:, 0]).std()
        self.rated, self.ladders = (self._standard(x) @ self.axes for x in (rated, ladders))

    def _standard(self, x: np.ndarray) -> np.ndarray:
        return np.clip((x - self.mean) / self.deviation, -LIMIT, LIMIT)

    def learn(self, rated: Pairs, ladders: Pairs, start: np.ndarray | None = None) -> tuple[Head, np.ndarray]:
        """The head, and its weights of the components, with which a similar fit may start."""
        found = bradley_terry(
            [(self.rated, rated, 1.0), (self.ladders, ladders, LADDER_WEIGHT)], DEFECT_PENALTY, start=start
        )
        return Head(self.mean, self.deviation, self.axes @ found), found


def learn_sharpness(sharp: np.ndarray, votes: Pairs, deviation: np.ndarray) -> Head:
    """Zero is the median of the voted pictures."""
    mean = np.median(sharp[np.unique([votes.first, votes.second])], 0)
    weight = bradley_terry([((sharp - mean) / deviation, votes, 1.0)], SHARPNESS_PENALTY)
    return Head(mean, deviation, weight)


def bradley_terry(
    sets: Sequence[tuple[np.ndarray, Pairs, float]], penalty: float, start: np.ndarray | None = None
) -> np.ndarray:
    """Weights of the statistics' differences, by Newton's method.

    sets: statistics of a set's pictures, its pairs, the weight of the set. penalty: of the squared weights, halved.
    """
    differences = np.concatenate([x[p.first] - x[p.second] for x, p, _ in sets]).astype(np.float64)
    shares = np.concatenate([p.share for _, p, _ in sets])
    counts = np.concatenate([p.weight * w for _, p, w in sets])
    weight = np.zeros(differences.shape[1]) if start is None else start
    for _ in range(12):
        chance = 1 / (1 + np.exp(-np.clip(differences @ weight, -30, 30)))
        slope = differences.T @ (counts * (chance - shares)) + penalty * weight
        curvature = counts * np.maximum(chance * (1 - chance), 1e-4)
        step = np.linalg.solve(
            (differences * curvature[:, None]).T @ differences + penalty * np.eye(len(weight)), slope
        )
        length = float(np.linalg.norm(step))
        weight = weight - step * min(1.0, 20 / length)
        if length < 1e-3:
            break
    return weight


def scores(deep: np.ndarray, sharp: np.ndarray, defects: Head, sharpness: Head) -> np.ndarray:
    """Of pictures, by their statistics."""
    return combined(torch.from_numpy(defects(deep)), torch.from_numpy(sharpness(sharp))).numpy()
