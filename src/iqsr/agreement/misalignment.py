"""Metrics against people's labels on sets of ground truths: what a sampling by the metric would get wrong.

arXiv:2504.18524, sections 3.2 and 7.1. A set has one original and its enhanced versions; people found some of these
better than the original (positive), some worse (negative). The original, and what people found similar, is neither:
it counts among the non-positives and among the non-negatives. A tie counts one half in every share.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iqsr.agreement.rate import Rate
from iqsr.datasets import Label


@dataclass(frozen=True)
class Misalignment:
    """One metric against the labels."""

    positive: Rate
    """of the sets with a positive: some non-positive is ranked above a positive"""
    negative: Rate
    """of the sets with a negative: a negative is ranked above some non-negative"""
    negative_highest: Rate
    """of the sets with a negative: a negative is ranked above everything else"""
    negative_drawn: Rate
    """of all sets: a negative is ranked highest, hence trained on by an argmax over the set. The product of
    `negative_highest` and of the share of sets with a negative"""


@dataclass(frozen=True)
class Misalignments:
    """Metrics against the labels of the same sets."""

    with_positive: Rate
    """share of sets that have a positive"""
    with_negative: Rate
    """share of sets that have a negative"""
    metrics: Mapping[str, Misalignment]


def compare_sets(
    scores: Mapping[str, NDArray[np.float64]], labels: NDArray[np.int8], higher_is_better: Mapping[str, bool]
) -> Misalignments:
    """All figures from scores that are there. scores[metric] and labels (codes of `Label`): (sets, ground truths)."""
    positive, negative = labels == Label.POSITIVE, labels == Label.NEGATIVE
    return Misalignments(
        with_positive=Rate(len(labels), int(positive.any(1).sum())),
        with_negative=Rate(len(labels), int(negative.any(1).sum())),
        metrics={
            metric: _misalignment(q if higher_is_better[metric] else -q, positive, negative)
            for metric, q in scores.items()
        },
    )


def _misalignment(q: NDArray[np.float64], positive: NDArray[np.bool_], negative: NDArray[np.bool_]) -> Misalignment:
    """q: (sets, ground truths), higher is better."""
    p, n = positive.any(1), negative.any(1)
    highest = _above(_greatest(q[n], negative[n]), _greatest(q[n], ~negative[n]))
    return Misalignment(
        positive=_above(_greatest(q[p], ~positive[p]), _least(q[p], positive[p])),
        negative=_above(_greatest(q[n], negative[n]), _least(q[n], ~negative[n])),
        negative_highest=highest,
        negative_drawn=Rate(len(q), highest.hits, highest.ties),
    )


def _greatest(q: NDArray[np.float64], among: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(among, q, -np.inf).max(1, initial=-np.inf)


def _least(q: NDArray[np.float64], among: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(among, q, np.inf).min(1, initial=np.inf)


def _above(a: NDArray[np.float64], b: NDArray[np.float64]) -> Rate:
    return Rate(len(a), int((a > b).sum()), int((a == b).sum()))
