"""Write a picture file: libvips encodes the rows as they arrive; the file appears whole or not at all."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyvips

from iqsr.errors import PictureError, UsageError
from iqsr.images import metadata, vips
from iqsr.images.alpha import largest
from iqsr.images.encoder import EncoderThreads, PngRows
from iqsr.images.formats import MUST_END, suffixes_of
from iqsr.images.info import PictureInfo
from iqsr.images.read import Picture, decoded
from iqsr.images.resample import resampled
from iqsr.io.atomic import atomic_path, check_output_path

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class OutputFormat:
    """A file format that pictures are written in."""

    name: str
    saver: str
    """libvips' operation."""
    suffixes: tuple[str, ...]
    longest_side: int
    """In pixels."""
    has_16_bit: bool
    has_alpha: bool
    quality: int | None
    """The default, 1..100; None for a lossless format."""


_PNG = OutputFormat("PNG", "pngsave_target", suffixes_of("png"), 2**31 - 1, True, True, None)
_JPEG = OutputFormat("JPEG", "jpegsave_target", suffixes_of("jpeg"), 65500, False, False, 95)
_WEBP = OutputFormat("WebP", "webpsave_target", suffixes_of("webp"), 16383, False, True, 90)
_TIFF = OutputFormat("TIFF", "tiffsave_target", suffixes_of("tiff"), 2**31 - 1, True, True, None)
# From this quality on colours are stored at full resolution: a quarter of them shows on red edges.
_FULL_COLOUR_FROM = 90

logger = logging.getLogger(__name__)


def output_formats() -> tuple[OutputFormat, ...]:
    """The formats that can be written, the default first."""
    return (_PNG, _JPEG, _WEBP, _TIFF)


def check_output(out: Path, size: tuple[int, int], picture: Picture) -> None:
    """Check, before the work, whether a picture can be written.

    Args:
        out: The file; its suffix decides on the format. Its folder need not exist yet.
        size: (width, height) of the file in pixels.
        picture: The source.

    Raises:
        UsageError: The suffix is not one that is written, or a side is below 1.
        PictureError: A side is longer than the format allows, the format cannot store the colours (HDR), the folder
            cannot be written to, or `out` is a folder.
    """
    out = Path(out)
    chosen = _format(out)
    if min(size) < 1:
        raise UsageError(f"cannot write '{out}': {size[0]} x {size[1]} is no size for a picture")
    if max(size) > chosen.longest_side:
        raise PictureError(
            f"cannot write '{out}': {chosen.name} holds at most {chosen.longest_side} pixels a side, and "
            f"'{picture.info.path.name}' becomes {size[0]} x {size[1]}; choose .png or .tif"
        )
    if (special := picture.info.colour.only_png) and chosen is not _PNG:
        raise PictureError(
            f"cannot write '{out}': '{picture.info.path.name}' has {special}, which of the output formats only PNG "
            "can tell; choose .png"
        )
    check_output_path(out)


def write_picture(
    out: Path,
    bands: "Iterable[Tensor]",
    *,
    source: Picture,
    upscaled: tuple[int, int],
    size: tuple[int, int],
    quality: int | None = None,
) -> None:
    """Write a picture whose rows arrive in bands from top to bottom. `out` is replaced at the end or not at all.

    Gray stays one channel, 16 bits stay 16 in PNG and TIFF, and alpha is resampled (bicubic) to `size`. JPEG has no
    alpha: the picture is shown on white, or its colour alone if the source is `straight`. Colour, EXIF, XMP, IPTC,
    resolution and texts of the source are kept, with orientation and dimensions updated; a warning names what the
    format cannot keep. Memory does not grow with the height, but for WebP, whose encoder holds the picture.

    Args:
        out: The file; its suffix decides on the format. Its folder is made if it is missing.
        bands: Float32 (1, 3, any height, W), clamped to [0, 1]. The heights add up to H.
        source: The picture that the rows were made of.
        upscaled: (W, H), the size of the rows in pixels.
        size: (width, height) of the file. If it differs from `upscaled`, the rows are resampled as they arrive.
        quality: 1..100 for JPEG (default 95) and WebP (default 90); not used for others.

    Raises:
        UsageError, PictureError: as `check_output`; also if encoding or writing fails, as on a full disk.
        ValueError: The bands do not have the size `upscaled`.
    """
    out = Path(out)
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"quality goes from 1 to 100, not {quality}")
    check_output(out, size, source)
    chosen, info = _format(out), source.info
    if source.straight and info.has_alpha and not chosen.has_alpha:
        logger.warning("'%s': alpha left out, %s has none", out, chosen.name)
    depth = 16 if info.depth == 16 and chosen.has_16_bit else 8
    stream = PngRows(*upscaled, bands=1 if info.gray else 3, depth=depth)
    with atomic_path(out, PictureError) as part:
        encode = partial(_encode, part=part, chosen=chosen, source=source, size=size, quality=quality)
        with EncoderThreads(out, encode) as encoding:
            for block in stream.blocks(bands):
                encoding.send(block)
        dropped = _add_metadata(part, out, chosen, info, size)
    if dropped:
        logger.warning("'%s': not kept in '%s': %s", info.path, out, "; ".join(dropped))


def _format(out: Path) -> OutputFormat:
    for known in output_formats():
        if out.suffix.lower() in known.suffixes:
            return known
    raise UsageError(f"cannot write '{out}': {MUST_END}")


def _encode(
    descriptor: int,
    *,
    part: Path,
    chosen: OutputFormat,
    source: Picture,
    size: tuple[int, int],
    quality: int | None,
) -> None:
    """Read the rows from a pipe and encode the whole file. pyvips.Error, OSError, PictureError."""
    info = source.info
    stream = pyvips.Source.new_from_descriptor(descriptor)
    image = pyvips.Image.pngload_source(stream, access="sequential", fail_on="truncated")
    image = resampled(image, size, "lanczos3")
    if info.has_alpha and (chosen.has_alpha or not source.straight):
        original = decoded(info)
        image = image.bandjoin(_opacity(original[original.bands - 1], size, image))
        if not chosen.has_alpha:
            image = image.flatten(background=[255.0])
    if chosen is _WEBP and (profile := _gray_profile(info)):
        # WebP has no gray, and a gray profile on three channels is invalid.
        image = image.copy()
        vips.set_blob(image, "icc-profile-data", profile)
        image = image.icc_transform("srgb", embedded=True)
    try:
        pyvips.Operation.call(chosen.saver, image, vips.target(part), keep="none", **_options(chosen, image, quality))
    except pyvips.Error:
        # libvips may lose the system's message ("Unknown error -1" on a full disk): let the system repeat it.
        with part.open("ab") as file:
            file.write(bytes(1 << 16))
        raise


def _opacity(alpha: pyvips.Image, size: tuple[int, int], colour: pyvips.Image) -> pyvips.Image:
    """The alpha of the source at the size of the file, in the range of its colour; 1 stays exactly 1."""
    scaled = resampled(alpha, size, "cubic")
    if scaled.format == colour.format:
        return scaled
    return (scaled * (largest(colour) / largest(scaled))).rint().cast(colour.format)


def _add_metadata(part: Path, out: Path, chosen: OutputFormat, info: PictureInfo, size: tuple[int, int]) -> list[str]:
    """Add the metadata and colour of the source to a file of pixels; returns what cannot be kept. PictureError."""
    colour = info.colour
    if chosen is _WEBP and _gray_profile(info):
        colour = replace(colour, icc=vips.builtin_profile("srgb"))
    blocks, dropped = metadata.carry(info.metadata, chosen.name, (info.width, info.height), size)
    try:
        return dropped + metadata.write_metadata(part, chosen.name, blocks, colour, size=size, gray=info.gray)
    except OSError as error:
        raise PictureError(f"cannot write '{out}': {error.strerror or error}") from None


def _gray_profile(info: PictureInfo) -> bytes | None:
    return info.icc if info.gray and info.icc and info.icc[16:20] == b"GRAY" else None


def _options(chosen: OutputFormat, image: pyvips.Image, quality: int | None) -> dict[str, object]:
    if chosen is _PNG:
        # Enlarged photo, 23 MP, one core: level 6 with filter "all" 3 MP/s and 0.596 bytes a pixel; level 6
        # without filters (libvips' default) 8 and 1.311; level 3 with "up" 30 and 0.617: fast, and small.
        return {"compression": 3, "filter": "up"}
    if chosen is _TIFF:
        # Level 3 for the same reason. Classic TIFF ends at 4 GiB, and noise may not shrink.
        bulk = image.width * image.height * image.bands * (2 if image.format == "ushort" else 1)
        return {"compression": "deflate", "level": 3, "predictor": "horizontal", "bigtiff": bulk > 3.9e9}
    quality = quality or chosen.quality or 0
    full_colour = quality >= _FULL_COLOUR_FROM
    if chosen is _JPEG:
        # Neither optimize_coding nor interlace: both hold all coefficients of the picture in memory.
        return {"Q": quality, "subsample_mode": "off" if full_colour else "on"}
    # exact: colour under transparent pixels stays filled, for whoever resamples the file next.
    return {"Q": quality, "exact": True, "smart_subsample": full_colour}
