"""What biq-lite2 promises: its range, its map, defects that cost points, and photos that are told apart."""

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from iqsr.errors import UsageError, WeightsError
from iqsr.metrics import load_metric
from iqsr.metrics.biq_lite2 import load_biq_lite2
from iqsr.training.predictor import defects


def photo(name: str = "astronaut", side: int = 256) -> Tensor:
    """(1, 3, side, side), of the upper middle."""
    found = torch.from_numpy(np.array(getattr(data, name)())).permute(2, 0, 1)[None].float() / 255
    left = (found.shape[3] - side) // 2
    return found[:, :, :side, left : left + side]


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
@torch.inference_mode()
def test_the_score_falls_with_each_strength_of_blur(name: str) -> None:
    rungs = [defects.blur(photo(name), strength, torch.Generator()) for strength in (0.4, 0.7, 1.0)]
    scores = load_metric("biq-lite2")(torch.cat([photo(name), *rungs]))
    assert (scores.diff() < 0).all(), scores


@pytest.mark.parametrize("defect", [defects.noise, defects.motion_blur, defects.jpeg, defects.pixelate])
@pytest.mark.parametrize("name", ["astronaut", "coffee"])
@torch.inference_mode()
def test_a_gross_defect_costs_points(name: str, defect: defects.Defect) -> None:
    spoiled = defect(photo(name), 1.0, torch.Generator().manual_seed(0)).clamp(0, 1)
    clean, gross = load_metric("biq-lite2")(torch.cat([photo(name), spoiled]))
    assert gross < clean - 10


@torch.inference_mode()
def test_a_picture_is_scored_alike_alone_and_among_others() -> None:
    metric = load_metric("biq-lite2")
    x = torch.cat([photo("astronaut"), photo("coffee"), torch.rand(1, 3, 256, 256)])
    together = metric(x)
    assert torch.allclose(together, torch.cat([metric(one[None]) for one in x]), atol=0.05)
    assert together.min() > 0
    assert together.max() < 100


@pytest.mark.parametrize("size", [(64, 64), (65, 97), (100, 191)])
@torch.inference_mode()
def test_any_size_has_a_score_and_a_map_of_an_eighth_of_it(size: tuple[int, int]) -> None:
    model, x = load_biq_lite2(), photo()[:, :, : size[0], : size[1]]
    quality = model.quality_map(x)
    assert quality.shape == (1, 1, -(-size[0] // 8), -(-size[1] // 8))
    assert quality.min() >= 0
    assert quality.max() <= 100
    assert 0 < model(x) < 100


@torch.inference_mode()
def test_the_map_is_low_where_the_defect_is() -> None:
    model, x = load_biq_lite2(), photo(side=256)
    x[..., 128:] = defects.blur(x, 0.8, torch.Generator())[..., 128:]
    quality = model.quality_map(x)[0, 0]
    assert quality[:, :10].mean() > quality[:, -10:].mean() + 10


def test_gradient_ascent_raises_the_score() -> None:
    metric, x = load_metric("biq-lite2"), photo(side=128)
    start = x.clone().requires_grad_()
    before = metric(start)
    (slope,) = torch.autograd.grad(before.sum(), start)
    assert metric((x + slope.sign() / 255).clamp(0, 1)) > before


def test_too_small_a_picture_is_refused() -> None:
    with pytest.raises(UsageError, match=r"biq-lite2 expected \(N, 3, H, W\) of at least 64x64, got \(1, 3, 63, 64\)"):
        load_biq_lite2()(torch.rand(1, 3, 63, 64))


def test_weights_of_another_predictor_are_refused(tmp_path) -> None:
    with pytest.raises(WeightsError, match=r"^other\.safetensors: "):
        load_biq_lite2(tmp_path / "other.safetensors")


@torch.inference_mode()
def test_bf16_hardly_changes_the_score() -> None:
    assert float(load_metric("biq-lite2", precision="bf16")(photo())) == pytest.approx(
        float(load_metric("biq-lite2")(photo())), abs=3
    )
