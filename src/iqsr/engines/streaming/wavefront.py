"""A tiled trunk at work: stripes follow one another through its stages like a wave.

A convolution needs of the stripe below the uppermost rows alone, so that each level is a stripe behind the one before,
and a value's stripe is let go of when the last level that reads it is through with it. Nothing is computed twice; what
is held is bounded by the network's depth, or by the picture where that is less.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.engines.streaming.ops import Convolve, PReLU
from iqsr.engines.streaming.program import Joined, Node, Source, Value, leaves
from iqsr.engines.streaming.tiled import Plan, TiledTrunk
from iqsr.kernels.winograd import PIXELS, PRODUCTS, SIDE, Tiling, run


class Wavefront:
    """One pass of one picture through a trunk; use it once. `plan` is the trunk's for the picture's size."""

    def __init__(self, trunk: TiledTrunk, plan: Plan) -> None:
        self._trunk = trunk
        self._groups = plan.groups
        self._tilings = [tiling for _, tiling in plan.stripes]
        self._values: dict[tuple[Value, int], Tensor] = {}
        """(16, C, T) of a value's stripe."""
        self._stacks: dict[tuple[int, int], Tensor] = {}
        """(36, channels, T) of a stack's stripe, the first channel being ones."""
        self._spare: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        self._below: dict[tuple[int, ...], Tensor] = {}
        self._ending: dict[int, list[tuple[Value, int]]] = defaultdict(list)
        self._stacks_ending: dict[int, list[int]] = defaultdict(list)
        for value, end in trunk.ends.items():
            self._ending[end.level].append((value, end.back))
        for which, end in enumerate(trunk.stack_ends):
            self._stacks_ending[end.level].append(which)

    def run(self, bands: Iterable[Tensor], report: Callable[[float], None]) -> Iterator[Tensor]:
        """Bands (1, C, rows of a stripe, W) -> the last stage's, as large, channels last; shares of the work done."""
        arriving, count, done = iter(bands), len(self._tilings), 0
        last, stages = Value(len(self._trunk.program.stages) - 1), len(self._trunk.program.stages) + 1
        for first, final in self._groups:
            for step in range(count + 1 + final - first):
                for level in range(max(first, first + step - count), min(final, first + step) + 1):
                    at = step - (level - first)
                    self._turn(level, at, arriving)
                    done += len(self._trunk.levels[level].stages) if at < count else 0
                report(done / (count * stages))
                at = step - (final - first)
                if (last, at) in self._values:
                    out = self._values.pop((last, at))
                    yield self._tilings[at].joined(out)
                    self._give_back(out)

    def _turn(self, level: int, at: int, arriving: Iterator[Tensor]) -> None:
        """Do all that a level does to a stripe, and let go of what nobody will read."""
        transforms, stages = self._trunk.levels[level]
        if at < len(self._tilings):
            for value in transforms:
                self._transform(value, at)
            for number in stages:
                self._values[Value(number), at] = self._made(number, at) if number >= 0 else self._cut(arriving, at)
                if Value(number) in self._trunk.written_to:
                    run(self._tilings[at].clear_beyond_edge(self._values[Value(number), at]))
        gone = [self._values.pop((value, at - back), None) for value, back in self._ending[level]]
        gone += [self._stacks.pop((which, at), None) for which in self._stacks_ending[level]]
        for array in gone:
            if array is not None:
                self._give_back(array)

    def _cut(self, arriving: Iterator[Tensor], at: int) -> Tensor:
        """The picture's next band."""
        band, tiling = next(arriving), self._tilings[at]
        return tiling.cut(band, self._take(PIXELS, band.shape[1], tiling))

    def _made(self, number: int, at: int) -> Tensor:
        """What a stage makes of a stripe."""
        stage, tiling = self._trunk.program.stages[number], self._tilings[at]
        if number in self._trunk.read_from:
            return self._convolved(number, stage, at)
        x = tiling.joined(self._stripe(stage.source, at))
        x = stage.op.run(x, 0, x.shape[2], 0)
        out = tiling.cut(x, self._take(PIXELS, x.shape[1], tiling))
        return self._changed(out, stage.then, at)

    def _convolved(self, number: int, stage: Node, at: int) -> Tensor:
        assert isinstance(stage.op, Convolve)
        trunk, tiling, kernel = self._trunk, self._tilings[at], self._trunk.kernels[number]
        products = self._take(PRODUCTS, kernel.shape[1], tiling)
        stack = self._stacks[trunk.read_from[number], at]
        torch.bmm(kernel, stack[:, : kernel.shape[2]], out=products)
        first = stage.then[0] if stage.then and stage.op.slope == 1 else None
        added = self._values[first, at] if isinstance(first, Value) else None
        if isinstance(first, Value) and trunk.dies_in(number, first):
            out = self._values.pop((first, at))
        else:
            out = self._take(PIXELS, kernel.shape[1], tiling)
        run(tiling.back(products, out, added))
        self._give_back(products)
        if stage.op.slope != 1:
            F.leaky_relu_(out, stage.op.slope)
        return self._changed(out, stage.then[0 if added is None else 1 :], at)

    def _changed(self, x: Tensor, changes: Sequence[Callable[[Tensor], Tensor] | Source], at: int) -> Tensor:
        """`x` may be changed."""
        for change in changes:
            if isinstance(change, Value | Joined):
                x.add_(self._stripe(change, at))
            elif isinstance(change, PReLU):
                self._bend(x, change.weight)
            else:
                x = change(x)  # of the same shape; where it is new, the old memory is free
        return x

    def _bend(self, x: Tensor, slopes: Tensor) -> None:
        """PReLU in place, x + (slope - 1) * min(x, 0), a few planes at a time: torch's is a new array each time."""
        below = self._below.get(x.shape)
        if below is None:
            below = self._below[x.shape] = torch.empty_like(x[:SIDE])
        for part in x.split(SIDE):
            torch.clamp_max(part, 0, out=below)
            part.addcmul_(below, slopes[:, None] - 1)

    def _transform(self, value: Value, at: int) -> None:
        """A value's stripe, both of whose neighbours are there, to its place in all stacks that it belongs to."""
        tiling, stripe = self._tilings[at], self._values[value, at]
        above, below = (self._values.get((value, beside)) for beside in (at - 1, at + 1))
        places = [self._place(value, which, at) for which in self._trunk.written_to[value]]
        above = None if above is None else self._tilings[at - 1].lowest(above)
        below = None if below is None else self._tilings[at + 1].topmost(below)
        run(tiling.forward(stripe, places[0], above, below))
        for other in places[1:]:
            other.copy_(places[0])

    def _place(self, value: Value, which: int, at: int) -> Tensor:
        """A value's channels of a stack, which is made for its first one."""
        trunk, stack = self._trunk, self._trunk.stacks[which]
        if (which, at) not in self._stacks:
            self._stacks[which, at] = self._take(PRODUCTS, trunk.channels_of(stack), self._tilings[at])
            self._stacks[which, at][:, 0] = 1
        start = 1 + sum(map(trunk.channels_of, stack.members[: stack.members.index(value)]))
        return self._stacks[which, at][:, start : start + trunk.channels_of(value)]

    def _stripe(self, source: Source, at: int) -> Tensor:
        """One stripe of the source's values, as tiles."""
        parts = [self._values[leaf, at] for leaf in leaves(source)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def _take(self, planes: int, channels: int, tiling: Tiling) -> Tensor:
        """An array (planes, channels, T), with whatever it was last used for in it: its memory is warm."""
        spare = self._spare[planes, channels, tiling.tiles]
        return spare.pop() if spare else torch.empty(planes, channels, tiling.tiles)

    def _give_back(self, array: Tensor) -> None:
        self._spare[tuple(array.shape)].append(array)
