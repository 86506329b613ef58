"""What a picture file tells beside its pixels, in a form that no file format owns."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

LONGEST = 64 << 20
"""No block of more bytes is read: no file may ask for much memory."""


class Resolution(NamedTuple):
    """How large a pixel is, as a file says it."""

    across: Fraction
    """pixels per unit"""
    down: Fraction
    unit: Literal["none", "inch", "cm"]
    """none: only the proportion of a pixel's sides is known"""

    @property
    def plausible(self) -> bool:
        """Whether pixels have a size at all, and numbers that fit into files."""
        return min(self.across, self.down) > 0 and max(self.across, self.down) < 1 << 31

    @property
    def turned(self) -> "Resolution":
        """Of the picture with rows and columns in each other's place."""
        return Resolution(self.down, self.across, self.unit)


class Text(NamedTuple):
    """A text of a PNG, or the comment of a JPEG."""

    keyword: str
    text: str
    chunk: tuple[bytes, bytes] | None = None
    """the chunk of a PNG that holds it: name, data"""


class Resource(NamedTuple):
    """One of Photoshop's image resources: number, name, data."""

    number: int
    name: bytes
    data: bytes


@dataclass(frozen=True)
class Metadata:
    """The blocks of a file, as it has them."""

    exif: bytes | None = None
    """from the TIFF header on"""
    xmp: bytes | None = None
    """one packet; the parts of a JPEG's Extended XMP are joined"""
    iptc: bytes | None = None
    """IPTC-IIM records"""
    resources: tuple[Resource, ...] = ()
    """Photoshop's other resources"""
    resolution: Resolution | None = None
    """what the format itself says (JFIF, pHYs, tags of TIFF), not EXIF"""
    texts: tuple[Text, ...] = ()
    times: tuple[bytes, ...] = ()
    """tIME of a PNG"""
    left_out: tuple[str, ...] = ()
    """what is there and cannot be kept in any format"""
