"""Do raters agree with one another, and each with themselves?

Krippendorff's alpha for nominal data ("Computing Krippendorff's alpha-reliability", 2011): 1 is full agreement, 0 what
chance gives, below 0 is systematic disagreement. Raters who see different pictures, and any number of them, are fine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from iqsr.agreement.rates import Rate
from iqsr.study.ballots import Ballots
from iqsr.study.bootstrap import SCALE_RESAMPLES, SEED, percentile_interval
from iqsr.study.votes import Vote


@dataclass(frozen=True)
class Alpha:
    """Agreement among raters."""

    value: float
    """Up to 1; NaN where no picture has two votes, or all votes are equal."""
    interval: tuple[float, float]
    """95 %, percentile bootstrap over units."""
    units: int
    """Pictures with two votes or more on the same methods."""
    votes: int
    """On these."""


def krippendorff(counts: Sequence[NDArray[np.float64]] | NDArray[np.float64]) -> float:
    """Krippendorff's alpha of nominal data.

    Args:
        counts: (units, categories): how many raters put each unit into each category. Several such tables are pooled:
            each expects the disagreement that its own categories give by chance.

    Returns:
        Alpha; NaN without a unit of two values, and where all values are equal.
    """
    tables = [counts] if isinstance(counts, np.ndarray) else list(counts)
    observed, expected = np.sum([_disagreements(table) for table in tables], axis=0) if tables else (0.0, 0.0)
    return float(1 - observed / expected) if expected else nan


def alpha(ballots: Ballots) -> Alpha:
    """Agreement of raters on which method is better; the units are pictures with the methods that were shown."""
    tables = unit_tables(ballots)
    rng = np.random.default_rng(SEED)
    drawn = [
        krippendorff([table[rng.integers(0, len(table), len(table))] for table in tables])
        for _ in range(SCALE_RESAMPLES)
    ]
    low, high = percentile_interval(np.array(drawn)[:, None])
    return Alpha(
        value=krippendorff(tables),
        interval=(float(low[0]), float(high[0])),
        units=sum(map(len, tables)),
        votes=int(sum(table.sum() for table in tables)),
    )


def unit_tables(ballots: Ballots) -> list[NDArray[np.float64]]:
    """For each set of methods, (pictures, choices): how many raters chose what. Pictures of one vote are left out."""
    tables: list[NDArray[np.float64]] = []
    choices = len(ballots.methods) + 1
    for number in range(len(ballots.sets)):
        here = ballots.set == number
        cells = ballots.picture[here] * choices + ballots.choice[here]
        table = np.bincount(cells, minlength=len(ballots.pictures) * choices).astype(float).reshape(-1, choices)
        table = table[table.sum(1) > 1]
        if len(table):
            tables.append(table)
    return tables


def _disagreements(counts: NDArray[np.float64]) -> tuple[float, float]:
    """Observed and expected disagreement, each times the number of pairable values."""
    counts = counts[counts.sum(1) > 1]
    of_unit, of_category = counts.sum(1), counts.sum(0)
    n = float(of_unit.sum())
    if n < 2:
        return 0.0, 0.0
    observed = float(((of_unit**2 - (counts**2).sum(1)) / (of_unit - 1)).sum())
    return observed, (n**2 - float((of_category**2).sum())) / (n - 1)


def repeats(votes: Sequence[Vote]) -> dict[str, Rate]:
    """By rater: how often a repeat got the same answer as the trial that it repeats. Raters without repeats are not in.

    A repeat has the same picture and methods as an earlier trial of the rater; one without its trial is not counted.
    """
    first = {(vote.rater, vote.picture, frozenset(vote.shown)): vote.chosen for vote in votes if vote.kind == "vote"}
    same: dict[str, list[bool]] = {}
    for vote in votes:
        earlier = first.get((vote.rater, vote.picture, frozenset(vote.shown)))
        if vote.kind == "repeat" and earlier is not None:
            same.setdefault(vote.rater, []).append(vote.chosen == earlier)
    return {rater: Rate(len(found), sum(found)) for rater, found in same.items()}
