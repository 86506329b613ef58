"""What must always hold for metrics that compare with an original, and for the two naive ones."""

import pytest
import torch

from iqsr.errors import UsageError
from iqsr.metrics import card, load_metric, metric_names, pixels
from iqsr.metrics.laplacian import laplacian
from iqsr.metrics.ms_ssim import ms_ssim
from iqsr.metrics.psnr import psnr, psnr_y
from iqsr.metrics.ssim import ssim, ssim_y
from support.reference_pictures import noisy, picture

FORMULAS = [name for name in metric_names() if card(name).formula]
HERE = [*(name for name in FORMULAS if card(name).reference == "full"), "stlpips", "stlpips-vgg"]
ALL = sorted({*HERE, *FORMULAS})
LOSSES = [name for name in ALL if card(name).differentiable]


def side(name: str) -> int:
    """Of pictures for tests: small, and odd."""
    return max(card(name).minimum_size + 2, 47)


@pytest.mark.parametrize("name", HERE)
def test_identical_pictures_get_the_best_value_of_the_range(name):
    x, c = picture(side(name), side(name) + 4), card(name)
    best = c.range[1] if c.higher_is_better else c.range[0]
    assert load_metric(name)(x, x).item() == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("name", HERE)
def test_symmetric(name):
    x, y = (picture(side(name), side(name) + 4, seed=seed) for seed in (1, 2))
    metric = load_metric(name)
    torch.testing.assert_close(metric(x, y), metric(y, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", HERE)
def test_worse_with_more_noise_in_the_direction_of_the_card(name):
    x, metric = picture(side(name), side(name)), load_metric(name)
    values = [metric(noisy(x, sigma), x).item() for sigma in (0.01, 0.03, 0.08, 0.2)]
    assert values == sorted(values, reverse=card(name).higher_is_better)
    assert len(set(values)) == 4


@pytest.mark.parametrize("name", HERE)
def test_within_the_range_of_the_card(name):
    c, metric = card(name), load_metric(name)
    x = picture(side(name), side(name))
    for other in (torch.zeros_like(x), torch.ones_like(x), 1 - x, noisy(x, 0.5)):
        assert c.range[0] <= metric(x, other).item() <= c.range[1]


@pytest.mark.parametrize("name", ALL)
def test_batch_equals_singles(name):
    x, y = (picture(side(name), side(name) + 4, seed=seed, count=3) for seed in (1, 2))
    metric = load_metric(name)
    pairs = (x, y) if card(name).compares else (x,)
    alone = torch.cat([metric(*(t[i : i + 1] for t in pairs)) for i in range(3)])
    together = metric(*pairs)
    assert together.shape == (3,)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_reach_the_picture_and_lead_to_a_better_value(name):
    y = picture(side(name), side(name) + 3)
    x = noisy(y, 0.1).requires_grad_()
    metric, c = load_metric(name), card(name)
    pairs = (y,) if c.compares else ()
    before = metric(x, *pairs).sum()
    (gradient,) = torch.autograd.grad(before, x)
    assert c.differentiable
    assert gradient.isfinite().all()
    assert (gradient != 0).float().mean() > 0.9
    step = 0.001 * gradient / gradient.abs().max() * (1 if c.higher_is_better else -1)
    after = metric(x.detach() + step, *pairs).sum()
    assert (after > before) == c.higher_is_better


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_flat_pictures_give_numbers_and_finite_gradients(name, level):
    flat = torch.full((1, 3, side(name), side(name)), level)
    others = (flat, torch.zeros_like(flat), picture(side(name), side(name))) if card(name).compares else (None,)
    metric = load_metric(name)
    for other in others:
        x = flat.clone().requires_grad_()
        value = metric(x) if other is None else metric(x, other)
        assert value.isfinite().all()
        (gradient,) = torch.autograd.grad(value.sum(), x)
        assert gradient.isfinite().all()


def test_ms_ssim_of_a_negative_counts_as_none_and_has_finite_gradients():
    y = picture(178, 178)
    x = (1 - y).requires_grad_()
    value = ms_ssim(x, y)
    assert value.item() == 0
    assert torch.autograd.grad(value.sum(), x)[0].isfinite().all()


def test_mean_psnr_survives_identical_pictures():
    x = picture(9, 9, count=2)
    y = torch.cat([x[:1], noisy(x[1:], 0.1)])
    alone = psnr(x[1:], y[1:]).item()
    assert 15 < alone < 25
    assert psnr(x, y).mean().item() == pytest.approx((100 + alone) / 2, abs=1e-4)


@pytest.mark.parametrize("function", [ssim, ssim_y, ms_ssim])
def test_autocast_takes_no_bits_from_formulas(function):
    """A smooth picture: its local variance is far below what bfloat16 resolves of a mean square."""
    ramp = torch.linspace(0.5, 0.9, 190).expand(1, 3, 190, 190)
    x, y = ramp.contiguous(), noisy(ramp, 0.01)
    with torch.autocast("cpu", torch.bfloat16):
        found = function(x, y)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, function(x, y), atol=1e-6, rtol=0)
    coarse = [picture.bfloat16() for picture in (x, y)]  # as networks return them under autocast
    torch.testing.assert_close(function(*coarse), function(*(picture.float() for picture in coarse)))


def test_autocast_takes_no_bits_from_the_naive_one():
    x = 0.9 + 0.01 * picture(40, 40)
    with torch.autocast("cpu", torch.bfloat16):
        found = laplacian(x)
    torch.testing.assert_close(found, laplacian(x))


# Borders


@pytest.mark.parametrize("function", [psnr, psnr_y, ssim, ssim_y, ms_ssim])
def test_crop_border_equals_cropping(function):
    x, y = picture(190, 191), noisy(picture(190, 191), 0.1)
    cropped = function(x[..., 4:-4, 4:-4], y[..., 4:-4, 4:-4])
    torch.testing.assert_close(function(x, y, crop_border=4), cropped)
    assert function(x, y, crop_border=0) == function(x, y)
    assert function(x, y, crop_border=4) != function(x, y)


@pytest.mark.parametrize("border", [-1, 8, 100])
def test_border_that_leaves_nothing_is_one_line(border):
    with pytest.raises(UsageError, match=f"a border of {border} px cannot be cut off a picture of 16x20"):
        psnr(picture(20, 16), picture(20, 16), crop_border=border)


@pytest.mark.parametrize("name", [name for name in FORMULAS if card(name).differentiable])
@pytest.mark.parametrize("values", [1, 40_000, 1_000_000_000])
def test_bands_of_any_height_give_the_same_value_and_gradient(name, values, monkeypatch):
    x, y = picture(187, 180, count=2), noisy(picture(187, 180, count=2), 0.1)
    metric = load_metric(name)
    given = (x, y) if metric.card.compares else (x,)

    def found() -> tuple[torch.Tensor, torch.Tensor]:
        leaf = given[0].clone().requires_grad_()
        value = metric(leaf, *given[1:])
        return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]

    expected, gradient = found()
    monkeypatch.setattr(pixels, "_BAND_VALUES", values)
    value, again = found()
    torch.testing.assert_close(value, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(again, gradient, atol=float(gradient.abs().max()) * 1e-5, rtol=0)


@pytest.mark.parametrize("size", [(3000, 400), (11, 11), (400, 3000), (17, 5)])
@pytest.mark.parametrize("overlap", [0, 2, 10])
def test_bands_are_small_and_together_the_picture(size, overlap):
    x = torch.arange(size[0]).view(1, 1, -1, 1).expand(1, 3, *size)
    parts = [part for (part,) in pixels.bands(x, overlap=overlap)]
    assert max(part.numel() for part in parts) <= max(1 << 18, 3 * size[1] * (16 + overlap))
    assert all(part.shape[2] > overlap for part in parts)
    rows = torch.cat([part[0, 0, : part.shape[2] - overlap, 0] for part in parts])
    assert torch.equal(rows, torch.arange(size[0] - overlap))


def test_border_that_leaves_too_little_for_a_window_is_one_line():
    with pytest.raises(UsageError, match="SSIM needs at least 11x11 pixels, got 10x10"):
        ssim(picture(20, 20), picture(20, 20), crop_border=5)


# The naive one


def test_laplacian_falls_with_blur_and_rises_with_noise_too():
    from torchvision.transforms.functional import gaussian_blur

    x = picture(80, 80)
    ladder = [laplacian(x).item()] + [laplacian(gaussian_blur(x, [9, 9], [s])).item() for s in (0.5, 1.0, 2.0)]
    assert ladder == sorted(ladder, reverse=True)
    assert laplacian(noisy(x, 0.1)) > laplacian(x)  # why it is only a baseline
