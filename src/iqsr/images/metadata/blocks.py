"""The metadata of a picture, independent of the file format: EXIF, XMP, IPTC, resolution, texts."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

LONGEST = 64 << 20
"""Bytes of the longest block that is read, so that no file takes much memory."""

GAIN_MAP = "the HDR gain map"
CONTENT_CREDENTIALS = "its Content Credentials (C2PA signs the source file alone)"
JUMBF = "its JUMBF boxes"


class Resolution(NamedTuple):
    """The density of pixels that a file states."""

    across: Fraction
    """Pixels per unit."""
    down: Fraction
    """Pixels per unit."""
    unit: Literal["none", "inch", "cm"]
    """none: only the aspect ratio of a pixel is known."""

    @property
    def plausible(self) -> bool:
        """Whether both numbers are positive and fit into files."""
        return min(self.across, self.down) > 0 and max(self.across, self.down) < 1 << 31

    @property
    def turned(self) -> "Resolution":
        """The resolution of the picture turned by 90 degrees."""
        return Resolution(self.down, self.across, self.unit)


class Text(NamedTuple):
    """A text of a PNG, or the comment of a JPEG."""

    keyword: str
    text: str
    chunk: tuple[bytes, bytes] | None = None
    """Name and data of the PNG chunk that it was read from."""


class Resource(NamedTuple):
    """One of Photoshop's image resources: number, name, data."""

    number: int
    name: bytes
    data: bytes


@dataclass(frozen=True)
class Metadata:
    """The metadata blocks of a file."""

    exif: bytes | None = None
    """The block from its TIFF header on."""
    xmp: bytes | None = None
    """One packet; the Extended XMP of a JPEG is joined with it."""
    iptc: bytes | None = None
    """IPTC-IIM records."""
    resources: tuple[Resource, ...] = ()
    """Photoshop's image resources but IPTC, EXIF, XMP, ICC profile and thumbnail."""
    resolution: Resolution | None = None
    """The format's own (JFIF, pHYs, tags of TIFF), not that in EXIF."""
    texts: tuple[Text, ...] = ()
    times: tuple[bytes, ...] = ()
    """The data of the tIME chunks of a PNG."""
    dropped: tuple[str, ...] = ()
    """Names of metadata in the file that no output format can keep."""
