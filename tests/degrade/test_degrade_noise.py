"""Noise: the distribution that was drawn, in all channels alike where it is gray, made by seeds."""

import math

import numpy as np
import pytest
import torch

from iqsr.degrade.noise import add_noise, poisson_noise
from iqsr.degrade.parameters import NoiseParameters
from iqsr.errors import UnknownNameError
from support.degrade_samples import smooth_pictures


def noise_draw(kind: str, n: int, strength: float, *, gray: bool, seed: int = 0) -> NoiseParameters:
    seeds = torch.arange(seed, seed + n)
    return NoiseParameters(kind, torch.full((n,), strength), torch.full((n,), gray), seeds, 99)  # type: ignore[arg-type]


def test_gaussian_noise_has_the_drawn_sigma_and_independent_channels() -> None:
    x = torch.full((2, 3, 200, 200), 0.5)
    added = (add_noise(x, noise_draw("gaussian", 2, 10 / 255, gray=False)) - x) * 255
    assert added.mean().abs() < 0.1
    assert added.std() == pytest.approx(10, rel=0.01)
    assert np.abs(np.corrcoef(added.reshape(6, -1).numpy()) - np.eye(6)).max() < 0.03


def test_gray_gaussian_noise_is_one_pattern_for_all_gray_pictures() -> None:
    x = torch.full((3, 3, 100, 100), 0.5)
    drawn = NoiseParameters(
        "gaussian", torch.tensor([0.02, 0.04, 0.04]), torch.tensor([True, True, False]), torch.arange(3), 99
    )
    added = add_noise(x, drawn) - x
    assert torch.equal(added[0, 0], added[0, 2])
    torch.testing.assert_close(added[0] * 2, added[1], atol=1e-6, rtol=0)
    assert abs(np.corrcoef(added[1, 0].flatten().numpy(), added[2, 0].flatten().numpy())[0, 1]) < 0.05


def test_noise_is_clamped_and_not_rounded() -> None:
    noisy = add_noise(
        torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 32, 32), noise_draw("gaussian", 2, 0.1, gray=False)
    )
    assert (noisy.min(), noisy.max()) == (0, 1)
    assert (noisy * 255 - (noisy * 255).round()).abs().max() > 0.3


@pytest.mark.parametrize(("different", "photons"), [(1, 1), (2, 2), (3, 4), (100, 128), (129, 256)])
def test_poisson_noise_counts_photons_by_the_number_of_grey_levels(different: int, photons: int) -> None:
    """Poisson(x v) / v has the mean x and the variance x / v."""
    levels = torch.linspace(100, 100 + different - 1, different).round() / 255
    x = levels.repeat(math.ceil(120_000 / different))[:120_000].view(1, 3, 200, 200)
    noise = poisson_noise(x, noise_draw("poisson", 1, 1, gray=False))
    values = (noise + x) * photons
    torch.testing.assert_close(values, values.round(), atol=1e-2, rtol=0)
    assert noise.mean().abs() < 5 * math.sqrt(x.mean().item() / photons / x.numel())
    assert noise.var() == pytest.approx(x.mean().item() / photons, rel=0.03)


def test_poisson_noise_is_scaled_and_gray_noise_follows_the_luminance() -> None:
    x = smooth_pictures(1, 128, 128)
    full, half = (
        add_noise(x * 0.5 + 0.25, noise_draw("poisson", 1, s, gray=False)) - (x * 0.5 + 0.25) for s in (0.1, 0.05)
    )
    torch.testing.assert_close(full, half * 2, atol=1e-6, rtol=0)
    red = torch.tensor([0.8, 0.1, 0.1]).view(1, 3, 1, 1).expand(1, 3, 256, 256)
    gray = poisson_noise(red, noise_draw("poisson", 1, 1, gray=True))
    assert torch.equal(gray[0, 0], gray[0, 1])
    luminance = 0.299 * 0.8 + 0.701 * 0.1
    assert gray[0, 0].var() == pytest.approx(luminance, rel=0.05)  # one level, so one photon


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_seeds_make_the_noise(kind: str) -> None:
    x = smooth_pictures(2)
    first, again, other = (add_noise(x, noise_draw(kind, 2, 0.1, gray=False, seed=seed)) for seed in (0, 0, 5))
    assert torch.equal(first, again)
    assert (first != other).flatten(1).float().mean(1).min() > 0.5
    alone = add_noise(x[1:], noise_draw(kind, 1, 0.1, gray=False, seed=1))
    assert torch.equal(alone, first[1:])  # each picture has a seed of its own


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown kind of noise 'salt-and-pepper'; known: .*gaussian"):
        add_noise(torch.zeros(1, 3, 8, 8), noise_draw("salt-and-pepper", 1, 0.1, gray=False))
