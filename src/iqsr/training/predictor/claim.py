"""A predictor's run in its folder: it goes on with the same recipe and data, or says what is another."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iqsr.errors import IqsrError, UsageError
from iqsr.io.atomic import write_text
from iqsr.recipes import Recipe
from iqsr.training.identity import Difference, Identity
from iqsr.training.note import read_note, write_note
from iqsr.training.resume import Change, changes, check_changes

_DATA = "data.json"


def check_settings(folder: Path, recipe: Recipe) -> list[Change]:
    """The settings that are not as they were. UsageError, which names them, for those that make another run."""
    before = read_note(folder).get("settings")
    found = changes(before, recipe) if before is not None else []
    check_changes(found, folder)
    return found


def check_begin(folder: Path, begin: str) -> None:
    """UsageError where the folder's run began with other weights: `srq`, `scratch` or a file's hash."""
    there = read_note(folder).get("begin", begin)
    if there != begin:
        known = {"srq": "the shipped srq", "scratch": "--scratch"}
        raise UsageError(
            f"'{folder}' holds a run with another start: it began with {known.get(there, 'other weights (--from)')}; "
            "give this as it was, or name another folder"
        )


def check_data(folder: Path, data: Identity, of: str, *, accept: bool) -> Difference:
    """What is not as it was. of: `pairs`, or another word for it. IqsrError where there is something to accept."""
    path = folder / _DATA
    found = data.since(Identity.read(path)) if path.exists() else Difference()
    if found and not accept:
        raise IqsrError(refusal(folder, found, of))
    return found


def refusal(folder: Path, found: Difference, of: str) -> str:
    """Why a run does not go on with other data, and what to do."""
    return (
        f"'{folder}' holds a run of other {of}: {found}; give them as they were, add --accept-data to go on with them "
        "as they are, or name another folder"
    )


def left_out(folder: Path) -> dict[str, str]:
    """The pictures that the folder's run leaves out, by their paths, and why."""
    return dict(read_note(folder).get("left out", {}))


def note_run(
    folder: Path,
    recipe: Recipe,
    without: Mapping[str, str],
    settings: Sequence[Change],
    data: Difference,
    *,
    identity: Identity | None = None,
    begin: str | None = None,
) -> None:
    """Note what a run begins or goes on with; nothing where that is what is noted."""
    note = read_note(folder)
    entry: dict[str, Any] = {"settings": {c.key: [c.before, c.now] for c in settings}} if settings else {}
    entry |= {"data": data.note()} if data else {}
    about: dict[str, Any] = {"settings": recipe.model_dump(mode="json"), "left out": dict(without)}
    about |= {"begin": begin} if begin else {}
    about["changes"] = [*note.get("changes", []), *([entry] if entry else [])]
    if identity is not None and (data or not (folder / _DATA).exists()):
        write_text(folder / _DATA, identity.to_json() + "\n")
    if note != note | about:
        write_note(folder, note | about)
