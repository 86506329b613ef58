"""Make ICC profiles (ICC.1:2010, version 4.3) of primaries, white point and transfer curve."""

import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Point = tuple[float, float]
"""Chromaticity, CIE 1931 x and y."""
Curve = bytes
"""Data of a tag of type curveType or parametricCurveType: from the value of a sample to light."""

SRGB_CURVE: Curve = b"para\0\0\0\0\0\3\0\0" + b"".join(
    struct.pack(">i", round(value * 65536)) for value in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
)
_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


def gamma(exponent: float) -> Curve:
    """The curve light = value ** exponent."""
    return b"para\0\0\0\0\0\0\0\0" + struct.pack(">i", round(exponent * 65536))


def table(values: Sequence[int]) -> Curve:
    """The curve through the light at evenly spaced values; 65535 = 1."""
    return b"curv\0\0\0\0" + struct.pack(f">I{len(values)}H", len(values), *values)


def rgb_profile(name: str, primaries: tuple[Point, Point, Point], white: Point, curves: Sequence[Curve]) -> bytes:
    """Make a profile of RGB. curves: one for all channels, or one for each.

    ValueError if the chromaticities of the primaries lie on a line.
    """
    import numpy as np

    columns = np.array([_xyz(point) for point in primaries]).T
    if abs(np.linalg.det(columns)) < 1e-9:
        raise ValueError("primaries on one line")
    light = _xyz(white)
    matrix = columns * np.linalg.solve(columns, light)
    adaptation = _adaptation(light)
    adapted = adaptation @ matrix
    tags = {b"wtpt": _xyz_tag(_D50), b"chad": _numbers(b"sf32", adaptation.ravel())}
    tags |= {name: _xyz_tag(adapted[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    tags |= {name: curves[i % len(curves)] for i, name in enumerate((b"rTRC", b"gTRC", b"bTRC"))}
    return _profile(b"RGB ", name, tags)


def gray_profile(name: str, curve: Curve) -> bytes:
    """Make a profile of gray."""
    return _profile(b"GRAY", name, {b"wtpt": _xyz_tag(_D50), b"kTRC": curve})


def _xyz(point: Point) -> tuple[float, float, float]:
    x, y = point
    if not 0 < y <= 1:
        raise ValueError(f"no chromaticity: {point}")
    return x / y, 1.0, (1 - x - y) / y


def _adaptation(white: tuple[float, float, float]) -> "NDArray[np.float64]":
    """The matrix that adapts from `white` to D50, by Bradford's cones (ICC.1:2010, annex E)."""
    import numpy as np

    cones = np.array(_BRADFORD)
    return np.linalg.inv(cones) @ np.diag((cones @ _D50) / (cones @ white)) @ cones


def _profile(space: bytes, name: str, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": _unicode(name), b"cprt": _unicode("No copyright, use freely"), **tags}
    at = 128 + 4 + 12 * len(tags)
    directory, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        directory += struct.pack(">4sII", tag, at + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    size = at + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x04300000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _numbers(b"", _D50)
    return header.ljust(128, b"\0") + directory + body


def _unicode(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(encoded), 28) + encoded


def _xyz_tag(xyz: Iterable[float]) -> bytes:
    return _numbers(b"XYZ ", xyz)


def _numbers(kind: bytes, values: Iterable[float]) -> bytes:
    """Numbers as s15Fixed16, with the type signature `kind` in front if there is one."""
    numbers = b"".join(struct.pack(">i", round(value * 65536)) for value in values)
    return kind + bytes(4) + numbers if kind else numbers
