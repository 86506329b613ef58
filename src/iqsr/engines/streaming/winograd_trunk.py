"""A network's trunk with its convolutions by Winograd: what each reads, in which order, and how much memory it takes.

Every value that convolutions read is transformed once. Values that are read together, as in a dense block, lie on one
stack, and a convolution is one matrix product (per place) with the front of it. That is faster than adding up products
of one value each. The picture is cut into bands; `iqsr.engines.streaming.wavefront` runs them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from iqsr.engines.streaming.ops import Convolve
from iqsr.engines.streaming.program import INPUT, ProgramStage, RowProgram, Value, leaves
from iqsr.kernels.stacks import Stack, channel_spans, plan_stacks
from iqsr.kernels.winograd import INPUT_SIDE, PRODUCTS, TILE_PIXELS, TILE_SIDE, transform_kernel_with_bias
from iqsr.kernels.winograd_tiling import WinogradTiling

_LEAST_CHANNELS = 16
"""With fewer, the transforms take longer than the multiplications they save."""
_MOST_TILES_PER_BAND, _FEWEST_TILES_PER_BAND = 1024, 128
"""Winograd tiles. With more, the arrays between the steps of a convolution no longer fit into the processor's cache."""
_DENSE_GAIN, _PLAIN_GAIN = 1.7, 1.3
"""`WinogradTrunk.gain` with dense connections, whose values are transformed once for many readers, and without."""


class LastUse(NamedTuple):
    """When a band of a value or of a stack is read for the last time."""

    level: int
    """The level that reads it last."""
    back: int = 0
    """How many bands further down that level then is: 1 where a band is read together with the one below it."""


class Level(NamedTuple):
    """What is done to a band in one step: first these values are transformed, then these stages run."""

    transforms: list[Value]
    stages: list[int]


Bands = list[tuple[slice, WinogradTiling]]
"""The rows of each band, and their tiling."""


class Plan(NamedTuple):
    """How a picture of one size goes through a trunk."""

    bands: Bands
    groups: list[tuple[int, int]]
    """Levels (first, last): all bands pass one group before the first band enters the next."""


class WinogradTrunk:
    """A program of scale 1, in fp32 on a CPU. Between 3x3 convolutions there may be stages that see no neighbours.

    Stages lie on levels. A convolution lies one level behind the values that it reads: these are transformed on its
    level, when the next band below is there. `iqsr.engines.streaming.wavefront` takes the bands through the levels.
    """

    def __init__(self, program: RowProgram) -> None:
        self.program = program
        self.stacks = plan_stacks(_reads_of(program))
        self.stack_read_by = {reader: which for which, stack in enumerate(self.stacks) for reader in stack.readers}
        self.spans: dict[Value, dict[int, tuple[int, int]]] = defaultdict(dict)
        """For each value that is transformed: the stacks it belongs to, and which channels of them it takes."""
        for which, stack in enumerate(self.stacks):
            spans = channel_spans(map(program.channels_of, stack.members), first=1)
            for value, span in zip(stack.members, spans, strict=True):
                self.spans[value][which] = span
        self._level_of = {-1: 0}
        for number in range(len(program.stages)):
            self._level_of[number] = max(self._level_of[v.stage] + lag for v, lag in self._reads(number))
        self.levels = [Level([], []) for _ in range(max(self._level_of.values()) + 1)]
        for number, level in self._level_of.items():
            self.levels[level].stages.append(number)
            if Value(number) in self.spans:
                self.levels[level + 1].transforms.append(Value(number))
        self.last_uses = self._last_uses_of_values()
        self.last_uses_of_stacks = [LastUse(max(map(self._level_of.__getitem__, s.readers))) for s in self.stacks]

    def _reads(self, number: int) -> list[tuple[Value, int]]:
        """The values that a stage reads, and how many levels it lies behind each at least."""
        first, *others = self.program.stages[number].sources()
        lag = int(number in self.stack_read_by)
        return [(v, lag) for v in leaves(first)] + [(v, 0) for source in others for v in leaves(source)]

    def _last_uses_of_values(self) -> dict[Value, LastUse]:
        """Of the pixels of a value: by a stage, or by its own transform, which sees the bands above and below."""
        uses = {v: LastUse(self._level_of[v.stage] + 1, 1) for v in self.spans}
        for number in range(len(self.program.stages)):
            for value, lag in self._reads(number):
                if not lag:
                    uses[value] = max(uses.get(value, LastUse(0)), LastUse(self._level_of[number]))
        uses.pop(Value(len(self.program.stages) - 1), None)
        return uses

    def is_only_last_read(self, number: int, value: Value) -> bool:
        """Whether a stage that adds a value to its result is the value's last reader, and reads it once."""
        level = self._level_of[number]
        if self.last_uses[value] != LastUse(level):
            return False
        beside = [n for n in self.levels[level].stages if n != number and any(v == value for v, _ in self._reads(n))]
        return not beside and sum(v == value for v, lag in self._reads(number) if not lag) == 1

    @property
    def gain(self) -> float:
        """About how many times as fast as direct convolutions it is, measured on RRDBNet and the compact network.

        1 where it would not be faster: where other stages see neighbours, or where there are as many other stages, for
        which tiles are joined and cut again.
        """
        others = [stage.op for number, stage in enumerate(self.program.stages) if number not in self.stack_read_by]
        if any(op.reach for op in others) or len(self.stack_read_by) <= len(others) + 1:
            return 1
        return _DENSE_GAIN if any(len(stack.readers) > 2 for stack in self.stacks) else _PLAIN_GAIN

    def plan(self, height: int, width: int, memory_bytes: int) -> Plan | None:
        """The plan that takes the least memory, with bands as large as is good for speed.

        With all levels in one group, some bands of every level are held, whatever the picture's height. With a group
        for each part that no stack spans, the whole picture is held between groups, which is less for deep networks and
        pictures that are not too large.

        Returns:
            None where every plan takes more than `memory_bytes`.
        """
        tiles = _MOST_TILES_PER_BAND
        while True:
            bands = bands_of(height, width, tiles)
            plans = [Plan(bands, groups) for groups in ([(0, len(self.levels) - 1)], self._groups_between_stacks())]
            needed = [self.bytes_needed(plan) for plan in plans]
            if min(needed) <= memory_bytes:
                return plans[needed.index(min(needed))]
            if tiles <= min(_FEWEST_TILES_PER_BAND, bands[0][1].tiles):
                return None
            tiles //= 2

    def _groups_between_stacks(self) -> list[tuple[int, int]]:
        """As many groups of levels as possible, where no stack is read in two of them."""
        spans = [(start, last.level) for _, start, last in self._stack_lifetimes()]
        starts = [n for n in range(len(self.levels)) if not any(first < n <= last for first, last in spans)]
        return list(zip(starts, [start - 1 for start in starts[1:]] + [len(self.levels) - 1], strict=True))

    def bytes_needed(self, plan: Plan) -> int:
        """The most memory that a picture takes. Arrays are kept once they are made, to be used again."""
        outputs = {self.channels_of(Value(reader)) for reader in self.stack_read_by}
        joined = [s for n, stage in enumerate(self.program.stages) for s in stage.sources()[n in self.stack_read_by :]]
        sources = [*joined, *(Value(n) for n in range(-1, len(self.program.stages)))]
        widest = max(map(self.program.channels_of, sources))
        always = PRODUCTS * sum(outputs) + (TILE_SIDE * INPUT_SIDE + 4 * TILE_PIXELS) * widest
        held, total = self._lifetimes(), 0
        for tiles, count in Counter(tiling.tiles for _, tiling in plan.bands).items():
            most = {shape: _most_held(spans, count, plan.groups) for shape, spans in held.items()}
            total += tiles * (always + sum(planes * channels * most[planes, channels] for planes, channels in most))
        return 4 * total

    def _lifetimes(self) -> dict[tuple[int, int], list[tuple[int, LastUse]]]:
        """For each shape of array (planes, channels): first level and last use of each value or stack of this shape."""
        held: dict[tuple[int, int], list[tuple[int, LastUse]]] = defaultdict(list)
        for value, last in self.last_uses.items():
            held[TILE_PIXELS, self.channels_of(value)].append((self._level_of[value.stage], last))
        for stack, start, last in self._stack_lifetimes():
            held[PRODUCTS, self.channels_of(stack)].append((start, last))
        return held

    def _stack_lifetimes(self) -> list[tuple[Stack[Value], int, LastUse]]:
        """Each stack, the level on which its first value is transformed, and its last use."""
        starts = [min(self._level_of[value.stage] for value in stack.members) + 1 for stack in self.stacks]
        return list(zip(self.stacks, starts, self.last_uses_of_stacks, strict=True))

    def channels_of(self, held: Value | Stack[Value]) -> int:
        """Channels of a value or of a stack, whose first channel holds ones, for the bias."""
        if isinstance(held, Value):
            return self.program.channels_of(held)
        return 1 + sum(map(self.program.channels_of, held.members))

    @cached_property
    def kernels(self) -> dict[int, Tensor]:
        """The transformed kernel, (36, outputs, 1 + inputs), of every convolution that reads a stack."""
        return {reader: self._kernel(reader, self.stacks[which]) for reader, which in self.stack_read_by.items()}

    def _kernel(self, reader: int, stack: Stack[Value]) -> Tensor:
        """A convolution's kernel with its input channels in the order of the stack."""
        stage = self.program.stages[reader]
        assert isinstance(stage.op, Convolve)
        read = leaves(stage.source)
        parts = stage.op.weight.split([self.program.channels_of(value) for value in read], 1)
        part_of = dict(zip(read, parts, strict=True))
        weight = torch.cat([part_of[value] for value in stack.members[: len(read)]], 1)
        bias = stage.op.bias if stage.op.bias is not None else weight.new_zeros(len(weight))
        return transform_kernel_with_bias(weight, bias)


def _most_held(spans: Sequence[tuple[int, LastUse]], count: int, groups: Sequence[tuple[int, int]]) -> int:
    """The most arrays of one shape that `count` bands hold at once; of values of several groups all bands are held."""
    most = 0
    for first, last in groups:
        here = [(start, use) for start, use in spans if start <= last and use.level >= first]
        inside = [(start, use) for start, use in here if start >= first and use.level <= last]
        most = max(most, count * (len(here) - len(inside)) + _most_held_in_group(inside, count))
    return most


def _most_held_in_group(spans: Sequence[tuple[int, LastUse]], count: int) -> int:
    """The same for values of one group, where each band is one level behind the band above it."""
    if not spans:
        return 0
    lowest = min(start for start, _ in spans)
    of_level = [0] * (3 + max(use.level for _, use in spans) - lowest)
    for start, use in spans:
        of_level[start - lowest] += 1
        of_level[use.level + use.back + 1 - lowest] -= 1
    up_to = [0, *accumulate(accumulate(of_level))]
    return max(up_to[min(start + count, len(up_to) - 1)] - up_to[start] for start in range(len(up_to)))


def bands_of(height: int, width: int, tiles: int) -> Bands:
    """Bands of about the same height, each of at most so many Winograd tiles, or of one row of them."""
    down, most = ceil(height / TILE_SIDE), max(1, tiles // ceil(width / TILE_SIDE))
    rows = TILE_SIDE * ceil(down / ceil(down / most))
    parts = [slice(start, min(height, start + rows)) for start in range(0, height, rows)]
    whole, last = WinogradTiling(parts[0].stop, width), WinogradTiling(parts[-1].stop - parts[-1].start, width)
    return [(part, whole) for part in parts[:-1]] + [(parts[-1], whole if len(parts) == 1 else last)]


def _reads_of(program: RowProgram) -> list[tuple[int, tuple[Value, ...]]]:
    """The convolutions that Winograd's algorithm can compute, with what they read, oldest first."""
    found = [(number, _read_by_winograd(program, stage)) for number, stage in enumerate(program.stages)]
    return [(number, values) for number, values in found if values is not None]


def _read_by_winograd(program: RowProgram, stage: ProgramStage) -> tuple[Value, ...] | None:
    """What a stage reads, oldest first, if it is a convolution that Winograd's algorithm is good for; else None.

    The one that reads only the picture and the last one count, although they have few channels: their other side is in
    tiles already.
    """
    op, values = stage.op, leaves(stage.source)
    if not isinstance(op, Convolve) or op.groups != 1 or op.dilation != (1, 1) or op.weight.shape[2:] != (3, 3):
        return None
    if program.scale_of(stage.source) != 1 or len(set(values)) < len(values):
        return None
    counts = [program.channels_of(value) for value in values if value != INPUT]
    if stage is not program.stages[-1]:
        counts.append(op.weight.shape[0])
    if min(counts, default=_LEAST_CHANNELS) < _LEAST_CHANNELS:
        return None
    return tuple(sorted(values, key=lambda value: value.stage))
