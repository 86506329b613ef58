"""Figures that a paper printed, to stand beside ours: published, never measured here.

"Augmenting Perceptual Super-Resolution via Image Quality Predictors", CVPR 2025, arXiv:2504.18524, tables 6, 7 and 8.
They lie in published.csv (table, model, metric, value; metrics by the names that iqsr has for them).
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from iqsr.errors import UsageError

_FILE = Path(__file__).with_name("published.csv")
_TITLES = {6: "pairs of HGGT", 7: "HGGT Test-100", 8: "RealSR v3"}


@dataclass(frozen=True)
class PublishedRow:
    """A row of a paper's table."""

    table: int
    model: str
    values: Mapping[str, str]
    """by metric, with the digits that the paper printed"""

    @property
    def origin(self) -> str:
        """Says where it stands, and that nobody here measured it."""
        return f"published in arXiv:2504.18524, table {self.table} ({_TITLES[self.table]}); not measured here"


def published_tables() -> list[int]:
    """The numbers of the tables that are here."""
    return sorted(_TITLES)


def published(table: int) -> list[PublishedRow]:
    """The rows of a table, in the paper's order. UsageError for a table that is not here."""
    if table not in _TITLES:
        raise UsageError(f"no published table {table}; choose {', '.join(map(str, _TITLES))}")
    rows: dict[str, dict[str, str]] = {}
    with _FILE.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if int(line["table"]) == table:
                rows.setdefault(line["model"], {})[line["metric"]] = line["value"]
    return [PublishedRow(table, model, values) for model, values in rows.items()]
