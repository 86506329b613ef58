"""What a training run leaves in its folder: a checkpoint to go on from, weights, and a log."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from iqsr.errors import IqsrError
from iqsr.images.parts import part_of


def write_checkpoint(
    folder: Path, state: Mapping[str, Any], average: Mapping[str, Tensor], weights: Mapping[str, Tensor] | None = None
) -> None:
    """Write `state`, which `read_checkpoint` reads, and weights in fp16, each whole or not at all.

    average: the running average of the weights, a part of the state. weights: the result; by default the average.
    """
    _write(folder / "checkpoint.pt", lambda part: torch.save({**state, "average": average}, part))
    halves = {k: v.half().contiguous() for k, v in (weights or average).items()}
    _write(folder / "weights.safetensors", lambda part: save_file(halves, part))


def read_checkpoint(folder: Path, recipe: str, of: str = "recipe") -> dict[str, Any] | None:
    """The state of the folder's checkpoint, None where there is none.

    recipe: what its "recipe" must be. IqsrError where it is another (`of`: another what), or the file is damaged.
    """
    path = folder / "checkpoint.pt"
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception as error:
        raise IqsrError(f"{path}: damaged checkpoint; remove it to start anew") from error
    if state["recipe"] != recipe:
        raise IqsrError(f"{path}: a checkpoint of another {of}; choose another folder or remove it")
    return state


def log(folder: Path, step: int, figures: Mapping[str, float]) -> None:
    """Add a step's figures to the folder's log, a line of JSON each."""
    with (folder / "log.jsonl").open("a") as file:
        file.write(json.dumps({"step": step} | {k: round(v, 6) for k, v in figures.items()}) + "\n")


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Whole or not at all. torch and safetensors tell a full disk each in their own way."""
    with part_of(path) as part:
        try:
            write(part)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise IqsrError(f"cannot write '{path}': is the disk full?") from error
