"""A network as a row program: stages in order, each one operation and the changes to its result in place.

A chain such as convolution -> activation -> skip addition is one stage, so only values that a later stage reads are
stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm

import torch
from torch import Tensor, nn

from iqsr.engines.streaming.ops import Convolve, EnlargeConvolve, PReLU, Rearrange, RowOp


@dataclass(frozen=True)
class Value:
    """A stored value, by the number of the stage that makes it; -1 is the program's input, -2 its side input."""

    stage: int


INPUT, SIDE_INPUT = Value(-1), Value(-2)
"""The side input is the picture, where a program that begins in the middle of a network reads it once more."""


@dataclass(frozen=True)
class Joined:
    """A concatenation of sources along the channels; it is made where it is read."""

    parts: tuple[Source, ...]


Source = Value | Joined


@dataclass
class ProgramStage:
    """One operation and the changes to its result in place."""

    op: RowOp
    source: Source
    then: list[Callable[[Tensor], Tensor] | Source] = field(default_factory=list)
    """The changes in order: functions of the result, or sources to add to it."""

    def sources(self) -> list[Source]:
        """All that this stage reads."""
        return [self.source, *(t for t in self.then if isinstance(t, Value | Joined))]

    def renumbered(self, count: int) -> ProgramStage:
        """The same stage in a program without the first `count` stages.

        The last one's value becomes the input, and the former input the side input.
        """
        then = [_renumbered(t, count) if isinstance(t, Value | Joined) else t for t in self.then]
        return ProgramStage(self.op, _renumbered(self.source, count), then)


@dataclass
class RowProgram:
    """Stages in an order in which each reads only earlier ones; the last one's rows are the output."""

    stages: list[ProgramStage]
    input_channels: int | None = None
    """None: as many as the first convolution reads."""
    side_channels: int = 0
    """Channels of the side input, which has the input's size; 0 where there is none."""

    def __post_init__(self) -> None:
        self._scales: dict[int, Fraction] = {-1: Fraction(1), -2: Fraction(1)}
        of_input = self.input_channels or self._channels_of_first_convolution()
        self._channels: dict[int, int] = {-1: of_input, -2: self.side_channels}
        for number, stage in enumerate(self.stages):
            self._scales[number] = self.scale_of(stage.source) * stage.op.scale
            self._channels[number] = stage.op.channels(self.channels_of(stage.source))

    def _channels_of_first_convolution(self) -> int:
        """Channels that the first convolution of the input reads; 3 where none reads it."""
        readers = (s.op for s in self.stages if s.source == INPUT and isinstance(s.op, Convolve))
        return next((op.weight.shape[1] * op.groups for op in readers), 3)

    @property
    def scale(self) -> Fraction:
        """Output rows per input row."""
        return self._scales[len(self.stages) - 1]

    @property
    def size_multiple(self) -> int:
        """What height and width of the input must be multiples of, so that no value has a fraction of a row."""
        return lcm(*(scale.denominator for scale in self._scales.values()))

    def scale_of(self, source: Source) -> Fraction:
        """Rows of `source` per row of the input."""
        return self._scales[leaves(source)[0].stage]

    def channels_of(self, source: Source) -> int:
        """Channels of `source`."""
        return sum(self._channels[leaf.stage] for leaf in leaves(source))

    @property
    def widest(self) -> int:
        """Channels of the widest source."""
        return max(self.channels_of(stage.source) for stage in self.stages)

    def to(self, device: torch.device, dtype: torch.dtype) -> RowProgram:
        """The program with its weights on `device` in `dtype`.

        A convolution that no other convolution follows keeps fp32: its rounding would be that of the output, and bf16
        is coarser than 8 bits. It takes `dtype` where its result is only a correction that is added to an enlarged
        picture, which is done in fp32.
        """
        last = self._last_convolutions()
        last -= self._corrections(last)
        stages: list[ProgramStage] = []
        for number, stage in enumerate(self.stages):
            op = stage.op
            if isinstance(op, Convolve | EnlargeConvolve):
                op = op.to(device, torch.float32 if number in last else dtype)
            then = [change.to(device) if isinstance(change, PReLU) else change for change in stage.then]
            stages.append(ProgramStage(op, stage.source, then))
        return RowProgram(stages, self.input_channels, self.side_channels)

    def without_pixel_unshuffle(self) -> tuple[int, RowProgram]:
        """The factor of a pixel-unshuffle that comes before all else, and the program after it.

        1 and this program where there is none.
        """
        first = self.stages[0]
        if not isinstance(first.op, Rearrange) or not isinstance(first.op.module, nn.PixelUnshuffle):
            return 1, self
        if first.source != INPUT or first.then or len(self.stages) == 1 or -1 in self._read_by(self.stages[1:]):
            return 1, self
        rest = [stage.renumbered(1) for stage in self.stages[1:]]
        return first.op.module.downscale_factor, RowProgram(rest, self._channels[0])

    def split(self) -> tuple[RowProgram, RowProgram] | None:
        """The trunk and the head: the stages before the first change of size, and the rest.

        The head's input is the trunk's result; the picture is its side input, if it reads that too. A program that
        keeps the size is split before its last convolution. None where the head reads another value of the trunk.
        """
        resized = [number for number in range(len(self.stages)) if self._scales[number] != 1]
        last = [number for number, stage in enumerate(self.stages) if isinstance(stage.op, Convolve)][-1:]
        count = (resized or last or [0])[0]
        before = {value for value in self._read_by(self.stages[count:]) if value < count}
        if count == 0 or before - {-1} != {count - 1}:
            return None
        rest = [stage.renumbered(count) for stage in self.stages[count:]]
        side = self._channels[-1] if -1 in before else 0
        return RowProgram(self.stages[:count], self.input_channels), RowProgram(rest, self._channels[count - 1], side)

    @staticmethod
    def _read_by(stages: list[ProgramStage]) -> set[int]:
        """The numbers of the values that stages read."""
        return {leaf.stage for stage in stages for source in stage.sources() for leaf in leaves(source)}

    def _corrections(self, convolutions: set[int]) -> set[int]:
        """Convolutions whose result, on its only way to the output, is added to a value that no convolution made."""
        plain, readers = {-1}, dict[int, list[int]]()
        for number, stage in enumerate(self.stages):
            read = self._read_by([stage])
            for value in read:
                readers.setdefault(value, []).append(number)
            if not isinstance(stage.op, Convolve | EnlargeConvolve) and read <= plain:
                plain.add(number)

        def corrects(number: int) -> bool:
            first, *added = [{leaf.stage for leaf in leaves(s)} for s in self.stages[number].sources()]
            if any(values <= plain for values in added) or (added and first <= plain):
                return True
            after = readers.get(number, [])
            return len(after) == 1 and corrects(after[0])

        return {number for number in convolutions if corrects(number)}

    def _last_convolutions(self) -> set[int]:
        """Convolutions that no other convolution follows."""
        followed: set[int] = set()
        for number in reversed(range(len(self.stages))):
            stage = self.stages[number]
            if isinstance(stage.op, Convolve | EnlargeConvolve) or number in followed:
                followed |= self._read_by([stage])
        convolutions = (Convolve, EnlargeConvolve)
        return {n for n, s in enumerate(self.stages) if isinstance(s.op, convolutions) and n not in followed}


def _renumbered(source: Source, count: int) -> Source:
    if isinstance(source, Value):
        return SIDE_INPUT if source == INPUT else Value(source.stage - count)
    return Joined(tuple(_renumbered(part, count) for part in source.parts))


def leaves(source: Source) -> list[Value]:
    """The stored values that `source` is made of."""
    if isinstance(source, Value):
        return [source]
    return [leaf for part in source.parts for leaf in leaves(part)]
