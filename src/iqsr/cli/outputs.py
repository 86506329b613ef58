"""One rule for files that exist: no command replaces one unless --overwrite says so, and it says so before any work."""

from collections.abc import Iterable
from pathlib import Path

import typer

from iqsr.errors import UsageError


def check_outputs(files: Iterable[Path], *, overwrite: bool) -> None:
    """See before the work that the files can be written.

    Raises:
        UsageError: If one exists and `overwrite` is false. The line names `--overwrite`.
        PictureError: If one is a folder, or its folder cannot be written to.
    """
    from iqsr.io.atomic import check_output_path

    files = list(files)
    for file in files:
        check_output_path(file)
    existing = [file for file in files if file.exists()]
    if existing and not overwrite:
        others = f" and {len(existing) - 1} more exist" if len(existing) > 1 else " exists"
        raise UsageError(f"'{existing[0]}'{others}: use --overwrite, or name another")


def list_written(files: Iterable[Path]) -> None:
    """Name the files on standard error: standard output may be a table for another program."""
    for file in files:
        typer.echo(f"wrote {file}", err=True)
