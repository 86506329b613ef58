"""A study that is served: its design, what raters read, its pictures, its database and its key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from iqsr.errors import IqsrError, UsageError
from iqsr.io.places import check_leads_inside
from iqsr.study.design import DESIGN_FILE, Design, Seat, Trial, read_design
from iqsr.study.server.keys import Keys, read_or_make_keys, token_hash
from iqsr.study.settings import Settings, read_settings
from iqsr.study.store import Database, EventRow, RaterRow, StudyRow, database_url, open_database
from iqsr.study.votes import Vote, votes_of

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class GivenTrial:
    """A trial that a rater was given, and what its pictures are called in the rater's links."""

    trial: Trial
    names: tuple[str, ...]
    input_name: str | None
    """Of the low-resolution picture; None where the study has none."""


@dataclass(frozen=True)
class ServedStudy:
    """What the routes need."""

    folder: Path
    design: Design
    settings: Settings
    sizes: Mapping[str, tuple[int, int]]
    """Picture -> width and height in pixels, the same for all methods."""
    keys: Keys
    database: Database
    imported: tuple[Vote, ...] = ()
    """Of `votes.csv` as it was at the start: sheets, or raters that were drawn."""
    given: dict[int, tuple[GivenTrial, ...]] = field(default_factory=dict)
    """Rater's id -> the trials as the database has them. They never change, but for a withdrawal."""

    def picture_file(self, picture: str, method: str) -> Path:
        """The file of a picture by a method."""
        return self.folder / "pictures" / self.design.files[picture][method]

    def seat(self, name: str) -> Seat:
        """The seat with the name."""
        return next(seat for seat in self.design.seats if seat.name == name)

    def planned(self, seat: str) -> int:
        """How many trials the rater of a seat gets."""
        design = self.design
        return len(self.seat(seat).trials) or design.trials_per_seat + design.attention_checks + design.repeats


def open_study(folder: Path, database: str | None = None) -> ServedStudy:
    """Read a study's folder, check it, and open its database.

    Raises:
        UsageError: the folder is no study, `votes.csv` is damaged, or the database is another study's.
        IqsrError: the database or the key cannot be used.
    """
    design, settings = read_design(folder), read_settings(folder)
    sizes = _checked_pictures(folder / "pictures", design)
    url = database_url(database, folder)
    keys = read_or_make_keys(folder)
    imported = votes_of(folder)
    opened = open_database(url)
    study = ServedStudy(folder, design, settings, sizes, keys, opened, imported)
    try:
        opened.write(lambda session: _register(session, study))
    except IqsrError:
        opened.close()
        raise
    return study


def add_rater(session: Session, keys: Keys, seat: str, generation: int) -> RaterRow:
    """A new row, and with it a new link, for the next rater of the seat."""
    token = keys.seat_token(seat, generation)
    name = seat if generation == 1 else f"{seat}.{generation}"
    rater = RaterRow(name=name, seat=seat, generation=generation, token_hash=token_hash(token))
    session.add(rater)
    return rater


def _register(session: Session, study: ServedStudy) -> None:
    """Make the database this study's, with a row for each seat; or check that it is."""
    sha256 = hashlib.sha256((study.folder / DESIGN_FILE).read_bytes()).hexdigest()
    known = session.get(StudyRow, 1)
    if known is None:
        session.add(StudyRow(id=1, design_sha256=sha256, key_fingerprint=study.keys.fingerprint()))
        for seat in study.design.seats:
            add_rater(session, study.keys, seat.name, 1)
    elif known.design_sha256 != sha256:
        raise UsageError("the database holds another study, or design.json was changed: name another --database")
    elif known.key_fingerprint != study.keys.fingerprint():
        raise UsageError("the database was made with another server.key: bring that file back into the study's folder")


def current_raters(session: Session) -> dict[str, RaterRow]:
    """Seat -> its newest rater."""
    return {rater.seat: rater for rater in session.scalars(select(RaterRow).order_by(RaterRow.generation))}


def imported_votes(session: Session, study: ServedStudy) -> list[Vote]:
    """The votes of `votes.csv` whose raters neither voted on the server nor withdrew."""
    voted = RaterRow.id.in_(select(EventRow.rater_id))
    names = set(session.scalars(select(RaterRow.name).where(or_(voted, RaterRow.withdrawn_at.is_not(None)))))
    return [vote for vote in study.imported if vote.rater not in names]


def _checked_pictures(folder: Path, design: Design) -> dict[str, tuple[int, int]]:
    """The size of each picture. Files of one picture that differ in bytes or pixels would tell the methods apart."""
    sizes: dict[str, tuple[int, int]] = {}
    for picture, files in design.files.items():
        facts = {_facts(folder, name) for name in files.values()}
        if len(facts) != 1:
            raise UsageError(f"the files of '{picture}' differ in size: `iqsr study create` makes them equal")
        sizes[picture] = facts.pop()[1:]
    return sizes


def _facts(folder: Path, name: str) -> tuple[int, int, int]:
    """Bytes, width and height of a PNG in the folder."""
    path = folder / name
    if path.parent != folder or not path.is_file():
        raise UsageError(f"the picture '{name}' is not in '{folder}'")
    check_leads_inside(path, folder.parent)
    with path.open("rb") as file:
        head = file.read(24)
    if not head.startswith(_PNG_SIGNATURE) or len(head) < 24:
        raise UsageError(f"'{path}' is no PNG")
    return path.stat().st_size, int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
