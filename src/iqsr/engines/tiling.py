"""Overlapped, feathered tiles, for networks that cannot stream exactly (attention, global pooling, other backends).

Each tile is computed with a margin of the pixels around it. Neighbouring tiles are blended over a narrow zone in the
middle of their overlap, where both know enough of their surroundings. How wide the margin must be is measured.

A tile is a square of input pixels here, 256 a side by default. The Winograd tiles of `iqsr.kernels.winograd`, 4 pixels
a side, are something else.
"""

from __future__ import annotations

import gc
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import pairwise
from math import ceil, inf

import torch
from torch import Tensor

from iqsr.engines.rows import OnProgress, Rows, ignore_progress, rebanded
from iqsr.errors import ModelError

Network = Callable[[Tensor], Tensor]
"""(1, 3, H, W) -> (1, 3, H * scale, W * scale), any float type and device."""

MARGINS_PIXELS = (8, 16, 24, 32, 48, 64)
"""The margins that are tried, in input pixels."""

ENOUGH_DB = 60.0
"""PSNR between a cut and an uncut picture, next to the margin of the cut; blending makes it higher."""

_LEAST_TILE_PIXELS = 16


class TileEngine:
    """Runs a network over pictures of any size, tile by tile.

    When memory runs out, the tile is halved and computed again, and so are the tiles after it.

    Args:
        network: Enlarges a picture by `scale`.
        scale: Output pixels per input pixel along a side.
        tile: Height and width of a tile in input pixels, without its margin.
        margin: Input pixels that are added to a tile on each side.
        multiple: Heights and widths of the network's input must be multiples of it; tile and margin are rounded up.
    """

    def __init__(
        self,
        network: Network,
        scale: int,
        *,
        tile: int = 256,
        margin: int = 32,
        multiple: int = 1,
    ) -> None:
        self.scale = scale
        self.tile = ceil(tile / multiple) * multiple
        self.margin = ceil(margin / multiple) * multiple
        self._multiple = multiple
        self._network = network
        self._feather = max(1, min(8, self.margin // 4))
        self._most_pixels: float = inf

    def apply(self, rows: Rows, on_progress: OnProgress | None = None) -> Rows:
        """The enlarged picture (fp32, on the CPU). Height and width must be multiples of the engine's `multiple`."""
        report = on_progress or ignore_progress
        return Rows(rows.width * self.scale, rows.height * self.scale, lambda _: self._bands(rows, report))

    def _bands(self, rows: Rows, report: OnProgress) -> Iterator[Tensor]:
        """One band for each row of tiles, blended with the row of tiles above it."""
        blend, carry = self._feather, None
        spans = cuts(rows.height, self.tile)
        sliding = _Sliding(rebanded(rows.bands(self.tile), self.tile))
        for number, (top, bottom) in enumerate(spans):
            first = number == 0
            last = number == len(spans) - 1
            offset = max(0, top - self.margin)
            window = sliding.window(offset, min(rows.height, bottom + self.margin))
            low, high = top - (0 if first else blend), bottom + (0 if last else blend)
            band = self._row_of_tiles(window, low - offset, high - offset, rows.width)
            if carry is not None:
                seam = 2 * blend * self.scale
                band[:, :, :seam] = torch.lerp(carry, band[:, :, :seam], _ramp(seam).view(1, 1, -1, 1))
            if not last:
                carry = band[:, :, -2 * blend * self.scale :]
                band = band[:, :, : -2 * blend * self.scale]
            report((number + 1) / len(spans))
            yield band

    def _row_of_tiles(self, window: Tensor, low: int, high: int, width: int) -> Tensor:
        """Rows [low, high) of `window`, enlarged: the tiles are blended from left to right."""
        blend, scale = self._feather, self.scale
        out = torch.empty(1, 3, (high - low) * scale, width * scale)
        for left, right in cuts(width, self.tile):
            a, b = max(0, left - blend) if left else 0, right + (blend if right < width else 0)
            part = self._area(window, low, high, a, b)
            if left:
                seam = 2 * blend * scale
                before = out[..., a * scale : a * scale + seam]
                part[..., :seam] = torch.lerp(before, part[..., :seam], _ramp(seam).view(1, 1, 1, -1))
            out[..., a * scale : b * scale] = part
        return out

    def _area(self, window: Tensor, low: int, high: int, left: int, right: int) -> Tensor:
        """Rows [low, high) and columns [left, right) of `window`, enlarged; in halves where memory runs out."""
        if max(high - low, right - left) <= self._most_pixels:
            try:
                return self._run(window, low, high, left, right)
            except (RuntimeError, MemoryError) as error:
                self._halve(error, max(high - low, right - left))
            gc.collect()  # only here: the error, which refers to the network's arrays, is gone
        if high - low >= right - left:
            middle = (low + high) // 2
            parts = [self._area(window, a, b, left, right) for a, b in ((low, middle), (middle, high))]
            return torch.cat(parts, 2)
        middle = (left + right) // 2
        return torch.cat([self._area(window, low, high, a, b) for a, b in ((left, middle), (middle, right))], 3)

    def _halve(self, error: Exception, side: int) -> None:
        if not out_of_memory(error):
            raise error
        self._most_pixels = side // 2
        if self._most_pixels < _LEAST_TILE_PIXELS:
            raise ModelError("out of memory even with the smallest tile: close other programs") from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _run(self, window: Tensor, low: int, high: int, left: int, right: int) -> Tensor:
        top, bottom = self._reach(low, high, window.shape[2])
        start, stop = self._reach(left, right, window.shape[3])
        out = self._network(window[:, :, top:bottom, start:stop])
        out = out[:, :, (low - top) * self.scale :, (left - start) * self.scale :]
        out = out[:, :, : (high - low) * self.scale, : (right - left) * self.scale]
        return out.float().cpu().contiguous()

    def _reach(self, start: int, stop: int, size: int) -> tuple[int, int]:
        """The span with its margins, inside the picture; it begins and ends at multiples of `multiple`."""
        margin, multiple = self.margin - self._feather, self._multiple
        first = max(0, start - margin) // multiple * multiple
        return first, min(size, ceil((stop + margin) / multiple) * multiple)


class _Sliding:
    """Windows of rows, each of which begins no higher than the one before."""

    def __init__(self, bands: Iterator[Tensor]) -> None:
        self._bands = bands
        self._held = next(bands)
        self._first = 0

    def window(self, start: int, stop: int) -> Tensor:
        """Rows [start, stop). Rows above `start` are dropped."""
        while self._first + self._held.shape[2] < stop:
            self._held = torch.cat([self._held, next(self._bands)], 2)
        self._held = self._held[:, :, start - self._first :]
        self._first = start
        return self._held[:, :, : stop - start]


def cuts(size: int, tile: int) -> list[tuple[int, int]]:
    """[0, size) in pieces of about `tile`: a last piece of less than half a tile joins the one before it."""
    count = max(1, round(size / tile))
    edges = [*(tile * n for n in range(count)), size]
    return list(pairwise(edges))


_OUT_OF_MEMORY_MESSAGES = (
    "not enough memory",
    "can't allocate memory",
    "out of memory",
    "bad_alloc",
    "could not create a primitive",  # oneDNN, whose messages do not tell why
)


def out_of_memory(error: Exception) -> bool:
    """Whether torch means by `error` that memory ran out."""
    kinds = MemoryError | torch.cuda.OutOfMemoryError
    return isinstance(error, kinds) or any(text in str(error) for text in _OUT_OF_MEMORY_MESSAGES)


def measured_margin(network: Network, scale: int, multiple: int = 1, minimum: int = 1) -> int:
    """The smallest margin beyond which a cut of the picture changes the output by less than -60 dB.

    It takes a few passes over 64 x 160 pixels. The network should run in fp32: with bf16, the rounding alone changes by
    more than that.

    Args:
        network: The network, in fp32.
        scale: Output pixels per input pixel along a side.
        multiple: Heights and widths of the network's input must be multiples of it.
        minimum: Least height and width of the network's input.

    Returns:
        One of `MARGINS_PIXELS`; the largest where none is enough, as for networks with global pooling.
    """
    picture = probe(max(64, minimum), max(160, 2 * minimum), multiple)
    uncut = network(picture).float().cpu()
    middle = picture.shape[3] // 2 // multiple * multiple

    def is_enough(margin: int) -> bool:
        start = max(0, (middle - margin) // multiple * multiple)
        cut = network(picture[..., start:]).float().cpu()
        ours = cut[..., (middle - start) * scale : (middle - start + 8) * scale]
        theirs = uncut[..., middle * scale : (middle + 8) * scale]
        error = (ours - theirs).square().mean().clamp_min(1e-12)
        return bool(-10 * error.log10() >= ENOUGH_DB)

    return MARGINS_PIXELS[bisect_left(MARGINS_PIXELS[:-1], True, key=is_enough)]


def probe(height: int, width: int, multiple: int = 1) -> Tensor:
    """A random picture with detail at all scales, as photos have: a sum of noise of grain 1, 2, 4 to 32 pixels.

    Returns:
        (1, 3, H, W) in [0, 1], where H and W are `height` and `width`, rounded up to multiples of `multiple`.
    """
    height, width = (ceil(side / multiple) * multiple for side in (height, width))
    rng = torch.Generator().manual_seed(0)
    total = torch.zeros(1, 3, height, width)
    for step in (1, 2, 4, 8, 16, 32):
        noise = torch.rand((1, 3, ceil(height / step), ceil(width / step)), generator=rng)
        large = noise.repeat_interleave(step, 2).repeat_interleave(step, 3)
        total += large[:, :, :height, :width] * step**0.5
    return (total - total.amin()) / (total.amax() - total.amin())


def _ramp(size: int) -> Tensor:
    """Weights from 0 to 1 in `size` steps, smooth at both ends."""
    return 0.5 - 0.5 * torch.cos((torch.arange(size) + 0.5) / size * torch.pi)
