"""The running average: how its decay grows, and whose weights the module has."""

import pytest
import torch
from torch import nn

from iqsr.training.engine.average import Average


@pytest.mark.parametrize(
    ("warmup", "decays"),
    [(None, [0.9] * 4), (0, [1 / 11, 2 / 12, 3 / 13, 0.9]), (1, [2 / 11, 3 / 12, 4 / 13, 0.9])],
)
def test_the_decay_grows_to_its_value(warmup: int | None, decays: list[float]) -> None:
    average = Average({}, 0.9, warmup=warmup)
    assert [average.decay_at(step) for step in (1, 2, 3, 1000)] == decays


def test_the_module_has_other_weights_inside_the_block_alone() -> None:
    module = nn.Linear(2, 2)
    own = {name: value.clone() for name, value in module.state_dict().items()}
    average = Average(module.state_dict(), 0.5)
    with torch.no_grad():
        module.weight.add_(1)
    average.update(1)
    given = {name: torch.full_like(value, 7) for name, value in own.items()}
    for values, weight in ((None, own["weight"] + 0.5), (given, given["weight"])):
        with average.applied(values):
            assert torch.allclose(module.weight, weight)
        assert torch.equal(module.weight, own["weight"] + 1)


def test_an_average_continues_from_its_values() -> None:
    module = nn.Linear(2, 2)
    first, second = (Average(module.state_dict(), 0.9, warmup=1) for _ in range(2))
    with torch.no_grad():
        module.weight.mul_(2)
    first.update(1)
    second.load(first.values)
    for average in (first, second):
        average.update(2)
    assert torch.equal(first.values["weight"], second.values["weight"])
