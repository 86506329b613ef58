"""`iqsr study analyze`: who prefers what, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iqsr.cli.interrupt import how_to_go_on, interruptible
from iqsr.cli.options import Cache, Device, NoCache, Overwrite, json_option, output_option
from iqsr.cli.outputs import check_outputs, list_written
from iqsr.cli.parsing import score_cache

HELP = """Analyse the votes of a study.

Printed: one paragraph to paste. With -o: analysis.html, analysis.csv and, where
the pictures are here, pairs.csv for `iqsr agree` and `iqsr train-quality`.
Raters' shares with a one-sided t-test, intervals over raters and pictures,
Bradley-Terry and JOD scales, agreement of raters and of metrics, screened
raters; docs/reference/study-statistics.md says what each figure is.

[bold]Examples[/bold]

  iqsr study analyze study/

  iqsr study analyze study/ -o analysis/

  iqsr study analyze study/ --expected sharp --metrics srq,laplacian

  iqsr study analyze others/ --pictures 'p/{picture}_{method}.png'
"""


def command(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of the study.")],
    votes: Annotated[
        Path | None, typer.Option("--votes", metavar="CSV", help="Votes. Default: votes.csv of the study.")
    ] = None,
    expected: Annotated[
        str | None,
        typer.Option(
            "--expected",
            metavar="METHOD",
            help="The method that was expected to win, before any vote: the t-test is one-sided. Default: the first.",
        ),
    ] = None,
    pictures: Annotated[
        str | None,
        typer.Option(
            "--pictures",
            metavar="PATTERN",
            help="Where pictures of other tools' votes lie, with {picture} and {method}.",
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            "-m",
            metavar="A,B,...",
            help="Names that `iqsr metrics` lists; or none. Default: all that are here and need no reference.",
        ),
    ] = None,
    shown: Annotated[
        int, typer.Option("--show", min=0, metavar="N", help="Pictures on the page, half best, half worst.")
    ] = 6,
    output: Annotated[Path | None, output_option("Folder to write page and tables to.", metavar="DIR")] = None,
    overwrite: Overwrite = False,
    cache: Cache = None,
    no_cache: NoCache = False,
    device: Device = "auto",
    as_json: Annotated[bool, json_option("everything, as one object.")] = False,
) -> None:
    """Analyse a study (see HELP)."""
    from iqsr.cli.picture_bar import PictureBar
    from iqsr.study.analysis_files import OUTPUT_FILES, AnalysisOptions, analyze_study, write_analysis
    from iqsr.study.analysis_text import analysis_json, paragraph

    if output is not None:
        check_outputs((output / name for name in OUTPUT_FILES), overwrite=overwrite)
    options = AnalysisOptions(votes, pictures, expected, metrics, device, score_cache(cache, no_cache))
    with interruptible(how_to_go_on(no_cache=no_cache)), PictureBar() as bar:
        found = analyze_study(study, options, bar.update)
    if as_json:
        typer.echo(analysis_json(found.analysis, found.origin), nl=False)
    else:
        typer.echo(paragraph(found.analysis))
    if output is not None:
        list_written(write_analysis(found, output, pictures=shown))
