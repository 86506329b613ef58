"""Winograd's convolutions: as torch's own on any size of picture, chosen where they are faster."""

from itertools import accumulate

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from iqsr.generators import load_generator
from iqsr.streaming import StreamEngine, compile_rows, tiled
from iqsr.streaming.kernels import has_fused
from iqsr.streaming.tiled import TiledTrunk, has_winograd, transformed_kernel
from iqsr.streaming.trunk import Trunk
from iqsr.winograd import PIXELS, PRODUCTS, Tiling, run

CPU = torch.device("cpu")


def noise(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def convolved(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(1, C, H, W) by transforms, one matrix product for each of 36 places, and the transform back."""
    channels, tiling = x.shape[1], Tiling(*x.shape[2:])
    data = torch.ones(PRODUCTS, channels + 1, tiling.tiles)
    run(tiling.forward(tiling.cut(x), data[:, 1:]))
    out = torch.empty(PIXELS, weight.shape[0], tiling.tiles)
    run(tiling.back(transformed_kernel(weight, bias) @ data, out))
    return tiling.joined(out)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (4, 4), (8, 12), (5, 16), (13, 22), (33, 47)])
@pytest.mark.parametrize("channels", [16, 64, 192])
def test_a_convolution_is_torchs(size: tuple[int, int], channels: int) -> None:
    """To 1e-5 of the largest value: fp32 keeps six or seven digits, the transforms cost one."""
    x, bias = noise(1, channels, *size), noise(32, seed=2)
    weight = noise(32, channels, 3, 3, seed=1) / (9 * channels) ** 0.5
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    error = (convolved(x, weight, bias).double() - expected).abs().max()
    assert float(error) <= 1e-5 * float(expected.abs().max())


class Branched(nn.Module):
    """Convolutions that read what others do in another order, a part of it, and one without a bias."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        sizes = {"first": 3, "second": 16, "third": 32, "alone": 16, "last": 32}
        for name, channels in sizes.items():
            setattr(self, name, nn.Conv2d(channels, 16, 3, padding=1, bias=name != "third"))

    def forward(self, x: Tensor) -> Tensor:
        a = F.leaky_relu(self.first(x), 0.2)
        b = self.second(a)
        c, d = self.third(torch.cat([b, a], 1)), self.alone(b)
        return self.last(torch.cat([c, d], 1)) + a


@pytest.mark.parametrize("at_once", [1, 12, 1000])
@torch.inference_mode()
def test_a_value_may_be_read_with_several_others(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In stripes of one row of tiles, of two, and at once."""
    monkeypatch.setattr(tiled, "_TILES_AT_ONCE", at_once)
    module = Branched().eval()
    trunk, x = TiledTrunk(compile_rows(module)), noise(1, 3, 13, 22)
    assert any(len(stacks) > 1 for stacks in trunk._written_to.values())
    expected = module(x)
    error = (trunk.run(x, lambda share: None) - expected).abs().max()
    assert float(error) <= 1e-5 * float(expected.abs().max())


@pytest.mark.parametrize(("size", "at_once"), [((8, 8), 1024), ((13, 40), 1024), ((40, 40), 30), ((132, 128), 1024)])
@torch.inference_mode()
def test_no_more_memory_is_held_than_was_told(
    size: tuple[int, int], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, by all that the run makes and lets go of."""
    monkeypatch.setattr(tiled, "_TILES_AT_ONCE", at_once)
    program = compile_rows(load_generator("realesrgan-x4plus-anime").module).split()
    assert program is not None
    trunk = TiledTrunk(program[0])
    trunk.run(noise(1, 3, 8, 8), lambda share: None)  # its kernels are made
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        trunk.run(noise(1, 3, *size), lambda share: None)
    changes = [event.nbytes() for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    assert 0.6 * trunk.bytes_needed(*size) < max(accumulate(changes)) < trunk.bytes_needed(*size)


def test_cutting_into_tiles_and_joining_them_changes_nothing() -> None:
    x = noise(1, 3, 13, 22)
    tiling = Tiling(13, 22)
    assert torch.equal(tiling.joined(tiling.cut(x)), x)


def test_what_lies_beyond_the_edge_is_cleared() -> None:
    tiling = Tiling(5, 6)
    tiles = torch.ones(PIXELS, 2, tiling.tiles)
    run(tiling.clear_beyond_edge(tiles))
    whole = Tiling(8, 8).joined(tiles)  # as many tiles, all of whose pixels are seen
    assert torch.equal(whole[:, :, :5, :6], torch.ones(1, 2, 5, 6))
    assert float(whole.sum()) == 2 * 5 * 6


def test_fp32_takes_it_and_bf16_does_not() -> None:
    if not has_winograd(CPU, torch.float32) or not has_fused(CPU, torch.float32):
        pytest.skip("needs MKL and, on x86, fused convolutions: this torch or CPU lacks one")
    program = compile_rows(load_generator("realesrgan-x4plus-anime").module)
    assert isinstance(StreamEngine(program, CPU, torch.float32, memory_bytes=1 << 33).trunk, TiledTrunk)
    assert not has_winograd(CPU, torch.bfloat16)
    assert has_fused(CPU, torch.bfloat16) == isinstance(
        StreamEngine(program, CPU, torch.bfloat16, memory_bytes=1 << 33).trunk, Trunk
    )
