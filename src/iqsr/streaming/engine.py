"""The row engine for networks that stream exactly."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import ceil

import torch
from torch import Tensor

from iqsr import rows as row_streams
from iqsr.rows import OnProgress, Rows, rebanded, unobserved
from iqsr.streaming.program import RowProgram
from iqsr.streaming.stream import RowStream, delay_bytes_per_column, receptive_radius

_BAND_PIXELS = 8192
"""Input pixels a band should have: enough for full arithmetic speed, small enough to stay in the processor's cache."""

_LEAST_BAND = 4
"""Rows; thinner bands spend their time on joining and bookkeeping."""

_WHOLE_PIXELS = 32768
"""Pictures up to this size go through in one band: the delay lines never start."""


class StreamEngine:
    """Runs a row program over pictures of any height; very wide ones in column strips.

    `memory_bytes` bounds the delay lines; what does not fit is cut into strips. They overlap by the network's whole
    receptive field where this is at most a quarter of their width (then they change nothing), else by that quarter.
    """

    def __init__(
        self,
        program: RowProgram,
        device: torch.device,
        dtype: torch.dtype,
        *,
        memory_bytes: int,
        band_pixels: int | None = None,
    ) -> None:
        self.scale = int(program.scale)
        self._program = program.to(device, dtype)
        self._device = device
        self._itemsize = dtype.itemsize
        self._memory = memory_bytes
        self._band_pixels = band_pixels or _BAND_PIXELS
        self._whole_pixels = band_pixels or _WHOLE_PIXELS

    def apply(self, rows: Rows, on_progress: OnProgress | None = None) -> Rows:
        """The enlarged picture (fp32, on the CPU)."""
        report = on_progress or unobserved
        strips = self._strips(rows.width)
        if len(strips) == 1:
            return self._enlarged(rows, report)
        share = 1 / len(strips)
        parts = [
            self._strip(rows, *strip, lambda done, n=number: report((n + done) * share))
            for number, strip in enumerate(strips)
        ]
        return row_streams.side_by_side(parts)

    def _enlarged(self, rows: Rows, report: OnProgress) -> Rows:
        return Rows(rows.width * self.scale, rows.height * self.scale, lambda _: self._stream(rows, report))

    def _stream(self, rows: Rows, report: OnProgress) -> Iterator[Tensor]:
        band = self._band(rows.width, rows.height)
        stream = RowStream(self._program, rows.height, band)
        for part in rebanded(rows.bands(band), band):
            for out in stream.push(part.to(self._device)):
                report(stream.progress)
                yield out.float().cpu()
            report(stream.progress)

    def _band(self, width: int, height: int) -> int:
        if width * height <= self._whole_pixels:
            return height
        return max(_LEAST_BAND, min(height, ceil(self._band_pixels / width)))

    def _strips(self, width: int) -> list[tuple[int, int, int, int]]:
        """(read from, read to, keep from, keep to) of each strip, in columns of the input."""
        fits = max(64, self._memory // delay_bytes_per_column(self._program, _LEAST_BAND, self._itemsize))
        if width <= fits:
            return [(0, width, 0, width)]
        multiple = self._program.size_multiple
        margin = ceil(min(receptive_radius(self._program), fits // 4) / multiple) * multiple
        count = ceil(width / (fits - 2 * margin))
        edges = [width * n // count // multiple * multiple for n in range(count)] + [width]
        return [(max(0, a - margin), min(width, b + margin), a, b) for a, b in pairwise(edges)]

    def _strip(
        self, rows: Rows, read_from: int, read_to: int, keep_from: int, keep_to: int, report: OnProgress
    ) -> Rows:
        enlarged = self._enlarged(row_streams.columns(rows, read_from, read_to), report)
        start, stop = keep_from - read_from, keep_to - read_from
        return row_streams.columns(enlarged, start * self.scale, stop * self.scale)
