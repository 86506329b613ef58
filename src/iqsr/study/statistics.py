"""How sure a preference is: raters' shares with the paper's test, and the sides they chose."""

from __future__ import annotations

from dataclasses import dataclass
from math import copysign, inf, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class ShareSummary:
    """Raters' shares of votes for a method against even preference, as in arXiv:2504.18524, section 12."""

    raters: int
    mean: float
    median: float
    standard_error: float
    """Of the mean: standard deviation of the shares over the root of their number; NaN below two raters."""
    t: float
    """Of the one-sample t-test against 0.5; infinite where all shares are equal and another value."""
    p: float
    """One-sided: how often raters without a preference would give such a mean or a higher one."""
    p_two_sided: float
    interval: tuple[float, float]
    """95 %, by Student's t."""
    interval_normal: tuple[float, float]
    """95 %, mean ± 1.96 standard errors, as the paper computes it: too narrow for few raters."""


def summarise_shares(shares: Values) -> ShareSummary:
    """The paper's figures. shares: (raters,) in [0, 1], one share each, all finite, at least one.

    Where all raters have the same share, the test has no spread to compare with: there is no interval, t is infinite
    and p 0 or 1, or both are NaN if that share is 0.5.
    """
    from scipy import stats

    n, mean, median = len(shares), float(shares.mean()), float(np.median(shares))
    if n < 2:
        return ShareSummary(n, mean, median, nan, nan, nan, nan, (nan, nan), (nan, nan))
    error = float(stats.sem(shares))
    if np.ptp(shares) < 1e-12:
        t = nan if mean == 0.5 else copysign(inf, mean - 0.5)
        p = nan if mean == 0.5 else float(mean < 0.5)
        return ShareSummary(n, mean, median, 0.0, t, p, nan if mean == 0.5 else 0.0, (nan, nan), (nan, nan))
    upper: Any = stats.ttest_1samp(shares, 0.5, alternative="greater")
    both: Any = stats.ttest_1samp(shares, 0.5)
    student = stats.t.interval(CONFIDENCE, n - 1, loc=mean, scale=error)
    normal = stats.norm.interval(CONFIDENCE, loc=mean, scale=error)
    return ShareSummary(
        raters=n,
        mean=mean,
        median=median,
        standard_error=error,
        t=float(upper.statistic),
        p=float(upper.pvalue),
        p_two_sided=float(both.pvalue),
        interval=(float(student[0]), float(student[1])),
        interval_normal=(float(normal[0]), float(normal[1])),
    )


@dataclass(frozen=True)
class SideBias:
    """How often the left picture was chosen, of two side by side or under a slider."""

    votes: int
    """With a preference."""
    left: int
    p: float
    """Two-sided binomial test against one half; NaN without votes."""

    @property
    def share(self) -> float:
        """Of the left, in [0, 1]; NaN without votes."""
        return self.left / self.votes if self.votes else nan


def side_bias(left: int, votes: int) -> SideBias:
    """Test whether the left side was chosen more or less often than the right."""
    from scipy.stats import binomtest

    return SideBias(votes, left, float(binomtest(left, votes).pvalue) if votes else nan)
