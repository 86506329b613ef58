"""The admin's page: progress, links, exports. Behind a token, which a form turns into a cookie."""

from __future__ import annotations

import csv
import hmac
import io
import time
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from iqsr.study.records import answers_in, participants_in, votes_in
from iqsr.study.server.progress import finished_ids, read_progress
from iqsr.study.server.served import imported_votes
from iqsr.study.server.shared import Shared, client, shared
from iqsr.study.server.steps import Refused
from iqsr.study.votes import votes_csv

if TYPE_CHECKING:
    from jinja2 import Environment

COOKIE = "iqsr_admin"
SESSION_SECONDS = 12 * 3600
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

router = APIRouter(prefix="/admin")


@router.get("")
def overview(request: Request) -> Response:
    """Progress and links; a form for the token without one."""
    common = shared(request)
    if not _is_admin(request):
        return HTMLResponse(_page("login", title=common.study.settings.title, wrong=False))
    with common.study.database.reading() as session:
        progress = read_progress(session, common.study)
    base = str(request.base_url).rstrip("/")
    values = {"title": common.study.settings.title, "progress": progress, "base": base, "open": common.open_link}
    return HTMLResponse(_page("admin", **values))


@router.post("")
async def log_in(request: Request) -> Response:
    """Check the token of the form; the cookie proves it from then on."""
    common = shared(request)
    if not common.admin_tokens.has(client(request)):
        raise Refused(429, "Too many wrong tokens; wait a minute.")
    given = parse_qs((await request.body()).decode("utf-8", "replace")).get("token", [""])[0].strip()
    if not hmac.compare_digest(given.encode(), common.admin_token.encode()):
        common.admin_tokens.take(client(request))
        return HTMLResponse(_page("login", title=common.study.settings.title, wrong=True), status_code=403)
    answer = RedirectResponse("/admin", status_code=303)
    answer.set_cookie(
        COOKIE,
        _signed(common, int(time.time()) + SESSION_SECONDS),
        max_age=SESSION_SECONDS,
        path="/admin",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post("/leave")
def log_out(request: Request) -> Response:
    """Forget the cookie."""
    answer = RedirectResponse("/admin", status_code=303)
    answer.delete_cookie(COOKIE, path="/admin", httponly=True, samesite="strict")
    return answer


@router.get("/votes.csv")
def votes(request: Request) -> Response:
    """The votes, for `iqsr study analyze`."""
    study = _admins(request).study
    with study.database.reading() as session:
        return _download("votes.csv", votes_csv([*imported_votes(session, study), *votes_in(session, study.design)]))


@router.get("/answers.csv")
def answers(request: Request) -> Response:
    """The questionnaire's answers."""
    common = _admins(request)
    with common.study.database.reading() as session:
        return _download("answers.csv", _table(("rater", "part", "question", "value"), answers_in(session)))


@router.get("/participants.csv")
def participants(request: Request) -> Response:
    """The platform's participants and who is done: what payment needs."""
    common = _admins(request)
    with common.study.database.reading() as session:
        rows = participants_in(session, finished_ids(session, common.study))
    return _download("participants.csv", _table(("pid", "done"), rows))


def _admins(request: Request) -> Shared:
    if not _is_admin(request):
        raise Refused(403, "Give the admin token at /admin first.")
    return shared(request)


def _is_admin(request: Request) -> bool:
    expires, _, _ = request.cookies.get(COOKIE, "").partition(".")
    if not (expires.isascii() and expires.isdigit() and len(expires) < 15):
        return False
    expected = _signed(shared(request), int(expires))
    return hmac.compare_digest(expected.encode(), request.cookies[COOKIE].encode()) and int(expires) > time.time()


def _signed(common: Shared, expires: int) -> str:
    """The cookie's value: another admin token makes it void."""
    return f"{expires}.{common.study.keys.signature(f'{common.admin_token} {expires}')}"


def _download(name: str, text: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"', "content-type": "text/csv; charset=utf-8"}
    return Response(text.encode(), headers=headers)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """CSV in which no cell is a formula for a spreadsheet."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in row] for row in rows)
    return file.getvalue()


def _page(name: str, **values: object) -> str:
    return _templates().get_template(f"{name}.html.j2").render(**values)


@cache
def _templates() -> Environment:
    import jinja2

    loader = jinja2.PackageLoader("iqsr.study.server")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
