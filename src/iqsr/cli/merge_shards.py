"""`iqsr merge-shards`: the shards of a command as one result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iqsr.cli.interrupt import interruptible
from iqsr.cli.options import Overwrite, output_option
from iqsr.cli.outputs import check_outputs, list_written
from iqsr.cli.parsing import input_place, output_place
from iqsr.cli.progress import printable
from iqsr.errors import UsageError
from iqsr.io.shard_parts import Part, failed_units, read_parts
from iqsr.io.urls import url_of

HELP = """Join the shards that --shard made to what the command makes without it.

PARTS are the folders of the shards, or the folder OUT.shards that holds them.
Shards that are missing, not finished, doubled, of other settings, or that saw
other files are refused; one line says what to do, and the exit code is 2.
Pictures get a second place (hard links), so that the shards stay as they are.
What failed in a shard is told again; the exit code is 1 then.

[bold]Examples[/bold]

  iqsr merge-shards scores.csv.shards/ -o scores.csv

  iqsr merge-shards large.shards/*-of-64 -o large/
"""


def command(
    paths: Annotated[list[Path], typer.Argument(metavar="PARTS...", help="Folders of shards.", parser=input_place)],
    output: Annotated[str, output_option("File or folder: what the command writes without shards.", metavar="OUT")],
    overwrite: Overwrite = False,
) -> None:
    """Join shards (see HELP)."""
    out = output_place(output)
    parts = read_parts(paths)
    merges = {
        "score": _scores,
        "agree": _agreement,
        "evaluate": _evaluation,
        "prepare": _sets,
        "upscale": _pictures,
    }
    merge = merges.get(parts[0].manifest.command)
    if merge is None:
        raise UsageError(f"'{parts[0].folder}' is of '{parts[0].manifest.command}', which has no shards")
    if merge is _evaluation and any(map(url_of, [out, *(part.folder for part in parts)])):
        raise UsageError(f"shards of {parts[0].manifest.command} are joined on a disk: copy them there first")
    with interruptible("the same command goes on from here"):
        failed = merge(parts, out, overwrite)
    if failed:
        raise typer.Exit(1)


def _scores(parts: list[Part], out: Path, overwrite: bool) -> bool:
    from iqsr.cli.score import print_rows
    from iqsr.scoring.shards import merge_scores
    from iqsr.scoring.table import check_table

    check_table(out)
    check_outputs([out], overwrite=overwrite)
    rows, metrics = merge_scores(parts, out)
    print_rows(rows, metrics)
    return _tell_failed(parts)


def _agreement(parts: list[Part], out: Path, overwrite: bool) -> bool:
    from iqsr.agreement import report
    from iqsr.agreement.shards import merge_agreement
    from iqsr.cli.agree import print_agreement

    check_outputs((out / name for name in report.AGREEMENT_FILES), overwrite=overwrite)
    found, origin = merge_agreement(parts)
    print_agreement(found, written=True)
    list_written(report.write_agreement(found, out, origin))
    return False


def _evaluation(parts: list[Part], out: Path, overwrite: bool) -> bool:
    from iqsr.cli.evaluation_result import print_found, print_problem
    from iqsr.evaluation.run import Setting
    from iqsr.evaluation.shards import merge_evaluation

    found = merge_evaluation(parts, out, Setting(on_problem=print_problem))
    print_found(found, out)
    return bool(found.problems)


def _sets(parts: list[Part], out: Path, overwrite: bool) -> bool:
    from iqsr.cli.prepare import print_summary
    from iqsr.preparation.shards import merge_sets

    summary, recipe = merge_sets(parts, out)
    print_summary(summary, out, recipe.patches.crop)
    return _tell_failed(parts)


def _pictures(parts: list[Part], out: Path, overwrite: bool) -> bool:
    from iqsr.upscaling.shards import merge_pictures

    count = merge_pictures(parts, out, overwrite=overwrite)
    typer.echo(printable(f"{out}: {count} pictures"))
    return _tell_failed(parts)


def _tell_failed(parts: list[Part]) -> bool:
    """Print what failed in the shards; returns whether anything did."""
    reasons = failed_units(parts)
    for reason in reasons:
        typer.echo(printable(f"iqsr: {reason}"), err=True)
    return bool(reasons)
