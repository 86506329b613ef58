"""LPIPS-ST against the authors' own code, and the facts that make it a distance people can trust."""

import importlib
import sys
from types import ModuleType

import pytest
import torch
from torchvision.transforms.v2.functional import gaussian_blur

from iqsr.errors import UsageError
from iqsr.metrics.lpips_st import LpipsSt, Trunk
from support.textured_pictures import picture

TRUNKS: list[Trunk] = ["alex", "vgg"]


@pytest.fixture(scope="module", params=TRUNKS)
def metric(request) -> LpipsSt:
    return LpipsSt(request.param)


@pytest.fixture
def authors_metric(metric, monkeypatch):
    """The authors' own module. Their package imports two things that it neither declares nor uses."""
    for name, unused in {"torchsummary": "summary", "IPython": "embed"}.items():
        stub = ModuleType(name)
        setattr(stub, unused, None)
        monkeypatch.setitem(sys.modules, name, stub)
    lpips = importlib.import_module("stlpips_pytorch.stlpips").LPIPS
    return lpips(net=metric.trunk, variant="shift_tolerant", verbose=False)


def test_equals_the_authors_code(metric, authors_metric):
    for size in [(64, 64), (61, 83), (130, 47), (21, 22)]:
        x = picture(2, *size, seed=1)
        y = (x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(2))).clamp(0, 1)
        with torch.no_grad():
            expected = authors_metric(x, y, normalize=True).flatten()
            torch.testing.assert_close(metric(x, y), expected, atol=1e-5, rtol=0)
        assert expected.min() > 0.02, "a comparison of near-zeros would prove nothing"


def test_identical_pictures_have_distance_zero(metric):
    x = picture(1, 48, 40)
    assert metric(x, x).item() == 0


def test_is_symmetric(metric):
    x, y = picture(1, 48, 40, seed=1), picture(1, 48, 40, seed=2)
    torch.testing.assert_close(metric(x, y), metric(y, x))


def test_grows_with_blur(metric):
    x = picture(1, 96, 96)
    distances = [metric(x, gaussian_blur(x, [13, 13], [sigma])).item() for sigma in (0.4, 0.7, 1.2, 2.0)]
    assert distances == sorted(distances)
    assert distances[0] > 0
    assert distances[-1] > 2 * distances[0]


def test_one_pixel_shift_costs_less_than_a_light_blur(metric):
    x = gaussian_blur(picture(1, 97, 97), [5, 5], [0.8])
    shifted = metric(x[..., :-1, :-1], x[..., 1:, 1:])
    blurred = metric(x, gaussian_blur(x, [9, 9], [1.5]))
    assert shifted.item() < blurred.item()


def test_scores_each_picture_on_its_own(metric):
    x, y = picture(3, 40, 56, seed=1), picture(3, 40, 56, seed=2)
    alone = torch.cat([metric(x[i : i + 1], y[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(metric(x, y), alone)
    assert alone.unique().numel() == 3


def test_gradient_leads_to_a_smaller_distance(metric):
    y = picture(1, 48, 48)
    x = gaussian_blur(y, [9, 9], [1.5]).requires_grad_()
    before = metric(x, y).sum()
    (gradient,) = torch.autograd.grad(before, x)
    with torch.no_grad():
        after = metric(x - 0.01 * gradient / gradient.abs().max(), y).sum()
    assert after < before


def test_gradient_is_finite_on_flat_black(metric):
    x = torch.zeros(1, 3, 32, 32, requires_grad=True)
    (gradient,) = torch.autograd.grad(metric(x, picture(1, 32, 32)).sum(), x)
    assert gradient.isfinite().all()


def test_is_frozen_and_draws_nothing_at_random(metric):
    metric.train()  # as an outer module's .train() would
    x, y = picture(1, 32, 32, seed=1), picture(1, 32, 32, seed=2)
    assert torch.equal(metric(x, y), metric(x, y))
    assert not any(p.requires_grad for p in metric.parameters())


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.rand(3, 32, 32), torch.rand(3, 32, 32), "(3, 32, 32)"),
        (torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32), "(1, 1, 32, 32)"),
        (torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 33), "one shape"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.zeros(1, 3, 32, 32), "torch.uint8"),
    ],
)
def test_says_what_it_was_given(metric, x, y, message):
    with pytest.raises(UsageError) as error:
        metric(x, y)
    assert message in str(error.value)


@pytest.mark.parametrize(("trunk", "smallest"), [("alex", 21), ("vgg", 18)])
def test_smallest_size_works_and_one_less_is_refused(trunk, smallest):
    metric = LpipsSt(trunk)
    assert metric(torch.rand(1, 3, smallest, 40), torch.rand(1, 3, smallest, 40)).item() > 0
    small = torch.rand(1, 3, smallest - 1, 40)
    with pytest.raises(UsageError, match=f"at least {smallest}x{smallest} pixels, got 40x{smallest - 1}"):
        metric(small, small)


def test_unknown_trunk_lists_the_known():
    with pytest.raises(UsageError, match="known: alex, vgg"):
        LpipsSt("squeeze")  # pyright: ignore[reportArgumentType]
