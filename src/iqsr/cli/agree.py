"""`iqsr agree`: do metrics order pairs of pictures as people do?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iqsr.cli.interrupt import how_to_go_on, interruptible
from iqsr.cli.options import (
    Cache,
    Device,
    Metrics,
    NoCache,
    Overwrite,
    ScorePrecision,
    json_option,
    output_option,
)
from iqsr.cli.outputs import check_outputs, list_written
from iqsr.cli.parsing import metric_names, score_cache

HELP = """Do metrics agree with people?

PAIRS is a CSV file with the columns first, second (pictures, relative to the
file or absolute) and share_first (the share of people who prefer the first,
0 to 1); a column reference has the originals for metrics that compare.
Printed: each metric's accuracy, and how accurate every other is where it is
wrong. For labels of sets of ground truths, see `iqsr agree-labels`.

Scores are remembered by content: a run that was stopped goes on.

[bold]Examples[/bold]

  iqsr agree pairs.csv --metrics srq,laplacian

  iqsr agree pairs.csv --metrics srq,laplacian,stlpips -o agreement/
"""

_WIDEST = 8
"""Metrics whose matrix fits a terminal."""


def command(
    pairs: Annotated[Path, typer.Argument(metavar="PAIRS", help="CSV file of pairs.")],
    metrics: Metrics = None,
    output: Annotated[
        Path | None,
        output_option("Folder to write tables (CSV, Markdown, JSON) and a heat map to.", metavar="DIR"),
    ] = None,
    overwrite: Overwrite = False,
    cache: Cache = None,
    no_cache: NoCache = False,
    device: Device = "auto",
    precision: ScorePrecision = "fp32",
    as_json: Annotated[bool, json_option("everything, as one object.")] = False,
) -> None:
    """Compare metrics with people on pairs (see HELP)."""
    from iqsr.agreement import agreement, report
    from iqsr.cli.picture_bar import PictureBar
    from iqsr.scoring.metric_set import check_precision

    if output is not None:
        check_outputs((output / name for name in report.AGREEMENT_FILES), overwrite=overwrite)
    names, remembered, chosen = metric_names(metrics), score_cache(cache, no_cache), check_precision(precision)
    with interruptible(how_to_go_on(no_cache=no_cache)), PictureBar() as bar:
        found = agreement(pairs, names, device=device, precision=chosen, cache=remembered, on_progress=bar.update)
    origin = report.origin_of(pairs, found.accuracy, chosen)
    if as_json:
        typer.echo(report.json_text(report.agreement_document(found, origin)), nl=False)
    else:
        typer.echo(report.agreement_markdown(found, widest=_WIDEST), nl=False)
        if len(found.accuracy) > _WIDEST and output is None:
            typer.echo(f"\nThe matrix of {len(found.accuracy)} metrics is too wide for here: see -o DIR.")
    if output is not None:
        list_written(report.write_agreement(found, output, origin))
