"""`run.json` in a run's folder: what is noted of the run."""

import json
from pathlib import Path
from typing import Any

from iqsr.atomic import write_text
from iqsr.errors import IqsrError

NOTE = "run.json"


def read_note(folder: Path) -> dict[str, Any]:
    """What is noted in the folder, nothing where there is no run. IqsrError for a note that is damaged."""
    path = folder / NOTE
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise IqsrError(f"'{path}' is damaged ({error}): name another folder, or remove this one") from None


def write_note(folder: Path, note: dict[str, Any]) -> None:
    """Write it, whole or not at all. WriteError."""
    write_text(folder / NOTE, json.dumps(note, indent=1) + "\n")
