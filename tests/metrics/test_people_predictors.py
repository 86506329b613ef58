"""What srq-2, biq-lite2 and srq-defects promise alike: range, map, and defects that cost points."""

from collections.abc import Callable

import pytest
import torch

from iqsr.errors import UsageError
from iqsr.metrics import load_metric
from iqsr.metrics.biq_lite2 import BiqLite2, load_biq_lite2
from iqsr.metrics.srq_2 import Srq2, load_srq_2
from iqsr.training.predictor import defects
from support.photos import photo

SIDES = {"srq-2": 192, "biq-lite2": 256, "srq-defects": 192}
DEFECTS = {
    "srq-2": (5, (defects.noise, defects.checkerboard, defects.ringing, defects.jpeg)),
    "biq-lite2": (10, (defects.noise, defects.motion_blur, defects.jpeg, defects.pixelate)),
    "srq-defects": (20, (defects.noise, defects.checkerboard, defects.ringing, defects.jpeg, defects.oversharpen)),
}
"""How many points each of the defects costs at least."""
LOADERS = (load_srq_2, load_biq_lite2)
Loader = Callable[[], Srq2 | BiqLite2]


@pytest.mark.parametrize(
    ("metric", "strengths"),
    [
        ("srq-2", (0.2, 0.4, 0.7, 1.0)),
        ("srq-defects", (0.2, 0.4, 0.7, 1.0)),
        ("biq-lite2", (0.4, 0.7, 1.0)),
    ],
)
@pytest.mark.parametrize("name", ["astronaut", "coffee"])
@torch.inference_mode()
def test_the_score_falls_with_each_strength_of_blur(name: str, metric: str, strengths: tuple[float, ...]) -> None:
    x = photo(name, SIDES[metric])
    scores = load_metric(metric)(torch.cat([x, *(defects.blur(x, s, torch.Generator()) for s in strengths)]))
    assert (scores.diff() < 0).all(), scores


@pytest.mark.parametrize(
    ("metric", "points", "defect"),
    [(metric, points, defect) for metric, (points, some) in DEFECTS.items() for defect in some],
)
@pytest.mark.parametrize("name", ["astronaut", "coffee"])
@torch.inference_mode()
def test_a_gross_defect_costs_points(name: str, metric: str, points: float, defect: defects.Defect) -> None:
    x = photo(name, SIDES[metric])
    spoiled = defect(x, 1.0, torch.Generator().manual_seed(0)).clamp(0, 1)
    clean, gross = load_metric(metric)(torch.cat([x, spoiled]))
    assert gross < clean - points


@pytest.mark.parametrize("name", SIDES)
@torch.inference_mode()
def test_a_picture_is_scored_alike_alone_and_among_others(name: str) -> None:
    metric, side = load_metric(name), SIDES[name]
    x = torch.cat([photo("astronaut", side), photo("coffee", side), torch.rand(1, 3, side, side)])
    together = metric(x)
    assert torch.allclose(together, torch.cat([metric(one[None]) for one in x]), atol=0.05)
    assert together.min() > 0
    assert together.max() < 100
    if name == "srq-2":
        assert together[2] < together[:2].min() / 2


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("size", [(64, 64), (65, 97), (100, 191)])
@torch.inference_mode()
def test_any_size_has_a_score_and_a_map_of_an_eighth_of_it(load: Loader, size: tuple[int, int]) -> None:
    model, x = load(), photo(side=256)[:, :, : size[0], : size[1]]
    quality = model.quality_map(x)
    assert quality.shape == (1, 1, -(-size[0] // 8), -(-size[1] // 8))
    assert quality.min() >= 0
    assert quality.max() <= 100
    assert 0 < model(x) < 100


@pytest.mark.parametrize("load", LOADERS)
@torch.inference_mode()
def test_the_map_is_low_where_the_defect_is(load: Loader) -> None:
    model, x = load(), photo(side=256)
    x[..., 128:] = defects.blur(x, 0.8, torch.Generator())[..., 128:]
    quality = model.quality_map(x)[0, 0]
    assert quality[:, :10].mean() > quality[:, -10:].mean() + 10


@pytest.mark.parametrize(("name", "load"), zip(("srq-2", "biq-lite2"), LOADERS, strict=True))
def test_too_small_a_picture_is_refused(name: str, load: Loader) -> None:
    with pytest.raises(UsageError, match=rf"{name} expected \(N, 3, H, W\) of at least 64x64, got \(1, 3, 63, 64\)"):
        load()(torch.rand(1, 3, 63, 64))


@pytest.mark.parametrize("name", SIDES)
@torch.inference_mode()
def test_bf16_hardly_changes_the_score(name: str) -> None:
    x = photo(side=SIDES[name])
    assert float(load_metric(name, precision="bf16")(x)) == pytest.approx(float(load_metric(name)(x)), abs=3)
