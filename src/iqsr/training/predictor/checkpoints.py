"""What a training run leaves in its folder: a checkpoint to go on from, and weights."""

import json
import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iqsr.errors import IqsrError, PictureError
from iqsr.finite import NotFiniteError, all_finite, first_not_finite
from iqsr.io.atomic import atomic_open, write_bytes
from iqsr.io.tensor_files import serialized
from iqsr.recipes import Recipe
from iqsr.training.resume import changes, check_changes

logger = logging.getLogger(__name__)


def write_checkpoint(
    folder: Path, state: Mapping[str, Any], average: Mapping[str, Tensor], weights: Mapping[str, Tensor] | None = None
) -> None:
    """Write `state`, which `read_checkpoint` reads, and weights in fp16, each whole or not at all.

    average: the running average of the weights, a part of the state. weights: the result; by default the average.
    WriteError, NotFiniteError.
    """
    halves = _halves(weights or average)
    check_finite({**state, "average": average, "weights": halves}, int(state.get("step", 0)))
    write_bytes(folder / "weights.safetensors", serialized(halves))
    with atomic_open(folder / "checkpoint.pt") as file:  # last: a run that goes on from it needs no weights of before
        torch.save({**state, "average": average}, file)


def keep_result(folder: Path, weights: Mapping[str, Tensor], step: int, steps: int) -> None:
    """Write the weights of a run that has taken its steps, as its checkpoint has them, where another file or none is.

    It is told where the run has taken more steps than it is asked for. WriteError.
    """
    if step > steps:
        logger.warning("the run has taken %d steps already, not %d: its result is that of all", step, steps)
    result, data = folder / "weights.safetensors", serialized(_halves(weights))
    if not result.is_file() or result.read_bytes() != data:
        write_bytes(result, data)


def _halves(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.half().contiguous() for name, value in weights.items()}


@contextmanager
def kept_on_failure(step: int, rng: torch.Generator, save: Callable[[], None]) -> Generator[None]:
    """For what a step does before it changes the weights: where that fails, `step` steps are saved first.

    What was drawn from `rng` is put back. A PictureError says how to go on.
    """
    before = rng.get_state()
    try:
        yield
    except NotFiniteError:
        raise
    except Exception as error:
        rng.set_state(before)
        try:
            if step:
                save()
        except IqsrError as unsaved:
            logger.warning("a step failed, and no checkpoint could be written: %s", unsaved)
        if isinstance(error, PictureError):
            told = f"{error}; stopped after {step} steps: put it right, and the same command goes on from there"
            raise PictureError(told) from None
        raise


def read_checkpoint(folder: Path, recipe: Recipe) -> dict[str, Any] | None:
    """The state of the folder's checkpoint, None where there is none.

    recipe: what its "recipe", in JSON, must be but for what may differ. UsageError where it is another, IqsrError where
    the file is damaged, or what it holds is not finite.
    """
    path = folder / "checkpoint.pt"
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception as error:
        raise IqsrError(f"{path}: damaged checkpoint; remove it to start anew") from error
    try:
        before: dict[str, Any] = json.loads(state["recipe"])
    except ValueError:
        raise IqsrError(f"{path}: a checkpoint of an older iqsr; remove it to start anew") from None
    check_changes(changes(before, recipe), folder)
    if (name := first_not_finite(state)) is not None:
        raise IqsrError(f"{path}: {name} is not finite; remove it to start anew, with lower learning rates")
    return state


def check_finite(state: object, step: int) -> None:
    """NotFiniteError, which names what is not finite in nested dicts of numbers and tensors after step `step`."""
    if not all_finite(state):
        advice = "lower the recipe's learning rates, or set bf16 = false; the last checkpoint is from before"
        raise NotFiniteError(f"{first_not_finite(state)} is not finite at step {step}: {advice}")
