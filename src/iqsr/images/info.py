"""What a picture file says of itself before a pixel is decoded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from iqsr.images.metadata import Colour, Metadata


@dataclass(frozen=True)
class PictureInfo:
    """What a file says of itself before a pixel is decoded."""

    path: Path
    format: str
    """The format of the content, see `detect_format`."""
    width: int
    """In pixels, of the upright picture."""
    height: int
    """In pixels, of the upright picture."""
    gray: bool
    """Whether there is one channel of colour, not three."""
    depth: Literal[8, 16]
    """Bits of a sample, as read."""
    has_alpha: bool
    colour: Colour
    """The meaning of the values that `Picture.rows` yields: the file's own, or sRGB if CMYK or Lab was converted."""
    metadata: Metadata
    """The blocks of the file, unchanged; only the format's own resolution is that of the upright picture."""
    warnings: tuple[str, ...] = ()
    """One line for each part of the file that is not read, without the file's name."""

    @property
    def icc(self) -> bytes | None:
        """The ICC profile of the values that `Picture.rows` yields; None for sRGB."""
        return self.colour.icc


@dataclass(frozen=True)
class Header:
    """The header of a picture that another decoder than libvips reads: in one piece, upright, with straight alpha."""

    width: int
    height: int
    bands: int
    """1 (gray) or 3 (RGB), and one more with alpha."""
    depth: int
    """Bits of a sample; more than 8 are decoded to 16."""
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    resolution: tuple[float, float] | None = None
    """Pixels per millimetre, across and down."""
    dropped: tuple[str, ...] = ()
    """Names of metadata that no output format can keep."""
    warnings: tuple[str, ...] = ()
    """As in `PictureInfo`."""


def other_channels_warning(count: int) -> str:
    """The warning for channels that are not read, such as masks."""
    return f"{count} {'channel' if count == 1 else 'channels'} left out: neither colour nor transparency"
