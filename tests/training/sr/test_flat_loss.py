"""The term against grain on flat areas, by hand and by what it does to pictures."""

import numpy as np
import pytest
import skimage.data
import torch
from pydantic import ValidationError
from torch import Tensor

from iqsr.training.sr.losses import detail, flat_loss, flatness
from iqsr.training.sr.objective import Objective
from iqsr.training.sr.recipe import ObjectiveRecipe
from support.sets import crops


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def photo() -> Tensor:
    return crops(1, 128)[0][None]


def grain_on(original: Tensor, strength: float) -> Tensor:
    """The picture with a chequerboard of the given amplitude."""
    rows, columns = (torch.arange(n) for n in original.shape[2:])
    signs = 1 - 2 * ((rows[:, None] + columns) % 2)
    return original + strength * signs


def mean_around(x: np.ndarray, side: int) -> np.ndarray:
    """Of a plane, edges reflected."""
    padded = np.pad(x, side // 2, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, (side, side)).mean((2, 3))


def test_grain_on_flat_areas_by_hand() -> None:
    original = 0.5 + 0.02 * (rand(2, 3, 20, 18) - 0.5).double()
    output = original + 0.1 * (rand(2, 3, 20, 18, seed=1).double() - 0.5)
    found, maps = list[float](), flatness(original)
    for number, (x, y) in enumerate(zip(original.numpy(), output.numpy(), strict=True)):
        energy = np.mean([(plane - mean_around(plane, 5)) ** 2 for plane in x], 0)
        weight = np.exp(-mean_around(energy, 15) * (255 / 2) ** 2)
        assert 0.1 < weight.min() < weight.max() < 0.9
        assert np.allclose(maps[number, 0].numpy(), weight)
        found += [float((weight * np.abs(d - mean_around(d, 5))).mean()) for d in y - x]
    assert float(flat_loss(output, original)) == pytest.approx(np.mean(found))


def test_what_is_no_grain_costs_nothing(photo: Tensor) -> None:
    assert float(flat_loss(photo, photo)) == 0
    assert float(flat_loss(photo + 0.1, photo)) < 1e-6
    flat = torch.full((1, 3, 48, 48), 0.5)
    slope = torch.linspace(-0.2, 0.2, 48).expand(1, 3, 48, 48)
    edges = float(flat_loss(flat + slope, flat))  # at the left and the right it is reflected
    assert edges < 1e-3 < float(flat_loss(grain_on(flat, 0.1), flat)) / 50


def test_grain_counts_where_the_original_is_flat_and_not_where_it_has_texture() -> None:
    texture = 0.5 + 0.2 * (rand(1, 3, 64, 64) - 0.5)
    halves = torch.cat([torch.full((1, 3, 64, 64), 0.5), texture], 3)
    weight = flatness(halves)
    assert float(weight[..., : 64 - 9].min()) == 1
    assert float(weight[..., 64:].max()) < 1e-3
    noisy = grain_on(halves, 0.05)
    left, right = halves.clone(), halves.clone()
    left[..., :55], right[..., 64:] = noisy[..., :55], noisy[..., 64:]
    assert float(flat_loss(right, halves)) < 1e-3 * float(flat_loss(left, halves))


def test_of_a_typical_photo_a_tenth_to_a_third_is_flat() -> None:
    for picture in (skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea()):
        x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255
        assert 0.1 < float(flatness(x).mean()) < 0.3


def test_weak_grain_is_pushed_down_as_hard_as_strong_and_all_but_vanishes() -> None:
    flat = torch.full((1, 3, 32, 32), 0.5)
    gradients = list[Tensor]()
    for strength in (0.05, 0.001):
        x = grain_on(flat, strength).requires_grad_(True)
        gradients += torch.autograd.grad(flat_loss(x, flat), x)
    assert torch.allclose(gradients[0], gradients[1])
    x = (flat + 0.05 * (rand(1, 3, 32, 32) - 0.5)).requires_grad_(True)
    before = float(flat_loss(x, flat).detach())
    for step in range(60):
        (gradient,) = torch.autograd.grad(flat_loss(x, flat), x)
        x = (x - 2e-3 * 0.95**step * gradient / gradient.abs().max()).detach().requires_grad_(True)
    assert float(flat_loss(x, flat).detach()) < 0.1 * before


def test_no_gradient_passes_through_the_original(photo: Tensor) -> None:
    original, output = photo.clone().requires_grad_(True), grain_on(photo, 0.02).requires_grad_(True)
    of_output, of_original = torch.autograd.grad(flat_loss(output, original), [output, original], allow_unused=True)
    assert of_output.abs().sum() > 0
    assert of_original is None


def test_a_grainy_ground_truth_teaches_no_grain_by_this_term(photo: Tensor) -> None:
    recipe = ObjectiveRecipe(l1=0, perceptual=0, gan=0, flat=2.0)
    originals, grainy = (photo * 255).round(), grain_on(photo, 0.05).clamp(0, 1)
    batch = {"gts": torch.stack([originals, grainy * 255], 1).byte()}
    terms = [Objective(recipe, 4, "cpu").terms(grainy, target, batch) for target in (photo, grainy)]
    assert [set(t) for t in terms] == [{"flat"}, {"flat"}]
    assert terms[0]["flat"] == terms[1]["flat"] == 2 * flat_loss(grainy, originals / 255)
    assert float(terms[0]["flat"]) > 1e-3
    with pytest.raises(ValidationError, match="nothing to learn"):
        ObjectiveRecipe(l1=0, perceptual=0, gan=0)


def test_the_square_counts_beside_the_absolute_value_and_pushes_strong_grain_harder(photo: Tensor) -> None:
    noisy = grain_on(photo, 0.02)
    off = detail(noisy - photo)
    square = float((flatness(photo) * off.square()).mean())
    assert float(flat_loss(noisy, photo, square=50.0)) == pytest.approx(float(flat_loss(noisy, photo)) + 50 * square)
    flat = torch.full((1, 3, 32, 32), 0.5)
    pushes = list[float]()
    for strength in (0.01, 0.02):
        x = grain_on(flat, strength).requires_grad_(True)
        pushes.append(float(torch.autograd.grad(flat_loss(x, flat, square=50.0), x)[0].abs().sum()))
    assert 1.2 < pushes[1] / pushes[0] < 2  # |d| + 50 d^2: as hard again at d = 0.01


def test_a_recipe_says_how_much_the_square_counts(photo: Tensor) -> None:
    noisy, originals = grain_on(photo, 0.05).clamp(0, 1), (photo * 255).round()
    batch = {"gts": originals[:, None].byte()}
    recipe = ObjectiveRecipe(l1=0, perceptual=0, gan=0, flat=2.0, flat_square=50.0, flat_detail=4.0)
    terms = Objective(recipe, 4, "cpu").terms(noisy, photo, batch)
    assert terms["flat"] == 2 * flat_loss(noisy, originals / 255, square=50.0, allowed=4.0)


def test_the_same_areas_count_as_flat_for_the_perceptual_term() -> None:
    original = (127.5 + 8 * (rand(1, 3, 64, 64) - 0.5)).round() / 255  # detail of some 2/255
    target = original + 0.05 * (rand(1, 3, 64, 64, seed=1) - 0.5)
    batch, found = {"gts": (original * 255).round().byte()[:, None]}, list[float]()
    for allowed in (1.0, 8.0):
        recipe = ObjectiveRecipe(
            l1=0, gan=0, perceptual_features="lpips-st-alex", perceptual_on_flat=0.0, flat_detail=allowed
        )
        found.append(float(Objective(recipe, 4, "cpu").terms(original, target, batch)["perceptual"]))
    assert 0 < found[1] < 0.2 * found[0]
