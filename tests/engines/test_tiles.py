"""Feathered tiles: close to the untiled output, without a trace of the tiles' borders."""

from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import pyvips
import skimage
import torch
from spandrel.architectures.SwinIR import SwinIR
from torch import Tensor, nn

from iqsr import Upscaler
from iqsr.engines.choice import Runner
from iqsr.engines.rows import of_tensor
from iqsr.engines.tiling import MARGINS_PIXELS, TileEngine, cuts, measured_margin, probe
from iqsr.models import SRModel, load_model
from support.tile_networks import local, run

pytestmark = pytest.mark.usefixtures("inference_mode")
COMPACT = "realesr-animevideov3-x4"
PICTURES = sorted(
    path for path in (Path(skimage.__file__).parent / "data").iterdir() if path.suffix in {".png", ".jpg"}
)
"""What scikit-image's wheel holds, without a download."""

load_model = cache(load_model)


def photo(path: Path, side: int) -> Tensor:
    """The middle of a picture: (1, 3, <= side, <= side)."""
    image = pyvips.Image.new_from_file(str(path)).colourspace("srgb")
    pixels = torch.from_numpy(image.extract_band(0, n=3).numpy().copy()).float() / 255
    top, left = (max(0, (size - side) // 2) for size in pixels.shape[:2])
    return pixels[top : top + side, left : left + side].permute(2, 0, 1).unsqueeze(0)


def psnr(x: Tensor, y: Tensor) -> float:
    return float(-10 * (x - y).square().mean().clamp_min(1e-20).log10())


def change_of_gradients(x: Tensor, y: Tensor, axis: int) -> Tensor:
    """How the mean absolute gradient along `axis` differs, for each row or column."""
    other = tuple({0, 1, 2, 3} - {axis})
    return (x.diff(dim=axis).abs().mean(other) - y.diff(dim=axis).abs().mean(other)).abs()


def largest_step_at_borders(x: Tensor, y: Tensor, tile: int, scale: int) -> float:
    """The largest change of gradients within half a feather (8 pixels) of a tile's border."""
    steps: list[Tensor] = []
    for axis in (2, 3):
        change = change_of_gradients(x, y, axis)
        borders = [a * scale for a, _ in cuts(x.shape[axis] // scale, tile)[1:]]
        steps += [change[b - 8 * scale - 1 : b + 8 * scale + 1].max() for b in borders]
    return float(max(steps))


INVISIBLE = 1 / 255 / 10
"""A tenth of the smallest step of 8 bits."""


def check_tiles(upscaler: Upscaler, picture: Tensor, tile: int) -> None:
    assert upscaler.describe().startswith("tiles")
    tiled = upscaler.upscale(picture)
    untiled = upscaler.model.module(picture).clamp(0, 1)
    assert len(cuts(picture.shape[3], tile)) > 1
    assert psnr(tiled, untiled) >= 50
    assert largest_step_at_borders(tiled, untiled, tile, upscaler.scale) < INVISIBLE


@pytest.mark.parametrize("name", ["astronaut", "page", "retina", "motorcycle_left"])
def test_tiles_leave_no_trace(name: str):
    [path] = [path for path in PICTURES if path.stem == name]
    check_tiles(Upscaler(COMPACT, precision="fp32", tile=64), photo(path, 112), 64)


@pytest.mark.slow
@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_tiles_leave_no_trace_on_any_picture(path: Path):
    check_tiles(Upscaler(COMPACT, precision="fp32", tile=64), photo(path, 224), 64)


def test_scikit_image_brings_its_photos():
    assert len(PICTURES) >= 20


@pytest.mark.slow
def test_tiles_of_the_default_network_leave_no_trace():
    picture = photo(next(path for path in PICTURES if path.stem == "chelsea"), 176)[:, :, 60:108]
    check_tiles(Upscaler("realesrgan-x4plus", precision="fp32", tile=64), picture, 64)


def test_hard_cut_tiles_leave_a_trace_that_these_tests_see():
    picture = photo(next(path for path in PICTURES if path.stem == "astronaut"), 112)
    module = load_model(COMPACT).module
    halves = [module(picture[..., a:b]) for a, b in cuts(112, 64)]
    hard, untiled = torch.cat(halves, 3).clamp(0, 1), module(picture).clamp(0, 1)
    assert largest_step_at_borders(hard, untiled, 64, 4) > 10 * INVISIBLE


@pytest.mark.parametrize("precision", ["bf16", "auto"])
def test_tiles_in_lower_precision_stay_close(precision: str):
    picture = probe(70, 80)
    tiled = Upscaler(COMPACT, precision=precision, tile=32).upscale(picture)
    assert psnr(tiled, load_model(COMPACT).module(picture).clamp(0, 1)) >= 50


# Geometry


@pytest.mark.parametrize("tile", [16, 17, 64])
@pytest.mark.parametrize("size", [1, 8, 16, 23, 24, 25, 40, 41, 100, 1000])
def test_cuts_cover_the_picture_in_pieces_of_about_a_tile(size: int, tile: int):
    pieces = cuts(size, tile)
    assert (pieces[0][0], pieces[-1][1]) == (0, size)
    assert all(a[1] == b[0] for a, b in pairwise(pieces))
    assert all(b - a == tile for a, b in pieces[:-1])
    last = pieces[-1][1] - pieces[-1][0]
    assert last <= 1.5 * tile
    assert last >= tile / 2 or len(pieces) == 1


@pytest.mark.parametrize("size", [(1, 1), (5, 70), (70, 5), (16, 16), (37, 61), (100, 24)])
@pytest.mark.parametrize("tile", [16, 19, 64])
def test_tiles_equal_the_whole_where_the_margin_covers_the_receptive_field(tile: int, size: tuple[int, int]):
    network = local(4)
    picture = probe(*size)
    engine = TileEngine(network, 2, tile=tile, margin=8)
    assert (run(engine, picture) - network(picture)).abs().max() <= 1e-5


class OnlyMultiples(nn.Module):
    """Refuses sizes that its grid of 4 pixels does not divide, and sees where on the grid a pixel lies."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = local(2)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        if height % 4 or width % 4:
            raise ValueError(f"{height} x {width}")
        grid = (torch.arange(height) % 4).view(-1, 1) + 4 * (torch.arange(width) % 4)
        return self.inner(x * (1 + grid))


@pytest.mark.parametrize("size", [(4, 4), (36, 60), (60, 36), (100, 24)])
def test_tiles_keep_to_the_size_multiple(size: tuple[int, int]):
    network = OnlyMultiples()
    picture = probe(*size)
    engine = TileEngine(network, 2, tile=18, margin=9, multiple=4)
    assert (run(engine, picture) - network(picture)).abs().max() <= 1e-4


class InPlace(nn.Module):
    """Scales its input where it stands, as RCAN does."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = local(2)

    def forward(self, x: Tensor) -> Tensor:
        x *= 255
        return self.inner(x) / 255


def test_a_network_that_changes_its_input_changes_no_other_tile():
    network = InPlace()
    picture = probe(96, 32).contiguous(memory_format=torch.channels_last)  # as files are read
    wanted, before = network(picture.clone()), picture.clone()
    engine = Runner(SRModel("in place", network, 2, "InPlace", "unknown"), precision="fp32", tile=32).engine()
    assert isinstance(engine, TileEngine)
    assert (run(engine, picture) - wanted).abs().max() <= 1e-5
    assert torch.equal(picture, before)


def test_progress_ends_at_one():
    reported: list[float] = []
    rows = TileEngine(local(1), 2, tile=16, margin=8).apply(of_tensor(probe(70, 20)), reported.append)
    assert reported == []
    assert sum(band.shape[2] for band in rows.bands(1)) == 140
    assert reported == [0.25, 0.5, 0.75, 1]


# The margin is measured


@pytest.mark.parametrize(("reach", "margin"), [(2, 8), (7, 8), (12, 16), (20, 24), (30, 32), (45, 48)])
def test_margin_covers_a_known_receptive_field(reach: int, margin: int):
    assert measured_margin(local(reach, 1), 1) == margin


def test_margin_is_the_largest_for_a_network_that_sees_everything():
    assert measured_margin(lambda x: x + x.mean((2, 3), keepdim=True), 1) == MARGINS_PIXELS[-1]


def test_margin_does_not_depend_on_the_precision():
    engines = [Runner(load_model(COMPACT), precision=p, tile=64).engine() for p in ("fp32", "bf16")]
    margins = [engine.margin for engine in engines if isinstance(engine, TileEngine)]
    assert margins[0] == margins[1]


# A network with attention


def swinir() -> SRModel:
    torch.manual_seed(0)
    module = SwinIR(img_size=16, window_size=8, depths=[2, 2], num_heads=[2, 2], embed_dim=12, mlp_ratio=2,
                    upscale=2, upsampler="pixelshuffledirect", resi_connection="1conv")  # fmt: skip
    return SRModel("tiny", module.eval().requires_grad_(False), 2, "SwinIR", "unknown", 8, minimum_size=16)


@pytest.mark.parametrize(("precision", "tile"), [("fp32", 16), ("fp32", 32), ("bf16", 48)])
def test_attention_runs_in_tiles(precision: str, tile: int):
    model = swinir()
    upscaler = Upscaler(model, precision=precision, tile=tile)
    picture = probe(72, 104)
    tiled = upscaler.upscale(picture)
    assert tiled.shape == (1, 3, 144, 208)
    assert tiled.std() > 0.05
    assert psnr(tiled, model.module(picture).clamp(0, 1)) >= 50


def test_attention_takes_tiles_by_itself_and_says_so():
    upscaler = Upscaler(swinir(), precision="fp32")
    assert upscaler.describe() == "tiles, fp32, cpu"
    assert Upscaler(COMPACT, precision="fp32").describe() == "exact streaming, fp32, cpu"


@pytest.mark.parametrize("size", [(1, 1), (9, 50), (17, 23), (67, 41)])
def test_attention_network_gets_the_sizes_that_it_needs(size: tuple[int, int]):
    model = swinir()
    seen: list[tuple[int, ...]] = []
    model.module.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[2:]))
    out = Upscaler(model, precision="fp32", tile=24).upscale(probe(*size))
    assert out.shape == (1, 3, 2 * size[0], 2 * size[1])
    assert seen
    assert all(side % 8 == 0 and side >= 16 for sides in seen for side in sides)
