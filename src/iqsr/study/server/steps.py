"""What a rater does, step by step: consent, questions, votes, more questions, done. Withdrawal at any time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, cast

from sqlalchemy import CursorResult, bindparam, delete, insert, select
from sqlalchemy.orm import Session

from iqsr.study.design import INPUT, Kind, Trial
from iqsr.study.records import votes_in
from iqsr.study.server.bodies import VoteBody
from iqsr.study.server.questionnaire import check_answers
from iqsr.study.server.served import GivenTrial, ServedStudy, add_rater
from iqsr.study.store import AnswerRow, EventRow, ParticipantRow, RaterRow, TrialRow

Part = Literal["before", "after"]
State = dict[str, Any]


class Refused(Exception):  # noqa: N818
    """A request that cannot be granted: status and one sentence for the rater."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def now() -> str:
    """The time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class _Event(NamedTuple):
    """What matters of an event for the next step."""

    id: int
    trial: str
    kind: str
    key: str | None
    choice: int | None


_EVENTS = (
    select(EventRow.id, EventRow.trial, EventRow.kind, EventRow.key, EventRow.choice)
    .where(EventRow.rater_id == bindparam("rater"))
    .order_by(EventRow.id)
)

_ADD = insert(EventRow.__table__)  # pyright: ignore[reportArgumentType]


@dataclass
class Steps:
    """One rater's way through the study, within one session of the database.

    Args:
        study: The study.
        session: A session; what changes something needs one that writes, in which the rater's row is locked.
        rater: The rater's row.
    """

    study: ServedStudy
    session: Session
    rater: RaterRow

    def __post_init__(self) -> None:
        self._given = self._given_trials()
        self._events = self._all_events()
        last = {event.trial: event for event in self._events}
        self._answered = {trial: event for trial, event in last.items() if event.kind == "vote"}

    def state(self) -> State:
        """What the page shows now."""
        step = self._step()
        if step == "withdrawn":
            return {"step": step, "title": self.study.settings.title}
        settings = self.study.settings
        waiting = self._waiting() if step == "rating" else []
        return {
            "step": step,
            "title": settings.title,
            "question": settings.question,
            "instructions": settings.instructions,
            "consent": settings.consent,
            "mode": self.study.design.mode,
            "allow_no_difference": settings.allow_no_difference,
            "ask_strength": settings.ask_strength,
            "questions": [question.model_dump() for question in self._questions(step)],
            "total": len(self._given) or self.study.planned(self.rater.seat),
            "answered": len(self._answered),
            "trial": self._displayed(waiting[0]) if waiting else None,
            "next": self._displayed(waiting[1]) if len(waiting) > 1 else None,
            "can_undo": bool(self._answered) and step in ("rating", "after", "done"),
            "completion_code": settings.completion_code or None if step == "done" else None,
        }

    @property
    def has_arrived(self) -> bool:
        """Whether `arrive` would change nothing."""
        rater = self.rater
        waits_for_trials = rater.consented_at is None and not self.study.settings.consent
        return rater.withdrawn_at is not None or (rater.joined_at is not None and not waits_for_trials)

    def arrive(self) -> None:
        """Take the seat; where no consent is asked for, the trials are chosen now."""
        if not self.has_arrived:
            self.rater.joined_at = self.rater.joined_at or now()
            if not self.study.settings.consent:
                self.consent()

    def remember(self) -> None:
        """Spare later requests the look-up of the trials, now that they are committed."""
        if self.rater.withdrawn_at is not None:
            self.study.given.pop(self.rater.id, None)
        elif self._given:
            self.study.given[self.rater.id] = self._given

    def consent(self) -> None:
        """Agree to take part; the trials are chosen now."""
        self._refuse_withdrawn()
        if self.rater.consented_at is None:
            self.rater.consented_at = now()
            self._assign()

    def answer_questions(self, part: Part, answers: dict[str, Any]) -> None:
        """Store the answers of a part of the questionnaire. Answers that are there stay as they are."""
        self._refuse_withdrawn()
        done = self.rater.before_at if part == "before" else self.rater.after_at
        if self._step() != part and done is None:
            raise Refused(409, "These questions are not asked now.")
        if done is not None:
            return
        values = check_answers(self._questions(part), answers)
        if isinstance(values, str):
            raise Refused(422, values)
        for question, value in values.items():
            text = json.dumps(value, ensure_ascii=False)
            self.session.add(AnswerRow(rater_id=self.rater.id, part=part, question=question, value=text))
        if part == "before":
            self.rater.before_at = now()
        else:
            self.rater.after_at = now()

    def vote(self, body: VoteBody) -> bool:
        """Add a vote. Returns False where the same one is there already."""
        self._refuse_withdrawn()
        trial = next((given.trial for given in self._given if given.trial.id == body.trial), None)
        if trial is None:
            raise Refused(409, "This pair is not one of yours.")
        sent = self._sent(body.key)
        if sent is not None:
            if (sent.trial, sent.choice) != (body.trial, body.choice):
                raise Refused(409, "This answer was sent before with another choice.")
            return False
        last = self._answered.get(trial.id)
        if last is not None:
            if last.choice != body.choice:
                raise Refused(409, "This pair is answered already; undo to answer it anew.")
            return False
        self._check_vote(trial, body)
        width, height = body.viewport or (None, None)
        self._add(
            "vote",
            trial.id,
            body.key,
            choice=body.choice,
            strength=body.strength or "",
            seconds=body.seconds,
            zoom=body.zoom,
            viewport_width=width,
            viewport_height=height,
            pixel_ratio=body.pixel_ratio,
        )
        return True

    def undo(self, key: str | None, trial: str | None) -> None:
        """Open the last answered trial again. With `trial`, only if that is the last one: a request sent twice."""
        self._refuse_withdrawn()
        last = max(self._answered.values(), key=lambda event: event.id, default=None)
        if last is None or (trial is not None and last.trial != trial):
            return
        if key is None or self._sent(key) is None:
            self._add("undo", last.trial, key)

    def withdraw(self) -> None:
        """Delete what the rater said and the platform's name for them. The seat gets a new link for someone else."""
        if self.rater.withdrawn_at is not None:
            return
        for table in (EventRow, AnswerRow, ParticipantRow, TrialRow):
            self.session.execute(delete(table).where(table.rater_id == self.rater.id))
        self.rater.withdrawn_at = now()
        self.rater.joined_at = self.rater.consented_at = self.rater.before_at = self.rater.after_at = None
        add_rater(self.session, self.study.keys, self.rater.seat, self.rater.generation + 1)
        self._given, self._events, self._answered = (), [], {}

    def _step(self) -> str:
        rater, settings = self.rater, self.study.settings
        if rater.withdrawn_at is not None:
            return "withdrawn"
        if rater.consented_at is None:
            return "consent"
        if settings.before and rater.before_at is None:
            return "before"
        if len(self._answered) < len(self._given):
            return "rating"
        return "after" if settings.after and rater.after_at is None else "done"

    def _questions(self, step: str) -> Sequence[Any]:
        return {"before": self.study.settings.before, "after": self.study.settings.after}.get(step, ())

    def _displayed(self, given: GivenTrial) -> State:
        width, height = self.study.sizes[given.trial.picture]
        token = self.study.keys.seat_token(self.rater.seat, self.rater.generation)
        urls = [f"/s/{token}/p/{name}" for name in given.names]
        small = f"/s/{token}/p/{given.input_name}" if given.input_name else None
        return {"id": given.trial.id, "pictures": urls, "input": small, "width": width, "height": height}

    def _waiting(self) -> list[GivenTrial]:
        return [given for given in self._given if given.trial.id not in self._answered]

    def _given_trials(self) -> tuple[GivenTrial, ...]:
        known = self.study.given.get(self.rater.id)
        if known is None and self.rater.consented_at is not None:
            return given_trials(self.study, self.session, self.rater.id)
        return known or ()

    def _assign(self) -> None:
        design = self.study.design
        if design.pairing == "asap":
            from iqsr.study.asap import assign

            trials = assign(design, self.rater.seat, votes_in(self.session, design))
        else:
            trials = self.study.seat(self.rater.seat).trials
        self.session.add_all(
            TrialRow(
                rater_id=self.rater.id,
                position=position,
                trial=trial.id,
                picture=trial.picture,
                shown=json.dumps(trial.shown, ensure_ascii=False),
                kind=trial.kind,
            )
            for position, trial in enumerate(trials)
        )
        self._given = given_trials(self.study, self.session, self.rater.id)

    def _all_events(self) -> list[_Event]:
        return [_Event(*row) for row in self.session.execute(_EVENTS, {"rater": self.rater.id})]

    def _sent(self, key: str) -> _Event | None:
        return next((event for event in self._events if event.key == key), None)

    def _check_vote(self, trial: Trial, body: VoteBody) -> None:
        if self._step() != "rating":
            raise Refused(409, "Pairs are not rated now.")
        if trial != self._waiting()[0].trial:
            raise Refused(409, "Another pair comes first.")
        if body.choice is None and not self.study.settings.allow_no_difference:
            raise Refused(422, "Choose one of the pictures.")
        if body.choice is not None and body.choice >= len(trial.shown):
            raise Refused(422, "There is no such picture.")

    def _add(self, kind: str, trial: str, key: str | None, **facts: Any) -> None:
        row = {"rater_id": self.rater.id, "trial": trial, "kind": kind, "key": key, "strength": "", "at": now()} | facts
        added = self.session.execute(_ADD, row)
        if kind == "vote":
            (number,) = cast("CursorResult[Any]", added).inserted_primary_key or (0,)
            self._answered[trial] = _Event(number, trial, kind, key, facts["choice"])
        else:
            del self._answered[trial]

    def _refuse_withdrawn(self) -> None:
        if self.rater.withdrawn_at is not None:
            raise Refused(410, "You have withdrawn from this study.")


def given_trials(study: ServedStudy, session: Session, rater: int) -> tuple[GivenTrial, ...]:
    """The trials that the database has for a rater, in their order."""
    rows = session.scalars(select(TrialRow).where(TrialRow.rater_id == rater).order_by(TrialRow.position))
    return tuple(_given(study, row) for row in rows)


def _given(study: ServedStudy, row: TrialRow) -> GivenTrial:
    shown = tuple(json.loads(row.shown))
    names = (study.keys.picture_name(row.rater_id, row.trial, position) for position in range(len(shown)))
    small = study.keys.input_name(row.rater_id, row.trial) if INPUT in study.design.files[row.picture] else None
    kind = cast("Kind", row.kind)
    return GivenTrial(Trial(row.trial, row.picture, shown, kind), tuple(names), small)
