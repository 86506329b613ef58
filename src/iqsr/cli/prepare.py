"""`iqsr prepare`: sets of ground truths from plain photos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iqsr.cli.interrupt import interruptible
from iqsr.cli.options import RECIPE_HELP, Device, ShardOption, Workers, output_option, set_option
from iqsr.cli.outputs import list_shard, shard_output
from iqsr.cli.progress import StageBars, printable
from iqsr.configs import DEFAULT_PREPARE

if TYPE_CHECKING:
    from iqsr.preparation import Outcome, Summary

HELP = """Make sets of ground truths of plain photos: patches with enhanced versions.

Photos are files, patterns, folders with all below them, or URLs of those
(s3://bucket/folder/, with a package such as s3fs); best sharp ones. Each is
enhanced in several ways, cut to patches, and those with contrast and detail are
written in HGGT's layout, with a table of their scores (index.parquet). The data
set may be a URL, too.
A run that was stopped goes on when the same command is given again, and more
photos can be added. A photo that cannot be read is reported and the rest goes
on; the exit code is 1 then, 2 for wrong arguments.
`iqsr check-sets` finds what is wrong with such a folder.

[bold]Examples[/bold]

  iqsr prepare photos/ -o sets/

  iqsr prepare photos/ -o sets/ --recipe prepare/cpu-small

  iqsr prepare "photos/*.jpg" -o sets/ --workers 2 --set patches.crop=256
"""


def command(
    photos: Annotated[list[str], typer.Argument(metavar="PHOTOS...", help="Photos, patterns or folders.")],
    output: Annotated[Path, output_option("Folder of the data set.", metavar="DIR", urls=True)],
    recipe: Annotated[str, typer.Option("--recipe", metavar="RECIPE", help=RECIPE_HELP)] = DEFAULT_PREPARE,
    changes: Annotated[list[str] | None, set_option("patches.crop=256")] = None,
    workers: Workers = 1,
    device: Device = "auto",
    shard: ShardOption = None,
) -> None:
    """Prepare a data set (see HELP)."""
    from iqsr.preparation import PrepareRecipe, prepare
    from iqsr.preparation.shards import prepare_shard
    from iqsr.recipes import read_recipe

    settings = read_recipe(recipe, PrepareRecipe, changes or [])
    with interruptible("the same command goes on from here"), StageBars() as bars:
        report = _PhotoReport(bars)
        part = None
        if shard is None:
            summary = prepare(photos, output, settings, workers=workers, device=device, on_photo=report)
        else:
            part, summary = prepare_shard(
                photos, shard_output(output), settings, shard, workers=workers, device=device, on_photo=report
            )
    print_summary(summary, output if part is None else part.output, settings.patches.crop)
    if part is not None:
        list_shard(part)
    if summary.failed:
        raise typer.Exit(1)


def print_summary(summary: Summary, folder: Path, crop: int) -> None:
    """Say what is in the folder now."""
    for line in _summary_lines(summary, folder, crop):
        typer.echo(line)


def _summary_lines(summary: Summary, folder: Path, crop: int) -> Iterator[str]:
    """What is in the folder now."""
    yield f"{printable(str(folder))}: {summary.sets} sets of {summary.photos} photos"
    if summary.too_small:
        yield f"smaller than the crop of {crop} pixels: {summary.too_small} (--set patches.crop=... cuts smaller)"
    if summary.nothing_kept:
        yield f"hardly larger than the crop, or flat, or blurred: {summary.nothing_kept}"
    if summary.failed:
        yield f"failed: {summary.failed}; the same command tries them again"


class _PhotoReport:
    """Counts the sets that photos gave, beside the bar over photos, and prints what went wrong."""

    def __init__(self, bars: StageBars) -> None:
        self._bars = bars
        self._sets = 0

    def __call__(self, outcome: Outcome, done: int, total: int) -> None:
        if outcome.error is not None:
            typer.echo(printable(f"iqsr: {outcome.error}"), err=True)
        self._sets += len(outcome.record.sets) if outcome.record else 0
        self._bars.stage("photos", done, total, {"sets": self._sets})
