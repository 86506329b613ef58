"""`table.tex`: the means as a `tabular` for the package booktabs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iqsr.evaluation.published import PublishedRow
from iqsr.evaluation.summary import groups
from iqsr.evaluation.table_text import Cells, by_origin, legend, mean_rows, provenance, published_row

if TYPE_CHECKING:
    from iqsr.evaluation.result import Evaluation
    from iqsr.evaluation.scores import EvaluatedMetric


def to_latex(evaluation: Evaluation, cells: Cells, published: Sequence[PublishedRow] = ()) -> str:
    """A `tabular` of the means for the package booktabs, the rest as comments."""
    text = _Latex()
    grouped = groups(evaluation.metrics)
    spans, at = list[str](), 2
    for _, metrics in grouped:
        spans.append(rf"\cmidrule(lr){{{at}-{at + len(metrics) - 1}}}")
        at += len(metrics)
    heads = " & ".join(rf"\multicolumn{{{len(metrics)}}}{{c}}{{{text.plain(title)}}}" for title, metrics in grouped)
    rows = [rf"{' & '.join(row)} \\" for row in mean_rows(text, evaluation, cells)]
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
    for origin, members in by_origin(published).items():
        lines += [r"\midrule", rf"\multicolumn{{{at - 1}}}{{l}}{{\emph{{{text.plain(origin)}}}}} \\"]
        lines += [rf"{' & '.join(published_row(text, row, evaluation.metrics))} \\" for row in members]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


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
        note = metric.sample_note and f" ({metric.sample_note})"
        return f"{self.plain(metric.name)}{'*' * bool(metric.partial)} {arrow}{note}"

    dagger = r"$^\dagger$"
