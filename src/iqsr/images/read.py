"""Read a picture file: its header when it is opened, its rows from top to bottom when they are asked for."""

import errno
import logging
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyvips

from iqsr.errors import PictureError, UnknownNameError, UsageError
from iqsr.images import bmp, heic, jpeg2000, metadata, pnm, tiff, tiff_pages, vips
from iqsr.images.alpha import ALPHAS, FETCH_ROWS, fill_hidden
from iqsr.images.decode_errors import damaged_error, decode_error, is_jpeg_cut_short, jpeg_fail_on, memory_error
from iqsr.images.formats import detect_format
from iqsr.images.info import PictureInfo, other_channels_warning
from iqsr.images.metadata import heif_boxes

if TYPE_CHECKING:
    from torch import Tensor

_DEFAULT_MAX_PIXELS = 512_000_000
_BAND_ROWS = 64
_LOADERS = {
    "jpeg": "jpegload_source",
    "png": "pngload_source",
    "webp": "webpload_source",
    "avif": "heifload_source",
    "gif": "gifload_source",
}
_DECODERS = {"heic": heic, "bmp": bmp, "pnm": pnm, "jp2": jpeg2000}
"""Decoders of the formats that libvips does not load. They decode a picture in one piece."""
# libvips' level of messages at which a file counts as damaged. TIFF: at an error, libtiff leaves black or garbage in
# the place of pixels; its warnings are about unknown tags and the like. JPEG: see jpeg_fail_on. The decoders of PNG,
# WebP, AVIF and GIF give no pixels for what they refuse, and no more messages at a stricter level.
_FAIL_ON = {"png": "truncated", "webp": "truncated", "avif": "truncated", "gif": "truncated", "tiff": "error"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """An opened picture file. It is decoded when `rows` is called, which may be done more than once."""

    info: PictureInfo
    straight: bool = False
    """Whether alpha is a channel of its own and no transparency, as in some textures: colour is then left as it is."""

    def rows(self, band_height: int) -> "Iterator[Tensor]":
        """Decode the picture from top to bottom.

        A warning names, once, each part of the file that is not read.

        Args:
            band_height: Rows of a band, at least 1; the last band may have fewer.

        Yields:
            Bands as float32 (1, 3, <= band_height, width) in [0, 1], channels-last in memory. Gray has three equal
            channels. The colour of transparent pixels is that of their visible neighbours, unless `straight`.

        Raises:
            PictureError: The file is damaged, cut short, changed since it was opened, or too large for the memory.
        """
        if band_height < 1:
            raise UsageError(f"a band of rows needs a height of at least 1, got {band_height}")
        for warning in self.info.warnings:
            _warn_once(f"'{self.info.path}': {warning}")
        image = decoded(self.info)
        with _reading(self.info.path, self.info.format):
            if self.info.has_alpha:
                image = image[: image.bands - 1] if self.straight else fill_hidden(image)
            region = pyvips.Region.new(image)
        for top in range(0, image.height, band_height):
            yield self._band(region, image, top, min(band_height, image.height - top))

    def _band(self, region: pyvips.Region, image: pyvips.Image, top: int, height: int) -> "Tensor":
        import numpy as np
        import torch

        # A region and not crops of the image: at the end of each crop the loader would close its file.
        dtype = {"uchar": np.uint8, "ushort": np.uint16}.get(str(image.format), np.float32)
        one = np.float32(65535 if self.info.depth == 16 else 255)
        with _reading(self.info.path, self.info.format):
            band = np.empty((height, image.width, 3), np.float32)
            for y in range(0, height, FETCH_ROWS):
                rows = min(FETCH_ROWS, height - y)
                fetched = region.fetch(0, top + y, image.width, rows)
                values = np.frombuffer(fetched, dtype).reshape(rows, image.width, image.bands)
                np.divide(values, one, out=band[y : y + rows])
        return torch.from_numpy(band).unsqueeze(0).permute(0, 3, 1, 2)


def open_picture(path: Path, *, alpha: str = ALPHAS[0]) -> Picture:
    """Open a picture file and read its header. The content decides on the decoder, not the file's name.

    Args:
        path: The file.
        alpha: `transparency`, or `straight` if alpha is a channel of its own (see `Picture.straight`).

    Raises:
        PictureError: The file is no still picture of 8 or 16 bits in a format that is read (`FORMATS`), is damaged, or
            has more pixels than the environment variable IQSR_MAX_PIXELS allows (default 512 million).
        UnknownNameError: `alpha` is another word.
    """
    if alpha not in ALPHAS:
        raise UnknownNameError("alpha", alpha, list(ALPHAS))
    path = Path(path)
    format = detect_format(path)
    with _reading(path, format):
        info = _decoder_info(path, format) if format in _DECODERS else _vips_info(path, format)
    return Picture(info, alpha == "straight")


def open_as_srgb(path: Path) -> Picture:
    """Open a picture whose values will be taken for sRGB's, as metrics and training do. Raises as `open_picture` does.

    A warning names, once, a file whose values are too different for that, as those of HDR are.
    """
    picture = open_picture(path)
    if special := picture.info.colour.only_png:
        _warn_once(f"'{path}' has {special}, which count as sRGB here; convert it to sRGB first")
    return picture


def read_rgb(path: Path) -> "Tensor":
    """Read a picture as float32 RGB (1, 3, H, W) in [0, 1]. Raises as `open_as_srgb` and `Picture.rows` do."""
    import torch

    return torch.cat(list(open_as_srgb(path).rows(256)), 2)


def decoded_size(path: Path) -> tuple[int, int]:
    """Decode every row of a picture, to find damage, and return its width and height. Raises as `read_rgb`."""
    picture = open_picture(path)
    for _ in picture.rows(_BAND_ROWS):
        pass
    return picture.info.width, picture.info.height


def decoded(info: PictureInfo) -> pyvips.Image:
    """The picture as a libvips image: upright, gray or RGB, with or without alpha, uchar or ushort. PictureError.

    It must be read from top to bottom, once. An orientation that needs the last row or column first is turned in
    memory, or in a temporary file where the picture has more than 100 MB.
    """
    with _reading(info.path, info.format):
        if info.format in _DECODERS:
            image = _DECODERS[info.format].decode(info.path)
        else:
            fail_on = jpeg_fail_on(info.path) if info.format == "jpeg" else _FAIL_ON[info.format]
            raw = _load(info.path, info.format, "sequential", fail_on)
            if _orientation(raw) > 2:
                raw = _load(info.path, info.format, "random", fail_on)
            image = _plain(raw, info.path, info.format).autorot()
    facts = (image.width, image.height, image.bands, image.format)
    bands = (1 if info.gray else 3) + info.has_alpha
    if facts != (info.width, info.height, bands, "ushort" if info.depth == 16 else "uchar"):
        raise PictureError(f"cannot read '{info.path}': it has changed since it was opened; run again")
    return image


def _vips_info(path: Path, format: str) -> PictureInfo:
    warnings = _warnings(path, format)
    raw = _load(path, format, "sequential", "truncated")
    _check_size(path, raw.width, raw.height)
    if format == "jpeg" and is_jpeg_cut_short(path):
        raise damaged_error(path, "no end of the picture")
    image = _plain(raw, path, format)
    blocks = metadata.read_metadata(path, format, raw)
    width, height = image.width, image.height
    if _orientation(raw) >= 5:
        width, height = height, width
        blocks = replace(blocks, resolution=blocks.resolution.turned if blocks.resolution else None)
    return PictureInfo(
        path=path,
        format=format,
        width=width,
        height=height,
        gray=image.bands < 3,
        depth=16 if image.format == "ushort" else 8,
        has_alpha=image.bands in (2, 4),
        colour=metadata.read_colour(path, format, raw, image, blocks),
        metadata=blocks,
        warnings=warnings,
    )


def _decoder_info(path: Path, format: str) -> PictureInfo:
    warnings = _warnings(path, format)
    header = _DECODERS[format].read_header(path)
    _check_size(path, header.width, header.height)
    return PictureInfo(
        path=path,
        format=format,
        width=header.width,
        height=header.height,
        gray=header.bands < 3,
        depth=16 if header.depth > 8 else 8,
        has_alpha=header.bands in (2, 4),
        colour=metadata.header_colour(path, format, header),
        metadata=metadata.header_metadata(path, format, header),
        warnings=warnings + header.warnings,
    )


def _warnings(path: Path, format: str) -> tuple[str, ...]:
    """One line for channels or frames that are not read. PictureError if the file holds several pictures."""
    if format == "tiff" and (others := tiff.other_channels(_page(path))):
        return (other_channels_warning(others),)
    if format in ("avif", "heic"):
        frames, is_sequence = heif_boxes.frames(path)
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
        raise damaged_error(path, "no sound page")
    return page


def _load(path: Path, format: str, access: str, fail_on: str) -> pyvips.Image:
    with _reading(path, format):
        if format == "tiff":
            page = _page(path)
            image = tiff.load(path, page, access, fail_on)
            if tiff.is_cut_short(path, page):
                raise damaged_error(path, "pixels beyond its end")
            return image
        options = {"access": access, "fail_on": fail_on}
        image = pyvips.Operation.call(_LOADERS[format], vips.source(path), **options)
        primary, frames = vips.field(image, "heif-primary"), vips.field(image, "n-pages")
        if format != "avif" and isinstance(frames, int) and frames > 1:
            raise _several(path, frames)
        if primary:
            image = pyvips.Operation.call(_LOADERS[format], vips.source(path), page=primary, **options)
        return image


def _plain(image: pyvips.Image, path: Path, format: str) -> pyvips.Image:
    """Convert CMYK and floating-point Lab to sRGB; gray and RGB of 8 or 16 bits stay. PictureError for others."""
    with _reading(path, format):
        if image.interpretation == "cmyk":
            depth = 16 if image.format == "ushort" else 8
            alpha = image[4] if image.bands > 4 else None
            image = image[:4].icc_transform("srgb", embedded=True, input_profile="cmyk", depth=depth)
            image = image if alpha is None else image.bandjoin(alpha)
        elif image.interpretation == "lab":
            image = image.icc_export(output_profile="srgb")
    if image.format not in ("uchar", "ushort"):
        raise decode_error(path, format, f"samples of type {image.format} are not supported")
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
def _reading(path: Path, format: str) -> Generator[None]:
    try:
        yield
    except pyvips.Error as error:
        raise decode_error(path, format, vips.reason(error), str(error.detail)) from None
    except MemoryError:
        raise memory_error(path) from None
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        raise memory_error(path) from None


@cache
def _warn_once(line: str) -> None:
    logger.warning(line)
