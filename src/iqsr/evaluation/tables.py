"""The tables of an evaluation: `table.csv` (tidy, a row a model and metric), `table.md`, `table.tex`.

Columns stand in the groups of the taxonomy. The best mean of a metric is bold, the second underlined; a dagger marks a
metric that the model's training optimised. The Gold Standard has a row and no rank.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from iqsr.evaluation.contestants import GOLD_STANDARD
from iqsr.evaluation.published import PublishedRow
from iqsr.evaluation.statistics import RESAMPLES, SEED, WORST_PERCENTILE
from iqsr.evaluation.summary import Cell, groups, summarise_evaluation
from iqsr.io.atomic import write_text

if TYPE_CHECKING:
    from iqsr.evaluation.result import Evaluation
    from iqsr.evaluation.scores import EvaluatedMetric

Cells = Mapping[tuple[str, str], Cell]
TABLES = ("table.csv", "table.md", "table.tex")
_DAGGER = "†"
_HASH_DIGITS = 12


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
    metrics = {metric.name: metric for metric in evaluation.metrics}
    for cell in cells.values():
        writer.writerow(_csv_row(evaluation, cell, metrics[cell.metric]))
    for row in published:
        for metric, value in row.values.items():
            writer.writerow({"model": row.model, "metric": metric, "mean": value, "origin": row.origin})
    return written.getvalue()


_CSV_COLUMNS = (
    *("model", "metric", "n", "mean", "low", "high", "worst", "rank", "trained_on"),
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
        "low": summary.interval[0],
        "high": summary.interval[1],
        "worst": summary.worst,
        "rank": cell.rank,
        "trained_on": int(cell.trained_on),
        "origin": "measured",
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


def to_latex(evaluation: Evaluation, cells: Cells, published: Sequence[PublishedRow] = ()) -> str:
    """A `tabular` of the means for the package booktabs, the rest as comments."""
    text = _Latex()
    grouped = groups(evaluation.metrics)
    spans, at = list[str](), 2
    for _, metrics in grouped:
        spans.append(rf"\cmidrule(lr){{{at}-{at + len(metrics) - 1}}}")
        at += len(metrics)
    heads = " & ".join(rf"\multicolumn{{{len(metrics)}}}{{c}}{{{text.plain(title)}}}" for title, metrics in grouped)
    rows = [rf"{' & '.join(row)} \\" for row in _mean_rows(text, evaluation, cells)]
    lines = [
        *(f"% {line}" for line in (*legend(evaluation, cells), *provenance(evaluation))),
        rf"\begin{{tabular}}{{l{'r' * len(evaluation.metrics)}}}",
        r"\toprule",
        rf" & {heads} \\",
        " ".join(spans),
        rf"{' & '.join(['', *(text.head(metric) for metric in evaluation.metrics)])} \\",
        r"\midrule",
        *rows,
    ]
    for origin, members in _by_origin(published).items():
        lines += [r"\midrule", rf"\multicolumn{{{at - 1}}}{{l}}{{\emph{{{text.plain(origin)}}}}} \\"]
        lines += [rf"{' & '.join(_published_row(text, row, evaluation.metrics))} \\" for row in members]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def legend(evaluation: Evaluation, cells: Cells) -> list[str]:
    """What the marks of the means mean, in a line each."""
    lines = ["Means over images; the best is bold, the second underlined. The arrow is the direction of better."]
    counts = {cell.summary.n for cell in cells.values() if cell.summary.n > 1}
    if len(counts) > 1:
        lines.append("Models or metrics lack some images: compare with care, `n` is in table.csv.")
    if any(cell.trained_on for cell in cells.values()):
        lines.append(f"{_DAGGER} The model's training optimised this metric: it is no judge of this model.")
    if any(model.name == GOLD_STANDARD for model in evaluation.models):
        lines.append("Gold Standard: of each image the best value over its own ground truths; it has no rank.")
    return lines


def provenance(evaluation: Evaluation) -> list[str]:
    """Data, protocol, statistics and metrics with their versions and weights, a line each."""
    from iqsr._version import __version__

    protocol = evaluation.protocol
    lines = [
        f"Data: {evaluation.set.name}, {len(evaluation.set.items)} images, layout {evaluation.set.layout}. "
        f"iqsr {__version__}.",
        f"Protocol {protocol.name}: {protocol.title}. {protocol.documentation}",
        f"Intervals: 95 %, percentile bootstrap over images, {RESAMPLES:,} resamples, seed {SEED}. Tests: Wilcoxon's "
        "signed-rank test over images, two-sided, Holm-corrected over all models and metrics of this table.",
    ]
    for metric in evaluation.metrics:
        by = metric.toolbox_version or metric.provider
        facts = [metric.formula or metric.title, *([f"crop border {metric.crop_border}"] if metric.crop_border else [])]
        facts += [f"weights {' '.join(w[:_HASH_DIGITS] for w in metric.weights_sha256.split())}"] * bool(
            metric.weights_sha256
        )
        facts += [f"partial: without {', '.join(metric.partial)}"] * bool(metric.partial)
        variant = "" if metric.variant == metric.name else f" = {metric.variant}"
        lines.append(f"{metric.name}{variant} ({by}): {'; '.join(facts)}.")
    if evaluation.problems:
        lines.append(f"{len(evaluation.problems)} problems, the first: {evaluation.problems[0].text}.")
    return lines


def decimals(metric: EvaluatedMetric) -> int:
    """Digits behind the point, as papers print them: 3 for ranges up to 2 wide (SSIM, LPIPS), 2 for wider ones."""
    low, high = metric.range
    return 3 if high - low <= 2 else 2


@dataclass(frozen=True)
class _Markdown:
    def plain(self, text: str) -> str:
        return text.replace("|", "\\|")

    def best(self, text: str) -> str:
        return f"**{text}**"

    def second(self, text: str) -> str:
        return f"<u>{text}</u>"

    def head(self, metric: EvaluatedMetric) -> str:
        return f"{metric.name}{'*' * bool(metric.partial)} {'↑' if metric.higher_is_better else '↓'}"

    dagger = _DAGGER


@dataclass(frozen=True)
class _Latex:
    def plain(self, text: str) -> str:
        for sign in "\\&%$#_{}":
            text = text.replace(sign, r"\textbackslash{}" if sign == "\\" else f"\\{sign}")
        return text

    def best(self, text: str) -> str:
        return rf"\textbf{{{text}}}"

    def second(self, text: str) -> str:
        return rf"\underline{{{text}}}"

    def head(self, metric: EvaluatedMetric) -> str:
        arrow = r"$\uparrow$" if metric.higher_is_better else r"$\downarrow$"
        return f"{self.plain(metric.name)}{'*' * bool(metric.partial)} {arrow}"

    dagger = r"$^\dagger$"


def _mean_rows(text: _Markdown | _Latex, evaluation: Evaluation, cells: Cells) -> list[list[str]]:
    def shown(model: str, metric: EvaluatedMetric) -> str:
        cell = cells[model, metric.name]
        if isnan(cell.summary.mean):
            return "–"
        number = f"{cell.summary.mean:.{decimals(metric)}f}"
        number = text.best(number) if cell.rank == 1 else text.second(number) if cell.rank == 2 else number
        return number + text.dagger * cell.trained_on

    return [
        [text.plain(model.name), *(shown(model.name, metric) for metric in evaluation.metrics)]
        for model in evaluation.models
    ]


def _means(text: _Markdown, evaluation: Evaluation, cells: Cells, published: Sequence[PublishedRow]) -> Iterable[str]:
    titles = [title if k == 0 else "" for title, metrics in groups(evaluation.metrics) for k in range(len(metrics))]
    rows = _mean_rows(text, evaluation, cells)
    for origin, members in _by_origin(published).items():
        rows.append([f"*{text.plain(origin)}*", *[""] * len(evaluation.metrics)])
        rows += [_published_row(text, row, evaluation.metrics) for row in members]
    heads = ["", *(text.head(metric) for metric in evaluation.metrics)]
    return _table(["", *titles], [heads, *rows])


def _differences(text: _Markdown, evaluation: Evaluation, cells: Cells) -> Iterable[str]:
    def shown(model: str, metric: EvaluatedMetric) -> str:
        compared = cells[model, metric.name].comparison
        if compared is None or not compared.n:
            return ""
        digits = decimals(metric)
        low, high = compared.interval
        mark = " \\*" if cells[model, metric.name].is_significant else ""
        return f"{compared.difference:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f}){mark}"

    models = [m.name for m in evaluation.models if any(cells[m.name, x.name].comparison for x in evaluation.metrics)]
    yield from _per_metric(text, evaluation, models, shown)
    yield from ["", "Mean difference over images with its 95 % interval; \\* Holm-corrected p below 0.05."]


def _worst(text: _Markdown, evaluation: Evaluation, cells: Cells) -> Iterable[str]:
    def shown(model: str, metric: EvaluatedMetric) -> str:
        worst = cells[model, metric.name].summary.worst
        return "" if isnan(worst) else f"{worst:.{decimals(metric)}f}"

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


def _by_origin(published: Sequence[PublishedRow]) -> dict[str, list[PublishedRow]]:
    found: dict[str, list[PublishedRow]] = {}
    for row in published:
        found.setdefault(row.origin, []).append(row)
    return found


def _published_row(text: _Markdown | _Latex, row: PublishedRow, metrics: Sequence[EvaluatedMetric]) -> list[str]:
    values = [row.values.get(metric.name, row.values.get(metric.variant)) for metric in metrics]
    return [text.plain(row.model), *("–" if value is None else value for value in values)]
