"""Content Credentials (C2PA) are signed for the source file alone: a result goes without, and a line says so."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import tifffile
from PIL import Image

from support import heic_samples
from support.picture_files import copy, smooth
from support.png_samples import write_png

LINE = "its Content Credentials (C2PA signs the source file alone)"
UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


def jumbf(label: bytes) -> bytes:
    """A JUMBF superbox (ISO 19566-5) with its description alone."""
    uuid = label[:4].ljust(4, b"\0") + bytes.fromhex("00110010800000aa00389b71")
    return box(b"jumb", box(b"jumd", uuid + b"\3" + label + b"\0"))


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def jpeg(path: Path, content: bytes) -> None:
    """With the box in two segments, each of which repeats its length and its type (ISO 19566-5, annex D)."""
    Image.fromarray(smooth()).save(path, "JPEG")
    pieces = [content[8:40], content[40:]]
    bodies = [b"JP\0\1" + struct.pack(">I", i) + content[:8] + piece for i, piece in enumerate(pieces, 1)]
    segments = b"".join(struct.pack(">BBH", 0xFF, 0xEB, 2 + len(body)) + body for body in bodies)
    data = path.read_bytes()
    path.write_bytes(data[:2] + segments + data[2:])


def webp(path: Path) -> None:
    Image.fromarray(smooth()).save(path, "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    data, content = path.read_bytes(), jumbf(b"c2pa")
    body = data[8:] + struct.pack("<4sI", b"C2PA", len(content)) + content + bytes(len(content) % 2)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def gif(path: Path) -> None:
    Image.fromarray(smooth()).save(path, "GIF")
    data, content = path.read_bytes(), jumbf(b"c2pa")
    at = 13 + (3 << (data[10] % 8 + 1) if data[10] & 0x80 else 0)
    extension = b"\x21\xff\x0bC2PA_GIF\1\0\0" + bytes([len(content)]) + content + b"\0"
    path.write_bytes(data[:at] + extension + data[at:])


def heif(path: Path, data: bytes) -> None:
    path.write_bytes(data + box(b"uuid", UUID + bytes(4) + b"manifest\0" + bytes(8) + jumbf(b"c2pa")))


def avif(path: Path) -> None:
    Image.fromarray(smooth()).save(path, "AVIF")
    heif(path, path.read_bytes())


def jpeg_2000(path: Path) -> None:
    Image.fromarray(smooth()).save(path, "JPEG2000")
    path.write_bytes(path.read_bytes() + jumbf(b"c2pa"))


SIGNED: dict[str, Callable[[Path], object]] = {
    "jpeg": lambda path: jpeg(path, jumbf(b"c2pa")),
    "png": lambda path: write_png(path, smooth(), [(b"caBX", jumbf(b"c2pa"))]),
    "webp": webp,
    "tiff": lambda path: tifffile.imwrite(path, smooth(), extratags=[(52545, 7, 60, jumbf(b"c2pa"), True)]),
    "gif": gif,
    "avif": avif,
    "heic": lambda path: heif(path, heic_samples.deep()),
    "jp2": jpeg_2000,
}


@pytest.mark.parametrize("format", SIGNED)
def test_content_credentials_that_go_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture, format: str) -> None:
    source, out = tmp_path / "in", tmp_path / "out.png"
    SIGNED[format](source)
    copy(source, out)
    assert caplog.messages == [f"'{source}': not kept in '{out}': {LINE}"]
    assert b"c2pa" not in out.read_bytes()


def test_other_jumbf_boxes_of_a_jpeg_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, out = tmp_path / "in", tmp_path / "out.png"
    jpeg(source, jumbf(b"jpeg360"))
    copy(source, out)
    assert caplog.messages == [f"'{source}': not kept in '{out}': its JUMBF boxes"]
