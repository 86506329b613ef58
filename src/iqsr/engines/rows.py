"""Pictures as bands of rows from top to bottom: the form in which they enter and leave the engines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """A picture of known size whose rows can be read from top to bottom, any number of times."""

    width: int
    height: int
    bands: Callable[[int], Iterator[Tensor]]
    """From the wanted height of a band to the bands: fp32, (1, channels, any height, width). Pictures have 3 channels.

    Bands of files have the wanted height; bands of an engine have the heights that come out of its network.
    """


OnProgress = Callable[[float], None]


def ignore_progress(done: float) -> None:
    """For callers that want no progress."""


class RowEngine(Protocol):
    """Runs a network over a picture's rows."""

    scale: int

    def apply(self, rows: Rows, on_progress: OnProgress | None = None) -> Rows:
        """The enlarged picture. It is computed when its bands are read.

        Args:
            rows: The picture.
            on_progress: Called with the share of the work that is done, from 0 to 1.
        """
        ...


def of_tensor(picture: Tensor) -> Rows:
    """A tensor (1, 3, H, W) as rows."""

    def bands(height: int) -> Iterator[Tensor]:
        for top in range(0, picture.shape[2], height):
            yield picture[:, :, top : top + height].float()

    return Rows(picture.shape[3], picture.shape[2], bands)


def rebanded(bands: Iterable[Tensor], height: int) -> Iterator[Tensor]:
    """The same rows in bands of `height`; the last band may be less high."""
    waiting: list[Tensor] = []
    count = 0
    for band in bands:
        waiting.append(band)
        count += band.shape[2]
        while count >= height:
            joined = torch.cat(waiting, 2) if len(waiting) > 1 else waiting[0]
            yield joined[:, :, :height]
            waiting = [joined[:, :, height:]] if count > height else []
            count -= height
    if count:
        yield torch.cat(waiting, 2)


def padded(rows: Rows, multiple: int, minimum: int = 1) -> Rows:
    """The picture extended by its mirror image on the right and at the bottom.

    Args:
        rows: The picture.
        multiple: Width and height become multiples of it.
        minimum: Least width and height.
    """
    width = -(-max(rows.width, minimum) // multiple) * multiple
    height = -(-max(rows.height, minimum) // multiple) * multiple
    if (width, height) == (rows.width, rows.height):
        return rows

    def bands(band: int) -> Iterator[Tensor]:
        below = height - rows.height
        tail: list[Tensor] = []
        enough = max(band, below + 1)  # so that the last two bands hold all rows to mirror
        for part in rebanded(rows.bands(enough), enough):
            yield _mirrored(part, width - rows.width, 3)
            tail.append(part)
            tail = tail[-2:]
        if below:
            last = torch.cat(tail, 2)
            extended = _mirrored(last, below, 2)[:, :, last.shape[2] :]
            yield _mirrored(extended, width - rows.width, 3)

    return Rows(width, height, bands)


def _mirrored(x: Tensor, more: int, axis: int) -> Tensor:
    """`x` with `more` mirrored rows or columns at the end of `axis`; mirrored several times where x is too small."""
    while more > 0:
        step = min(more, x.shape[axis] - 1)
        if step == 0:
            repeats = [1, 1, 1, 1]
            repeats[axis] = more + 1
            return x.repeat(repeats)
        side = (0, step, 0, 0) if axis == 3 else (0, 0, 0, step)
        x = F.pad(x, side, mode="reflect")
        more -= step
    return x


def unshuffled(rows: Rows, factor: int) -> Rows:
    """`F.pixel_unshuffle`: each square of `factor` x `factor` pixels becomes the channels of one.

    Width and height must be multiples of `factor`.
    """

    def bands(height: int) -> Iterator[Tensor]:
        for part in rebanded(rows.bands(height * factor), height * factor):
            yield F.pixel_unshuffle(part, factor)

    return Rows(rows.width // factor, rows.height // factor, bands)


def cropped(rows: Rows, width: int, height: int) -> Rows:
    """The first `width` columns and `height` rows of the picture."""

    def bands(band: int) -> Iterator[Tensor]:
        left = height
        for part in rows.bands(band):
            if left > 0:
                yield part[:, :, :left, :width]
            left -= part.shape[2]

    return Rows(width, height, bands)


def clamped(rows: Rows) -> Rows:
    """The picture with values clamped to [0, 1], as files have them."""
    return Rows(rows.width, rows.height, lambda band: (part.clamp(0, 1) for part in rows.bands(band)))


class NotFiniteBandError(Exception):
    """A band has values that are infinite or NaN. `iqsr.finite.NotFiniteError` is that of a training."""


def finite(rows: Rows) -> Rows:
    """The same rows; reading raises NotFiniteBandError at the first band that is not finite."""

    def bands(band: int) -> Iterator[Tensor]:
        for part in rows.bands(band):
            if not torch.isfinite(part.sum()):
                raise NotFiniteBandError
            yield part

    return Rows(rows.width, rows.height, bands)


def columns(rows: Rows, start: int, stop: int) -> Rows:
    """Columns [start, stop) of the picture."""

    def bands(band: int) -> Iterator[Tensor]:
        for part in rows.bands(band):
            yield part[..., start:stop]

    return Rows(stop - start, rows.height, bands)


def side_by_side(strips: list[Rows]) -> Rows:
    """Strips of the same height joined from left to right. Each is computed as a whole before the next one.

    Computed strips are kept in temporary files, as 16-bit values clamped to [0, 1], so that only one strip's state is
    in memory.

    Raises:
        NotFiniteBandError: When read, for a strip that is not finite, which 16-bit values cannot represent.
    """
    width, height = sum(s.width for s in strips), strips[0].height

    def bands(band: int) -> Iterator[Tensor]:
        with TemporaryDirectory(prefix="iqsr-") as folder, ExitStack() as opened:
            paths = [_spooled(strip, band, Path(folder) / f"{n}.u16") for n, strip in enumerate(strips)]
            files = [opened.enter_context(path.open("rb")) for path in paths]
            for top in range(0, height, _SPOOLED_BAND_ROWS):
                rows = min(_SPOOLED_BAND_ROWS, height - top)
                parts = [_unspooled(file, rows, s.width) for file, s in zip(files, strips, strict=True)]
                yield torch.cat(parts, 3)

    return Rows(width, height, bands)


_SPOOLED_BAND_ROWS = 32
"""Rows that are read from the temporary files at one time."""


def _spooled(strip: Rows, band: int, path: Path) -> Path:
    """Write a strip to a file, as 16-bit values of rows, columns and channels."""
    with path.open("wb") as file:
        for part in finite(strip).bands(band):
            values = part[0].clamp(0, 1).mul(65535).round().permute(1, 2, 0)
            file.write(values.cpu().numpy().astype(np.uint16).tobytes())
    return path


def _unspooled(file: BinaryIO, rows: int, width: int) -> Tensor:
    """Read the next rows of such a file, (1, 3, rows, width)."""
    values = np.frombuffer(file.read(rows * width * 6), np.uint16).astype(np.float32)
    return torch.from_numpy(values).div_(65535).view(1, rows, width, 3).permute(0, 3, 1, 2)
