"""Winograd's convolutions with a bias, as streaming computes them: as torch's own on any size of picture."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.kernels.winograd import PRODUCTS, TILE_PIXELS, transform_kernel_with_bias
from iqsr.kernels.winograd_tiling import WinogradTiling, run_steps


def noise(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def convolved(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(1, C, H, W) by transforms, one matrix product for each of 36 places, and the transform back."""
    channels, tiling = x.shape[1], WinogradTiling(*x.shape[2:])
    data = torch.ones(PRODUCTS, channels + 1, tiling.tiles)
    run_steps(tiling.transform_input(tiling.cut(x), data[:, 1:]))
    out = torch.empty(TILE_PIXELS, weight.shape[0], tiling.tiles)
    run_steps(tiling.transform_output(transform_kernel_with_bias(weight, bias) @ data, out))
    return tiling.join(out)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (4, 4), (8, 12), (5, 16), (13, 22), (33, 47)])
@pytest.mark.parametrize("channels", [16, 64, 192])
def test_a_convolution_is_torchs(size: tuple[int, int], channels: int) -> None:
    """To 1e-5 of the largest value: fp32 keeps six or seven digits, the transforms cost one."""
    x, bias = noise(1, channels, *size), noise(32, seed=2)
    weight = noise(32, channels, 3, 3, seed=1) / (9 * channels) ** 0.5
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    error = (convolved(x, weight, bias).double() - expected).abs().max()
    assert float(error) <= 1e-5 * float(expected.abs().max())


def test_cutting_into_tiles_and_joining_them_changes_nothing() -> None:
    x = noise(1, 3, 13, 22)
    tiling = WinogradTiling(13, 22)
    assert torch.equal(tiling.join(tiling.cut(x)), x)


def test_what_lies_beyond_the_edge_is_cleared() -> None:
    tiling = WinogradTiling(5, 6)
    tiles = torch.ones(TILE_PIXELS, 2, tiling.tiles)
    run_steps(tiling.clear_beyond_edge(tiles))
    whole = WinogradTiling(8, 8).join(tiles)  # as many tiles, all of whose pixels are seen
    assert torch.equal(whole[:, :, :5, :6], torch.ones(1, 2, 5, 6))
    assert float(whole.sum()) == 2 * 5 * 6
