"""ColorVideoVDP, which its authors' package computes."""

import importlib.util

import pytest
import torch

from iqsr.metrics import availability, card, load_metric
from support.evaluation_samples import smooth

pytestmark = pytest.mark.skipif(importlib.util.find_spec("pycvvdp") is None, reason="cvvdp is not installed")


@pytest.fixture(scope="module")
def cvvdp():
    return load_metric("cvvdp")


@pytest.fixture(scope="module")
def pictures():
    x = torch.from_numpy(smooth(0, (64, 48)).copy()).permute(2, 0, 1)[None] / 255
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return x, (x + 0.03 * noise).clamp(0, 1), (x + 0.15 * noise).clamp(0, 1)


def test_identical_pictures_are_10_jod_and_noise_costs_some(cvvdp, pictures) -> None:
    x, near, far = pictures
    assert float(cvvdp(x, x)) == 10
    assert 10 > float(cvvdp(near, x)) > float(cvvdp(far, x)) > 0


def test_it_is_what_the_package_itself_gives(cvvdp, pictures) -> None:
    import pycvvdp

    x, _, far = pictures
    theirs = pycvvdp.cvvdp(display_name="standard_4k", device=torch.device("cpu"))
    jod, _ = theirs.predict(
        (far[0].permute(1, 2, 0) * 1.0).numpy(), (x[0].permute(1, 2, 0) * 1.0).numpy(), dim_order="HWC"
    )
    assert float(cvvdp(far, x)) == pytest.approx(float(jod), abs=1e-4)


def test_batch_equals_singles_and_gradients_reach_the_picture(cvvdp, pictures) -> None:
    x, near, far = pictures
    both = cvvdp(torch.cat([near, far]), torch.cat([x, x]))
    assert both.tolist() == [float(cvvdp(near, x)), float(cvvdp(far, x))]
    picture = near.clone().requires_grad_(True)
    cvvdp(picture, x).sum().backward()
    assert picture.grad is not None
    assert float(picture.grad.abs().sum()) > 0


def test_its_card() -> None:
    assert availability("cvvdp").available
    assert card("cvvdp").licence == "MIT"
    assert card("cvvdp").range == (0.0, 10.0)
