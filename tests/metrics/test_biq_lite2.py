"""What biq-lite2 promises beside what test_people_predictors.py holds: its gradients, and the weights it takes."""

import pytest
import torch

from iqsr.errors import WeightsError
from iqsr.metrics import load_metric
from iqsr.metrics.biq_lite2 import load_biq_lite2
from support.photos import photo


def test_gradient_ascent_raises_the_score() -> None:
    metric, x = load_metric("biq-lite2"), photo(side=128)
    start = x.clone().requires_grad_()
    before = metric(start)
    (slope,) = torch.autograd.grad(before.sum(), start)
    assert metric((x + slope.sign() / 255).clamp(0, 1)) > before


def test_weights_of_another_predictor_are_refused(tmp_path) -> None:
    with pytest.raises(WeightsError, match=r"^other\.safetensors: "):
        load_biq_lite2(tmp_path / "other.safetensors")
