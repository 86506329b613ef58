"""Photos on several processes, each with its share of the machine's threads."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from iqsr.errors import IqsrError
from iqsr.preparation.folder import PhotoRecord, SetFolder
from iqsr.preparation.recipe import PrepareRecipe

if TYPE_CHECKING:
    from iqsr.preparation.photo import Photo, Workshop


@dataclass(frozen=True)
class Outcome:
    """What became of a photo."""

    photo: Photo
    record: PhotoRecord | None
    error: str | None = None
    """one line, where there is no record"""


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def outcomes(
    photos: Sequence[Photo], recipe: PrepareRecipe, folder: SetFolder, *, workers: int, device: str
) -> Iterator[Outcome]:
    """Each photo's outcome as it is there. One worker is this process itself. What a recipe asks for is loaded here
    first, whoever does the work: errors of `Workshop` are raised before it begins.

    Left early (an interrupt, an error), the other processes end at once; so they do when this one is killed. IqsrError
    where one of them dies.
    """
    from iqsr.preparation.photo import Workshop

    workshop = Workshop(recipe, folder, device=device)
    if workers == 1:
        yield from (attempted(workshop, photo) for photo in photos)
        return
    del workshop
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)[::-1]
    arguments = (recipe, folder, device, max(1, cores() // workers), theirs)
    pool = ProcessPoolExecutor(workers, context, _start, arguments)
    try:
        waiting = [pool.submit(_work, photo) for photo in photos]
        for future in as_completed(waiting):
            yield future.result()
        pool.shutdown()
    except BrokenProcessPool:
        raise IqsrError(
            "a worker process ended, perhaps for lack of memory; run again, with fewer --workers: it goes on from here"
        ) from None
    finally:
        ours.close()
        pool.shutdown(cancel_futures=True)
        theirs.close()


def attempted(workshop: Workshop, photo: Photo) -> Outcome:
    """The photo's sets; what is wrong with it becomes a line, so that the rest goes on."""
    try:
        return Outcome(photo, workshop.make(photo))
    except (IqsrError, OSError) as error:
        text = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return Outcome(photo, None, text if f"'{photo.source}'" in text else f"'{photo.source}': {text}")


_workshop: Workshop | None = None
"""A worker process's own."""


def _start(recipe: PrepareRecipe, folder: SetFolder, device: str, threads: int, parent: Connection) -> None:
    """Get a worker process ready."""
    global _workshop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process decides
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import torch

    from iqsr.preparation.photo import Workshop

    torch.set_num_threads(threads)
    _workshop = Workshop(recipe, folder, device=device)


def _work(photo: Photo) -> Outcome:
    assert _workshop is not None
    return attempted(_workshop, photo)


def _end_with(parent: Connection) -> None:
    """Wait until the first process closes its end of the pipe, by will or by death; then end at once."""
    try:
        parent.recv()
    except (EOFError, OSError):
        os._exit(1)
