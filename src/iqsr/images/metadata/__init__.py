"""What a picture file says beside its pixels: read from the source, carried into the result, written.

1. `read.py` picks the reader of the source's format. Each reader fills a `Metadata` (`blocks.py`): `png_chunks.py`,
   `jpeg_segments.py`, `webp_chunks.py`, `tiff_tags.py`, `gif_blocks.py`; `heif_boxes.py` for AVIF and HEIC.
   `colour.py` finds out what colours the samples mean and makes an ICC profile of numbers (`icc.py`).
2. `carry.py` makes the metadata of the result: blocks that enlarging changes (`exif_block.py`, `xmp.py`) are changed,
   and blocks that the result's format has no place for are named as dropped.
3. `carry.py` then calls the writer of the result's format, which is in the same file as its reader.

`images/write.py` puts all that was dropped into one warning, "not kept in". libvips encodes the pixels alone: its own
way with EXIF goes through libexif, which adds tags that no source has, and drops blocks that it finds too long.
"""

from iqsr.images.metadata.blocks import Metadata
from iqsr.images.metadata.carry import carry, write_metadata
from iqsr.images.metadata.colour import Colour
from iqsr.images.metadata.read import header_colour, header_metadata, read_colour, read_metadata

__all__ = [
    "Colour",
    "Metadata",
    "carry",
    "header_colour",
    "header_metadata",
    "read_colour",
    "read_metadata",
    "write_metadata",
]
