"""Pictures for tests of commands, what is in a folder, and the command as a process of its own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from support.commands import PATIENCE, Ended

IQSR = (sys.executable, "-m", "iqsr")
FAST = ("--model", "realesr-animevideov3", "--threads", "1")
ESCAPE = "\x1b"


def process(*arguments: str) -> Ended:
    ended = subprocess.run([*IQSR, *arguments], capture_output=True, text=True, timeout=PATIENCE)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def picture(path: str, size: tuple[int, int] = (32, 24), mode: str = "RGB") -> Path:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).convert(mode).save(place)
    return place


def names(*paths: str) -> None:
    """Empty files: a plan asks only for their names."""
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


def everything(folder: str = ".") -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def size_of(path: str | Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()  # fails where the file is cut short
        return image.size
