"""NIQE and BRISQUE: official values, parity with IQA-PyTorch, and what must hold for any picture.

OFFICIAL has the values of the authors' MATLAB releases for the calibration pictures, from IQA-PyTorch's
ResultsCalibra (the pictures come with the pyiqa package). I04 has no plain area. In those of the others the releases
divide their own rounding errors by 1, so that no other program gives all of the digits; PYIQA has IQA-PyTorch's values.
"""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from iqsr.errors import UsageError
from iqsr.metrics import availability, card, load_metric
from iqsr.metrics.brisque import brisque_features
from iqsr.metrics.natural_scenes import contrast_normalised, fitted, gray_levels, half_size, moments, symmetric_shape
from iqsr.metrics.niqe import niqe_features
from support.natural_pictures import CALIBRATION_PICTURES, calibration_picture, gray, photo
from support.reference_pictures import noisy

NAMES = ("niqe", "brisque")
OFFICIAL = {
    "niqe": (15.7536, 3.6549, 3.2355, 3.184, 8.6352),
    "brisque": (94.6421, -0.1076, 0.9929, 5.3583, 72.2617),
}
PYIQA = {
    "niqe": (15.6538, 3.6549, 3.2342, 3.1922, 9.0722),
    "brisque": (94.6443, -0.1068, 1.0732, 5.1447, 66.8415),
}
TOLERANCE = {"niqe": (0.01, 1e-4, 0.002, 0.02, 0.04), "brisque": (0.002, 6e-4, 0.002, 0.6, 2.3)}


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def pyiqas(name: str, folder: Path) -> torch.nn.Module:
    """IQA-PyTorch's metric with the parameters that iqsr ships, in the files that it reads."""
    shipped: Any = load_metric(name).measure
    if name == "niqe":
        from pyiqa.archs.niqe_arch import NIQE
        from scipy.io import savemat

        savemat(
            folder / "niqe.mat", {"mu_prisparam": shipped.mean.numpy(), "cov_prisparam": shipped.covariance.numpy()}
        )
        return NIQE(pretrained_model_path=str(folder / "niqe.mat"))
    from pyiqa.archs.brisque_arch import BRISQUE

    machine: dict[str, Tensor] = shipped.machine
    torch.save((machine["coefficients"].float()[:, None], machine["vectors"].float()), folder / "brisque.pth")
    return BRISQUE(pretrained_model_path=str(folder / "brisque.pth"))


# Values


@pytest.mark.parametrize("number", range(5))
def test_official_values_of_the_calibration_pictures(name: str, number: int) -> None:
    found = load_metric(name)(calibration_picture(CALIBRATION_PICTURES[number])).item()
    assert found == pytest.approx(OFFICIAL[name][number], abs=TOLERANCE[name][number])


def test_nearer_to_the_official_values_than_iqa_pytorch(name: str) -> None:
    found = load_metric(name)(torch.cat([calibration_picture(one) for one in CALIBRATION_PICTURES])).tolist()
    ours, theirs = (
        math.sqrt(sum((a - b) ** 2 for a, b in zip(values, OFFICIAL[name], strict=True)))
        for values in (found, PYIQA[name])
    )
    assert ours < theirs / 2


@pytest.mark.parametrize(("size", "seed"), [((192, 192), 0), ((200, 301), 1), ((288, 400), 2)])
def test_equal_iqa_pytorchs_with_the_same_parameters(
    name: str, size: tuple[int, int], seed: int, tmp_path: Path
) -> None:
    x = gray(*size, seed=seed, count=2)
    theirs = pyiqas(name, tmp_path)
    with torch.no_grad():
        expected = torch.stack([theirs(one).float().flatten()[0] for one in (*x.split(1), noisy8(x[:1], 0.1))])
    found = load_metric(name)(torch.cat([x, noisy8(x[:1], 0.1)]))
    torch.testing.assert_close(found, expected, atol=1e-4 if name == "niqe" else 0.02, rtol=0)


def noisy8(x: Tensor, sigma: float) -> Tensor:
    """Noise, the same in R, G and B; whole gray levels."""
    return ((255 * noisy(x[:, :1], sigma)).round() / 255).expand(-1, 3, -1, -1)


def test_parameters_are_the_released_ones() -> None:
    """Sums of modelparameters.mat of the NIQE release, and of allmodel and allrange of the BRISQUE release."""
    measures: tuple[Any, Any] = (load_metric("niqe").measure, load_metric("brisque").measure)
    niqe, brisque = measures
    assert niqe.mean[0] == pytest.approx(2.60131368, abs=1e-8)
    assert niqe.covariance.shape == (36, 36)
    assert torch.linalg.eigvalsh(niqe.covariance)[-1] == pytest.approx(1.13684452, abs=1e-8)
    assert brisque.machine["vectors"].shape == (774, 36)
    assert brisque.machine["vectors"][0, :2].tolist() == [-0.596978, -0.136393]
    assert brisque.machine["coefficients"][:2].tolist() == [-1024, -1024]
    assert brisque.machine["most"][0] == 10


@pytest.mark.parametrize("scene", ["astronaut", "chelsea"])
def test_worse_with_more_noise_blur_and_blocks(name: str, scene: str) -> None:
    from torchvision.transforms.functional import gaussian_blur

    x, metric = photo(scene, 300, 300), load_metric(name)
    small = torch.nn.functional.interpolate(x, scale_factor=0.125, mode="area")
    for ladder in (
        [x, noisy(x, 0.05), noisy(x, 0.15)],
        [x, gaussian_blur(x, [9, 9], [1.5]), gaussian_blur(x, [21, 21], [4.0])],
        [x, torch.nn.functional.interpolate(small, scale_factor=8).clamp(0, 1)[..., :300, :300]],
    ):
        values = [metric(one).item() for one in ladder]
        assert values == sorted(values)
        assert len(set(values)) == len(values)


# Any picture


def test_needs_no_download_and_no_pyiqa(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iqsr.metrics.requirements.find_spec", lambda name: None)
    assert availability(name).available
    assert card(name).provider == "iqsr"


def test_batch_equals_singles_to_the_last_bit(name: str) -> None:
    x, metric = gray(200, 203, count=3), load_metric(name)
    x = torch.cat([x, torch.zeros_like(x[:1])])
    together = metric(x)
    assert together.shape == (4,)
    assert together.dtype == torch.float32
    assert torch.equal(together, torch.cat([metric(one) for one in x.split(1)]))
    assert torch.equal(together, load_metric(name, precision="bf16")(x))


@pytest.mark.parametrize("level", [0.0, 0.3, 0.5, 1.0])
def test_one_colour_is_the_worst_value_with_a_gradient_of_0(name: str, level: float) -> None:
    x = torch.full((1, 3, 200, 210), level, requires_grad=True)
    value = load_metric(name)(x)
    assert value.item() == card(name).range[1]
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert (gradient == 0).all()


def test_one_bright_pixel_halves_and_stripes_give_numbers_and_finite_gradients(name: str) -> None:
    pictures = torch.zeros(4, 3, 200, 210)
    pictures[0, :, 50, 60] = 1
    pictures[1, :, :, 100:] = 1
    pictures[2, :, :, ::2] = 1
    pictures[3, :, :90, :90] = gray(90, 90)[0]
    x = pictures.requires_grad_()
    value = load_metric(name)(x)
    assert value.isfinite().all()
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(("name", "side"), [("niqe", 192), ("brisque", 32)])
def test_the_smallest_picture_of_the_card_works_and_a_smaller_one_is_one_line(name: str, side: int) -> None:
    metric = load_metric(name)
    assert metric(gray(side, side)).isfinite().all()
    with pytest.raises(
        UsageError, match=f"{name} needs pictures of at least {side}x{side} pixels, got {side}x{side - 1}"
    ):
        metric(gray(side - 1, side))


def test_what_is_left_of_blocks_at_the_edges_does_not_count_for_niqe() -> None:
    x = gray(300, 385)
    changed = x.clone()
    changed[:, :, 288:] = 1
    changed[..., 384:] = 0
    metric = load_metric("niqe")
    assert torch.equal(metric(x), metric(changed))


def test_plain_areas_are_exactly_plain_at_every_level() -> None:
    """The rounding errors of their means differ."""
    for level in range(256):
        assert (contrast_normalised(torch.full((1, 1, 20, 30), level, dtype=torch.float64)) == 0).all()


def test_gradients_lead_to_a_better_value(name: str) -> None:
    metric = load_metric(name)
    start = noisy(photo("astronaut", 200, 200), 0.1)
    x = start.clone()
    for _ in range(10):
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(metric(x).sum(), x)
        assert gradient.isfinite().all()
        assert (gradient != 0).float().mean() > 0.85
        x = (x - 0.01 * gradient / gradient.abs().max()).detach().clamp(0, 1)
    assert metric(x).item() < metric(start).item() - 0.5


def test_gradient_after_a_call_in_inference_mode(name: str) -> None:
    from iqsr.metrics import natural_scenes

    natural_scenes._table.cache_clear()
    metric, x = load_metric(name), gray(192, 192)
    with torch.inference_mode():
        metric(x)
    x.requires_grad_()
    assert torch.autograd.grad(metric(x).sum(), x)[0].isfinite().all()


# The parts


def test_gray_levels_are_whole_and_pass_the_gradient() -> None:
    x = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    levels = gray_levels(x)
    assert torch.equal(levels, levels.round())
    (gradient,) = torch.autograd.grad(levels.sum(), x)
    torch.testing.assert_close(gradient[0, :, 0, 0], 255 * torch.tensor([0.2989, 0.5870, 0.1140]), atol=0.02, rtol=0)
    every = torch.arange(256) / 255
    assert torch.equal(gray_levels(every.expand(1, 3, 1, 256)).flatten(), torch.arange(256).double())


@pytest.mark.parametrize("size", [(40, 52), (41, 33)])
def test_half_size_equals_iqa_pytorchs_imresize(size: tuple[int, int]) -> None:
    from pyiqa.matlab_utils import imresize

    x = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0))
    found = half_size(x.double())
    assert found.shape[2:] == ((size[0] + 1) // 2, (size[1] + 1) // 2)
    torch.testing.assert_close(found.float(), imresize(x, scale=0.5), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0, 5.0])
def test_the_shape_of_a_generalised_gaussian_is_found_and_so_are_its_two_sides(shape: float) -> None:
    from scipy.stats import gennorm

    samples = torch.from_numpy(gennorm.rvs(shape, size=200_000, random_state=1))
    assert symmetric_shape(moments(samples), len(samples)).item() == pytest.approx(shape, rel=0.03)
    uneven = samples * torch.where(samples < 0, 1.0, 2.0)
    keep = torch.rand(len(samples), generator=torch.Generator().manual_seed(0)) < torch.where(samples < 0, 0.5, 1.0)
    fit = fitted(moments(uneven[keep]), int(keep.sum()))  # a wider side has more samples
    assert fit.shape.item() == pytest.approx(shape, rel=0.05)
    assert (fit.right / fit.left).item() == pytest.approx(2, rel=0.03)
    mean = uneven[keep].mean()
    assert fit.mean().item() == pytest.approx(mean.item(), rel=0.05)


def test_shapes_have_the_gradient_of_the_curve_and_values_of_the_table() -> None:
    samples = torch.randn(5000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for find in (lambda x: symmetric_shape(moments(x), 5000), lambda x: fitted(moments(x), 5000).shape):
        shape = find(samples)
        assert (1000 * shape).item() == pytest.approx(round(1000 * shape.item()), abs=1e-9)
        (gradient,) = torch.autograd.grad(shape, samples)
        direction = samples.detach().abs() * samples.detach()  # larger ones grow: a lower shape
        step = 1e-2
        change = find(samples.detach() + step * direction) - find(samples.detach() - step * direction)
        assert (gradient @ direction).item() == pytest.approx(change.item() / (2 * step), rel=0.05)


def test_features_of_niqe_are_per_block_and_of_brisque_per_picture() -> None:
    features, known = niqe_features(gray(192, 300))
    assert features.shape == known.shape == (6, 36)
    assert known.all()
    whole = brisque_features(gray(192, 300))
    assert whole is not None
    assert whole.shape == (36,)
