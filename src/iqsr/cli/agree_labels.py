"""`iqsr agree-labels`: do metrics contradict people's labels of ground truths?"""

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

HELP = """Do metrics agree with people's labels of ground truths?

SETS is a folder of sets of ground truths with labels: HGGT's Train or Test-100.
Printed: how often each metric ranks something above a ground truth that people
call better than the original, or one that they call worse above the others.

Scores are remembered by content: a run that was stopped goes on.

[bold]Examples[/bold]

  iqsr agree-labels HGGT/Train --metrics srq,laplacian

  iqsr agree-labels HGGT/Test-100 --metrics srq -o misalignment/
"""


def command(
    sets: Annotated[Path, typer.Argument(metavar="SETS", help="Folder of sets of ground truths with labels.")],
    metrics: Metrics = None,
    output: Annotated[
        Path | None, output_option("Folder to write tables (CSV, Markdown, JSON) to.", metavar="DIR")
    ] = None,
    overwrite: Overwrite = False,
    cache: Cache = None,
    no_cache: NoCache = False,
    device: Device = "auto",
    precision: ScorePrecision = "fp32",
    as_json: Annotated[bool, json_option("everything, as one object.")] = False,
) -> None:
    """Compare metrics with labels (see HELP)."""
    from iqsr.agreement import misalignments, report
    from iqsr.cli.picture_bar import PictureBar
    from iqsr.scoring.metric_set import check_precision

    if output is not None:
        check_outputs((output / name for name in report.MISALIGNMENT_FILES), overwrite=overwrite)
    names, remembered, chosen = metric_names(metrics), score_cache(cache, no_cache), check_precision(precision)
    with interruptible(how_to_go_on(no_cache=no_cache)), PictureBar() as bar:
        found = misalignments(sets, names, device=device, precision=chosen, cache=remembered, on_progress=bar.update)
    origin = report.origin_of(sets, found.metrics, chosen)
    if as_json:
        typer.echo(report.json_text(report.misalignment_document(found, origin)), nl=False)
    else:
        typer.echo(report.misalignment_markdown(found), nl=False)
    if output is not None:
        list_written(report.write_misalignments(found, output, origin))
