"""Transparency through a file and back: alpha is kept, and nothing hidden bleeds into what is seen."""

from pathlib import Path

import numpy as np
import pytest
import torch

from iqsr.errors import UnknownNameError
from iqsr.images import open_picture, write_picture
from support.picture_files import copy, noise, values, write_vips


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("bands", [2, 4])
def test_round_trip_keeps_alpha_and_the_colour_of_what_is_seen(tmp_path: Path, bands: int, depth: int) -> None:
    pixels = noise(bands, depth)
    result = values(copy(write_vips(tmp_path / "in.png", pixels), tmp_path / "out.png"))
    seen = pixels[..., -1] >= 2**depth / 16
    assert np.array_equal(result[..., -1], pixels[..., -1])
    assert np.array_equal(result[seen], pixels[seen])
    assert not np.array_equal(result[~seen], pixels[~seen])  # where nothing is seen, colour was filled


def test_alpha_is_enlarged_about_the_same_centres_as_the_colours(tmp_path: Path) -> None:
    pixels = np.full((8, 64, 4), 200, np.uint8)
    pixels[..., 3] = np.arange(64) * 4
    result = values(copy(write_vips(tmp_path / "in.png", pixels), tmp_path / "out.png", scale=4))
    centres = (np.arange(256) + 0.5) / 4 - 0.5
    assert np.abs(result[4, 8:-8, 3] - centres[8:-8] * 4).max() <= 0.5


def disc(size: int = 96) -> np.ndarray:
    """A white disc with a soft edge on transparent black."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    alpha = np.clip(size / 3 - np.hypot(x, y) + 0.5, 0, 1)
    pixels = np.zeros((size, size, 4), np.uint8)
    pixels[..., 3] = np.rint(alpha * 255)
    pixels[..., :3][pixels[..., 3] > 0] = 255
    return pixels


@pytest.mark.parametrize("written", ["png", "webp", "tif"])
def test_a_white_disc_on_transparent_black_has_no_dark_fringe(tmp_path: Path, written: str) -> None:
    picture = open_picture(write_vips(tmp_path / "in.png", disc()))
    whole = torch.cat(list(picture.rows(32)), 2)
    enlarged = torch.nn.functional.interpolate(whole, scale_factor=4, mode="bicubic")
    options = {"source": picture, "upscaled": (384, 384), "size": (384, 384)}
    write_picture(tmp_path / f"out.{written}", [enlarged], **options)
    result = values(tmp_path / f"out.{written}").astype(float)
    alpha = result[..., 3:] / 255
    composite = result[..., :3] * alpha + 255 * (1 - alpha)
    assert composite.min() >= 254
    naive = torch.nn.functional.interpolate(
        torch.from_numpy(disc()[..., :3]).permute(2, 0, 1)[None].float(), scale_factor=4, mode="bicubic"
    )
    dark = naive[0].permute(1, 2, 0).clamp(0, 255).numpy() * alpha + 255 * (1 - alpha)
    assert dark.min() < 240  # the fringe that a plain enlargement has


def test_hidden_pixels_take_the_colour_of_the_nearest_edge(tmp_path: Path) -> None:
    pixels = np.zeros((64, 200, 4), np.uint8)
    pixels[:, :40] = (255, 0, 0, 255)
    pixels[:, 160:] = (0, 0, 255, 255)
    (band,) = open_picture(write_vips(tmp_path / "in.png", pixels)).rows(64)
    red, blue = band[0, 0, 32], band[0, 2, 32]
    assert red[:40].eq(1).all()
    assert red[40:48].min() > 0.95
    assert blue[152:160].min() > 0.95
    assert (red[40:160].diff() <= 1e-6).all()  # from one to the other without a step back
    assert red[40:160].diff().abs().max() < 0.08  # or a jump


def test_the_fill_does_not_depend_on_how_rows_are_asked_for(tmp_path: Path) -> None:
    pixels = noise(4, size=(50, 900))
    pixels[..., 3][np.random.default_rng(1).random((900, 50)) < 0.7] = 0
    pixels[300:520, :, 3] = 0
    picture = open_picture(write_vips(tmp_path / "in.png", pixels))
    whole = torch.cat(list(picture.rows(10_000)), 2)
    for height in (1, 33, 256):
        assert torch.equal(torch.cat(list(picture.rows(height)), 2), whole)


def test_a_wholly_transparent_picture_is_finite(tmp_path: Path) -> None:
    (band,) = open_picture(write_vips(tmp_path / "in.png", np.zeros((41, 67, 4), np.uint8))).rows(100)
    assert band.isfinite().all()
    assert band.min() >= 0
    assert band.max() <= 1


def test_jpeg_shows_transparent_pictures_on_white(tmp_path: Path) -> None:
    for depth in (8, 16):
        one = 2**depth - 1
        pixels = np.zeros((64, 64, 4), np.uint8 if depth == 8 else np.uint16)
        pixels[:, 32:, 3] = one
        result = values(copy(write_vips(tmp_path / "in.png", pixels), tmp_path / "out.jpg"))
        assert result.shape == (64, 64, 3)
        assert result[:, :24].min() >= 254
        assert result[:, 40:].max() <= 1


# Alpha that is data


def straight(source: Path, out: Path, scale: int = 1) -> np.ndarray:
    picture = open_picture(source, alpha="straight")
    size = (picture.info.width * scale, picture.info.height * scale)
    bands = (band.repeat_interleave(scale, 2).repeat_interleave(scale, 3) for band in picture.rows(16))
    write_picture(out, bands, source=picture, upscaled=size, size=size)
    return values(out)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("low", [0, 4])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("bands", [2, 4])
def test_straight_alpha_leaves_colour_as_it_stands(
    tmp_path: Path, bands: int, depth: int, low: int, suffix: str
) -> None:
    pixels = noise(bands, depth)
    pixels[:, :30, -1] = low
    source = write_vips(tmp_path / f"in{suffix}", pixels)
    assert np.array_equal(straight(source, tmp_path / f"out{suffix}"), pixels)
    (band,) = open_picture(source, alpha="straight").rows(100)
    colour = torch.from_numpy(pixels[..., :-1].astype(np.float32) / np.iinfo(pixels.dtype).max).permute(2, 0, 1)
    assert torch.equal(band[0], colour.expand(3, -1, -1))
    assert not torch.equal(torch.cat(list(open_picture(source).rows(100)), 2), band)  # which is not the default


def test_straight_alpha_is_enlarged_apart(tmp_path: Path) -> None:
    pixels = noise(4)
    pixels[..., 3] = np.where(np.arange(67) < 30, 0, 255)
    result = straight(write_vips(tmp_path / "in.png", pixels), tmp_path / "out.png", scale=3)
    assert np.array_equal(result[1::3, 1::3, :3], pixels[..., :3])
    assert set(np.unique(result[:, :80, 3])) == {0}
    assert set(np.unique(result[:, 100:, 3])) == {255}


@pytest.mark.parametrize(("suffix", "bands"), [(".jpg", 3), (".webp", 4)])
def test_straight_colour_is_not_mixed_with_white(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str, bands: int
) -> None:
    pixels = np.full((41, 67, 4), 90, np.uint8)
    pixels[..., 3] = np.where(np.arange(67) < 30, 0, 255)
    out = tmp_path / f"out{suffix}"
    result = straight(write_vips(tmp_path / "in.png", pixels), out)
    assert result.shape[2] == bands
    assert np.abs(result[..., :3].astype(int) - 90).max() <= 3
    assert caplog.messages == ([f"'{out}': alpha left out, JPEG has none"] if suffix == ".jpg" else [])


def test_an_unknown_use_of_alpha_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    source = write_vips(tmp_path / "in.png", noise(4))
    with pytest.raises(UnknownNameError, match="unknown alpha 'strait'; known: straight, transparency"):
        open_picture(source, alpha="strait")
