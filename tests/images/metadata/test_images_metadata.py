"""What a file tells beside its pixels: orientation, EXIF, colour profiles, XMP, resolution."""

import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from iqsr.images import open_picture
from support.picture_files import P3, SIZE, copy, noise, smooth, values

# Orientation and EXIF


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
def test_orientation_is_applied_and_then_reset(tmp_path: Path, orientation: int, suffix: str) -> None:
    turned = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}[orientation]  # Pillow's transpositions
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(smooth())
    options: dict[str, Any] = {"quality": 100} if suffix == ".jpg" else {}
    stored.save(tmp_path / f"in{suffix}", exif=exif, **options)
    shown = np.asarray(stored if turned is None else stored.transpose(Image.Transpose(turned)))

    info = open_picture(tmp_path / f"in{suffix}").info
    assert (info.height, info.width) == shown.shape[:2]
    for result in (f"out{suffix}", "out.png", "out.tif", "out.webp"):
        out = copy(tmp_path / f"in{suffix}", tmp_path / result)
        assert np.abs(values(out).astype(int) - shown).mean() < 2
        assert Image.open(out).getexif().get(0x0112, 1) == 1


def photo_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x8298] = "Acme Camera", 6, "(c) Jemand"
    detail, place = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
    detail[0x9003], detail[0x829A], detail[0xA002], detail[0xA003] = "2021:02:03 04:05:06", 0.004, *SIZE
    place[1], place[2] = "N", (48.0, 8.0, 30.5)
    return exif


@pytest.mark.parametrize("read", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("written", ["jpg", "png", "webp", "tif"])
def test_exif_survives_with_new_dimensions(tmp_path: Path, read: str, written: str) -> None:
    if read == "tif":  # Pillow writes no EXIF directory into TIFF; ours does, and tifffile checks it below
        Image.fromarray(smooth()).save(tmp_path / "first.png", exif=photo_exif())
        copy(tmp_path / "first.png", tmp_path / "in.tif")
    else:
        Image.fromarray(smooth()).save(tmp_path / f"in.{read}", exif=photo_exif())
    out = copy(tmp_path / f"in.{read}", tmp_path / f"out.{written}", scale=2)
    exif = Image.open(out).getexif()
    detail, place = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
    assert exif.get(0x0112, 1) == 1
    assert exif[0x010F] == "Acme Camera"
    assert exif[0x8298] == "(c) Jemand"
    assert detail[0x9003] == "2021:02:03 04:05:06"
    assert float(detail[0x829A]) == pytest.approx(1 / 250)
    assert (detail[0xA002], detail[0xA003]) == (SIZE[1] * 2, SIZE[0] * 2)
    assert [float(x) for x in place[2]] == [48.0, 8.0, 30.5]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_exif_of_every_kind_of_tiff(tmp_path: Path, order: Literal["<", ">"], big: bool) -> None:
    tags = [(271, "s", 0, "Acme", True), (33432, "s", 0, "(c) Jemand", True)]
    tifffile.imwrite(tmp_path / "in.tif", smooth(), photometric="rgb", byteorder=order, bigtiff=big, extratags=tags)
    for suffix in ("jpg", "tif"):
        exif = Image.open(copy(tmp_path / "in.tif", tmp_path / f"out.{suffix}")).getexif()
        assert (exif[271], exif[33432]) == ("Acme", "(c) Jemand")


def test_a_tiff_with_exif_is_still_read_by_others(tmp_path: Path) -> None:
    pixels = smooth()
    Image.fromarray(pixels).save(tmp_path / "in.png", exif=photo_exif())
    out = copy(tmp_path / "in.png", tmp_path / "out.tif")
    assert np.array_equal(tifffile.imread(out), np.rot90(pixels, -1))
    with tifffile.TiffFile(out) as file:
        assert file.pages.first.tags["ExifTag"].value["DateTimeOriginal"] == "2021:02:03 04:05:06"


def test_the_embedded_thumbnail_is_dropped(tmp_path: Path) -> None:
    small = io.BytesIO()
    Image.new("RGB", (16, 12), "red").save(small, "JPEG")
    block = photo_exif().tobytes()[6:]  # big-endian; its last four bytes of the first directory chain the next
    count = int.from_bytes(block[8:10], "big")
    chain = 10 + count * 12
    at = len(block) + len(block) % 2
    entries = [(0x0103, 3, 6 << 16), (0x0201, 4, at + 2 + 36 + 4), (0x0202, 4, small.tell())]
    second = b"\0\3" + b"".join(
        tag.to_bytes(2, "big") + kind.to_bytes(2, "big") + (1).to_bytes(4, "big") + value.to_bytes(4, "big")
        for tag, kind, value in entries
    )
    block = block[:chain] + at.to_bytes(4, "big") + block[chain + 4 :].ljust(at - chain - 4, b"\0")
    block += second + bytes(4) + small.getvalue()
    Image.fromarray(smooth()).save(tmp_path / "in.jpg", exif=b"Exif\0\0" + block)
    assert small.getvalue() in (tmp_path / "in.jpg").read_bytes()
    assert pyvips.Image.new_from_file(str(tmp_path / "in.jpg")).get_typeof("jpeg-thumbnail-data")
    for suffix in ("jpg", "png", "webp", "tif"):
        out = copy(tmp_path / "in.jpg", tmp_path / f"out.{suffix}")
        assert small.getvalue() not in out.read_bytes()
        assert not pyvips.Image.new_from_file(str(out)).get_typeof("jpeg-thumbnail-data")


def test_broken_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    for block in (
        b"Exif\0\0garbage",
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(99),
    ):
        Image.fromarray(smooth()).save(tmp_path / "in.jpg", exif=block)
        for suffix in ("jpg", "tif"):
            assert values(copy(tmp_path / "in.jpg", tmp_path / f"out.{suffix}")).shape == (41, 67, 3)


@pytest.mark.parametrize("read", ["png", "webp"])
@pytest.mark.parametrize("lengths", [(70_000, 0), (100, 70_000), (40_000, 40_000)])
def test_a_value_too_long_for_jpeg_does_not_cost_the_others(
    tmp_path: Path, read: str, lengths: tuple[int, int]
) -> None:
    exif = photo_exif()
    exif[0x010E], exif.get_ifd(0x8769)[0x9286] = "x" * lengths[0], b"y" * lengths[1]
    Image.fromarray(smooth()).save(tmp_path / f"in.{read}", exif=exif)
    kept = Image.open(copy(tmp_path / f"in.{read}", tmp_path / "out.jpg")).getexif()
    assert kept[0x010F] == "Acme Camera"
    assert kept.get_ifd(0x8769)[0x9003] == "2021:02:03 04:05:06"
    assert [float(x) for x in kept.get_ifd(0x8825)[2]] == [48.0, 8.0, 30.5]
    long = len(kept.get(0x010E, "")), len(kept.get_ifd(0x8769).get(0x9286, b""))
    assert [min(x, 39_000) for x in sorted(long)] == [0, 39_000] if lengths[1] == 40_000 else max(long) <= 100


# Profiles and the rest


@pytest.mark.parametrize("read", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("written", ["jpg", "png", "webp", "tif"])
def test_a_display_p3_photo_keeps_its_profile_and_its_values(tmp_path: Path, read: str, written: str) -> None:
    pixels = smooth()
    options: dict[str, Any] = {"quality": 100} if read in ("jpg", "webp") else {}
    Image.fromarray(pixels).save(tmp_path / f"in.{read}", icc_profile=P3, **options)
    out = copy(tmp_path / f"in.{read}", tmp_path / f"out.{written}")
    assert Image.open(out).info["icc_profile"] == P3
    assert np.abs(values(out).astype(float) - pixels).mean() < 2.5


def test_a_gray_profile_stays_with_gray_and_not_with_rgb(tmp_path: Path) -> None:
    gray = pyvips.Image.new_from_array(noise(1)).copy(interpretation="b-w")
    profile = bytes(pyvips.Operation.call("profile_load", "srgb"))
    profile = profile[:16] + b"GRAY" + profile[20:]
    gray.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)  # pyright: ignore[reportArgumentType]
    gray.tiffsave(str(tmp_path / "in.tif"))
    picture = open_picture(tmp_path / "in.tif")
    assert picture.info.gray
    kept = Image.open(copy(tmp_path / "in.tif", tmp_path / "out.tif")).info.get("icc_profile")
    assert kept == profile


def test_xmp_and_resolution_are_kept(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6" dc:title="Titel"/></x:xmpmeta>'
    image = pyvips.Image.new_from_array(smooth()).copy(interpretation="srgb", xres=11.811, yres=5.9055)
    image.set_type(pyvips.GValue.blob_type, "xmp-data", xmp)  # pyright: ignore[reportArgumentType]
    for read in ("jpg", "png", "tif"):
        image.write_to_file(str(tmp_path / f"in.{read}"))
        for written in ("jpg", "png", "tif"):
            out = pyvips.Image.new_from_file(str(copy(tmp_path / f"in.{read}", tmp_path / f"out.{written}")))
            kept: Any = out.get("xmp-data")
            assert bytes(kept).rstrip(b"\0") == xmp.replace(b'"6"', b'"1"')
            assert (out.xres, out.yres) == pytest.approx((11.811, 5.9055), rel=0.01)
