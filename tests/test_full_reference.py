"""Metrics that compare with an original, and the two naive ones: known values, parity, and what must always hold.

CALIBRATION is from IQA-PyTorch's ResultsCalibra (5 pairs of TID2013, shipped with the pyiqa package): the values of
the official implementations.
"""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from iqsr.errors import UsageError
from iqsr.quality import card, load_metric
from iqsr.quality.dists import DistsNetwork
from iqsr.quality.imagenet import load_stages
from iqsr.quality.laplacian import laplacian
from iqsr.quality.lpips import Lpips, LpipsNetwork
from iqsr.quality.ms_ssim import ms_ssim
from iqsr.quality.planes import gray, luma
from iqsr.quality.psnr import psnr, psnr_y
from iqsr.quality.ssim import ssim, ssim_maps, ssim_y

PAIRS = ("I03", "I04", "I06", "I08", "I19")
CALIBRATION = {
    "psnr": (21.11, 20.99, 27.01, 23.3, 21.62),
    "ssim": (0.6993, 0.9978, 0.9989, 0.9669, 0.6519),
    "ms_ssim": (0.6733, 0.9996, 0.9998, 0.9566, 0.8462),
}
HERE = ("psnr", "psnr-y", "ssim", "ssim-y", "ms_ssim", "stlpips", "stlpips-vgg")


def side(name: str) -> int:
    """Of pictures for tests: small, and odd."""
    return max(card(name).minimum_size + 2, 47)


def picture(height: int, width: int, *, seed: int = 0, count: int = 1) -> Tensor:
    """Blobs of several sizes: (count, 3, height, width) in [0, 1], not flat anywhere."""
    generator = torch.Generator().manual_seed(seed)
    layers = [torch.rand(count, 3, max(2, height // k), max(2, width // k), generator=generator) for k in (1, 4, 16)]
    grown = [torch.nn.functional.interpolate(x, (height, width), mode="bicubic") for x in layers]
    return (0.2 * grown[0] + 0.3 * grown[1] + 0.5 * grown[2]).clamp(0, 1)


def noisy(x: Tensor, sigma: float) -> Tensor:
    return (x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(9))).clamp(0, 1)


def calibration_pair(name: str) -> tuple[Tensor, Tensor]:
    """The distorted picture and its original."""
    spec = importlib.util.find_spec("ResultsCalibra")
    folder = Path(next(iter(spec.submodule_search_locations)))  # type: ignore[union-attr,arg-type]
    distorted, original = (
        torch.from_numpy(np.array(Image.open(folder / kind / f"{name}.bmp"))).permute(2, 0, 1)[None] / 255
        for kind in ("dist_dir", "ref_dir")
    )
    return distorted, original


# Known values and parity


@pytest.mark.parametrize("number", range(5))
def test_official_values_of_the_calibration_pairs(number):
    x, y = calibration_pair(PAIRS[number])
    assert psnr(x, y).item() == pytest.approx(CALIBRATION["psnr"][number], abs=0.01)
    # The official SSIMs are of luma in full range, rounded to 8 bits.
    x, y = ((255 * gray(t)).round() / 255 for t in (x, y))
    assert ssim(x, y).item() == pytest.approx(CALIBRATION["ssim"][number], abs=1e-4)
    assert ms_ssim(x, y).item() == pytest.approx(CALIBRATION["ms_ssim"][number], abs=0.005)


@pytest.mark.parametrize("size", [(11, 11), (64, 64), (61, 83)])
def test_psnr_and_ssim_equal_scikit_image(size):
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    x, y = picture(*size, count=2), noisy(picture(*size, count=2), 0.1)
    for i in range(2):
        a, b = (t[i].permute(1, 2, 0).double().numpy() for t in (y, x))
        assert psnr(x, y)[i].item() == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1), abs=1e-4)
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
        expected = structural_similarity(a, b, channel_axis=2, **settings)
        assert ssim(x, y)[i].item() == pytest.approx(expected, abs=1e-5)


def test_luma_equals_scikit_image_and_so_do_the_y_metrics():
    from skimage.color import rgb2ycbcr
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    x, y = picture(40, 52), noisy(picture(40, 52), 0.05)
    a, b = (rgb2ycbcr(t[0].permute(1, 2, 0).double().numpy())[..., 0] / 255 for t in (x, y))
    torch.testing.assert_close(luma(x)[0, 0].double(), torch.from_numpy(a), atol=1e-6, rtol=0)
    assert psnr_y(x, y).item() == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1), abs=1e-4)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
    assert ssim_y(x, y).item() == pytest.approx(structural_similarity(a, b, **settings), abs=1e-5)


def luma_and_its_noisy_copy(size: tuple[int, int], sigma: float) -> tuple[Tensor, Tensor]:
    """In full range and rounded to 8 bits, as pyiqa takes it."""
    x = picture(*size, count=2)
    first, second = ((255 * gray(t)).round() / 255 for t in (x, noisy(x, sigma)))
    return first, second


# Sizes that halve four times: pyiqa pads others.
@pytest.mark.parametrize("size", [(192, 176), (256, 320)])
@pytest.mark.parametrize("sigma", [0.02, 0.05])
def test_ms_ssim_equals_pyiqa(size, sigma):
    from pyiqa.archs.ssim_arch import ms_ssim as theirs

    x, y = luma_and_its_noisy_copy(size, sigma)
    assert ssim_maps(x, y)[1].min() > 0
    torch.testing.assert_close(ms_ssim(x, y), theirs(x, y, is_prod=True).float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(192, 176), (256, 320)])
@pytest.mark.parametrize("sigma", [0.2, 0.4])
def test_ms_ssim_differs_from_pyiqa_only_in_places_of_negative_structure(monkeypatch, size, sigma):
    """pyiqa counts such places as 0 before it averages; in the paper the factor is the mean of all places."""
    from pyiqa.archs.ssim_arch import ms_ssim as theirs

    x, y = luma_and_its_noisy_copy(size, sigma)
    expected = theirs(x, y, is_prod=True).float()
    assert ssim_maps(x, y)[1].min() < 0
    assert ((ms_ssim(x, y) - expected) < -1e-5).all()
    monkeypatch.setattr("iqsr.quality.ms_ssim.ssim_maps", lambda x, y: tuple(m.relu() for m in ssim_maps(x, y)))
    torch.testing.assert_close(ms_ssim(x, y), expected, atol=1e-5, rtol=0)


def test_psnr_of_one_step_of_8_bits_everywhere():
    x = torch.full((1, 3, 8, 8), 100 / 255)
    assert psnr(x, x + 1 / 255).item() == pytest.approx(20 * math.log10(255), abs=1e-3)


def test_laplacian_equals_opencv():
    import cv2

    x = (picture(45, 70) * 255).round() / 255
    expected = cv2.Laplacian((255 * gray(x))[0, 0].double().numpy(), cv2.CV_64F)[1:-1, 1:-1].var()
    assert laplacian(x).item() == pytest.approx(expected, rel=1e-4)


def copy_convolutions(theirs: torch.nn.Module, ours: list[torch.nn.Parameter]) -> None:
    published = [p for name, p in theirs.named_parameters() if "lin" not in name and name not in ("alpha", "beta")]
    for p, q in zip(published, ours, strict=True):
        p.data.copy_(q.data)


@pytest.fixture
def no_download(monkeypatch) -> None:
    """pyiqa's LPIPS and DISTS fetch ImageNet weights even to replace them."""
    import torchvision

    for name in ("alexnet", "vgg16"):
        build = getattr(torchvision.models, name)
        monkeypatch.setattr(
            torchvision.models,
            name,
            lambda weights, build=build: (
                build(weights=None, init_weights=False) if build.__name__ == "vgg16" else build(weights=None)
            ),
        )


@pytest.mark.parametrize("trunk", ["alex", "vgg"])
def test_lpips_equals_pyiqas_architecture_with_the_same_weights(no_download, trunk):
    from pyiqa.archs.lpips_arch import LPIPS

    torch.manual_seed(3)
    ours, theirs = LpipsNetwork(trunk), LPIPS(net=trunk, pretrained=False)
    copy_convolutions(theirs, [p for stage in ours.stages for p in stage.parameters()])
    for i, head in enumerate(ours.heads):
        getattr(theirs, f"lin{i}").model[-1].weight.data.copy_(head.data.view(1, -1, 1, 1))
    for size in [(64, 64), (61, 83), (33, 130)]:
        x, y = picture(*size, count=2), noisy(picture(*size, count=2), 0.2)
        with torch.no_grad():
            expected = theirs(x, y).flatten()
            torch.testing.assert_close(ours(x, y), expected, atol=1e-5, rtol=1e-5)
        assert expected.min() > 0.001


def test_dists_equals_pyiqas_architecture_with_the_same_weights(no_download):
    from pyiqa.archs.dists_arch import DISTS

    torch.manual_seed(3)
    ours, theirs = DistsNetwork(), DISTS(pretrained=False)
    copy_convolutions(theirs, [p for stage in ours.stages for p in stage.parameters()])
    theirs.alpha.data.copy_(ours.alpha.data.view(1, -1, 1, 1))
    theirs.beta.data.copy_(ours.beta.data.view(1, -1, 1, 1))
    for size in [(64, 64), (61, 83)]:
        x, y = picture(*size, count=2), noisy(picture(*size, count=2), 0.2)
        with torch.no_grad():
            expected = theirs(x, y).flatten()
            torch.testing.assert_close(ours(x, y), expected, atol=1e-5, rtol=1e-5)
        assert expected.min() > 0.001


@pytest.mark.parametrize(("name", "trunk"), [("stlpips", "alex"), ("stlpips-vgg", "vgg")])
def test_stlpips_equals_pyiqas_architecture_with_the_same_weights(name, trunk):
    from pyiqa.archs.stlpips_arch import STLPIPS

    from iqsr import weights

    theirs = STLPIPS(net=trunk, pretrained_model_path=str(weights.locate(f"lpips-st-{trunk}")))
    x, y = picture(61, 83, count=2), noisy(picture(61, 83, count=2), 0.2)
    with torch.no_grad():
        expected = theirs(x, y).flatten()
    torch.testing.assert_close(load_metric(name)(x, y), expected, atol=1e-5, rtol=0)
    assert expected.min() > 0.01


@pytest.mark.parametrize(("trunk", "build"), [("alex", "alexnet"), ("vgg", "vgg16")])
def test_trunks_take_torchvisions_files(tmp_path, monkeypatch, trunk, build):
    """Random weights in torchvision's layout, in the place of the published file."""
    import torchvision

    from iqsr import weights

    torch.manual_seed(1)
    features = getattr(torchvision.models, build)(weights=None, num_classes=2).features.eval()
    torch.save({f"features.{k}": v for k, v in features.state_dict().items()} | {"classifier.6.bias": torch.ones(2)},
               tmp_path / "file.pth")  # fmt: skip
    monkeypatch.setattr(weights, "locate", lambda name: tmp_path / "file.pth")
    network = LpipsNetwork(trunk)
    load_stages(list(network.stages), f"{build}-imagenet")
    x = picture(64, 64)
    with torch.no_grad():
        expected, found = features[:-1](x), x
        for stage in network.stages:
            found = stage(found)
    torch.testing.assert_close(found, expected)


def test_lpips_and_dists_heads_are_the_published_ones():
    from iqsr.quality.lpips import load_heads

    heads = [torch.zeros(c) for c in (64, 192, 384, 256, 256)]
    load_heads(heads, "lpips-heads-alex")
    assert all((head >= 0).all() and head.max() > 0 for head in heads)
    with pytest.raises(Exception, match="iqsr weights fetch vgg16-imagenet"):
        Lpips("vgg")


# What must always hold


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


@pytest.mark.parametrize("name", [*HERE, "laplacian"])
def test_batch_equals_singles(name):
    x, y = (picture(side(name), side(name) + 4, seed=seed, count=3) for seed in (1, 2))
    metric = load_metric(name)
    pairs = (x, y) if card(name).reference == "full" else (x,)
    alone = torch.cat([metric(*(t[i : i + 1] for t in pairs)) for i in range(3)])
    together = metric(*pairs)
    assert together.shape == (3,)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [*HERE, "laplacian"])
def test_gradients_reach_the_picture_and_lead_to_a_better_value(name):
    y = picture(side(name), side(name) + 3)
    x = noisy(y, 0.1).requires_grad_()
    metric, c = load_metric(name), card(name)
    pairs = (y,) if c.reference == "full" else ()
    before = metric(x, *pairs).sum()
    (gradient,) = torch.autograd.grad(before, x)
    assert c.differentiable
    assert gradient.isfinite().all()
    assert (gradient != 0).float().mean() > 0.9
    step = 0.001 * gradient / gradient.abs().max() * (1 if c.higher_is_better else -1)
    after = metric(x.detach() + step, *pairs).sum()
    assert (after > before) == c.higher_is_better


@pytest.mark.parametrize("name", [*HERE, "laplacian"])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_flat_pictures_give_numbers_and_finite_gradients(name, level):
    flat = torch.full((1, 3, side(name), side(name)), level)
    others = (
        (flat, torch.zeros_like(flat), picture(side(name), side(name))) if card(name).reference == "full" else (None,)
    )
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


def test_psnr_of_identical_pictures_is_100_so_that_means_survive():
    assert psnr(picture(9, 9), picture(9, 9)).item() == 100


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
