"""Scores in shards: the table of one shard, and the tables of all as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from iqsr.errors import IqsrError
from iqsr.io.places import check_is_file
from iqsr.io.remote import fetch
from iqsr.io.shard_parts import Part
from iqsr.io.shards import Shard, ShardPart, shard_part
from iqsr.scoring.files import score_found
from iqsr.scoring.metric_set import MetricSet
from iqsr.scoring.references import References
from iqsr.scoring.table import Row, records, table_of, to_table, write_table
from iqsr.scoring.tasks import PictureScores

TABLE = "scores.parquet"


def score_shard(
    found: Sequence[tuple[Path, Path]],
    metric_set: MetricSet,
    out: Path,
    shard: Shard,
    *,
    references: References | None = None,
    cache: Path | None = None,
    overwrite: bool = False,
    on_progress: Callable[[PictureScores, int, int], None] | None = None,
) -> tuple[ShardPart, list[PictureScores]]:
    """Score the pictures of one shard and write `OUT.shards/I-of-N/scores.parquet` with its manifest.

    Args:
        found: What `find_pictures` found, for all shards. The content of a picture decides its shard.
        metric_set: The metrics.
        out: The table that all shards together will make.
        shard: Which one.
        references, cache, on_progress: As for `score_files`.
        overwrite: Whether a shard of other settings is replaced.

    Raises:
        UsageError: For a folder that holds a shard of other settings.
    """
    settings = {
        "metrics": {name: metric_set.fingerprint(name) for name in metric_set.names},
        "precision": metric_set.precision,
        "reference": references is not None,
    }
    with shard_part(out, shard, command="score", settings=settings, name=TABLE, overwrite=overwrite) as part:
        units = part.choose((relative.as_posix(), source) for source, relative in found)
        mine = [found[unit.place] for unit in units]
        scored = score_found(mine, metric_set, references=references, cache=cache, on_progress=on_progress)
        write_table(to_table(scored, metric_set.names), part.output)
        errors = zip(units, scored, strict=True)
        part.finish({unit.place: "; ".join(one.errors) for unit, one in errors if one.errors})
    return part, scored


def merge_scores(parts: Sequence[Part], out: Path) -> tuple[list[Row], list[str]]:
    """Write the table that the command without shards writes. Returns its rows and the names of its metrics.

    IqsrError where a table does not fit its manifest.
    """
    metrics = [str(name) for name in parts[0].manifest.settings["metrics"]]
    placed: list[tuple[int, Row]] = []
    for part in parts:
        rows = read_rows(part, TABLE)
        placed += [(unit.place, row) for unit, row in zip(part.units, rows, strict=True)]
    rows = [row for _, row in sorted(placed, key=lambda one: one[0])]
    for column, empty in (("reference", None), ("error", "")):
        if any(column in row for row in rows):
            rows = [row | {column: row.get(column, empty)} for row in rows]
    write_table(table_of(rows, metrics), out)
    return rows, metrics


def read_rows(part: Part, name: str) -> list[dict[str, Any]]:
    """The rows of a shard's table, one for each of its units, in their order. IqsrError where that is not so."""
    import pandas as pd

    file = part.folder / name
    fetch(file)
    try:
        check_is_file(file)
        rows = records(pd.read_parquet(file))
    except (OSError, ValueError) as error:
        raise IqsrError(f"cannot read '{file}' ({error}); run shard {part.shard} again") from None
    if len(rows) != len(part.units):
        raise IqsrError(f"'{file}' has {len(rows)} rows for {len(part.units)} units: run shard {part.shard} again")
    return rows
