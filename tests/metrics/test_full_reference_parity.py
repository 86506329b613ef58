"""Metrics that compare with an original: known values, and parity with independent implementations.

CALIBRATION is from IQA-PyTorch's ResultsCalibra (5 pairs of TID2013, shipped with the pyiqa package): the values of
the official implementations.
"""

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from iqsr.errors import WeightsError
from iqsr.metrics import load_metric
from iqsr.metrics.dists import Dists, DistsNetwork
from iqsr.metrics.imagenet import load_stages
from iqsr.metrics.laplacian import laplacian
from iqsr.metrics.lpips import Lpips, LpipsNetwork
from iqsr.metrics.ms_ssim import ms_ssim
from iqsr.metrics.pixels import gray, luma
from iqsr.metrics.psnr import psnr, psnr_y
from iqsr.metrics.ssim import ssim, ssim_maps, ssim_y
from support.reference_pictures import noisy, picture

PAIRS = ("I03", "I04", "I06", "I08", "I19")
CALIBRATION = {
    "psnr": (21.11, 20.99, 27.01, 23.3, 21.62),
    "ssim": (0.6993, 0.9978, 0.9989, 0.9669, 0.6519),
    "ms_ssim": (0.6733, 0.9996, 0.9998, 0.9566, 0.8462),
}


def calibration_pair(name: str) -> tuple[Tensor, Tensor]:
    """The distorted picture and its original."""
    spec = importlib.util.find_spec("ResultsCalibra")
    folder = Path(next(iter(spec.submodule_search_locations)))  # type: ignore[union-attr,arg-type]
    distorted, original = (
        torch.from_numpy(np.array(Image.open(folder / kind / f"{name}.bmp"))).permute(2, 0, 1)[None] / 255
        for kind in ("dist_dir", "ref_dir")
    )
    return distorted, original


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
    monkeypatch.setattr("iqsr.metrics.ssim.ssim_maps", lambda x, y: tuple(m.relu() for m in ssim_maps(x, y)))
    torch.testing.assert_close(ms_ssim(x, y), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("sigma", [0.05, 0.4])
def test_ssim_differs_from_pyiqas_ssimc_only_in_places_of_negative_structure(monkeypatch, sigma):
    from pyiqa.archs.ssim_arch import SSIM

    x = picture(96, 128, count=2)
    x, y = ((255 * t).round() / 255 for t in (x, noisy(x, sigma)))  # which pyiqa does
    expected = SSIM(test_y_channel=False)(x, y).float()
    negative = ssim_maps(x, y)[1].min() < 0
    assert ((ssim(x, y) - expected).abs() > 1e-5).all() == negative
    monkeypatch.setattr("iqsr.metrics.ssim.ssim_maps", lambda x, y: (ssim_maps(x, y)[0].relu(), ssim_maps(x, y)[1]))
    torch.testing.assert_close(ssim(x, y), expected, atol=1e-5, rtol=0)


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
    ours = DistsNetwork()
    theirs: Any = DISTS(pretrained=False)
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

    from iqsr.io import weights

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

    from iqsr.io import weights

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


def test_lpips_and_dists_heads_are_the_files_that_pyiqa_names():
    from pyiqa.archs import dists_arch, lpips_arch

    from iqsr.io.weights import known_weight

    urls = {f"lpips-heads-{trunk}": lpips_arch.default_model_urls[f"0.1_{trunk}"] for trunk in ("alex", "vgg")}
    urls["dists-weights"] = dists_arch.default_model_urls["url"]
    for name, url in urls.items():  # which end in the first 8 digits of the SHA-256
        assert known_weight(name).sha256.startswith(Path(url).stem.rsplit("-", 1)[1])


# Channels, sum and the place of the largest weight of each head in the authors' files, weights/v0.1/{alex,vgg}.pth.
HEADS = {
    "alex": [(64, 2.3495, 60), (192, 16.1430, 166), (384, 39.2684, 233), (256, 27.1972, 81), (256, 20.3172, 62)],
    "vgg": [(64, 6.9260, 20), (128, 8.8583, 1), (256, 17.5150, 120), (512, 51.5213, 215), (512, 47.0349, 119)],
}


@pytest.mark.parametrize("trunk", HEADS)
def test_each_stage_of_lpips_has_its_published_head(monkeypatch, trunk):
    monkeypatch.setattr("iqsr.metrics.lpips.load_stages", lambda stages, name: None)
    for head, (channels, total, largest) in zip(Lpips(trunk).heads, HEADS[trunk], strict=True):
        assert head.shape == (channels,)
        assert head.min() >= 0  # so that it is a distance
        assert head.sum().item() == pytest.approx(total, abs=1e-4)
        assert head.argmax() == largest


def test_weights_of_dists_are_the_published_ones_and_sum_to_1(monkeypatch):
    """Sums of alpha and beta in the authors' file, weights.pt; the paper has both together make 1."""
    monkeypatch.setattr("iqsr.metrics.dists.load_stages", lambda stages, name: None)
    network = Dists()
    assert network.alpha.shape == network.beta.shape == (3 + 64 + 128 + 256 + 512 + 512,)
    assert min(network.alpha.min(), network.beta.min()) >= 0
    assert network.alpha.sum().item() == pytest.approx(0.87605, abs=1e-5)
    assert network.beta.sum().item() == pytest.approx(0.12395, abs=1e-5)
    assert (network.alpha.sum() + network.beta.sum()).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("metric", "trunk"),
    [(Lpips, "alexnet"), (lambda: Lpips("vgg"), "vgg16"), (Dists, "vgg16")],
    ids=["lpips", "lpips-vgg", "dists"],
)
def test_a_missing_trunk_is_named_with_the_command_that_fetches_it(weights_folder, metric, trunk):
    with pytest.raises(WeightsError) as error:
        metric()
    assert str(error.value) == (
        f"the weights '{trunk}-imagenet' are not on this machine; "
        f"run: iqsr weights fetch {trunk}-imagenet (or, offline: iqsr weights import FOLDER)"
    )
