"""Quality maps as pictures: colours that rise with the score, the picture's relief in them, a legend."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from iqsr.errors import UsageError
from iqsr.images import open_picture
from iqsr.images.find import find_pictures
from iqsr.scoring.quality_map import coloured, draw_map, legend, plan_maps, relief, write_map


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def noise(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)


def blur_map(x: Tensor) -> Tensor:
    """Local sharpness, 0 to 100, at an eighth of the size: a map as srq's is one."""
    edges = (x[..., 1:, 1:] - x[..., :-1, :-1]).abs().mean(1, keepdim=True)
    return 100 * F.avg_pool2d(edges, 8, ceil_mode=True).clamp(0, 1)


def half_blurred(path: str) -> Path:
    pixels = noise((96, 64))
    pixels[:, :48] = 128
    Image.fromarray(pixels).save(path)
    return Path(path)


def test_colours_rise_in_lightness_with_the_score() -> None:
    colours = coloured(torch.linspace(0, 1, 256).view(1, 1, 1, 256))[0, :, 0]
    linear = torch.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = torch.tensor([0.2126, 0.7152, 0.0722]) @ linear  # IEC 61966-2-1
    assert (luminance.diff() > 0).all()


def test_an_overlay_shows_the_blurred_half_dark_and_the_sharp_half_light() -> None:
    x = next(open_picture(half_blurred("half.png")).rows(64))
    drawn = draw_map(x, blur_map(x), "sharpness 20.0")
    assert drawn.shape[1] == 3
    assert drawn.shape[3] == 96
    assert drawn.shape[2] > 64
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    bright = draw_map(torch.full_like(x, 0.5), blur_map(x), "")[:, :, :64].mean((0, 1, 2))
    assert bright[60:].min() > bright[:40].max()


def test_an_overlay_of_an_even_map_is_even_and_keeps_the_pictures_detail() -> None:
    x = 0.4 + 0.2 * torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    drawn = draw_map(x, torch.full((1, 1, 4, 6), 50.0), "")[:, :, :32]
    detail = relief(x)
    assert detail.std() > 0.01
    for channel, value in enumerate(coloured(torch.full((1, 1, 1, 1), 0.5)).flatten()):
        torch.testing.assert_close(drawn[:, channel], value + 0.5 * detail[:, 0])


@pytest.mark.parametrize("quality", [0.0, 20.0, 60.0, 100.0])
def test_light_and_dark_areas_of_a_picture_have_the_colours_of_the_bar(quality: float) -> None:
    x = torch.ones(1, 3, 128, 192)
    x[..., :96] = 0  # black and white, and the map finds both equally good
    drawn = draw_map(x, torch.full((1, 1, 16, 24), quality), "")
    colour = coloured(torch.full((1, 1, 1, 1), quality / 100))
    for area in (drawn[..., :128, :64], drawn[..., :128, 128:]):
        torch.testing.assert_close(area, colour.expand_as(area), atol=1e-5, rtol=0)
    assert (drawn[..., :128, 94:98] - colour).abs().max() > 0.1  # the edge between them shows


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (300, 3)])
def test_relief_of_any_size_has_the_pictures(size: tuple[int, int]) -> None:
    assert relief(torch.rand(1, 3, *size)).shape == (1, 1, *size)


@pytest.mark.parametrize("width", [64, 300, 3000])
def test_a_legend_runs_from_the_darkest_to_the_lightest_colour_and_says_the_score(width: int) -> None:
    strip = legend(width, "srq 63.2", (0, 100))[0]
    ends = coloured(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2))[0, :, 0]
    for end in ends.T:
        assert ((strip - end.view(3, 1, 1)).abs().amax(0) < 1e-3).any()
    assert (strip[:, : strip.shape[1] // 3] < 0.2).any()  # the text
    assert not torch.equal(strip, legend(width, "srq 63.3", (0, 100))[0])


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "I;16"])
def test_a_map_is_a_colour_picture_whatever_the_source_is(mode: str) -> None:
    if mode == "I;16":
        Image.fromarray(noise((48, 40))[..., 0].astype(np.uint16) * 257).save("a.png")
    else:
        Image.fromarray(noise((48, 40))).convert(mode).save("a.png")
    write_map(Path("a.png"), Path("maps/a_map.png"), blur_map, "sharpness 33.3")
    info = open_picture(Path("maps/a_map.png")).info
    assert (info.width, info.gray, info.depth, info.has_alpha) == (48, False, 8, False)
    assert info.height > 40


def test_a_map_of_other_shapes_is_refused() -> None:
    with pytest.raises(UsageError, match=r"expected a picture .* got \(1, 3, 8, 8\) and \(1, 3, 8, 8\)"):
        draw_map(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), "")


def test_maps_mirror_the_tree_and_never_overwrite_each_other() -> None:
    Path("in/x").mkdir(parents=True)
    Path("in/x/a.png").touch()
    Path("in/b.jpg").touch()
    assert plan_maps(find_pictures(["in"]), Path("maps")) == {
        Path("in/x/a.png"): Path("maps/x/a_map.png"),
        Path("in/b.jpg"): Path("maps/b_map.png"),
    }
    Path("in/b.png").touch()
    assert plan_maps(find_pictures(["in"]), Path("maps")) == {
        Path("in/x/a.png"): Path("maps/x/a_map.png"),
        Path("in/b.jpg"): Path("maps/b_jpg_map.png"),
        Path("in/b.png"): Path("maps/b_png_map.png"),
    }
    Path("y").mkdir()
    Path("y/a.png").touch()
    with pytest.raises(
        UsageError, match=r"the maps of 'in/x/a\.png' and 'y/a\.png' would both be 'maps/a_png_map\.png'"
    ):
        plan_maps(find_pictures(["in/x", "y"]), Path("maps"))
