"""A network's part before the enlargement, run over the whole picture at once, with its convolutions by Winograd.

Every value that convolutions read is transformed once, and adds at once to the sums of all convolutions that read it.
In a dense block those are many: their sums lie side by side, so that one matrix product with many rows serves them all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
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


def transformed_kernel(weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(out, in, 3, 3) -> (36, out, in); with a bias (out,) as one more input channel, whose data are ones."""
    kernel = kernel_to_tiles(weight.double())
    if bias is not None:
        kernel = torch.cat([kernel, torch.outer(_ONE, bias.double())[..., None]], 2)
    return kernel.float()


@dataclass
class _Sums:
    """Convolutions whose inputs, oldest first, are fronts of one list of values."""

    members: tuple[Value, ...]
    readers: list[int] = field(default_factory=list)
    """Stages, in the order of how many members they read: a member's readers are the list's end."""
    last_reader: int = 0


class TiledTrunk:
    """Runs a program of scale 1, fp32, on a CPU. What is no convolution of 3x3 runs as it would elsewhere."""

    def __init__(self, program: RowProgram) -> None:
        self._program = program
        self._sums = _sums_of(program)
        self._read_from = {reader: which for which, sums in enumerate(self._sums) for reader in sums.readers}
        self._added_to: dict[Value, list[tuple[int, int]]] = defaultdict(list)
        for which, sums in enumerate(self._sums):
            for place, value in enumerate(sums.members):
                self._added_to[value].append((which, place))
        self._last_reader: dict[Value, int] = {}
        for number, stage in enumerate(program.stages):
            apart = stage.sources()[1:] if number in self._read_from else stage.sources()
            self._last_reader |= {leaf: number for source in apart for leaf in leaves(source)}

    @property
    def stacked(self) -> bool:
        """Whether there are dense connections to gain from."""
        return any(len(sums.members) > 1 for sums in self._sums)

    def bytes_needed(self, height: int, width: int) -> int:
        """The most that is held at once for a picture of this size (an upper estimate)."""
        program, tiling = self._program, Tiling(height, width)
        most, widest = 0, max(program.channels_of(Value(n)) for n in range(-1, len(program.stages)))
        for number in range(len(program.stages)):
            held = sum(program.channels_of(v) for v, last in self._last_reader.items() if v.stage <= number <= last)
            sums = sum(self._rows(s) for s in self._sums if s.members[0].stage <= number <= s.last_reader)
            most = max(most, PIXELS * (held + 3 * widest) + PRODUCTS * sums)
        return 4 * tiling.tiles * (most + (PRODUCTS + 1 + SIDE * (SIDE + 2)) * (widest + 1))

    def run(self, picture: Tensor, report: Callable[[float], None]) -> Tensor:
        """(1, C, H, W) -> the last stage's result; `report` gets the share of the stages that are done."""
        state = _State(Tiling(*picture.shape[2:]), {Value(-1): picture})
        result = picture
        for number, stage in enumerate(self._program.stages):
            result, value = self._run(number, stage, state), Value(number)
            for which in [which for which in state.sums if self._sums[which].last_reader == number]:
                state.give_back(state.sums.pop(which))
            if value in self._added_to:
                result = state.as_tiles(result)
                self._add(value, result, state)
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
        which = self._read_from[number]
        start, channels = self._offset(self._sums[which], number), stage.op.weight.shape[0]
        products = state.sums[which][:, start : start + channels]
        first = stage.then[0] if stage.then and stage.op.slope == 1 else None
        added = state.like(products, first) if isinstance(first, Value) else None
        reread = any(first in leaves(source) for source in stage.sources()[2:]) if isinstance(first, Value) else False
        dies = isinstance(first, Value) and self._last_reader[first] == number and not reread
        out = added if added is not None and dies else state.take(PIXELS, channels)
        run(state.tiling.back(products, out, added))
        if stage.op.slope != 1:
            F.leaky_relu_(out, stage.op.slope)
        return out, 0 if added is None else 1

    def _add(self, value: Value, tiles: Tensor, state: _State) -> None:
        """Let a new value count in all sums that it belongs to."""
        channels = tiles.shape[1]
        run(state.tiling.clear_beyond_edge(tiles))
        data = state.ones(channels + 1)
        run(state.tiling.forward(tiles, data[:, :channels]))
        for which, place in self._added_to[value]:
            kernel = self._kernels[which][place]
            if place == 0:
                state.sums[which] = state.take(PRODUCTS, kernel.shape[1])
                torch.bmm(kernel, data, out=state.sums[which])
            else:
                sums = state.sums[which][:, -kernel.shape[1] :]
                torch.baddbmm(sums, kernel, data[:, :channels], out=sums)

    @cached_property
    def _kernels(self) -> list[list[Tensor]]:
        """For every member of every list: its readers' kernels for it (36, out, in), the first's with their biases."""
        return [[self._kernel(sums, place) for place in range(len(sums.members))] for sums in self._sums]

    def _kernel(self, sums: _Sums, place: int) -> Tensor:
        parts: list[Tensor] = []
        for reader in sums.readers:
            op, members = self._program.stages[reader].op, leaves(self._program.stages[reader].source)
            assert isinstance(op, Convolve)
            if sums.members[place] in members:
                before = members[: members.index(sums.members[place])]
                start = sum(self._program.channels_of(value) for value in before)
                weight = op.weight[:, start : start + self._program.channels_of(sums.members[place])]
                bias = op.bias if op.bias is not None else op.weight.new_zeros(len(weight))
                parts.append(transformed_kernel(weight, bias if place == 0 else None))
        return torch.cat(parts, 1)

    def _rows(self, sums: _Sums) -> int:
        return sum(self._program.channels_of(Value(reader)) for reader in sums.readers)

    def _offset(self, sums: _Sums, number: int) -> int:
        before = sums.readers[: sums.readers.index(number)]
        return sum(self._program.channels_of(Value(reader)) for reader in before)


class _State:
    """What a run holds."""

    def __init__(self, tiling: Tiling, values: dict[Value, Tensor]) -> None:
        self.tiling = tiling
        self.values = values
        self.sums: dict[int, Tensor] = {}
        self._ones: dict[int, Tensor] = {}
        self._spare: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)

    def take(self, planes: int, channels: int) -> Tensor:
        """An array (planes, channels, T), with whatever it was last used for in it: its memory is warm."""
        spare = self._spare[planes, channels]
        return spare.pop() if spare else torch.empty(planes, channels, self.tiling.tiles)

    def give_back(self, x: Tensor) -> None:
        """Let it be taken again, if it is of that kind."""
        if x.ndim == 3 and x.is_contiguous():
            self._spare[tuple(x.shape[:2])].append(x)

    def ones(self, channels: int) -> Tensor:
        """(36, channels, T); the last channel is ones, if nobody writes to it."""
        if channels not in self._ones:
            self._ones[channels] = torch.ones(PRODUCTS, channels, self.tiling.tiles)
        return self._ones[channels]

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


def _sums_of(program: RowProgram) -> list[_Sums]:
    """Convolutions that read fronts of one another, together."""
    groups: list[_Sums] = []
    for number, stage in enumerate(program.stages):
        members = _members(program, stage)
        if members is None:
            continue
        for group in groups:
            common = min(len(members), len(group.members))
            if members[:common] == group.members[:common]:
                group.members = max(members, group.members, key=len)
                break
        else:
            group = _Sums(members)
            groups.append(group)
        group.readers.append(number)
        group.last_reader = number
    for group in groups:
        group.readers.sort(key=lambda reader: len(leaves(program.stages[reader].source)))
    return groups


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
