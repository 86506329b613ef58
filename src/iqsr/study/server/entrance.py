"""The open link: hands out seats to whoever comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from iqsr.study.server.served import ServedStudy, add_rater, current_raters, imported_votes
from iqsr.study.server.shared import Shared, client, page, shared
from iqsr.study.server.steps import Refused, now
from iqsr.study.store import EventRow, ParticipantRow, RaterRow, StudyRow

IDLE_SEAT_MINUTES = 30
"""After that a seat whose rater has not begun may be handed out again, if no other is left."""
_LONGEST_PID = 200

router = APIRouter()


@router.get("/")
def landing(request: Request, pid: str = "") -> Response:
    """What the study is about, and a button that takes a seat."""
    common = shared(request)
    if not common.open_link:
        message = "To take part, open the link that you were given."
        return HTMLResponse(page(request, "message", message=message), status_code=404)
    with common.study.database.reading() as session:
        free = _free_seat(session, common.study) is not None or _known(session, pid) is not None
    text = common.study.settings.instructions
    return HTMLResponse(page(request, "landing", text=text, pid=_checked(pid), free=free))


@router.get("/join")
def join(request: Request, pid: str = "") -> Response:
    """Take a seat, or go back to the one that the participant has."""
    common = shared(request)
    if not common.open_link:
        raise Refused(404, "To take part, open the link that you were given.")
    if not common.joins.take(client(request)):
        raise Refused(429, "Too many places were taken from here; wait a minute.")
    return RedirectResponse(f"/s/{_token(common, _checked(pid))}", status_code=303)


def _token(common: Shared, pid: str) -> str:
    study = common.study

    def take(session: Session) -> str:
        session.scalars(select(StudyRow).with_for_update()).one()  # one after the other, on PostgreSQL too
        rater = _known(session, pid) or _take_seat(session, study, pid)
        return study.keys.seat_token(rater.seat, rater.generation)

    return study.database.write(take)


def _take_seat(session: Session, study: ServedStudy, pid: str) -> RaterRow:
    rater = _free_seat(session, study)
    if rater is None:
        raise Refused(409, "All places in this study are taken. Thank you for your interest.")
    if rater.joined_at is not None:
        rater.replaced_at = now()
        session.execute(delete(ParticipantRow).where(ParticipantRow.rater_id == rater.id))
        rater = add_rater(session, study.keys, rater.seat, rater.generation + 1)
    rater.joined_at = now()
    session.flush()
    if pid:
        session.add(ParticipantRow(pid=pid, rater_id=rater.id))
    return rater


def _known(session: Session, pid: str) -> RaterRow | None:
    """The rater that a platform's participant is already."""
    participant = session.get(ParticipantRow, pid) if pid else None
    return session.get(RaterRow, participant.rater_id) if participant else None


def _free_seat(session: Session, study: ServedStudy) -> RaterRow | None:
    """The first seat that nobody has, or else the first whose rater came and did not begin.

    Seats whose votes were imported are not free: new votes would replace those.
    """
    current = current_raters(session)
    in_order = [current[seat.name] for seat in study.design.seats]
    elsewhere = {vote.rater for vote in imported_votes(session, study)}
    untouched = (rater for rater in in_order if rater.joined_at is None and rater.name not in elsewhere)
    return next(untouched, None) or _idle_seat(session, study, in_order)


def _idle_seat(session: Session, study: ServedStudy, raters: list[RaterRow]) -> RaterRow | None:
    """The first that was taken a while ago, and whose rater has not agreed to anything nor answered."""
    before = datetime.now(UTC) - timedelta(minutes=IDLE_SEAT_MINUTES)
    answered = set(session.scalars(select(EventRow.rater_id).distinct()))
    for rater in raters:
        has_begun = rater.before_at or (rater.consented_at and study.settings.consent) or rater.id in answered
        if rater.joined_at and not has_begun and datetime.fromisoformat(rater.joined_at) < before:
            return rater
    return None


def _checked(pid: str) -> str:
    if len(pid) > _LONGEST_PID or not pid.isprintable():
        raise Refused(422, "pid: at most 200 characters that can be printed.")
    return pid
