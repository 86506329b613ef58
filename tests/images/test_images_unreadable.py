"""Whole files of kinds that are not read: the reason and what to do. Only damaged ones are called damaged."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import tifffile

from iqsr.images import read_rgb
from support.picture_errors import photo, the_error
from support.picture_files import noise, values
from support.tiff_tags import set_tag

RGB = noise(3, size=(64, 48))
GRAY = noise(1, size=(64, 48))[..., 0]


def tiff(pixels: np.ndarray, tag: int | None = None, value: int = 0, **options: object) -> Callable[[Path], None]:
    """A TIFF of pixels, one of its tags changed."""

    def make(path: Path) -> None:
        kind = "rgb" if pixels.ndim == 3 else "minisblack"
        tifffile.imwrite(path, pixels, **{"photometric": kind, **options})
        if tag is not None:
            set_tag(path, tag, value)

    return make


def jpeg(marker: int = 0xC0, precision: int = 8) -> Callable[[Path], None]:
    """A JPEG whose header tells of another process, or of another number of bits."""

    def make(path: Path) -> None:
        photo().save(path, "JPEG")
        data = bytearray(path.read_bytes())
        at = data.index(b"\xff\xc0")
        data[at + 1], data[at + 4] = marker, precision
        path.write_bytes(data)

    return make


def apples(path: Path) -> None:
    photo().save(path, "PNG")
    data = path.read_bytes()
    chunk = struct.pack(">I", 4) + b"CgBI\x50\0\x20\2"
    path.write_bytes(data[:8] + chunk + struct.pack(">I", zlib.crc32(chunk[4:])) + data[8:])


def content(data: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(data.ljust(600, b"\1"))

    return write


UNREAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "float16": (tiff(GRAY.astype(np.float16)), "floating-point numbers of 16 bits"),
    "float32": (tiff(GRAY.astype(np.float32)), "floating-point numbers of 32 bits"),
    "float64": (tiff(GRAY.astype(np.float64)), "floating-point numbers of 64 bits"),
    "float RGB": (tiff(RGB.astype(np.float32)), "floating-point numbers of 32 bits"),
    "complex": (tiff(GRAY.astype(np.complex64)), "complex numbers of 64 bits"),
    "int8": (tiff(GRAY.astype(np.int8)), "signed integers of 8 bits"),
    "int16": (tiff(GRAY.astype(np.int16)), "signed integers of 16 bits"),
    "uint32": (tiff(GRAY.astype(np.uint32)), "samples have 32 bits"),
    "uint64": (tiff(GRAY.astype(np.uint64)), "samples have 64 bits"),
    "10 bit": (tiff(GRAY.astype(np.uint16), 258, 10), "samples have 10 bits"),
    "12 bit": (tiff(GRAY.astype(np.uint16), 258, 12), "samples have 12 bits"),
    "12 bit RGB": (tiff(RGB.astype(np.uint16), 258, 12), "samples have 12 bits"),
    "lightness alone": (tiff(GRAY, 262, 8), "1 of the 3 channels of its colours"),
    "luma alone": (tiff(GRAY, 262, 6), "1 of the 3 channels of its colours"),
    "ICC lightness alone": (tiff(GRAY.astype(np.uint16), 262, 9), "1 of the 3 channels of its colours"),
    "inks too few": (tiff(RGB, 262, 5), "3 of the 4 channels of its colours"),
    "mask": (tiff(GRAY > 127, 262, 4), "a mask of transparency"),
    "planes in tiles": (tiff(np.moveaxis(RGB, 2, 0), planarconfig="separate", tile=(16, 16)), "plane for each channel"),
    "compression": (tiff(RGB, 259, 50002), "compression (JPEG XL) is not supported"),
    "unknown compression": (tiff(RGB, 259, 60000), "compression (number 60000) is not supported"),
    "12-bit jpeg": (jpeg(0xC1, 12), "samples have 12 bits"),
    "lossless jpeg": (jpeg(0xC3, 16), "a lossless JPEG"),
    "hierarchical jpeg": (jpeg(0xC5), "a hierarchical JPEG"),
    "jpeg-ls behind a mark": (jpeg(0xF7), "a JPEG-LS picture"),
    "jpeg-ls": (content(b"\xff\xd8\xff\xf7\0\x0b\x08"), "a JPEG-LS picture"),
    "apple's png": (apples, "CgBI"),
    "jpeg xl": (content(b"\xff\x0a"), "a JPEG XL picture"),
    "jpeg xl in a box": (content(b"\0\0\0\x0cJXL \r\n\x87\n"), "a JPEG XL picture"),
    "jpeg xr": (content(b"II\xbc\1"), "a JPEG XR picture"),
    "photoshop": (content(b"8BPS\0\1"), "a Photoshop document"),
    "openexr": (content(b"v/1\x01"), "an OpenEXR picture"),
    "radiance": (content(b"#?RGBE\n"), "a Radiance picture"),
    "float map": (content(b"PF\n64 48\n-1.0\n"), "floating-point numbers (PFM)"),
    "cursor": (content(b"\0\0\2\0\1\0\x20\x20"), "a Windows cursor"),
    "targa, which begins like a cursor": (
        content(b"\0\0\2" + bytes(9) + b"\x20\0\x18\0\x18\0"),
        "not a picture that iqsr knows",
    ),
    "canon raw": (content(b"\0\0\0\x18ftypcrx \0\0\0\1crx isom"), "a camera's raw file"),
    "older canon raw": (content(b"II*\0\x10\0\0\0CR\2\0"), "a camera's raw file"),
    "fuji raw": (content(b"FUJIFILMCCD-RAW 0201"), "a camera's raw file"),
    "panasonic raw": (content(b"IIU\0\x18\0\0\0"), "a camera's raw file"),
    "video": (content(b"\0\0\0\x18ftypisom\0\0\2\0isommp41"), "a video"),
    "jpeg 2000 video": (content(b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypmjp2"), "a video"),
    "postscript": (content(b"%!PS-Adobe-3.0 EPSF-3.0\n"), "a PostScript file"),
    "dicom": (content(bytes(128) + b"DICM"), "a DICOM file"),
    "fits": (content(b"SIMPLE  =                    T"), "a FITS file"),
    "git lfs": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "git lfs pull",
    ),
    "web page": (lambda path: path.write_text("\n<!DOCTYPE html><html><body>404</body></html>"), "a web page"),
    "gzip": (content(b"\x1f\x8b\x08"), "gzip"),
}


@pytest.mark.parametrize("kind", UNREAD)
def test_a_whole_file_that_is_not_read_gets_the_reason(tmp_path: Path, kind: str) -> None:
    make, reason = UNREAD[kind]
    path = tmp_path / "in.png"
    make(path)
    message = the_error(lambda: read_rgb(path))
    assert message.startswith(f"cannot read '{path}': ")
    assert reason in message
    assert "damaged" not in message


@pytest.mark.parametrize("kind", ["float64", "12 bit", "planes in tiles", "12-bit jpeg", "apple's png"])
def test_the_reason_comes_with_what_to_do(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "in.png"
    UNREAD[kind][0](path)
    message = the_error(lambda: read_rgb(path))
    assert message.endswith(" first")
    assert "save it" in message or "export it" in message


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_bigtiff_is_read(tmp_path: Path, order: Literal["<", ">"]) -> None:
    tifffile.imwrite(tmp_path / "in.tif", RGB, photometric="rgb", bigtiff=True, byteorder=order)
    assert np.array_equal((read_rgb(tmp_path / "in.tif") * 255)[0].permute(1, 2, 0).round().numpy(), RGB)
    assert np.array_equal(values(tmp_path / "in.tif"), RGB)


def test_a_damaged_file_of_a_kind_that_is_read_is_called_damaged(tmp_path: Path) -> None:
    for name, options in {"a.jpg": {}, "a.png": {}, "a.tif": {"compression": "tiff_lzw"}, "a.gif": {}}.items():
        photo().save(tmp_path / name, **options)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        assert "damaged or cut short" in the_error(lambda name=name: read_rgb(tmp_path / name))


def test_a_damaged_jpeg_with_arithmetic_coding_is_not_called_unread(tmp_path: Path) -> None:
    path = tmp_path / "in.jpg"
    jpeg(0xCA)(path)  # of several scans, says the header, and there is one
    assert "damaged or cut short" in the_error(lambda: read_rgb(path))
