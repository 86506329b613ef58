"""Boxes of AVIF and HEIC (ISO/IEC 14496-12, 23008-12) that libvips does not report: colour, light, frames."""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from iqsr.images.containers import find_boxes, iterate_boxes
from iqsr.images.metadata.blocks import CONTENT_CREDENTIALS, GAIN_MAP

_SEQUENCE_BRANDS = {b"avis", b"hevc", b"hevx", b"hevm", b"hevs", b"msf1"}
_PICTURES = b"pict"
_MOST_ITEMS = 10_000
_C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
Box = tuple[bytes, bytes]
"""Type, content."""


class HeifFacts(NamedTuple):
    """Properties of the primary picture, and what else the file holds."""

    numbers: tuple[int, int] | None
    """Colour primaries and transfer characteristics (ITU-T H.273)."""
    light: tuple[Box, ...]
    """PNG chunks `mDCV` and `cLLI`: the display that HDR was mastered on, the light of its brightest parts."""
    dropped: tuple[str, ...]
    """Names of what no output format can keep: the HDR gain map (ISO 21496-1), C2PA."""


def read(path: Path) -> HeifFacts:
    """Read the boxes; missing and damaged ones count as absent. OSError."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            meta = next((data[start:end] for start, end in find_boxes(data, (b"meta",))), b"")
            inside = dict(_boxes(meta[4:]))
            properties = list(_properties(inside))
            dropped = ((GAIN_MAP,) if _has_gain_map(inside.get(b"iinf", b"")) else ()) + _credentials(data)
            return HeifFacts(_numbers(properties), _light(properties), dropped)
        except (struct.error, IndexError):
            return HeifFacts(None, (), _credentials(data))


def _credentials(data: mmap.mmap) -> tuple[str, ...]:
    has_manifest = any(data[start : start + 16] == _C2PA_UUID for start, _ in find_boxes(data, (b"uuid",)))
    return (CONTENT_CREDENTIALS,) if has_manifest else ()


def frames(path: Path) -> tuple[int, bool]:
    """The number of frames of the longest track of pictures (0 without one), and whether the file is mainly a sequence.

    A file may hold both a still picture and a sequence; its major brand says which one counts.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        longest = max((_samples(data, *track) for track in find_boxes(data, (b"moov", b"trak"))), default=0)
        return longest, data[8:12] in _SEQUENCE_BRANDS


def _properties(meta: dict[bytes, bytes]) -> Iterator[Box]:
    """Yield the properties of the primary picture."""
    pitm = meta.get(b"pitm", b"")
    primary = struct.unpack_from(">I" if pitm[:1] > b"\0" else ">H", pitm, 4)[0]
    properties = dict(_boxes(meta.get(b"iprp", b"")))
    every = list(_boxes(properties.get(b"ipco", b"")))
    for index in _indices(properties.get(b"ipma", b""), primary):
        if index:  # 0: none
            yield every[index - 1]


def _numbers(properties: list[Box]) -> tuple[int, int] | None:
    coded = (content for kind, content in properties if kind == b"colr" and content.startswith(b"nclx"))
    return next((struct.unpack_from(">HH", content, 4) for content in coded), None)


def _light(properties: list[Box]) -> tuple[Box, ...]:
    chunks: list[Box] = []
    for kind, content in properties:
        if kind == b"mdcv" and len(content) == 24:  # green, blue, red there; red, green, blue here
            chunks.append((b"mDCV", content[8:12] + content[:8] + content[12:]))
        elif kind == b"clli" and len(content) == 4:  # in cd/m2 there, in a ten-thousandth here
            chunks.append((b"cLLI", struct.pack(">II", *(10_000 * value for value in struct.unpack(">HH", content)))))
    return tuple(chunks)


def _indices(ipma: bytes, item: int) -> list[int]:
    """The indices of the properties of an item, from 1."""
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
    return ((kind, data[start:end]) for kind, start, end in iterate_boxes(data, 0, len(data)))


def _samples(data: mmap.mmap, start: int, end: int) -> int:
    """The number of samples of a track of pictures; 0 for other tracks (alpha, sound)."""
    handlers = [data[at + 8 : at + 12] for at, _ in find_boxes(data, (b"mdia", b"hdlr"), start, end)]
    if handlers != [_PICTURES]:
        return 0
    sizes = [find_boxes(data, (b"mdia", b"minf", b"stbl", name), start, end) for name in (b"stsz", b"stz2")]
    return max((int.from_bytes(data[at + 8 : at + 12], "big") for some in sizes for at, _ in some), default=0)
