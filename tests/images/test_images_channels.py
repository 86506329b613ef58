"""What the channels of a picture are: TIFF says it in tags, JPEG 2000 in boxes. Their number says nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from iqsr.images import open_picture
from support.picture_errors import the_error
from support.picture_files import copy, noise, values
from support.tiff_tags import set_tag

SHAPE = (41, 67)
MASK = np.repeat(np.array([0, 255], np.uint8), [20, 21])[:, None] * np.ones(67, np.uint8)


def write(path: Path, channels: list[np.ndarray], photometric: str, meanings: list[str], **options: Any) -> Path:
    pixels = np.dstack(channels)
    if options.get("planarconfig") == "separate":
        pixels = np.moveaxis(pixels, 2, 0)
    options = {"planarconfig": "contig", **options}
    tifffile.imwrite(path, pixels, photometric=photometric, extrasamples=meanings, **options)
    return path


def colours(count: int, depth: int = 8) -> list[np.ndarray]:
    return list(np.moveaxis(noise(count, depth), 2, 0))


def told(caplog: pytest.LogCaptureFixture, path: Path, count: int) -> bool:
    channels = "1 channel" if count == 1 else f"{count} channels"
    return caplog.messages == [f"'{path}': {channels} left out: neither colour nor transparency"]


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("others", [1, 2, 3, 5])
@pytest.mark.parametrize(("photometric", "count"), [("minisblack", 1), ("miniswhite", 1), ("rgb", 3)])
def test_channels_of_no_known_meaning_are_left_out_with_a_line(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    photometric: str,
    count: int,
    others: int,
    depth: int,
    planar: str,
) -> None:
    seen = colours(count, depth)
    mask = MASK.astype(seen[0].dtype) * (257 if depth == 16 else 1)
    source = write(
        tmp_path / "in.tif", [*seen, *[mask] * others], photometric, ["unspecified"] * others, planarconfig=planar
    )
    result = values(copy(source, tmp_path / "out.png"))
    expected = np.dstack(seen)
    assert np.array_equal(result, np.iinfo(expected.dtype).max - expected if photometric == "miniswhite" else expected)
    assert told(caplog, source, others)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(("photometric", "count"), [("minisblack", 1), ("rgb", 3)])
def test_alpha_is_the_channel_that_is_said_to_be_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, photometric: str, count: int, depth: int, planar: str
) -> None:
    seen = colours(count, depth)
    alpha = noise(1, depth)[..., 0] // 2 + np.iinfo(seen[0].dtype).max // 2  # nothing is hidden
    meanings = ["unspecified", "unassalpha", "unassalpha"]
    channels = [*seen, seen[0], alpha, seen[0]]
    source = write(tmp_path / "in.tif", channels, photometric, meanings, planarconfig=planar)
    assert np.array_equal(values(copy(source, tmp_path / "out.png")), np.dstack([*seen, alpha]))
    assert told(caplog, source, 2)


@pytest.mark.parametrize("count", [1, 3])
def test_premultiplied_alpha_behind_another_channel_gives_straight_colour(tmp_path: Path, count: int) -> None:
    half, quarter = np.full(SHAPE, 128, np.uint8), np.full(SHAPE, 50, np.uint8)
    channels = [*[quarter] * count, quarter, half]
    photometric = "rgb" if count == 3 else "minisblack"
    source = write(tmp_path / "in.tif", channels, photometric, ["unspecified", "assocalpha"])
    (band,) = open_picture(source).rows(100)
    assert torch.allclose(band * 255, torch.tensor(50 * 255 / 128), atol=1)


def test_a_fourth_channel_without_a_word_is_no_transparency(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write(tmp_path / "in.tif", [*colours(3), MASK], "rgb", ["unspecified"])
    set_tag(source, 338, rename=65000)  # ExtraSamples
    assert np.array_equal(values(copy(source, tmp_path / "out.png")), noise(3))
    assert told(caplog, source, 1)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(("meaning", "bands"), [("unassalpha", 4), ("unspecified", 3)])
def test_a_fifth_channel_of_cmyk(tmp_path: Path, meaning: str, bands: int, depth: int) -> None:
    one = 2**depth - 1
    kind = np.uint8 if depth == 8 else np.uint16
    ink = [np.full(SHAPE, value, kind) for value in (one, 0, 0, 0)]
    alpha = np.full(SHAPE, one // 2, kind)
    result = values(copy(write(tmp_path / "in.tif", [*ink, alpha], "separated", [meaning]), tmp_path / "out.png"))
    assert result.shape[2] == bands
    assert np.abs(result[20, 20, :3] / one * 255 - (0, 160, 220)).max() < 45
    assert bands == 3 or (result[..., 3] == one // 2).all()


def test_a_palette_with_alpha(tmp_path: Path) -> None:
    index, alpha = noise(1)[..., 0], np.maximum(noise(1)[..., 0], 16)
    palette = np.random.default_rng(3).integers(0, 256, (3, 256), np.uint16) * 257
    entries = [(320, 3, 768, tuple(palette.ravel().tolist()), True)]
    source = write(tmp_path / "in.tif", [index, alpha], "minisblack", ["unassalpha"], extratags=entries)
    set_tag(source, 262, 3)
    result = values(copy(source, tmp_path / "out.png"))
    assert np.array_equal(result[..., 3], alpha)
    assert np.array_equal(result[..., :3], np.moveaxis(palette[:, index] // 257, 0, 2))


def test_inks_other_than_cmyk_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "in.tif", [*colours(4)], "separated", [], extratags=[(332, 3, 1, 2, True)])
    assert "neither gray, RGB, CMYK nor Lab" in the_error(lambda: open_picture(source))


def test_a_channel_beside_lab_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write(tmp_path / "in.tif", [*colours(3), MASK], "cielab", ["unspecified"])
    assert values(copy(source, tmp_path / "out.png")).shape[2] == 3
    assert told(caplog, source, 1)


def test_what_is_left_out_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write(tmp_path / "in.tif", [*colours(3), MASK], "rgb", ["unspecified"])
    for _ in range(3):
        list(open_picture(source).rows(100))
    assert len(caplog.messages) == 1
