"""The tables of an evaluation: `table.csv` (tidy, a row a model and metric), `table.md`, `table.tex`.

Columns stand in the groups of the taxonomy. The best mean of a metric is bold, the second underlined; a dagger marks a
metric that the model's training optimised. The Gold Standard has a row and no rank.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from iqsr.evaluation.published import PublishedRow
from iqsr.evaluation.summary import Cell, summarise_evaluation
from iqsr.evaluation.table_latex import to_latex
from iqsr.evaluation.table_markdown import to_markdown
from iqsr.evaluation.table_text import Cells
from iqsr.io.atomic import write_text

if TYPE_CHECKING:
    from iqsr.evaluation.result import Evaluation
    from iqsr.evaluation.scores import EvaluatedMetric

MARKDOWN_FILE = "table.md"
TABLES = ("table.csv", MARKDOWN_FILE, "table.tex")


def write_tables(evaluation: Evaluation, folder: Path, published: Sequence[PublishedRow] = ()) -> list[Path]:
    """Write all three tables into `folder`, each whole or not at all.

    Args:
        evaluation: what is shown.
        folder: where the files appear; it exists.
        published: rows of a paper, which are shown beside ours and labelled.

    Returns:
        The files.

    Raises:
        WriteError: where the disk refuses.
    """
    cells = summarise_evaluation(evaluation)
    texts = (
        to_csv(evaluation, cells, published),
        to_markdown(evaluation, cells, published),
        to_latex(evaluation, cells, published),
    )
    for name, text in zip(TABLES, texts, strict=True):
        write_text(folder / name, text)
    return [folder / name for name in TABLES]


def to_csv(evaluation: Evaluation, cells: Cells, published: Sequence[PublishedRow] = ()) -> str:
    """A row a model and metric with all figures and where they come from; published rows have a mean and no more."""
    written = io.StringIO()
    writer = csv.DictWriter(written, _CSV_COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    metrics, origins = {metric.name: metric for metric in evaluation.metrics}, _origins(evaluation)
    for cell in cells.values():
        row = _csv_row(evaluation, cell, metrics[cell.metric])
        writer.writerow({**row, "origin": origins.get((cell.model, cell.metric), "")})
    for row in published:
        for metric, value in row.values.items():
            writer.writerow({"model": row.model, "metric": metric, "mean": value, "origin": row.origin})
    return written.getvalue()


def _origins(evaluation: Evaluation) -> dict[tuple[str, str], str]:
    """By model and metric: where the scores come from."""
    found: dict[tuple[str, str], set[str]] = {}
    columns = (evaluation.scores[name].tolist() for name in ("model", "metric", "origin"))
    for model, metric, origin in zip(*columns, strict=True):
        found.setdefault((model, metric), set()).add(origin)
    return {key: "; ".join(sorted(origins)) for key, origins in found.items()}


_CSV_COLUMNS = (
    *("model", "metric", "n", "mean", "median", "mean_low", "mean_high", "worst", "rank", "trained_on"),
    *("baseline", "difference", "difference_low", "difference_high", "p_value", "p_holm"),
    *("origin", "data", "protocol", "metric_variant", "higher_is_better", "crop_border", "provider", "weights_sha256"),
    "iqsr_version",
)


def _csv_row(evaluation: Evaluation, cell: Cell, metric: EvaluatedMetric) -> dict[str, object]:
    from iqsr._version import __version__

    summary, compared = cell.summary, cell.comparison
    row: dict[str, object] = {
        "model": cell.model,
        "metric": cell.metric,
        "n": summary.n,
        "mean": summary.mean,
        "median": summary.median,
        "mean_low": summary.interval[0],
        "mean_high": summary.interval[1],
        "worst": summary.worst,
        "rank": cell.rank,
        "trained_on": int(cell.trained_on),
        "data": evaluation.set.name,
        "protocol": evaluation.protocol.name,
        "metric_variant": metric.variant,
        "higher_is_better": int(metric.higher_is_better),
        "crop_border": metric.crop_border,
        "provider": metric.toolbox_version or metric.provider,
        "weights_sha256": metric.weights_sha256,
        "iqsr_version": __version__,
    }
    if compared is not None:
        row |= {
            "baseline": evaluation.baseline,
            "difference": compared.difference,
            "difference_low": compared.interval[0],
            "difference_high": compared.interval[1],
            "p_value": compared.p_value,
            "p_holm": compared.p_holm,
        }
    return {
        key: "" if value is None or (isinstance(value, float) and isnan(value)) else value for key, value in row.items()
    }
