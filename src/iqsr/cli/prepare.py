"""`iqsr prepare`: sets of ground truths from plain photos, and what is wrong with sets of any origin."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iqsr.cli.interrupt import interruptible
from iqsr.cli.places import place
from iqsr.cli.progress import printable
from iqsr.configs import DEFAULT_PREPARE
from iqsr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from iqsr.preparation import Outcome, PrepareRecipe, Summary

HELP = """Make sets of ground truths of plain photos: patches with enhanced versions.

Photos are files, patterns, folders with all below them; best sharp ones. Each is
enhanced in several ways, cut to patches, and those with contrast and detail are
written in HGGT's layout, with a table of their scores (index.parquet).
A run that was stopped goes on when the same command is given again, and more
photos can be added. A photo that cannot be read is told and the rest goes on;
the exit code is 1 then, 2 for wrong arguments.
With --check, tells what is wrong with the data set in a folder, file by file,
whether made by this command or HGGT's own; the exit code is 1 if anything is.
Every picture is decoded; with --headers only what files say of themselves is read.

[bold]Examples[/bold]

  iqsr prepare photos/ -o sets/

  iqsr prepare photos/ -o sets/ --recipe prepare/cpu-small

  iqsr prepare "photos/*.jpg" -o sets/ --workers 2 --set patches.crop=256

  iqsr prepare --check HGGT/Train
"""

_GO_ON = "the same command goes on from here"


def command(
    photos: Annotated[
        list[str] | None, typer.Argument(metavar="PHOTOS", help="Photos, patterns or folders.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", parser=place, metavar="DIR", help="Folder of the data set.", show_default=False),
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(metavar="RECIPE", help="A TOML file, or a name that `iqsr recipes` lists."),
    ] = DEFAULT_PREPARE,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change a setting: patches.crop=256")
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", help="Processes; each needs memory for its networks.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N, mps.")] = "auto",
    check: Annotated[
        Path | None, typer.Option("--check", metavar="DIR", help="Look for what is wrong instead.", show_default=False)
    ] = None,
    deep: Annotated[
        bool | None,
        typer.Option(
            "--deep/--headers",
            help="With --check: decode every picture to its end, or read headers only.",
            show_default="--deep",
        ),
    ] = None,
) -> None:
    """Prepare a data set, or check one (see HELP)."""
    if check is not None:
        if photos or out or recipe != DEFAULT_PREPARE or changes:
            raise UsageError("--check DIR takes no photos, -o, --recipe or --set")
        _check(check, deep is not False)
        return
    if deep is not None:
        raise UsageError(f"--{'deep' if deep else 'headers'} belongs to --check DIR")
    if not photos or out is None:
        raise UsageError("give photos and -o DIR, or --check DIR")
    _prepare(photos, out, _recipe(recipe, changes or []), workers, device)


def _recipe(source: str, changes: list[str]) -> PrepareRecipe:
    from iqsr.preparation import PrepareRecipe
    from iqsr.recipes import read_recipe

    return read_recipe(source, PrepareRecipe, changes)


def _prepare(photos: list[str], out: Path, recipe: PrepareRecipe, workers: int, device: str) -> None:
    from iqsr.preparation import prepare

    with interruptible(_GO_ON), _progress() as on_photo:
        summary = prepare(photos, out, recipe, workers=workers, device=device, on_photo=on_photo)
    for line in _told(summary, out, recipe.patches.crop):
        typer.echo(line)
    if summary.failed:
        raise typer.Exit(1)


def _told(summary: Summary, out: Path, crop: int) -> list[str]:
    """What is in the folder now."""
    lines = [f"{printable(str(out))}: {summary.sets} sets of {summary.photos} photos"]
    if summary.too_small:
        lines.append(
            f"smaller than the crop of {crop} pixels: {summary.too_small} (--set patches.crop=... cuts smaller)"
        )
    if summary.nothing_kept:
        lines.append(f"hardly larger than the crop, or flat, or blurred: {summary.nothing_kept}")
    if summary.failed:
        lines.append(f"failed: {summary.failed}; the same command tries them again")
    return lines


@contextmanager
def _progress() -> Generator[Callable[[Outcome, int, int], None]]:
    """What to call after each photo: moves a bar on a terminal, and tells what went wrong anywhere."""
    from iqsr.cli.progress import StageBars

    sets = 0

    def after(outcome: Outcome, done: int, total: int) -> None:
        nonlocal sets
        if outcome.error is not None:
            print(printable(f"iqsr: {outcome.error}"), file=sys.stderr)
        sets += len(outcome.record.sets) if outcome.record else 0
        bars.stage("photos", done, total, {"sets": sets})

    bars = StageBars()
    with bars:
        yield after


def _check(folder: Path, deep: bool) -> None:
    from iqsr.datasets import open_sets
    from iqsr.datasets.check import findings

    sets, found = open_sets(folder), 0
    from iqsr.cli.progress import StageBars

    with StageBars() as bars:
        for finding in findings(sets, deep=deep, on_set=lambda done, total: bars.stage("sets", done, total, {})):
            typer.echo(printable(f"{finding.path}: {finding.problem}"))
            found += 1
    if found:
        raise typer.Exit(1)
    labels = "labels, " if sets.labelled else ""
    looked = "every picture decoded" if deep else "headers read; without --headers every picture is decoded"
    typer.echo(f"{printable(str(folder))}: all well: {len(sets)} sets of {len(sets.variants)}, {labels}{looked}")
