"""What all routes of one application share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import Request
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from iqsr.study.server.keys import token_hash
from iqsr.study.server.limits import Buckets, Limits, client_name
from iqsr.study.server.served import ServedStudy
from iqsr.study.server.steps import Refused
from iqsr.study.store import RaterRow

UNKNOWN_LINK = "This link is not valid. Check that it is complete."

_FOUND = select(RaterRow).where(RaterRow.token_hash == bindparam("hash"))
_LOCKED = _FOUND.with_for_update()


@dataclass(frozen=True)
class Shared:
    """The study, how it is offered, and who asked how often."""

    study: ServedStudy
    open_link: bool
    admin_token: str
    links: Buckets
    unknown_links: Buckets
    joins: Buckets
    admin_tokens: Buckets
    pictures: dict[str, dict[str, Path]] = field(default_factory=dict)
    """Link -> name of a picture -> its file: what was looked up once."""

    @classmethod
    def of(cls, study: ServedStudy, open_link: bool, admin_token: str, limits: Limits) -> Shared:
        """With fresh buckets."""
        return cls(
            study,
            open_link,
            admin_token,
            Buckets(limits.link),
            Buckets(limits.unknown_links),
            Buckets(limits.joins),
            Buckets(limits.admin_tokens),
        )


def shared(request: Request) -> Shared:
    """What the application of the request shares."""
    return request.app.state.shared


def client(request: Request) -> str:
    """Who asks."""
    return client_name(request.client.host if request.client else "")


def find_rater(request: Request, session: Session, token: str, *, lock: bool) -> RaterRow:
    """The rater with the link. Raises Refused for links that do not exist, and for too many of them.

    lock: until the session ends, so that requests of one rater follow one another.
    """
    rater = session.scalar(_LOCKED if lock else _FOUND, {"hash": token_hash(token)})
    if rater is None:
        if shared(request).unknown_links.take(client(request)):
            raise Refused(404, UNKNOWN_LINK)
        raise Refused(429, "Too many links that do not exist; wait a minute.")
    if rater.replaced_at is not None:
        raise Refused(410, "This place was given to someone else, because nobody had begun. Ask for a new link.")
    return rater


async def count_request(request: Request, token: str) -> None:
    """Raise Refused where a link is used too often."""
    if not shared(request).links.take(token):
        raise Refused(429, "Too many requests; wait a moment.")


def page(request: Request, name: str, **values: Any) -> str:
    """The HTML of a page for raters."""
    from iqsr.study.web import render_page

    return render_page(name, title=shared(request).study.settings.title, **values)
