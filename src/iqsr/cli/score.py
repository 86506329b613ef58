"""`iqsr score`: what metrics say of pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iqsr.cli.interrupt import how_to_go_on, interruptible
from iqsr.cli.options import (
    COMPUTING,
    FILES,
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
from iqsr.cli.outputs import check_outputs, list_shard, shard_output
from iqsr.cli.parsing import input_place, metric_names, output_path, score_cache
from iqsr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from iqsr.cli.picture_bar import PictureBar
    from iqsr.scoring import PictureScores
    from iqsr.scoring.table import Row

HELP = """Score pictures with image-quality metrics.

Pictures are files, patterns, folders with all below them, or URLs of those
(s3://bucket/folder/, with a package such as s3fs). Each is decoded once
whatever the number of metrics, and scores are remembered by the picture's
content: a run that was stopped goes on, a second one takes no time.
A score that cannot be had is reported and the rest goes on; the exit code is
1 then, 2 for wrong arguments. `iqsr metrics` lists the metrics.

[bold]Examples[/bold]

  iqsr score photo.png

  iqsr score results/ --metrics srq,laplacian -o scores.csv

  iqsr score results/ --reference originals/ --metrics psnr,ssim,stlpips

  iqsr score "results/*x4.png" --metrics srq --map maps/
"""


def command(
    inputs: Annotated[list[str], typer.Argument(metavar="PATH...", help="Pictures, patterns or folders.")],
    metrics: Metrics = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "-r",
            "--reference",
            parser=input_place,
            metavar="DIR|FILE",
            help="Originals, for metrics that compare: a folder, matched by the files' names, or one file for all.",
        ),
    ] = None,
    output: Annotated[
        Path | None, output_option("File to write, a table: .csv, .parquet or .json.", metavar="FILE", urls=True)
    ] = None,
    map_folder: Annotated[
        Path | None,
        typer.Option(
            "--map",
            parser=output_path,
            metavar="DIR",
            help="Write where each picture is good and where not, as srq sees it: a coloured overlay.",
            rich_help_panel=FILES,
        ),
    ] = None,
    overwrite: Overwrite = False,
    cache: Cache = None,
    no_cache: NoCache = False,
    device: Device = "auto",
    precision: ScorePrecision = "fp32",
    crop_border: Annotated[
        int,
        typer.Option(
            metavar="PX",
            min=0,
            help="Metrics that compare leave out so many pixels on each side; papers leave out 4 at x4.",
            rich_help_panel=COMPUTING,
        ),
    ] = 0,
    shard: ShardOption = None,
    as_json: Annotated[bool, json_option("one object with pictures and summary.")] = False,
) -> None:
    """Score pictures (see HELP)."""
    from iqsr.cli.picture_bar import PictureBar
    from iqsr.images.find import find_pictures
    from iqsr.scoring import MetricSet, write_table
    from iqsr.scoring.files import references_for, score_found
    from iqsr.scoring.metric_set import check_precision
    from iqsr.scoring.quality_map import check_map_metric, plan_maps, write_maps
    from iqsr.scoring.shards import score_shard
    from iqsr.scoring.table import check_table, rows_of, to_table

    if output is not None:
        check_table(output)
        check_outputs([output] if shard is None else [], overwrite=overwrite)
    if shard is not None and map_folder is not None:
        raise UsageError("--map and --shard exclude each other: make the maps without shards")
    whole = None if shard is None else shard_output(output)
    remembered, names = score_cache(cache, no_cache), metric_names(metrics)
    if map_folder is not None:
        check_map_metric()
        names = None if names is None else [*names, "srq"]
    metric_set = MetricSet(names, device=device, precision=check_precision(precision), crop_border=crop_border)
    unread: list[OSError] = []
    references = references_for(metric_set, reference, on_unread=unread.append)
    found = find_pictures(inputs, exclude=map_folder, on_unread=unread.append)
    maps = {} if map_folder is None else plan_maps(found, map_folder)
    check_outputs(maps.values(), overwrite=overwrite)
    failed, part = 0, None
    with interruptible(how_to_go_on(no_cache=no_cache, files_written=bool(maps))), PictureBar() as bar:
        how: dict[str, Any] = {"references": references, "cache": remembered, "on_progress": _shown_by(bar)}
        if shard is not None and whole is not None:
            part, scored = score_shard(found, metric_set, whole, shard, overwrite=overwrite, **how)
        else:
            scored = score_found(found, metric_set, **how)
        if output is not None and part is None:
            write_table(to_table(scored, metric_set.names), output)
        if maps:
            failed = write_maps(scored, maps, device=metric_set.device, on_error=lambda error: bar.error(str(error)))
    print_rows(rows_of(scored, metric_set.names), metric_set.names, as_json)
    if part is not None:
        list_shard(part)
    if failed or unread or any(one.errors for one in scored):
        raise typer.Exit(1)


def _shown_by(bar: PictureBar) -> Callable[[PictureScores, int, int], None]:
    """The bar moves, and failures are printed as they come."""

    def show(scored: PictureScores, done: int, total: int) -> None:
        for line in scored.errors:
            bar.error(line)
        bar.update(done, total)

    return show


def print_rows(rows: list[Row], metrics: list[str], as_json: bool = False) -> None:
    """Print the scores and their summary as a table, or as JSON."""
    from iqsr.cli.score_tables import print_scores
    from iqsr.scoring.table import document

    if as_json:
        typer.echo(json.dumps(document(rows, metrics), indent=1, allow_nan=False))
    elif rows:
        print_scores(rows, metrics)
