"""What is printed of an evaluation: the table of means, problems, where the files are."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from iqsr.cli.progress import printable

if TYPE_CHECKING:
    from rich.table import Table

    from iqsr.evaluation import Evaluation, Problem


def print_problem(problem: Problem) -> None:
    """One line to standard error."""
    print(printable(f"iqsr: {problem.text}"), file=sys.stderr)


def print_found(found: Evaluation, out: Path) -> None:
    """The table of means, and where tables and report are."""
    from iqsr.evaluation.report import REPORT_FILE
    from iqsr.evaluation.tables import MARKDOWN_FILE

    print_table(found)
    typer.echo(printable(f"tables: {out / MARKDOWN_FILE}; report: {out / REPORT_FILE}"))


def print_table(found: Evaluation) -> None:
    """The mean of each model by each metric, and how many images it is over where that is not all.

    On a terminal, columns that do not fit side by side go into further tables below.
    """
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=1000)
    typer.echo(printable(f"{found.set.name}: {len(found.set.items)} images; protocol {found.protocol.name}"))
    models, metrics = _columns(found)
    for part in _side_by_side(metrics, console.width - models.width - 2):
        console.print(_table([models, *part]))


@dataclass(frozen=True)
class _Column:
    """A head of several lines, and a cell a model."""

    head: str
    cells: list[str]

    @property
    def width(self) -> int:
        """In letters, with the space around it."""
        return max(map(len, (*self.head.splitlines(), *self.cells))) + 2


def _columns(found: Evaluation) -> tuple[_Column, list[_Column]]:
    """The models' names, and the means of each metric."""
    means, counts = found.means(), found.counts()
    columns: list[_Column] = []
    for metric in found.metrics:
        lines = [metric.name, "higher" if metric.higher_is_better else "lower"]
        lines += [f"partial: no {', '.join(metric.partial)}"] if metric.partial else []
        lines += metric.sample_note.split(", ") if metric.sample_note else []
        cells = [
            _cell(means.loc[model.name, metric.name], counts.loc[model.name, metric.name], found, metric.reference)
            for model in found.models
        ]
        columns.append(_Column("\n".join(lines), cells))
    return _Column("model", [printable(model.name) for model in found.models]), columns


def _side_by_side(columns: list[_Column], room: int) -> list[list[_Column]]:
    """The columns in as few parts as fit into `room` letters; one that does not fit is alone."""
    parts: list[list[_Column]] = []
    left = 0
    for column in columns:
        if not parts or column.width > left:
            parts.append([])
            left = room
        parts[-1].append(column)
        left -= column.width
    return parts


def _table(columns: list[_Column]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        shown.add_column(column.head, justify="right" if number else "left")
    for cells in zip(*(column.cells for column in columns), strict=True):
        shown.add_row(*map(Text, cells))
    return shown


def _cell(mean: Any, count: Any, found: Evaluation, reference: str) -> str:
    if mean != mean:
        return "–"
    of_all = reference in ("derived", "set") or count == len(found.set.items)
    return f"{mean:.4f}" + ("" if of_all else f" (n={int(count)})")
