"""PBM, PGM, PPM and PAM (https://netpbm.sourceforge.net/doc/). Not by Pillow, which cuts 16 bits to 8."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyvips
from numpy.typing import NDArray

from iqsr.errors import PictureError
from iqsr.images import vips
from iqsr.images.decode_errors import damaged_error
from iqsr.images.info import Header, other_channels_warning

_LONGEST_HEADER = 65536
_GAP = rb"(?:\s|#[^\n\r]*[\n\r])+"
_PLAIN = re.compile(rb"P([1-6])" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)")
_HIGHEST = re.compile(_GAP + rb"(\d+)")
_COMMENT = re.compile(rb"#[^\n\r]*")
_TUPLES = {
    "BLACKANDWHITE": (1, False),
    "GRAYSCALE": (1, False),
    "RGB": (3, False),
    "BLACKANDWHITE_ALPHA": (1, True),
    "GRAYSCALE_ALPHA": (1, True),
    "RGB_ALPHA": (3, True),
}


class _Layout(NamedTuple):
    width: int
    height: int
    channels: int
    """Channels in the file."""
    bands: int
    """How many of them, from the first on, are colour or alpha."""
    highest: int
    """The value of white (MAXVAL)."""
    start: int
    """The offset of the pixels in bytes."""
    bits: bool = False
    """Eight pixels in a byte; 1 is black."""
    text: bool = False
    """Samples are decimal numbers in ASCII."""


def read_header(path: Path) -> Header:
    """Read the header without decoding a pixel. PictureError."""
    layout = _layout(path)
    others = layout.channels - layout.bands
    warnings = (other_channels_warning(others),) if others else ()
    return Header(layout.width, layout.height, layout.bands, 16 if layout.highest > 255 else 8, warnings=warnings)


def decode(path: Path) -> pyvips.Image:
    """Decode the picture to uchar or ushort over the whole range. PictureError."""
    layout = _layout(path)
    values = _text(path, layout) if layout.text else _bits(path, layout) if layout.bits else _binary(path, layout)
    one = 65535 if layout.highest > 255 else 255
    if values.max(initial=0) > layout.highest:
        raise damaged_error(path, f"a value above {layout.highest}")
    pixels = values.reshape(layout.height, layout.width, layout.channels)[:, :, : layout.bands]
    if layout.highest != one:
        pixels = np.rint(pixels.astype(np.float32) * np.float32(one / layout.highest))
    return vips.image_of(pixels.astype(np.uint16 if one > 255 else np.uint8))


def _layout(path: Path) -> _Layout:
    with path.open("rb") as file:
        head = file.read(_LONGEST_HEADER)
    layout = _arbitrary(path, head) if head.startswith(b"P7") else _plain(path, head)
    if min(layout.width, layout.height, layout.channels) < 1 or not 1 <= layout.highest <= 65535:
        raise damaged_error(path, "sizes or values that cannot be")
    return layout


def _plain(path: Path, head: bytes) -> _Layout:
    """The layout of P1 to P6: text or binary; bits, gray or RGB."""
    found = _PLAIN.match(head)
    if found is None:
        raise damaged_error(path, "no size")
    number, width, height = (int(text) for text in found.groups())
    channels, end, highest = 3 if number in (3, 6) else 1, found.end(), 1
    if number not in (1, 4):
        last = _HIGHEST.match(head, end)
        if last is None:
            raise damaged_error(path, "no highest value")
        highest, end = int(last[1]), last.end()
    return _Layout(width, height, channels, channels, highest, end + 1, bits=number in (1, 4), text=number < 4)


def _arbitrary(path: Path, head: bytes) -> _Layout:
    """The layout of P7 (PAM), whose header has lines of names and values."""
    header, ending, _ = head.partition(b"ENDHDR\n")
    words = [line.split(None, 1) for line in _COMMENT.sub(b"", header).decode("latin-1").splitlines()]
    facts = {line[0]: line[1].strip() for line in words if len(line) == 2}
    try:
        width, height, channels, highest = (int(facts[name]) for name in ("WIDTH", "HEIGHT", "DEPTH", "MAXVAL"))
    except (KeyError, ValueError):
        raise damaged_error(path, "a header without its sizes") from None
    kind = facts.get("TUPLTYPE", "")
    if kind and kind not in _TUPLES:
        known = "they are read as gray or RGB, with or without alpha"
        raise PictureError(
            f"cannot read '{path}': its channels are {kind} (TUPLTYPE), and {known}; save it as PNG first"
        )
    colours, opacity = _TUPLES.get(kind, (1 if channels < 3 else 3, False))
    if not ending or channels < colours + opacity:
        raise damaged_error(path, "fewer channels than its type has")
    return _Layout(width, height, channels, colours + opacity, highest, len(header) + len(ending))


def _binary(path: Path, layout: _Layout) -> NDArray[np.generic]:
    kind = np.dtype(">u2" if layout.highest > 255 else np.uint8)
    return _read(path, layout, kind, layout.width * layout.height * layout.channels)


def _bits(path: Path, layout: _Layout) -> NDArray[np.generic]:
    octets = _read(path, layout, np.dtype(np.uint8), -(-layout.width // 8) * layout.height)
    bits = np.unpackbits(octets.astype(np.uint8).reshape(layout.height, -1), axis=1)
    return 1 - bits[:, : layout.width]


def _text(path: Path, layout: _Layout) -> NDArray[np.generic]:
    count = layout.width * layout.height * layout.channels
    words = _COMMENT.sub(b"", path.read_bytes()[layout.start - 1 :])
    try:
        if layout.bits:  # digits need no gaps between them
            digits = np.frombuffer(words.translate(None, b" \t\r\n\v\f"), np.uint8)[:count]
            values = 1 - np.where(digits == ord("1"), 1, np.where(digits == ord("0"), 0, 255))
        else:
            values = np.array(words.split()[:count], np.int64)
    except (ValueError, OverflowError):
        raise damaged_error(path, "text that is no number") from None
    if len(values) < count or values.min(initial=0) < 0:
        raise damaged_error(path, "pixels that are missing or no numbers")
    return values


def _read(path: Path, layout: _Layout, kind: np.dtype[np.generic], count: int) -> NDArray[np.generic]:
    if path.stat().st_size < layout.start + count * kind.itemsize:
        raise damaged_error(path, "pixels beyond its end")
    if path.stat().st_size > layout.start + count * kind.itemsize + 2:
        with path.open("rb") as file:
            file.seek(layout.start + count * kind.itemsize)
            if re.match(rb"\s*P[1-7]\s", file.read(8)):
                raise PictureError(f"cannot read '{path}': it has several pages; save one of them as a picture first")
    return np.fromfile(path, kind, count, offset=layout.start)
