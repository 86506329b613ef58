"""Networks between two networks, and `iqsr interpolate`."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from iqsr.cli import app
from iqsr.errors import IqsrError, ModelError, UnknownNameError, UsageError
from iqsr.models import SRModel, load_model
from iqsr.models.adapter import LORA_B, merge_into, read_adapter, write_adapter
from iqsr.models.checkpoint_writer import write_checkpoint
from iqsr.models.interpolate import interpolate
from iqsr.models.lora import save_adapter
from support.lora_networks import header, one_line, picture, run, tiny_rrdbnet, tiny_swinir, trained


def saved(model: SRModel, path: Path) -> Path:
    write_checkpoint(model.module, model.architecture, path)
    return path


def weights(path: Path) -> dict[str, Tensor]:
    return load_model(path).module.state_dict()


@pytest.fixture
def runs(tmp_path) -> tuple[Path, Path, Path]:
    """A base, and two runs on it whose adapters differ in rank and in strength."""
    base = saved(tiny_rrdbnet(), tmp_path / "base.safetensors")
    folders = []
    for seed, rank in enumerate((2, 4)):
        folder = tmp_path / f"run-{seed}"
        made = trained(load_model(base), "rrdb-convs", rank=rank, seed=seed)
        save_adapter(made.module, folder / "adapter.safetensors", base=made.name, targets="rrdb-convs", half=False)
        adapter = read_adapter(folder / "adapter.safetensors")
        write_adapter(replace(adapter, alpha=3.0), folder / "adapter.safetensors", half=False)
        (folder / "recipe.toml").write_text(f"[model]\nstart = '{base}'\n")
        folders.append(folder)
    return base, *folders


def with_adapter(base: Path, adapter: Path) -> dict[str, Tensor]:
    module, found = load_model(base).module, read_adapter(adapter)
    merge_into(module, found.tensors, found.scaling)
    return module.state_dict()


def far(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    assert found.keys() == wanted.keys()
    return max(float((found[name] - wanted[name]).abs().max()) for name in wanted)


def mean(one: dict[str, Tensor], other: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    return {name: (1 - share) * one[name] + share * other[name] for name in one}


@pytest.mark.parametrize("share", [0, 0.25, 1, 1.5])
def test_plain_networks_are_averaged_weight_by_weight(share, tmp_path):
    one, other = (saved(tiny_swinir(seed), tmp_path / f"{seed}.safetensors") for seed in (0, 1))
    made = interpolate(one, str(other), tmp_path / "out.safetensors", share=share)
    assert made.energy_kept is None
    assert far(weights(made.path), mean(weights(one), weights(other), share)) < 1e-6
    assert header(made.path)["interpolated"] == f"{one.name}, {other.name}: {share:g}"
    assert run(load_model(made.path).module, picture()).isfinite().all()


def test_an_adapter_and_its_network_give_an_adapter_of_another_strength(runs, tmp_path):
    base, folder, _ = runs
    out = tmp_path / "out.safetensors"
    assert interpolate(base, folder, out, share=0.9).energy_kept == 1
    wanted = mean(weights(base), with_adapter(base, folder / "adapter.safetensors"), 0.9)
    assert far(with_adapter(base, out), wanted) < 1e-3  # the file is fp16
    assert far(wanted, weights(base)) > 0.1
    interpolate(folder, base, out, share=0.1)
    assert far(with_adapter(base, out), wanted) < 1e-3


def test_two_adapters_give_the_nearest_of_the_larger_rank(runs, tmp_path):
    base, one, other = runs
    made = interpolate(one, other, tmp_path / "out.safetensors", share=0.25)
    assert read_adapter(made.path).rank == 4
    ends = [with_adapter(base, folder / "adapter.safetensors") for folder in (one, other)]
    found, start, exact = with_adapter(base, made.path), weights(base), mean(*ends, share=0.25)
    name = "model.1.sub.0.RDB2.conv3.0.weight"
    change, wanted = ((end[name] - start[name]).flatten(1).double() for end in (found, exact))
    u, s, v = torch.linalg.svd(wanted)
    assert torch.linalg.matrix_rank(wanted, rtol=1e-4) == 6
    assert (change - u[:, :4] * s[:4] @ v[:4]).abs().max() < 2e-3
    kept = [(end[name] - start[name]).square().sum() for end in (found, exact) for name in start]
    half = len(kept) // 2
    assert made.energy_kept is not None
    assert made.energy_kept == pytest.approx(float(sum(kept[:half]) / sum(kept[half:])), abs=1e-3)
    assert 0.5 < made.energy_kept < 0.99


@pytest.mark.parametrize(("make", "targets"), [(tiny_rrdbnet, "all-convs"), (tiny_swinir, "all-linears")])
def test_layers_smaller_than_the_rank_are_exact(make, targets, tmp_path):
    """An RRDBNet's last layer has three outputs; a layer whose rank suffices for both loses nothing."""
    base = saved(make(), tmp_path / "base.safetensors")
    paths = [tmp_path / f"{seed}.safetensors" for seed in (0, 1)]
    (tmp_path / "recipe.toml").write_text(f"[model]\nstart = '{base}'\n")
    for seed, path in enumerate(paths):
        made = trained(load_model(base), targets, rank=4, seed=seed)
        save_adapter(made.module, path, base=made.name, targets=targets)
    made = interpolate(paths[0], paths[1], tmp_path / "out.safetensors", share=-0.5)
    wanted = mean(*[with_adapter(base, path) for path in paths], share=-0.5)
    found = with_adapter(base, made.path)
    small = [name for name, value in wanted.items() if value.ndim > 1 and value.shape[0] <= 4]
    assert far({name: found[name] for name in small}, {name: wanted[name] for name in small}) < 5e-3
    assert small
    assert made.energy_kept is not None
    assert 0.5 < made.energy_kept < 1


def test_of_one_training_nothing_is_lost(runs, tmp_path):
    """Two adapters that differ in B alone have a mean of the same rank."""
    base, folder, _ = runs
    adapter = read_adapter(folder / "adapter.safetensors")
    later = {n: v + 0.3 * v.flip(0) if n.endswith(LORA_B) else v for n, v in adapter.tensors.items()}
    write_adapter(replace(adapter, tensors=later), tmp_path / "later.safetensors", half=False)
    (tmp_path / "recipe.toml").write_text(f"[model]\nstart = '{base}'\n")
    made = interpolate(folder, tmp_path / "later.safetensors", tmp_path / "out.safetensors")
    assert made.energy_kept == pytest.approx(1, abs=1e-6)
    ends = [with_adapter(base, path) for path in (folder / "adapter.safetensors", tmp_path / "later.safetensors")]
    assert far(with_adapter(base, made.path), mean(*ends, share=0.5)) < 2e-3


def test_adapters_on_different_networks_give_a_plain_checkpoint(runs, tmp_path):
    base, folder, _ = runs
    other = saved(tiny_rrdbnet(seed=5), tmp_path / "other.safetensors")
    made = interpolate(other, folder, tmp_path / "out.safetensors", share=0.5)
    assert made.energy_kept is None
    wanted = mean(weights(other), with_adapter(base, folder / "adapter.safetensors"), 0.5)
    assert far(weights(made.path), wanted) < 1e-6


def test_the_network_below_an_adapter_may_be_the_other_end(runs, tmp_path):
    base, folder, _ = runs
    (folder / "recipe.toml").unlink()
    with pytest.raises(UsageError, match=r"no packaged network; put it beside the adapter as base\.safetensors"):
        interpolate(folder, folder, tmp_path / "out.safetensors")
    assert interpolate(folder, base, tmp_path / "out.safetensors").energy_kept == 1


def test_a_name_is_a_name_even_where_a_folder_is_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("realesr-animevideov3").mkdir()
    made = interpolate("realesr-animevideov3", "realesr-animevideov3-x4", Path("out.safetensors"))
    assert far(weights(made.path), load_model("realesr-animevideov3").module.state_dict()) < 1e-7


def test_the_header_says_what_it_was_made_of(runs, tmp_path):
    base, folder, _ = runs
    adapter = read_adapter(folder / "adapter.safetensors")
    write_adapter(replace(adapter, extra={"recipe": "r"}), folder / "adapter.safetensors")
    interpolate(base, folder, tmp_path / "out.safetensors", share=0.25)
    about = header(tmp_path / "out.safetensors")
    assert (about["interpolated"], about["second_recipe"]) == (f"{base.name}, {folder.name}: 0.25", "r")


@pytest.mark.parametrize("out", ["base.safetensors", "run-0/adapter.safetensors", "run-1/adapter.safetensors"])
def test_what_it_is_made_of_is_not_replaced(out, runs, tmp_path):
    before = (tmp_path / out).read_bytes()
    with pytest.raises(UsageError, match="would replace what it is made of"):
        interpolate(runs[1], runs[2], tmp_path / out)
    assert (tmp_path / out).read_bytes() == before


def test_the_command_says_what_it_wrote(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, ["interpolate", "run-0", "run-1", "-o", "out.safetensors", "--share", "0"])
    assert ended.exit_code == 0, ended.output
    assert "out.safetensors  0.2 MB, an adapter, 100.00% of the exact change's energy" in ended.output
    ended = CliRunner().invoke(app, ["interpolate", "base.safetensors", "base.safetensors", "-o", "plain.safetensors"])
    assert "MB, a plain checkpoint" in ended.output
    assert far(weights(Path("plain.safetensors")), weights(Path("base.safetensors"))) < 1e-7


@pytest.mark.parametrize(
    ("first", "out", "share", "kind", "line"),
    [
        ("base.safetensors", "out.pth", 0.5, UsageError, r"expected a name that ends in \.safetensors"),
        ("base.safetensors", "out.safetensors", float("nan"), UsageError, "must be a number from -10 to 10, got nan"),
        ("base.safetensors", "out.safetensors", -1e30, UsageError, "must be a number from -10 to 10, got -1e\\+30"),
        ("~nobody/x.pth", "out.safetensors", 0.5, UsageError, "no such checkpoint: '~nobody/x.pth'"),
        ("realesrgan-x4", "out.safetensors", 0.5, UnknownNameError, "unknown model 'realesrgan-x4'"),
        ("gone.safetensors", "out.safetensors", 0.5, UsageError, "no such checkpoint: 'gone.safetensors'"),
        (".", "out.safetensors", 0.5, ModelError, "neither adapter.safetensors nor weights.safetensors"),
        ("swinir.safetensors", "out.safetensors", 0.5, ModelError, r"\(SwinIR x4\) .* are built differently"),
    ],
)
def test_what_cannot_be_is_one_line_and_no_file(first, out, share, kind, line, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(tiny_swinir(), Path("swinir.safetensors"))
    with pytest.raises(IqsrError, match=line) as error:
        interpolate(first, "run-0", Path(out), share=share)
    assert isinstance(error.value, kind)
    one_line(error)
    assert not Path(out).exists()


def test_an_adapter_as_a_model_says_what_to_do(runs):
    with pytest.raises(ModelError, match="an adapter, which is no network by itself: iqsr merge it first"):
        load_model(runs[1] / "adapter.safetensors")
    with pytest.raises(UsageError, match="a folder, not a checkpoint"):
        load_model(runs[1])
