"""LoRA on generators: adapters in training, as files, merged into plain checkpoints, and shipped with a network."""

import re
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pyvips
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.SwinIR import SwinIR
from torch import Tensor, nn
from typer.testing import CliRunner

from iqsr import Upscaler
from iqsr.cli import app
from iqsr.errors import IqsrError, ModelError, UsageError, WeightsError
from iqsr.generators import Generator, load_generator, packaged
from iqsr.generators import lora as lora_module
from iqsr.generators.adapter import merge_into, read_adapter, weights_sha256, write_adapter
from iqsr.generators.community import as_generator, load_checkpoint, recognise
from iqsr.generators.fresh import new_rrdbnet, new_swinir
from iqsr.generators.lora import (
    add_lora,
    load_adapter,
    load_lora_state,
    lora_state,
    matching_layers,
    merge_adapter,
    save_adapter,
)
from iqsr.generators.merge import merge
from iqsr.generators.plain import save_plain

ANIMEVIDEO = "realesr-animevideov3-x4"


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(height: int = 16, width: int = 24, *, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=seeded(seed))


def tiny_rrdbnet(seed: int = 0) -> Generator:
    return new_rrdbnet(blocks=2, features=16, seed=seed)


def tiny_swinir(seed: int = 0) -> Generator:
    return new_swinir(depths=(2, 2), dim=12, heads=(2, 2), seed=seed)


def compact() -> Generator:
    return load_generator(ANIMEVIDEO)


TINY = {
    "RRDBNet": (tiny_rrdbnet, "rrdb-convs"),
    "SwinIR": (tiny_swinir, "swinir-mlp"),
    "SwinIR, every linear layer": (tiny_swinir, "all-linears"),
    "Compact": (compact, "all-convs"),
}


@pytest.fixture(params=TINY)
def tiny(request) -> tuple[Generator, str]:
    make, targets = TINY[request.param]
    return make(), targets


def trained(generator: Generator, targets: str, *, rank: int = 3, seed: int = 0) -> Generator:
    """With adapters that change the output, as after training; on untrained networks it takes larger ones."""
    std = 0.05 if generator.architecture == "Compact" else 1.0
    add_lora(generator.module, rank, targets=targets, seed=seed)
    for name, value in lora_state(generator.module).items():
        if ".lora_B." in name:
            value.normal_(0, std, generator=seeded(seed))
    return generator


def trainable(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def run(module: nn.Module, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return module(x)


def header(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata()


def one_line(error: pytest.ExceptionInfo[Exception]) -> None:
    assert "\n" not in str(error.value)


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
    rrdbnet = load_generator("realesrgan-x4plus").module
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
        rrdbnet = load_generator("realesrgan-x4plus").module
        add_lora(rrdbnet, rank, targets="rrdb-convs", seed=0)
        assert trainable(rrdbnet) == rank * 410_688
        save_adapter(rrdbnet, tmp_path / f"{rank}.safetensors", base="x", targets="rrdb-convs")
        size[rank] = (tmp_path / f"{rank}.safetensors").stat().st_size
    assert size[9] <= 8_000_000 < size[10]


def test_a_new_adapter_changes_nothing(tiny):
    generator, targets = tiny
    kind, before = type(generator.module), run(generator.module, picture())
    add_lora(generator.module, 4, targets=targets, alpha=7.5, seed=1)
    assert type(generator.module) is kind
    assert torch.equal(run(generator.module, picture()), before)


def test_training_moves_the_adapters_and_nothing_else(tiny):
    generator, targets = tiny
    module = generator.module
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
    one, same, other = (lora_state(generator.module) for generator in (one, same, other))
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
    network.add_module("body", nn.Sequential())
    network.body.add_module("conv", nn.Conv2d(3, 3, 1))
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
    generator, targets = tiny
    plain = run(generator.module, picture())
    names = list(generator.module.state_dict())
    trained(generator, targets)
    merged, adapted = merge_adapter(generator.module), run(generator.module, picture())
    assert (adapted - plain).abs().max() > 1e-3
    assert (run(merged, picture()) - adapted).abs().max() <= 1e-5
    assert list(merged.state_dict()) == names
    assert type(merged) is type(generator.module)
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
    for part in list(theirs.modules()):
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


# Files of adapters


@pytest.mark.parametrize("half", [True, False])
def test_an_adapter_comes_back_as_it_went(tiny, half, tmp_path):
    generator, targets = tiny
    base = deepcopy(generator.module)
    trained(generator, targets)
    path = tmp_path / "new" / "a.safetensors"
    save_adapter(generator.module, path, base=generator.name, targets=targets, half=half, extra={"step": "7"})
    found = load_adapter(base, path)
    assert (found.base, found.rank, found.alpha, found.targets) == (generator.name, 3, 3.0, (targets,))
    assert found.extra == {"step": "7"}
    assert {value.dtype for value in load_file(path).values()} == {torch.float16 if half else torch.float32}
    expected = {k: v.half().float() if half else v for k, v in lora_state(generator.module).items()}
    loaded = lora_state(base)
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], value) for name, value in expected.items())
    if not half:
        assert torch.equal(run(base, picture()), run(generator.module, picture()))


def test_an_adapter_is_as_small_as_its_tensors(tmp_path):
    generator = trained(compact(), "all-convs", rank=2)
    path = tmp_path / "a.safetensors"
    save_adapter(generator.module, path, base=generator.name, targets="all-convs")
    numbers = sum(value.numel() for value in lora_state(generator.module).values())
    assert 2 * numbers < path.stat().st_size < 2 * numbers + 8000
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_weights_have_one_hash_wherever_they_come_from(tmp_path):
    generator = tiny_rrdbnet()
    sha256 = weights_sha256(generator.module)
    save_plain(generator.module, "ESRGAN", tmp_path / "official.safetensors")
    torch.save({"params_ema": generator.module.state_dict()}, tmp_path / "old.pth")
    assert weights_sha256(load_checkpoint(tmp_path / "official.safetensors").module) == sha256
    assert weights_sha256(load_checkpoint(tmp_path / "old.pth").module) == sha256
    assert weights_sha256(generator.module.to(memory_format=torch.channels_last)) == sha256
    assert weights_sha256(trained(generator, "rrdb-convs").module) == sha256
    next(generator.module.parameters()).data[0, 0, 0, 0] += 1e-6
    assert weights_sha256(generator.module) != sha256


def saved_adapter(path: Path, *, seed: int = 0) -> Path:
    generator = trained(tiny_rrdbnet(seed), "rrdb-convs")
    save_adapter(generator.module, path, base="tiny", targets="rrdb-convs")
    return path


def test_a_wrong_base_is_refused(tmp_path):
    path = saved_adapter(tmp_path / "a.safetensors")
    other = tiny_rrdbnet(seed=1).module
    with pytest.raises(ModelError, match=r"a\.safetensors: belongs to 'tiny' with the weights \w{12}, but") as error:
        load_adapter(other, path)
    one_line(error)
    assert not lora_state(other)


def damaged(path: Path) -> Iterator[tuple[str, str]]:
    """Each way to spoil the adapter at `path`, and what is said of it."""
    good, about = path.read_bytes(), header(path)
    tensors = {name: value.clone() for name, value in load_file(path).items()}
    first = next(iter(tensors))
    for content in (good[:-100], good[:5000], b"", b"text", good[:8] + b"\xff" * (len(good) - 8)):
        path.write_bytes(content)
        yield "cut", "not a safetensors file, or damaged"
    save_file(tensors, path)
    yield "no header", "not an adapter that iqsr wrote"
    save_file(tensors, path, about | {"rank": "many"})
    yield "rank", "a damaged adapter: its header"
    save_file(tensors, path, {key: value for key, value in about.items() if key != "base"})
    yield "no base", "a damaged adapter: its header"
    save_file({name: value for name, value in tensors.items() if name != first}, path, about)
    yield "missing", "its tensors are not the A and B of layers of rank 3"
    save_file(tensors, path, about | {"rank": "4"})
    yield "another rank", "of layers of rank 4"
    save_file(tensors | {first: tensors[first].fill_(float("nan"))}, path, about)
    yield "nan", "values that are not finite in torch.float"


def test_a_damaged_adapter_is_refused(tmp_path):
    path = saved_adapter(tmp_path / "a.safetensors")
    seen = 0
    for way, line in damaged(path):
        with pytest.raises(ModelError, match=f"^{re.escape(str(path))}: .*{line}") as error:
            load_adapter(tiny_rrdbnet().module, path)
        one_line(error)
        assert way
        seen += 1
    assert seen == 11
    with pytest.raises(UsageError, match=r"^no such adapter: '.*gone\.safetensors'$"):
        load_adapter(tiny_rrdbnet().module, tmp_path / "gone.safetensors")


def test_an_adapter_that_fp16_cannot_hold_is_not_written(tmp_path):
    module = trained(tiny_rrdbnet(), "rrdb-convs").module
    next(iter(lora_state(module).values())).fill_(1e6)
    saved_adapter(tmp_path / "a")
    before = (tmp_path / "a").read_bytes()
    with pytest.raises(ModelError, match=r"not finite in torch\.float16"):
        save_adapter(module, tmp_path / "a", base="tiny", targets="rrdb-convs")
    assert (tmp_path / "a").read_bytes() == before
    save_adapter(module, tmp_path / "a", base="tiny", targets="rrdb-convs", half=False)


def test_an_adapter_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="cannot be written"):
        saved_adapter(tmp_path / "file" / "a.safetensors")


# Plain checkpoints


def test_real_esrgan_is_written_under_its_official_names(tmp_path):
    generator = load_generator("realesrgan-x4plus")
    save_plain(generator.module, generator.architecture, tmp_path / "x.safetensors", metadata={"scale": "4"})
    found = {name: tuple(value.shape) for name, value in load_file(tmp_path / "x.safetensors").items()}
    assert found == dict(packaged.rrdbnet_shapes(23))  # what Real-ESRGAN's own checkpoint holds
    assert header(tmp_path / "x.safetensors") == {"format": "pt", "scale": "4"}
    loaded = load_checkpoint(tmp_path / "x.safetensors").module.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in generator.module.state_dict().items())


PLAIN = {
    "RRDBNet x2": lambda: ESRGAN(num_filters=16, num_blocks=1, scale=2),
    "RRDBNet x8": lambda: ESRGAN(num_filters=16, num_blocks=1, scale=8),
    "RRDBNet after pixel unshuffle": lambda: ESRGAN(in_nc=12, num_filters=16, num_blocks=1, shuffle_factor=2),
    "ESRGAN+": lambda: ESRGAN(num_filters=16, num_blocks=1, plus=True),
    "SwinIR, nearest + conv": lambda: SwinIR(
        embed_dim=12, depths=[2], num_heads=[2], window_size=8, upscale=4, upsampler="nearest+conv"
    ),
    "SRVGGNetCompact": lambda: Compact(num_feat=8, num_conv=2, upscale=3),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_a_plain_checkpoint_is_the_same_network(kind, tmp_path):
    generator = as_generator(recognise(PLAIN[kind]().state_dict(), Path("x")), name="x", licence="unknown")
    save_plain(generator.module, generator.architecture, tmp_path / "x.safetensors")
    loaded = load_generator(tmp_path / "x.safetensors")
    assert (loaded.architecture, loaded.scale) == (generator.architecture, generator.scale)
    assert torch.equal(run(loaded.module, picture()), run(generator.module, picture()))
    names = set(load_file(tmp_path / "x.safetensors"))
    assert ("conv_first.weight" in names) == (kind not in ("ESRGAN+", "SRVGGNetCompact"))


def test_what_spandrel_cannot_rebuild_is_not_written(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(ModelError, match="spandrel does not know this ESRGAN network by its weights alone"):
        save_plain(nn.Sequential(nn.Conv2d(3, 3, 3)), "ESRGAN", path)
    with pytest.raises(ModelError, match="spandrel"):  # its last step is not in its weights
        save_plain(load_generator("realesr-animevideov3-x2").module, "Compact", path)
    with pytest.raises(UsageError, match="merge them first"):
        save_plain(trained(tiny_rrdbnet(), "rrdb-convs").module, "ESRGAN", path)
    assert not list(tmp_path.iterdir())


# New networks


@pytest.mark.parametrize("make", [tiny_rrdbnet, tiny_swinir])
def test_new_networks_come_from_their_seed_alone(make):
    state = torch.get_rng_state()
    assert weights_sha256(make(3).module) == weights_sha256(make(3).module) != weights_sha256(make(4).module)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 30), (64, 40)])
def test_a_new_swinir_takes_pictures_of_any_size_from_16(height, width):
    generator = tiny_swinir()
    assert (generator.scale, generator.size_multiple, generator.minimum_size) == (4, 1, 16)
    assert run(generator.module, picture(height, width)).shape == (1, 3, 4 * height, 4 * width)


def test_swinir_drops_branches_in_training_only():
    module = new_swinir(depths=(4, 4), dim=12, heads=(2, 2), seed=0).module
    rates = [part.drop_prob for part in module.modules() if type(part).__name__ == "DropPath"]
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


# iqsr merge


def iqsr(*arguments: object) -> str:
    ended = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.output


def base_and_adapter(folder: Path, make, targets: str) -> tuple[Generator, Path, Path]:
    """A base in a file, an adapter in the folder of a run, and both as one unmerged network."""
    base, path = make(), folder / "my base.safetensors"
    save_plain(base.module, base.architecture, path)
    generator = trained(load_generator(path), targets)
    save_adapter(generator.module, folder / "run" / "adapter.safetensors", base=generator.name, targets=targets)
    load_lora_state(generator.module, read_adapter(folder / "run" / "adapter.safetensors").tensors)  # in fp16 as saved
    return generator, path, folder / "run"


@pytest.mark.parametrize("kind", ["RRDBNet", "SwinIR", "Compact"])
def test_merge_then_upscale_equals_the_unmerged_network(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator, base, folder = base_and_adapter(tmp_path, *TINY[kind])
    said = iqsr("merge", folder, "-o", "merged.safetensors", "--model", base)
    assert "merged with my base; largest difference to the unmerged output" in said
    x = picture(20, 28)
    expected = run(generator.module, x)
    assert (expected - run(load_generator(base).module, x)).abs().max() > 1e-3
    assert (run(load_generator("merged.safetensors").module, x) - expected).abs().max() <= 1e-5
    upscaled = Upscaler("merged.safetensors", precision="fp32").upscale(x)
    assert (upscaled - expected.clamp(0, 1)).abs().max() <= 1e-5


def test_the_commands_together_on_a_16_bit_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator, base, folder = base_and_adapter(tmp_path, tiny_rrdbnet, "rrdb-convs")
    iqsr("merge", folder / "adapter.safetensors", "-o", "merged.safetensors", "-m", base)
    levels = (picture(20, 28)[0].permute(1, 2, 0).numpy() * 65535).round().astype(np.uint16)
    pyvips.Image.new_from_array(levels, interpretation="rgb16").write_to_file("x.png")
    iqsr("upscale", "x.png", "-o", "y.png", "--model", "merged.safetensors", "--precision", "fp32")
    x = torch.from_numpy(levels.astype(np.float32) / 65535).permute(2, 0, 1)[None]
    expected = run(generator.module, x).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    found = pyvips.Image.new_from_file("y.png").numpy()
    assert found.dtype == np.uint16
    assert np.abs(found / 65535 - expected).max() <= 1e-5 + 0.5 / 65535


def test_a_packaged_base_is_found_by_its_name(tmp_path):
    generator = trained(load_generator(ANIMEVIDEO), "all-convs")
    run_folder = tmp_path / "run"
    adapter = run_folder / "adapter.safetensors"
    save_adapter(generator.module, adapter, base=ANIMEVIDEO, targets="all-convs", extra={"recipe": "r"})
    merged = merge(run_folder, tmp_path / "out.safetensors")
    assert merged.base == ANIMEVIDEO
    assert merged.difference <= 1e-5
    about = header(tmp_path / "out.safetensors")
    assert about["base_sha256"] == weights_sha256(load_generator(ANIMEVIDEO).module)
    assert (about["architecture"], about["scale"], about["recipe"]) == ("Compact", "4", "r")
    assert about["licence"] == "BSD-3-Clause"


def test_a_run_without_lora_holds_the_whole_network(tmp_path):
    generator = tiny_swinir(seed=7)
    save_plain(generator.module, generator.architecture, tmp_path / "weights.safetensors")
    said = iqsr("merge", tmp_path, "-o", tmp_path / "out.safetensors")
    assert "a whole generator, nothing to merge" in said
    loaded = load_generator(tmp_path / "out.safetensors").module
    assert torch.equal(run(loaded, picture()), run(generator.module, picture()))


def test_an_adapter_that_peft_applies_otherwise_than_it_was_merged_is_not_written(tmp_path, monkeypatch):
    """The check is real: with a merge that is wrong by a tenth it refuses."""
    _, base, folder = base_and_adapter(tmp_path, tiny_rrdbnet, "rrdb-convs")

    def slightly_wrong(module, tensors, scaling):
        merge_into(module, tensors, 1.1 * scaling)

    monkeypatch.setattr(lora_module, "merge_into", slightly_wrong)
    out = tmp_path / "out.safetensors"
    out.write_text("what was there")
    with pytest.raises(ModelError, match=r"not written: the merged network's output differs by \d\.\de-\d+"):
        merge(folder, out, model=str(base))
    assert out.read_text() == "what was there"
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


@pytest.mark.parametrize(
    ("arguments", "kind", "line"),
    [
        (("run", "out.pth"), UsageError, r"^out\.pth: expected a name that ends in \.safetensors$"),
        (
            ("run", "out.safetensors"),
            UsageError,
            "was trained on 'my base', which is no packaged network; give --model",
        ),
        (("run", "out.safetensors", "realesrgan-x4"), UsageError, "unknown model 'realesrgan-x4'"),
        (("run", "out.safetensors", "gone.pth"), UsageError, "^no such checkpoint: 'gone.pth'$"),
        (("run", "out.safetensors", "other.safetensors"), ModelError, "belongs to 'my base' with the weights"),
        (("run", "run/adapter.safetensors", "my base.safetensors"), UsageError, "would replace what it is made of"),
        (("whole", "out.safetensors", "my base.safetensors"), UsageError, "whole generator, which needs no --model"),
        (("empty", "out.safetensors"), ModelError, "^empty: neither adapter.safetensors nor weights.safetensors"),
        (("gone.safetensors", "out.safetensors"), UsageError, "^no such adapter: 'gone.safetensors'$"),
        (("other.safetensors", "out.safetensors"), ModelError, "not an adapter that iqsr wrote"),
        (("run", "run/adapter.safetensors/out.safetensors", "my base.safetensors"), WeightsError, "cannot be written"),
    ],
)
def test_merges_that_cannot_be(arguments, kind, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base_and_adapter(tmp_path, tiny_rrdbnet, "rrdb-convs")
    other = tiny_rrdbnet(seed=9).module
    save_plain(other, "ESRGAN", tmp_path / "other.safetensors")
    save_plain(other, "ESRGAN", tmp_path / "whole" / "weights.safetensors")
    (tmp_path / "empty").mkdir()
    source, out, *model = arguments
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(IqsrError, match=line) as error:
        merge(Path(source), Path(out), model=model[0] if model else None)
    assert isinstance(error.value, kind)
    one_line(error)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


# Packaged networks with an adapter


@pytest.fixture
def shipped(tmp_path, monkeypatch) -> Path:
    """`animevideo-tuned`: a packaged base and an adapter in the package's folder."""
    path = tmp_path / "tuned.safetensors"
    generator = trained(load_generator(ANIMEVIDEO), "all-convs")
    save_adapter(generator.module, path, base=ANIMEVIDEO, targets="all-convs")
    network = replace(packaged.NETWORKS[ANIMEVIDEO], adapter=str(path))
    monkeypatch.setitem(packaged.NETWORKS, "animevideo-tuned", network)
    return path


def test_a_packaged_network_is_its_base_with_the_adapter_merged(shipped):
    expected = load_generator(ANIMEVIDEO)
    load_adapter(expected.module, shipped)
    found = load_generator("animevideo-tuned")
    x = picture()
    assert (run(found.module, x) - run(expected.module, x)).abs().max() <= 1e-5
    assert (run(found.module, x) - run(load_generator(ANIMEVIDEO).module, x)).abs().max() > 1e-3
    assert (found.name, found.scale, found.architecture) == ("animevideo-tuned", 4, "Compact")
    assert list(found.module.state_dict()) == list(load_generator(ANIMEVIDEO).module.state_dict())
    assert not any(tensor.requires_grad for tensor in found.module.parameters())


def test_a_packaged_network_needs_no_peft(shipped, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    assert load_generator("animevideo-tuned").scale == 4


def test_a_packaged_adapter_of_another_base_is_refused(shipped):
    write_adapter(replace(read_adapter(shipped), base_sha256="0" * 64), shipped)
    with pytest.raises(ModelError, match=r"the adapter of animevideo-tuned: belongs to .* but its base has"):
        load_generator("animevideo-tuned")
