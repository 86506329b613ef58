"""Runs a Winograd trunk: bands of the picture follow one another through its levels like a wave.

A convolution needs only the first rows of the band below. So each level is one band behind the level before it, and a
value's band is released when the last level that reads it is done. Nothing is computed twice. The memory is bounded by
the network's depth, or by the picture where that is less.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.engines.streaming.ops import Convolve, PReLU
from iqsr.engines.streaming.program import Joined, ProgramStage, Source, Value, leaves
from iqsr.engines.streaming.winograd_trunk import Plan, WinogradTrunk
from iqsr.kernels.winograd import PRODUCTS, TILE_PIXELS, TILE_SIDE
from iqsr.kernels.winograd_tiling import WinogradTiling, run_steps


class Wavefront:
    """One picture's way through a trunk; use it once. `plan` is the trunk's plan for the picture's size."""

    def __init__(self, trunk: WinogradTrunk, plan: Plan) -> None:
        self._trunk = trunk
        self._groups = plan.groups
        self._tilings = [tiling for _, tiling in plan.bands]
        self._values: dict[tuple[Value, int], Tensor] = {}
        """The bands of values that are held: (16, C, T) for each value and number of band."""
        self._stacks: dict[tuple[int, int], Tensor] = {}
        """The bands of stacks that are held: (36, C, T), the first channel being ones."""
        self._free: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        """Arrays to use again, by shape."""
        self._negative_parts: dict[tuple[int, ...], Tensor] = {}
        self._last_read_on: dict[int, list[tuple[Value, int]]] = defaultdict(list)
        self._stacks_last_read_on: dict[int, list[int]] = defaultdict(list)
        for value, use in trunk.last_uses.items():
            self._last_read_on[use.level].append((value, use.back))
        for which, use in enumerate(trunk.last_uses_of_stacks):
            self._stacks_last_read_on[use.level].append(which)

    def run(self, bands: Iterable[Tensor], report: Callable[[float], None]) -> Iterator[Tensor]:
        """Run the picture through the trunk.

        Args:
            bands: (1, C, rows, W), of the plan's heights.
            report: Called with the share of the work that is done, from 0 to 1.

        Yields:
            The last stage's bands, of the same heights, channels last.
        """
        arriving, count, done = iter(bands), len(self._tilings), 0
        last, stages = Value(len(self._trunk.program.stages) - 1), len(self._trunk.program.stages) + 1
        for first, final in self._groups:
            for step in range(count + 1 + final - first):
                for level in range(max(first, first + step - count), min(final, first + step) + 1):
                    at = step - (level - first)
                    self._run_level(level, at, arriving)
                    done += len(self._trunk.levels[level].stages) if at < count else 0
                report(done / (count * stages))
                at = step - (final - first)
                if (last, at) in self._values:
                    out = self._values.pop((last, at))
                    yield self._tilings[at].join(out)
                    self._release(out)

    def _run_level(self, level: int, at: int, arriving: Iterator[Tensor]) -> None:
        """Do all that a level does to band `at`, then release what is not read again."""
        transforms, stages = self._trunk.levels[level]
        if at < len(self._tilings):
            for value in transforms:
                self._transform(value, at)
            for number in stages:
                made = self._run_stage(number, at) if number >= 0 else self._cut_next(arriving, at)
                self._values[Value(number), at] = made
                if Value(number) in self._trunk.spans:
                    run_steps(self._tilings[at].clear_beyond_edge(made))
        unused = [self._values.pop((value, at - back), None) for value, back in self._last_read_on[level]]
        unused += [self._stacks.pop((which, at), None) for which in self._stacks_last_read_on[level]]
        for array in unused:
            if array is not None:
                self._release(array)

    def _cut_next(self, arriving: Iterator[Tensor], at: int) -> Tensor:
        """The picture's next band as tiles."""
        band, tiling = next(arriving), self._tilings[at]
        return tiling.cut(band, self._acquire(TILE_PIXELS, band.shape[1], tiling))

    def _run_stage(self, number: int, at: int) -> Tensor:
        """A stage's result for a band."""
        stage, tiling = self._trunk.program.stages[number], self._tilings[at]
        if number in self._trunk.stack_read_by:
            return self._convolve(number, stage, at)
        x = tiling.join(self._band(stage.source, at))
        x = stage.op.run(x, 0, x.shape[2], 0)
        out = tiling.cut(x, self._acquire(TILE_PIXELS, x.shape[1], tiling))
        return self._apply(stage.then, out, at)

    def _convolve(self, number: int, stage: ProgramStage, at: int) -> Tensor:
        """A convolution by Winograd; what is added to its result first is added in the output transform."""
        assert isinstance(stage.op, Convolve)
        trunk, tiling, kernel = self._trunk, self._tilings[at], self._trunk.kernels[number]
        products = self._acquire(PRODUCTS, kernel.shape[1], tiling)
        stack = self._stacks[trunk.stack_read_by[number], at]
        torch.bmm(kernel, stack[:, : kernel.shape[2]], out=products)
        first = stage.then[0] if stage.then and stage.op.slope == 1 else None
        added = self._values[first, at] if isinstance(first, Value) else None
        if isinstance(first, Value) and trunk.is_only_last_read(number, first):
            out = self._values.pop((first, at))
        else:
            out = self._acquire(TILE_PIXELS, kernel.shape[1], tiling)
        run_steps(tiling.transform_output(products, out, added))
        self._release(products)
        if stage.op.slope != 1:
            F.leaky_relu_(out, stage.op.slope)
        return self._apply(stage.then[0 if added is None else 1 :], out, at)

    def _apply(self, changes: Sequence[Callable[[Tensor], Tensor] | Source], x: Tensor, at: int) -> Tensor:
        """Apply a stage's changes to x, in place where that is possible."""
        for change in changes:
            if isinstance(change, Value | Joined):
                x.add_(self._band(change, at))
            elif isinstance(change, PReLU):
                self._prelu_(x, change.weight)
            else:
                x = change(x)  # of the same shape; where it is a new array, the old one is freed
        return x

    def _prelu_(self, x: Tensor, slopes: Tensor) -> None:
        """PReLU in place, x + (slope - 1) * min(x, 0), a few planes at a time; torch's own makes a new array."""
        negative = self._negative_parts.get(x.shape)
        if negative is None:
            negative = self._negative_parts[x.shape] = torch.empty_like(x[:TILE_SIDE])
        for part in x.split(TILE_SIDE):
            torch.clamp_max(part, 0, out=negative)
            part.addcmul_(negative, slopes[:, None] - 1)

    def _transform(self, value: Value, at: int) -> None:
        """Transform a value's band, whose neighbours are both there, into all stacks that the value belongs to."""
        tiling, band = self._tilings[at], self._values[value, at]
        above, below = (self._values.get((value, neighbour)) for neighbour in (at - 1, at + 1))
        places = [self._stack(which, at)[:, slice(*span)] for which, span in self._trunk.spans[value].items()]
        above = None if above is None else self._tilings[at - 1].last_row(above)
        below = None if below is None else self._tilings[at + 1].first_row(below)
        run_steps(tiling.transform_input(band, places[0], above, below))
        for other in places[1:]:
            other.copy_(places[0])

    def _stack(self, which: int, at: int) -> Tensor:
        """The band of a stack; it is made when its first value comes."""
        if (which, at) not in self._stacks:
            channels = self._trunk.channels_of(self._trunk.stacks[which])
            self._stacks[which, at] = self._acquire(PRODUCTS, channels, self._tilings[at])
            self._stacks[which, at][:, 0] = 1
        return self._stacks[which, at]

    def _band(self, source: Source, at: int) -> Tensor:
        """One band of a source as tiles."""
        parts = [self._values[leaf, at] for leaf in leaves(source)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def _acquire(self, planes: int, channels: int, tiling: WinogradTiling) -> Tensor:
        """An array (planes, channels, T) with any content. One that was used before is still in the cache."""
        free = self._free[planes, channels, tiling.tiles]
        return free.pop() if free else torch.empty(planes, channels, tiling.tiles)

    def _release(self, array: Tensor) -> None:
        self._free[tuple(array.shape)].append(array)
