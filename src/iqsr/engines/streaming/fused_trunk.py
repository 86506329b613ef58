"""A network's trunk run over the whole picture at once, by fused convolutions, where it fits into memory.

Dense connections read the same channels again and again, each time with a few more behind them. Joining them for every
reader takes a twentieth of the time of the arithmetic. Here values that are read together lie on one stack, an array of
blocks of channels (blocks, H, W, channels of a block). The first k values are the front of that array, in one piece,
and a convolution over it is one with three axes, whose kernel is as deep as there are blocks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import gcd

import torch
from torch import Tensor

from iqsr.engines.streaming.ops import Convolve
from iqsr.engines.streaming.program import INPUT, Joined, ProgramStage, RowProgram, Source, Value, leaves
from iqsr.engines.streaming.stream import plus
from iqsr.kernels.fused_convolution import FusedConvolution
from iqsr.kernels.stacks import Stack, plan_stacks

_LEAST_BLOCK_CHANNELS = 16
"""Convolutions over thinner blocks are slow."""


@dataclass
class _BlockStack:
    """A stack whose channels are stored in blocks."""

    stack: Stack[Value]
    block: int
    """Channels of a block."""
    dtype: torch.dtype
    """The coarsest type of the readers' weights; values that no convolution made may be of a finer type."""

    def blocks(self, program: RowProgram, members: int) -> int:
        """How many blocks the first `members` values take."""
        return sum(program.channels_of(value) for value in self.stack.members[:members]) // self.block


class FusedTrunk:
    """Runs a program of scale 1 whose dense connections are stacked. All its convolutions must be fused ones."""

    def __init__(self, program: RowProgram) -> None:
        self._program = program
        self._stacks = _stacks_of(program)
        self._kernels: dict[int, FusedConvolution] = {}
        self._stack_read_by: dict[int, int] = {}
        self._stacks_of_value: dict[Value, list[int]] = defaultdict(list)
        for which, stacked in enumerate(self._stacks):
            for value in stacked.stack.members:
                self._stacks_of_value[value].append(which)
            for number in stacked.stack.readers:
                self._stack_read_by[number] = which
                self._kernels[number] = _with_depth(_convolution(program.stages[number]), stacked.block)
        self._last_reader: dict[Value, int] = {}
        for number, stage in enumerate(program.stages):
            apart = stage.sources()[1:] if number in self._stack_read_by else stage.sources()
            self._last_reader |= {leaf: number for source in apart for leaf in leaves(source)}

    @property
    def stacked(self) -> bool:
        """Whether there are dense connections to stack."""
        return bool(self._stacks)

    def bytes_needed(self, height: int, width: int) -> int:
        """The most memory that a picture of this size takes at once (an upper estimate)."""
        program = self._program
        widest = max((program.channels_of(Joined(stacked.stack.members)) for stacked in self._stacks), default=0)
        made = {Value(number): number for number in range(-1, len(program.stages))}
        held = [
            sum(program.channels_of(v) for v, last in self._last_reader.items() if made[v] <= number <= last)
            for number in range(len(program.stages))
        ]
        itemsize = max(stage.op.weight.itemsize for stage in program.stages if isinstance(stage.op, Convolve))
        return (2 * widest + max(held) + 128) * itemsize * height * width

    def run(self, bands: Iterable[Tensor], report: Callable[[float], None]) -> Iterator[Tensor]:
        """Run the picture through the trunk, whole.

        Args:
            bands: (1, C, any height, W), from top to bottom.
            report: Called with the share of the stages that are done, from 0 to 1.

        Yields:
            The last stage's result, as a single band.
        """
        yield self._result(torch.cat(list(bands), 2), report)

    def _result(self, picture: Tensor, report: Callable[[float], None]) -> Tensor:
        values, stacks, spare = {Value(-1): picture}, dict[int, Tensor](), list[Tensor]()
        result = picture
        for number, stage in enumerate(self._program.stages):
            result = self._run(number, stage, values, stacks)
            for which in self._stacks_of_value.get(Value(number), ()):
                self._write(which, Value(number), result, stacks, spare)
            if Value(number) in self._last_reader:
                values[Value(number)] = result
            values = {value: x for value, x in values.items() if self._last_reader[value] > number}
            for which in [which for which in stacks if self._stacks[which].stack.readers[-1] == number]:
                spare = [stacks.pop(which)]  # still in the cache; the next stack mostly has the same shape
            report((number + 1) / len(self._program.stages))
        return result

    def _run(self, number: int, stage: ProgramStage, values: dict[Value, Tensor], stacks: dict[int, Tensor]) -> Tensor:
        changes = stage.then
        if number in self._stack_read_by:
            first = changes[0] if changes else None
            added = values[first] if isinstance(first, Value) else None
            x = self._convolve(number, stacks[self._stack_read_by[number]], added)
            changes = changes if added is None else changes[1:]
        else:
            x = _joined(stage.source, values)
            x = stage.op.run(x, 0, x.shape[2], 0)
        for change in changes:
            x = plus(x, _joined(change, values)) if isinstance(change, Value | Joined) else change(x)
        return x

    def _convolve(self, number: int, stack: Tensor, added: Tensor | None) -> Tensor:
        """A convolution that reads the front of a stack, plus `added`."""
        stage = self._program.stages[number]
        op, which = _convolution(stage), self._stack_read_by[number]
        depth = self._stacks[which].blocks(self._program, len(leaves(stage.source)))
        x = stack[:depth].permute(3, 0, 1, 2).unsqueeze(0).to(op.weight.dtype)  # the last convolution may be finer
        other = None
        if added is not None and op.slope == 1 and added.dtype == x.dtype:
            other = added.unsqueeze(2)
        y = self._kernels[number](x, (0, *op.margins), op.slope, other)[:, :, 0]
        return y if other is not None or added is None else plus(y, added)

    def _write(self, which: int, value: Value, x: Tensor, stacks: dict[int, Tensor], spare: list[Tensor]) -> None:
        """Copy a new value to its place on a stack."""
        stacked, (height, width) = self._stacks[which], x.shape[2:]
        members = stacked.stack.members
        if which not in stacks:
            shape = (stacked.blocks(self._program, len(members)), height, width, stacked.block)
            fits = bool(spare) and spare[0].shape == shape and spare[0].dtype == stacked.dtype
            stacks[which] = spare.pop() if fits else x.new_empty(shape, dtype=stacked.dtype)
        first = stacked.blocks(self._program, members.index(value))
        blocks = x[0].permute(1, 2, 0).unflatten(2, (-1, stacked.block)).permute(2, 0, 1, 3)
        stacks[which][first : first + blocks.shape[0]].copy_(blocks)


def _joined(source: Source, values: dict[Value, Tensor]) -> Tensor:
    if isinstance(source, Value):
        return values[source]
    return torch.cat([_joined(part, values) for part in source.parts], 1)


def _with_depth(op: Convolve, block: int) -> FusedConvolution:
    """The convolution with its input channels split into (blocks, block)."""
    weight = op.weight.unflatten(1, (-1, block)).transpose(1, 2)
    return FusedConvolution(weight.contiguous(memory_format=torch.channels_last_3d), op.bias, (1, *op.dilation))


def _convolution(stage: ProgramStage) -> Convolve:
    assert isinstance(stage.op, Convolve)
    return stage.op


def _stacks_of(program: RowProgram) -> list[_BlockStack]:
    """The stacks of all convolutions that read joined values in blocks of enough channels."""
    reads = [(number, _joined_values(program, stage)) for number, stage in enumerate(program.stages)]
    stacks: list[_BlockStack] = []
    for stack in plan_stacks((number, values) for number, values in reads if values is not None):
        dtypes = [_convolution(program.stages[number]).weight.dtype for number in stack.readers]
        coarsest = min(torch.float32, *dtypes, key=lambda dtype: dtype.itemsize)
        stacks.append(_BlockStack(stack, _block_channels(program, stack.members), coarsest))
    return stacks


def _joined_values(program: RowProgram, stage: ProgramStage) -> tuple[Value, ...] | None:
    """What a stage reads, if it is a convolution over joined values that can lie on a stack; else None."""
    if not isinstance(stage.source, Joined) or not isinstance(stage.op, Convolve) or stage.op.groups != 1:
        return None
    values = tuple(leaves(stage.source))
    once = len(set(values)) == len(values) and INPUT not in values
    return values if once and _block_channels(program, values) >= _LEAST_BLOCK_CHANNELS else None


def _block_channels(program: RowProgram, values: tuple[Value, ...]) -> int:
    """Channels of a block, of which each value takes a whole number."""
    return gcd(*(program.channels_of(value) for value in values))
