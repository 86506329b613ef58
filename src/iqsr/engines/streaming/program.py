"""A network as a row program: stages in order, each one operation with what is done to its result in place.

Chains such as convolution -> activation -> skip addition are one stage, so that only values which somebody reads later
are stored.
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
    """A stored value, by the number of the stage that makes it (-1: what goes in; -2: what goes in beside it)."""

    stage: int


PICTURE, BESIDE = Value(-1), Value(-2)


@dataclass(frozen=True)
class Joined:
    """Channels of several sources side by side, joined where they are read."""

    parts: tuple[Source, ...]


Source = Value | Joined


@dataclass
class Node:
    """One operation and what follows it in place."""

    op: RowOp
    source: Source
    then: list[Callable[[Tensor], Tensor] | Source] = field(default_factory=list)
    """In order: functions of the fresh rows, or sources to add to them."""

    def sources(self) -> list[Source]:
        """All that this stage reads."""
        return [self.source, *(t for t in self.then if isinstance(t, Value | Joined))]

    def behind(self, count: int) -> Node:
        """The same stage in a program without the first `count`: the last one's values go in, the picture beside."""
        then = [_behind(t, count) if isinstance(t, Value | Joined) else t for t in self.then]
        return Node(self.op, _behind(self.source, count), then)


@dataclass
class RowProgram:
    """Stages in an order in which each reads only earlier ones; the last one's rows are the output."""

    stages: list[Node]
    given: int | None = None
    """Channels of the picture; None: as many as the first convolution reads."""
    beside: int = 0
    """Channels of what goes in beside it, of the same size."""

    def __post_init__(self) -> None:
        self._scales: dict[int, Fraction] = {-1: Fraction(1), -2: Fraction(1)}
        self._channels: dict[int, int] = {-1: self.given or self._picture_channels(), -2: self.beside}
        for number, stage in enumerate(self.stages):
            self._scales[number] = self.scale_of(stage.source) * stage.op.scale
            self._channels[number] = stage.op.channels(self.channels_of(stage.source))

    def _picture_channels(self) -> int:
        readers = (s.op for s in self.stages if s.source == PICTURE and isinstance(s.op, Convolve))
        return next((op.weight.shape[1] * op.groups for op in readers), 3)

    @property
    def scale(self) -> Fraction:
        """Output rows per input row."""
        return self._scales[len(self.stages) - 1]

    @property
    def size_multiple(self) -> int:
        """Height and width of the picture must be multiples of it, so that no value has half a row."""
        return lcm(*(scale.denominator for scale in self._scales.values()))

    def scale_of(self, source: Source) -> Fraction:
        """Rows of `source` per row of the picture."""
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

        Convolutions that no other convolution follows keep fp32: their rounding would be the output's own, coarser
        than 8 bits in bf16. Not so where they only correct an enlarged picture, which they are then added to in fp32.
        """
        last = self._last_convolutions()
        last -= self._corrections(last)
        stages: list[Node] = []
        for number, stage in enumerate(self.stages):
            op = stage.op
            if isinstance(op, Convolve | EnlargeConvolve):
                op = op.to(device, torch.float32 if number in last else dtype)
            then = [change.to(device) if isinstance(change, PReLU) else change for change in stage.then]
            stages.append(Node(op, stage.source, then))
        return RowProgram(stages, self.given, self.beside)

    def unshuffled(self) -> tuple[int, RowProgram]:
        """The factor of a pixel-unshuffle that the picture goes through before all else, and the program behind it.

        1 and this program where there is none.
        """
        first = self.stages[0]
        if not isinstance(first.op, Rearrange) or not isinstance(first.op.module, nn.PixelUnshuffle):
            return 1, self
        if first.source != PICTURE or first.then or len(self.stages) == 1 or -1 in self._read_by(self.stages[1:]):
            return 1, self
        return first.op.module.downscale_factor, RowProgram([s.behind(1) for s in self.stages[1:]], self._channels[0])

    def split(self) -> tuple[RowProgram, RowProgram] | None:
        """What comes before the first change of size, and the rest, which reads its result, and maybe the picture.

        A program that keeps the size is split before its last convolution. None where a later stage reads another value
        of the first part.
        """
        resized = [number for number in range(len(self.stages)) if self._scales[number] != 1]
        last = [number for number, stage in enumerate(self.stages) if isinstance(stage.op, Convolve)][-1:]
        count = (resized or last or [0])[0]
        before = {value for value in self._read_by(self.stages[count:]) if value < count}
        if count == 0 or before - {-1} != {count - 1}:
            return None
        rest = [stage.behind(count) for stage in self.stages[count:]]
        beside = self._channels[-1] if -1 in before else 0
        return RowProgram(self.stages[:count], self.given), RowProgram(rest, self._channels[count - 1], beside)

    @staticmethod
    def _read_by(stages: list[Node]) -> set[int]:
        """The values that stages read, by number."""
        return {leaf.stage for stage in stages for source in stage.sources() for leaf in leaves(source)}

    def _corrections(self, convolutions: set[int]) -> set[int]:
        """Those whose result is added, on its only way to the output, to something that no convolution made."""
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
        followed: set[int] = set()
        for number in reversed(range(len(self.stages))):
            stage = self.stages[number]
            if isinstance(stage.op, Convolve | EnlargeConvolve) or number in followed:
                followed |= self._read_by([stage])
        convolutions = (Convolve, EnlargeConvolve)
        return {n for n, s in enumerate(self.stages) if isinstance(s.op, convolutions) and n not in followed}


def _behind(source: Source, count: int) -> Source:
    if isinstance(source, Value):
        return BESIDE if source == PICTURE else Value(source.stage - count)
    return Joined(tuple(_behind(part, count) for part in source.parts))


def leaves(source: Source) -> list[Value]:
    """The stored values that `source` is made of."""
    if isinstance(source, Value):
        return [source]
    return [leaf for part in source.parts for leaf in leaves(part)]
