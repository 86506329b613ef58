"""The tables of a report: text, the number that a column sorts by, and what marks a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isnan
from typing import TYPE_CHECKING

from iqsr.evaluation.published import PublishedRow
from iqsr.evaluation.report_data import ReportData
from iqsr.evaluation.statistics import WORST_PERCENTILE
from iqsr.evaluation.summary import Cell, groups
from iqsr.evaluation.table_text import decimals, legend, smallest_p_note

if TYPE_CHECKING:
    from iqsr.evaluation.scores import EvaluatedMetric


PRINTED_COLUMNS = 6
"""Metrics side by side on an A4 page, with their intervals."""


@dataclass(frozen=True)
class ReportCell:
    """One cell."""

    text: str
    value: float | None = None
    """what the column sorts by"""
    mark: str = ""
    """`first` or `second` of its column"""
    sign: str = ""
    small: str = ""
    """a second line: an interval"""


@dataclass(frozen=True)
class ReportRow:
    """A model, or a published one."""

    name: str
    cells: Sequence[ReportCell]


@dataclass(frozen=True)
class ReportBody:
    """Rows of one origin; they are sorted among themselves."""

    rows: Sequence[ReportRow]
    title: str = ""


@dataclass(frozen=True)
class Head:
    """A column."""

    name: str
    better: str
    """`higher` or `lower`"""
    title: str


@dataclass(frozen=True)
class ReportTable:
    """A table with a column a metric."""

    label: str
    heads: Sequence[Head]
    bodies: Sequence[ReportBody]
    notes: Sequence[str]
    groups: Sequence[tuple[str, int]] = ()
    """titles over columns, and how many columns each spans"""

    @property
    def parts(self) -> list[ReportTable]:
        """For paper: the same table in several, each as wide as a page; none where it fits as it is."""
        columns = len(self.heads)
        starts = range(0, columns, PRINTED_COLUMNS) if columns > PRINTED_COLUMNS else ()
        return [self._part(start, min(columns, start + PRINTED_COLUMNS)) for start in starts]

    def _part(self, start: int, end: int) -> ReportTable:
        """The columns from `start` to before `end`."""
        bodies = [
            ReportBody([ReportRow(row.name, row.cells[start:end]) for row in body.rows], body.title)
            for body in self.bodies
        ]
        titles = [title for title, span in self.groups for _ in range(span)][start:end]
        spans = [(title, len(list(same))) for title, same in groupby(titles)]
        return ReportTable(self.label, self.heads[start:end], bodies, self.notes if start == 0 else (), spans)


def means_table(data: ReportData, published: Sequence[PublishedRow] = ()) -> ReportTable:
    """Means in the groups of the taxonomy with their intervals; published rows below, labelled."""
    found = data.evaluation
    by_origin: dict[str, list[PublishedRow]] = {}
    for row in published:
        by_origin.setdefault(row.origin, []).append(row)
    measured = ReportBody(_rows(data, [model.name for model in found.models], _mean))
    notes = [*legend(found, data.cells), "In small type: 95 % interval of the mean, bootstrap over images."]
    return ReportTable(
        "Means",
        _heads(data),
        [
            measured,
            *(ReportBody([_published(row, data) for row in rows], origin) for origin, rows in by_origin.items()),
        ],
        notes,
        [(title, len(metrics)) for title, metrics in groups(found.metrics)],
    )


def differences_table(data: ReportData) -> ReportTable | None:
    """Differences to the baseline, with intervals and corrected p values; None where nothing can be compared."""
    compared = {model for (model, _), cell in data.cells.items() if cell.comparison and cell.comparison.n}
    if not compared:
        return None
    names = [model.name for model in data.evaluation.models if model.name in compared]
    notes = [
        "Mean difference over images; in small type its 95 % interval, and p of Wilcoxon's signed-rank test, "
        "Holm-corrected over all of them.",
        "* p below 0.05.",
        *smallest_p_note(data.cells),
    ]
    label = f"Differences to {data.evaluation.baseline}"
    return ReportTable(label, _heads(data), [ReportBody(_rows(data, names, _difference))], notes)


def worst_table(data: ReportData) -> ReportTable:
    """The scores that one image in twenty falls short of."""
    notes = [f"The {WORST_PERCENTILE}th percentile over images, from the worse end of each metric."]
    names = [model.name for model in data.evaluation.models]
    return ReportTable("Worst cases", _heads(data), [ReportBody(_rows(data, names, _worst))], notes)


def _heads(data: ReportData) -> list[Head]:
    return [
        Head(
            f"{m.name}{'*' * bool(m.partial)}{m.sample_note and f' ({m.sample_note})'}",
            "higher" if m.higher_is_better else "lower",
            m.formula or m.title,
        )
        for m in data.evaluation.metrics
    ]


def _rows(
    data: ReportData, models: Sequence[str], cell: Callable[[Cell, EvaluatedMetric], ReportCell]
) -> list[ReportRow]:
    metrics = data.evaluation.metrics
    return [ReportRow(name, [cell(data.cells[name, metric.name], metric) for metric in metrics]) for name in models]


def _mean(cell: Cell, metric: EvaluatedMetric) -> ReportCell:
    mean, (low, high) = cell.summary.mean, cell.summary.interval
    if isnan(mean):
        return ReportCell("–")
    digits = decimals(metric)
    mark = {1: "first", 2: "second"}.get(cell.rank or 0, "")
    small = "" if isnan(low) else f"{low:.{digits}f} to {high:.{digits}f}"
    return ReportCell(f"{mean:.{digits}f}", mean, mark, "†" * cell.trained_on, small)


def _difference(cell: Cell, metric: EvaluatedMetric) -> ReportCell:
    compared = cell.comparison
    if compared is None or not compared.n:
        return ReportCell("–")
    digits = decimals(metric)
    low, high = (f"{end:+.{digits}f}" for end in compared.interval)
    p = "p < 0.001" if compared.p_holm < 0.001 else f"p = {compared.p_holm:.3f}"
    small = p if isnan(compared.interval[0]) else f"{low} to {high}\n{p}"
    sign = " *" * cell.is_significant
    return ReportCell(_minus(f"{compared.difference:+.{digits}f}"), compared.difference, sign=sign, small=_minus(small))


def _minus(text: str) -> str:
    """With the sign of the width of a plus."""
    return text.replace("-", "−")


def _worst(cell: Cell, metric: EvaluatedMetric) -> ReportCell:
    worst = cell.summary.worst
    return ReportCell("–") if isnan(worst) else ReportCell(f"{worst:.{decimals(metric)}f}", worst)


def _published(row: PublishedRow, data: ReportData) -> ReportRow:
    values = [row.values.get(m.name, row.values.get(m.variant)) for m in data.evaluation.metrics]
    return ReportRow(row.model, [ReportCell("–") if v is None else ReportCell(v, float(v)) for v in values])
