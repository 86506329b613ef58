"""`run.json` in a run's folder: what is noted of the run."""

import json
from pathlib import Path
from typing import Any, cast

from iqsr.errors import IqsrError
from iqsr.io.atomic import write_text

NOTE = "run.json"


def read_note(folder: Path) -> dict[str, Any]:
    """What is noted in the folder, nothing where there is no run. IqsrError for a note that is damaged."""
    path = folder / NOTE
    return read_object(path, "name another folder, or remove this one") if path.exists() else {}


def read_object(path: Path, advice: str) -> dict[str, Any]:
    """An object in a file of JSON. IqsrError, which gives the advice, for a file that is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
    except ValueError as error:
        raise IqsrError(f"'{path}' is damaged ({error}): {advice}") from None
    return cast("dict[str, Any]", found)


def write_note(folder: Path, note: dict[str, Any]) -> None:
    """Write it, whole or not at all. WriteError."""
    write_text(folder / NOTE, json.dumps(note, indent=1) + "\n")
