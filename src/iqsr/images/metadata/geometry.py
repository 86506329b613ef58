"""Tags of EXIF that count in pixels, for a picture that has been turned and enlarged (CIPA DC-008, 4.6.6)."""

import struct
from fractions import Fraction

from iqsr.images.exif import Directory, Layout, Tag

_SUBJECT_AREA, _SUBJECT_LOCATION = 0x9214, 0xA214
_FOCAL_PLANE = (0xA20E, 0xA20F)
"""Pixels per unit on the sensor, across and down."""
_SHORT, _RATIONAL = 3, 5
_LIMIT = (1 << 32) - 1
Size = tuple[int, int]


def changes(detail: Directory, layout: Layout, *, orientation: int, before: Size, after: Size) -> dict[int, Tag]:
    """New values of tags in the EXIF directory. before, after: (width, height), both as seen."""
    scale = Fraction(after[0], before[0]), Fraction(after[1], before[1])
    changed: dict[int, Tag] = {}
    for tag, factor in zip(_FOCAL_PLANE, scale, strict=True):
        old = detail.tags.get(tag)
        if old and old.kind == _RATIONAL and len(old.value) == 8:
            changed[tag] = Tag(_RATIONAL, _times(old.value, factor, layout))
    for tag in (_SUBJECT_AREA, _SUBJECT_LOCATION):
        old = detail.tags.get(tag)
        if old and old.kind == _SHORT and len(old.value) in (4, 6, 8):
            numbers = struct.unpack(f"{layout.order}{len(old.value) // 2}H", old.value)
            moved = _moved(numbers, orientation, before, scale)
            changed[tag] = Tag(_SHORT, struct.pack(f"{layout.order}{len(moved)}H", *moved))
    return changed


def _times(value: bytes, factor: Fraction, layout: Layout) -> bytes:
    above, below = struct.unpack(layout.order + "II", value)
    if not below:
        return value
    product = Fraction(above, below) * factor
    if max(product.as_integer_ratio()) > _LIMIT:
        product = product.limit_denominator(max(1, _LIMIT // (int(product) + 1)))
    return struct.pack(layout.order + "II", *(min(number, _LIMIT) for number in product.as_integer_ratio()))


def _moved(numbers: tuple[int, ...], orientation: int, before: Size, scale: tuple[Fraction, Fraction]) -> list[int]:
    """A point, with a diameter or with width and height, from the picture as stored to the result."""
    x, y, *extent = numbers
    sides = list(extent)
    if orientation >= 5:  # rows and columns change places
        x, y = y, x
        sides = sides[::-1]
    if orientation in (2, 3, 6, 7):
        x = before[0] - x
    if orientation in (3, 4, 7, 8):
        y = before[1] - y
    scaled = [x * scale[0], y * scale[1], *(side * factor for side, factor in zip(sides, scale, strict=False))]
    return [min(65535, max(0, round(number))) for number in scaled]
