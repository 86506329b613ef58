"""The engine for networks that stream exactly: whole, by their trunk and head, or in strips of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from iqsr.engines import rows as row_streams
from iqsr.engines.rows import OnProgress, Rows, ignore_progress, rebanded
from iqsr.engines.streaming.fused_trunk import FusedTrunk
from iqsr.engines.streaming.ops import Convolve
from iqsr.engines.streaming.program import RowProgram
from iqsr.engines.streaming.stream import RowStream, delay_bytes_per_column, receptive_radius
from iqsr.engines.streaming.wavefront import Wavefront
from iqsr.engines.streaming.winograd_trunk import WinogradTrunk
from iqsr.kernels.winograd import LEAST_SAVING, has_winograd, saving

_BAND_VALUES = 3 << 19
"""Pixels times channels of a band of the widest convolution's input: enough for the full speed of the arithmetic, and
few enough for the processor's cache. These are 8192 pixels of RRDBNet's 192 channels."""

_LEAST_BAND_ROWS = 4
"""With fewer rows, most of the time goes into joining bands and into Python."""

_WHOLE_VALUES = 10 << 20
"""Pixels times channels up to which a picture goes through as one band, without delay lines."""

_WHOLE_PIXELS = 96 << 10
"""Most pixels of such a picture. With more, the enlarged rows leave the cache, and bands are faster."""

_FUSED_TRUNK_PIXELS = 1 << 19
"""Most pixels of a picture that goes through a `FusedTrunk`."""

_LEAST_WINOGRAD_PIXELS = 32**2
"""Least pixels of a picture that goes through a `WinogradTrunk`. Smaller ones are fast anyway, and networks amplify
their rounding most."""

_TRUNK_SHARE = 0.85
"""The trunk's share of the time, for the progress that is reported."""

_HEAD_BAND_PIXELS = 2048
"""Pixels of a band that enters the head, which makes up to 16 pixels of each."""


class StreamEngine:
    """Runs a row program over pictures of any height, and over very wide ones in strips of columns.

    A picture goes through the network's trunk in the trunk's own way where that fits into memory, and streams
    otherwise; in strips, where it is too wide to stream. Strips overlap by the network's receptive field, so that they
    change nothing, but by a quarter of their width at most.

    Args:
        program: The network.
        device: Where it computes.
        dtype: What it computes in.
        memory_bytes: The most that the delay lines, or the trunk, may take.
        band_pixels: Pixels of a band; None for the best speed. If given, the network is not split into trunk and head.
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
        self._unshuffle_factor, program = program.without_pixel_unshuffle()
        self._program = program.to(device, dtype)
        self._device = device
        self._dtype = dtype
        self.trunk, self._head = self._split() if band_pixels is None else (None, self._program)
        self._memory = memory_bytes
        self._band_pixels = band_pixels or _BAND_VALUES // program.widest
        self._whole_pixels = band_pixels or min(_WHOLE_PIXELS, _WHOLE_VALUES // program.widest)

    def apply(self, rows: Rows, on_progress: OnProgress | None = None) -> Rows:
        """The enlarged picture (fp32, on the CPU)."""
        report = on_progress or ignore_progress
        if self._unshuffle_factor > 1:
            rows = row_streams.unshuffled(rows, self._unshuffle_factor)
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
        scale = int(self._program.scale)
        return Rows(rows.width * scale, rows.height * scale, lambda _: self._stream(rows, report))

    def _split(self) -> tuple[FusedTrunk | WinogradTrunk | None, RowProgram]:
        """The trunk, if there is a faster way for it than streaming, and what streams: the head, or the program."""
        parts = self._program.split()
        if parts is None:
            return None, self._program
        if has_winograd(self._device, self._dtype):
            trunk = WinogradTrunk(parts[0])
            return (trunk, parts[1]) if trunk.gain > 1 else (None, self._program)
        if not all(op.fused is not None for op in _convolutions(parts[0])):
            return None, self._program
        trunk = FusedTrunk(parts[0])
        return (trunk, parts[1]) if trunk.stacked else (None, self._program)

    def _stream(self, rows: Rows, report: OnProgress) -> Iterator[Tensor]:
        trunk_pass = self._trunk_pass(rows)
        if trunk_pass is not None:
            yield from self._through_trunk_and_head(trunk_pass, rows, report)
            return
        band = self._band(rows.width, rows.height)
        stream = RowStream(self._program, rows.height, band)
        for part in rebanded(rows.bands(band), band):
            for out in stream.push(part.to(self._device)):
                report(stream.progress)
                yield out.float().cpu()
            report(stream.progress)

    def _trunk_pass(self, rows: Rows) -> _TrunkPass | None:
        """How a picture of this size goes through the trunk; None where it streams instead."""
        trunk, height, width = self.trunk, rows.height, rows.width
        if isinstance(trunk, WinogradTrunk):
            if height * width < _LEAST_WINOGRAD_PIXELS or saving(height, width) < LEAST_SAVING:
                return None
            plan = trunk.plan(height, width, self._memory)
            return None if plan is None else _TrunkPass(plan.bands[0][0].stop, Wavefront(trunk, plan).run)
        if trunk is None or height * width > _FUSED_TRUNK_PIXELS or trunk.bytes_needed(height, width) > self._memory:
            return None
        return _TrunkPass(height, trunk.run)

    def _through_trunk_and_head(self, trunk_pass: _TrunkPass, rows: Rows, report: OnProgress) -> Iterator[Tensor]:
        band = max(_LEAST_BAND_ROWS, min(rows.height, ceil(_HEAD_BAND_PIXELS / rows.width)))
        head = RowStream(self._head, rows.height, band)

        def picture() -> Iterator[Tensor]:
            for part in rebanded(rows.bands(trunk_pass.band_rows), trunk_pass.band_rows):
                if self._head.side_channels:
                    head.push_side(part)
                yield part.contiguous(memory_format=torch.channels_last)

        def report_trunk(done: float) -> None:
            report(_TRUNK_SHARE * done + (1 - _TRUNK_SHARE) * head.progress)

        for features in rebanded(trunk_pass.run(picture(), report_trunk), band):
            for out in head.push(features):
                yield out.float()
        report(1)

    def _band(self, width: int, height: int) -> int:
        if width * height <= self._whole_pixels:
            return height
        return max(_LEAST_BAND_ROWS, min(height, ceil(self._band_pixels / width)))

    def _strips(self, width: int) -> list[tuple[int, int, int, int]]:
        """The columns of each strip: (read from, read to, keep from, keep to)."""
        fits = max(64, self._memory // delay_bytes_per_column(self._program, _LEAST_BAND_ROWS, self._dtype.itemsize))
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
        start, stop, scale = keep_from - read_from, keep_to - read_from, int(self._program.scale)
        return row_streams.columns(enlarged, start * scale, stop * scale)


def winograd_gain(program: RowProgram, device: torch.device) -> float:
    """How many times as fast as by direct convolutions a program is in fp32; 1 where Winograd is not used for it."""
    parts = program.without_pixel_unshuffle()[1].split()
    return WinogradTrunk(parts[0]).gain if parts is not None and has_winograd(device, torch.float32) else 1


class _TrunkPass(NamedTuple):
    """A trunk, ready for a picture of one size."""

    band_rows: int
    """Rows of the bands that it takes."""
    run: Callable[[Iterable[Tensor], OnProgress], Iterator[Tensor]]


def _convolutions(program: RowProgram) -> list[Convolve]:
    return [stage.op for stage in program.stages if isinstance(stage.op, Convolve)]
