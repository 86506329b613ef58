"""What decoders other than libvips say of a picture before they decode it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Header:
    """A picture that is decoded in one piece, upright and with straight alpha."""

    width: int
    height: int
    bands: int
    """1 or 3, and one more with alpha"""
    depth: int
    """8, or more, which comes as 16"""
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    resolution: tuple[float, float] | None = None
    """pixels per millimetre, across and down"""
    has_gain_map: bool = False
    """whether there is what makes HDR of it"""
    notes: tuple[str, ...] = ()
    """what is not read, one line each without the name of the file"""


def of_other_channels(count: int) -> str:
    """The note that channels are left out that do not belong to what is seen."""
    return f"{count} {'channel' if count == 1 else 'channels'} left out: neither colour nor transparency"
