"""One rule for files that exist: no command replaces one unless --overwrite says so, and it says so before any work."""

import sys
from collections.abc import Iterable
from pathlib import Path

import typer

from iqsr.cli.progress import printable
from iqsr.errors import UsageError
from iqsr.io.shards import ShardPart
from iqsr.io.stores import BUCKETS
from iqsr.io.urls import scheme_of, url_of


def check_outputs(files: Iterable[Path], *, overwrite: bool) -> None:
    """See before the work that the files can be written.

    Raises:
        UsageError: If one exists and `overwrite` is false. The line names `--overwrite`.
        PictureError: If one is a folder, or its folder cannot be written to.
    """
    from iqsr.io.atomic import check_output_path
    from iqsr.io.remote import is_there

    files = list(files)
    for file in files:
        check_output_path(file)
    existing = [file for file in files if is_there(file)]
    if existing and not overwrite:
        others = f" and {len(existing) - 1} more exist" if len(existing) > 1 else " exists"
        raise UsageError(f"'{existing[0]}'{others}: use --overwrite, or name another")


def list_written(files: Iterable[Path]) -> None:
    """Name the files on standard error: standard output may be a table for another program."""
    for file in files:
        typer.echo(printable(f"wrote {file}"), err=True)


def shard_output(output: Path | None) -> Path:
    """The output that all shards together make. UsageError where none is named, or nothing but a bucket."""
    if output is None:
        raise UsageError("--shard writes to OUT.shards: say with -o where the results go")
    if scheme_of(url_of(output) or "") in BUCKETS and url_of(output.parent) is None:
        raise UsageError(f"--shard writes to OUT.shards, beside OUT: name a folder in '{url_of(output)}'")
    return output


def list_shard(part: ShardPart) -> None:
    """Say on standard error what is in the shard, and how shards become one result."""
    count, whole = len(part.units), part.folder.parent
    if not part.units:
        said = f"shard {part.shard}: none of {part.total} is in it; its manifest is there"
    else:
        said = f"shard {part.shard}: {count} of {part.total} in {part.folder}"
    joined = whole.with_name(whole.name.removesuffix(".shards"))
    print(printable(f"{said}; when all are: iqsr merge-shards {whole} -o {joined}"), file=sys.stderr)
