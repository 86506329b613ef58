"""What a study's database holds, as the tables that others read: votes, answers, participants."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from iqsr.study.design import Design, read_design
from iqsr.study.store import AnswerRow, EventRow, ParticipantRow, RaterRow, TrialRow, database_url, open_database
from iqsr.study.votes import NO_DIFFERENCE, VOTES_FILE, Vote, votes_of, write_votes

_saving = threading.Lock()
"""Whoever saves reads the votes within it: older ones never replace newer ones."""


def read_served_votes(study: Path, database: str | None = None) -> list[Vote]:
    """The votes of a study that is or was served, in the order in which they were given.

    Args:
        study: The study's folder.
        database: The URL of its database. None: SQLite's file in the folder.

    Raises:
        UsageError: the folder is no study.
        IqsrError: the database cannot be opened.
    """
    design = read_design(study)
    opened = open_database(database_url(database, study))
    try:
        with opened.reading() as session:
            return votes_in(session, design)
    finally:
        opened.close()


def save_votes(session: Session, design: Design, study: Path) -> None:
    """Bring `votes.csv` of the study's folder up to date: what other raters said, from sheets, stays in it.

    Raises:
        UsageError: the file that is there is damaged.
        WriteError: it cannot be written.
    """
    with _saving:
        votes, file = votes_in(session, design), study / VOTES_FILE
        withdrawn = session.scalars(select(RaterRow.name).where(RaterRow.withdrawn_at.is_not(None)))
        served = {vote.rater for vote in votes} | set(withdrawn)
        others = [vote for vote in votes_of(study) if vote.rater not in served]
        if file.exists() or votes:
            write_votes([*others, *votes], file)


def votes_in(session: Session, design: Design) -> list[Vote]:
    """The votes that stand: the last event of each trial, where it is a vote."""
    raters = {rater.id: rater.name for rater in session.scalars(select(RaterRow))}
    trials = {(row.rater_id, row.trial): row for row in session.scalars(select(TrialRow))}
    last = {(event.rater_id, event.trial): event for event in session.scalars(select(EventRow).order_by(EventRow.id))}
    standing = sorted((event for event in last.values() if event.kind == "vote"), key=lambda event: event.id)
    return [_vote(event, raters[event.rater_id], trials[event.rater_id, event.trial], design) for event in standing]


def answers_in(session: Session) -> list[tuple[str, str, str, str]]:
    """Rater, part, question and value of each answer of the questionnaire."""
    rows = session.execute(
        select(RaterRow.name, AnswerRow.part, AnswerRow.question, AnswerRow.value)
        .join(RaterRow, RaterRow.id == AnswerRow.rater_id)
        .order_by(RaterRow.id, AnswerRow.part.desc(), AnswerRow.question)
    )
    return [(name, part, question, _text(json.loads(value))) for name, part, question, value in rows]


def participants_in(session: Session, finished: Iterable[int]) -> list[tuple[str, str]]:
    """The platform's name of each participant and whether they finished. No seat: that would join them to the votes."""
    done = set(finished)
    rows = session.scalars(select(ParticipantRow).order_by(ParticipantRow.pid))
    return [(row.pid, "yes" if row.rater_id in done else "no") for row in rows]


def _vote(event: EventRow, rater: str, row: TrialRow, design: Design) -> Vote:
    shown = tuple(json.loads(row.shown))
    return Vote(
        rater=rater,
        trial=event.trial,
        picture=row.picture,
        shown=shown,
        chosen=NO_DIFFERENCE if event.choice is None else shown[event.choice],
        kind=row.kind,  # pyright: ignore[reportArgumentType]
        mode=design.mode,
        seconds=event.seconds,
        zoom=event.zoom,
        viewport_width=event.viewport_width,
        viewport_height=event.viewport_height,
        pixel_ratio=event.pixel_ratio,
        at=event.at,
        strength=event.strength,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
