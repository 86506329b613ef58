"""Disks that are soon full."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(size: str, place: Path | str = "disk") -> Generator[Path]:
    """A tmpfs of this size, mounted at a new folder. size: may be followed by other options, as `1m,nr_inodes=9`."""
    place = Path(place).resolve()
    place.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={size}", "iqsr-test", str(place)]
    if sys.platform != "linux" or subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small disk here: needs root and mount(8)")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@contextmanager
def full(disk: Path, left: int = 0) -> Generator[None]:
    """Inside the block the disk has no more than `left` bytes of room."""
    filler = disk / ".filler"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - left))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def read_only(disk: Path) -> Generator[None]:
    """Inside the block nothing can be written to the disk."""
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
