"""Merged networks: plain checkpoints, and `iqsr merge`."""

from pathlib import Path

import numpy as np
import pytest
import pyvips
import torch
from safetensors.torch import load_file
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.SwinIR import SwinIR
from torch import nn
from typer.testing import CliRunner

from iqsr import Upscaler
from iqsr.cli import app
from iqsr.errors import IqsrError, ModelError, UsageError, WriteError
from iqsr.models import SRModel, load_model, packaged
from iqsr.models import lora as lora_module
from iqsr.models.adapter import merge_into, read_adapter, weights_sha256
from iqsr.models.checkpoint_reader import as_model, load_checkpoint, recognise
from iqsr.models.checkpoint_writer import write_checkpoint
from iqsr.models.lora import (
    load_lora_state,
    save_adapter,
)
from iqsr.models.merge import merge
from support.lora_networks import ANIMEVIDEO, TINY, header, one_line, picture, run, tiny_rrdbnet, tiny_swinir, trained


@pytest.fixture(params=TINY)
def tiny(request) -> tuple[SRModel, str]:
    make, targets = TINY[request.param]
    return make(), targets


# Plain checkpoints


def test_real_esrgan_is_written_under_its_official_names(tmp_path):
    sr_model = load_model("realesrgan-x4plus")
    write_checkpoint(sr_model.module, sr_model.architecture, tmp_path / "x.safetensors", metadata={"scale": "4"})
    found = {name: tuple(value.shape) for name, value in load_file(tmp_path / "x.safetensors").items()}
    assert found == dict(packaged.rrdbnet_shapes(23))  # what Real-ESRGAN's own checkpoint holds
    assert header(tmp_path / "x.safetensors") == {"format": "pt", "scale": "4"}
    loaded = load_checkpoint(tmp_path / "x.safetensors").module.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in sr_model.module.state_dict().items())


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
    sr_model = as_model(recognise(PLAIN[kind]().state_dict(), Path("x")), name="x", licence="unknown")
    write_checkpoint(sr_model.module, sr_model.architecture, tmp_path / "x.safetensors")
    loaded = load_model(tmp_path / "x.safetensors")
    assert (loaded.architecture, loaded.scale) == (sr_model.architecture, sr_model.scale)
    assert torch.equal(run(loaded.module, picture()), run(sr_model.module, picture()))
    names = set(load_file(tmp_path / "x.safetensors"))
    assert ("conv_first.weight" in names) == (kind not in ("ESRGAN+", "SRVGGNetCompact"))


def test_what_spandrel_cannot_rebuild_is_not_written(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(ModelError, match="spandrel does not know this ESRGAN network by its weights alone"):
        write_checkpoint(nn.Sequential(nn.Conv2d(3, 3, 3)), "ESRGAN", path)
    with pytest.raises(ModelError, match="spandrel"):  # its last step is not in its weights
        write_checkpoint(load_model("realesr-animevideov3-x2").module, "Compact", path)
    with pytest.raises(UsageError, match="merge them first"):
        write_checkpoint(trained(tiny_rrdbnet(), "rrdb-convs").module, "ESRGAN", path)
    assert not list(tmp_path.iterdir())


# iqsr merge


def iqsr(*arguments: object) -> str:
    ended = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.output


def base_and_adapter(folder: Path, make, targets: str) -> tuple[SRModel, Path, Path]:
    """A base in a file, an adapter in the folder of a run, and both as one unmerged network."""
    base, path = make(), folder / "my base.safetensors"
    write_checkpoint(base.module, base.architecture, path)
    sr_model = trained(load_model(path), targets)
    save_adapter(sr_model.module, folder / "run" / "adapter.safetensors", base=sr_model.name, targets=targets)
    load_lora_state(sr_model.module, read_adapter(folder / "run" / "adapter.safetensors").tensors)  # in fp16 as saved
    return sr_model, path, folder / "run"


@pytest.mark.parametrize("kind", ["RRDBNet", "SwinIR", "Compact"])
def test_merge_then_upscale_equals_the_unmerged_network(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sr_model, base, folder = base_and_adapter(tmp_path, *TINY[kind])
    said = iqsr("merge", folder, "-o", "merged.safetensors", "--model", base)
    assert "merged with my base; largest difference to the unmerged output" in said
    x = picture(20, 28)
    expected = run(sr_model.module, x)
    assert (expected - run(load_model(base).module, x)).abs().max() > 1e-3
    assert (run(load_model("merged.safetensors").module, x) - expected).abs().max() <= 1e-5
    upscaled = Upscaler("merged.safetensors", precision="fp32").upscale(x)
    assert (upscaled - expected.clamp(0, 1)).abs().max() <= 1e-5


def test_the_commands_together_on_a_16_bit_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sr_model, base, folder = base_and_adapter(tmp_path, tiny_rrdbnet, "rrdb-convs")
    iqsr("merge", folder / "adapter.safetensors", "-o", "merged.safetensors", "-m", base)
    levels = (picture(20, 28)[0].permute(1, 2, 0).numpy() * 65535).round().astype(np.uint16)
    pyvips.Image.new_from_array(levels, interpretation="rgb16").write_to_file("x.png")
    iqsr("upscale", "x.png", "-o", "y.png", "--model", "merged.safetensors", "--precision", "fp32")
    x = torch.from_numpy(levels.astype(np.float32) / 65535).permute(2, 0, 1)[None]
    expected = run(sr_model.module, x).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    found = pyvips.Image.new_from_file("y.png").numpy()
    assert found.dtype == np.uint16
    assert np.abs(found / 65535 - expected).max() <= 1e-5 + 0.5 / 65535


def test_a_packaged_base_is_found_by_its_name(tmp_path):
    sr_model = trained(load_model(ANIMEVIDEO), "all-convs")
    run_folder = tmp_path / "run"
    adapter = run_folder / "adapter.safetensors"
    save_adapter(sr_model.module, adapter, base=ANIMEVIDEO, targets="all-convs", extra={"recipe": "r"})
    merged = merge(run_folder, tmp_path / "out.safetensors")
    assert merged.base == ANIMEVIDEO
    assert merged.difference <= 1e-5
    about = header(tmp_path / "out.safetensors")
    assert about["base_sha256"] == weights_sha256(load_model(ANIMEVIDEO).module)
    assert (about["architecture"], about["scale"], about["recipe"]) == ("Compact", "4", "r")
    assert about["licence"] == "BSD-3-Clause"


def test_the_base_of_a_run_is_where_its_recipe_says(tmp_path):
    sr_model, base, run_folder = base_and_adapter(tmp_path, tiny_rrdbnet, "rrdb-convs")
    (run_folder / "recipe.toml").write_text(f"[model]\nstart = '{base}'\n")
    assert merge(run_folder, tmp_path / "out.safetensors").base == "my base"
    x = picture(20, 28)
    merged = load_model(tmp_path / "out.safetensors").module
    assert (run(merged, x) - run(sr_model.module, x)).abs().max() <= 1e-5
    base.unlink()
    with pytest.raises(
        UsageError, match=r"its run started from '.*my base\.safetensors', which is not here\); give --m"
    ):
        merge(run_folder, tmp_path / "out.safetensors")


def test_a_run_without_lora_holds_the_whole_network(tmp_path):
    sr_model = tiny_swinir(seed=7)
    write_checkpoint(sr_model.module, sr_model.architecture, tmp_path / "weights.safetensors")
    said = iqsr("merge", tmp_path, "-o", tmp_path / "out.safetensors")
    assert "a whole generator, nothing to merge" in said
    loaded = load_model(tmp_path / "out.safetensors").module
    assert torch.equal(run(loaded, picture()), run(sr_model.module, picture()))


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
        (("run", "run/adapter.safetensors/out.safetensors", "my base.safetensors"), WriteError, "cannot write"),
    ],
)
def test_merges_that_cannot_be(arguments, kind, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base_and_adapter(tmp_path, tiny_rrdbnet, "rrdb-convs")
    other = tiny_rrdbnet(seed=9).module
    write_checkpoint(other, "ESRGAN", tmp_path / "other.safetensors")
    write_checkpoint(other, "ESRGAN", tmp_path / "whole" / "weights.safetensors")
    (tmp_path / "empty").mkdir()
    source, out, *model = arguments
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(IqsrError, match=line) as error:
        merge(Path(source), Path(out), model=model[0] if model else None)
    assert isinstance(error.value, kind)
    one_line(error)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
