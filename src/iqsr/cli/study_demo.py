"""`iqsr study demo`: a study that is ready to click."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from iqsr.cli.options import output_option
from iqsr.errors import UsageError

_FOLDER = Path("study-demo")

HELP = """Make a study of pictures that iqsr makes itself, and serve it on this machine.

Eight small pictures, enlarged by bicubic interpolation and by the default
model. It takes some seconds; the page is then at the link that is printed.
The same command goes on with the study that is there.

[bold]Examples[/bold]

  iqsr study demo

  iqsr study demo -o demo/ --synthetic-raters 12 --no-serve
"""


def command(
    output: Annotated[Path, output_option("Folder of the study. Default: study-demo.", metavar="DIR")] = _FOLDER,
    synthetic_raters: Annotated[
        int, typer.Option(min=0, metavar="N", help="Raters that are drawn at random; their votes go into votes.csv.")
    ] = 0,
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="The port. 0: a free one.")] = 8000,
    no_serve: Annotated[bool, typer.Option("--no-serve", help="Make the study's folder only.")] = False,
) -> None:
    """Make a demo and serve it (see HELP)."""
    from iqsr.study.demo import make_demo
    from iqsr.study.design import DESIGN_FILE

    if not (output / DESIGN_FILE).exists():
        if sys.stderr.isatty():
            print("making the pictures: this takes a moment", file=sys.stderr)
        design = make_demo(output, synthetic_raters=synthetic_raters)
        votes = f", {synthetic_raters} with synthetic votes in votes.csv" if synthetic_raters else ""
        typer.echo(f"{output}: {len(design.pictures)} pictures, 2 methods, {len(design.seats)} seats{votes}")
        if synthetic_raters:
            typer.echo(f"iqsr study analyze {output} --expected {design.methods[1]}")
    elif synthetic_raters:
        raise UsageError(f"'{output}' is a study already: leave out --synthetic-raters, or name another folder")
    if no_serve:
        typer.echo(f"iqsr study serve {output} --open")
        return
    from iqsr.cli.study_serve import command as serve

    serve(output, port=port, open_link=True)
