"""`table.md`: means, differences to the baseline, worst cases, and how all of it was computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

from iqsr.evaluation.published import PublishedRow
from iqsr.evaluation.statistics import WORST_PERCENTILE
from iqsr.evaluation.summary import groups
from iqsr.evaluation.table_text import (
    DAGGER,
    MISSING,
    Cells,
    by_origin,
    decimals,
    legend,
    mean_rows,
    provenance,
    published_row,
    smallest_p_note,
)

if TYPE_CHECKING:
    from iqsr.evaluation.result import Evaluation
    from iqsr.evaluation.scores import EvaluatedMetric


def to_markdown(evaluation: Evaluation, cells: Cells, published: Sequence[PublishedRow] = ()) -> str:
    """Means, differences to the baseline, worst cases, and how all of it was computed."""
    text = _Markdown()
    parts = [
        f"# {evaluation.set.name}",
        "",
        *_means(text, evaluation, cells, published),
        "",
        *legend(evaluation, cells),
    ]
    if evaluation.baseline is not None and any(cell.comparison for cell in cells.values()):
        parts += ["", f"## Differences to {evaluation.baseline}", "", *_differences(text, evaluation, cells)]
    parts += ["", "## Worst cases", "", *_worst(text, evaluation, cells)]
    parts += ["", "## How it was computed", "", *(f"* {line}" for line in provenance(evaluation))]
    return "\n".join(parts) + "\n"


@dataclass(frozen=True)
class _Markdown:
    def plain(self, text: str) -> str:
        return text.replace("|", "\\|")

    def best(self, text: str) -> str:
        return f"**{text}**"

    def second(self, text: str) -> str:
        return f"<u>{text}</u>"

    def head(self, metric: EvaluatedMetric) -> str:
        note = metric.sample_note and f" ({metric.sample_note})"
        return f"{metric.name}{'*' * bool(metric.partial)} {'↑' if metric.higher_is_better else '↓'}{note}"

    dagger = DAGGER


def _means(text: _Markdown, evaluation: Evaluation, cells: Cells, published: Sequence[PublishedRow]) -> Iterable[str]:
    titles = [title if k == 0 else "" for title, metrics in groups(evaluation.metrics) for k in range(len(metrics))]
    rows = mean_rows(text, evaluation, cells)
    for origin, members in by_origin(published).items():
        rows.append([f"*{text.plain(origin)}*", *[""] * len(evaluation.metrics)])
        rows += [published_row(text, row, evaluation.metrics) for row in members]
    heads = ["", *(text.head(metric) for metric in evaluation.metrics)]
    return _table(["", *titles], [heads, *rows])


def _differences(text: _Markdown, evaluation: Evaluation, cells: Cells) -> Iterable[str]:
    def shown(model: str, metric: EvaluatedMetric) -> str:
        compared = cells[model, metric.name].comparison
        if compared is None or not compared.n:
            return MISSING
        digits = decimals(metric)
        low, high = compared.interval
        mark = " \\*" if cells[model, metric.name].is_significant else ""
        return f"{compared.difference:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f}){mark}"

    models = [m.name for m in evaluation.models if any(cells[m.name, x.name].comparison for x in evaluation.metrics)]
    yield from _per_metric(text, evaluation, models, shown)
    yield from ["", "Mean difference over images with its 95 % interval; \\* Holm-corrected p below 0.05."]
    yield from smallest_p_note(cells)


def _worst(text: _Markdown, evaluation: Evaluation, cells: Cells) -> Iterable[str]:
    def shown(model: str, metric: EvaluatedMetric) -> str:
        worst = cells[model, metric.name].summary.worst
        return MISSING if isnan(worst) else f"{worst:.{decimals(metric)}f}"

    yield from _per_metric(text, evaluation, [model.name for model in evaluation.models], shown)
    yield from ["", f"The {WORST_PERCENTILE}th percentile over images, from the worse end of each metric."]


def _per_metric(
    text: _Markdown, evaluation: Evaluation, models: Sequence[str], shown: Callable[[str, EvaluatedMetric], str]
) -> Iterable[str]:
    rows = [[text.plain(model), *(shown(model, metric) for metric in evaluation.metrics)] for model in models]
    return _table(["", *(text.head(metric) for metric in evaluation.metrics)], rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'--:|' * (len(heads) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
