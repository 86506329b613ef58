"""A picture that shows nothing cannot win: not for our predictors, not where AMO samples by any metric."""

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from iqsr.errors import UsageError
from iqsr.metrics import load_metric
from iqsr.metrics.dense import blankness
from iqsr.metrics.srq import load_srq
from iqsr.metrics.srq_holdout import load_srq_holdout
from iqsr.sampling import Amo
from iqsr.training.sr.targets import patch_scores

JUDGES = ("srq", "srq-2", "srq-holdout")


def patches(side: int) -> Tensor:
    """Of photos, sharp and out of focus, (12, 3, side, side)."""
    found: list[Tensor] = []
    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        photo = torch.from_numpy(np.array(getattr(data, name)())).permute(2, 0, 1).float() / 255
        found += [photo[:, top : top + side, left : left + side] for top, left in ((0, 0), (150, 180), (60, 300))]
    return torch.stack(found)


def flat(red: float, green: float, blue: float, side: int) -> Tensor:
    return torch.tensor([red, green, blue], dtype=torch.float32).view(1, 3, 1, 1).expand(1, 3, side, side).clone()


def ramp(side: int) -> Tensor:
    """Three colours, without noise."""
    x = torch.linspace(0, 1, side).expand(side, side)
    return torch.stack([x, x.T, 1 - x])[None]


def empty_pictures(side: int) -> dict[str, Tensor]:
    colours: dict[str, tuple[float, float, float]]
    colours = {"black": (0, 0, 0), "white": (1, 1, 1), "gray": (0.5, 0.5, 0.5), "dark": (0.05, 0.05, 0.06)}
    colours |= {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "skin": (0.8, 0.6, 0.5)}
    half = flat(0, 0, 0, side)
    half[..., : side // 2] = 1
    wide = (torch.arange(side) // 24 % 2).float().expand(1, 3, side, side)
    return {
        **{name: flat(*colour, side) for name, colour in colours.items()},
        "half": half,
        "wide stripes": wide,
        "wide stripes, lying": wide.transpose(2, 3),
        "ramp": ramp(side),
        "slow ramp of 8 bits": (ramp(side) * 50).round() / 255,
    }


def barred(x: Tensor, thick: int, value: float, *, sides: bool) -> Tensor:
    found = x.clone()
    turned = found.transpose(2, 3) if sides else found
    turned[:, :, :thick] = value
    turned[:, :, -thick:] = value
    return found


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("side", [64, 100, 128])
@torch.no_grad()
def test_what_shows_nothing_scores_below_every_photo(judge: str, side: int) -> None:
    metric = load_metric(judge)
    worst = float(metric(patches(side)).min())
    scores = {name: float(metric(picture)) for name, picture in empty_pictures(side).items()}
    assert max(scores.values()) < worst / 2, (scores, worst)


# Not srq-2 at 64: a sky there is blank in a third of the patch, and some bars add half a point to its 4 of 100.
@pytest.mark.parametrize(
    ("judge", "side"),
    [("srq", 64), ("srq", 128), ("srq-2", 128), ("srq-holdout", 64), ("srq-holdout", 128)],
)
@torch.no_grad()
def test_no_photo_gains_by_bars(judge: str, side: int) -> None:
    metric = load_metric(judge)
    plain, x = metric(patches(side)), patches(side)
    for thick in (1, 2, 5, 7, 8, 12, side // 3):
        for value, sides in ((0.0, False), (1.0, True), (0.5, True)):
            assert (metric(barred(x, thick, value, sides=sides)) < plain).all(), (thick, value, sides)


@pytest.mark.parametrize("judge", JUDGES)
@torch.no_grad()
def test_what_shows_little_scores_the_less_the_less_it_shows(judge: str) -> None:
    """A photo that fades to gray: no jump, and from a contrast of one step of 8 bits on, down to nothing."""
    metric, x = load_metric(judge), patches(64)[1:2]
    contrasts = torch.logspace(-4, -1, 40)
    scores = torch.cat([metric(0.5 + c * (x - x.mean())) for c in contrasts])
    assert scores[0] < 0.2
    assert scores.diff().abs().max() < 12
    few = scores[contrasts < 1 / 255]
    assert (few.diff() > -0.01).all()


@pytest.mark.parametrize("judge", JUDGES)
def test_gradients_flow_and_are_finite(judge: str) -> None:
    metric = load_metric(judge)
    for picture in (patches(64), barred(patches(64), 12, 0.0, sides=True), *empty_pictures(64).values()):
        x = picture.clone().requires_grad_()
        metric(x).sum().backward()
        assert x.grad is not None
        assert x.grad.isfinite().all()
    x = barred(patches(64), 12, 0.0, sides=True).requires_grad_()
    (gradient,) = torch.autograd.grad(metric(x).sum(), x)
    assert (gradient.flatten(1).abs().amax(1) > 0).all()


@pytest.mark.parametrize("load", [load_srq, load_srq_holdout])
@torch.no_grad()
def test_the_map_shows_where_nothing_is_and_agrees_with_the_score(load) -> None:
    model, x = load(), patches(128)[3:4]
    x[:, :, :, :48] = 0
    found = model.predict(x)
    quality = model.quality_map(x)[0, 0]
    assert quality[:, :6].max() < 0.2
    assert quality[:, 8:].mean() > 20
    assert torch.allclose(found.weight.sum(), torch.tensor(1.0))
    assert found.weight[0, 0, :, :6].sum() == pytest.approx(6 / 16, abs=0.01)
    assert float(found.score) == pytest.approx(float(100 * torch.exp(-(found.distance * found.weight).sum() / 0.3)))


def test_a_flat_area_within_a_photo_is_not_empty() -> None:
    x = patches(128)[1:2]
    x[:, :, 40:90, 40:90] = 1
    assert blankness(x).max() < 1e-3
    assert blankness(patches(128)).mean((1, 2, 3)).max() < 0.01


@pytest.mark.parametrize("thick", [1, 3, 7])
@pytest.mark.parametrize("side", [64, 67])
def test_a_bar_thinner_than_a_cell_empties_its_cells_and_those_beside_them(thick: int, side: int) -> None:
    x = patches(side)[1:2]
    x[:, :, -thick:] = 0.3
    rows = blankness(x).amin((0, 1, 3))
    first = (side - thick) // 8 - 1
    assert (rows > 0.9).nonzero().flatten().tolist() == list(range(first, len(rows)))
    x = patches(side)[1:2]
    x[:, :, 20 : 20 + thick] = 0.3  # within the photo, as a wire
    assert blankness(x).max() < 0.01


@pytest.mark.parametrize("size", [(8, 8), (9, 70), (64, 63)])
def test_blankness_has_a_value_for_every_begun_cell(size: tuple[int, int]) -> None:
    found = blankness(torch.full((2, 3, *size), 0.7))
    assert found.shape == (2, 1, -(-size[0] // 8), -(-size[1] // 8))
    assert found.min() > 0.999
    assert blankness(torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))).max() < 1e-6


def test_amo_never_takes_what_was_emptied() -> None:
    """laplacian, as other metrics that do not know of bars, likes their edges."""
    metric = load_metric("laplacian")
    photos = (patches(96) * 255).round().byte()
    sides = [
        barred(photos, thick, value, sides=turn) for thick in (1, 8, 30) for value in (0, 255) for turn in (False, True)
    ]
    nothing = [(picture * 255).round().byte().expand_as(photos) for picture in empty_pictures(96).values()]
    for emptied in (*sides, *nothing):
        scores = patch_scores(metric, torch.stack([emptied, photos, emptied], 1))
        assert Amo().probabilities(scores, None).argmax(1).tolist() == [1] * len(photos)


@pytest.mark.parametrize("side", [64, 100, 256])
def test_a_clean_sky_was_not_emptied_beside_its_gritty_copy(side: int) -> None:
    metric, rng = load_metric("laplacian"), torch.Generator().manual_seed(0)
    down, across = torch.linspace(0, 1, side)[:, None], torch.linspace(0, 1, side)
    sky = torch.stack(
        [0.45 + 0.15 * down + 0.03 * across, 0.6 + 0.12 * down + 0.02 * across, 0.85 + 0.05 * down * across]
    )
    clean = (sky * 255).round().byte()
    assert blankness(clean[None].float() / 255).mean() > 0.9
    for deviation in (1, 2, 4, 8):
        gritty = (sky * 255 + deviation * torch.randn(1, side, side, generator=rng)).round().clamp(0, 255).byte()
        gts = torch.stack([clean, gritty, clean])[None]
        wanted = metric(gts[0].float() / 255)[None]
        assert torch.equal(patch_scores(metric, gts), wanted)
        other = torch.stack([barred(clean[None], 1, 0, sides=True)[0], gritty, torch.zeros_like(clean)])
        assert patch_scores(metric, other[None]).argmax(1).tolist() == [1]


@pytest.mark.parametrize("side", [64, 100, 256])
def test_grit_up_to_8_of_255_is_no_content(side: int) -> None:
    metric, rng = load_metric("laplacian"), torch.Generator().manual_seed(0)
    clean = (flat(0.5, 0.6, 0.8, side)[0] * 255).round().byte()
    for channels in (1, 3):
        grit = 8 * torch.randn(6, channels, side, side, generator=rng)
        gts = torch.stack([clean.expand(6, -1, -1, -1), (clean + grit).round().byte()], 1)
        assert torch.equal(patch_scores(metric, gts), metric(gts.flatten(0, 1).float() / 255).view(6, 2))


@pytest.mark.parametrize("content", ["stars", "weave"])
def test_a_picture_that_lost_small_or_fine_content_was_emptied(content: str) -> None:
    """The means of rows and columns of cells tell neither."""
    rng = torch.Generator().manual_seed(0)
    empty = (flat(0.02, 0.02, 0.02, 256)[0] * 255).round().byte()
    full = empty.clone()
    if content == "stars":
        full.view(3, -1)[:, torch.randint(256**2, (300,), generator=rng)] = 128
    else:
        full += 40 * (torch.arange(256)[:, None] + torch.arange(256)).remainder(2).byte()
        empty += 20
    gritty = (empty + 4 * torch.randn(1, 256, 256, generator=rng)).round().clamp(0, 255).byte()
    metric = load_metric("laplacian")
    gts = torch.stack([full, empty, gritty])
    wanted = metric(gts.float() / 255)
    for shown in ([0, 1], [0, 1, 2]):  # the gritty sky is the fullest, and shows no content that the stars lost
        found = patch_scores(metric, gts[None, shown])[0]
        assert float(found[0]) == pytest.approx(float(wanted[0]))
        assert float(found[1]) == pytest.approx(float(wanted[shown].min()) - 1)


def test_amo_goes_by_the_scores_where_all_show_something_or_nothing_does() -> None:
    metric = load_metric("laplacian")
    photos = (patches(96) * 255).round().byte()
    for candidates in ([photos, photos.flip(0)], [barred(p, 30, 0, sides=False) for p in (photos, photos.flip(0))]):
        gts = torch.stack(candidates, 1)
        wanted = metric(gts.flatten(0, 1).float() / 255).view(len(gts), 2)
        assert torch.equal(patch_scores(metric, gts), wanted)
    with pytest.raises(UsageError, match=r"as uint8, got torch.float32"):
        patch_scores(metric, photos[:, None].float())
