"""`iqsr study import`: votes from sheets and from other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iqsr.cli.options import json_option

HELP = """Bring votes into a study's votes.csv.

FILES are CSV files, or folders of them. Their columns tell what they are: the
sheets of `iqsr study sheets` (trial, choice), votes.csv of another server;
and, into a folder without a design, pairs with counts (first, second,
votes_first, votes_second), pwcmp's tables (observer, scene, condition_1,
condition_2, selection) and choices among several (rater, picture, chosen,
among). The same import again adds nothing.

[bold]Examples[/bold]

  iqsr study import study/ sheets/

  iqsr study import study/ answers.csv --rater ann

  iqsr study import others/ pairs.csv
"""


def command(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of the study.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILES...", help="Filled-in sheets, or tables of votes.")],
    rater: Annotated[
        str | None,
        typer.Option(
            "--rater", metavar="NAME", help="Who filled in a sheet. Default: the name of its file, or of its folder."
        ),
    ] = None,
    as_json: Annotated[bool, json_option("what was added, and what is missing.")] = False,
) -> None:
    """Add votes to a study (see HELP)."""
    import json

    from iqsr.study.imports import import_votes

    found = import_votes(study, files, rater)
    if as_json:
        document = {
            "votes": str(found.file),
            "added": found.added,
            "already_there": found.already_there,
            "missing": {name: list(trials) for name, trials in found.missing.items()},
        }
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    again = f", {found.already_there:,} were there" if found.already_there else ""
    typer.echo(f"{found.added:,} votes added to {found.file}{again}")
    for name, trials in found.missing.items():
        more = f" and {len(trials) - 5} more" if len(trials) > 5 else ""
        typer.echo(f"{name} left {len(trials)} without an answer: {', '.join(trials[:5])}{more}")
