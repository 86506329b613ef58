"""One picture through several models, on one page with dividers: the whole, and the details where they differ most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from iqsr.errors import UsageError
from iqsr.images.read import Picture, open_as_srgb
from iqsr.report.crops import Box, largest_disagreements
from iqsr.report.encode import Pixels, pixels
from iqsr.report.page import ComparedPicture, Table, Variant, write_comparison

INPUT = "Input"
_WHOLE_SIDE, _DETAIL_SIDE = 1200, 384
"""Longest side of the overview, and side of a detail, in pixels."""
_QUALITY = 85
"""WebP, of the overview."""
_BAND_PIXELS = 8_000_000


@dataclass(frozen=True)
class _File:
    """A picture file that is read in bands: a large one is never in memory whole."""

    picture: Picture

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.picture.info.height, self.picture.info.width

    def whole(self, longest: int) -> Tensor:
        """(3, h, w) in [0, 1]: means over squares, so that neither side is longer than `longest`."""
        factor = -(-max(self.size) // longest)
        height = max(_BAND_PIXELS // self.size[1] // factor, 1) * factor
        bands = [F.avg_pool2d(band, factor, ceil_mode=True)[0] for band in self.picture.rows(height)]
        return torch.cat(bands, 1)

    def details(self, boxes: list[Box]) -> list[Tensor]:
        """(3, H, W) each, the boxes' pixels as they are."""
        parts: list[list[Tensor]] = [[] for _ in boxes]
        top = 0
        for band in self.picture.rows(max(_BAND_PIXELS // self.size[1], 1)):
            for box, rows in zip(boxes, parts, strict=True):
                first, last = max(box.top - top, 0), min(box.top + box.height - top, band.shape[2])
                if first < last:
                    rows.append(band[0, :, first:last, box.left : box.left + box.width].clone())
            top += band.shape[2]
        return [torch.cat(rows, 1) for rows in parts]


def write_upscaled(
    out: Path, source: Path, outputs: Mapping[str, Path], *, details: int = 3, facts: Mapping[str, str] | None = None
) -> None:
    """Write a page that compares the outputs of several models for one picture, whole or not at all.

    The whole picture is reduced and lossy where it is large; the details are its pixels. Outputs may have different
    sizes: the largest one's frame holds all.

    Args:
        out: The page.
        source: The picture that was enlarged.
        outputs: By model: the file that it made.
        details: How many places to show, those where the outputs differ most.
        facts: How they were made; shown at the foot.

    Raises:
        UsageError: Without an output.
        PictureError: For a file that cannot be read.
        WriteError: Where the page cannot be written.
    """
    if not outputs:
        raise UsageError("there is no output to compare")
    files = {INPUT: _File(open_as_srgb(source)), **{name: _File(open_as_srgb(path)) for name, path in outputs.items()}}
    wholes = {name: file.whole(_WHOLE_SIDE) for name, file in files.items()}
    full = max((file.size for file in files.values()), key=lambda size: size[0] * size[1])
    boxes = _boxes([pixels(wholes[name]) for name in outputs], full, details)
    parts = {name: file.details([box.scaled(file.size, full) for box in boxes]) for name, file in files.items()}
    first, *others = outputs
    left, right = (first, others[0]) if others else (INPUT, first)
    captions = {name: f"{file.size[1]} × {file.size[0]} pixels" for name, file in files.items()}
    quality = None if max(full) <= _WHOLE_SIDE else _QUALITY
    shown = [_compared(source.name, wholes, captions, left, right, quality)]
    for number, box in enumerate(boxes):
        title = f"Detail {number + 1}, at {box.left}, {box.top}"
        shown.append(_compared(title, {name: cut[number] for name, cut in parts.items()}, captions, left, right))
    lead = "The details are where the models differ most, pixel by pixel and lossless."
    write_comparison(out, source.name, shown, Table((), ()), lead=lead, facts=facts)


def compare_models(
    source: Path,
    models: Sequence[str],
    out: Path,
    upscale: Callable[[str, Path], object],
    *,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Enlarge one picture with several models and write the page of `write_upscaled`; the outputs are not kept.

    Args:
        source: The picture.
        models: Names, or paths of checkpoints, each once.
        out: The page.
        upscale: Called with a model and the PNG to write.
        facts: How the outputs are made; shown at the foot.

    Raises:
        UsageError: For a model that is named twice.
        IqsrError: What `upscale` and `write_upscaled` raise.
    """
    names = dict(zip(models, _short(models), strict=True))
    if len(names) < len(models):
        raise UsageError(f"a model is named twice: {', '.join(models)}")
    with TemporaryDirectory(prefix="iqsr-") as folder:
        outputs: dict[str, Path] = {}
        for number, (model, name) in enumerate(names.items()):
            outputs[name] = Path(folder) / f"{number}.png"
            upscale(model, outputs[name])
        write_upscaled(out, source, outputs, facts=facts)


def _short(models: Sequence[str]) -> list[str]:
    """Checkpoints by their file's name, where that tells them apart."""
    short = [Path(model).stem if Path(model).suffix else model for model in models]
    return short if len(set(short)) == len(short) else list(models)


def _boxes(versions: list[Pixels], full: tuple[int, int], count: int) -> list[Box]:
    """Details in pixels of the largest output, found in the reduced ones."""
    height, width = max((version.shape[:2] for version in versions), key=lambda size: size[0] * size[1])
    fitted = [
        np.asarray(Image.fromarray(version).resize((width, height), Image.Resampling.BICUBIC)) for version in versions
    ]
    side = min(_DETAIL_SIDE, max(max(full) // 3, 1), *full)
    found = largest_disagreements(fitted, max(round(side * width / full[1]), 1), count)
    placed = [box.scaled(full, (height, width)) for box in found]
    return [Box(min(box.left, full[1] - side), min(box.top, full[0] - side), side, side) for box in placed]


def _compared(
    title: str,
    versions: Mapping[str, Tensor],
    captions: Mapping[str, str],
    left: str,
    right: str,
    quality: int | None = None,
) -> ComparedPicture:
    variants = [
        Variant(name, image, captions[name], pixelated=name == INPUT, quality=quality)
        for name, image in versions.items()
    ]
    return ComparedPicture(title, variants, left=left, right=right)
