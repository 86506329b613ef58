"""Networks with random weights: from their seed alone, for pictures of any size."""

from typing import Any

import pytest
import torch

from iqsr.errors import UsageError
from iqsr.models import SRModel
from iqsr.models.adapter import weights_sha256
from iqsr.models.untrained import new_rrdbnet, new_swinir
from support.lora_networks import TINY, one_line, picture, run, seeded, tiny_rrdbnet, tiny_swinir


@pytest.fixture(params=TINY)
def tiny(request) -> tuple[SRModel, str]:
    make, targets = TINY[request.param]
    return make(), targets


# New networks


@pytest.mark.parametrize("make", [tiny_rrdbnet, tiny_swinir])
def test_new_networks_come_from_their_seed_alone(make):
    state = torch.get_rng_state()
    assert weights_sha256(make(3).module) == weights_sha256(make(3).module) != weights_sha256(make(4).module)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 30), (64, 40)])
def test_a_new_swinir_takes_pictures_of_any_size_from_16(height, width):
    model = tiny_swinir()
    assert (model.scale, model.size_multiple, model.minimum_size) == (4, 1, 16)
    assert run(model.module, picture(height, width)).shape == (1, 3, 4 * height, 4 * width)


def test_swinir_drops_branches_in_training_only():
    module = new_swinir(depths=(4, 4), dim=12, heads=(2, 2), seed=0).module
    rates: list[Any] = [part.drop_prob for part in module.modules() if type(part).__name__ == "DropPath"]
    assert max(rates) == pytest.approx(0.1)
    assert torch.equal(module(picture()), module(picture()))
    module.train()
    x = picture().repeat(16, 1, 1, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert len({float(y.double().sum()) for y in run(module, x)}) > 1


def test_the_blocks_of_a_new_rrdbnet_hardly_change_anything():
    """A tenth of He's initialisation: dense layers are near the identity, so that a block is near x + 0.2 x."""
    module = new_rrdbnet(blocks=3, features=32, seed=0).module
    x = torch.rand(1, 32, 8, 8, generator=seeded())
    block = module.get_submodule("model.1.sub.1")
    assert 0 < (run(block, x) - 1.2 * x).abs().max() < 0.02
    fan_in = 32 * 9
    weight = module.get_parameter("model.1.sub.0.RDB1.conv1.0.weight")
    assert float(weight.detach().std()) == pytest.approx(0.1 * (2 / fan_in) ** 0.5, rel=0.1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: new_swinir(depths=(2,), heads=(2, 2), dim=12, seed=0),
        lambda: new_swinir(depths=(2,), heads=(5,), dim=12, seed=0),
        lambda: new_rrdbnet(blocks=0, seed=0),
        lambda: new_rrdbnet(blocks=1, upscale=3, seed=0),
    ],
)
def test_networks_that_cannot_be(make):
    with pytest.raises(UsageError) as error:
        make()
    one_line(error)
