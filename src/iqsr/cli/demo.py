"""`iqsr demo`: four photos, enlarged and compared on a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from iqsr.cli.options import output_option

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from iqsr.report.page import Table

HELP = """Enlarge four photos with Real-ESRGAN and compare them on a page.

The photos are made small and damaged, enlarged x4 by bicubic interpolation
and by Real-ESRGAN, and scored against their originals. DIR gets index.html
with before/after sliders, and panel.png; both are replaced. The photos are
those of scikit-image: pip install 'iqsr\\[demo]'.

[bold]Examples[/bold]

  iqsr demo

  iqsr demo -o /tmp/demo
"""


def command(output: Annotated[Path, output_option("Folder of the page.", metavar="DIR")] = Path("demo-output")) -> None:
    """Make the page; print the scores and where it is."""
    from rich.console import Console

    from iqsr.demo import write_demo

    with Console(stderr=True).status("") as status:
        made = write_demo(output, lambda name: status.update(f"Enlarging {name}"))
    console = Console()
    console.print(_table(made.table))
    console.print(f"{made.seconds:.0f} s. Open [bold]{made.page.resolve()}[/bold]", soft_wrap=True)


def _table(table: Table) -> RichTable:
    """The table of the page for a terminal."""
    from rich.table import Table as RichTable

    arrows = {"higher": " ↑", "lower": " ↓", None: ""}
    rich = RichTable(title=table.caption, title_style="", padding=(0, 0))
    rich.add_column("", no_wrap=True)
    rich.add_column("", no_wrap=True)
    for column in table.columns:
        rich.add_column(column.name + arrows[column.better], justify="right")
    for group, rows in table.groups():
        for index, (name, cells) in enumerate(rows):
            values = [f"[bold]{cell.text}[/bold]" if cell.best else cell.text for cell in cells]
            rich.add_row("" if index else group, name, *values, end_section=index == len(rows) - 1)
    return rich
