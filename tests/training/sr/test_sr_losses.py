"""Terms of the objective against straightforward recomputation, and facts about the networks behind them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import vgg19
from torchvision.transforms.v2.functional import gaussian_blur

from iqsr.errors import UnknownNameError, UsageError, WeightsError
from iqsr.metrics import card, load_metric
from iqsr.metrics.lr_consistency import lr_consistency, reduced
from iqsr.metrics.metric import Metric
from iqsr.training.sr import objective
from iqsr.training.sr.discriminator import UNetDiscriminator, gan_loss
from iqsr.training.sr.losses import (
    consistency_loss,
    ldl_loss,
    ldl_map,
    local_variance,
    negative_loss,
)
from iqsr.training.sr.objective import Objective, QualityTerm
from iqsr.training.sr.perceptual import VGG19_LAYERS, Perceptual, Vgg19
from iqsr.training.sr.recipe import ObjectiveRecipe
from support.sets import crops


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def photo() -> Tensor:
    return crops(1, 128)[0][None]


def variance_by_hand(x: np.ndarray, side: int) -> np.ndarray:
    """Unbiased variance around each place of a plane, edges reflected."""
    r = side // 2
    padded = np.pad(x, r, mode="reflect")
    found = np.empty_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            found[i, j] = padded[i : i + side, j : j + side].var(ddof=1)
    return found


@pytest.mark.parametrize("side", [3, 7])
def test_local_variance(side: int) -> None:
    x = rand(1, 1, 9, 11).double()
    assert np.allclose(local_variance(x, side)[0, 0].numpy(), variance_by_hand(x[0, 0].numpy(), side))


def test_ldl_weighs_what_is_farther_than_the_average_by_its_local_variance() -> None:
    output, averaged, target = (rand(1, 3, 10, 12, seed=s).double() for s in range(3))
    now, before = ((target - y).abs().sum(1)[0].numpy() for y in (output, averaged))
    wanted = now.var(ddof=1) ** 0.2 * variance_by_hand(now, 7)
    wanted[now < before] = 0
    found = ldl_map(output, averaged, target)
    assert np.allclose(found[0, 0].numpy(), wanted)
    loss = (wanted * np.abs((output - target)[0].numpy())).mean()
    assert float(ldl_loss(output, averaged, target)) == pytest.approx(loss)


def test_gradients_are_finite_where_output_and_target_are_equal() -> None:
    target = rand(1, 3, 12, 12)
    output = target.clone().requires_grad_(True)
    ldl_loss(output, target, target).backward()
    assert output.grad is not None
    assert output.grad.isfinite().all()


def test_the_negative_term_pushes_away_where_the_negative_differs() -> None:
    gts, labels, votes = rand(1, 2, 3, 16, 16, seed=8), torch.tensor([[0, 3]]), torch.tensor([[3, 3]])
    gts[0, 1, :, :, 8:] = gts[0, 0, :, :, 8:]  # the right half was left alone
    output = gts[:, 0].clone().requires_grad_(True)
    negative_loss(output, gts, labels, votes, rng=torch.Generator()).backward()
    assert output.grad is not None
    assert output.grad.isfinite().all()
    assert float(output.grad[..., 9:].abs().max()) == 0
    with torch.no_grad():
        step = output - output.grad.sign() * 1e-3
    before, after = ((y - gts[:, 1])[..., :7].abs().mean() for y in (output.detach(), step))
    assert after > before


def test_the_negative_term_by_hand() -> None:
    output, gts = rand(2, 3, 8, 8, seed=9).double(), rand(2, 3, 3, 8, 8, seed=8).double()
    labels, votes = torch.tensor([[0, 3, 1], [0, 2, 1]]), torch.tensor([[3, 2, 3], [3, 3, 3]])
    original, negative, positive = gts[0].numpy()
    worse = 2 / 3 * variance_by_hand(np.abs(original - negative).sum(0), 3) ** 0.75
    better = 3 / 3 * variance_by_hand(np.abs(original - positive).sum(0), 3) ** 0.75
    mask = np.where(better >= worse, 0, worse)
    wanted = -300 * np.abs(mask * output[0].numpy() - mask * negative).mean() / 2  # the second sample has no negative
    found = negative_loss(output, gts, labels, votes, rng=torch.Generator())
    assert float(found) == pytest.approx(wanted)


def test_without_a_positive_the_whole_negative_counts() -> None:
    output, gts = rand(1, 3, 8, 8, seed=9).double(), rand(1, 2, 3, 8, 8, seed=8).double()
    labels, votes = torch.tensor([[0, 3]]), torch.tensor([[3, 3]])
    original, negative = gts[0].numpy()
    mask = variance_by_hand(np.abs(original - negative).sum(0), 3) ** 0.75
    found = negative_loss(output, gts, labels, votes, rng=torch.Generator())
    assert float(found) == pytest.approx(-300 * np.abs(mask * (output[0].numpy() - negative)).mean())


def test_consistency_is_nothing_for_the_picture_that_was_reduced(photo: Tensor) -> None:
    lr = reduced(photo, 4)
    assert float(consistency_loss(photo, lr, 4)) == 0
    assert float(lr_consistency(photo, lr.clamp(0, 1))) > 60
    moved = photo.roll(4, 3)
    assert float(consistency_loss(moved, lr, 4)) > 0.01
    assert float(lr_consistency(moved, lr)) < 30


def test_vgg16_features_count_grain_on_a_flat_area_for_little(photo: Tensor) -> None:
    """LPIPS, which scales features to unit length, counts it for more than a blur of the photo."""
    grain = 0.01 * torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
    flat, blurred = torch.full_like(photo, 0.5), gaussian_blur(photo, [7, 7], [1.0, 1.0])
    shares: dict[str, float] = {}
    for features in ("vgg16", "lpips-st-vgg"):
        distance = Perceptual(features)
        assert float(distance(photo, photo)) == 0
        shares[features] = float(distance(flat + grain, flat) / distance(blurred, photo))
    assert shares["vgg16"] < 0.5 * shares["lpips-st-vgg"]


def test_the_discriminator_has_the_layers_of_the_paper() -> None:
    network, f = UNetDiscriminator(), 64
    down = sum(16 * a * b * f * f for a, b in ((1, 2), (2, 4), (4, 8)))
    up = sum(9 * a * b * f * f for a, b in ((8, 4), (4, 2), (2, 1), (1, 1), (1, 1)))
    ends = 9 * 3 * f + f + 9 * f + 1
    assert sum(p.numel() for p in network.parameters()) == down + up + ends == 4_376_897
    assert network(rand(2, 3, 32, 48)).shape == (2, 1, 32, 48)


def test_spectral_norms_are_one_after_some_passes() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNetDiscriminator(16).train()
    for _ in range(100):
        network(rand(1, 3, 16, 16))
    network.eval()
    normed = [*network.down, *network.up, network.last[0], network.last[2]]
    assert len(normed) == 8
    for layer in normed:
        weight: Tensor = layer.weight.detach()  # type: ignore[union-attr, operator, assignment]
        assert float(torch.linalg.matrix_norm(weight.flatten(1), 2)) == pytest.approx(1, abs=0.02)


def test_the_discriminator_says_which_sides_it_takes() -> None:
    with pytest.raises(UsageError, match="multiples of 8, got 40x36"):
        UNetDiscriminator(8)(rand(1, 3, 36, 40))


def test_the_gan_loss_is_binary_cross_entropy() -> None:
    logits = torch.tensor([0.0, 2.0])
    assert float(gan_loss(logits, real=True)) == pytest.approx((np.log(2) + np.log1p(np.exp(-2))) / 2)
    assert float(gan_loss(logits, real=False)) == pytest.approx((np.log(2) + np.log1p(np.exp(2))) / 2)


@pytest.mark.parametrize("features", ["lpips-st-vgg", "lpips-st-alex"])
def test_perceptual_distance_grows_with_blur_and_its_gradient_undoes_it(features: str, photo: Tensor) -> None:
    term = Perceptual(features)
    assert float(term(photo, photo)) == pytest.approx(0, abs=1e-6)
    blurred = [gaussian_blur(photo, [9, 9], [s, s]) for s in (0.6, 1.2, 2.4)]
    distances = [float(term(x, photo)) for x in blurred]
    assert 0 < distances[0] < distances[1] < distances[2]
    x = blurred[2].clone().requires_grad_(True)
    term(x, photo).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert float(term(x - 0.01 * x.grad / x.grad.norm() * 10, photo)) < distances[2]


def test_perceptual_equals_the_metric_it_is_named_after(photo: Tensor) -> None:
    blurred = gaussian_blur(photo, [9, 9], [1.2, 1.2])
    assert float(Perceptual("lpips-st-alex")(blurred, photo)) == pytest.approx(
        float(load_metric("stlpips")(blurred, photo)), rel=1e-4
    )


def test_flat_areas_ask_for_no_grain_where_the_recipe_says_so(photo: Tensor) -> None:
    original = (photo * 255).round() / 255
    original[..., 64:] = 0.5
    batch = {"gts": (original * 255).round().byte()[:, None]}
    target = original.clone()
    target[..., 64:] += 0.1 * (rand(1, 3, 128, 64) - 0.5)
    losses, gradients = [], []
    for on_flat in (1.0, 0.0):
        recipe = ObjectiveRecipe(l1=0, gan=0, perceptual_features="lpips-st-alex", perceptual_on_flat=on_flat)
        output = original.clone().requires_grad_(True)
        (term,) = Objective(recipe, 4, "cpu").terms(output, target, batch).values()
        losses.append(float(term.detach()))
        gradients.append(float(torch.autograd.grad(term, output)[0][..., 100:].norm()))
    assert losses[1] < 0.5 * losses[0]
    assert gradients[1] < 0.01 * gradients[0]


def test_vgg19_gives_its_named_layers_before_the_rectifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: Any = vgg19(weights=None)
    path = tmp_path / "vgg19.pth"
    torch.save(network.state_dict(), path)
    monkeypatch.setattr("iqsr.io.weights.locate", lambda name: path)
    convolutions = [n for n, layer in enumerate(network.features) if isinstance(layer, nn.Conv2d)]
    counted = {"conv1_2": 1, "conv2_2": 3, "conv3_4": 7, "conv4_4": 11, "conv5_4": 15}  # of 16 convolutions
    assert [convolutions[n] for n in counted.values()] == list(VGG19_LAYERS)
    seen: list[Tensor] = []
    for number in VGG19_LAYERS:  # torchvision rectifies in place: a copy, before that
        network.features[number].register_forward_hook(lambda _, __, out: seen.append(out.detach().clone()))
    x, y = rand(1, 3, 64, 64), rand(1, 3, 64, 64, seed=1)
    ours = Vgg19()
    normal = (x - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    network.features(normal)
    found = ours.features(x)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, seen, strict=True))
    wanted = sum(w * F.l1_loss(a, b) for w, a, b in zip((0.1, 0.1, 1, 1, 1), found, ours.features(y), strict=True))
    assert float(sum(m.mean() for m in ours.distance_maps(x, y))) == pytest.approx(float(wanted))


def test_missing_weights_are_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IQSR_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="iqsr weights fetch vgg19-imagenet"):
        Perceptual("vgg19")
    with pytest.raises(UnknownNameError, match="vgg19"):
        Perceptual("vgg91")


def test_the_quality_of_srq_is_srqs_own_and_a_step_along_its_gradient_raises_it(photo: Tensor) -> None:
    term, metric = QualityTerm({"srq": 1.0}), load_metric("srq")
    blurred = gaussian_blur(photo, [9, 9], [1.5, 1.5])
    assert torch.equal(term(blurred), metric(blurred))
    x = blurred.clone().requires_grad_(True)
    before = term(x)
    before.sum().backward()
    assert x.grad is not None
    assert float(term(x + 1e-3 * x.grad.sign())) > float(before)


def test_an_ensemble_is_the_mean_on_a_scale_of_100(photo: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brightness stands in for NIMA, whose weights are not everywhere: 1 to 10, as its card says."""

    def load(name: str, *, device: str) -> Metric:
        return Metric(card(name), lambda x: 1 + 9 * x.mean((1, 2, 3))) if name == "nima" else load_metric(name)

    monkeypatch.setattr(objective, "load_metric", load)
    both = QualityTerm({"srq": 3.0, "nima": 1.0, "musiq": 0.0})
    brightness = 100 * photo.mean((1, 2, 3))
    assert torch.allclose(both(photo), 0.75 * load_metric("srq")(photo) + 0.25 * brightness, rtol=1e-4)


def test_a_metric_where_less_is_better_is_turned(photo: Tensor) -> None:
    turned = Metric(replace(card("nima"), higher_is_better=False), lambda x: 1 + 9 * x.mean((1, 2, 3)))
    assert torch.allclose(objective._on_hundred(turned, photo), 100 - 100 * photo.mean((1, 2, 3)))


def test_values_outside_of_a_file_gain_nothing(photo: Tensor) -> None:
    x = (photo + 2).requires_grad_(True)
    QualityTerm({"srq": 1.0})(x).sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().max()) == 0


@pytest.mark.parametrize("shares", [{"psnr": 1.0}, {"piqe": 1.0}, {"laplacian": 1.0}, {"srq": 0.0}, {"srq": -1.0}])
def test_what_cannot_be_optimised_is_refused(shares: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"differentiable|above 0"):
        QualityTerm(shares)
