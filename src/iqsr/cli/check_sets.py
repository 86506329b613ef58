"""`iqsr check-sets`: what is wrong with sets of ground truths, of any origin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iqsr.cli.progress import StageBars, printable

HELP = """Find what is wrong with sets of ground truths, a line each.

SETS is a folder that `iqsr prepare` made, HGGT's Train or Test-100, or any with
a folder a variant. The exit code is 1 if anything is wrong.
Every picture is decoded; with --headers only what files say of themselves is read.

[bold]Examples[/bold]

  iqsr check-sets HGGT/Train

  iqsr check-sets sets/ --headers
"""


def command(
    sets: Annotated[Path, typer.Argument(metavar="SETS", help="Folder of sets of ground truths.")],
    headers: Annotated[
        bool, typer.Option("--headers", help="Read headers only: some thirty times as fast, finds no damage.")
    ] = False,
) -> None:
    """Check a data set (see HELP)."""
    from iqsr.datasets import open_sets
    from iqsr.datasets.check import findings

    opened, count = open_sets(sets), 0
    with StageBars() as bars:
        for finding in findings(
            opened, deep=not headers, on_set=lambda done, total: bars.stage("sets", done, total, {})
        ):
            typer.echo(printable(f"{finding.path}: {finding.problem}"))
            count += 1
    if count:
        raise typer.Exit(1)
    labels = "labels, " if opened.labelled else ""
    what = "headers read; without --headers every picture is decoded" if headers else "every picture decoded"
    typer.echo(f"{printable(str(sets))}: all well: {len(opened)} sets of {len(opened.variants)}, {labels}{what}")
