"""Tables of scores, with a row for each picture and a column for each metric; their files and summaries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqsr.errors import UsageError
from iqsr.io.atomic import atomic_path, check_output_path
from iqsr.io.urls import shown
from iqsr.metrics import card

if TYPE_CHECKING:
    from pandas import DataFrame

    from iqsr.scoring.tasks import PictureScores

TABLE_SUFFIXES = (".csv", ".parquet", ".json")
FACTS = ("path", "width", "height", "reference", "error")
"""The columns that are not metrics."""
_WORST = 5


@dataclass(frozen=True)
class Summary:
    """Statistics of one metric over the pictures that have a score."""

    metric: str
    higher_is_better: bool
    n: int
    """Number of pictures with a score."""
    mean: float | None
    """None, like those below, if n is too small."""
    median: float | None
    sd: float | None
    """Sample standard deviation (n - 1)."""
    worst: list[tuple[str, float]]
    """Up to five pictures and their scores, the worst first."""


Row = dict[str, Any]
"""One picture: path, width, height, and each metric's score or None.

All rows have `reference` if some picture is compared with an original, and `error` if some picture has one."""


def rows_of(scored: Sequence[PictureScores], metrics: Sequence[str]) -> list[Row]:
    """The rows as plain objects, without pandas, which takes long to import."""
    rows: list[Row] = []
    compared = any(one.reference for one in scored)
    for one in scored:
        row: Row = {"path": _text(str(one.path)), "width": one.width, "height": one.height}
        if compared:
            row["reference"] = None if one.reference is None else _text(str(one.reference))
        rows.append(row | {name: one.scores.get(name) for name in metrics})
    if any(one.errors for one in scored):
        for row, one in zip(rows, scored, strict=True):
            row["error"] = _text("; ".join(one.errors))
    return rows


def to_table(scored: Sequence[PictureScores], metrics: Sequence[str]) -> DataFrame:
    """The rows as a table; a missing score is NaN."""
    return table_of(rows_of(scored, metrics), metrics)


def table_of(rows: Sequence[Row], metrics: Sequence[str]) -> DataFrame:
    """`to_table` of the rows of `rows_of`."""
    from pandas import DataFrame

    always = {"path", "width", "height", *metrics}
    columns = ("path", "width", "height", "reference", *metrics, "error")
    names = [name for name in columns if name in always or any(name in row for row in rows)]
    whole = "Int64" if any(row["width"] is None for row in rows) else "int64"
    kinds = {"width": whole, "height": whole, **dict.fromkeys(metrics, "float64")}
    return DataFrame({name: [row[name] for row in rows] for name in names}).astype(kinds)


def _text(named: str) -> str:
    r"""A file name as text, or its URL: a byte that is not UTF-8 becomes `\xe9`."""
    return shown(named).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def check_table(out: Path) -> None:
    """UsageError unless `out` is named like a CSV, Parquet or JSON file; the errors of `check_output_path`."""
    if out.suffix.lower() not in TABLE_SUFFIXES:
        raise UsageError(f"cannot write '{out}': its name must end in {', '.join(TABLE_SUFFIXES)}")
    check_output_path(out)


def write_table(table: DataFrame, out: Path) -> None:
    """Write a table of `to_table` as CSV, Parquet or JSON (a list of objects), by the suffix of `out`.

    The file appears whole or not at all; all digits are kept. Raises the errors of `check_table`, WriteError
    where the file system refuses.
    """
    out = Path(out)
    check_table(out)
    with atomic_path(out) as part:
        match out.suffix.lower():
            case ".csv":
                table.to_csv(part, index=False)
            case ".parquet":
                table.to_parquet(part, index=False)
            case _:
                part.write_text(json.dumps(records(table), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def records(table: DataFrame) -> list[Row]:
    """The rows of a table as plain objects for JSON; missing values are None."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def summaries(table: DataFrame) -> list[Summary]:
    """The summary of each metric, in the table's order."""
    return summaries_of(records(table), [str(name) for name in table.columns if name not in FACTS])


def summaries_of(rows: Sequence[Row], metrics: Sequence[str]) -> list[Summary]:
    """`summaries` of the rows of `rows_of`."""
    return [_summary(rows, name) for name in metrics]


def document(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, object]:
    """Pictures and summaries, for JSON."""
    return {"pictures": rows, "summary": [asdict(summary) for summary in summaries_of(rows, metrics)]}


def _summary(rows: Sequence[Row], metric: str) -> Summary:
    from numpy import mean, median, std

    higher_is_better = card(metric).higher_is_better
    known: list[tuple[str, float]] = [(row["path"], row[metric]) for row in rows if row[metric] is not None]
    scores = [score for _, score in known]
    worst = sorted(known, key=lambda row: row[1] if higher_is_better else -row[1])
    return Summary(
        metric=metric,
        higher_is_better=higher_is_better,
        n=len(scores),
        mean=float(mean(scores)) if scores else None,
        median=float(median(scores)) if scores else None,
        sd=float(std(scores, ddof=1)) if len(scores) > 1 else None,
        worst=worst[:_WORST],
    )
