"""Boxes of AVIF and HEIC (ISO/IEC 14496-12, 23008-12): what libvips does not tell of the primary picture."""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from iqsr.images import boxes

_MOST_ITEMS = 10_000
Box = tuple[bytes, bytes]
"""Type, content."""


class HeifFacts(NamedTuple):
    """What the boxes say."""

    numbers: tuple[int, int] | None
    """colour primaries and transfer characteristics of the primary picture (ITU-T H.273)"""
    light: tuple[Box, ...]
    """`mDCV` and `cLLI` as a PNG has them: the display it was mastered on, the light of its brightest parts"""
    has_gain_map: bool
    """whether there is a picture made of another and of a gain map (ISO 21496-1)"""


def read(path: Path) -> HeifFacts:
    """Nothing of what is missing or damaged. OSError."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            meta = next((data[start:end] for start, end in boxes.found(data, (b"meta",))), b"")
            inside = dict(_boxes(meta[4:]))
            properties = list(_properties(inside))
            return HeifFacts(_numbers(properties), _light(properties), _has_gain_map(inside.get(b"iinf", b"")))
        except (struct.error, IndexError):
            return HeifFacts(None, (), False)


def _properties(meta: dict[bytes, bytes]) -> Iterator[Box]:
    """Those of the primary picture."""
    pitm = meta.get(b"pitm", b"")
    primary = struct.unpack_from(">I" if pitm[:1] > b"\0" else ">H", pitm, 4)[0]
    properties = dict(_boxes(meta.get(b"iprp", b"")))
    every = list(_boxes(properties.get(b"ipco", b"")))
    for index in _indices(properties.get(b"ipma", b""), primary):
        if index:  # 0: none
            yield every[index - 1]


def _numbers(properties: list[Box]) -> tuple[int, int] | None:
    said = (content for kind, content in properties if kind == b"colr" and content.startswith(b"nclx"))
    return next((struct.unpack_from(">HH", content, 4) for content in said), None)


def _light(properties: list[Box]) -> tuple[Box, ...]:
    chunks: list[Box] = []
    for kind, content in properties:
        if kind == b"mdcv" and len(content) == 24:  # green, blue, red there; red, green, blue here
            chunks.append((b"mDCV", content[8:12] + content[:8] + content[12:]))
        elif kind == b"clli" and len(content) == 4:  # in cd/m2 there, in a ten-thousandth here
            chunks.append((b"cLLI", struct.pack(">II", *(10_000 * value for value in struct.unpack(">HH", content)))))
    return tuple(chunks)


def _indices(ipma: bytes, item: int) -> list[int]:
    """The properties of an item, counted from 1."""
    wide_ids, wide_indices = ipma[:1] > b"\0", ipma[3:4] and ipma[3] & 1
    (count,) = struct.unpack_from(">I", ipma, 4)
    at = 8
    for _ in range(min(count, _MOST_ITEMS)):
        found, many = struct.unpack_from(">IB" if wide_ids else ">HB", ipma, at)
        at += 5 if wide_ids else 3
        kind, mask = ("H", 0x7FFF) if wide_indices else ("B", 0x7F)
        if found == item:
            return [index & mask for index in struct.unpack_from(f">{many}{kind}", ipma, at)]
        at += many * (2 if wide_indices else 1)
    return []


def _has_gain_map(iinf: bytes) -> bool:
    entries = _boxes(iinf[8 if iinf[:1] > b"\0" else 6 :])
    return any(
        content[(8 if content[0] > 2 else 6) + 2 :][:4] == b"tmap" for kind, content in entries if kind == b"infe"
    )


def _boxes(data: bytes) -> Iterator[Box]:
    return ((kind, data[start:end]) for kind, start, end in boxes.boxes(data, 0, len(data)))
