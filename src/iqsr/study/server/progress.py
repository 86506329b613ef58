"""How far the raters of a study are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from iqsr.study.records import votes_in
from iqsr.study.screening import MOST_FAILED_CHECKS, attention_rate
from iqsr.study.server.served import ServedStudy, imported_votes
from iqsr.study.store import RaterRow, TrialRow
from iqsr.study.votes import Vote


@dataclass(frozen=True)
class RaterProgress:
    """One rater."""

    name: str
    token: str
    status: str
    """not begun, begun, rating, done, imported (votes without the server), withdrawn, given away."""
    answered: int
    total: int
    attention_passed: int
    attention_answered: int

    @property
    def is_invalid(self) -> bool:
        """Whether the analysis leaves the rater out for attention checks that failed."""
        most = MOST_FAILED_CHECKS * self.attention_answered
        return self.attention_answered - self.attention_passed > most


@dataclass(frozen=True)
class Progress:
    """All raters, in the order of the seats."""

    raters: tuple[RaterProgress, ...]

    @property
    def answered(self) -> int:
        """Trials that have an answer."""
        return sum(rater.answered for rater in self.raters)

    @property
    def total(self) -> int:
        """Trials of all seats."""
        return sum(rater.total for rater in self.raters if rater.status not in ("withdrawn", "given away"))

    def count(self, status: str) -> int:
        """Raters with the status."""
        return sum(rater.status == status for rater in self.raters)

    def line(self) -> str:
        """In one line."""
        begun = self.count("begun") + self.count("rating")
        return f"{self.answered} of {self.total} answers · raters at work: {begun}, done: {self.count('done')}"


def read_progress(session: Session, study: ServedStudy) -> Progress:
    """The raters' progress now."""
    imported = imported_votes(session, study)
    elsewhere = {vote.rater for vote in imported}
    votes = [*votes_in(session, study.design), *imported]
    answered = Counter(vote.rater for vote in votes)
    checks: dict[str, list[Vote]] = {}
    for vote in votes:
        if vote.kind == "attention":
            checks.setdefault(vote.rater, []).append(vote)
    assigned = Counter(session.scalars(select(TrialRow.rater_id)))
    order = {seat.name: place for place, seat in enumerate(study.design.seats)}
    rows = sorted(session.scalars(select(RaterRow)), key=lambda row: (order[row.seat], row.generation))
    raters: list[RaterProgress] = []
    for row in rows:
        total = assigned[row.id] or study.planned(row.seat)
        status = "imported" if row.name in elsewhere else _status(row, study, answered[row.name] >= total)
        token = study.keys.seat_token(row.seat, row.generation)
        rate = attention_rate(checks.get(row.name, []))
        passed = (rate.hits, rate.n) if rate else (0, 0)
        raters.append(RaterProgress(row.name, token, status, answered[row.name], total, *passed))
    return Progress(tuple(raters))


def finished_ids(session: Session, study: ServedStudy) -> list[int]:
    """The ids of raters who are done."""
    done = {rater.name for rater in read_progress(session, study).raters if rater.status == "done"}
    return [row.id for row in session.scalars(select(RaterRow)) if row.name in done]


def _status(row: RaterRow, study: ServedStudy, all_answered: bool) -> str:
    if row.withdrawn_at is not None:
        return "withdrawn"
    if row.replaced_at is not None:
        return "given away"
    if row.consented_at is None:
        return "not begun" if row.joined_at is None else "begun"
    if study.settings.before and row.before_at is None:
        return "begun"
    return "done" if all_answered and (row.after_at is not None or not study.settings.after) else "rating"
