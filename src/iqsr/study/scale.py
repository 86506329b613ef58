"""All methods on one scale, with intervals: Bradley-Terry's log-worths and Thurstone's JOD."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iqsr.study.ballots import Ballots, Counts, wins
from iqsr.study.bootstrap import SCALE_RESAMPLES, Crossing, figure_intervals
from iqsr.study.bradley_terry import is_compared, is_connected, log_worths, with_prior
from iqsr.study.thurstone import jod


@dataclass(frozen=True)
class Scaled:
    """A method on both scales, each with 0 as its mean over the methods; higher is better."""

    method: str
    jod: float
    """1 JOD better is preferred in 75 % of votes."""
    jod_interval: tuple[float, float]
    """95 %, bootstrap over raters and pictures."""
    log_worth: float
    """Bradley-Terry: the logit of a preference is the difference of two."""
    log_worth_interval: tuple[float, float]
    """As `jod_interval`."""


@dataclass(frozen=True)
class Scale:
    """The methods, best first."""

    methods: tuple[Scaled, ...]
    has_prior: bool
    """Whether a vote for no difference was added to each set of methods, because the scale would be infinite."""
    over: tuple[str, ...]
    """What the intervals resample: raters, pictures, or both."""


def scale(ballots: Ballots, resamples: int = SCALE_RESAMPLES) -> Scale | None:
    """Scale all methods; None where some were never compared with others, directly or over a third.

    A resample whose scale would be infinite gets the prior, like votes whose scale would be.
    """
    counts, shown = ballots.counts(), ballots.shown
    if not is_compared(shown):
        return None
    crossing = Crossing(ballots.rater, ballots.picture)
    n = len(ballots.methods)
    values = _scales(counts, shown)
    low, high = figure_intervals(crossing, lambda weights: _scales(ballots.counts(weights), shown), resamples)
    rows = [
        Scaled(
            method=method,
            jod=float(values[i]),
            jod_interval=(float(low[i]), float(high[i])),
            log_worth=float(values[n + i]),
            log_worth_interval=(float(low[n + i]), float(high[n + i])),
        )
        for i, method in enumerate(ballots.methods)
    ]
    ranked = tuple(sorted(rows, key=lambda row: -row.jod))
    return Scale(ranked, not is_connected(counts, shown), crossing.over)


def _scales(counts: Counts, shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(2 * methods,): JOD, then log-worths."""
    finite = counts if is_connected(counts, shown) else with_prior(counts)
    theta = log_worths(finite, shown)
    return np.concatenate([jod(wins(finite, shown), start=theta), theta])
