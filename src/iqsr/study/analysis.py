"""Analyse a study: who prefers what, how sure that is, and whether the raters can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from iqsr.agreement.rates import Rate
from iqsr.errors import UnknownNameError, UsageError
from iqsr.study.ballots import encode
from iqsr.study.bootstrap import SCALE_RESAMPLES
from iqsr.study.design import ATTENTION, Design
from iqsr.study.import_tables import UNKNOWN_RATER
from iqsr.study.preferences import Preference, preferences
from iqsr.study.reliability import Alpha, alpha
from iqsr.study.scale import Scale, scale
from iqsr.study.screening import RaterRecord, attention_rate, screen, sides_of
from iqsr.study.statistics import SideBias
from iqsr.study.votes import NO_DIFFERENCE, Vote

if TYPE_CHECKING:
    from iqsr.agreement import Agreement


@dataclass(frozen=True)
class Findings:
    """What the votes of some raters say."""

    votes: int
    """Without attention checks and repeats, as in all of these figures."""
    raters: int
    """0 where they are not known."""
    pictures: int
    no_difference: int
    """Votes for it."""
    preferences: tuple[Preference, ...]
    """A pair of methods each; first is the method that was expected to win."""
    scale: Scale | None
    """None where some methods were never compared with others."""
    alpha: Alpha | None
    """None where raters are not known."""


@dataclass(frozen=True)
class Spread:
    """Quartiles of what browsers measured."""

    votes: int
    quartile: float
    median: float
    upper_quartile: float


@dataclass(frozen=True)
class Analysis:
    """A study's results."""

    methods: tuple[str, ...]
    """The one that was expected to win first."""
    findings: Findings
    """Of all raters."""
    screened: Findings | None
    """Of all but the screened raters; None where no rater is screened."""
    raters: tuple[RaterRecord, ...]
    attention: Rate | None
    """Passed checks of all raters; None without checks."""
    repeats: Rate | None
    """Repeats with the same answer; None without repeats."""
    sides: SideBias | None
    """None where sides are not known."""
    seconds: Spread | None
    """Time of a vote; None where it is not known."""
    zoom: Spread | None
    """Device pixels for a picture's pixel; None where it is not known."""
    agreement: Agreement | None = None
    """Of metrics with the votes, picture by picture; None where no metric was asked, or pictures are not here."""

    @property
    def screened_raters(self) -> tuple[RaterRecord, ...]:
        """Those with a reason."""
        return tuple(record for record in self.raters if record.reasons)


def analyze(
    votes: Sequence[Vote],
    design: Design | None = None,
    *,
    expected: str | None = None,
    resamples: int = SCALE_RESAMPLES,
) -> Analysis:
    """Compute all figures of a study but the agreement of metrics.

    Args:
        votes: Of all kinds.
        design: The study's; None for votes of other tools, whose sides are not known.
        expected: The method that was expected to win before the first vote: one-sided tests ask whether it did. None:
            the design's first, or the first by name.
        resamples: Of the bootstrap of the scales, each of which is two fits.

    Returns:
        The results; the same votes give the same.

    Raises:
        UsageError: There are no votes, they do not belong to the design, or there is no method `expected`.
    """
    counted = [vote for vote in votes if vote.kind == "vote"]
    if not counted:
        raise UsageError("there are no votes to analyse")
    methods = _methods(counted, design, expected)
    records = screen(votes, methods, has_sides=design is not None)
    out = {record.name for record in records if record.reasons}
    rest = [vote for vote in counted if vote.rater not in out]
    same = [record.repeats for record in records if record.repeats is not None]
    return Analysis(
        methods=methods,
        findings=_findings(counted, methods, resamples),
        screened=_findings(rest, methods, resamples) if out and rest else None,
        raters=records,
        attention=attention_rate(votes),
        repeats=Rate(sum(one.n for one in same), sum(one.hits for one in same)) if same else None,
        sides=None if design is None else sides_of(votes),
        seconds=_spread([vote.seconds for vote in counted]),
        zoom=_spread([vote.zoom for vote in counted]),
    )


def _methods(votes: Sequence[Vote], design: Design | None, expected: str | None) -> tuple[str, ...]:
    """All methods with votes, the expected one first."""
    seen = {method for vote in votes for method in vote.shown}
    if design is not None:
        _check_belong(votes, design)
    known = sorted(seen) if design is None else [method for method in design.methods if method in seen]
    if expected is not None and expected not in known:
        raise UnknownNameError("method", expected, known)
    return tuple(sorted(known, key=lambda method: method != expected))


def _check_belong(votes: Sequence[Vote], design: Design) -> None:
    pictures, methods = set(design.pictures), {*design.methods, ATTENTION}
    for vote in votes:
        if vote.picture not in pictures or not methods.issuperset(vote.shown):
            raise UsageError(
                f"the vote of '{vote.rater}' on '{vote.trial}' ({vote.picture}: {', '.join(vote.shown)}) is of no "
                "picture and methods of this study; votes of another tool are analysed in a folder without its design"
            )


def _findings(votes: Sequence[Vote], methods: Sequence[str], resamples: int) -> Findings:
    present = {method for vote in votes for method in vote.shown}
    ballots = encode(votes, [method for method in methods if method in present])
    known = encode([vote for vote in votes if vote.rater != UNKNOWN_RATER], ballots.methods)
    return Findings(
        votes=len(ballots),
        raters=len(known.raters),
        pictures=len(ballots.pictures),
        no_difference=sum(vote.chosen == NO_DIFFERENCE for vote in votes),
        preferences=preferences(ballots),
        scale=scale(ballots, resamples),
        alpha=alpha(known) if len(known.raters) > 1 else None,
    )


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, middle, high = np.percentile(known, (25, 50, 75))
    return Spread(len(known), float(low), float(middle), float(high))


def picture_order(preference: Preference) -> list[tuple[str, float]]:
    """Pictures with the share of the first method, its best first; equal ones by name."""
    shares: Mapping[str, float] = {picture: tally.share for picture, tally in preference.by_picture.items()}
    return sorted(shares.items(), key=lambda item: (-item[1], item[0]))
