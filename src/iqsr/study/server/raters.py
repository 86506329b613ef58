"""What raters' browsers ask for: the page, its state, pictures; and what they send."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from sqlalchemy.orm import Session
from starlette.types import Receive, Scope, Send

from iqsr.study.design import INPUT
from iqsr.study.records import save_votes
from iqsr.study.server.bodies import AnswersBody, ConsentBody, EmptyBody, UndoBody, VoteBody
from iqsr.study.server.shared import count_request, find_rater, shared
from iqsr.study.server.shared import page as html
from iqsr.study.server.steps import Refused, State, Steps, given_trials

_PIECE_BYTES = 256 * 1024

router = APIRouter(prefix="/s/{token}", dependencies=[Depends(count_request)])


@router.get("")
def page(request: Request, token: str) -> Response:
    """The rater's page, the same for all raters."""
    with shared(request).study.database.reading() as session:
        find_rater(request, session, token, lock=False)
    return HTMLResponse(html(request, "rate"))


@router.get("/state")
def state(request: Request, token: str) -> Response:
    """What the page shows now."""
    study = shared(request).study
    with study.database.reading() as session:
        rater = find_rater(request, session, token, lock=False)
        steps = Steps(study, session, rater)
        if steps.has_arrived:
            return JSONResponse(steps.state())
    return JSONResponse(_change(request, token, lambda steps: None))


@router.post("/consent")
def consent(request: Request, token: str, body: ConsentBody) -> Response:
    """Agree to take part."""
    return JSONResponse(_change(request, token, Steps.consent))


@router.post("/questions")
def questions(request: Request, token: str, body: AnswersBody) -> Response:
    """Answer a part of the questionnaire."""
    return JSONResponse(_change(request, token, lambda steps: steps.answer_questions(body.part, body.answers)))


@router.post("/votes")
def votes(request: Request, token: str, body: VoteBody) -> Response:
    """Answer a trial: 201 where the vote is new, 200 where the same one is there already."""
    added: list[bool] = []
    state = _change(request, token, lambda steps: added.append(steps.vote(body)))
    return JSONResponse(state, status_code=201 if added[0] else 200)


@router.post("/undo")
def undo(request: Request, token: str, body: UndoBody) -> Response:
    """Open the last answered trial again."""
    return JSONResponse(_change(request, token, lambda steps: steps.undo(body.key, body.trial)))


@router.post("/withdraw")
def withdraw(request: Request, token: str, body: EmptyBody) -> Response:
    """Delete everything that the rater said."""
    study, state = shared(request).study, _change(request, token, Steps.withdraw)
    shared(request).pictures.pop(token, None)
    study.database.forget()
    with study.database.reading() as session:
        save_votes(session, study.design, study.folder)
    return JSONResponse(state)


@router.get("/p/{name}")
def picture(request: Request, token: str, name: str) -> Response:
    """A picture of one of the rater's trials. The headers of all pictures of a trial are the same."""
    known = shared(request).pictures.get(token)
    if known is None:
        known = shared(request).pictures[token] = _pictures(request, token)
    if name not in known:
        raise Refused(404, "There is no such picture.")
    return Picture(known[name].read_bytes(), media_type="image/png")


class Picture(Response):
    """Sent in pieces, the next one when the client has read enough of the one before."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        body = memoryview(self.body)
        for start in range(0, len(body), _PIECE_BYTES):
            piece = bytes(body[start : start + _PIECE_BYTES])
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _pictures(request: Request, token: str) -> dict[str, Path]:
    """The files of the rater's pictures by name."""
    study = shared(request).study
    with study.database.reading() as session:
        rater = find_rater(request, session, token, lock=False)
        trials = given_trials(study, session, rater.id)
    if not trials:
        raise Refused(404, "There is no such picture.")
    found: dict[str, Path] = {}
    for given in trials:
        picture = given.trial.picture
        for name, method in zip(given.names, given.trial.shown, strict=True):
            found[name] = study.picture_file(picture, method)
        if given.input_name is not None:
            found[given.input_name] = study.picture_file(picture, INPUT)
    return found


def _change(request: Request, token: str, action: Callable[[Steps], object]) -> State:
    """Do something for the rater; the state after it, once it is on the disk."""
    study = shared(request).study

    def change(session: Session) -> Steps:
        rater = find_rater(request, session, token, lock=True)
        steps = Steps(study, session, rater)
        steps.arrive()
        action(steps)
        return steps

    steps = study.database.write(change)
    steps.remember()
    return steps.state()
