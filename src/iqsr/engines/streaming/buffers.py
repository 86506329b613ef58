"""Where a value's rows wait until all of its readers have used them.

Rows are stored as contiguous (1, rows, width, channels), so that cutting and joining them are plain memory copies;
readers get the (1, C, rows, W) channels-last view of them.
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
    """Rows [start, end) of one value. Row numbers may be negative: zero padding above the picture."""

    def append(self, rows: Tensor) -> None:
        """Add (1, n, W, C) rows below."""
        ...

    def forget(self, start: int) -> None:
        """Rows above `start` will not be asked for again."""
        ...

    def window(self, start: int, stop: int) -> Tensor:
        """Rows [start, stop) as (1, C, stop - start, W)."""
        ...


class ShortHistory:
    """For readers that look back a few rows: one contiguous block, so that every window is a view."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._rows: Tensor | None = None

    def append(self, rows: Tensor) -> None:
        """Join what is still needed with the new rows (the one copy of this value)."""
        self._rows = rows if self._rows is None else torch.cat([self._rows, rows], 1)

    def forget(self, start: int) -> None:
        """Give the memory back at once: what is made next takes its place while it is in the processor's cache."""
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
    """For skips that wait longer than a band: a queue of bands, nothing copied until it is read."""

    def __init__(self, start: int) -> None:
        self._bands: deque[tuple[int, Tensor]] = deque()
        self._end = start

    def append(self, rows: Tensor) -> None:
        """Queue the new band."""
        self._bands.append((self._end, rows))
        self._end += rows.shape[1]

    def forget(self, start: int) -> None:
        """Drop the bands that lie wholly above `start`."""
        while self._bands and self._bands[0][0] + self._bands[0][1].shape[1] <= start:
            self._bands.popleft()

    def window(self, start: int, stop: int) -> Tensor:
        """Rows [start, stop), joined from the bands they lie in."""
        parts = [
            band[:, max(0, start - first) : stop - first]
            for first, band in self._bands
            if first < stop and first + band.shape[1] > start
        ]
        return as_picture(parts[0] if len(parts) == 1 else torch.cat(parts, 1))
