"""A photo, the error that some work on it raises, and a program in a process of its own, for tests."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from iqsr.errors import IqsrError, PictureError
from iqsr.images import Picture, open_picture

SIZE = (300, 200)


def photo(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8))


def opened(path: Path) -> Picture:
    photo().save(path)
    return open_picture(path)


def the_error(work: Callable[[], object], kind: type[IqsrError] = PictureError) -> str:
    """The message of the error that `work` must raise: a single line."""
    with pytest.raises(kind) as caught:
        work()
    assert type(caught.value) is kind
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


def run_python(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
