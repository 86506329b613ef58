"""Winograd's convolutions against direct ones; transforms against their adjoints."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iqsr.kernels import frozen_conv
from iqsr.kernels.frozen_conv import (
    FrozenConv,
    transform_input,
    transform_input_adjoint,
    transform_output,
    transform_output_adjoint,
)
from iqsr.kernels.winograd import (
    LEAST_SAVING,
    PRODUCTS,
    TILE_PIXELS,
    saving,
    transform_kernel,
    transform_kernel_adjoint,
)
from iqsr.kernels.winograd_tiling import WinogradTiling, run_steps
from iqsr.metrics.lpips_st import LpipsSt
from iqsr.training.sr.perceptual import Perceptual
from support.sets import crops

SIZES = [(8, 8), (9, 8), (6, 11), (1, 1), (4, 7)]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_winograd(x: Tensor, weight: Tensor) -> Tensor:
    """x: (N, C, H, W)."""
    shape = (x.shape[0], *x.shape[2:])
    return transform_output(transform_input(x.permute(0, 2, 3, 1)) @ transform_kernel(weight).mT, shape).permute(
        0, 3, 1, 2
    )


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_by_winograd_is_the_direct_convolution(height: int, width: int) -> None:
    x, weight = normal(2, 3, height, width), normal(5, 3, 3, 3, seed=1)
    assert (by_winograd(x, weight) - F.conv2d(x, weight, padding=1)).abs().max() < 1e-12


def test_the_error_in_fp32_is_of_the_order_of_the_direct_convolutions() -> None:
    """Whose own depends on the CPU: it was an eighth of this with AVX512, a half with AVX2."""
    x, weight = normal(2, 192, 32, 32, dtype=torch.float32), normal(32, 192, 3, 3, seed=1, dtype=torch.float32)
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    direct, tiled = ((y - exact).abs().max() for y in (F.conv2d(x, weight, padding=1), by_winograd(x, weight)))
    assert tiled < 5e-6 * exact.abs().max()
    assert tiled < 12 * direct


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_adjoints_are_adjoint(height: int, width: int) -> None:
    """<T x, y> = <x, T* y> for each transform."""
    shape = (2, height, width)
    x, tiles = normal(*shape, 3), normal(*transform_input(normal(*shape, 3)).shape, seed=1)
    assert (transform_input(x) * tiles).sum().item() == pytest.approx(
        (x * transform_input_adjoint(tiles, shape)).sum().item()
    )
    assert (transform_output(tiles, shape) * x).sum().item() == pytest.approx(
        (tiles * transform_output_adjoint(x)).sum().item()
    )
    weight, kernel = normal(4, 3, 3, 3), normal(36, 4, 3, seed=1)
    there, back = (transform_kernel(weight) * kernel).sum(), (weight * transform_kernel_adjoint(kernel)).sum()
    assert there.item() == pytest.approx(back.item())


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_tilings_adjoints_are_adjoint(height: int, width: int) -> None:
    """Of several pictures, none of which sees the next; pixels beyond the edge and tiles for nothing are zeros."""
    tiling = WinogradTiling(height, width, pictures=3, dtype=torch.float64)
    pixels, gradient = (tiling.cut(normal(3, 2, height, width, seed=seed)) for seed in range(2))
    products = normal(PRODUCTS, 2, tiling.tiles, seed=2)
    there, back = torch.empty_like(products), torch.empty_like(pixels)
    run_steps([*tiling.transform_input(pixels, there), *tiling.transform_input_adjoint(products, back)])
    assert (there * products).sum().item() == pytest.approx((pixels * back).sum().item())
    made, of_products = torch.empty_like(pixels), torch.empty_like(products)
    run_steps([*tiling.transform_output(products, made), *tiling.transform_output_adjoint(gradient, of_products)])
    assert (made * gradient).sum().item() == pytest.approx((products * of_products).sum().item())


def test_a_tilings_transforms_write_into_parts_of_arrays() -> None:
    tiling = WinogradTiling(6, 9, pictures=2)
    pixels = tiling.cut(normal(2, 3, 6, 9, dtype=torch.float32))
    wide = torch.zeros(PRODUCTS, 7, tiling.tiles)
    alone, made, part = torch.empty(PRODUCTS, 3, tiling.tiles), *(torch.empty_like(pixels) for _ in range(2))
    for transform, given in ((tiling.transform_input, pixels), (tiling.transform_output_adjoint, pixels)):
        run_steps([*transform(given, alone), *transform(given, wide[:, 2:5])])
        assert torch.equal(wide[:, 2:5], alone)
    run_steps([*tiling.transform_output(alone, made), *tiling.transform_output(wide[:, 2:5], part)])
    assert (made - part).abs().max() < 1e-5 * made.abs().max()
    assert float(wide[:, :2].abs().sum() + wide[:, 5:].abs().sum()) == 0


def test_steps_that_would_work_on_a_copy_are_refused() -> None:
    tiling = WinogradTiling(8, 8)
    pixels, products = torch.empty(TILE_PIXELS, 4, tiling.tiles), torch.empty(PRODUCTS, 4, tiling.tiles)
    with pytest.raises(RuntimeError):
        tiling.transform_input(pixels[:, 1:3], products[:, 1:3])
    with pytest.raises(RuntimeError):
        tiling.transform_input_adjoint(products[:, 1:3].contiguous(), pixels[:, 1:3])


def test_what_is_saved() -> None:
    assert saving(32, 48) == 4
    assert saving(17, 17) == pytest.approx(9 * 17**2 / (36 * 5**2))
    assert saving(9, 9) < LEAST_SAVING < saving(17, 17)


def frozen(inputs: int = 128, outputs: int = 160, **settings: object) -> nn.Conv2d:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Conv2d(inputs, outputs, 3, **{"padding": 1, **settings}).double().requires_grad_(False)  # type: ignore[arg-type]


@pytest.mark.parametrize("pictures", [1, 3])
def test_a_frozen_convolution_gives_the_same_output_and_gradient(
    pictures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen_conv, "_MOST_TILES_PER_PART", 8)  # three pictures come in two parts
    conv = frozen()
    faster = FrozenConv(conv)
    x, y = (normal(pictures, 128, 7, 8).requires_grad_(True) for _ in range(2))
    g = normal(pictures, 160, 7, 8, seed=1)
    found, wanted = F.relu_(faster(x)), conv(y).relu()
    assert faster._kernel is not None, "not by Winograd"
    (found * g).sum().backward()
    (wanted * g).sum().backward()
    assert (found - wanted).abs().max() < 1e-11
    assert x.grad is not None
    assert y.grad is not None
    assert (x.grad - y.grad).abs().max() < 1e-11


def test_small_and_odd_pictures_and_autocast_go_directly() -> None:
    conv = frozen().float()
    faster = FrozenConv(conv)
    x = normal(1, 128, 9, 9, dtype=torch.float32)
    assert torch.equal(faster(x), conv(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert faster(normal(1, 128, 8, 8, dtype=torch.float32)).dtype == torch.bfloat16
    assert faster._kernel is None


@pytest.mark.parametrize(
    "conv",
    [
        frozen(64),
        frozen(outputs=64),
        frozen(stride=2),
        frozen(padding=0),
        frozen(dilation=2, padding=2),
        frozen(padding_mode="reflect"),
        frozen(groups=2),
        frozen().requires_grad_(True),
        nn.ReLU(),
    ],
)
def test_what_is_left_alone(conv: nn.Module) -> None:
    assert not FrozenConv.fits(conv)
    assert FrozenConv.fits(frozen())


@pytest.mark.parametrize("features", ["lpips-st-vgg", "lpips-st-alex"])
def test_the_perceptual_term_is_the_metric_to_a_millionth(features: str) -> None:
    term, metric = Perceptual(features), LpipsSt("vgg" if features.endswith("vgg") else "alex")
    tiled = [part for part in term.network.modules() if isinstance(part, FrozenConv)]
    assert len(tiled) == {"lpips-st-vgg": 10, "lpips-st-alex": 3}[features]
    target = torch.stack(crops(2, 128))
    noise = normal(*target.shape, dtype=torch.float32)
    x, y = (target + 0.03 * noise for _ in range(2))
    found, wanted = term(x.requires_grad_(True), target), metric(y.requires_grad_(True), target).mean()
    assert any(part._kernel is not None for part in tiled)
    assert (found - wanted).detach().abs() < 1e-6 < 1e-2 < wanted.detach()
    found.backward()
    wanted.backward()
    assert x.grad is not None
    assert y.grad is not None
    assert (x.grad - y.grad).norm() < 1e-3 * y.grad.norm()
