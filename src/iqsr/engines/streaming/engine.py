"""The row engine for networks that stream exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from iqsr.engines import rows as row_streams
from iqsr.engines.rows import OnProgress, Rows, rebanded, unobserved
from iqsr.engines.streaming.ops import Convolve
from iqsr.engines.streaming.program import RowProgram
from iqsr.engines.streaming.stream import RowStream, delay_bytes_per_column, receptive_radius
from iqsr.engines.streaming.tiled import TiledTrunk, has_winograd
from iqsr.engines.streaming.trunk import Trunk
from iqsr.engines.streaming.wavefront import Wavefront
from iqsr.kernels.winograd import WORTHWHILE, saving

_BAND_VALUES = 3 << 19
"""What a band should have of the widest convolution's input: enough for full arithmetic speed, and still in the
processor's cache. 8192 pixels of RRDBNet's 192 channels, three times as many of the compact network's 64."""

_LEAST_BAND = 4
"""Rows; thinner bands spend their time on joining and bookkeeping."""

_WHOLE_VALUES = 10 << 20
"""As _BAND_VALUES, of pictures that go through in one band: the delay lines never start."""

_WHOLE_PIXELS = 96 << 10
"""And what such a picture may have: beyond it, the enlarged rows leave the cache and bands are faster."""

_TRUNK_PIXELS = 1 << 19
"""Pictures up to this size go through a network with dense connections at once, up to its enlargement, in bf16."""

_LEAST_PIXELS = 32**2
"""Of a picture that goes by Winograd: smaller ones are quick, and their rounding is what networks amplify most."""

_TRUNK_SHARE = 0.85
"""Of the time, for the progress that is shown."""

_HEAD_BAND_PIXELS = 2048
"""Of a band of the features that are enlarged, where each pixel becomes 16."""


class StreamEngine:
    """Runs a row program over pictures of any height; very wide ones in column strips.

    `memory_bytes` bounds the delay lines, and what a picture takes that goes through a trunk; what does not fit there
    streams, in strips where it is too wide for that as well. They overlap by the network's whole receptive field where
    this is at most a quarter of their width (then they change nothing), else by that quarter.
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
        self._shrink, program = program.unshuffled()
        self._program = program.to(device, dtype)
        self._device = device
        self._dtype = dtype
        self.trunk, self._head = self._split() if band_pixels is None else (None, self._program)
        self._memory = memory_bytes
        self._band_pixels = band_pixels or _BAND_VALUES // program.widest
        self._whole_pixels = band_pixels or min(_WHOLE_PIXELS, _WHOLE_VALUES // program.widest)

    def apply(self, rows: Rows, on_progress: OnProgress | None = None) -> Rows:
        """The enlarged picture (fp32, on the CPU)."""
        report = on_progress or unobserved
        if self._shrink > 1:
            rows = row_streams.unshuffled(rows, self._shrink)
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

    def _split(self) -> tuple[Trunk | TiledTrunk | None, RowProgram]:
        """The part that takes a way of its own, where it has one that is faster, and what follows it."""
        parts = self._program.split()
        if parts is None:
            return None, self._program
        if has_winograd(self._device, self._dtype):
            tiled = TiledTrunk(parts[0])
            return (tiled if tiled.gain > 1 else None), parts[1]
        if not all(op.fused is not None for op in _convolutions(parts[0])):
            return None, self._program
        trunk = Trunk(parts[0])
        return (trunk if trunk.stacked else None), parts[1]

    def _stream(self, rows: Rows, report: OnProgress) -> Iterator[Tensor]:
        way = self._way(rows)
        if way is not None:
            yield from self._in_two(way, rows, report)
            return
        band = self._band(rows.width, rows.height)
        stream = RowStream(self._program, rows.height, band)
        for part in rebanded(rows.bands(band), band):
            for out in stream.push(part.to(self._device)):
                report(stream.progress)
                yield out.float().cpu()
            report(stream.progress)

    def _way(self, rows: Rows) -> _Way | None:
        """How a picture of this size goes through the trunk; None where memory does not hold what that takes."""
        trunk, height, width = self.trunk, rows.height, rows.width
        if isinstance(trunk, TiledTrunk):
            if height * width < _LEAST_PIXELS or saving(height, width) < WORTHWHILE:
                return None
            plan = trunk.plan(height, width, self._memory)
            return None if plan is None else _Way(plan.stripes[0][0].stop, Wavefront(trunk, plan).run)
        if trunk is None or height * width > _TRUNK_PIXELS or trunk.bytes_needed(height, width) > self._memory:
            return None
        return _Way(height, trunk.run)

    def _in_two(self, way: _Way, rows: Rows, report: OnProgress) -> Iterator[Tensor]:
        band = max(_LEAST_BAND, min(rows.height, ceil(_HEAD_BAND_PIXELS / rows.width)))
        head = RowStream(self._head, rows.height, band)

        def picture() -> Iterator[Tensor]:
            for part in rebanded(rows.bands(way.band), way.band):
                if self._head.beside:
                    head.supply(part)
                yield part.contiguous(memory_format=torch.channels_last)

        def tell(done: float) -> None:
            report(_TRUNK_SHARE * done + (1 - _TRUNK_SHARE) * head.progress)

        for features in rebanded(way.run(picture(), tell), band):
            for out in head.push(features):
                yield out.float()
        report(1)

    def _band(self, width: int, height: int) -> int:
        if width * height <= self._whole_pixels:
            return height
        return max(_LEAST_BAND, min(height, ceil(self._band_pixels / width)))

    def _strips(self, width: int) -> list[tuple[int, int, int, int]]:
        """(read from, read to, keep from, keep to) of each strip, in columns of the input."""
        fits = max(64, self._memory // delay_bytes_per_column(self._program, _LEAST_BAND, self._dtype.itemsize))
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


def winograds_gain(program: RowProgram, device: torch.device) -> float:
    """How many times as fast as direct convolutions a program is in fp32 by Winograd's; 1 where it takes none."""
    parts = program.unshuffled()[1].split()
    return TiledTrunk(parts[0]).gain if parts is not None and has_winograd(device, torch.float32) else 1


class _Way(NamedTuple):
    """Through a trunk."""

    band: int
    """Rows that it takes at once."""
    run: Callable[[Iterable[Tensor], OnProgress], Iterator[Tensor]]


def _convolutions(program: RowProgram) -> list[Convolve]:
    return [stage.op for stage in program.stages if isinstance(stage.op, Convolve)]
