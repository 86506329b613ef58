"""A network's part before the enlargement, run over the whole picture at once, with its convolutions by Winograd.

Every value that convolutions read is transformed once. In a dense block many read it: what they read together lies in
one array, oldest first, and each takes the front that it needs. One product with all of it is quicker than sums that
every value adds to when it is made. Large pictures lie in stripes, through which each convolution goes in turn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.streaming.ops import Convolve
from iqsr.streaming.program import Joined, RowProgram, Source, Stage, Value, leaves
from iqsr.streaming.stream import plus
from iqsr.winograd import PIXELS, PRODUCTS, REACH, SIDE, Tiling, cook_toom, kernel_to_tiles, run

_LEAST_CHANNELS = 16
"""With fewer, the transforms take longer than the multiplications they save."""
_TILES_AT_ONCE = 1024
"""With more, what the steps of a convolution hand to one another no longer fits into the cache."""
_ONE = torch.outer(*[torch.linalg.pinv(cook_toom().outputs).sum(1)] * 2).flatten()
"""What becomes 1 in all of a tile's pixels."""


def has_winograd(device: torch.device, dtype: torch.dtype) -> bool:
    """Where it was measured to be faster than direct convolutions: in fp32, with MKL's products of matrices.

    In bf16 its rounding would be bearable, too; whether it is faster where a CPU computes in bf16 was not measured.
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


Tiles = list[Tensor]
"""One tensor a stripe, (16, channels, T) or, transformed, (36, channels, T)."""
Whole = Tensor | Tiles
"""All of a value: (1, C, H, W), or as tiles."""


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
        program, tilings = self._program, [tiling for _, tiling in _stripes(height, width)]
        most, widest = 0, max(program.channels_of(Value(n)) for n in range(-1, len(program.stages)))
        for number in range(len(program.stages)):
            held = sum(program.channels_of(v) for v, last in self._last_reader.items() if v.stage <= number <= last)
            read = sum(self._channels(s) for s in self._stacks if s.members[0].stage < number <= s.last_reader)
            written = sum(self._channels(s) for s in self._stacks if s.members[0].stage <= number < s.last_reader)
            most = max(most, PIXELS * (held + 3 * widest) + PRODUCTS * max(read, written))
        outputs = {program.channels_of(Value(reader)) for reader in self._read_from}
        of_a_stripe = PRODUCTS * sum(outputs) + SIDE * REACH * widest
        tiles = [tiling.tiles for tiling in tilings]
        return 4 * (most * sum(tiles) + of_a_stripe * sum(set(tiles)))

    def run(self, picture: Tensor, report: Callable[[float], None]) -> Tensor:
        """(1, C, H, W) -> the last stage's result; `report` gets the share of the stages that are done."""
        state = _State(_stripes(*picture.shape[2:]), {Value(-1): picture})
        result: Whole = picture
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
                if not (isinstance(gone, list) and gone[0] is result[0]):
                    state.give_back(gone)
            report((number + 1) / len(self._program.stages))
        state.forget_spare()
        return state.as_picture(result)

    def _run(self, number: int, stage: Stage, state: _State) -> Whole:
        if number in self._read_from:
            return [self._convolved(number, stage, state, at) for at in range(len(state.stripes))]
        x = state.picture_of(stage.source)
        x = stage.op.run(x, 0, x.shape[2], 0)
        for change in stage.then:
            x = plus(x, state.picture_of(change)) if isinstance(change, Value | Joined) else change(x)
        return x

    def _convolved(self, number: int, stage: Stage, state: _State, at: int) -> Tensor:
        """What the stage makes of one stripe, as tiles."""
        assert isinstance(stage.op, Convolve)
        kernel, tiling = self._kernels[number], state.stripes[at][1]
        products = state.take(PRODUCTS, kernel.shape[1], tiling)
        torch.bmm(kernel, state.stacks[self._read_from[number]][at][:, : kernel.shape[2]], out=products)
        first = stage.then[0] if stage.then and stage.op.slope == 1 else None
        added = state.stripe_of(first, at) if isinstance(first, Value) else None
        reread = any(first in leaves(source) for source in stage.sources()[2:]) if isinstance(first, Value) else False
        dies = isinstance(first, Value) and self._last_reader[first] == number and not reread
        out = added if added is not None and dies else state.take(PIXELS, kernel.shape[1], tiling)
        run(tiling.back(products, out, added))
        state.give_back([products])
        if stage.op.slope != 1:
            F.leaky_relu_(out, stage.op.slope)
        for change in stage.then[0 if added is None else 1 :]:
            out = plus(out, state.stripe_of(change, at)) if isinstance(change, Value | Joined) else change(out)
        return out

    def _write(self, value: Value, parts: Tiles, state: _State) -> None:
        """Transform a new value to its place in all stacks that it belongs to."""
        tilings = [tiling for _, tiling in state.stripes]
        for part, tiling in zip(parts, tilings, strict=True):
            run(tiling.clear_beyond_edge(part))
        places = [self._place(value, which, state) for which in self._written_to[value]]
        for at, (part, tiling) in enumerate(zip(parts, tilings, strict=True)):
            above = tilings[at - 1].lowest(parts[at - 1]) if at else None
            below = tilings[at + 1].topmost(parts[at + 1]) if at + 1 < len(parts) else None
            run(tiling.forward(part, places[0][at], above, below))
            for other in places[1:]:
                other[at].copy_(places[0][at])

    def _place(self, value: Value, which: int, state: _State) -> Tiles:
        """A value's channels of a stack, which is made for its first one."""
        stack = self._stacks[which]
        if which not in state.stacks:
            state.stacks[which] = [state.take(PRODUCTS, self._channels(stack), tiling) for _, tiling in state.stripes]
            for part in state.stacks[which]:
                part[:, 0] = 1
        start = 1 + self._width(stack.members[: stack.members.index(value)])
        return [part[:, start : start + self._program.channels_of(value)] for part in state.stacks[which]]

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

    def __init__(self, stripes: Sequence[tuple[slice, Tiling]], values: dict[Value, Whole]) -> None:
        self.stripes = stripes
        self.values = values
        self.stacks: dict[int, Tiles] = {}
        """(36, channels, T) each, the first channel being ones."""
        self._spare: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)

    def take(self, planes: int, channels: int, tiling: Tiling) -> Tensor:
        """An array (planes, channels, T), with whatever it was last used for in it: its memory is warm."""
        spare = self._spare[planes, channels, tiling.tiles]
        return spare.pop() if spare else torch.empty(planes, channels, tiling.tiles)

    def give_back(self, parts: Whole) -> None:
        """Let them be taken again, if they are tiles."""
        for part in parts if isinstance(parts, list) else []:
            self._spare[tuple(part.shape)].append(part)

    def forget_spare(self) -> None:
        self._spare.clear()

    def as_tiles(self, x: Whole) -> Tiles:
        return x if isinstance(x, list) else [tiling.cut(x[:, :, rows]) for rows, tiling in self.stripes]

    def as_picture(self, x: Whole) -> Tensor:
        if isinstance(x, Tensor):
            return x
        width, height = self.stripes[0][1].width, self.stripes[-1][0].stop
        whole = torch.empty(1, height, width, x[0].shape[1]).permute(0, 3, 1, 2)  # channels last
        for part, (rows, tiling) in zip(x, self.stripes, strict=True):
            whole[:, :, rows] = tiling.joined(part)
        return whole

    def picture_of(self, source: Source) -> Tensor:
        parts = [self.as_picture(self.values[leaf]) for leaf in leaves(source)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def stripe_of(self, source: Source, at: int) -> Tensor:
        """One stripe of the source's values, as tiles."""
        values, (rows, tiling) = [self.values[leaf] for leaf in leaves(source)], self.stripes[at]
        parts = [value[at] if isinstance(value, list) else tiling.cut(value[:, :, rows]) for value in values]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _stripes(height: int, width: int) -> list[tuple[slice, Tiling]]:
    """A picture's rows, cut into stripes of few enough tiles and about as high, each with its tiling."""
    down = ceil(height / SIDE)
    count = min(down, ceil(down * ceil(width / SIDE) / _TILES_AT_ONCE))
    rows = SIDE * ceil(down / count)
    parts = [slice(start, min(height, start + rows)) for start in range(0, height, rows)]
    whole, last = Tiling(parts[0].stop, width), Tiling(parts[-1].stop - parts[-1].start, width)
    return [(part, whole) for part in parts[:-1]] + [(parts[-1], whole if len(parts) == 1 else last)]


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
