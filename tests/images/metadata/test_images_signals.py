"""What files say of their colours by numbers: kept, converted to a profile that means the same, or refused."""

import io
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from iqsr.errors import PictureError
from iqsr.images import check_output, open_picture
from support.picture_errors import the_error
from support.picture_files import P3, SIZE, copy, smooth, values
from support.png_samples import chunks_of, write_png

RESULTS = ["jpg", "png", "webp", "tif"]
SRGB = ImageCms.createProfile("sRGB")
BT709 = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
BT2020 = (0.708, 0.292, 0.17, 0.797, 0.131, 0.046)
ADOBE_RGB = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
D65, D50 = (0.3127, 0.329), (0.3457, 0.3585)
# Colorants in D50 as publishers of profiles give them: Adobe's "AdobeRGB1998.icc", ICC's "ITU-R BT.2020".
ADOBE_RGB_D50 = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
BT2020_D50 = [(0.6734, 0.2790, -0.0019), (0.1656, 0.6753, 0.0300), (0.1251, 0.0456, 0.7970)]


def deep(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.uint16) * 257


def profile_of(path: Path) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(Image.open(path).info["icc_profile"]))


def colorants(path: Path) -> list[tuple[float, ...]]:
    profile: Any = profile_of(path).profile
    return [colour[0] for colour in (profile.red_colorant, profile.green_colorant, profile.blue_colorant)]


def in_srgb(path: Path) -> np.ndarray:
    """What a program that knows profiles shows: LittleCMS converts."""
    shown = ImageCms.profileToProfile(Image.open(path), profile_of(path), SRGB, outputMode="RGB")
    assert shown is not None
    return np.asarray(shown)


def gama(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 100000))


def chrm(white: tuple[float, float], primaries: tuple[float, ...]) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(value * 100000) for value in (*white, *primaries)))


# Numbers of H.273: cICP in PNG, nclx in AVIF


HDR = {
    (9, 16): "HDR colours (PQ, BT.2020)",
    (12, 16): "HDR colours (PQ, Display-P3)",
    (12, 18): "HDR colours (HLG, Display-P3)",
    (2, 16): "HDR colours (PQ)",
}


@pytest.mark.parametrize("bands", [1, 3, 4])
@pytest.mark.parametrize("numbers", HDR)
def test_hdr_stays_in_png_and_is_refused_elsewhere(tmp_path: Path, numbers: tuple[int, int], bands: int) -> None:
    pixels = deep(smooth())
    pixels = np.dstack([pixels, np.full(SIZE[::-1], 65535, np.uint16)]) if bands == 4 else pixels[..., :bands]
    light = (b"cLLI", struct.pack(">II", 10_000_000, 4_000_000))
    coded = (b"cICP", bytes([*numbers, 0, 1]))
    write_png(tmp_path / "in.png", pixels, [coded, light])
    out = copy(tmp_path / "in.png", tmp_path / "out.png")
    assert [chunk for chunk in chunks_of(out) if chunk[0] not in (b"IHDR", b"IDAT", b"IEND")] == [coded, light]
    assert np.array_equal(values(out), pixels)
    for result in ("jpg", "webp", "tif"):
        out = tmp_path / f"out.{result}"
        message = the_error(lambda out=out: copy(tmp_path / "in.png", out), PictureError)
        assert message == (
            f"cannot write '{out}': 'in.png' has {HDR[numbers]}, which of the output formats only PNG can tell; "
            "choose .png"
        )
        with pytest.raises(PictureError):  # and so before the work
            check_output(out, SIZE, open_picture(tmp_path / "in.png"))
        assert not out.exists()


def avif(path: Path, primaries: int, transfer: int, **options: Any) -> Path:
    """Lossless, with its numbers put where Pillow writes those of sRGB."""
    Image.fromarray(smooth()).save(path, quality=100, subsampling="4:4:4", **options)
    data = path.read_bytes()
    at = data.index(b"nclx") + 4
    path.write_bytes(data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :])
    return path


@pytest.mark.parametrize("numbers", [(9, 16), (12, 18)])
def test_hdr_of_avif_goes_on_in_png(tmp_path: Path, numbers: tuple[int, int]) -> None:
    avif(tmp_path / "in.avif", *numbers)
    out = copy(tmp_path / "in.avif", tmp_path / "out.png")
    assert (b"cICP", bytes([*numbers, 0, 1])) in chunks_of(out)
    assert "icc_profile" not in Image.open(out).info
    assert np.abs(values(out).astype(float) - smooth()).mean() < 3
    assert "HDR" in the_error(lambda: copy(tmp_path / "in.avif", tmp_path / "out.jpg"))


def test_a_profile_counts_more_than_the_numbers_of_an_avif(tmp_path: Path) -> None:
    """MIAF, section 7.3.6.4: the numbers are for the way from YCbCr then."""
    picture = Image.fromarray(smooth())
    picture.save(tmp_path / "in.avif", quality=100, icc_profile=P3)
    for result in RESULTS:
        assert Image.open(copy(tmp_path / "in.avif", tmp_path / f"out.{result}")).info["icc_profile"] == P3


@pytest.mark.parametrize("result", RESULTS)
def test_cicp_counts_more_than_the_profile_of_a_png(tmp_path: Path, result: str) -> None:
    Image.fromarray(smooth()).save(tmp_path / "profile.png", icc_profile=ImageCms.ImageCmsProfile(SRGB).tobytes())
    profile = next(chunk for chunk in chunks_of(tmp_path / "profile.png") if chunk[0] == b"iCCP")
    coded = (b"cICP", bytes((12, 13, 0, 1)))
    write_png(tmp_path / "in.png", smooth(), [coded, profile])
    out = copy(tmp_path / "in.png", tmp_path / f"out.{result}")
    if result == "png":  # both stay: which counts is the same for whoever reads the result
        assert [chunk for chunk in chunks_of(out) if chunk[0] in (b"cICP", b"iCCP")] == [coded, profile]
    else:
        assert Image.open(out).info["icc_profile"] == P3


@pytest.mark.parametrize("read", ["png", "avif"])
@pytest.mark.parametrize("result", RESULTS)
def test_wide_gamuts_by_number_become_a_profile(tmp_path: Path, read: str, result: str) -> None:
    if read == "avif":
        source = avif(tmp_path / "in.avif", 9, 14)
    else:
        source = write_png(tmp_path / "in.png", smooth(), [(b"cICP", bytes((9, 14, 0, 1)))])
    out = copy(source, tmp_path / f"out.{result}")
    assert np.abs(np.array(colorants(out)) - BT2020_D50).max() < 1e-3
    if result == "png":
        assert (b"cICP", bytes((9, 14, 0, 1))) in chunks_of(out)


@pytest.mark.parametrize(
    ("numbers", "word"),
    [((1, 13, 0, 0), "values of narrow range"), ((1, 9, 0, 1), "1 and 9"), ((200, 13, 0, 1), "200 and 13")],
)
def test_what_no_profile_says_is_refused_but_in_png(tmp_path: Path, numbers: tuple[int, ...], word: str) -> None:
    coded = (b"cICP", bytes(numbers))
    write_png(tmp_path / "in.png", smooth(), [coded])
    assert coded in chunks_of(copy(tmp_path / "in.png", tmp_path / "out.png"))
    assert word in the_error(lambda: copy(tmp_path / "in.png", tmp_path / "out.jpg"))


def test_a_cicp_that_makes_no_sense_is_none(tmp_path: Path) -> None:
    write_png(tmp_path / "in.png", smooth(), [(b"cICP", b"\x09\x10")])
    assert "icc_profile" not in Image.open(copy(tmp_path / "in.png", tmp_path / "out.jpg")).info


# gAMA and cHRM


@pytest.mark.parametrize("result", ["jpg", "webp", "tif"])
@pytest.mark.parametrize("bands", [1, 3])
def test_gama_becomes_a_profile_that_shows_the_same(tmp_path: Path, result: str, bands: int) -> None:
    write_png(tmp_path / "in.png", smooth()[..., :bands], [gama(1.0)])
    options: dict[str, Any] = {} if result == "tif" else {"quality": 100}
    shown = in_srgb(copy(tmp_path / "in.png", tmp_path / f"out.{result}", **options)).astype(float)
    light = smooth()[..., :bands] / 255
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    difference = np.abs(shown - expected)[np.broadcast_to(light > 0.02, shown.shape)]
    assert difference.max() < 2 if result == "tif" else difference.mean() < 2


@pytest.mark.parametrize("result", ["jpg", "webp", "tif"])
def test_gama_and_chrm_become_a_profile(tmp_path: Path, result: str) -> None:
    write_png(tmp_path / "in.png", smooth(), [gama(256 / 563), chrm(D65, ADOBE_RGB)])
    out = copy(tmp_path / "in.png", tmp_path / f"out.{result}")
    assert np.abs(np.array(colorants(out)) - ADOBE_RGB_D50).max() < 1e-3
    assert np.abs(values(out).astype(float) - smooth()).mean() < 4  # the values are those of the source


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_a_png_keeps_the_signals_as_they_are(tmp_path: Path, bands: int) -> None:
    signals = [gama(0.5), chrm(D50, ADOBE_RGB)]
    pixels = np.dstack([smooth(), smooth()[..., :1]])[..., : bands if bands != 2 else 2]
    write_png(tmp_path / "in.png", pixels, signals)
    out = copy(tmp_path / "in.png", tmp_path / "out.png")
    assert [chunk for chunk in chunks_of(out) if chunk[0] in (b"gAMA", b"cHRM", b"iCCP")] == signals
    write_png(tmp_path / "srgb.png", pixels, [(b"sRGB", b"\1"), gama(0.45455)])
    out = copy(tmp_path / "srgb.png", tmp_path / "srgb_out.png")
    assert [chunk for chunk in chunks_of(out) if chunk[0] in (b"gAMA", b"sRGB", b"iCCP")] == [
        (b"sRGB", b"\1"),
        gama(0.45455),
    ]


SAME_AS_SRGB = {
    "gamma of sRGB": [gama(0.45455)],
    "gamma and primaries of sRGB": [gama(0.45455), chrm(D65, BT709)],
    "sRGB counts more": [(b"sRGB", b"\0"), gama(1.0), chrm(D65, BT2020)],
    "zero": [gama(0)],
    "no colours": [gama(0.45455), chrm((0, 0), (0,) * 6)],
    "on one line": [gama(0.5), chrm(D65, (0.1, 0.1, 0.2, 0.2, 0.3, 0.3))],
}


@pytest.mark.parametrize("kind", SAME_AS_SRGB)
def test_what_is_srgb_or_makes_no_sense_gets_no_profile(tmp_path: Path, kind: str) -> None:
    write_png(tmp_path / "in.png", smooth(), SAME_AS_SRGB[kind])
    for result in RESULTS:
        assert "icc_profile" not in Image.open(copy(tmp_path / "in.png", tmp_path / f"out.{result}")).info


# Tags of TIFF, EXIF of cameras


@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_primaries_of_a_tiff_become_a_profile(tmp_path: Path, result: str, order: Literal["<", ">"]) -> None:
    numbers = lambda values: tuple(part for value in values for part in (round(value * 10000), 10000))  # noqa: E731
    tags = [(318, "2I", 2, numbers(D65), True), (319, "2I", 6, numbers(ADOBE_RGB), True)]
    tifffile.imwrite(tmp_path / "in.tif", smooth(), photometric="rgb", byteorder=order, extratags=tags)
    out = copy(tmp_path / "in.tif", tmp_path / f"out.{result}")
    assert np.abs(np.array(colorants(out)) - ADOBE_RGB_D50).max() < 1e-3


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("depth", [8, 16])
def test_the_transfer_function_of_a_tiff_becomes_a_profile(tmp_path: Path, depth: int, count: int) -> None:
    pixels = smooth() if depth == 8 else deep(smooth())
    table = tuple(round(65535 * i / (2**depth - 1)) for i in range(2**depth)) * count  # linear
    tifffile.imwrite(tmp_path / "in.tif", pixels, photometric="rgb", extratags=[(301, "H", len(table), table, True)])
    shown = in_srgb(copy(tmp_path / "in.tif", tmp_path / "out.webp", quality=100)).astype(float)
    light = smooth() / 255
    expected = 255 * (1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(shown - expected)[light > 0.05].max() < 12


def camera(path: Path, space: int, index: str | None) -> Path:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = space
    if index:
        exif.get_ifd(0x8769)[0xA005] = {1: index, 2: b"0100"}
    Image.fromarray(smooth()).save(path, exif=exif, quality=100)
    return path


@pytest.mark.parametrize("result", RESULTS)
def test_adobe_rgb_of_cameras_becomes_a_profile(tmp_path: Path, result: str) -> None:
    out = copy(camera(tmp_path / "in.jpg", 0xFFFF, "R03"), tmp_path / f"out.{result}")
    assert np.abs(np.array(colorants(out)) - ADOBE_RGB_D50).max() < 1e-3
    exif = Image.open(out).getexif()
    assert (exif.get_ifd(0x8769)[0xA001], exif.get_ifd(0xA005)[1]) == (0xFFFF, "R03")  # as it was


@pytest.mark.parametrize(("space", "index"), [(1, "R98"), (1, "R03"), (0xFFFF, None), (0xFFFF, "R98")])
def test_other_cameras_get_no_profile(tmp_path: Path, space: int, index: str | None) -> None:
    out = copy(camera(tmp_path / "in.jpg", space, index), tmp_path / "out.png")
    assert "icc_profile" not in Image.open(out).info


# Profiles that do not fit


def test_a_profile_of_rgb_for_gray_is_told_where_it_is_invalid(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(smooth()).convert("L").save(tmp_path / "in.jpg", icc_profile=P3)
    for result in ("jpg", "tif", "webp"):
        assert Image.open(copy(tmp_path / "in.jpg", tmp_path / f"out.{result}")).info["icc_profile"] == P3
    assert not caplog.records
    assert "icc_profile" not in Image.open(copy(tmp_path / "in.jpg", tmp_path / "out.png")).info
    assert "its colour profile (which is not one of gray)" in caplog.text
