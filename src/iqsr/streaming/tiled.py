"""A network's part before the enlargement, run over the whole picture at once, with its convolutions by Winograd.

Every value that convolutions read is transformed once. In a dense block many read it: what they read together lies in
one array, oldest first, and each takes the front that it needs. One product with all of it is quicker than sums that
every value adds to when it is made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.streaming.ops import Convolve
from iqsr.streaming.program import Joined, RowProgram, Source, Stage, Value, leaves
from iqsr.streaming.stream import plus
from iqsr.winograd import PIXELS, PRODUCTS, SIDE, Tiling, cook_toom, kernel_to_tiles, run

_LEAST_CHANNELS = 16
"""With fewer, the transforms take longer than the multiplications they save."""
_ONE = torch.outer(*[torch.linalg.pinv(cook_toom().outputs).sum(1)] * 2).flatten()
"""What becomes 1 in all of a tile's pixels."""


def has_winograd(device: torch.device, dtype: torch.dtype) -> bool:
    """Where it was measured to be faster than direct convolutions: in fp32, with MKL's products of matrices.

    bf16 has too few digits for the transforms, and where a CPU computes in it, direct convolutions are faster.
    """
    return device.type == "cpu" and dtype == torch.float32 and torch.backends.mkl.is_available()


def transformed_kernel(weight: Tensor, bias: Tensor) -> Tensor:
    """(out, in, 3, 3) -> (36, out, 1 + in); the bias (out,) is that of a first input channel, whose data are ones."""
    of_bias = torch.outer(_ONE, bias.double())[..., None]
    return torch.cat([of_bias, kernel_to_tiles(weight.double())], 2).float()


@dataclass
class _Stack:
    """Convolutions whose inputs, oldest first, are fronts of one list of values."""

    members: tuple[Value, ...]
    readers: list[int] = field(default_factory=list)
    """Stages."""
    last_reader: int = 0


class TiledTrunk:
    """Runs a program of scale 1, fp32, on a CPU. What is no convolution of 3x3 runs as it would elsewhere."""

    def __init__(self, program: RowProgram) -> None:
        self._program = program
        self._stacks = _stacks_of(program)
        self._read_from = {reader: which for which, stack in enumerate(self._stacks) for reader in stack.readers}
        self._written_to: dict[Value, list[int]] = defaultdict(list)
        for which, stack in enumerate(self._stacks):
            for value in stack.members:
                self._written_to[value].append(which)
        self._last_reader: dict[Value, int] = {}
        for number, stage in enumerate(program.stages):
            apart = stage.sources()[1:] if number in self._read_from else stage.sources()
            self._last_reader |= {leaf: number for source in apart for leaf in leaves(source)}

    @property
    def stacked(self) -> bool:
        """Whether there are dense connections to gain from."""
        return any(len(stack.members) > 1 for stack in self._stacks)

    def bytes_needed(self, height: int, width: int) -> int:
        """The most that is held at once for a picture of this size (an upper estimate where all blocks are alike).

        Arrays are kept to be used again; those that blocks of other widths leave behind are not counted.
        """
        program, tiling = self._program, Tiling(height, width)
        most, widest = 0, max(program.channels_of(Value(n)) for n in range(-1, len(program.stages)))
        for number in range(len(program.stages)):
            held = sum(program.channels_of(v) for v, last in self._last_reader.items() if v.stage <= number <= last)
            live = [stack for stack in self._stacks if stack.members[0].stage <= number <= stack.last_reader]
            most = max(most, PIXELS * (held + 3 * widest) + PRODUCTS * sum(map(self._channels, live)))
        return 4 * tiling.tiles * (most + (PRODUCTS + SIDE * (SIDE + 2)) * widest)

    def run(self, picture: Tensor, report: Callable[[float], None]) -> Tensor:
        """(1, C, H, W) -> the last stage's result; `report` gets the share of the stages that are done."""
        state = _State(Tiling(*picture.shape[2:]), {Value(-1): picture})
        result = picture
        for number, stage in enumerate(self._program.stages):
            result, value = self._run(number, stage, state), Value(number)
            for which in [which for which in state.stacks if self._stacks[which].last_reader == number]:
                state.give_back(state.stacks.pop(which))
            if value in self._written_to:
                result = state.as_tiles(result)
                self._write(value, result, state)
            if value in self._last_reader:
                state.values[value] = result
            elif number + 1 < len(self._program.stages):
                state.give_back(result)
            for dead in [v for v in state.values if self._last_reader[v] <= number]:
                gone = state.values.pop(dead)
                if gone is not result:
                    state.give_back(gone)
            report((number + 1) / len(self._program.stages))
        return state.as_picture(result)

    def _run(self, number: int, stage: Stage, state: _State) -> Tensor:
        changes = stage.then
        if number in self._read_from:
            x, done = self._convolved(number, stage, state)
            changes = changes[done:]
        else:
            x = state.picture_of(stage.source)
            x = stage.op.run(x, 0, x.shape[2], 0)
        for change in changes:
            x = plus(x, state.like(x, change)) if isinstance(change, Value | Joined) else change(x)
        return x

    def _convolved(self, number: int, stage: Stage, state: _State) -> tuple[Tensor, int]:
        """The convolution's result as tiles, and how many of the stage's changes are in it."""
        assert isinstance(stage.op, Convolve)
        kernel = self._kernels[number]
        products = state.take(PRODUCTS, kernel.shape[1])
        torch.bmm(kernel, state.stacks[self._read_from[number]][:, : kernel.shape[2]], out=products)
        first = stage.then[0] if stage.then and stage.op.slope == 1 else None
        added = state.like(products, first) if isinstance(first, Value) else None
        reread = any(first in leaves(source) for source in stage.sources()[2:]) if isinstance(first, Value) else False
        dies = isinstance(first, Value) and self._last_reader[first] == number and not reread
        out = added if added is not None and dies else state.take(PIXELS, kernel.shape[1])
        run(state.tiling.back(products, out, added))
        state.give_back(products)
        if stage.op.slope != 1:
            F.leaky_relu_(out, stage.op.slope)
        return out, 0 if added is None else 1

    def _write(self, value: Value, tiles: Tensor, state: _State) -> None:
        """Transform a new value to its place in all stacks that it belongs to."""
        run(state.tiling.clear_beyond_edge(tiles))
        first: Tensor | None = None
        for which in self._written_to[value]:
            stack = self._stacks[which]
            if which not in state.stacks:
                state.stacks[which] = state.take(PRODUCTS, self._channels(stack))
                state.stacks[which][:, 0] = 1
            start = 1 + self._width(stack.members[: stack.members.index(value)])
            place = state.stacks[which][:, start : start + tiles.shape[1]]
            if first is None:
                run(state.tiling.forward(tiles, place))
                first = place
            else:
                place.copy_(first)

    @cached_property
    def _kernels(self) -> dict[int, Tensor]:
        """Of every convolution that reads a stack, in the stack's order: (36, out, 1 + in)."""
        return {reader: self._kernel(reader, self._stacks[which]) for reader, which in self._read_from.items()}

    def _kernel(self, reader: int, stack: _Stack) -> Tensor:
        stage = self._program.stages[reader]
        assert isinstance(stage.op, Convolve)
        read = leaves(stage.source)
        parts = stage.op.weight.split([self._program.channels_of(value) for value in read], 1)
        given = dict(zip(read, parts, strict=True))
        weight = torch.cat([given[value] for value in stack.members[: len(read)]], 1)
        bias = stage.op.bias if stage.op.bias is not None else weight.new_zeros(len(weight))
        return transformed_kernel(weight, bias)

    def _channels(self, stack: _Stack) -> int:
        """The ones that stand for the bias, and the members'."""
        return 1 + self._width(stack.members)

    def _width(self, values: Sequence[Value]) -> int:
        return sum(map(self._program.channels_of, values))


class _State:
    """What a run holds."""

    def __init__(self, tiling: Tiling, values: dict[Value, Tensor]) -> None:
        self.tiling = tiling
        self.values = values
        self.stacks: dict[int, Tensor] = {}
        """(36, channels, T), the first channel being ones."""
        self._spare: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)

    def take(self, planes: int, channels: int) -> Tensor:
        """An array (planes, channels, T), with whatever it was last used for in it: its memory is warm."""
        spare = self._spare[planes, channels]
        return spare.pop() if spare else torch.empty(planes, channels, self.tiling.tiles)

    def give_back(self, x: Tensor) -> None:
        """Let it be taken again, if it is of that kind."""
        if x.ndim == 3 and x.is_contiguous():
            self._spare[tuple(x.shape[:2])].append(x)

    def as_tiles(self, x: Tensor) -> Tensor:
        return x if x.ndim == 3 else self.tiling.cut(x)

    def as_picture(self, x: Tensor) -> Tensor:
        return x if x.ndim == 4 else self.tiling.joined(x)

    def picture_of(self, source: Source) -> Tensor:
        parts = [self.as_picture(self.values[leaf]) for leaf in leaves(source)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def like(self, x: Tensor, source: Source) -> Tensor:
        """The source's values, as tiles where x are tiles."""
        if x.ndim == 4:
            return self.picture_of(source)
        parts = [self.as_tiles(self.values[leaf]) for leaf in leaves(source)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _stacks_of(program: RowProgram) -> list[_Stack]:
    """Convolutions that read fronts of one another, together."""
    stacks: list[_Stack] = []
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
            stack = _Stack(members)
            stacks.append(stack)
        stack.readers.append(number)
        stack.last_reader = number
    return stacks


def _members(program: RowProgram, stage: Stage) -> tuple[Value, ...] | None:
    """What a convolution reads, oldest first, if it is one that Winograd's algorithm is for."""
    op, members = stage.op, leaves(stage.source)
    if not isinstance(op, Convolve) or op.groups != 1 or op.dilation != (1, 1) or op.weight.shape[2:] != (3, 3):
        return None
    if program.scale_of(stage.source) != 1 or Value(-1) in members or len(set(members)) < len(members):
        return None
    if min(op.weight.shape[0], *(program.channels_of(value) for value in members)) < _LEAST_CHANNELS:
        return None
    return tuple(sorted(members, key=lambda value: value.stage))
