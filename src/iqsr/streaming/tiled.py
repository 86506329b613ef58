"""A network's part before the enlargement with its convolutions by Winograd: what it reads, when, and what it holds.

Every value that convolutions read is transformed once. In a dense block many read it: what they read together lies in
one array, oldest first, and each takes the front that it needs. One product with all of it is quicker than sums that
every value adds to when it is made. Pictures lie in stripes; `iqsr.streaming.wave` runs over them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from iqsr.streaming.ops import Convolve
from iqsr.streaming.program import PICTURE, RowProgram, Stage, Value, leaves
from iqsr.winograd import PIXELS, PRODUCTS, REACH, SIDE, Tiling, cook_toom, kernel_to_tiles

_LEAST_CHANNELS = 16
"""With fewer, the transforms take longer than the multiplications they save."""
_TILES_AT_ONCE, _FEWEST_TILES = 1024, 128
"""With more, what the steps of a convolution hand to one another no longer fits into the cache."""
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
    """When a stripe of a value or of a stack is done with: `back` stripes after it, the stage has had its turn."""

    stage: int
    back: int


class TiledTrunk:
    """A program of scale 1, fp32, on a CPU. Between convolutions of 3x3 there may be stages that see no neighbours.

    A stage takes its turns stripe by stripe, `depths[stage]` turns after the picture's stripe came: convolutions wait
    for the stripe below.
    """

    def __init__(self, program: RowProgram) -> None:
        self.program = program
        self.stacks = _stacks_of(program)
        self.read_from = {reader: which for which, stack in enumerate(self.stacks) for reader in stack.readers}
        self.written_to: dict[Value, list[int]] = defaultdict(list)
        for which, stack in enumerate(self.stacks):
            for value in stack.members:
                self.written_to[value].append(which)
        self.depths = {-1: 0}
        for number in range(len(program.stages)):
            self.depths[number] = max(self.depths[v.stage] + waits for v, waits in self._reads(number))
        self.ends = self._value_ends()
        self.stack_ends = [self._latest([End(reader, 0) for reader in stack.readers]) for stack in self.stacks]

    def _reads(self, number: int) -> list[tuple[Value, int]]:
        """The values that a stage reads, each with how many stripes it waits for it."""
        first, *others = self.program.stages[number].sources()
        waits = int(number in self.read_from)
        return [(v, waits) for v in leaves(first)] + [(v, 0) for source in others for v in leaves(source)]

    def _value_ends(self) -> dict[Value, End]:
        """Of a value's pixels: the last reader, or its own transforms, which see the stripes above and below."""
        ends: dict[Value, list[End]] = {v: [End(v.stage, 2)] for v in self.written_to}
        for number in range(len(self.program.stages)):
            for value, waits in self._reads(number):
                if not waits:
                    ends.setdefault(value, []).append(End(number, 0))
        last = Value(len(self.program.stages) - 1)
        return {value: self._latest(found) for value, found in ends.items() if value != last}

    def _latest(self, ends: Sequence[End]) -> End:
        return max(ends, key=lambda end: (self.depths[end.stage] + end.back, self.depths[end.stage], end.stage))

    @property
    def saves(self) -> bool:
        """Whether most of its arithmetic is Winograd's, and no other stage sees neighbours."""
        ops = [(number, stage.op) for number, stage in enumerate(self.program.stages)]
        if any(op.reach and number not in self.read_from for number, op in ops):
            return False
        return sum(number in self.read_from for number, _ in ops) > 1

    @property
    def dense(self) -> bool:
        """Whether dense connections read the same values again and again, which saves most."""
        return self.saves and any(len(stack.readers) > 2 for stack in self.stacks)

    @property
    def deepest(self) -> int:
        """The last stage's depth, the greatest."""
        return max(self.depths.values())

    def stripes(self, height: int, width: int, memory_bytes: int) -> list[tuple[slice, Tiling]] | None:
        """A picture's rows, cut into stripes of few enough tiles for the memory; None where no stripes are.

        Thinner ones need less, since a stage holds a few stripes at most; but the products of matrices are slower.
        """
        tiles = _TILES_AT_ONCE
        while True:
            stripes = _stripes(height, width, tiles)
            if self.bytes_needed(stripes) <= memory_bytes:
                return stripes
            if tiles <= min(_FEWEST_TILES, stripes[0][1].tiles):
                return None
            tiles //= 2

    def bytes_needed(self, stripes: Sequence[tuple[slice, Tiling]]) -> int:
        """What is held for a picture in these stripes; arrays, once made, are kept to be used again."""
        count, tiles = len(stripes), max(tiling.tiles for _, tiling in stripes)
        held = self._held()
        most = sum(planes * channels * _most_of(changes, count) for (planes, channels), changes in held.items())
        outputs = {self.channels_of(Value(reader)) for reader in self.read_from}
        widest = max(self.channels_of(Value(n)) for n in range(-1, len(self.program.stages)))
        one = PRODUCTS * sum(outputs) + (SIDE * REACH + 3 * PIXELS) * widest
        return 4 * tiles * (most + one * len({tiling.tiles for _, tiling in stripes}))

    def _held(self) -> dict[tuple[int, int], list[tuple[int, int]]]:
        """(planes, channels) of an array -> for each value or stack of this shape, from which depth to which it is."""
        held: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for value, end in self.ends.items():
            held[PIXELS, self.channels_of(value)].append((self.depths[value.stage], self.depths[end.stage] + end.back))
        for stack, end in zip(self.stacks, self.stack_ends, strict=True):
            start = min(self.depths[value.stage] for value in stack.members) + 1
            held[PRODUCTS, self.channels_of(stack)].append((start, self.depths[end.stage]))
        return held

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


def _most_of(spans: Sequence[tuple[int, int]], count: int) -> int:
    """How many arrays of one shape `count` stripes, each a depth behind the one above, hold at once at most."""
    at_depth = [0] * (2 + max(last for _, last in spans))
    for first, last in spans:
        at_depth[first] += 1
        at_depth[last + 1] -= 1
    up_to = [0, *accumulate(accumulate(at_depth))]
    return max(up_to[min(start + count, len(up_to) - 1)] - up_to[start] for start in range(len(up_to)))


def _stripes(height: int, width: int, tiles: int) -> list[tuple[slice, Tiling]]:
    """Stripes of at most so many tiles, or of one row of them, and about as high, each with its tiling."""
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


def _members(program: RowProgram, stage: Stage) -> tuple[Value, ...] | None:
    """What a convolution reads, oldest first, if it is one that Winograd's algorithm is for.

    Those that read the picture alone are, although its channels are few: it is there as tiles already.
    """
    op, members = stage.op, leaves(stage.source)
    if not isinstance(op, Convolve) or op.groups != 1 or op.dilation != (1, 1) or op.weight.shape[2:] != (3, 3):
        return None
    if program.scale_of(stage.source) != 1 or len(set(members)) < len(members):
        return None
    read = [program.channels_of(value) for value in members if value != PICTURE]
    if min([op.weight.shape[0], *read]) < _LEAST_CHANNELS:
        return None
    return tuple(sorted(members, key=lambda value: value.stage))
