"""Reading: an opened file tells its facts from the header; its rows come later, top to bottom."""

import logging
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyvips

from iqsr.errors import PictureError, UnknownNameError, UsageError
from iqsr.images import bmp, heic, heif, jp2, jpeg, metadata, pnm, tiff, tiff_pages, vips
from iqsr.images.alpha import ALPHAS, FETCH_ROWS, fill_hidden
from iqsr.images.header import of_other_channels
from iqsr.images.kinds import kind_of
from iqsr.images.metadata import Colour, Metadata
from iqsr.images.unreadable import refusal

if TYPE_CHECKING:
    from torch import Tensor

_DEFAULT_MAX_PIXELS = 512_000_000
_LOADERS = {
    "jpeg": "jpegload_source",
    "png": "pngload_source",
    "webp": "webpload_source",
    "avif": "heifload_source",
    "gif": "gifload_source",
}
_WHOLE = {"heic": heic, "bmp": bmp, "pnm": pnm, "jp2": jp2}
"""Kinds that libvips does not load; their decoders hold the picture."""
# libvips' level from which on a file counts as damaged. TIFF: an error of libtiff's leaves black or garbage where
# pixels should be, while its warnings are of unknown tags and the like. JPEG: see jpeg.fail_on. PNG, WebP,
# AVIF and GIF have no pixels for what their decoders refuse, and say nothing more at a stricter level.
_FAIL_ON = {"png": "truncated", "webp": "truncated", "avif": "truncated", "gif": "truncated", "tiff": "error"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PictureInfo:
    """What a file says of itself before a pixel is decoded."""

    path: Path
    kind: str
    """of the content, as `kind_of` tells it"""
    width: int
    """as seen, orientation applied"""
    height: int
    gray: bool
    depth: Literal[8, 16]
    has_alpha: bool
    colour: Colour
    """what the values that `rows` yields mean: as the file says, or sRGB where CMYK was converted"""
    metadata: Metadata
    """as the file has it, the format's own resolution as seen: orientation and dimensions in EXIF not yet updated"""
    notes: tuple[str, ...] = ()
    """what of the file is not read, one line each"""

    @property
    def icc(self) -> bytes | None:
        """The profile of the values that `rows` yields."""
        return self.colour.icc


@dataclass(frozen=True)
class Picture:
    """An opened picture file. Nothing is decoded until rows are asked for; they can be asked for again."""

    info: PictureInfo
    straight: bool = False
    """whether colour stands for itself, whatever alpha says, as in textures whose alpha is no transparency"""

    def rows(self, band_height: int) -> "Iterator[Tensor]":
        """The picture from top to bottom in bands of `band_height` rows; the last may have fewer.

        Yields float32 (1, 3, <= band_height, width) in [0, 1], channels-last in memory. A gray picture's band
        is repeated; colour under transparent pixels comes from their visible neighbours, unless `straight`.
        What of the file is not read is told in a warning, once. PictureError where the file turns out damaged,
        cut short, or changed since it was opened.
        """
        if band_height < 1:
            raise UsageError(f"a band of rows needs a height of at least 1, got {band_height}")
        for note in self.info.notes:
            _tell_once(f"'{self.info.path}': {note}")
        image = decoded(self.info)
        with _reading(self.info.path, self.info.kind):
            if self.info.has_alpha:
                image = image[: image.bands - 1] if self.straight else fill_hidden(image)
            region = pyvips.Region.new(image)
        for top in range(0, image.height, band_height):
            yield self._band(region, image, top, min(band_height, image.height - top))

    def _band(self, region: pyvips.Region, image: pyvips.Image, top: int, height: int) -> "Tensor":
        import numpy as np
        import torch

        # A region, and not crops of the image: each crop would end by telling the loader to close its file.
        kind = {"uchar": np.uint8, "ushort": np.uint16}.get(str(image.format), np.float32)
        one = np.float32(65535 if self.info.depth == 16 else 255)
        band = np.empty((height, image.width, 3), np.float32)
        for y in range(0, height, FETCH_ROWS):
            rows = min(FETCH_ROWS, height - y)
            with _reading(self.info.path, self.info.kind):
                fetched = region.fetch(0, top + y, image.width, rows)
            values = np.frombuffer(fetched, kind).reshape(rows, image.width, image.bands)
            np.divide(values, one, out=band[y : y + rows])
        return torch.from_numpy(band).unsqueeze(0).permute(0, 3, 1, 2)


def open_picture(path: Path, *, alpha: str = ALPHAS[0]) -> Picture:
    """Open a picture file and read its header. The loader is chosen by content, never by the file's name.

    alpha: `transparency`, or `straight` where it is data (see `Picture.straight`); UnknownNameError for others.

    PictureError (one line) for all but still pictures of 8 or 16 bit in a format that is read (`FORMATS`), and for
    more pixels than the environment's IQSR_MAX_PIXELS (default 512 million).
    """
    if alpha not in ALPHAS:
        raise UnknownNameError("alpha", alpha, list(ALPHAS))
    path = Path(path)
    kind = kind_of(path)
    return Picture(_whole_info(path, kind) if kind in _WHOLE else _vips_info(path, kind), alpha == "straight")


def open_as_srgb(path: Path) -> Picture:
    """`open_picture` for those who look at the values alone, as metrics and training do. Raises its errors.

    A warning tells, once, of a file whose values no one may take for sRGB's, or for those of a space like it: HDR.
    """
    picture = open_picture(path)
    if special := picture.info.colour.only_png:
        _tell_once(f"'{path}' has {special}, which count as sRGB here; convert it to sRGB first")
    return picture


def read_rgb(path: Path) -> "Tensor":
    """A whole picture file as float32 RGB (1, 3, H, W) in [0, 1]. Raises the errors of `open_as_srgb`."""
    import torch

    return torch.cat(list(open_as_srgb(path).rows(256)), 2)


def decoded(info: PictureInfo) -> pyvips.Image:
    """A fresh pass over the file: upright, gray or RGB, with or without alpha, uchar or ushort. PictureError.

    To be read from top to bottom. Orientations that need the last row or column first go through memory, or
    through a temporary file where the picture is large to libvips (100 MB).
    """
    if info.kind in _WHOLE:
        image = _WHOLE[info.kind].decode(info.path)
    else:
        fail_on = jpeg.fail_on(info.path) if info.kind == "jpeg" else _FAIL_ON[info.kind]
        raw = _load(info.path, info.kind, "sequential", fail_on)
        if _orientation(raw) > 2:
            raw = _load(info.path, info.kind, "random", fail_on)
        image = _plain(raw, info.path, info.kind)
        with _reading(info.path, info.kind):
            image = image.autorot()
    facts = (image.width, image.height, image.bands, image.format)
    bands = (1 if info.gray else 3) + info.has_alpha
    if facts != (info.width, info.height, bands, "ushort" if info.depth == 16 else "uchar"):
        raise PictureError(f"cannot read '{info.path}': it has changed since it was opened; run again")
    return image


def _vips_info(path: Path, kind: str) -> PictureInfo:
    notes = _notes(path, kind)
    raw = _load(path, kind, "sequential", "truncated")
    _check_size(path, raw.width, raw.height)
    if kind == "jpeg" and jpeg.is_cut_short(path):
        raise PictureError(f"cannot read '{path}': the file is damaged or cut short (no end of the picture)")
    image = _plain(raw, path, kind)
    blocks = metadata.of_file(path, kind, raw)
    width, height = image.width, image.height
    if _orientation(raw) >= 5:
        width, height = height, width
        blocks = replace(blocks, resolution=blocks.resolution.turned if blocks.resolution else None)
    return PictureInfo(
        path=path,
        kind=kind,
        width=width,
        height=height,
        gray=image.bands < 3,
        depth=16 if image.format == "ushort" else 8,
        has_alpha=image.bands in (2, 4),
        colour=metadata.colour_of_file(path, kind, raw, image, blocks),
        metadata=blocks,
        notes=notes,
    )


def _whole_info(path: Path, kind: str) -> PictureInfo:
    notes = _notes(path, kind)
    header = _WHOLE[kind].read_header(path)
    _check_size(path, header.width, header.height)
    return PictureInfo(
        path=path,
        kind=kind,
        width=header.width,
        height=header.height,
        gray=header.bands < 3,
        depth=16 if header.depth > 8 else 8,
        has_alpha=header.bands in (2, 4),
        colour=metadata.colour_of_header(path, kind, header),
        metadata=metadata.of_header(path, kind, header),
        notes=notes + header.notes,
    )


def _notes(path: Path, kind: str) -> tuple[str, ...]:
    """What will not be read of a file's channels and frames. PictureError where they are more than one picture."""
    if kind == "tiff" and (others := tiff.left_out(_page(path))):
        return (of_other_channels(others),)
    if kind in ("avif", "heic"):
        frames, is_sequence = heif.frames(path)
        if frames > 1 and is_sequence:
            raise _several(path, frames)
        if frames > 1:
            return (f"a sequence of {frames} frames left out: the still picture is read",)
    return ()


def _several(path: Path, frames: int) -> PictureError:
    return PictureError(f"cannot read '{path}': it is animated ({frames} frames); save one of them as a picture first")


def _page(path: Path) -> tiff_pages.Page:
    page = tiff_pages.main_page(path)
    if page is None:
        raise PictureError(f"cannot read '{path}': the file is damaged or cut short (no sound page)")
    return page


def _load(path: Path, kind: str, access: str, fail_on: str) -> pyvips.Image:
    with _reading(path, kind):
        if kind == "tiff":
            page = _page(path)
            image = tiff.load(path, page, access, fail_on)
            if tiff.is_cut_short(path, page):
                raise PictureError(f"cannot read '{path}': the file is damaged or cut short (pixels beyond its end)")
            return image
        options = {"access": access, "fail_on": fail_on}
        image = pyvips.Operation.call(_LOADERS[kind], vips.source(path), **options)
        primary, frames = vips.field(image, "heif-primary"), vips.field(image, "n-pages")
        if kind != "avif" and isinstance(frames, int) and frames > 1:
            raise _several(path, frames)
        if primary:
            image = pyvips.Operation.call(_LOADERS[kind], vips.source(path), page=primary, **options)
        return image


def _plain(image: pyvips.Image, path: Path, kind: str) -> pyvips.Image:
    """Gray or RGB, 8 or 16 bit; CMYK and floating-point Lab become sRGB. PictureError for what is something else."""
    with _reading(path, kind):
        if image.interpretation == "cmyk":
            depth = 16 if image.format == "ushort" else 8
            alpha = image[4] if image.bands > 4 else None
            image = image[:4].icc_transform("srgb", embedded=True, input_profile="cmyk", depth=depth)
            image = image if alpha is None else image.bandjoin(alpha)
        elif image.interpretation == "lab":
            image = image.icc_export(output_profile="srgb")
    if image.format not in ("uchar", "ushort"):
        raise refusal(path, kind, f"samples of type {image.format} are not supported")
    bits = vips.field(image, "bits-per-sample")
    if image.format == "ushort" and vips.field(image, "heif-compression") and bits in (10, 12):
        # AVIF: white comes as 1023 << 6 or 4095 << 4, and 16-bit white is 65535.
        white = (2**bits - 1) << (16 - bits)
        image = image.linear([65535 / white], [0.0]).rint().cast("ushort")
    return image


def _check_size(path: Path, width: int, height: int) -> None:
    allowed = os.environ.get("IQSR_MAX_PIXELS", str(_DEFAULT_MAX_PIXELS))
    if not allowed.isdecimal():
        raise UsageError(f"IQSR_MAX_PIXELS must be a whole number of pixels, not '{allowed}'")
    if width * height > int(allowed):
        raise PictureError(
            f"cannot read '{path}': {width} x {height} pixels are more than the {int(allowed):,} allowed; "
            "set IQSR_MAX_PIXELS higher if you trust the file"
        )


def _orientation(image: pyvips.Image) -> int:
    value = vips.field(image, "orientation")
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


@contextmanager
def _reading(path: Path, kind: str) -> Generator[None]:
    try:
        yield
    except pyvips.Error as error:
        raise refusal(path, kind, vips.reason(error), str(error.detail)) from None


@cache
def _tell_once(line: str) -> None:
    logger.warning(line)
