"""Disks that are soon full."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(size: str, place: Path | str = "disk") -> Generator[Path]:
    """A tmpfs of this size, mounted at a new folder."""
    place = Path(place).resolve()
    place.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={size}", "iqsr-test", str(place)]
    if sys.platform != "linux" or subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small disk here: needs root and mount(8)")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)
