"""Raters whose votes may not count: who did not look, who contradicts themselves, who votes unlike all others.

ITU-R BT.500-15 screens ratings by their kurtosis, which votes for one of two do not have. For pairs its idea (reject
whoever is far from the others' distribution, once) is pwcmp's outlier analysis (Pérez-Ortiz and Mantiuk, 2017,
arXiv:1712.03686): the likelihood of a rater's votes by the scale of all other raters, against the raters' quartiles.
An unusual taste is no fault, so results are reported with and without the screened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10, nan, sqrt
from statistics import median

import numpy as np

from iqsr.agreement.rates import Rate
from iqsr.study.ballots import Ballots, encode
from iqsr.study.bradley_terry import is_compared, is_connected, log_worths, with_prior
from iqsr.study.design import ATTENTION
from iqsr.study.import_tables import UNKNOWN_RATER
from iqsr.study.reliability import repeats
from iqsr.study.statistics import SideBias, side_bias
from iqsr.study.votes import NO_DIFFERENCE, Vote

MOST_FAILED_CHECKS = 0.2
"""Share of attention checks that a rater may fail."""
REPEATS_P = 0.05
"""A rater is inconsistent whose repeats get the same answer less often than a coin would give it, one-sided, at this p.
Honest answers to hard pairs are near a coin's; whoever always chooses one side is far below it, as repeats swap sides.
"""
SIDE_P = 0.001
"""A rater with a side bias of such a p or a lower one did not compare."""
MOST_DISTANCE = 1.5
"""Interquartile ranges below the first quartile of log-likelihoods, as in pwcmp's example."""
LEAST_Z = -2.33
"""An outlier is also less likely than one in a hundred raters of the others' scale: with few, quartiles are narrow."""
LEAST_RATERS = 5
"""From which quartiles mean something."""


@dataclass(frozen=True)
class RaterRecord:
    """A rater, and why the votes might not count."""

    name: str
    votes: int
    """Without attention checks and repeats."""
    attention: Rate | None
    """Passed checks; None without checks."""
    repeats: Rate | None
    """Repeats with the same answer; None without repeats."""
    sides: SideBias | None
    """None where sides are not known."""
    median_seconds: float
    """For a vote; NaN where it is not known."""
    log_likelihood: float
    """Base 10, of a vote, by the scale of all other raters; NaN with too few raters."""
    distance: float
    """Of that below the first quartile of raters, in interquartile ranges; 0 above it."""
    reasons: tuple[str, ...]
    """Why the rater is screened; none for most."""


def screen(votes: Sequence[Vote], methods: Sequence[str], *, has_sides: bool) -> tuple[RaterRecord, ...]:
    """A record for each known rater, in order of appearance.

    Args:
        votes: Of all kinds.
        methods: All methods.
        has_sides: Whether the order of `shown` is that of the screen.
    """
    by_rater: dict[str, list[Vote]] = {}
    for vote in votes:
        if vote.rater != UNKNOWN_RATER:
            by_rater.setdefault(vote.rater, []).append(vote)
    counted = encode([v for v in votes if v.kind == "vote" and v.rater != UNKNOWN_RATER], methods)
    unlike, consistency = _outliers(counted), repeats(votes)
    return tuple(
        _record(name, listed, consistency.get(name), unlike.get(name, _Likelihood()), has_sides)
        for name, listed in by_rater.items()
    )


def attention_rate(votes: Sequence[Vote]) -> Rate | None:
    """Attention checks in which the other picture than the degraded one was chosen; None without checks."""
    checks = [vote for vote in votes if vote.kind == "attention"]
    return Rate(len(checks), sum(v.chosen not in (ATTENTION, NO_DIFFERENCE) for v in checks)) if checks else None


def sides_of(votes: Sequence[Vote]) -> SideBias:
    """How often the left of two was chosen. Attention checks say nothing of it and are left out."""
    decided = [v for v in votes if len(v.shown) == 2 and v.chosen != NO_DIFFERENCE and v.kind != "attention"]
    return side_bias(sum(vote.chosen == vote.shown[0] for vote in decided), len(decided))


@dataclass(frozen=True)
class _Likelihood:
    """Of one rater's votes by the other raters' scale."""

    mean: float = nan
    """log10 of a vote"""
    z: float = nan
    """what it is above the mean that the scale expects, in standard deviations"""
    distance: float = 0.0


def _record(
    name: str, votes: Sequence[Vote], same: Rate | None, likelihood: _Likelihood, has_sides: bool
) -> RaterRecord:
    from scipy.stats import binomtest

    attention, sides = attention_rate(votes), sides_of(votes) if has_sides else None
    seconds = [vote.seconds for vote in votes if vote.seconds is not None]
    reasons: list[str] = []
    if attention is not None and 1 - attention.value > MOST_FAILED_CHECKS:
        reasons.append(f"failed {attention.n - attention.hits} of {attention.n} attention checks")
    if same is not None and binomtest(same.hits, same.n, alternative="less").pvalue < REPEATS_P:
        reasons.append(f"gave {same.hits} of {same.n} repeats the same answer")
    if sides is not None and sides.p <= SIDE_P:
        reasons.append(f"chose the left in {sides.left} of {sides.votes} votes")
    if likelihood.distance > MOST_DISTANCE and likelihood.z < LEAST_Z:
        reasons.append(f"votes unlike all others ({likelihood.distance:.1f} interquartile ranges below the quartile)")
    return RaterRecord(
        name=name,
        votes=sum(vote.kind == "vote" for vote in votes),
        attention=attention,
        repeats=same,
        sides=sides,
        median_seconds=median(seconds) if seconds else nan,
        log_likelihood=likelihood.mean,
        distance=likelihood.distance,
        reasons=tuple(reasons),
    )


def _outliers(ballots: Ballots) -> Mapping[str, _Likelihood]:
    """By rater, the likelihood of the votes and its distance to the quartile; empty with too few raters."""
    present = np.unique(ballots.rater)
    if len(present) < LEAST_RATERS or not is_compared(ballots.shown):
        return {}
    found = {ballots.raters[rater]: _likelihood(ballots, rater) for rater in present}
    quartile, upper = np.percentile([one.mean for one in found.values()], (25, 75))
    width = max(float(upper - quartile), 1e-9)
    return {
        name: _Likelihood(one.mean, one.z, max((float(quartile) - one.mean) / width, 0.0))
        for name, one in found.items()
    }


def _likelihood(ballots: Ballots, rater: int) -> _Likelihood:
    """Of one rater's votes, by Bradley and Terry's model of all others'. A vote for no difference is half of each."""
    others, own = ballots.only(ballots.rater != rater), ballots.only(ballots.rater == rater)
    counts = others.counts()
    theta = log_worths(counts if is_connected(counts, ballots.shown) else with_prior(counts), ballots.shown)
    worth = np.where(ballots.shown, np.exp(theta - theta.max()), 0)
    p = worth / worth.sum(1, keepdims=True)
    logs = np.log10(np.where(ballots.shown, p, 1))
    tied = (logs * ballots.shown).sum(1) / ballots.shown.sum(1)
    found = np.column_stack([logs, tied])[own.set, own.choice]
    expected = (p * logs).sum(1)
    spread = (p * logs**2).sum(1) - expected**2
    deviation = sqrt(float(spread[own.set].sum()))
    z = float((found - expected[own.set]).sum()) / deviation if deviation > log10(2) * 1e-6 else 0.0
    return _Likelihood(float(found.mean()), z)
