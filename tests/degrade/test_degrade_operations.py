"""Blur, resizing and sharpening, each against an implementation that shares no code with it."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage, special
from torch import Tensor

from iqsr.degrade import pipeline, unsharp_mask
from iqsr.degrade.kernels import KERNEL_KINDS, blur, blur_kernels
from iqsr.degrade.parameters import BlurParameters, ResizeMode, ResizeParameters
from iqsr.degrade.pipeline import resize, resize_by
from iqsr.errors import UsageError
from support.degrade_samples import smooth_pictures

# Blur


def one_kernel(
    kind: str,
    size: int,
    *,
    sigma: tuple[float, float] = (1.0, 1.0),
    theta: float = 0.0,
    beta: float = 1.0,
    cutoff: float = 2.0,
) -> np.ndarray:
    def row(value: float) -> Tensor:
        return torch.tensor([value], dtype=torch.float64)

    index = torch.tensor([KERNEL_KINDS.index(kind)])
    drawn = BlurParameters(
        index, torch.tensor([size]), torch.tensor([sigma], dtype=torch.float64), row(theta), row(beta), row(cutoff)
    )
    return blur_kernels(drawn)[0].double().numpy()


def expected_kernel(
    kind: str, size: int, sigma: tuple[float, float], theta: float, beta: float, cutoff: float
) -> np.ndarray:
    """Pixel by pixel, with the covariance matrix inverted as a matrix."""
    turn = np.array([[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]])
    inverse = np.linalg.inv(turn @ np.diag(np.square(sigma)) @ turn.T)
    radius, kernel = size // 2, np.zeros((size, size))
    for y in range(-radius, radius + 1):
        for x in range(-radius, radius + 1):
            place = np.array([x, y])
            power, r = float(place @ inverse @ place) ** beta, math.hypot(x, y)
            if kind == "sinc":
                value = cutoff * special.j1(cutoff * r) / (2 * math.pi * r) if r else cutoff**2 / (4 * math.pi)
            else:
                value = 1 / (1 + power) if kind.startswith("plateau") else math.exp(-power / 2)
            kernel[y + radius, x + radius] = value
    return kernel / kernel.sum()


@pytest.mark.parametrize(
    ("kind", "size", "sigma", "theta", "beta"),
    [
        ("iso", 5, (0.8, 0.8), 0.0, 1.0),
        ("aniso", 9, (0.4, 2.0), 0.7, 1.0),
        ("aniso", 21, (3.0, 0.5), -2.5, 1.0),
        ("generalised_iso", 11, (1.5, 1.5), 0.0, 0.6),
        ("generalised_aniso", 15, (2.5, 1.0), 1.1, 3.5),
        ("plateau_iso", 7, (1.0, 1.0), 0.0, 1.7),
        ("plateau_aniso", 13, (0.6, 2.0), 3.0, 1.0),
        ("sinc", 9, (1.0, 1.0), 0.0, 1.0),
        ("sinc", 21, (1.0, 1.0), 0.0, 1.0),
    ],
)
def test_kernels_are_those_of_the_formulas(
    kind: str, size: int, sigma: tuple[float, float], theta: float, beta: float
) -> None:
    found = one_kernel(kind, size, sigma=sigma, theta=theta, beta=beta, cutoff=1.3)
    np.testing.assert_allclose(found, expected_kernel(kind, size, sigma, theta, beta, 1.3), atol=1e-7)


def test_sigma_along_theta_is_the_first() -> None:
    along_x, along_y = (one_kernel("aniso", 9, sigma=(2.0, 0.5), theta=theta) for theta in (0.0, math.pi / 2))
    np.testing.assert_allclose(along_x, along_y.T, atol=1e-7)
    assert along_x[4, 7] > 100 * along_x[7, 4]


@pytest.mark.parametrize("name", ["hggt-one-stage", "real-esrgan"])
def test_drawn_kernels_sum_to_one_are_symmetric_and_padded_with_zeros(name: str) -> None:
    stage = getattr(pipeline(name), "stage", None) or pipeline(name).first  # type: ignore[union-attr]
    drawn = stage.blur.draw(300, torch.Generator().manual_seed(0))
    kernels = blur_kernels(drawn)
    largest = kernels.shape[-1]
    assert largest == max(stage.blur.sizes)
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(300))
    torch.testing.assert_close(kernels, kernels.flip(1, 2), atol=1e-7, rtol=0)
    for kernel, size in zip(kernels, drawn.size.tolist(), strict=True):
        border = kernel.clone()
        margin = (largest - size) // 2
        border[margin : largest - margin, margin : largest - margin] = 0
        assert border.abs().sum() == 0


def test_a_pulse_leaves_the_picture_alone() -> None:
    x = smooth_pictures(1)
    assert torch.equal(blur(x, torch.from_numpy(one_kernel("pulse", 5)).float()[None]), x)


@pytest.mark.parametrize("side", [3, 9, 21])
def test_blur_is_scipys_mirrored_correlation_with_a_kernel_a_picture(side: int) -> None:
    x, kernels = smooth_pictures(3), torch.rand(3, side, side, generator=torch.Generator().manual_seed(side))
    kernels = kernels / kernels.sum((1, 2), keepdim=True)
    expected = [
        ndimage.correlate(p, k[None], mode="mirror")
        for p, k in zip(x.double().numpy(), kernels.double().numpy(), strict=True)
    ]
    np.testing.assert_allclose(blur(x, kernels).numpy(), np.stack(expected), atol=2e-6)


def test_gaussian_blur_is_scipys() -> None:
    """A kernel of 21 px and sigma 2 is cut at more than 5 sigmas, so the filter's own truncation does not matter."""
    x = smooth_pictures(1)
    kernel = torch.from_numpy(one_kernel("iso", 21, sigma=(2.0, 2.0))).float()[None]
    expected = ndimage.gaussian_filter(x.double().numpy(), (0, 0, 2, 2), mode="mirror", truncate=5)
    np.testing.assert_allclose(blur(x, kernel).numpy(), expected, atol=1e-5)


def test_zeros_around_a_kernel_change_nothing() -> None:
    x, kernel = smooth_pictures(1), torch.from_numpy(one_kernel("aniso", 5, sigma=(0.5, 1.0), theta=0.3)).float()[None]
    padded = torch.nn.functional.pad(kernel, (8, 8, 8, 8))
    torch.testing.assert_close(blur(x, padded), blur(x, kernel), atol=1e-6, rtol=0)


def test_blur_refuses_kernels_larger_than_the_mirror() -> None:
    with pytest.raises(UsageError, match="21 px is too large for pictures of 64x10"):
        blur(torch.zeros(1, 3, 10, 64), torch.ones(1, 21, 21) / 441)


# Resizing


def cubic(distance: np.ndarray, a: float = -0.75) -> np.ndarray:
    """Keys' kernel with torch's and OpenCV's coefficient."""
    d = np.abs(distance)
    near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def resize_matrix(ins: int, outs: int, step: float, mode: ResizeMode) -> np.ndarray:
    """(outs, ins): one axis of a resize; borders are repeated. `step`: input pixels an output pixel."""
    matrix = np.zeros((outs, ins))
    for out in range(outs):
        if mode == "area":
            start, stop = math.floor(out * ins / outs), math.ceil((out + 1) * ins / outs)
            matrix[out, start:stop] = 1 / (stop - start)
            continue
        centre = (out + 0.5) * step - 0.5
        if mode == "bilinear":
            centre = max(centre, 0)
        for at in range(math.floor(centre) - 1, math.floor(centre) + 3):
            weight = cubic(np.array(centre - at)) if mode == "bicubic" else max(0.0, 1 - abs(centre - at))
            matrix[out, min(max(at, 0), ins - 1)] += float(weight)
    return matrix


@pytest.mark.parametrize("mode", ["area", "bilinear", "bicubic"])
@pytest.mark.parametrize("factor", [0.83, 1.13, 0.27])
def test_resize_by_steps_of_exactly_the_factor(mode: ResizeMode, factor: float) -> None:
    x = smooth_pictures(1)
    rows, columns = (resize_matrix(n, math.floor(n * factor), 1 / factor, mode) for n in x.shape[2:])
    expected = rows @ x.double().numpy() @ columns.T
    np.testing.assert_allclose(resize_by(x, ResizeParameters(factor, mode)).numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("mode", ["area", "bilinear", "bicubic"])
def test_resize_to_a_size_steps_from_border_to_border(mode: ResizeMode) -> None:
    x = smooth_pictures(1)
    rows, columns = (resize_matrix(n, out, n / out, mode) for n, out in zip(x.shape[2:], (13, 31), strict=True))
    np.testing.assert_allclose(resize(x, (13, 31), mode).numpy(), rows @ x.double().numpy() @ columns.T, atol=2e-5)


def test_area_resize_to_a_quarter_is_the_mean_of_each_square_as_in_pillow() -> None:
    picture = (smooth_pictures(1)[0, 0] * 255).numpy()
    expected = np.asarray(Image.fromarray(picture, mode="F").resize((16, 12), Image.Resampling.BOX))
    found = resize(torch.from_numpy(picture)[None, None], (12, 16), "area")[0, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


# Sharpening


def test_unsharp_mask_is_the_formula_in_scipy() -> None:
    x = smooth_pictures(1, 80, 96).double()
    picture = x[0].numpy()
    at = np.arange(51) - 25
    row = np.exp(-(at**2) / (2 * 8.0**2))
    row /= row.sum()

    def blurred(p: np.ndarray) -> np.ndarray:
        return ndimage.correlate1d(ndimage.correlate1d(p, row, 1, mode="mirror"), row, 2, mode="mirror")

    residual = picture - blurred(picture)
    mask = blurred((np.abs(residual) * 255 > 10).astype(float))
    expected = mask * np.clip(picture + 0.5 * residual, 0, 1) + (1 - mask) * picture
    np.testing.assert_allclose(unsharp_mask(x)[0].numpy(), expected, atol=1e-12)
    assert np.abs(expected - picture).max() > 0.02


def test_unsharp_mask_leaves_flat_and_faint_pictures_alone_and_refuses_small_ones() -> None:
    faint = 0.5 + 0.01 * torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(unsharp_mask(faint), faint)
    with pytest.raises(UsageError, match="larger pictures"):
        unsharp_mask(faint[..., :25])
