"""A network's part before the enlargement with its convolutions by Winograd: what it reads, when, and what it holds.

Every value that convolutions read is transformed once. In a dense block many read it: what they read together lies in
one array, oldest first, and each takes the front that it needs. One product with all of it is quicker than sums that
every value adds to when it is made. Pictures lie in stripes; `iqsr.engines.streaming.wavefront` runs over them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from iqsr.engines.streaming.ops import Convolve
from iqsr.engines.streaming.program import PICTURE, Node, RowProgram, Value, leaves
from iqsr.kernels.winograd import PIXELS, PRODUCTS, REACH, SIDE, Tiling, cook_toom, kernel_to_tiles

_LEAST_CHANNELS = 16
"""With fewer, the transforms take longer than the multiplications they save."""
_TILES_AT_ONCE, _FEWEST_TILES = 1024, 128
"""With more, what the steps of a convolution hand to one another no longer fits into the cache."""
_GAIN_OF_DENSE, _GAIN = 1.7, 1.3
"""`TiledTrunk.gain`; dense connections read the same values again and again, which are transformed once."""
_ONE = torch.outer(*[torch.linalg.pinv(cook_toom().outputs).sum(1)] * 2).flatten()
"""What becomes 1 in all of a tile's pixels."""


def has_winograd(device: torch.device, dtype: torch.dtype) -> bool:
    """Where it was measured to be faster than direct convolutions: in fp32, with MKL's products of matrices."""
    return device.type == "cpu" and dtype == torch.float32 and torch.backends.mkl.is_available()


def transformed_kernel(weight: Tensor, bias: Tensor) -> Tensor:
    """(out, in, 3, 3) -> (36, out, 1 + in); the bias (out,) is that of a first input channel, whose data are ones."""
    of_bias = torch.outer(_ONE, bias.double())[..., None]
    return torch.cat([of_bias, kernel_to_tiles(weight.double())], 2).float()


@dataclass
class Stack:
    """Convolutions whose inputs, oldest first, are fronts of one list of values."""

    members: tuple[Value, ...]
    readers: list[int] = field(default_factory=list)
    """Stages."""


class End(NamedTuple):
    """When a stripe of a value or of a stack is done with: when the level is through with it, or `back` below it."""

    level: int
    back: int = 0


class Level(NamedTuple):
    """What is done to one stripe in turn: values are transformed, then stages read them."""

    transforms: list[Value]
    stages: list[int]


Stripes = list[tuple[slice, Tiling]]
"""Rows of a picture, with their tiling."""


class Plan(NamedTuple):
    """How a picture of one size goes through: group after group of levels (first, last), each with all stripes."""

    stripes: Stripes
    groups: list[tuple[int, int]]


class TiledTrunk:
    """A program of scale 1, fp32, on a CPU. Between convolutions of 3x3 there may be stages that see no neighbours.

    Its stages lie on levels: a convolution is one level behind what it reads, which is transformed on its level, once
    the stripe below is there. `iqsr.engines.streaming.wavefront` takes stripes through the levels, each one level
    behind the other.
    """

    def __init__(self, program: RowProgram) -> None:
        self.program = program
        self.stacks = _stacks_of(program)
        self.read_from = {reader: which for which, stack in enumerate(self.stacks) for reader in stack.readers}
        self.written_to: dict[Value, list[int]] = defaultdict(list)
        for which, stack in enumerate(self.stacks):
            for value in stack.members:
                self.written_to[value].append(which)
        self._depths = {-1: 0}
        for number in range(len(program.stages)):
            self._depths[number] = max(self._depths[v.stage] + waits for v, waits in self._reads(number))
        self.levels = [Level([], []) for _ in range(max(self._depths.values()) + 1)]
        for number, depth in self._depths.items():
            self.levels[depth].stages.append(number)
            if Value(number) in self.written_to:
                self.levels[depth + 1].transforms.append(Value(number))
        self.ends = self._value_ends()
        self.stack_ends = [End(max(self._depths[reader] for reader in stack.readers)) for stack in self.stacks]

    def _reads(self, number: int) -> list[tuple[Value, int]]:
        """The values that a stage reads, each with how many levels it lies behind it at least."""
        first, *others = self.program.stages[number].sources()
        waits = int(number in self.read_from)
        return [(v, waits) for v in leaves(first)] + [(v, 0) for source in others for v in leaves(source)]

    def _value_ends(self) -> dict[Value, End]:
        """Of a value's pixels: the last reader, or its own transforms, which see the stripes above and below."""
        ends = {v: End(self._depths[v.stage] + 1, 1) for v in self.written_to}
        for number in range(len(self.program.stages)):
            for value, waits in self._reads(number):
                if not waits:
                    ends[value] = max(ends.get(value, End(0)), End(self._depths[number]))
        ends.pop(Value(len(self.program.stages) - 1), None)
        return ends

    def dies_in(self, number: int, value: Value) -> bool:
        """Whether a value's pixels are read by nothing else when a stage adds them to its result, and not after it."""
        level = self._depths[number]
        if self.ends[value] != End(level):
            return False
        beside = [n for n in self.levels[level].stages if n != number and any(v == value for v, _ in self._reads(n))]
        return not beside and sum(v == value for v, waits in self._reads(number) if not waits) == 1

    @property
    def gain(self) -> float:
        """About how many times as fast as direct convolutions it is: RRDBNet's and the compact network's were measured.

        1 where it would not be: other stages see neighbours, or are as many, for which tiles are joined and cut again.
        """
        others = [stage.op for number, stage in enumerate(self.program.stages) if number not in self.read_from]
        if any(op.reach for op in others) or len(self.read_from) <= len(others) + 1:
            return 1
        return _GAIN_OF_DENSE if any(len(stack.readers) > 2 for stack in self.stacks) else _GAIN

    def plan(self, height: int, width: int, memory_bytes: int) -> Plan | None:
        """The way that needs the least memory, with stripes as large as is good for the speed; None: it needs more.

        All levels as one group hold some stripes of every level, whatever the height. Where no stack is alive from one
        level to the next, the whole picture can wait, which is less for deep networks and pictures not too large.
        """
        tiles = _TILES_AT_ONCE
        while True:
            stripes = stripes_of(height, width, tiles)
            plans = [Plan(stripes, groups) for groups in ([(0, len(self.levels) - 1)], self._cut())]
            needed = [self.bytes_needed(plan) for plan in plans]
            if min(needed) <= memory_bytes:
                return plans[needed.index(min(needed))]
            if tiles <= min(_FEWEST_TILES, stripes[0][1].tiles):
                return None
            tiles //= 2

    def _cut(self) -> list[tuple[int, int]]:
        """As many groups of levels as there can be: no stack is read in two of them."""
        spans = [(min(self._depths[v.stage] for v in s.members) + 1, e.level) for s, e in self._stacks_with_ends()]
        starts = [n for n in range(len(self.levels)) if not any(first < n <= last for first, last in spans)]
        return list(zip(starts, [start - 1 for start in starts[1:]] + [len(self.levels) - 1], strict=True))

    def bytes_needed(self, plan: Plan) -> int:
        """What is held for a picture; arrays, once made, are kept to be used again."""
        outputs = {self.channels_of(Value(reader)) for reader in self.read_from}
        joined = [source for n, s in enumerate(self.program.stages) for source in s.sources()[n in self.read_from :]]
        sources = [*joined, *(Value(n) for n in range(-1, len(self.program.stages)))]
        widest = max(map(self.program.channels_of, sources))
        always = PRODUCTS * sum(outputs) + (SIDE * REACH + 4 * PIXELS) * widest
        held, total = self._held(), 0
        for tiles, count in Counter(tiling.tiles for _, tiling in plan.stripes).items():
            most = {shape: _most_of(spans, count, plan.groups) for shape, spans in held.items()}
            total += tiles * (always + sum(planes * channels * most[planes, channels] for planes, channels in most))
        return 4 * total

    def _held(self) -> dict[tuple[int, int], list[tuple[int, End]]]:
        """(planes, channels) of an array -> of each value or stack of this shape, from which level to when it is."""
        held: dict[tuple[int, int], list[tuple[int, End]]] = defaultdict(list)
        for value, end in self.ends.items():
            held[PIXELS, self.channels_of(value)].append((self._depths[value.stage], end))
        for stack, end in self._stacks_with_ends():
            start = min(self._depths[value.stage] for value in stack.members) + 1
            held[PRODUCTS, self.channels_of(stack)].append((start, end))
        return held

    def _stacks_with_ends(self) -> list[tuple[Stack, End]]:
        return list(zip(self.stacks, self.stack_ends, strict=True))

    def channels_of(self, held: Value | Stack) -> int:
        """A stack's: the ones that stand for the bias, and the members'."""
        if isinstance(held, Value):
            return self.program.channels_of(held)
        return 1 + sum(map(self.program.channels_of, held.members))

    @cached_property
    def kernels(self) -> dict[int, Tensor]:
        """Of every convolution that reads a stack, in the stack's order: (36, out, 1 + in)."""
        return {reader: self._kernel(reader, self.stacks[which]) for reader, which in self.read_from.items()}

    def _kernel(self, reader: int, stack: Stack) -> Tensor:
        stage = self.program.stages[reader]
        assert isinstance(stage.op, Convolve)
        read = leaves(stage.source)
        parts = stage.op.weight.split([self.program.channels_of(value) for value in read], 1)
        given = dict(zip(read, parts, strict=True))
        weight = torch.cat([given[value] for value in stack.members[: len(read)]], 1)
        bias = stage.op.bias if stage.op.bias is not None else weight.new_zeros(len(weight))
        return transformed_kernel(weight, bias)


def _most_of(spans: Sequence[tuple[int, End]], count: int, groups: Sequence[tuple[int, int]]) -> int:
    """How many arrays of one shape `count` stripes hold at once at most; those of several groups they hold together."""
    most = 0
    for first, last in groups:
        here = [(start, end) for start, end in spans if start <= last and end.level >= first]
        inside = [(start, end) for start, end in here if start >= first and end.level <= last]
        most = max(most, count * (len(here) - len(inside)) + _most_inside(inside, count))
    return most


def _most_inside(spans: Sequence[tuple[int, End]], count: int) -> int:
    """The same within a group, where each stripe is one level behind the one above it."""
    if not spans:
        return 0
    lowest = min(start for start, _ in spans)
    of_level = [0] * (3 + max(end.level for _, end in spans) - lowest)
    for start, end in spans:
        of_level[start - lowest] += 1
        of_level[end.level + end.back + 1 - lowest] -= 1
    up_to = [0, *accumulate(accumulate(of_level))]
    return max(up_to[min(start + count, len(up_to) - 1)] - up_to[start] for start in range(len(up_to)))


def stripes_of(height: int, width: int, tiles: int) -> Stripes:
    """Stripes of at most so many tiles, or of one row of them, and about as high."""
    down, most = ceil(height / SIDE), max(1, tiles // ceil(width / SIDE))
    rows = SIDE * ceil(down / ceil(down / most))
    parts = [slice(start, min(height, start + rows)) for start in range(0, height, rows)]
    whole, last = Tiling(parts[0].stop, width), Tiling(parts[-1].stop - parts[-1].start, width)
    return [(part, whole) for part in parts[:-1]] + [(parts[-1], whole if len(parts) == 1 else last)]


def _stacks_of(program: RowProgram) -> list[Stack]:
    """Convolutions that read fronts of one another, together."""
    stacks: list[Stack] = []
    for number, stage in enumerate(program.stages):
        members = _members(program, stage)
        if members is None:
            continue
        for stack in stacks:
            common = min(len(members), len(stack.members))
            if members[:common] == stack.members[:common]:
                stack.members = max(members, stack.members, key=len)
                break
        else:
            stack = Stack(members)
            stacks.append(stack)
        stack.readers.append(number)
    return stacks


def _members(program: RowProgram, stage: Node) -> tuple[Value, ...] | None:
    """What a convolution reads, oldest first, if it is one that Winograd's algorithm is for.

    Those that read the picture alone are, and the last one, although their channels are few: they are tiles already.
    """
    op, members = stage.op, leaves(stage.source)
    if not isinstance(op, Convolve) or op.groups != 1 or op.dilation != (1, 1) or op.weight.shape[2:] != (3, 3):
        return None
    if program.scale_of(stage.source) != 1 or len(set(members)) < len(members):
        return None
    counts = [program.channels_of(value) for value in members if value != PICTURE]
    if stage is not program.stages[-1]:
        counts.append(op.weight.shape[0])
    if min(counts, default=_LEAST_CHANNELS) < _LEAST_CHANNELS:
        return None
    return tuple(sorted(members, key=lambda value: value.stage))
