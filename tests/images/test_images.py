"""What goes through a picture file and back: values, depth, size, and every kind of picture."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
import torch
from PIL import Image, ImageCms
from PIL.JpegImagePlugin import JpegImageFile

from iqsr.images import check_output, open_picture, resample, write_picture
from support import heic_samples
from support.picture_files import P3, SIZE, copy, noise, smooth, values, write_vips

# Values


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("bands", [1, 3])
def test_lossless_round_trip_keeps_every_value(tmp_path: Path, bands: int, depth: int, suffix: str) -> None:
    pixels = noise(bands, depth)
    source = write_vips(tmp_path / f"in{suffix}", pixels)
    result = values(copy(source, tmp_path / f"out{suffix}"))
    assert result.dtype == pixels.dtype
    assert np.array_equal(result, pixels)  # one band stays one band


@pytest.mark.parametrize(("suffix", "limit"), [(".jpg", 1.0), (".webp", 2.5)])
def test_lossy_formats_are_close_at_their_default_quality(tmp_path: Path, suffix: str, limit: float) -> None:
    pixels = smooth()
    result = values(copy(write_vips(tmp_path / "in.png", pixels), tmp_path / f"out{suffix}"))
    assert np.abs(result.astype(float) - pixels).mean() < limit


def test_bands_are_float_channels_last_and_of_the_height_asked_for(tmp_path: Path) -> None:
    picture = open_picture(write_vips(tmp_path / "in.png", noise(3)))
    bands = list(picture.rows(16))
    assert [band.shape for band in bands] == [(1, 3, 16, 67), (1, 3, 16, 67), (1, 3, 9, 67)]
    assert all(band.dtype == torch.float32 for band in bands)
    assert all(band.is_contiguous(memory_format=torch.channels_last) for band in bands)


def test_rows_can_be_read_again(tmp_path: Path) -> None:
    picture = open_picture(write_vips(tmp_path / "in.jpg", smooth()))
    assert torch.equal(torch.cat(list(picture.rows(5)), 2), torch.cat(list(picture.rows(100)), 2))


def test_gray_is_read_as_three_equal_channels(tmp_path: Path) -> None:
    pixels = noise(1)
    (band,) = open_picture(write_vips(tmp_path / "in.png", pixels)).rows(100)
    assert torch.equal(band[0, 0], torch.from_numpy(pixels[..., 0] / np.float32(255)))
    assert torch.equal(band[0, 0], band[0, 1])
    assert torch.equal(band[0, 0], band[0, 2])


def test_values_out_of_range_are_clamped_and_halves_rounded_up(tmp_path: Path) -> None:
    picture = open_picture(write_vips(tmp_path / "in.png", noise(3, size=(4, 1))))
    row = torch.tensor([-0.5, 1.5, 99.5 / 255, 100.4 / 255]).expand(1, 3, 1, 4)
    write_picture(tmp_path / "out.png", [row], source=picture, upscaled=(4, 1), size=(4, 1))
    assert values(tmp_path / "out.png")[0, :, 0].tolist() == [0, 255, 100, 100]


@pytest.mark.parametrize(("suffix", "kind"), [(".jpg", np.uint8), (".webp", np.uint8), (".png", np.uint16)])
def test_16_bit_becomes_8_only_where_the_format_has_no_more(tmp_path: Path, suffix: str, kind: type) -> None:
    source = write_vips(tmp_path / "in.png", (smooth().astype(np.uint16) * 257))
    result = values(copy(source, tmp_path / f"out{suffix}"))
    assert result.dtype == kind
    assert abs(float(result.mean()) / np.iinfo(kind).max - smooth().mean() / 255) < 0.002


@pytest.mark.parametrize(("quality", "halved"), [(89, True), (90, False)])
def test_jpeg_keeps_full_colour_resolution_from_quality_90(tmp_path: Path, quality: int, halved: bool) -> None:
    out = copy(write_vips(tmp_path / "in.png", smooth()), tmp_path / "out.jpg", quality=quality)
    jpeg = Image.open(out)
    assert isinstance(jpeg, JpegImageFile)
    assert jpeg.layer[0][1:3] == ((2, 2) if halved else (1, 1))


@pytest.mark.parametrize("depth", [8, 16])
def test_resampling_keeps_a_flat_picture_flat(tmp_path: Path, depth: int) -> None:
    one = 2**depth - 1
    pixels = np.full((41, 67, 4), one, np.uint8 if depth == 8 else np.uint16)
    out = copy(write_vips(tmp_path / "in.png", pixels), tmp_path / "out.png", scale=4, size=(101, 77))
    result = values(out)
    assert result.shape == (77, 101, 4)
    assert result.min() == one  # opaque stays opaque, white stays white


@pytest.mark.parametrize("size", [(134, 82), (113, 69), (268, 50), (33, 100), (20, 13)])
def test_resampling_moves_nothing(size: tuple[int, int]) -> None:
    picture = torch.from_numpy(noise(3)).permute(2, 0, 1)[None] / 255
    mirrored = resample(picture.flip(2, 3), size).flip(2, 3)
    assert torch.allclose(resample(picture, size), mirrored, atol=2e-2)
    across = ((torch.arange(67) + 0.5) / 67).expand(1, 3, 41, 67)  # each pixel holds its centre's position
    expected = ((torch.arange(size[0]) + 0.5) / size[0]).expand(1, 3, size[1], size[0])
    inside = slice(size[0] // 8, -(size[0] // 8))
    assert torch.allclose(resample(across, size)[..., inside], expected[..., inside], atol=2e-3)


# Kinds of pictures


def test_palette_becomes_rgb(tmp_path: Path) -> None:
    indexed = Image.fromarray(smooth()).quantize(16)
    indexed.save(tmp_path / "in.png")
    result = values(copy(tmp_path / "in.png", tmp_path / "out.png"))
    assert np.array_equal(result, np.asarray(indexed.convert("RGB")))


def test_palette_with_a_transparent_entry_has_alpha(tmp_path: Path) -> None:
    indexed = Image.fromarray(smooth()).quantize(16)
    indexed.save(tmp_path / "in.png", transparency=3)
    result = values(copy(tmp_path / "in.png", tmp_path / "out.png"))
    assert np.array_equal(result[..., 3], np.where(np.asarray(indexed) == 3, 0, 255))


def test_one_bit_becomes_gray_of_8(tmp_path: Path) -> None:
    black_and_white = Image.fromarray(noise(1)[..., 0] > 127).convert("1")
    black_and_white.save(tmp_path / "in.png")
    result = values(copy(tmp_path / "in.png", tmp_path / "out.png"))
    assert np.array_equal(result[..., 0], np.asarray(black_and_white) * np.uint8(255))


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_comes_out_as_srgb_that_looks_like_the_ink(tmp_path: Path, suffix: str) -> None:
    inks = {(0, 0, 0, 0): (255, 255, 255), (255, 0, 0, 0): (0, 160, 220), (0, 255, 255, 0): (230, 30, 40)}
    inks[(0, 0, 255, 0)] = (255, 240, 0)
    for ink, expected in inks.items():
        Image.new("CMYK", (32, 32), ink).save(tmp_path / f"in{suffix}")
        out = copy(tmp_path / f"in{suffix}", tmp_path / "out.png")
        assert np.abs(values(out)[16, 16].astype(int) - expected).max() < 45, ink
        profile: Any = ImageCms.ImageCmsProfile(io.BytesIO(open_picture(out).info.icc or b""))
        assert profile.profile.xcolor_space.strip() == "RGB"


def test_a_tiff_with_premultiplied_alpha_gives_straight_colour(tmp_path: Path) -> None:
    pixels = np.full((41, 67, 4), 100, np.uint8)
    pixels[..., 3] = 128
    tifffile.imwrite(tmp_path / "in.tif", pixels, photometric="rgb", extrasamples=["assocalpha"])
    (band,) = open_picture(tmp_path / "in.tif").rows(100)
    assert torch.allclose(band * 255, torch.tensor(199.0), atol=1)


def test_the_content_and_not_the_name_says_what_a_file_is(tmp_path: Path) -> None:
    pixels = noise(3)
    write_vips(tmp_path / "in.png", pixels).rename(tmp_path / "in.jpg")
    assert np.array_equal(values(copy(tmp_path / "in.jpg", tmp_path / "out.tif")), pixels)


@pytest.mark.parametrize("name", ["ein Bild ü 図 🎈.png", "a[page=2].png", "-x.png", "a'b\".png", "x" * 250 + ".png"])
def test_names_may_hold_anything(tmp_path: Path, name: str) -> None:
    pixels = noise(3)
    folder = tmp_path / "Ordner mit ß und 空白"
    folder.mkdir()
    write_vips(tmp_path / "plain.png", pixels).rename(folder / name)
    out = copy(folder / name, folder / ("2" + name[1:]))
    out.rename(tmp_path / "out.png")
    assert np.array_equal(values(tmp_path / "out.png"), pixels)


def test_a_name_that_is_not_unicode(tmp_path: Path) -> None:
    pixels = noise(3)
    source = tmp_path / "caf\udce9.png"  # Latin-1 bytes, as Linux allows
    write_vips(tmp_path / "plain.png", pixels).rename(source)
    copy(source, tmp_path / "caf\udce9 2.png").rename(tmp_path / "out.png")
    assert np.array_equal(values(tmp_path / "out.png"), pixels)


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    source = write_vips(tmp_path / "in.png", noise(3))
    out = tmp_path / "a" / "b" / "out.png"
    check_output(out, SIZE, open_picture(source))
    assert not (tmp_path / "a").exists()
    assert copy(source, out).is_file()


# HEIC and AVIF


def test_heic_is_turned_once_and_keeps_its_profile(tmp_path: Path) -> None:
    (tmp_path / "in.heic").write_bytes(heic_samples.turned())
    info = open_picture(tmp_path / "in.heic").info
    assert (info.width, info.height, info.depth, info.icc) == (45, 61, 8, P3)
    out = copy(tmp_path / "in.heic", tmp_path / "out.png")
    corners = values(out)[[3, 3, -3, -3], [3, -3, 3, -3]].astype(int)
    expected = [(40, 60, 200), (200, 30, 30), (240, 240, 240), (30, 160, 60)]
    assert np.abs(corners - expected).max() < 6
    assert Image.open(out).getexif()[0x0112] == 1
    assert Image.open(out).getexif()[0x010F] == "Acme"


def test_heic_of_10_bit_fills_16(tmp_path: Path) -> None:
    (tmp_path / "in.heic").write_bytes(heic_samples.deep())
    result = values(copy(tmp_path / "in.heic", tmp_path / "out.png"))
    assert result.dtype == np.uint16
    assert np.abs(result[-5, -5] / 257 - 240).max() < 1


def test_heic_alpha(tmp_path: Path) -> None:
    (tmp_path / "in.heic").write_bytes(heic_samples.with_alpha())
    result = values(copy(tmp_path / "in.heic", tmp_path / "out.png", scale=2))
    assert result.shape == (96, 128, 4)
    assert result[48, 64, 3] == 255
    assert result[4, 4, 3] == 0


@pytest.mark.parametrize(("bits", "kind"), [(8, np.uint8), (10, np.uint16), (12, np.uint16)])
def test_avif_white_is_white(tmp_path: Path, bits: int, kind: type) -> None:
    white = pyvips.Image.new_from_array(np.full((64, 64, 3), 65535, np.uint16)).copy(interpretation="rgb16")
    white.heifsave(str(tmp_path / "in.avif"), compression="av1", bitdepth=bits, Q=95)
    result = values(copy(tmp_path / "in.avif", tmp_path / "out.png"))
    assert result.dtype == kind
    assert result.min() >= np.iinfo(kind).max * 0.998
    assert result.max() >= np.iinfo(kind).max * 0.9995
