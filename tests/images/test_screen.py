"""A picture as a screen shows it: known colours."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from iqsr.errors import PictureError
from iqsr.images.screen import read_for_screen
from iqsr.images.vips import builtin_profile
from support.picture_files import noise, write_vips
from support.png_samples import write_png


def test_plain_pictures_stay_as_they_are(tmp_path: Path) -> None:
    pixels = np.asarray(Image.fromarray(noise(3)))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_for_screen(tmp_path / "a.png"), pixels)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "gray.png")
    assert np.array_equal(read_for_screen(tmp_path / "gray.png"), pixels[..., :1].repeat(3, 2))


def test_16_bits_are_rounded(tmp_path: Path) -> None:
    pixels = noise(3, 16)
    write_vips(tmp_path / "a.png", pixels)
    assert np.array_equal(read_for_screen(tmp_path / "a.png"), np.rint(pixels / 257).astype(np.uint8))


def test_transparent_pixels_show_the_background(tmp_path: Path) -> None:
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, :3] = (200, 100, 0)
    pixels[0, :, 3] = (0, 51, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_for_screen(tmp_path / "a.png").tolist() == [[[255, 255, 255], [244, 224, 204], [200, 100, 0]]]
    assert read_for_screen(tmp_path / "a.png", background=0).tolist()[0][0] == [0, 0, 0]


def test_a_profile_is_applied_as_littlecms_does(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(60, 190, (16, 16, 3), np.uint8)  # inside sRGB's gamut
    p3 = builtin_profile("p3")
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=p3)
    shown = read_for_screen(tmp_path / "a.png").astype(int)
    profile = ImageCms.getOpenProfile(io.BytesIO(p3))
    expected = ImageCms.profileToProfile(Image.fromarray(pixels), profile, ImageCms.createProfile("sRGB"))
    assert expected is not None
    assert np.abs(shown - np.asarray(expected, int)).max() <= 2
    assert np.abs(shown - pixels.astype(int)).max() > 5


def test_hdr_is_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", noise(3), [(b"cICP", bytes([9, 16, 0, 1]))])
    with pytest.raises(PictureError, match=r"it has HDR colours .*; convert it to sRGB first"):
        read_for_screen(tmp_path / "a.png")


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    Image.fromarray(noise(3)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(PictureError, match=r"a\.png"):
        read_for_screen(tmp_path / "a.png")
