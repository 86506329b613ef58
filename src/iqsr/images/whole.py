"""Whether a picture file is whole: a header can be read long after the rest is lost."""

from pathlib import Path

from iqsr.images.read import open_picture

_ROWS = 64


def decoded_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture, every row of which was decoded. Raises the errors of `read_rgb`."""
    picture = open_picture(path)
    for _ in picture.rows(_ROWS):
        pass
    return picture.info.width, picture.info.height
