"""A network's part before the enlargement, run over the whole picture at once where that fits into memory.

Dense connections read the same channels again and again, each time with a few more behind them. Joining them for every
reader takes as long as a twentieth of the arithmetic. Here the channels that are read together lie in one array of
blocks, (blocks, H, W, channels of a block): what the first k values are is the front of that array, in one piece, and a
convolution over it is one with three axes, whose kernel is as deep as there are blocks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import gcd

import torch
from torch import Tensor

from iqsr.engines.streaming.ops import Convolve
from iqsr.engines.streaming.program import Joined, Node, RowProgram, Source, Value, leaves
from iqsr.engines.streaming.stream import plus
from iqsr.kernels.fused_convolution import FusedConvolution

_LEAST_BLOCK = 16
"""Channels; convolutions over thinner blocks are slow."""


@dataclass
class _Stack:
    """Values that are read together, in the order of their channels."""

    members: tuple[Value, ...]
    block: int = 0
    """Channels of a block."""
    last_reader: int = 0
    dtype: torch.dtype = torch.float32
    """Of the readers' weights, the coarsest: a value that no convolution made, such as the picture's, may be finer."""

    def blocks(self, program: RowProgram, members: int) -> int:
        """How many blocks the first `members` values take."""
        return sum(program.channels_of(value) for value in self.members[:members]) // self.block


class Trunk:
    """Runs a program of scale 1 whose dense connections are stacked. Its convolutions must be fused ones."""

    def __init__(self, program: RowProgram) -> None:
        self._program = program
        self._stacks = _stacks_of(program)
        self._kernels: dict[int, FusedConvolution] = {}
        self._stack_read_by: dict[int, int] = {}
        self._written_to: dict[Value, list[int]] = defaultdict(list)
        for number, stage in enumerate(program.stages):
            which = _readable(self._stacks, stage)
            if which is not None:
                self._stack_read_by[number] = which
                stack = self._stacks[which]
                stack.last_reader = number
                assert isinstance(stage.op, Convolve)
                stack.dtype = min(stack.dtype, stage.op.weight.dtype, key=lambda dtype: dtype.itemsize)
                self._kernels[number] = _deep(stage.op, stack.block)
        for which, stack in enumerate(self._stacks):
            for value in stack.members:
                self._written_to[value].append(which)
        self._last_reader: dict[Value, int] = {}
        for number, stage in enumerate(program.stages):
            apart = stage.sources()[1:] if number in self._stack_read_by else stage.sources()
            self._last_reader |= {leaf: number for source in apart for leaf in leaves(source)}

    @property
    def stacked(self) -> bool:
        """Whether there are dense connections to stack."""
        return bool(self._stacks)

    def bytes_needed(self, height: int, width: int) -> int:
        """The most that is held at once for a picture of this size (an upper estimate)."""
        program = self._program
        widest = max((program.channels_of(Joined(stack.members)) for stack in self._stacks), default=0)
        made = {Value(number): number for number in range(-1, len(program.stages))}
        held = [
            sum(program.channels_of(v) for v, last in self._last_reader.items() if made[v] <= number <= last)
            for number in range(len(program.stages))
        ]
        itemsize = max(stage.op.weight.itemsize for stage in program.stages if isinstance(stage.op, Convolve))
        return (2 * widest + max(held) + 128) * itemsize * height * width

    def run(self, bands: Iterable[Tensor], report: Callable[[float], None]) -> Iterator[Tensor]:
        """All of a picture (1, C, H, W) -> the last stage's result; `report` gets the share of stages that are done."""
        yield self._result(torch.cat(list(bands), 2), report)

    def _result(self, picture: Tensor, report: Callable[[float], None]) -> Tensor:
        values, stacks, spare = {Value(-1): picture}, dict[int, Tensor](), list[Tensor]()
        result = picture
        for number, stage in enumerate(self._program.stages):
            result = self._run(number, stage, values, stacks)
            for which in self._written_to.get(Value(number), ()):
                self._write(which, Value(number), result, stacks, spare)
            if Value(number) in self._last_reader:
                values[Value(number)] = result
            values = {value: x for value, x in values.items() if self._last_reader[value] > number}
            for which in [which for which in stacks if self._stacks[which].last_reader == number]:
                spare = [stacks.pop(which)]  # most networks repeat one kind of block: its memory is warm
            report((number + 1) / len(self._program.stages))
        return result

    def _run(self, number: int, stage: Node, values: dict[Value, Tensor], stacks: dict[int, Tensor]) -> Tensor:
        changes = stage.then
        if number in self._stack_read_by:
            first = changes[0] if changes else None
            added = values[first] if isinstance(first, Value) else None
            x = self._convolved(number, stacks[self._stack_read_by[number]], added)
            changes = changes if added is None else changes[1:]
        else:
            x = _joined(stage.source, values)
            x = stage.op.run(x, 0, x.shape[2], 0)
        for change in changes:
            x = plus(x, _joined(change, values)) if isinstance(change, Value | Joined) else change(x)
        return x

    def _convolved(self, number: int, stack: Tensor, added: Tensor | None) -> Tensor:
        stage = self._program.stages[number]
        op, which = stage.op, self._stack_read_by[number]
        assert isinstance(op, Convolve)
        depth = self._stacks[which].blocks(self._program, len(leaves(stage.source)))
        x = stack[:depth].permute(3, 0, 1, 2).unsqueeze(0).to(op.weight.dtype)  # the last layer's may be finer
        other = None
        if added is not None and op.slope == 1 and added.dtype == x.dtype:
            other = added.unsqueeze(2)
        y = self._kernels[number](x, (0, *op.margins), op.slope, other)[:, :, 0]
        return y if other is not None or added is None else plus(y, added)

    def _write(self, which: int, value: Value, x: Tensor, stacks: dict[int, Tensor], spare: list[Tensor]) -> None:
        """Copy a new value to its place in a stack."""
        stack, (height, width) = self._stacks[which], x.shape[2:]
        if which not in stacks:
            shape = (stack.blocks(self._program, len(stack.members)), height, width, stack.block)
            fits = bool(spare) and spare[0].shape == shape and spare[0].dtype == stack.dtype
            stacks[which] = spare.pop() if fits else x.new_empty(shape, dtype=stack.dtype)
        first = stack.blocks(self._program, stack.members.index(value))
        blocks = x[0].permute(1, 2, 0).unflatten(2, (-1, stack.block)).permute(2, 0, 1, 3)
        stacks[which][first : first + blocks.shape[0]].copy_(blocks)


def _joined(source: Source, values: dict[Value, Tensor]) -> Tensor:
    if isinstance(source, Value):
        return values[source]
    return torch.cat([_joined(part, values) for part in source.parts], 1)


def _deep(op: Convolve, block: int) -> FusedConvolution:
    """The convolution with its input channels split into (blocks, block)."""
    weight = op.weight.unflatten(1, (-1, block)).transpose(1, 2)
    return FusedConvolution(weight.contiguous(memory_format=torch.channels_last_3d), op.bias, (1, *op.dilation))


def _stacks_of(program: RowProgram) -> list[_Stack]:
    """For every joined source that is no other's front: the stack that it is read from."""
    stacks: list[_Stack] = []
    for stage in program.stages:
        members = _members(stage)
        if members is None or any(stack.members[: len(members)] == members for stack in stacks):
            continue
        longer = next((stack for stack in stacks if members[: len(stack.members)] == stack.members), None)
        if longer is None:
            stacks.append(_Stack(members))
        else:
            longer.members = members
    for stack in stacks:
        stack.block = gcd(*(program.channels_of(value) for value in stack.members))
    return [stack for stack in stacks if stack.block >= _LEAST_BLOCK]


def _members(stage: Node) -> tuple[Value, ...] | None:
    """What a convolution over joined values joins, each once."""
    if not isinstance(stage.source, Joined) or not isinstance(stage.op, Convolve) or stage.op.groups != 1:
        return None
    members = tuple(leaves(stage.source))
    return members if len(set(members)) == len(members) and Value(-1) not in members else None


def _readable(stacks: list[_Stack], stage: Node) -> int | None:
    members = _members(stage)
    if members is None:
        return None
    return next((n for n, stack in enumerate(stacks) if stack.members[: len(members)] == members), None)
