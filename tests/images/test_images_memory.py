"""What is said of a picture for which there is too little memory: that, and not that it is damaged."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from iqsr.images.decode_errors import decode_error
from support.picture_errors import run_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits the address space of a process")

READ_WITH_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from iqsr.errors import PictureError
from iqsr.images import open_picture

def read(path):
    for _ in open_picture(path).rows(64):
        pass

small, large = map(Path, sys.argv[1:])
read(small)  # loads what has to be loaded, and starts the decoder's threads
used = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (used + (16 << 20),) * 2)
try:
    read(large)
except PictureError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("jp2", {}),
        ("bmp", {}),
        ("ppm", {}),
        ("jpg", {"progressive": True}),
        ("webp", {}),
        ("tif", {}),
        ("gif", {}),
        ("avif", {"speed": 10}),
    ],
)
def test_too_little_memory_is_told_as_that(tmp_path: Path, suffix: str, options: dict[str, Any]) -> None:
    patch = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    small, large = tmp_path / f"small.{suffix}", tmp_path / f"large.{suffix}"
    Image.fromarray(patch).save(small, **options)
    Image.fromarray(np.tile(patch, (28, 28, 1))).save(large, **options)
    out, trace = run_python(READ_WITH_LITTLE_MEMORY, small, large).communicate(timeout=100)
    assert out.startswith(f"cannot read '{large}': there is too little memory for it"), out + trace
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("out of memory -- size == 95MB", "there is too little memory for it"),
        ("Insufficient memory (case 4)", "there is too little memory for it"),
        ("Invalid input: Unspecified: Memory allocation error (2.0)", "there is too little memory for it"),
        ("Memory allocation error: Security limit exceeded: 20000 x 20000", "it is larger than its decoder allows"),
        ("Premature end of JPEG file", "the file is damaged or cut short"),
    ],
)
def test_a_decoders_words_for_too_little_memory_are_no_damage(tmp_path: Path, said: str, expected: str) -> None:
    assert str(decode_error(tmp_path / "in", "heic", said)).startswith(f"cannot read '{tmp_path / 'in'}': {expected} (")
