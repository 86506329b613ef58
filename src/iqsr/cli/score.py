"""`iqsr score`: what metrics say of pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    json_option,
    output_option,
)
from iqsr.cli.outputs import check_outputs
from iqsr.cli.parsing import metric_names, output_path, score_cache

if TYPE_CHECKING:
    from iqsr.cli.picture_bar import PictureBar
    from iqsr.scoring import MetricSet, PictureScores
    from iqsr.scoring.references import References

HELP = """Score pictures with image-quality metrics.

Pictures are files, patterns, folders with all below them. Each is decoded once
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
            metavar="DIR|FILE",
            help="Originals, for metrics that compare: a folder, matched by the files' names, or one file for all.",
        ),
    ] = None,
    output: Annotated[
        Path | None, output_option("File to write, a table: .csv, .parquet or .json.", metavar="FILE")
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
    as_json: Annotated[bool, json_option("one object with pictures and summary.")] = False,
) -> None:
    """Score pictures (see HELP)."""
    from iqsr.cli.picture_bar import PictureBar
    from iqsr.images.find import find_pictures
    from iqsr.scoring import MetricSet, write_table
    from iqsr.scoring.files import references_for
    from iqsr.scoring.metric_set import check_precision
    from iqsr.scoring.quality_map import check_map_metric, plan_maps, write_maps
    from iqsr.scoring.table import check_table, to_table

    if output is not None:
        check_table(output)
        check_outputs([output], overwrite=overwrite)
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
    failed = 0
    with interruptible(how_to_go_on(no_cache=no_cache, files_written=bool(maps))), PictureBar() as bar:
        scored = _score(found, metric_set, references, remembered, bar)
        if output is not None:
            write_table(to_table(scored, metric_set.names), output)
        if maps:
            failed = write_maps(scored, maps, device=metric_set.device, on_error=lambda error: bar.error(str(error)))
    _print(scored, metric_set.names, as_json)
    if failed or unread or any(one.errors for one in scored):
        raise typer.Exit(1)


def _score(
    found: list[tuple[Path, Path]],
    metric_set: MetricSet,
    references: References | None,
    cache: Path | None,
    bar: PictureBar,
) -> list[PictureScores]:
    """Score the pictures; the bar moves, and failures are printed as they come."""
    from iqsr.scoring.files import score_found

    def show(scored: PictureScores, done: int, total: int) -> None:
        for line in scored.errors:
            bar.error(line)
        bar.update(done, total)

    return score_found(found, metric_set, references=references, cache=cache, on_progress=show)


def _print(scored: list[PictureScores], metrics: list[str], as_json: bool) -> None:
    from iqsr.cli.score_tables import print_scores
    from iqsr.scoring.table import document, rows_of

    rows = rows_of(scored, metrics)
    if as_json:
        typer.echo(json.dumps(document(rows, metrics), indent=1, allow_nan=False))
    else:
        print_scores(rows, metrics)
