"""Colours that a file holds as something else than RGB, or names by number only."""

import struct
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from iqsr.images import open_picture, read_rgb
from support.picture_errors import the_error
from support.picture_files import P3, SIZE, copy, smooth, values

SRGB = bytes(pyvips.Operation.call("profile_load", "srgb"))

# Lab and YCbCr


def shown(path: Path) -> np.ndarray:
    return (read_rgb(path) * 255)[0].permute(1, 2, 0).numpy()


def check(path: Path, expected: np.ndarray, mean: float, depth: int, icc: bytes | None) -> None:
    info = open_picture(path).info
    assert (info.gray, info.depth, info.has_alpha) == (False, depth, False)
    assert info.icc == icc
    assert np.abs(shown(path) - expected).mean() < mean


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_lab_of_8_bit_comes_out_as_srgb(tmp_path: Path, compression: str | None) -> None:
    Image.fromarray(smooth()).convert("LAB").save(tmp_path / "in.tif", compression=compression)
    check(tmp_path / "in.tif", smooth(), 1, 8, SRGB)
    assert np.abs(values(copy(tmp_path / "in.tif", tmp_path / "out.png")).astype(float) - smooth()).mean() < 1


def lab(deep: bool, icc: bool) -> np.ndarray:
    """`smooth` as TIFF stores it: a and b signed, or moved by 128 as ICC profiles have it."""
    octets = np.asarray(Image.fromarray(smooth()).convert("LAB")).astype(int)
    signed = (octets[..., 1:] ^ 128) - 128
    light = octets[..., :1] * ((256 if icc else 257) if deep else 1)
    stored = (signed + 128 * icc) * (256 if deep else 1)
    return np.dstack([light, stored]).astype(np.uint16 if deep else np.uint8)


@pytest.mark.parametrize("icc", [False, True])
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_kind_of_lab_comes_out_as_srgb(tmp_path: Path, deep: bool, icc: bool, order: Literal["<", ">"]) -> None:
    photometric = "icclab" if icc else "cielab"
    tifffile.imwrite(tmp_path / "in.tif", lab(deep, icc), photometric=photometric, byteorder=order)
    check(tmp_path / "in.tif", smooth(), 1, 16 if deep else 8, SRGB)


@pytest.mark.parametrize("deep", [False, True])
def test_lab_with_alpha_keeps_it(tmp_path: Path, deep: bool) -> None:
    alpha = np.linspace(0, 65535 if deep else 255, SIZE[0]).astype(np.uint16 if deep else np.uint8)
    stored = np.dstack([lab(deep, False), np.broadcast_to(alpha, SIZE[::-1])])
    tifffile.imwrite(tmp_path / "in.tif", stored, photometric="cielab", extrasamples=["unassalpha"])
    result = values(copy(tmp_path / "in.tif", tmp_path / "out.png"))
    assert np.array_equal(result[20, :, 3], alpha)
    visible = result[:, 10:, :3] / (257 if deep else 1)
    assert np.abs(visible - smooth()[:, 10:]).mean() < 1


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
def test_ycbcr_comes_out_as_rgb(tmp_path: Path, compression: str | None) -> None:
    options: dict[str, Any] = {"quality": 95} if compression == "jpeg" else {}
    Image.fromarray(smooth()).convert("YCbCr").save(tmp_path / "in.tif", compression=compression, **options)
    check(tmp_path / "in.tif", smooth(), 2, 8, None)


def test_ycbcr_keeps_the_profile_of_its_rgb(tmp_path: Path) -> None:
    Image.fromarray(smooth()).convert("YCbCr").save(tmp_path / "in.tif", icc_profile=P3)
    check(tmp_path / "in.tif", smooth(), 2, 8, P3)


UNUSUAL = {
    "subsampled": None,
    "narrow range": (532, "2I", 6, (16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1), True),
    "half a range": (532, "I", 5, (0, 1, 255, 1, 128), True),
    "other weights": (529, "2I", 3, (2126, 10000, 7152, 10000, 722, 10000), True),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_ycbcr_is_refused(tmp_path: Path, kind: str) -> None:
    path, tag = tmp_path / "in.tif", UNUSUAL[kind]
    tifffile.imwrite(path, smooth(), photometric="ycbcr", extratags=[tag] if tag else [])
    if not tag:
        with tifffile.TiffFile(path) as file:
            at = file.pages.first.tags["YCbCrSubSampling"].valueoffset
        data = bytearray(path.read_bytes())
        data[at : at + 4] = b"\2\0\1\0"
        path.write_bytes(data)
    assert "its YCbCr is subsampled or of an unusual range" in the_error(lambda: open_picture(path))


# Display-P3 by number


def png_with_cicp(path: Path, picture: Image.Image, numbers: tuple[int, ...]) -> None:
    picture.save(path)
    data, chunk = path.read_bytes(), b"cICP" + bytes(numbers)
    chunk = struct.pack(">I", len(numbers)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(data[:33] + chunk + data[33:])  # behind the header


def avif_with_primaries(path: Path, picture: Image.Image, number: int, **options: Any) -> None:
    picture.save(path, quality=95, **options)
    data = path.read_bytes()
    at = data.index(b"nclx") + 4
    path.write_bytes(data[:at] + number.to_bytes(2, "big") + data[at + 2 :])


@pytest.mark.parametrize("written", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("read", ["png", "avif"])
def test_display_p3_by_number_becomes_its_profile(tmp_path: Path, read: str, mode: str, written: str) -> None:
    path, picture = tmp_path / f"in.{read}", Image.fromarray(smooth()).convert(mode)
    if read == "png":
        png_with_cicp(path, picture, (12, 13, 0, 1))
    else:
        avif_with_primaries(path, picture, 12)
    out = copy(path, tmp_path / f"out.{written}")
    assert Image.open(out).info["icc_profile"] == P3
    assert np.abs(values(out)[..., :3].astype(float) - smooth()).mean() < 4


def test_other_primaries_and_gray_have_no_profile(tmp_path: Path) -> None:
    picture = Image.fromarray(smooth())
    png_with_cicp(tmp_path / "srgb.png", picture, (1, 13, 0, 1))
    png_with_cicp(tmp_path / "gray.png", picture.convert("L"), (12, 13, 0, 1))
    png_with_cicp(tmp_path / "empty.png", picture, ())
    avif_with_primaries(tmp_path / "srgb.avif", picture, 1)
    for name in ("srgb.png", "gray.png", "empty.png", "srgb.avif"):
        assert open_picture(tmp_path / name).info.icc is None, name
