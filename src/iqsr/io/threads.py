"""Work that waits for disks and stores, in several threads."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")

THREADS = 8
_AT_ONCE = 1000  # items whose results are kept together


def in_threads(work: Callable[[Item], object], items: Iterable[Item]) -> None:
    """Do a piece of work for each item, several at once.

    The first error in the order of the items is raised; what has not begun by then is not done.
    """
    iterator, pool = iter(items), ThreadPoolExecutor(THREADS)
    try:
        while some := list(islice(iterator, _AT_ONCE)):
            list(pool.map(work, some))
    finally:
        pool.shutdown(cancel_futures=True)
