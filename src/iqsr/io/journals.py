"""Journals: a line of JSON for each piece of work that is done, so that a run that was stopped goes on from there."""

import json
from pathlib import Path
from typing import Any

from iqsr.io.atomic import append_line
from iqsr.io.places import read_whole


def add_entry(journal: Path, entry: object, *, allow_nan: bool = True) -> None:
    """Add one line, whole or not at all, also after a torn one. WriteError.

    allow_nan: whether it may hold numbers that are not finite.
    """
    append_line(journal, json.dumps(entry, allow_nan=allow_nan).encode())


def entries(journal: Path) -> list[Any]:
    """What the lines say, in their order; nothing where there is no journal. Damaged lines are left out.

    A line is damaged where the power went amid its writing, or the disk lost a part of it: what it noted is then done
    again. What a line says may still be something else than the caller has noted.
    """
    if not journal.is_file():
        return []
    return [entry for line in read_whole(journal).splitlines() if (entry := entry_of(line)) is not None]


def entry_of(line: bytes) -> Any:
    """What a line says; None for a damaged one."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):  # not UTF-8 is a ValueError, too
        return None
