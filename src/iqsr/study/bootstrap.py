"""Intervals over raters and pictures: both are samples, of people and of scenes.

Owen's pigeonhole bootstrap (2007, doi:10.1214/07-AOAS122): raters and pictures are drawn anew, independently, and a
vote counts as often as its rater was drawn, times as often as its picture was. Its intervals are rather too wide than
too narrow. Where there is one rater alone, or they are not known, pictures alone are drawn, and the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import nan

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

RESAMPLES = 9_999
"""Of a share."""
SCALE_RESAMPLES = 1_000
"""Of a scale, each of which is a fit."""
SEED = 0
MOST_FAILED = 0.1
"""Of the resamples that may have no figure; with more there is no interval."""
_BATCH = 500


@dataclass(frozen=True)
class Crossing:
    """Which rater voted on which picture."""

    rater: NDArray[np.intp]
    """(votes,): any numbers."""
    picture: NDArray[np.intp]
    """(votes,): any numbers."""

    @cached_property
    def _raters(self) -> tuple[NDArray[np.intp], int]:
        present, place = np.unique(self.rater, return_inverse=True)
        return place, len(present)

    @cached_property
    def _pictures(self) -> tuple[NDArray[np.intp], int]:
        present, place = np.unique(self.picture, return_inverse=True)
        return place, len(present)

    @property
    def over(self) -> tuple[str, ...]:
        """What is resampled: raters, pictures, both or nothing."""
        return tuple(name for name, (_, n) in (("raters", self._raters), ("pictures", self._pictures)) if n > 1)

    def draws(self, resamples: int, seed: int = SEED) -> Iterator[tuple[Values, Values]]:
        """How often each rater (batch, raters) and picture (batch, pictures) is drawn, some resamples at a time."""
        rng = np.random.default_rng(seed)
        for start in range(0, resamples, _BATCH):
            batch = min(_BATCH, resamples - start)
            yield _multiplicities(self._raters[1], batch, rng), _multiplicities(self._pictures[1], batch, rng)

    def table(self, values: Values) -> Values:
        """(raters, pictures): sums of values of votes, (votes,)."""
        raters, pictures = self._raters[1], self._pictures[1]
        cells = self._raters[0] * pictures + self._pictures[0]
        return np.bincount(cells, values, raters * pictures).astype(float).reshape(raters, pictures)

    def of_votes(self, raters: Values, pictures: Values) -> Values:
        """(votes,): how often each vote counts, from one resample's raters and pictures."""
        return raters[self._raters[0]] * pictures[self._pictures[0]]


def _multiplicities(n: int, batch: int, rng: np.random.Generator) -> Values:
    return rng.multinomial(n, np.full(n, 1 / n), size=batch).astype(float)


def share_interval(crossing: Crossing, wins: Values) -> tuple[float, float]:
    """The 95 % interval of a share of votes.

    Args:
        crossing: The votes.
        wins: (votes,): 1, 0, or 0.5 for no difference.

    Returns:
        The percentiles of 9,999 resamples; NaN where there is one rater and one picture.
    """
    if not crossing.over:
        return nan, nan
    won, votes = crossing.table(wins), crossing.table(np.ones(len(wins)))
    drawn: list[Values] = []
    for raters, pictures in crossing.draws(RESAMPLES):
        total = ((raters @ votes) * pictures).sum(1)
        with np.errstate(invalid="ignore"):
            drawn.append(((raters @ won) * pictures).sum(1) / total)
    low, high = percentile_interval(np.concatenate(drawn)[:, None])
    return float(low[0]), float(high[0])


def figure_intervals(
    crossing: Crossing, figures: Callable[[Values], Values], resamples: int = SCALE_RESAMPLES
) -> tuple[Values, Values]:
    """95 % intervals of several figures.

    Args:
        crossing: The votes.
        figures: The figures of weighted votes, (votes,) -> (figures,); NaN where these votes have none.
        resamples: How many.

    Returns:
        Lower and upper ends, (figures,): percentiles of the resamples; NaN where there is one rater and one picture.
    """
    weights = (
        crossing.of_votes(one, other)
        for raters, pictures in crossing.draws(resamples)
        for one, other in zip(raters, pictures, strict=True)
    )
    if not crossing.over:
        none = np.full_like(figures(np.ones(len(crossing.rater))), nan)
        return none, none
    return percentile_interval(np.array([figures(one) for one in weights]))


def percentile_interval(drawn: Values) -> tuple[Values, Values]:
    """2.5th and 97.5th percentiles of (resamples, figures); NaN for a figure that too many resamples lack."""
    failed = np.isnan(drawn).mean(0) > MOST_FAILED
    low, high = np.nanpercentile(np.where(failed, 0, drawn), (2.5, 97.5), axis=0)
    return np.where(failed, nan, low), np.where(failed, nan, high)
