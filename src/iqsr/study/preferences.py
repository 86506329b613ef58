"""Which of two methods people prefer: over all votes, by rater, by picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import nan

import numpy as np
from numpy.typing import NDArray

from iqsr.study.ballots import Ballots
from iqsr.study.bootstrap import Crossing, share_interval
from iqsr.study.import_tables import UNKNOWN_RATER
from iqsr.study.statistics import ShareSummary, summarise_shares


@dataclass(frozen=True)
class Tally:
    """Votes for the first of two methods, for the second, and for no difference."""

    first: int
    second: int
    no_difference: int

    @property
    def votes(self) -> int:
        """All of them."""
        return self.first + self.second + self.no_difference

    @property
    def share(self) -> float:
        """Of the first, in [0, 1]; no difference is half a vote. NaN without votes."""
        return (self.first + self.no_difference / 2) / self.votes if self.votes else nan


@dataclass(frozen=True)
class Preference:
    """Two methods. Of a choice among more, those votes count that chose one of the two, or saw no difference."""

    first: str
    second: str
    tally: Tally
    interval: tuple[float, float]
    """95 % of the share of votes, bootstrap over `over`."""
    over: tuple[str, ...]
    """What the interval resamples: raters, pictures, or both."""
    raters: ShareSummary | None
    """Of the raters' shares; None where raters are not known."""
    by_rater: Mapping[str, Tally]
    by_picture: Mapping[str, Tally]


def preferences(ballots: Ballots) -> tuple[Preference, ...]:
    """All pairs of methods that have votes; of each pair, first is the method that is earlier in `ballots.methods`."""
    found = (preference(ballots, a, b) for a, b in combinations(range(len(ballots.methods)), 2))
    return tuple(one for one in found if one is not None)


def preference(ballots: Ballots, first: int, second: int) -> Preference | None:
    """Two methods by their index; None where no vote says anything of them."""
    none = len(ballots.methods)
    together = ballots.shown[:, first] & ballots.shown[:, second]
    ours = ballots.only(together[ballots.set] & np.isin(ballots.choice, (first, second, none)))
    if not len(ours):
        return None
    wins = np.where(ours.choice == first, 1.0, np.where(ours.choice == none, 0.5, 0.0))
    crossing = Crossing(ours.rater, ours.picture)
    by_rater = _tallies(ours.rater, wins, ballots.raters)
    known = [tally.share for rater, tally in by_rater.items() if rater != UNKNOWN_RATER]
    return Preference(
        first=ballots.methods[first],
        second=ballots.methods[second],
        tally=_tally(wins),
        interval=share_interval(crossing, wins),
        over=crossing.over,
        raters=summarise_shares(np.array(known)) if known else None,
        by_rater=by_rater,
        by_picture=_tallies(ours.picture, wins, ballots.pictures),
    )


def _tallies(index: NDArray[np.intp], wins: NDArray[np.float64], names: Sequence[str]) -> dict[str, Tally]:
    return {names[place]: _tally(wins[index == place]) for place in map(int, np.unique(index))}


def _tally(wins: NDArray[np.float64]) -> Tally:
    return Tally(int((wins == 1).sum()), int((wins == 0).sum()), int((wins == 0.5).sum()))
