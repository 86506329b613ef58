"""Fréchet distances of sets: known values, parity with scipy's square root, and the network of FID.

FID's weights are not needed: its network is compared with pytorch-fid's, as IQA-PyTorch carries it, with the same
random weights.
"""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm
from torch import nn

from iqsr.errors import UsageError, WeightsError
from iqsr.metrics import card, load_features, load_metric
from iqsr.metrics.fid_inception import FidInception, resized
from iqsr.metrics.frechet import PictureFeatures, frechet_distance, patch_count
from support.reference_pictures import picture

RNG = np.random.default_rng(0)


def by_sqrtm(x: np.ndarray, y: np.ndarray) -> float:
    """As pytorch-fid writes it."""
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root: Any = sqrtm(a @ b)
    return float(np.square(x.mean(0) - y.mean(0)).sum() + np.trace(a) + np.trace(b) - 2 * np.trace(root.real))


def features(n: int, d: int, shift: float = 0.0) -> np.ndarray:
    """Correlated, on the scale of a network's."""
    return (RNG.normal(size=(n, d)) @ RNG.normal(size=(d, d)) + shift).astype(np.float32)


@pytest.mark.parametrize(("n", "m", "d"), [(200, 200, 12), (60, 300, 40), (41, 45, 40)])
def test_it_is_that_of_scipys_matrix_root(n: int, m: int, d: int) -> None:
    x, y = features(n, d), features(m, d, shift=0.3)
    assert frechet_distance(x, y) == pytest.approx(by_sqrtm(x, y), rel=1e-6)
    assert frechet_distance(y, x) == pytest.approx(frechet_distance(x, y), rel=1e-9)


def test_one_dimension_by_hand() -> None:
    """(mean difference)^2 + (difference of the deviations)^2."""
    x, y = np.array([[0.0], [2.0]]), np.array([[10.0], [14.0]])
    assert frechet_distance(x, y) == pytest.approx(11**2 + (np.sqrt(8) - np.sqrt(2)) ** 2)


def test_fewer_pictures_than_features_are_no_trouble() -> None:
    """The covariances are singular, where square roots of matrices fail or become complex."""
    x = features(5, 64)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9 * float(np.square(x).sum()))
    assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-9 * float(np.square(x).sum()))
    assert frechet_distance(x, x + 2) == pytest.approx(64 * 4, rel=1e-6)
    assert frechet_distance(x, features(7, 64)) > 0


def test_order_and_repetition_by_parts_change_nothing() -> None:
    x, y = features(90, 8), features(70, 8)
    assert frechet_distance(x[RNG.permutation(90)], y) == pytest.approx(frechet_distance(x, y), rel=1e-9)


# Features


@pytest.fixture(scope="module")
def whole() -> PictureFeatures:
    return load_features("frechet-lite0")


@pytest.fixture(scope="module")
def by_patch() -> PictureFeatures:
    return load_features("frechet-lite0-patch")


def test_patches_lie_by_rows_and_are_those_of_their_crops(whole: PictureFeatures, by_patch: PictureFeatures) -> None:
    x = picture(200, 330)
    found = by_patch.of(x)
    assert len(found) == patch_count(by_patch.card, 330, 200) == 2 * 4
    crops = [x[:, :, top : top + 128, left : left + 128] for top in (0, 64) for left in (0, 64, 128, 192)]
    alone = np.concatenate([whole.of(crop) for crop in crops])
    assert found == pytest.approx(alone, abs=1e-4 * float(np.abs(alone).max()))


def test_a_whole_picture_is_one_row(whole: PictureFeatures) -> None:
    assert whole.of(picture(32, 57)).shape == (1, 320)
    assert patch_count(whole.card, 57, 32) == 1


@pytest.mark.parametrize("name", ["fid", "fid-patch", "frechet-lite0", "frechet-lite0-patch"])
def test_it_measures_no_single_pictures(name: str) -> None:
    assert card(name).of_sets
    assert not card(name).compares
    with pytest.raises((UsageError, WeightsError), match=r"one number of a whole set|iqsr weights fetch inception-fid"):
        load_metric(name)


def test_a_metric_of_single_pictures_has_no_features_of_sets() -> None:
    with pytest.raises(UsageError, match="psnr measures single pictures"):
        load_features("psnr")


def test_without_fids_weights_the_line_says_how_to_get_them(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("IQSR_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="'fid' is not here; run: iqsr weights fetch inception-fid"):
        load_features("fid")


# FID's network


def pytorch_fids(state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    inception = pytest.importorskip("pyiqa.archs.inception")
    monkeypatch.setattr(inception, "load_pretrained_network", lambda network, url: network.load_state_dict(state))
    return inception.InceptionV3([3], resize_input=False, normalize_input=False).eval()


def random_state() -> dict[str, torch.Tensor]:
    """Weights that keep the scale of what passes through, so that every branch counts."""
    from torchvision.models import Inception3

    torch.manual_seed(0)
    network = Inception3(num_classes=1008, aux_logits=False, init_weights=False)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.uniform_(-0.2, 0.2)
    return network.state_dict()


def test_fids_network_is_pytorch_fids(monkeypatch: pytest.MonkeyPatch) -> None:
    state = random_state()
    ours, theirs = FidInception(state).eval(), pytorch_fids(state, monkeypatch)
    x = picture(120, 97)
    with torch.no_grad():
        found, (expected,) = ours(x), theirs((resized(x) * 255 - 128) / 128)
    assert found.shape == (1, 2048)
    assert torch.allclose(found, expected.flatten(1), rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("size", [(400, 333), (150, 97)])
def test_pictures_are_resized_as_in_clean_fid(size: tuple[int, int]) -> None:
    """Pillow's bicubic interpolation of floats, channel by channel, clipped."""
    x = picture(*size)
    channels = [Image.fromarray(255 * c.numpy()).resize((299, 299), Image.Resampling.BICUBIC) for c in x[0]]
    expected = np.stack([np.asarray(channel).clip(0, 255) for channel in channels])
    assert 255 * resized(x)[0].numpy() == pytest.approx(expected, abs=0.01)
