"""Metrics against people on pairs: accuracy, and how well one metric does where another fails.

"Augmenting Perceptual Super-Resolution via Image Quality Predictors", CVPR 2025, arXiv:2504.18524, section 3.1.
A metric is right on a pair if it orders the two pictures as the majority of people does.

* A pair on which people are evenly split (share exactly 0.5) has no majority and is left out; how many is told.
* A pair to which a metric gives two equal scores is a tie and counts one half, as in the two-alternative
  forced-choice score of the field (Zhang et al., 2018, arXiv:1801.03924); how many is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iqsr.agreement.rate import Rate

Scores = NDArray[np.float64]
Outcomes = NDArray[np.int8]


@dataclass(frozen=True)
class Agreement:
    """Metrics against people on the same pairs."""

    pairs: int
    """all of them"""
    undecided: int
    """of these, evenly split: in no other figure"""
    majority: float
    """mean size of the majority on decided pairs, in (0.5, 1]: how often one person agrees with it"""
    accuracy: Mapping[str, Rate]
    """by metric; n = decided pairs"""
    complementarity: Mapping[tuple[str, str], Rate]
    """by (a, b), a other than b: accuracy of b on the pairs that a gets wrong, ties of a not among them"""

    @property
    def ranking(self) -> list[str]:
        """The metrics, most accurate first."""
        return sorted(self.accuracy, key=lambda metric: -self.accuracy[metric].value)


def outcomes(first: Scores, second: Scores, share_first: Scores, *, higher_is_better: bool) -> Outcomes:
    """(n,) for a metric's scores of both pictures: 1 ordered as the majority does, -1 the other way, 0 tied.

    share_first must not be 0.5. Infinite scores (PSNR of equal pictures) are scores like others.
    """
    preferred = (first > second).astype(np.int8) - (first < second).astype(np.int8)
    majority = np.where(share_first > 0.5, 1, -1).astype(np.int8)
    return preferred * majority if higher_is_better else -preferred * majority


def rate(found: Outcomes) -> Rate:
    """The share of right outcomes."""
    return Rate(n=len(found), hits=int((found > 0).sum()), ties=int((found == 0).sum()))


def compare(
    scores: Mapping[str, tuple[Scores, Scores]], share_first: Scores, higher_is_better: Mapping[str, bool]
) -> Agreement:
    """All figures from scores that are there: `scores[metric]` has those of the first and of the second pictures."""
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
