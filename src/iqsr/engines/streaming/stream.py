"""Runs a row program over a picture: bands of input rows come in, bands of output rows go out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from iqsr.engines.streaming.buffers import LongDelay, RowBuffer, ShortHistory, as_rows
from iqsr.engines.streaming.program import SIDE_INPUT, Joined, ProgramStage, RowProgram, Source, Value, leaves


@dataclass
class _Stored:
    """How many rows of a value are made, and the buffer that holds those that are still needed."""

    total: int
    pad: int
    buffer: RowBuffer
    done: int = 0

    @property
    def complete(self) -> bool:
        """Whether the last row is made."""
        return self.done == self.total

    def append(self, rows: Tensor) -> None:
        """Add rows (1, n, W, C), with the zero padding above the first and below the last row of the picture."""
        first, self.done = self.done == 0, self.done + rows.shape[1]
        if self.pad and (first or self.complete):
            zeros = rows.new_zeros((1, self.pad, *rows.shape[2:]))
            rows = torch.cat([zeros] * first + [rows] + [zeros] * self.complete, 1)
        self.buffer.append(rows)


class RowStream:
    """One picture's way through a program; use it once. Memory grows with the width, see `delay_bytes_per_column`.

    Args:
        program: The network.
        height: Rows of the picture.
        band: The most rows that a stage makes at one time, in rows of the picture.
    """

    def __init__(self, program: RowProgram, height: int, band: int) -> None:
        self.stages = program.stages
        self._whole = band >= height
        self._made = [0] * len(self.stages)
        # A stage that enlarges makes all the rows of an input row at once.
        self._most_rows = [ceil(ceil(band * program.scale_of(s.source)) * s.op.scale) for s in self.stages]
        self._total_rows = [int(height * program.scale_of(Value(n))) for n in range(len(self.stages))]
        self._readers = readers_of(program)
        self._last_read_by: dict[int, list[int]] = defaultdict(list)
        for value, readers in self._readers.items():
            self._last_read_by[max(readers)].append(value)
        delays = longest_delays(program)
        self._values: dict[int, _Stored] = {}
        inputs = [-2, -1] if program.side_channels else [-1]
        for number in [*inputs, *range(len(self.stages) - 1)]:
            readers = [self.stages[reader] for reader in self._readers[number]]
            # A picture in one band needs no zero rows: convolutions pad by themselves.
            reaches = (s.op.reach for s in readers if number in _numbers(s.source))
            pad = 0 if self._whole else max(reaches, default=0)
            is_long = delays[number] > band or number < -1
            buffer = LongDelay(-pad) if is_long else ShortHistory(-pad)
            total = int(height * program.scale_of(Value(number)))
            self._values[number] = _Stored(total, pad, buffer)

    def push_side(self, rows: Tensor) -> None:
        """Take the next rows of the side input, before `push` takes the rows of the input of the same height."""
        self._values[SIDE_INPUT.stage].append(as_rows(rows))

    def push(self, rows: Tensor) -> Iterator[Tensor]:
        """Take the next rows (1, C, n, W) of the input and yield the output rows that can be made.

        After the last row of the input the rest of the output follows, a band at a time.
        """
        self._values[-1].append(as_rows(rows))
        out = self._advance()
        if out is not None:
            yield out
        while self._values[-1].complete and not self._finished:
            out = self._advance()
            if out is not None:
                yield out

    def _advance(self) -> Tensor | None:
        """Let every stage make the rows it can, at most a band."""
        out = None
        for number, stage in enumerate(self.stages):
            start = self._made[number]
            stop = min(self._ready(stage), start + self._most_rows[number])
            if stop <= start:
                continue
            result = self._run(stage, start, stop)
            self._made[number] = stop
            for value in self._last_read_by[number]:
                self._values[value].buffer.forget(min(self._needs(r, value) for r in self._readers[value]))
            if number == len(self.stages) - 1:
                out = result
            else:
                self._values[number].append(as_rows(result))
        return out

    @property
    def progress(self) -> float:
        """The share of all stages' rows that are made, from 0 to 1."""
        return sum(self._made) / sum(self._total_rows)

    @property
    def _finished(self) -> bool:
        return self._made[-1] == self._total_rows[-1]

    def _needs(self, reader: int, value: int) -> int:
        """The first row of `value` that stage `reader` still needs; one beyond the last where it needs none."""
        stage, start = self.stages[reader], self._made[reader]
        if start == self._total_rows[reader]:
            return self._values[value].total + self._values[value].pad
        needs = [start] if any(value in _numbers(s) for s in stage.sources()[1:]) else []
        if value in _numbers(stage.source):
            needs.append(stage.op.span(start, start + 1, self._total(stage.source))[0])
        return min(needs)

    def _total(self, source: Source) -> int:
        return self._values[leaves(source)[0].stage].total

    def _done(self, source: Source) -> int:
        return min(self._values[leaf.stage].done for leaf in leaves(source))

    def _ready(self, stage: ProgramStage) -> int:
        rows = stage.op.ready(self._done(stage.source), self._total(stage.source))
        return min([rows, *(self._done(source) for source in stage.sources()[1:])])

    def _run(self, stage: ProgramStage, start: int, stop: int) -> Tensor:
        total = self._total(stage.source)
        first, last = stage.op.span(start, stop, total)
        if self._whole:
            first, last = max(first, 0), min(last, total)
        x = stage.op.run(self._window(stage.source, first, last), start, stop, first)
        for change in stage.then:
            added = isinstance(change, Value | Joined)
            x = plus(x, self._window(change, start, stop)) if added else change(x)
        return x

    def _window(self, source: Source, start: int, stop: int) -> Tensor:
        if isinstance(source, Value):
            return self._values[source.stage].buffer.window(start, stop)
        return torch.cat([self._window(part, start, stop) for part in source.parts], 1)


def plus(x: Tensor, added: Tensor) -> Tensor:
    """x + added, in the finer type of the two; in place where x has that type."""
    return x.add_(added) if x.dtype == torch.promote_types(x.dtype, added.dtype) else x + added


def _numbers(source: Source) -> set[int]:
    return {leaf.stage for leaf in leaves(source)}


def readers_of(program: RowProgram) -> dict[int, list[int]]:
    """For each value: the numbers of the stages that read it."""
    readers: dict[int, list[int]] = defaultdict(list)
    for number, stage in enumerate(program.stages):
        for value in {n for source in stage.sources() for n in _numbers(source)}:
            readers[value].append(number)
    return readers


def longest_delays(program: RowProgram) -> dict[int, int]:
    """For each value, in its own rows: how far its slowest reader is behind it, with the rows above that it reads."""
    lag: dict[int, float] = {-1: 0.0, -2: 0.0}  # in rows of the input
    delay: dict[int, float] = defaultdict(float)
    for number, stage in enumerate(program.stages):
        scale = float(program.scale_of(stage.source))
        inputs = [lag[n] for source in stage.sources() for n in _numbers(source)]
        lag[number] = max(inputs) + stage.op.reach / scale
        for source in stage.sources():
            for value in _numbers(source):
                back = stage.op.reach / scale if source is stage.source else 0.0
                delay[value] = max(delay[value], (lag[number] + back - lag[value]) * scale)
    return {value: int(rows) for value, rows in delay.items()}


def receptive_radius(program: RowProgram) -> int:
    """How many columns of the input an output pixel depends on, on each side, at most."""
    seen: dict[int, float] = {-1: 0.0, -2: 0.0}
    for number, stage in enumerate(program.stages):
        before = max(seen[value] for source in stage.sources() for value in _numbers(source))
        seen[number] = before + stage.op.radius / float(program.scale_of(stage.source))
    return ceil(seen[len(program.stages) - 1])


def delay_bytes_per_column(program: RowProgram, band: int, itemsize: int) -> int:
    """What a stream holds between two bands, for each column of the input, in bytes (an upper estimate)."""
    total = 0.0
    for value, rows in longest_delays(program).items():
        scale = float(program.scale_of(Value(value)))
        held = rows + 2 + (band * scale if rows > band else 0)  # a long delay drops whole bands only
        total += held * scale * program.channels_of(Value(value)) * (4 if value < 0 else itemsize)
    return int(total)
