"""LR-consistency: a metric that compares with the input."""

import pytest
import torch
from torch import Tensor

from iqsr.errors import UsageError
from iqsr.metrics import card, load_metric
from iqsr.metrics.lr_consistency import reduced
from support.evaluation_samples import reduced as by_pillow
from support.evaluation_samples import smooth


def photo(seed: int = 0) -> Tensor:
    return torch.from_numpy(smooth(seed, (64, 48)).copy()).permute(2, 0, 1)[None] / 255


def test_the_input_that_an_output_reduces_to_is_100_db() -> None:
    metric = load_metric("lr-consistency")
    output = photo()
    assert float(metric(output, reduced(output, 4).clamp(0, 1))) == 100


def test_an_output_that_is_brighter_everywhere_is_off_by_that() -> None:
    metric = load_metric("lr_consistency")
    output = photo() * 0.5 + 0.2
    value = float(metric(output + 0.1, reduced(output, 2)))
    assert value == pytest.approx(20, abs=1e-3)


def test_the_reduction_is_pillows() -> None:
    lr = torch.from_numpy(by_pillow(smooth(0, (64, 48))).copy()).permute(2, 0, 1)[None] / 255
    assert (reduced(photo(), 4) - lr).abs().max() < 1.01 / 255


@pytest.mark.parametrize(("size", "of"), [((64, 48), (16, 13)), ((64, 48), (16, 16)), ((16, 12), (64, 48))])
def test_an_input_that_does_not_go_into_the_output_is_refused(size: tuple[int, int], of: tuple[int, int]) -> None:
    metric = load_metric("lr-consistency")
    with pytest.raises(UsageError, match="times the same whole number"):
        metric(torch.rand(1, 3, *size[::-1]), torch.rand(1, 3, *of[::-1]))
    assert not card("lr-consistency").fits(size, of)


def test_its_card_says_that_it_compares_with_the_input() -> None:
    assert card("lr-consistency").reference == "input"
    assert card("lr-consistency").compares
    assert not card("laplacian").compares
