"""How likely a study finds a preference that is there: power by simulation."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from iqsr.errors import UsageError
from iqsr.study.balance import deal

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_VOTES_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Assumptions:
    """What a simulated study is made of.

    A rater prefers the first method with the probability Phi(m + r + p): r is the rater's, p the picture's, both
    normal with mean 0. m makes the mean over raters and pictures the effect.
    """

    effect: float = 0.6
    """Share of votes for the better method, over all raters and pictures. At 0.5 the power is the rate of false alarms
    of the test."""
    pictures: int = 100
    rater_sd: float = 0.25
    """Standard deviation between raters, in probits."""
    picture_sd: float = 0.5
    """Standard deviation between pictures, in probits."""
    level: float = 0.05
    """Of the test, known as alpha."""


@dataclass(frozen=True)
class Power:
    """How often simulated studies of one design found the preference."""

    raters: int
    pairs: int
    """For each rater."""
    votes: int
    votes_per_picture: float
    power: float
    low: float
    """Of the 95 % interval (Wilson's) that the number of simulations leaves."""
    high: float


def simulate_power(
    raters: int, pairs: int, assumptions: Assumptions | None = None, *, simulations: int = 2000, seed: int = 0
) -> Power:
    """Simulate studies of two methods, and test each: a one-sided t-test of whether the raters' shares exceed one half.

    Args:
        raters: How many people rate, at least 2.
        pairs: Pairs of pictures for each, at most as many as there are pictures.
        assumptions: What the studies are made of; the defaults if it is None.
        simulations: How many studies.
        seed: Of the random source.

    Raises:
        UsageError: A number is out of range.
    """
    from scipy.stats import binomtest

    given = assumptions or Assumptions()
    _check(raters, pairs, given, simulations)
    hands = np.array(deal(raters, pairs, given.pictures, Random(seed)))
    rng = np.random.default_rng([seed, raters, pairs])
    at_once = max(1, _MOST_VOTES_AT_ONCE // (raters * pairs))
    found = sum(
        int(_significant(_shares(min(at_once, simulations - start), hands, given, rng), given.level).sum())
        for start in range(0, simulations, at_once)
    )
    interval = binomtest(found, simulations).proportion_ci(method="wilson")
    votes = raters * pairs
    return Power(raters, pairs, votes, votes / given.pictures, found / simulations, interval.low, interval.high)


def _check(raters: int, pairs: int, given: Assumptions, simulations: int) -> None:
    if not 0 < given.effect < 1:
        raise UsageError(f"--effect is a share of votes between 0 and 1, not {given.effect:g}")
    if not 0 < given.level < 1:
        raise UsageError(f"--level lies between 0 and 1, not {given.level:g}")
    if min(given.rater_sd, given.picture_sd) < 0:
        raise UsageError("standard deviations are 0 or more")
    if raters < 2:
        raise UsageError("a t-test over raters needs two raters or more")
    if min(pairs, simulations) < 1:
        raise UsageError("a study needs at least one pair, and the power at least one simulation")
    if pairs > given.pictures:
        raise UsageError(f"{pairs} pairs for each rater need as many pictures, and --scenes is {given.pictures}")


def _shares(studies: int, hands: NDArray[np.int_], given: Assumptions, rng: np.random.Generator) -> NDArray[np.float64]:
    """(studies, raters): the share of each rater's votes for the better method."""
    from scipy.special import ndtr, ndtri

    spread = np.sqrt(1 + given.rater_sd**2 + given.picture_sd**2)
    of_raters = rng.normal(ndtri(given.effect) * spread, given.rater_sd, (studies, len(hands), 1))
    of_pictures = rng.normal(0, given.picture_sd, (studies, given.pictures))
    votes = rng.random((studies, *hands.shape)) < ndtr(of_raters + of_pictures[:, hands])
    return votes.mean(2)


def _significant(shares: NDArray[np.float64], level: float) -> NDArray[np.bool_]:
    """(studies,): whether the t-test finds the mean share above .5. Equal shares above .5 count as found."""
    from scipy.stats import t

    raters = shares.shape[1]
    excess, error = shares.mean(1) - 0.5, shares.std(1, ddof=1) / np.sqrt(raters)
    return excess > t.isf(level, raters - 1) * error
