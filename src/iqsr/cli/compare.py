"""`iqsr compare`: two trainings side by side."""

from pathlib import Path
from typing import Annotated

import typer

from iqsr.cli.options import Overwrite, output_option
from iqsr.cli.outputs import check_outputs
from iqsr.errors import UsageError

HELP = """Compare two trainings: what their recipes set differently, their curves, their last figures.

[bold]Examples[/bold]

  iqsr compare runs/base runs/guided

  iqsr compare runs/base runs/guided -o comparison.html
"""


def command(
    a: Annotated[Path, typer.Argument(metavar="RUN_A", help="Folder of a run.")],
    b: Annotated[Path, typer.Argument(metavar="RUN_B", help="Folder of another one.")],
    output: Annotated[Path | None, output_option("File of a page to write, too: .html.", metavar="FILE")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare two runs (see HELP)."""
    from iqsr.cli.progress import printable
    from iqsr.evaluation.report_runs import comparison_text, read_runs, write_run_comparison

    if output is not None:
        if output.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"the comparison is a page, .html; got '{output}'")
        check_outputs([output], overwrite=overwrite)
    first, second = read_runs(a, b)
    for line in comparison_text(first, second).splitlines():
        typer.echo(printable(line))
    if output is not None:
        write_run_comparison(first, second, output)
