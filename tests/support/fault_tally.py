"""How often a fault was tried and survived: rows of the table in docs/reliability.md."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = os.environ.get("IQSR_FAULTS", "")
"""Where `make faults` gathers the rows; empty in other runs, which try few times."""


def times(whole: int, few: int) -> int:
    """How many times a fault is tried: `whole` by `make faults`, `few` elsewhere."""
    return whole if FOLDER else few


@dataclass(frozen=True)
class Row:
    """A fault of a command."""

    fault: str
    on: str
    """The command, or what reads the files."""
    tried: int
    recovered: int
    """Times after which all was as if nothing had happened, or the answer was one clear line."""
    lost: int
    """Results, votes or lines that were there or were promised, and are missing or differ afterwards."""
    note: str = ""

    def keep(self) -> None:
        """Keep the row for the table, in place of the one of an earlier run."""
        if FOLDER:
            folder = Path(FOLDER)
            folder.mkdir(parents=True, exist_ok=True)
            name = "".join(letter if letter.isalnum() else "-" for letter in f"{self.fault} {self.on}")
            (folder / f"{name}.json").write_text(json.dumps(asdict(self), indent=1) + "\n")


def table(folder: Path) -> str:
    """All rows that were kept, as Markdown."""
    rows = [Row(**json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]
    lines = ["| fault | on | times tried | times recovered | data lost | note |", "|---|---|---:|---:|---:|---|"]
    lines += [f"| {r.fault} | {r.on} | {r.tried} | {r.recovered} | {r.lost} | {r.note} |" for r in rows]
    return "\n".join(lines)
