"""Files damaged in the middle or at the end, and odd ones that are not damaged at all."""

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from iqsr.images import read_rgb
from support.picture_errors import SIZE, the_error
from support.picture_files import smooth


def textured() -> Image.Image:
    """Smooth and grainy, as photos are: noise alone would end every strip at once, flatness hide the damage."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    noise = np.random.default_rng(1).normal(0, 8, (SIZE[1], SIZE[0], 3))
    return Image.fromarray(np.clip(np.dstack([x * 0.8, y * 1.2, (x + y) * 0.5]) + noise, 0, 255).astype(np.uint8))


def encoded(kind: str, picture: Image.Image | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    (picture or textured()).save(file, kind, **options)
    return file.getvalue()


def zeroed(data: bytes, start: float = 0.5, end: float = 0.75) -> bytes:
    first, last = int(len(data) * start), int(len(data) * end)
    return data[:first] + bytes(last - first) + data[last:]


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(octet ^ 0x5A for octet in data[middle : middle + 40]) + data[middle + 40 :]


DAMAGED: dict[str, Callable[[], bytes]] = {
    "deflate, zeroed": lambda: zeroed(encoded("TIFF", compression="tiff_adobe_deflate")),
    "deflate, flipped": lambda: flipped(encoded("TIFF", compression="tiff_adobe_deflate")),
    "lzw, zeroed": lambda: zeroed(encoded("TIFF", compression="tiff_lzw")),
    "packbits, zeroed": lambda: zeroed(encoded("TIFF", compression="packbits")),
    "jpeg in tiff, zeroed": lambda: zeroed(encoded("TIFF", compression="jpeg")),
    "jpeg, zeroed": lambda: zeroed(encoded("JPEG", quality=90)),
    "jpeg, zeroed tail": lambda: zeroed(encoded("JPEG", Image.fromarray(smooth(SIZE)), optimize=True), 0.6, 1.0),
    "progressive jpeg, zeroed": lambda: zeroed(encoded("JPEG", quality=90, progressive=True)),
    "progressive jpeg, flipped": lambda: flipped(encoded("JPEG", quality=90, progressive=True)),
    "png, flipped": lambda: flipped(encoded("PNG")),
    "avif, flipped": lambda: flipped(encoded("AVIF", quality=90)),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_told_and_not_read_as_black_or_garbage(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "in"
    path.write_bytes(DAMAGED[kind]())
    message = the_error(lambda: read_rgb(path))
    assert message.startswith(f"cannot read '{path}': the file is damaged or cut short (")


@pytest.mark.parametrize(("compression", "name"), [("zstd", "ZSTD"), ("lzma", "LZMA")])
def test_a_compression_of_tiff_that_is_not_supported_is_named(tmp_path: Path, compression: str, name: str) -> None:
    path = tmp_path / "in.tif"
    path.write_bytes(encoded("TIFF", compression=compression))
    expected = f"its compression ({name}) is not supported; save it with another one first"
    assert the_error(lambda: read_rgb(path)) == f"cannot read '{path}': {expected}"


def test_a_compression_of_tiff_that_nobody_knows_is_told_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "in.tif"
    textured().save(path)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        at = file.pages.first.tags["Compression"].valueoffset
    data[at : at + 2] = (12345).to_bytes(2, "little")
    path.write_bytes(data)
    assert "its compression (number 12345) is not supported" in the_error(lambda: read_rgb(path))


def stray_bytes(data: bytes, marker: bytes) -> bytes:
    at = data.rindex(marker)
    return data[:at] + bytes(4) + data[at:]


def scan_parameters_of_zero(data: bytes) -> bytes:
    """As some phones write them: a baseline scan that says it ends at coefficient 0."""
    at = data.index(b"\xff\xda")
    at += 5 + 2 * data[at + 4]
    return data[:at] + bytes(3) + data[at + 3 :]


ODD: dict[str, Callable[[bytes], bytes]] = {
    "bytes behind the end": lambda data: data + b"more" * 1000,
    "zeros behind the end": lambda data: data + bytes(5000),
    "stray bytes before a table": lambda data: stray_bytes(data, b"\xff\xdb"),
    "stray bytes before the end": lambda data: stray_bytes(data, b"\xff\xd9"),
    "scan parameters of zero": scan_parameters_of_zero,
}


# In a progressive file the parameters of a scan mean something.
@pytest.mark.parametrize(
    ("kind", "progressive"), [*((kind, False) for kind in ODD), *((kind, True) for kind in list(ODD)[:-1])]
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_an_odd_jpeg_is_read_as_if_it_were_not(tmp_path: Path, kind: str, progressive: bool, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded("JPEG", quality=90, progressive=progressive, exif=exif)
    (tmp_path / "plain.jpg").write_bytes(data)
    (tmp_path / "odd.jpg").write_bytes(ODD[kind](data))
    assert read_rgb(tmp_path / "odd.jpg").equal(read_rgb(tmp_path / "plain.jpg"))


def test_an_odd_tiff_is_read_as_if_it_were_not(tmp_path: Path) -> None:
    path, pixels = tmp_path / "in.tif", np.asarray(textured())
    tags = [(65000, "s", 0, "?", True), (65001, "I", 3, (1, 2, 3), True), (306, "s", 0, "yesterday", True)]
    with warnings.catch_warnings(action="ignore"):
        tifffile.imwrite(path, pixels, photometric="rgb", compression="zlib", rowsperstrip=7, extratags=tags)
    path.write_bytes(path.read_bytes() + b"more" * 1000)
    assert np.array_equal((read_rgb(path) * 255).round()[0].permute(1, 2, 0).numpy(), pixels)


@pytest.mark.parametrize("compression", ["group3", "group4"])
def test_a_fax_is_read(tmp_path: Path, compression: str) -> None:
    page = textured().convert("1")
    page.save(tmp_path / "in.tif", compression=compression)
    assert np.array_equal(read_rgb(tmp_path / "in.tif")[0, 0].numpy() > 0.5, np.asarray(page))
