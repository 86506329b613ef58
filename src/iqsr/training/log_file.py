"""The log of a run: a line of JSON for each look at it, only ever of steps that its checkpoint knows of."""

import json
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from iqsr.io.atomic import append, write_bytes, write_errors


class LogFile:
    """`log.jsonl` of a run. Lines are added whole; a figure that is not finite, which JSON cannot hold, is null."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, facts: Mapping[str, object], figures: Mapping[str, float]) -> None:
        """Add one line: facts as they are, then figures with six significant digits. WriteError."""
        rounded = {name: float(f"{value:.6g}") if isfinite(value) else None for name, value in figures.items()}
        append(self.path, json.dumps({**facts, **rounded}, allow_nan=False).encode() + b"\n")

    def cut_back(self, step: int) -> None:
        """Leave out what is of steps after `step`, and a last line that a kill or a power cut tore.

        0: all, for a run that has no checkpoint begins anew.
        """
        if not self.path.exists():
            return
        with write_errors(self.path):
            before = self.path.read_bytes()
        kept = b"".join(line for line in before.splitlines(keepends=True) if step and _is_of(line, step))
        if kept != before:  # the figures of steps that will be taken again
            write_bytes(self.path, kept)


def _is_of(line: bytes, step: int) -> bool:
    """Whether a line is whole and of a step up to `step`."""
    try:
        found: Any = json.loads(line)
        return line.endswith(b"\n") and int(found["step"]) <= step
    except (ValueError, KeyError, TypeError):
        return False
