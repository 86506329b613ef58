"""How well metrics agree with people: accuracy and complementarity on pairs, misalignment on sets of ground truths.

"Augmenting Perceptual Super-Resolution via Image Quality Predictors", CVPR 2025, arXiv:2504.18524, section 3.1 (pairs)
and sections 3.2 and 7.1 (sets). On a pair a metric is right if it orders the two pictures as the majority of people.

* A pair on which people are evenly split (share exactly 0.5) has no majority; it is counted as undecided and not used.
* A pair to which a metric gives two equal scores is a tie and counts one half, as in the two-alternative
  forced-choice score of the field (Zhang et al., 2018, arXiv:1801.03924).

A set has one original and its enhanced versions; people found some of these better than the original (positive), some
worse (negative). The original, and what people found similar, is neither: it counts among the non-positives and among
the non-negatives. A tie counts one half in every share.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import nan

import numpy as np
from numpy.typing import NDArray

from iqsr.datasets import Label

CONFIDENCE = 0.95
Scores = NDArray[np.float64]
Outcomes = NDArray[np.int8]


@dataclass(frozen=True)
class Rate:
    """A share of cases with its confidence interval: `hits` of `n` cases, and `ties` that count one half each."""

    n: int
    hits: int
    ties: int = 0

    @property
    def value(self) -> float:
        """The share, in [0, 1]; NaN without cases."""
        return (self.hits + self.ties / 2) / self.n if self.n else nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % score interval (Wilson, 1927, doi:10.1080/01621459.1927.10502953), by SciPy; NaN without cases.

        It assumes independent cases and needs a whole number of hits. An odd number of ties leaves half a hit: the
        interval then spans the intervals of the two neighbouring whole numbers.
        """
        if not self.n:
            return nan, nan
        twice = 2 * self.hits + self.ties
        return wilson(twice // 2, self.n)[0], wilson((twice + 1) // 2, self.n)[1]


@lru_cache(maxsize=100_000)
def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `hits` in `n`."""
    from scipy.stats import binomtest

    low, high = binomtest(hits, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(low), float(high)


@dataclass(frozen=True)
class Agreement:
    """Metrics against people on the same pairs."""

    pairs: int
    """Number of all pairs."""
    undecided: int
    """How many of them are evenly split; these are in no other figure."""
    majority: float
    """Mean share of the majority on decided pairs, in (0.5, 1]: how often one person agrees with the majority."""
    accuracy: Mapping[str, Rate]
    """By metric, over the decided pairs."""
    complementarity: Mapping[tuple[str, str], Rate]
    """By (a, b), a other than b: the accuracy of b on the pairs that a gets wrong (its ties are not wrong)."""

    @property
    def ranking(self) -> list[str]:
        """The metrics, most accurate first."""
        return sorted(self.accuracy, key=lambda metric: -self.accuracy[metric].value)


def outcomes(first: Scores, second: Scores, share_first: Scores, *, higher_is_better: bool) -> Outcomes:
    """(n,) for a metric's scores of both pictures of n pairs: 1 right, -1 wrong, 0 a tie.

    share_first must not be 0.5. Infinite scores (PSNR of equal pictures) are scores like others.
    """
    preferred = (first > second).astype(np.int8) - (first < second).astype(np.int8)
    majority = np.where(share_first > 0.5, 1, -1).astype(np.int8)
    return preferred * majority if higher_is_better else -preferred * majority


def rate(found: Outcomes) -> Rate:
    """The share of right outcomes."""
    return Rate(n=len(found), hits=int((found > 0).sum()), ties=int((found == 0).sum()))


def compare_pairs(
    scores: Mapping[str, tuple[Scores, Scores]], share_first: Scores, higher_is_better: Mapping[str, bool]
) -> Agreement:
    """Agreement on pairs. scores[metric]: the scores of the first and of the second pictures, (n,) each."""
    decided = share_first != 0.5
    share = share_first[decided]
    found = {
        metric: outcomes(first[decided], second[decided], share, higher_is_better=higher_is_better[metric])
        for metric, (first, second) in scores.items()
    }
    wrong = {metric: outcome < 0 for metric, outcome in found.items()}
    return Agreement(
        pairs=len(share_first),
        undecided=int((~decided).sum()),
        majority=float(np.maximum(share, 1 - share).mean()) if len(share) else float("nan"),
        accuracy={metric: rate(outcome) for metric, outcome in found.items()},
        complementarity={(a, b): rate(found[b][wrong[a]]) for a in found for b in found if a != b},
    )


@dataclass(frozen=True)
class Misalignment:
    """One metric's contradictions to people's labels."""

    positive: Rate
    """Share of the sets with a positive in which a non-positive is ranked above a positive."""
    negative: Rate
    """Share of the sets with a negative in which a negative is ranked above a non-negative."""
    negative_highest: Rate
    """Share of the sets with a negative in which a negative is ranked highest."""
    negative_drawn: Rate
    """Share of all sets in which a negative is ranked highest, and hence chosen by an argmax over the set."""


@dataclass(frozen=True)
class Misalignments:
    """Metrics against people's labels of the same sets."""

    with_positive: Rate
    """Share of sets that have a positive."""
    with_negative: Rate
    """Share of sets that have a negative."""
    metrics: Mapping[str, Misalignment]


def compare_sets(
    scores: Mapping[str, NDArray[np.float64]], labels: NDArray[np.int8], higher_is_better: Mapping[str, bool]
) -> Misalignments:
    """Misalignment on sets. scores[metric] and labels (codes of `Label`): (sets, ground truths)."""
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
