"""LoRA on generators: which layers get adapters, what trains, what merging gives."""

import sys
from collections import OrderedDict
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from iqsr.errors import ModelError, UsageError
from iqsr.models import SRModel, load_model, packaged
from iqsr.models.adapter import merge_into, read_adapter, weights_sha256
from iqsr.models.checkpoint_reader import load_checkpoint
from iqsr.models.lora import (
    add_lora,
    load_lora_state,
    lora_state,
    matching_layers,
    merge_adapter,
    save_adapter,
)
from iqsr.models.untrained import new_swinir
from support.lora_networks import TINY, one_line, picture, run, seeded, tiny_rrdbnet, tiny_swinir, trained


@pytest.fixture(params=TINY)
def tiny(request) -> tuple[SRModel, str]:
    make, targets = TINY[request.param]
    return make(), targets


def trainable(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


# Putting adapters on


def test_rank_48_on_the_mlps_of_the_official_swinir(tmp_path):
    fresh = new_swinir(seed=0)
    assert sum(p.numel() for p in fresh.module.parameters()) == 11_900_199
    save_file(fresh.module.state_dict(), tmp_path / "official.safetensors")
    swinir = load_checkpoint(tmp_path / "official.safetensors")
    assert (swinir.architecture, swinir.scale) == ("SwinIR", 4)
    before = run(swinir.module, picture())
    layers = add_lora(swinir.module, 48, targets="swinir-mlp", seed=0)
    assert (len(layers), trainable(swinir.module)) == (72, 1_866_240)
    assert torch.equal(run(swinir.module, picture()), before)


def test_rank_24_on_the_convolutions_of_realesrgan():
    rrdbnet = load_model("realesrgan-x4plus").module
    before = run(rrdbnet, picture(8, 12))
    layers = add_lora(rrdbnet, 24, targets="rrdb-convs", seed=0)
    assert (len(layers), trainable(rrdbnet)) == (345, 9_856_512)
    assert torch.equal(run(rrdbnet, picture(8, 12)), before)
    shapes = {name: tuple(value.shape) for name, value in lora_state(rrdbnet).items()}
    assert shapes["model.1.sub.22.RDB3.conv5.0.lora_A.weight"] == (24, 192, 3, 3)
    assert shapes["model.1.sub.22.RDB3.conv5.0.lora_B.weight"] == (64, 24, 1, 1)


def test_rank_9_is_the_highest_whose_adapter_stays_below_8_mb(tmp_path):
    size = {}
    for rank in (9, 10):
        rrdbnet = load_model("realesrgan-x4plus").module
        add_lora(rrdbnet, rank, targets="rrdb-convs", seed=0)
        assert trainable(rrdbnet) == rank * 410_688
        save_adapter(rrdbnet, tmp_path / f"{rank}.safetensors", base="x", targets="rrdb-convs")
        size[rank] = (tmp_path / f"{rank}.safetensors").stat().st_size
    assert size[9] <= 8_000_000 < size[10]


def test_a_new_adapter_changes_nothing(tiny):
    model, targets = tiny
    kind, before = type(model.module), run(model.module, picture())
    add_lora(model.module, 4, targets=targets, alpha=7.5, seed=1)
    assert type(model.module) is kind
    assert torch.equal(run(model.module, picture()), before)


def test_training_moves_the_adapters_and_nothing_else(tiny):
    model, targets = tiny
    module = model.module
    sha256, before = weights_sha256(module), run(module, picture())
    layers = add_lora(module, 2, targets=targets, seed=0)
    parameters = [p for p in module.parameters() if p.requires_grad]
    assert len(parameters) == 2 * len(layers) == len(lora_state(module))
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        module(picture()).square().mean().backward()
        optimizer.step()
    assert weights_sha256(module) == sha256
    assert all(value.any() for value in lora_state(module).values())
    assert run(module, picture()).square().mean() < before.square().mean()


def test_adapters_start_from_their_seed_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, same, other = (trained(tiny_swinir(), "swinir-mlp", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    one, same, other = (lora_state(model.module) for model in (one, same, other))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("targets", "count"),
    [
        ("rrdb-convs", 30),
        ("all-convs", 36),
        (r"model\.1\.sub\.0\.RDB1\.conv[15]\.0", 2),
        (["rrdb-convs", r"model\.1\.sub\.2"], 31),
        (r".*conv1\.0", 6),
    ],
)
def test_targets_choose_layers(targets, count):
    assert len(matching_layers(tiny_rrdbnet().module, targets)) == count


def test_a_pattern_matches_whole_names():
    network = nn.Sequential()
    network.add_module("conv", nn.Conv2d(3, 3, 1))
    network.add_module("body", nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 3, 1))))
    assert add_lora(network, 1, targets="conv", seed=0) == ["conv"]
    assert {name.rsplit(".lora_", 1)[0] for name in lora_state(network)} == {"conv"}


def test_the_preset_knows_real_esrgans_own_names_too():
    names = [name for name in packaged.rrdbnet_shapes(23) if name.endswith(".weight")]
    network = nn.Module()
    for name in names:
        parent = network
        *folders, last = name.removesuffix(".weight").split(".")
        for folder in folders:
            if not hasattr(parent, folder):
                parent.add_module(folder, nn.Module())
            parent = parent.get_submodule(folder)
        parent.add_module(last, nn.Conv2d(3, 3, 3))
    assert len(names) == 351
    assert len(matching_layers(network, "rrdb-convs")) == 345


def test_layers_whose_adapter_could_not_be_merged_are_left_alone():
    network = nn.Sequential(
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3),
    )
    assert matching_layers(network, "all-convs") == ["3"]


@pytest.mark.parametrize(
    ("rank", "targets", "line"),
    [
        (0, "rrdb-convs", "the rank of LoRA must be at least 1, got 0"),
        (1, "swinir-mlp", r"no layer of this network matches 'swinir-mlp' \(presets: .*all-linears\); nearest: model"),
        (1, r"model\.1\.sub\.0\.RDB1\.conv9\.0", r"nearest: model\.1\.sub\.0\.RDB1\.conv\d\.0, "),
        (1, "all-linears", "no layer of this network matches 'all-linears'"),
        (1, ["rrdb-convs", "none"], "no layer of this network matches 'none'"),
        (1, r"model\.[", "is not a regular expression"),
        (1, [], "no targets were given"),
    ],
)
def test_adapters_that_cannot_be(rank, targets, line):
    module = tiny_rrdbnet().module
    with pytest.raises(UsageError, match=line) as error:
        add_lora(module, rank, targets=targets, seed=0)
    one_line(error)
    assert not lora_state(module)


def test_adapters_do_not_stack():
    module = trained(tiny_rrdbnet(), "rrdb-convs").module
    with pytest.raises(UsageError, match="has adapters already"):
        add_lora(module, 1, targets="rrdb-convs", seed=0)


@pytest.mark.parametrize("call", [merge_adapter, lambda m: save_adapter(m, Path("a"), base="", targets="")])
def test_a_network_without_adapters_has_none_to_merge_or_save(call):
    with pytest.raises(UsageError, match="this network has no adapters"):
        call(tiny_rrdbnet().module)


def test_without_peft_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ModelError, match=r"pip install 'iqsr\[train\]'"):
        add_lora(tiny_rrdbnet().module, 1, targets="rrdb-convs", seed=0)


# Merging


def test_merged_equals_unmerged(tiny):
    model, targets = tiny
    plain = run(model.module, picture())
    names = list(model.module.state_dict())
    trained(model, targets)
    merged, adapted = merge_adapter(model.module), run(model.module, picture())
    assert (adapted - plain).abs().max() > 1e-3
    assert (run(merged, picture()) - adapted).abs().max() <= 1e-5
    assert list(merged.state_dict()) == names
    assert type(merged) is type(model.module)
    assert not merged.training
    assert not any(p.requires_grad for p in merged.parameters())
    assert not hasattr(merged, "peft_config")


def test_merging_leaves_the_adapted_network_as_it_was():
    module = trained(tiny_rrdbnet(), "rrdb-convs").module.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    count = trainable(module)
    merge_adapter(module)
    assert module.training
    assert trainable(module) == count
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_merging_equals_pefts_own():
    module = trained(tiny_rrdbnet(), "all-convs", rank=5).module
    ours, theirs = merge_adapter(module).state_dict(), deepcopy(module)
    parts: list[Any] = list(theirs.modules())
    for part in parts:
        if hasattr(part, "base_layer"):
            part.merge()
    for name, value in theirs.state_dict().items():
        if ".lora_" not in name:
            torch.testing.assert_close(ours[name.replace(".base_layer.", ".")], value, atol=1e-6, rtol=1e-5)


def test_alpha_over_rank_scales_what_is_learned():
    weights = {}
    for alpha in (None, 2.0, 4.0):
        module = tiny_rrdbnet().module
        base = module.state_dict()["model.1.sub.0.RDB1.conv1.0.weight"].clone()
        add_lora(module, 4, targets="rrdb-convs", alpha=alpha, seed=0)
        for value in lora_state(module).values():
            value.normal_(0, 0.1, generator=seeded())
        merged = merge_adapter(module).state_dict()
        weights[alpha] = merged["model.1.sub.0.RDB1.conv1.0.weight"] - base
    torch.testing.assert_close(2 * weights[2.0], weights[4.0], atol=1e-6, rtol=1e-5)
    assert torch.equal(weights[None], weights[4.0])


def test_other_tensors_can_be_merged_and_saved_in_place_of_the_modules_own(tmp_path):
    """An average over steps, say."""
    module, average = (trained(tiny_rrdbnet(), "rrdb-convs", seed=seed).module for seed in (1, 2))
    state = lora_state(average)
    merged = merge_adapter(module, state)
    assert torch.equal(run(merged, picture()), run(merge_adapter(average), picture()))
    save_adapter(module, tmp_path / "a", base="x", targets="rrdb-convs", half=False, state=state)
    assert all(torch.equal(value, state[name]) for name, value in read_adapter(tmp_path / "a").tensors.items())
    load_lora_state(module, state)
    assert torch.equal(run(module, picture()), run(average, picture()))


def test_tensors_of_another_adapter_are_refused():
    module = trained(tiny_rrdbnet(), "rrdb-convs").module
    with pytest.raises(ModelError, match="the adapter's layers or its rank"):
        load_lora_state(module, lora_state(trained(tiny_rrdbnet(), "rrdb-convs", rank=4).module))
    with pytest.raises(ModelError, match=r"the adapter's layer model\.1\.sub\.0\.\S+ does not fit this network"):
        merge_into(tiny_swinir().module, lora_state(module), 1.0)
