"""JPEG 2000, decoded by Pillow: the libvips that pip installs has no loader for it.

The boxes of the file say what its channels mean (ISO/IEC 15444-1). Pillow decodes gray of more than 8 bits to 16, but
RGB to 8: a warning says so.
"""

import mmap
import struct
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyvips

from iqsr.errors import PictureError
from iqsr.images import vips
from iqsr.images.containers import Buffer, find_boxes
from iqsr.images.decode_errors import damaged_error, decode_error
from iqsr.images.info import Header, other_channels_warning
from iqsr.images.metadata import exif_block
from iqsr.images.metadata.blocks import CONTENT_CREDENTIALS, JUMBF, LONGEST

if TYPE_CHECKING:
    from PIL.Image import Image

_FAILURES = (OSError, SyntaxError, ValueError, AssertionError, struct.error)  # what Pillow's plugin raises
_CODESTREAM_START = b"\xff\x4f\xff\x51"
_COLOURS_BY_NUMBER = {15: 1, 16: 3, 17: 1, 18: 3, 0: 1}
_COLOURS_BY_PROFILE = {b"GRAY": 1, b"RGB ": 3}
_MOST_CHANNELS = 4
_JUMBF_HEAD = 64  # bytes, in which the description of a JUMBF box names what it is
_UUIDS = {
    b"JpgTiffExif->JP2": "exif",
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "xmp",
    bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"): "iptc",
    bytes.fromhex("09a14e97c0b442e0bebf36df6f0ce36f"): "iptc",
}
"""The boxes of metadata that exiftool and Adobe's programs write."""


class _Facts(NamedTuple):
    components: int
    depth: int
    colours: int
    """1 for gray, 3 for RGB, 0 for others."""
    opacity: int | None
    """The number of the alpha channel."""
    premultiplied: bool
    has_palette: bool
    icc: bytes | None
    blocks: dict[str, bytes]
    """EXIF, XMP and IPTC by these names in lower case."""
    dropped: tuple[str, ...]

    @property
    def orientation(self) -> int:
        """The orientation in EXIF, 1 to 8."""
        return exif_block.orientation(exif_block.strip_prefix(self.blocks.get("exif")))


def read_header(path: Path) -> Header:
    """Read the header without decoding a pixel. PictureError."""
    facts, image = _facts(path), _opened(path)
    warnings: list[str] = []
    deep = facts.depth > 8 and image.mode == "I;16"
    if facts.depth > 8 and not deep:
        warnings.append(f"of its {facts.depth} bits 8 are read; save it as TIFF to keep them")
    if not facts.has_palette:
        others = facts.components - facts.colours - (facts.opacity is not None)
        if others:
            warnings.append(other_channels_warning(others))
    dpi = image.info.get("dpi")
    size, density = image.size, (dpi[0] / 25.4, dpi[1] / 25.4) if dpi and min(dpi) > 0 else None
    if facts.orientation >= 5:
        size, density = size[::-1], density and density[::-1]
    return Header(
        width=size[0],
        height=size[1],
        bands=_bands(facts, image),
        depth=16 if deep else 8,
        icc=facts.icc,
        exif=facts.blocks.get("exif"),
        xmp=facts.blocks.get("xmp"),
        iptc=facts.blocks.get("iptc"),
        resolution=density,
        dropped=facts.dropped,
        warnings=tuple(warnings),
    )


def decode(path: Path) -> pyvips.Image:
    """Decode the picture: upright, uchar or (gray only) ushort over the whole range, straight alpha. PictureError."""
    facts, image = _facts(path), _opened(path)
    try:
        pixels = np.asarray(
            image.convert("RGBA" if image.has_transparency_data else "RGB") if _has_palette(image) else image
        )
    except _FAILURES as error:
        raise decode_error(path, "jp2", str(error)) from None
    if pixels.dtype != np.uint8:  # they begin at the highest bit
        white = (2**facts.depth - 1) << (16 - facts.depth)
        pixels = np.rint(pixels * np.float32(65535 / white)).clip(0, 65535).astype(np.uint16)
    if pixels.ndim == 3 and not facts.has_palette:
        kept = list(range(facts.colours)) + ([] if facts.opacity is None else [facts.opacity])
        pixels = pixels[:, :, kept]
    plain = vips.upright(vips.image_of(pixels), facts.orientation)
    return plain.unpremultiply().rint().cast(plain.format) if facts.premultiplied else plain


def _bands(facts: _Facts, image: "Image") -> int:
    if _has_palette(image):
        return 4 if image.has_transparency_data else 3
    return facts.colours + (facts.opacity is not None)


def _has_palette(image: "Image") -> bool:
    return image.mode in ("P", "PA")


def _facts(path: Path) -> _Facts:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = 0 if data[:4] == _CODESTREAM_START else next((first for first, _ in find_boxes(data, (b"jp2c",))), None)
        if start is None or data[start : start + 4] != _CODESTREAM_START or len(data) < start + 45:
            raise damaged_error(path, "no codestream")
        components = int.from_bytes(data[start + 40 : start + 42], "big")
        depth = 1 + max(data[start + 42 : start + 42 + 3 * components : 3], default=7) % 128
        icc, colours = _colours(data, components)
        opacity, premultiplied = _opacity(data)
        blocks = _blocks(data)
        jumbf = [data[first:last] for first, last in find_boxes(data, (b"jumb",))]
        has_palette = any(find_boxes(data, (b"jp2h", b"pclr")))
    if not colours or components > _MOST_CHANNELS:
        what = (
            f"it has {components} channels" if components > _MOST_CHANNELS else "its colours are neither gray nor RGB"
        )
        raise PictureError(f"cannot read '{path}': {what}; save it as TIFF first")
    dropped = dict.fromkeys(CONTENT_CREDENTIALS if b"c2pa" in box[:_JUMBF_HEAD] else JUMBF for box in jumbf)
    return _Facts(
        components, depth, min(colours, components), opacity, premultiplied, has_palette, icc, blocks, tuple(dropped)
    )


def _colours(data: Buffer, components: int) -> tuple[bytes | None, int]:
    """The ICC profile, if any, and the number of colour channels: 1, 3, or 0 for others."""
    for first, last in find_boxes(data, (b"jp2h", b"colr")):
        if data[first] == 1:
            return None, _COLOURS_BY_NUMBER.get(int.from_bytes(data[first + 3 : first + 7], "big"), 0)
        if data[first] == 2:
            icc = bytes(data[first + 3 : last])
            return icc, _COLOURS_BY_PROFILE.get(icc[16:20], 0)
    return None, 1 if components < 3 else 3


def _opacity(data: Buffer) -> tuple[int | None, bool]:
    """The number of the alpha channel, if any, and whether the colours are premultiplied by it."""
    for first, last in find_boxes(data, (b"jp2h", b"cdef")):
        for at in range(first + 2, last - 5, 6):
            channel, meaning, _ = struct.unpack_from(">HHH", data, at)
            if meaning in (1, 2):
                return channel, meaning == 2
    return None, False


def _blocks(data: Buffer) -> dict[str, bytes]:
    blocks: dict[str, bytes] = {}
    for first, last in find_boxes(data, (b"uuid",)):
        name = _UUIDS.get(bytes(data[first : first + 16]))
        if name and last - first - 16 <= LONGEST:
            blocks.setdefault(name, bytes(data[first + 16 : last]))
    return blocks


def _opened(path: Path) -> "Image":
    # Not PIL.Image.open, which guesses the format and has a limit of its own for the number of pixels.
    from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

    try:
        return Jpeg2KImageFile(path)
    except _FAILURES as error:
        raise damaged_error(path, str(error) or "no header") from None
