"""What the processes of a run do as one: they look at the pictures, and each takes a batch, or none does."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

from accelerate import Accelerator
from accelerate.utils import gather_object

from iqsr.errors import IqsrError
from iqsr.training.pictures import Pictures, look_at
from iqsr.training.sr.data import Batch, DamagedSetError, Sets

_NAMED = 3
logger = logging.getLogger(__name__)


class UnreadError(IqsrError):
    """A batch that one of the processes could not make; all of them raise this."""

    def __init__(self, told: str, name: str | None) -> None:
        super().__init__(told)
        self.name = name
        """Of the set with the picture that cannot be read."""


def check_pictures(sets: Sets, accelerator: Accelerator, on_picture: Callable[[int, int], None]) -> None:
    """`Sets.check`, if the recipe asks for it, each process looking at its share of the pictures.

    on_picture: told how many pictures are done, of how many.
    """

    def look(paths: Sequence[Path]) -> Pictures:
        mine = paths[accelerator.process_index :: accelerator.num_processes]
        return _joined(look_at(mine, lambda done: on_picture(done, len(mine))), accelerator)

    if sets.recipe.check:
        sets.check(look)
    if sets.left_out and accelerator.is_main_process:
        told = "; ".join(list(sets.left_out.values())[:_NAMED])
        logger.warning("sets left out for their pictures (run.json names them): %d: %s", len(sets.left_out), told)


def next_of(made: Iterator[Batch], accelerator: Accelerator, done: int) -> Batch:
    """The next batch of this process. UnreadError, in all of them, where one has none. done: steps taken so far."""
    batch, failure = None, None
    try:
        batch = next(made)
    except IqsrError as error:
        failure = error
    failed = [failure]
    if accelerator.num_processes > 1:
        failed = cast("list[IqsrError | None]", gather_object(failed))
    if error := next((e for e in failed if e is not None), None):
        told = f"{error}; stopped after {done} steps: put it right, and --resume goes on from there"
        raise UnreadError(told, error.name if isinstance(error, DamagedSetError) else None)
    assert batch is not None
    return batch


def _joined(found: Pictures, accelerator: Accelerator) -> Pictures:
    """What all processes found, each in its part, for all of them."""
    if accelerator.num_processes == 1:
        return found
    parts = cast("list[Pictures]", gather_object([found]))
    return Pictures(
        {path: whole for part in parts for path, whole in part.whole.items()},
        {path: why for part in parts for path, why in part.damaged.items()},
    )
