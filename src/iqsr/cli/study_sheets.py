"""`iqsr study sheets`: a study as picture files and tables to fill in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iqsr.cli.options import output_option

HELP = """Write a study as blind picture files and tables to fill in, for raters without a server.

Each rater gets a folder: a sheet for each pair, answers.csv to fill in, and
README.txt. Which method is where stays in the study's folder. `iqsr study
import` reads the tables back.

[bold]Examples[/bold]

  iqsr study sheets study/ -o sheets/

  iqsr study sheets study/ -o sheets/ --crop-size 440
"""


def command(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study.")],
    output: Annotated[Path, output_option("Folder of the sheets; it must not exist, or be empty.", metavar="DIR")],
    crop_size: Annotated[
        int | None,
        typer.Option(metavar="N", help="Show a part of N x N pixels with detail, the same of all methods."),
    ] = None,
) -> None:
    """Write sheets (see HELP)."""
    from iqsr.study.sheets import write_sheets

    folders = write_sheets(study, output, crop_size=crop_size)
    typer.echo(f"{len(folders)} folders in {output}, one for each rater: {folders[0].name} to {folders[-1].name}")
    typer.echo(f"give raters their folder alone; then: iqsr study import {study} {output}")
