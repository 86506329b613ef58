"""Runs photos on several processes, each with an equal share of the threads."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from iqsr.errors import IqsrError, PictureError, StoreError
from iqsr.io.remote import held
from iqsr.preparation.folder import PhotoRecord, SetFolder
from iqsr.preparation.recipe import PrepareRecipe

if TYPE_CHECKING:
    from iqsr.preparation.photo import Photo, SetMaker


_AHEAD = 4
"""Photos at once for each worker: one is made, the others are copied from a store meanwhile."""


@dataclass(frozen=True)
class Outcome:
    """The result of one photo: its record, or an error."""

    photo: Photo
    record: PhotoRecord | None
    error: str | None = None
    """One line, if there is no record."""


def cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def outcomes(
    photos: Sequence[Photo], recipe: PrepareRecipe, folder: SetFolder, *, workers: int, device: str
) -> Iterator[Outcome]:
    """Yield each photo's outcome when it is ready. With one worker, this process does the work.

    The networks and metrics are loaded in this process first, so that errors of `SetMaker` are raised before any work.
    If the caller stops early (an interrupt, an error) or this process is killed, the workers end at once. Raises
    IqsrError if a worker dies.
    """
    from iqsr.preparation.photo import SetMaker

    set_maker = SetMaker(recipe, folder, device=device)
    if workers == 1:
        yield from (attempt(set_maker, photo) for photo in photos)
        return
    del set_maker
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)[::-1]
    arguments = (recipe, folder, device, max(1, cores() // workers), theirs)
    pool = ProcessPoolExecutor(workers, context, _start, arguments)
    try:
        yield from _outcomes_of(pool, photos, _AHEAD * workers)
        pool.shutdown()
    except BrokenProcessPool:
        raise IqsrError(
            "a worker process ended, perhaps for lack of memory; run again, with fewer --workers: it goes on from here"
        ) from None
    finally:
        ours.close()
        pool.shutdown(cancel_futures=True)
        theirs.close()


def _outcomes_of(pool: ProcessPoolExecutor, photos: Sequence[Photo], most: int) -> Iterator[Outcome]:
    """Yield the outcomes of a pool that has `most` photos at once. The copies of a store's photos are held for it."""
    left, running = iter(photos), dict[Future[Outcome], ExitStack]()
    with ExitStack() as all_held:
        while True:
            while len(running) < most and (photo := next(left, None)) is not None:
                hold = all_held.enter_context(ExitStack())
                try:
                    hold.enter_context(held(photo.source))
                except PictureError as error:
                    yield Outcome(photo, None, str(error))
                else:
                    running[pool.submit(_work, photo)] = hold
            if not running:  # then no photo is left
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                running.pop(future).close()
                yield future.result()


def attempt(set_maker: SetMaker, photo: Photo) -> Outcome:
    """Make a photo's sets; an error becomes a line of the outcome, so that the other photos go on.

    StoreError where no photo of the store will do.
    """
    try:
        return Outcome(photo, set_maker.make(photo))
    except StoreError:
        raise
    except (IqsrError, OSError) as error:
        text = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return Outcome(photo, None, text if f"'{photo.source}'" in text else f"'{photo.source}': {text}")


_set_maker: SetMaker | None = None
"""The set maker of a worker process."""


def _start(recipe: PrepareRecipe, folder: SetFolder, device: str, threads: int, parent: Connection) -> None:
    """Get a worker process ready."""
    global _set_maker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process decides
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import torch

    from iqsr.preparation.photo import SetMaker

    torch.set_num_threads(threads)
    _set_maker = SetMaker(recipe, folder, device=device)


def _work(photo: Photo) -> Outcome:
    assert _set_maker is not None
    return attempt(_set_maker, photo)


def _end_with(parent: Connection) -> None:
    """Wait until the first process closes its end of the pipe, by will or by death; then end at once."""
    try:
        parent.recv()
    except (EOFError, OSError):
        os._exit(1)
