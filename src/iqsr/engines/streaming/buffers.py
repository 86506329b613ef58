"""Buffers that hold a value's rows until all stages that read it have used them.

Rows are stored as contiguous (1, rows, width, channels), so that cutting and joining them are plain copies of memory.
Readers get the (1, C, rows, W) channels-last view of them.
"""

from collections import deque
from typing import Protocol

import torch
from torch import Tensor


def as_picture(rows: Tensor) -> Tensor:
    """(1, rows, W, C) -> (1, C, rows, W) with channels-last strides; a view."""
    return rows.permute(0, 3, 1, 2)


def as_rows(picture: Tensor) -> Tensor:
    """(1, C, rows, W) -> contiguous (1, rows, W, C); a view where the memory is channels-last already."""
    return picture.permute(0, 2, 3, 1).contiguous()


class RowBuffer(Protocol):
    """Rows [start, end) of one value. Negative numbers are rows of the zero padding above the picture."""

    def append(self, rows: Tensor) -> None:
        """Add (1, n, W, C) rows below."""
        ...

    def forget(self, start: int) -> None:
        """Drop rows above `start`, which will not be read again."""
        ...

    def window(self, start: int, stop: int) -> Tensor:
        """Rows [start, stop) as (1, C, stop - start, W)."""
        ...


class ShortHistory:
    """For readers that are a few rows behind: one contiguous block, so that every window is a view."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._rows: Tensor | None = None

    def append(self, rows: Tensor) -> None:
        """Join the rows that are still needed with the new ones; this is the only copy of the value."""
        self._rows = rows if self._rows is None else torch.cat([self._rows, rows], 1)

    def forget(self, start: int) -> None:
        """Free the memory at once, so that the next result is written where it is still in the processor's cache."""
        if self._rows is None or start <= self._start:
            return
        drop = min(start - self._start, self._rows.shape[1])
        self._start += drop
        self._rows = self._rows[:, drop:].clone() if drop < self._rows.shape[1] else None

    def window(self, start: int, stop: int) -> Tensor:
        """A view of rows [start, stop)."""
        assert self._rows is not None
        return as_picture(self._rows[:, start - self._start : stop - self._start])


class LongDelay:
    """For skips that are longer than a band: a queue of bands, copied only where a window spans two of them."""

    def __init__(self, start: int) -> None:
        self._bands: deque[tuple[int, Tensor]] = deque()
        self._end = start

    def append(self, rows: Tensor) -> None:
        """Add the new band to the queue."""
        self._bands.append((self._end, rows))
        self._end += rows.shape[1]

    def forget(self, start: int) -> None:
        """Drop the bands that lie wholly above `start`."""
        while self._bands and self._bands[0][0] + self._bands[0][1].shape[1] <= start:
            self._bands.popleft()

    def window(self, start: int, stop: int) -> Tensor:
        """Rows [start, stop), joined where they lie in several bands."""
        parts = [
            band[:, max(0, start - first) : stop - first]
            for first, band in self._bands
            if first < stop and first + band.shape[1] > start
        ]
        return as_picture(parts[0] if len(parts) == 1 else torch.cat(parts, 1))
