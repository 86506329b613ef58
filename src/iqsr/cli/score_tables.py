"""What `iqsr score` prints: every picture where they are few, a summary where they are several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iqsr.cli.progress import printable

if TYPE_CHECKING:
    from rich.console import Console

    from iqsr.scoring.table import Row

_FEW = 20
"""Pictures that are shown one by one."""


def print_scores(rows: list[Row], metrics: list[str]) -> None:
    """Print a table of pictures, a summary, or both."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=1000)  # nothing is folded for the program that reads it
    if len(rows) <= _FEW:
        _print_pictures(rows, metrics, console)
    if len(rows) > 1:
        _print_summary(rows, metrics, console)
    else:
        _print_directions(metrics, console)


def _print_pictures(rows: list[Row], metrics: list[str], console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("picture", "size", box=box.SIMPLE_HEAD)
    for name in metrics:
        table.add_column(name, justify="right")
    for row in rows:
        size = "?" if row["width"] is None else f"{row['width']} x {row['height']}"
        table.add_row(Text(printable(row["path"])), size, *(_number(row[name]) for name in metrics))
    console.print(table)


def _print_summary(rows: list[Row], metrics: list[str], console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from iqsr.scoring.table import summaries_of

    table = Table("metric", "better", box=box.SIMPLE_HEAD)
    for name in ("n", "mean", "median", "sd"):
        table.add_column(name, justify="right")
    table.add_column("worst")
    for one in summaries_of(rows, metrics):
        worst = "\n".join(f"{_number(score)}  {printable(path)}" for path, score in one.worst)
        facts = (str(one.n), _number(one.mean), _number(one.median), _number(one.sd))
        table.add_row(one.metric, "higher" if one.higher_is_better else "lower", *facts, Text(worst))
    console.print(table)


def _print_directions(metrics: list[str], console: Console) -> None:
    """What one picture's scores mean; of several, the summary says it."""
    from iqsr.metrics import card
    from iqsr.metrics.taxonomy import better, span

    for about in map(card, metrics):
        line = f"{about.name}: {about.title}; {better(about)} is better, {span(about)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"
