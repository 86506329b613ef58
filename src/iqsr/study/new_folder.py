"""Folders that appear whole or not at all, and take no other's place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from iqsr.errors import UsageError
from iqsr.io.atomic import check_output_path, write_errors


def check_new_folder(out: Path) -> None:
    """See before the work that a folder can be made.

    Raises:
        UsageError: `out` is a file, or a folder that is not empty.
        PictureError: The folder above cannot be written to.
    """
    if out.is_dir():
        if any(out.iterdir()):
            raise UsageError(f"'{out}' is not empty: name another folder, or remove it first")
        return
    if out.exists():
        raise UsageError(f"'{out}' is a file: name another folder")
    check_output_path(out)


@contextmanager
def new_folder(out: Path) -> Generator[Path]:
    """Yield a hidden folder that becomes `out` when the block ends without an exception, else vanishes.

    Raises:
        UsageError, PictureError: as `check_new_folder`.
        WriteError: The disk refuses.
    """
    check_new_folder(out)
    out = out.absolute()
    part = out.with_name(f".{out.name}.{os.getpid()}.iqsr-part")
    with write_errors(out):
        part.mkdir(parents=True)
    try:
        yield part
        with write_errors(out):
            if out.exists():
                out.rmdir()
            part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
