"""Picture files: a file becomes bands of float rows, bands of float rows become a file.

    >>> picture = open_picture(Path("photo.jpg"))
    >>> size = (picture.info.width, picture.info.height)
    >>> write_picture(Path("copy.png"), picture.rows(64), source=picture, upscaled=size, size=size)

Nothing here holds a whole picture where the file format can be read and written by rows. Values are the
file's own (a Display-P3 photo stays Display-P3): what says so travels with them.
"""

from iqsr.images.read import Picture, PictureInfo, open_as_srgb, open_picture, read_rgb
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
