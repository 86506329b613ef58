"""Picture files: a file becomes bands of float rows, and bands of float rows become a file.

    >>> picture = open_picture(Path("photo.jpg"))
    >>> size = (picture.info.width, picture.info.height)
    >>> write_picture(Path("copy.png"), picture.rows(64), source=picture, upscaled=size, size=size)

The way of a file:

1. `find.py` finds the files that the user named; `formats.py` detects the format of one by its first bytes.
2. `read.py` opens it. libvips reads PNG, JPEG, WebP, TIFF (`tiff.py`, `tiff_pages.py`), AVIF and GIF by rows;
   `heic.py`, `bmp.py`, `pnm.py` and `jpeg2000.py` decode their formats in one piece. `decode_errors.py` says why a file
   cannot be read. `info.py` has what is known before a pixel is decoded.
3. `metadata/` reads EXIF, XMP, IPTC, texts, resolution and the meaning of the colours, carries them into the result
   and writes them. Its docstring has that way. Look there when a result lacks metadata.
4. `write.py` writes the rows. `resample.py` changes their size, `encoder.py` feeds them to libvips, `alpha.py` fills
   the colour of transparent pixels.

`containers.py` (boxes, chunks, segments) and `tiff_structure.py` (directories of tags, of TIFF and of EXIF) parse bytes
for all of these; `vips.py` sets up libvips.

No whole picture is in memory where the format can be read and written by rows. The values of the samples are the
file's own: a Display-P3 photo stays Display-P3, and its profile goes along.
"""

from iqsr.images.info import PictureInfo
from iqsr.images.read import Picture, open_as_srgb, open_picture, read_rgb
from iqsr.images.resample import resample
from iqsr.images.write import OutputFormat, check_output, output_formats, write_picture

__all__ = [
    "OutputFormat",
    "Picture",
    "PictureInfo",
    "check_output",
    "open_as_srgb",
    "open_picture",
    "output_formats",
    "read_rgb",
    "resample",
    "write_picture",
]
