"""What a picture file tells beside its pixels: read whole, changed where enlarging changes it, written by iqsr.

libvips encodes the pixels alone. Its own way with EXIF goes through libexif, which adds tags that no source
has, and drops blocks that it finds too long.
"""

from iqsr.images.metadata.blocks import Metadata
from iqsr.images.metadata.colour import Colour
from iqsr.images.metadata.result import for_result, write
from iqsr.images.metadata.source import colour_of_file, colour_of_header, of_file, of_header

__all__ = [
    "Colour",
    "Metadata",
    "colour_of_file",
    "colour_of_header",
    "for_result",
    "of_file",
    "of_header",
    "write",
]
