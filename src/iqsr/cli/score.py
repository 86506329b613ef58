"""`iqsr score`: what metrics say of pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iqsr.cli.interrupt import interruptible
from iqsr.cli.places import place
from iqsr.cli.progress import printable
from iqsr.errors import IqsrError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from iqsr.scoring import MetricSet, Scored
    from iqsr.scoring.pictures import Precision
    from iqsr.scoring.table import Row

HELP = """Score pictures with image-quality metrics.

Pictures are files, patterns, folders with all below them. Each is decoded once
whatever the number of metrics, and scores are remembered by the picture's
content: a run that was stopped goes on, a second one takes no time.
A score that cannot be had is told and the rest goes on; the exit code is 1
then, 2 for wrong arguments. `iqsr metrics` lists the metrics.

[bold]Examples[/bold]

  iqsr score photo.png

  iqsr score results/ --metrics srq,laplacian -o scores.csv

  iqsr score results/ --reference originals/ --metrics psnr,ssim,stlpips

  iqsr score "results/*x4.png" --metrics srq --map maps/
"""

_GO_ON = "the same command goes on from here, unless it has --no-cache"
_FEW = 20
"""Pictures that are shown one by one."""
_HOW, _FILES, _SAY = "How it is computed", "Files", "Output of the command"


def command(
    inputs: Annotated[list[str], typer.Argument(metavar="PATH...", help="Pictures, patterns or folders.")],
    metrics: Annotated[
        str | None, typer.Option("-m", "--metrics", metavar="A,B,...", help="Names of metrics. Default: srq.")
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "-r",
            "--reference",
            metavar="DIR|FILE",
            help="Originals, for metrics that compare: a folder, matched by the files' names, or one file for all.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            parser=place,
            metavar="FILE",
            help="Table to write: .csv, .parquet or .json.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    map_folder: Annotated[
        Path | None,
        typer.Option(
            "--map",
            parser=place,
            metavar="DIR",
            help="Write where each picture is good and where not, as srq sees it: a coloured overlay.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            parser=place,
            metavar="FILE",
            help="Where scores are remembered. Default: in your cache folder.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Neither remember scores nor use those there.", rich_help_panel=_FILES)
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N, mps.", rich_help_panel=_HOW)] = "auto",
    precision: Annotated[
        str, typer.Option(help="fp32, or bf16: faster, less exact networks.", rich_help_panel=_HOW)
    ] = "fp32",
    crop_border: Annotated[
        int,
        typer.Option(
            metavar="PX",
            min=0,
            help="Metrics that compare leave out so many pixels on each side; papers leave out 4 at x4.",
            rich_help_panel=_HOW,
        ),
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object: pictures, summary.", rich_help_panel=_SAY)
    ] = False,
) -> None:
    """Score pictures (see HELP)."""
    from iqsr.images.find import find_pictures
    from iqsr.scoring import MetricSet, writable_default_cache, write_table
    from iqsr.scoring.files import references_for, score_found
    from iqsr.scoring.overlay import planned_maps
    from iqsr.scoring.table import check_table, rows_of, to_table

    if cache is not None and no_cache:
        raise UsageError("--cache and --no-cache exclude each other")
    if out is not None:
        check_table(out)
    names = _names(metrics, with_map=map_folder is not None)
    metric_set = MetricSet(names, device=device, precision=chosen_precision(precision), crop_border=crop_border)
    unread: list[OSError] = []
    references = references_for(metric_set, reference, on_unread=unread.append)
    found = find_pictures(inputs, leave_out=map_folder, on_unread=unread.append)
    maps = {} if map_folder is None else planned_maps(found, map_folder)
    place = None if no_cache else cache or writable_default_cache()
    with interruptible(_GO_ON):
        with _progress(len(found)) as on_progress:
            scored = score_found(found, metric_set, references=references, cache=place, on_progress=on_progress)
        if out is not None:
            write_table(to_table(scored, metric_set.names), out)
        failed = _write_maps(scored, maps, metric_set)
    rows = rows_of(scored, metric_set.names)
    if as_json:
        typer.echo(_as_json(rows, metric_set.names))
    else:
        _print(rows, metric_set.names)
    if failed or unread or any(one.errors for one in scored):
        raise typer.Exit(1)


def _names(metrics: str | None, *, with_map: bool) -> list[str] | None:
    """The metrics that were named; None for the default. A map shows srq, so srq is scored too."""
    from iqsr.metrics import availability

    if with_map and not (srq := availability("srq")).here:
        raise UsageError(f"--map shows what srq sees, and srq is not here: {srq.how}")
    if metrics is None:
        return None
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    return [*names, "srq"] if with_map else names


def chosen_precision(name: str) -> Precision:
    """What `--precision` names. UnknownNameError."""
    if name == "fp32" or name == "bf16":
        return name
    raise UnknownNameError("precision", name, ["fp32", "bf16"])


@contextmanager
def _progress(pictures: int) -> Generator[Callable[[Scored, int, int], None]]:
    """What to call after each picture: moves a bar on a terminal, and tells what went wrong anywhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("pictures"), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=pictures)

        def after(scored: Scored, done: int, all_of_them: int) -> None:
            for line in scored.errors:
                text = printable(f"iqsr: {line}")
                if console.is_terminal:
                    console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)
                else:
                    print(text, file=sys.stderr)
            progress.update(bar, completed=done)

        yield after


def _write_maps(scored: list[Scored], maps: dict[Path, Path], metric_set: MetricSet) -> int:
    """Write the maps of pictures that have a score. Returns how many failed."""
    if not maps:
        return 0
    from iqsr.metrics.srq import load_srq
    from iqsr.scoring.overlay import write_map

    srq, failed = load_srq().to(metric_set.device), 0
    for one in scored:
        if "srq" not in one.scores:
            continue
        try:
            said = f"srq {one.scores['srq']:.1f}"
            write_map(one.path, maps[one.path], lambda x: srq.quality_map(x.to(metric_set.device)), said)
        except IqsrError as error:
            print(printable(f"iqsr: {error}"), file=sys.stderr)
            failed += 1
    return failed


def _as_json(rows: list[Row], metrics: list[str]) -> str:
    from dataclasses import asdict

    from iqsr.scoring.table import summaries_of

    result = {"pictures": rows, "summary": [asdict(summary) for summary in summaries_of(rows, metrics)]}
    return json.dumps(result, indent=1, allow_nan=False)


def _print(rows: list[Row], metrics: list[str]) -> None:
    """Every picture where they are few; a summary where they are several."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=1000)  # nothing is folded for the program that reads it
    if len(rows) <= _FEW:
        _print_pictures(rows, metrics, console)
    if len(rows) > 1:
        _print_summary(rows, metrics, console)
    else:
        _print_directions(metrics, console)


def _print_pictures(rows: list[Row], metrics: list[str], console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table("picture", "size", box=box.SIMPLE_HEAD)
    for name in metrics:
        shown.add_column(name, justify="right")
    for row in rows:
        size = "?" if row["width"] is None else f"{row['width']} x {row['height']}"
        shown.add_row(Text(printable(row["path"])), size, *(_number(row[name]) for name in metrics))
    console.print(shown)


def _print_summary(rows: list[Row], metrics: list[str], console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from iqsr.scoring.table import summaries_of

    shown = Table("metric", "better", box=box.SIMPLE_HEAD)
    for name in ("n", "mean", "median", "sd"):
        shown.add_column(name, justify="right")
    shown.add_column("worst")
    for one in summaries_of(rows, metrics):
        worst = "\n".join(f"{_number(score)}  {printable(path)}" for path, score in one.worst)
        facts = (str(one.n), _number(one.mean), _number(one.median), _number(one.sd))
        shown.add_row(one.metric, "higher" if one.higher_is_better else "lower", *facts, Text(worst))
    console.print(shown)


def _print_directions(metrics: list[str], console: Console) -> None:
    """What one picture's scores mean; of several, the summary says it."""
    from iqsr.metrics import card
    from iqsr.metrics.taxonomy import better, span

    for about in map(card, metrics):
        line = f"{about.name}: {about.title}; {better(about)} is better, {span(about)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"
