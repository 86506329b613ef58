"""What srq-2 promises: its range, its map, ladders that fall, and when sharpness counts."""

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from iqsr.errors import UsageError
from iqsr.metrics import load_metric
from iqsr.metrics.efficientnet_lite import EfficientNetLite0
from iqsr.metrics.srq_2 import combined, load_srq_2, sharpness_of
from iqsr.training.predictor import defects


def photo(name: str = "astronaut", side: int = 192) -> Tensor:
    """(1, 3, side, side), of the upper middle."""
    found = torch.from_numpy(np.array(getattr(data, name)())).permute(2, 0, 1)[None].float() / 255
    left = (found.shape[3] - side) // 2
    return found[:, :, :side, left : left + side]


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
@torch.inference_mode()
def test_the_score_falls_with_each_strength_of_blur(name: str) -> None:
    rungs = [defects.blur(photo(name), strength, torch.Generator()) for strength in (0.2, 0.4, 0.7, 1.0)]
    scores = load_metric("srq-2")(torch.cat([photo(name), *rungs]))
    assert (scores.diff() < 0).all(), scores


@pytest.mark.parametrize("defect", [defects.noise, defects.checkerboard, defects.ringing, defects.jpeg])
@pytest.mark.parametrize("name", ["astronaut", "coffee"])
@torch.inference_mode()
def test_a_gross_defect_costs_points(name: str, defect: defects.Defect) -> None:
    spoiled = defect(photo(name), 1.0, torch.Generator().manual_seed(0)).clamp(0, 1)
    clean, gross = load_metric("srq-2")(torch.cat([photo(name), spoiled]))
    assert gross < clean - 5


@torch.inference_mode()
def test_a_picture_is_scored_alike_alone_and_among_others() -> None:
    metric = load_metric("srq-2")
    x = torch.cat([photo("astronaut"), photo("coffee"), torch.rand(1, 3, 192, 192)])
    together = metric(x)
    assert torch.allclose(together, torch.cat([metric(one[None]) for one in x]), atol=0.05)
    assert together.min() > 0
    assert together.max() < 100
    assert together[2] < together[:2].min() / 2


@pytest.mark.parametrize("size", [(64, 64), (65, 97), (100, 191)])
@torch.inference_mode()
def test_any_size_has_a_score_and_a_map_of_an_eighth_of_it(size: tuple[int, int]) -> None:
    model, x = load_srq_2(), photo()[:, :, : size[0], : size[1]]
    quality = model.quality_map(x)
    assert quality.shape == (1, 1, -(-size[0] // 8), -(-size[1] // 8))
    assert quality.min() >= 0
    assert quality.max() <= 100
    assert 0 < model(x) < 100


@torch.inference_mode()
def test_the_map_is_low_where_the_defect_is() -> None:
    model, x = load_srq_2(), photo(side=256)
    x[..., 128:] = defects.blur(x, 0.8, torch.Generator())[..., 128:]
    quality = model.quality_map(x)[0, 0]
    assert quality[:, :10].mean() > quality[:, -10:].mean() + 10


def test_too_small_a_picture_is_refused() -> None:
    with pytest.raises(UsageError, match=r"srq-2 expected \(N, 3, H, W\) of at least 64x64, got \(1, 3, 63, 64\)"):
        load_srq_2()(torch.rand(1, 3, 63, 64))


def test_sharpness_counts_only_without_defects() -> None:
    sharp, soft = torch.tensor([0.5]), torch.tensor([-1.0])
    sound, spoiled = torch.tensor([1.5]), torch.tensor([-3.0])
    assert combined(sound, sharp) > combined(sound, soft) + 5
    assert combined(spoiled, sharp) - combined(spoiled, soft) < 0.1
    soundness = torch.linspace(-4, 0.5, 50)
    assert (combined(soundness, sharp.expand(50)).diff() > 0).all()
    assert (combined(sound.expand(50), torch.linspace(-2, 2, 50)).diff() > 0).all()


@torch.inference_mode()
def test_blur_lowers_the_energy_and_lines_in_one_direction_raise_their_share() -> None:
    x = photo()
    sharp, blurred = sharpness_of(x)[0], sharpness_of(defects.blur(x, 0.5, torch.Generator()))[0]
    assert blurred[0] < sharp[0] - 1
    lines = (torch.arange(192) // 4 % 2).float().expand(1, 3, 192, 192)
    noise = torch.rand(1, 3, 192, 192, generator=torch.Generator().manual_seed(0))
    assert sharpness_of(lines)[0, 1] > 0.95
    assert sharpness_of(noise)[0, 1] < 0.5


@torch.inference_mode()
def test_stages_are_what_the_features_are_chosen_from() -> None:
    trunk, x = EfficientNetLite0(), photo(side=64)
    stages = trunk.stages(x)
    assert len(stages) == 7
    assert all(torch.equal(f, stages[n]) for f, n in zip(trunk(x), (0, 1, 2, 4, 6), strict=True))


@torch.inference_mode()
def test_bf16_hardly_changes_the_score() -> None:
    assert float(load_metric("srq-2", precision="bf16")(photo())) == pytest.approx(
        float(load_metric("srq-2")(photo())), abs=3
    )
