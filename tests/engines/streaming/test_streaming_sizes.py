"""Networks that begin with a pixel-unshuffle, or that keep the size: they run as those that only enlarge."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN
from torch import Tensor, nn

from iqsr.engines.rows import of_tensor, unshuffled
from iqsr.engines.streaming import compile_rows, winograd_gain
from iqsr.engines.streaming.winograd_trunk import WinogradTrunk
from iqsr.engines.tiling import probe
from support.streaming_networks import CPU, Sketch, conv, engine, enlarged

pytestmark = pytest.mark.usefixtures("inference_mode", "fast_products")


@pytest.fixture
def fast_products(monkeypatch):
    """As with MKL: without it the same results come more slowly, so that engines would not choose this way."""
    monkeypatch.setattr("iqsr.engines.streaming.engine.has_winograd", lambda device, dtype: dtype == torch.float32)


NETWORKS = {
    "x2plus": lambda: ESRGAN(in_nc=12, num_filters=32, num_blocks=2, scale=4, shuffle_factor=2),
    "x1, unshuffled": lambda: ESRGAN(in_nc=48, num_filters=32, num_blocks=1, scale=4, shuffle_factor=4),
    "x1, dense": lambda: ESRGAN(num_filters=32, num_blocks=1, scale=1),
    "x1, compact": lambda: Compact(num_feat=32, num_conv=4, upscale=1),
}


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[name]().eval()


@pytest.mark.parametrize("size", [(160, 136), (132, 400)])
@pytest.mark.parametrize("name", NETWORKS)
def test_winograds_convolutions_give_the_same_output(name: str, size: tuple[int, int]) -> None:
    module, picture = network(name), probe(*size)
    ours, whole = engine(module), module(picture)
    assert isinstance(ours.trunk, WinogradTrunk)
    assert winograd_gain(compile_rows(module), CPU) > 1
    assert ours.scale * size[0] == whole.shape[2]
    got = enlarged(ours, picture)
    assert got.shape == whole.shape
    assert (got - whole).abs().max() <= 1e-5 * max(1, whole.abs().max())


@pytest.mark.parametrize("memory", [1, 1 << 30])
@pytest.mark.parametrize("name", NETWORKS)
def test_bands_and_progress(name: str, memory: int) -> None:
    """memory: what holds neither the way through a trunk, nor the width of the picture; or all."""
    module, picture, reported = network(name), probe(24, 240), list[float]()
    ours = engine(module, band_pixels=300, memory_bytes=memory)
    got = torch.cat(list(ours.apply(of_tensor(picture), reported.append).bands(1)), 2)
    whole = module(picture)
    assert got.shape == whole.shape
    assert (got.clamp(0, 1) - whole.clamp(0, 1)).square().mean() <= (1e-10 if memory > 1 else 1e-4)
    assert reported == sorted(reported)
    assert reported[-1] == pytest.approx(1)


@pytest.mark.parametrize("name", NETWORKS)
def test_bf16_stays_close(name: str) -> None:
    module, picture = network(name), probe(64, 48)
    error = enlarged(engine(module, torch.bfloat16), picture) - module(picture)
    assert float(error.square().mean()) < 1e-4


class Returning(nn.Module):
    """Begins with a pixel-unshuffle, whose input is read again, or whose result is changed first."""

    def __init__(self, *, adds: bool, bends: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.shrink, self.enlarge, self.adds, self.bends = nn.PixelUnshuffle(2), nn.PixelShuffle(2), adds, bends
        self.body = nn.Sequential(conv(12, 32), conv(32, 32), conv(32, 12))

    def forward(self, x: Tensor) -> Tensor:
        small = self.shrink(x)
        small = F.gelu(small) if self.bends else small
        enlarged = self.enlarge(self.body(small))
        return enlarged + x if self.adds else enlarged


@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("bends", [False, True])
def test_a_picture_that_is_read_again_is_not_lost(adds: bool, bends: bool) -> None:
    module, picture = Returning(adds=adds, bends=bends), probe(68, 72)
    assert (enlarged(engine(module), picture) - module(picture)).abs().max() <= 1e-5
    assert isinstance(engine(module).trunk, WinogradTrunk) == (not adds and not bends)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dense_connections_that_read_the_changed_picture(dtype: torch.dtype) -> None:
    """Behind a pixel-unshuffle the picture has as many channels as values that lie in stacks."""

    def forward(s: Any, x: Tensor) -> Tensor:
        small = s.shrink(x)
        changed = small * 2
        dense = s.second(torch.cat([changed, s.first(changed)], 1))
        return s.enlarge(s.last(dense) + small)

    torch.manual_seed(0)
    layers = {"first": conv(48, 32), "second": conv(80, 32), "last": conv(32, 48)}
    module = Sketch(forward, shrink=nn.PixelUnshuffle(4), enlarge=nn.PixelShuffle(4), **layers)
    ours, picture = engine(module, dtype), probe(132, 136)
    assert isinstance(ours.trunk, WinogradTrunk) == (dtype == torch.float32)
    error = enlarged(ours, picture) - module(picture)
    assert error.abs().max() <= (1e-5 if dtype == torch.float32 else 0.05)


OUTPUTS: dict[str, Callable[..., Tensor]] = {
    "a residual": lambda s, a, b: s.last(torch.cat([a, b, s.c(torch.cat([a, b], 1))], 1)) + a,
    "two output convolutions": lambda s, a, b: s.c(torch.cat([a, b], 1)) + s.d(torch.cat([a, b], 1)),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_output_convolutions_of_a_dense_network_in_bf16(name: str) -> None:
    """They are kept in fp32 and read what is stacked in bf16; something is added to what they give."""
    torch.manual_seed(0)
    layers = {"a": conv(3, 48), "b": conv(48, 48), "c": conv(96, 48), "d": conv(96, 48), "last": conv(144, 48)}
    module = Sketch(lambda s, x: s.enlarge(OUTPUTS[name](s, a := s.a(x), s.b(a))), enlarge=nn.PixelShuffle(4), **layers)
    picture = probe(64, 64)
    assert (enlarged(engine(module, torch.bfloat16), picture) - module(picture)).abs().max() <= 0.02


def test_a_pixel_unshuffle_of_the_picture_twice() -> None:
    torch.manual_seed(0)
    body = nn.Sequential(conv(24, 32), conv(32, 32), conv(32, 12))
    layers = {"shrink": nn.PixelUnshuffle(2), "body": body, "enlarge": nn.PixelShuffle(2)}
    module = Sketch(lambda s, x: s.enlarge(s.body(s.shrink(torch.cat([x, x], 1)))), **layers)
    assert (enlarged(engine(module), probe(68, 72)) - module(probe(68, 72))).abs().max() <= 1e-5


def test_a_lone_pixel_unshuffle() -> None:
    module = nn.Sequential(nn.PixelUnshuffle(2), nn.PixelShuffle(2))
    assert torch.equal(enlarged(engine(module), probe(8, 6)), probe(8, 6))


@pytest.mark.parametrize("height", [1, 2, 7])
def test_unshuffled_rows_are_those_of_torch(height: int) -> None:
    picture = probe(24, 12)
    rows = unshuffled(of_tensor(picture), 4)
    assert (rows.width, rows.height) == (3, 6)
    assert torch.equal(torch.cat(list(rows.bands(height)), 2), F.pixel_unshuffle(picture, 4))
