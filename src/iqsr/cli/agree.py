"""`iqsr agree`: do metrics order pairs of pictures as people do?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iqsr.cli.interrupt import how_to_go_on, interruptible
from iqsr.cli.options import (
    Cache,
    Device,
    Metrics,
    NoCache,
    Overwrite,
    ScorePrecision,
    ShardOption,
    json_option,
    output_option,
)
from iqsr.cli.outputs import check_outputs, list_shard, list_written, shard_output
from iqsr.cli.parsing import input_place, metric_names, score_cache

if TYPE_CHECKING:
    from iqsr.agreement import Agreement

HELP = """Do metrics agree with people?

PAIRS is a CSV file with the columns first, second (pictures, relative to the
file, absolute or URLs) and share_first (the share of people who prefer the
first, 0 to 1); a column reference has the originals for metrics that compare.
File and results may be URLs (s3://bucket/pairs.csv, with a package as s3fs).
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
    pairs: Annotated[Path, typer.Argument(metavar="PAIRS", help="CSV file of pairs.", parser=input_place)],
    metrics: Metrics = None,
    output: Annotated[
        Path | None,
        output_option("Folder to write tables (CSV, Markdown, JSON) and a heat map to.", metavar="DIR", urls=True),
    ] = None,
    overwrite: Overwrite = False,
    cache: Cache = None,
    no_cache: NoCache = False,
    device: Device = "auto",
    precision: ScorePrecision = "fp32",
    shard: ShardOption = None,
    as_json: Annotated[bool, json_option("everything, as one object.")] = False,
) -> None:
    """Compare metrics with people on pairs (see HELP)."""
    from iqsr.agreement import agreement, report
    from iqsr.agreement.shards import agreement_shard
    from iqsr.cli.picture_bar import PictureBar
    from iqsr.scoring.metric_set import check_precision

    if output is not None and shard is None:
        check_outputs((output / name for name in report.AGREEMENT_FILES), overwrite=overwrite)
    names, remembered, chosen = metric_names(metrics), score_cache(cache, no_cache), check_precision(precision)
    if shard is not None:
        whole = shard_output(output)
        with interruptible(how_to_go_on(no_cache=no_cache)), PictureBar() as bar:
            part = agreement_shard(
                pairs,
                names,
                whole,
                shard,
                device=device,
                precision=chosen,
                cache=remembered,
                overwrite=overwrite,
                on_progress=bar.update,
            )
        list_shard(part)
        if part.failed:
            raise typer.Exit(1)
        return
    with interruptible(how_to_go_on(no_cache=no_cache)), PictureBar() as bar:
        found = agreement(pairs, names, device=device, precision=chosen, cache=remembered, on_progress=bar.update)
    origin = report.origin_of(pairs, found.accuracy, chosen)
    if as_json:
        typer.echo(report.json_text(report.agreement_document(found, origin)), nl=False)
    else:
        print_agreement(found, written=output is not None)
    if output is not None:
        list_written(report.write_agreement(found, output, origin))


def print_agreement(found: Agreement, *, written: bool) -> None:
    """Print the tables. written: whether there is a file of a matrix that is too wide for a terminal."""
    from iqsr.agreement import report

    typer.echo(report.agreement_markdown(found, widest=_WIDEST), nl=False)
    if len(found.accuracy) > _WIDEST and not written:
        typer.echo(f"\nThe matrix of {len(found.accuracy)} metrics is too wide for here: see -o DIR.")
