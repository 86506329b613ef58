"""Batches made ahead by other processes, which end with the one that learns, and whose errors are its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from functools import partial
from multiprocessing.sharedctypes import RawValue
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, Dataset

from iqsr.errors import IqsrError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from iqsr.training.sr.data import Batch, Batches

    _Made = dict[str, NDArray[np.generic]] | IqsrError


def prefetched(batches: Batches, first: int, steps: int, workers: int) -> Generator[Batch]:
    """The batches from number `first` on, up to `steps`, made by so many processes; 0: by this one, when asked for.

    Raises what making them raises. Close it when it is not read to the end: the processes wait to be told.
    """
    over = RawValue("b", 0)
    loader: DataLoader[_Made] = DataLoader(
        _MadeBatches(batches),
        batch_size=None,
        collate_fn=_as_it_is,
        sampler=range(first, steps),
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        worker_init_fn=partial(_ignoring_signals, over),
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
        over.value = 1


class _MadeBatches(Dataset["_Made"]):
    """Errors as values: torch would add the traceback of the process to the message.

    Arrays, which go through a pipe: tensors would take shared memory, of which containers have little, and where it is
    full torch waits for ever.
    """

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def __getitem__(self, step: int) -> _Made:
        try:
            return {name: value.numpy() for name, value in self._batches[step].items()}
        except IqsrError as error:
            return error

    def __len__(self) -> int:
        raise TypeError("batches go on for as many steps as the recipe says")


def _as_it_is(made: Any) -> Any:
    return made


def _ignoring_signals(over: Any, worker: int) -> None:
    """Schedulers and terminals signal all processes at once; what a run's signal means, its first process decides.

    Afterwards it is Python that signals, when the first process ends, and waits until this one has.
    """

    def heard(number: int, frame: object) -> None:
        if over.value:
            os._exit(0)

    signal.signal(signal.SIGTERM, heard)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
