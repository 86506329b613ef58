"""`iqsr agree`: metrics against people."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iqsr.cli.interrupt import interruptible
from iqsr.cli.places import place
from iqsr.cli.score import chosen_precision
from iqsr.errors import UsageError

if TYPE_CHECKING:
    from iqsr.agreement import Agreement, Misalignments
    from iqsr.agreement.scores import Progress, Setting
    from iqsr.scoring.pictures import Precision

HELP = """Do metrics agree with people?

PAIRS is a CSV file with the columns first, second (pictures, relative to the
file or absolute) and share_first (the share of people who prefer the first,
0 to 1); a column reference has the originals for metrics that compare.
Printed: each metric's accuracy, and how accurate every other is where it is
wrong. With --hggt: how often metrics contradict the labels of ground truths.

Scores are remembered by content: a run that was stopped goes on.

[bold]Examples[/bold]

  iqsr agree pairs.csv --metrics srq,laplacian

  iqsr agree pairs.csv --metrics srq,laplacian,stlpips -o agreement/

  iqsr agree --hggt HGGT/Train --metrics srq,laplacian --json
"""

_GO_ON = "the same command goes on from here"
_FORGOTTEN = "with --no-cache nothing is remembered"
_WIDEST = 8


def command(
    pairs: Annotated[Path | None, typer.Argument(metavar="PAIRS", help="CSV file of pairs.")] = None,
    hggt: Annotated[
        Path | None,
        typer.Option("--hggt", metavar="DIR", help="Sets of ground truths with labels: HGGT's Train or Test-100."),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", "-m", metavar="A,B,...", help="See `iqsr metrics`. Default: srq.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            parser=place,
            metavar="DIR",
            help="Also write tables (CSV, Markdown, JSON) and a heat map.",
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N, mps.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="fp32, or bf16: faster, less exact networks.")] = "fp32",
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", parser=place, metavar="FILE", help="Where scores are remembered. Default: in your cache folder."
        ),
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither remember scores nor use those there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Parse, measure, print."""
    if (pairs is None) == (hggt is None):
        raise UsageError("give a file of pairs, or --hggt with a folder of labelled ground truths: one of the two")
    if cache is not None and no_cache:
        raise UsageError("--cache and --no-cache exclude each other")
    names = None if metrics is None else [name.strip() for name in metrics.split(",") if name.strip()]
    if out is not None:
        _make(out)
    from iqsr.agreement.scores import Setting
    from iqsr.scoring import writable_default_cache

    how = Setting(device, chosen_precision(precision), None if no_cache else cache or writable_default_cache())
    with interruptible(_FORGOTTEN if no_cache else _GO_ON):
        if pairs is not None:
            _tell_agreement(_on_pairs(pairs, names, how), pairs, out, as_json, how.precision)
        elif hggt is not None:
            _tell_misalignments(_on_sets(hggt, names, how), hggt, out, as_json, how.precision)


def _on_pairs(pairs: Path, names: list[str] | None, how: Setting) -> Agreement:
    from iqsr.agreement import agreement

    with _progress() as progress:
        return agreement(
            pairs, names, device=how.device, precision=how.precision, cache=how.cache, on_progress=progress
        )


def _on_sets(folder: Path, names: list[str] | None, how: Setting) -> Misalignments:
    from iqsr.agreement import misalignments

    with _progress() as progress:
        return misalignments(
            folder, names, device=how.device, precision=how.precision, cache=how.cache, on_progress=progress
        )


def _tell_agreement(found: Agreement, source: Path, out: Path | None, as_json: bool, precision: Precision) -> None:
    from iqsr.agreement import report

    origin = report.origin_of(source, found.accuracy, precision)
    text = report.agreement_markdown(found, widest=_WIDEST)
    typer.echo(report.json_text(report.agreement_document(found, origin)) if as_json else text, nl=False)
    if len(found.accuracy) > _WIDEST and out is None and not as_json:
        typer.echo(f"\nThe matrix of {len(found.accuracy)} metrics is too wide for here: see -o DIR.")
    if out is not None:
        _name(report.write_agreement(found, out, origin))


def _tell_misalignments(
    found: Misalignments, source: Path, out: Path | None, as_json: bool, precision: Precision
) -> None:
    from iqsr.agreement import report

    origin = report.origin_of(source, found.metrics, precision)
    text = report.misalignment_markdown(found)
    typer.echo(report.json_text(report.misalignment_document(found, origin)) if as_json else text, nl=False)
    if out is not None:
        _name(report.write_misalignments(found, out, origin))


def _name(files: list[Path]) -> None:
    """Say on standard error what was written: standard output may be a table for another program."""
    for file in files:
        typer.echo(f"wrote {file}", err=True)


def _make(folder: Path) -> None:
    """Now, and not after hours of scoring."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write into '{folder}': {error.strerror}") from None


@contextmanager
def _progress() -> Generator[Progress | None]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TextColumn("pictures"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        show: Callable[[int, int], None] = lambda done, total: bar.update(task, completed=done, total=total)  # noqa: E731
        yield show
