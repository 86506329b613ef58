"""What a training starts from: new adapters, or those of a run before."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from iqsr.errors import ModelError, UsageError
from iqsr.models.adapter import read_adapter, write_adapter
from iqsr.training.sr.networks import keep, start
from iqsr.training.sr.recipe import LoraRecipe, ModelRecipe, TrainRecipe

RUN = Path("runs/x")
"""The folder of a run that needs none."""


def recipe(seed: int = 0, **lora: object) -> TrainRecipe:
    found = LoraRecipe.model_validate({"rank": 2, "targets": "rrdb-convs"} | lora)
    return TrainRecipe(seed=seed, model=ModelRecipe(start="new:rrdbnet-tiny"), lora=found)


@pytest.fixture
def learned(tmp_path: Path) -> Path:
    """The adapter of a run that has learned something."""
    model = start(recipe(), RUN)
    with torch.no_grad():
        for name, parameter in model.module.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    return keep(model, recipe(), tmp_path, {})


@pytest.mark.parametrize(("share", "alpha"), [(1.0, None), (0.75, None), (0.75, 8.0)])
def test_a_run_goes_on_from_an_adapter(learned: Path, share: float, alpha: float | None) -> None:
    adapter = read_adapter(learned)
    write_adapter(replace(adapter, alpha=share * adapter.alpha), learned, half=False)
    module = start(recipe(start=str(learned), alpha=alpha), RUN).module
    plain = start(recipe(), RUN).module
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(0)).mul_(share)
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted, untouched, found = plain(x), start(recipe(), RUN).module(x), module(x)
    assert (found - wanted).abs().max() < 0.01 * (wanted - untouched).abs().max()  # fp16 in the file
    learning = {name for name, p in module.named_parameters() if p.requires_grad}
    assert learning == {name for name, _ in module.named_parameters() if ".lora_" in name}


def test_an_adapter_of_another_network_is_refused(learned: Path) -> None:
    with pytest.raises(ModelError, match=r"lora\.start = .*give the network that it was trained on"):
        start(recipe(seed=1, start=str(learned)), RUN)


def test_an_adapter_of_another_rank_is_refused(learned: Path) -> None:
    with pytest.raises(ModelError, match="rank"):
        start(recipe(rank=3, start=str(learned)), RUN)


def test_an_adapter_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.safetensors"):
        start(recipe(start=str(tmp_path / "nothing.safetensors")), RUN)


def test_a_run_goes_on_from_the_result_of_another_beside_it(learned: Path, tmp_path: Path) -> None:
    """`run:NAME`, wherever the command is given; `run:NAME/FILE` is a file there."""
    other = tmp_path / "runs" / "first"
    other.mkdir(parents=True)
    learned.rename(other / "adapter.safetensors")
    wanted = start(recipe(start=str(other / "adapter.safetensors")), RUN).module.state_dict()
    for name in ("run:first", "run:first/adapter.safetensors"):
        found = start(recipe(start=name), tmp_path / "runs" / "second").module.state_dict()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    with pytest.raises(UsageError, match="third"):
        start(recipe(start="run:third"), tmp_path / "runs" / "second")
