"""Readers of files in processes of their own: the exit code is 0 for what is read, 1 for an error in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from iqsr.errors import IqsrError

OTHER = 3
"""The exit code for content that is neither what was written nor refused."""


def read_picture(path: str) -> int:
    """Every row of a picture."""
    from iqsr.images import read_rgb

    return _told(lambda: read_rgb(Path(path)))


def read_checkpoint(path: str) -> int:
    """A model's checkpoint."""
    from iqsr.models.checkpoint_reader import load_checkpoint

    return _told(lambda: load_checkpoint(Path(path)))


def read_run(folder: str) -> int:
    """The last checkpoint of a run that is whole. Each holds its own step."""
    from iqsr.training.engine.checkpoints import Checkpoints

    found = Checkpoints(Path(folder)).load()
    if found is None:
        return OTHER
    step, state = found
    return 0 if bool((state["average"]["weight"] == step).all()) else OTHER


def _told(read: Callable[[], object]) -> int:
    try:
        read()
    except IqsrError as error:
        print(error)
        return 1 if str(error) and "\n" not in str(error) else OTHER
    return 0
