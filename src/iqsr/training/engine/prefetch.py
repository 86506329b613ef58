"""Batches prefetched by worker processes, which end with the process that learns and pass their errors to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from functools import partial
from multiprocessing.sharedctypes import RawValue
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from iqsr.errors import IqsrError
from iqsr.parent_process import end_with

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Made = dict[str, NDArray[np.generic]] | IqsrError


class Batches(Protocol):
    """Batches by the numbers of their steps, from 0."""

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]: ...


def prefetched(batches: Batches, first: int, steps: int, workers: int) -> Generator[dict[str, torch.Tensor]]:
    """The batches from number `first` up to `steps`, not included.

    Close the generator where it is not read to the end: the worker processes wait for that.

    Args:
        batches: Makes a batch.
        first: The number of the first batch.
        steps: The number after the last one.
        workers: How many processes make batches; with 0 this process makes each one when it is asked for.

    Raises:
        IqsrError: What making a batch raises, and if a worker process ends.
    """
    ended = RawValue("b", 0)
    loader: DataLoader[_Made] = DataLoader(
        _MadeBatches(batches),
        batch_size=None,
        collate_fn=_unchanged,
        sampler=range(first, steps),
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        worker_init_fn=partial(_start, ended, os.getpid()),
    )
    try:
        for made in loader:
            if isinstance(made, IqsrError):
                raise made
            yield {name: torch.from_numpy(value) for name, value in made.items()}
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise IqsrError("a process that makes batches has ended, perhaps for lack of memory (data.workers)") from None
    finally:
        ended.value = 1


class _MadeBatches(Dataset["_Made"]):
    """Batches as arrays, and errors as values.

    torch would add the worker's traceback to the message of an error that is raised. Arrays go through a pipe: tensors
    would take shared memory, of which containers have little, and where it is full torch waits for ever.
    """

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def __getitem__(self, step: int) -> _Made:
        try:
            return {name: value.numpy() for name, value in self._batches[step].items()}
        except IqsrError as error:
            return error

    def __len__(self) -> int:
        raise TypeError("the recipe says how many batches there are")


def _unchanged(made: Any) -> Any:
    return made


def _start(ended: Any, parent: int, worker: int) -> None:
    """Get a worker process ready."""
    end_with(parent)  # torch's own watch waits until the last batch is taken, which never happens after a kill
    _ignore_signals(ended)


def _ignore_signals(ended: Any) -> None:
    """Leave signals to the first process: schedulers and terminals send them to all processes at once.

    When the first process ends, Python sends SIGTERM to the workers and waits for them; then `ended` is set.
    """

    def on_signal(number: int, frame: object) -> None:
        if ended.value:
            os._exit(0)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
