"""Export: files for other programs do what torch does, and failures leave nothing."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN
from torch import nn
from typer.testing import CliRunner

from iqsr.cli.export import command
from iqsr.engines.openvino import core
from iqsr.engines.tracing import TOLERANCE, TRACED, TRIED
from iqsr.errors import ModelError, UnknownNameError, UsageError
from iqsr.export import SUFFIXES, check_format, export
from iqsr.models import SRModel, load_model

SIZES = [(1, 3, 15, 33), (2, 3, 27, 11)]


def small_rrdbnet() -> SRModel:
    torch.manual_seed(0)
    return as_model("small-rrdbnet", "ESRGAN", ESRGAN(num_filters=16, num_blocks=2))


def small_compact() -> SRModel:
    torch.manual_seed(0)
    return as_model("small-compact", "Compact", Compact(num_feat=16, num_conv=3))


def as_model(name: str, architecture: str, module: nn.Module, scale: int = 4) -> SRModel:
    return SRModel(name, module.eval().requires_grad_(False), scale, architecture, "CC0-1.0")


@pytest.fixture(params=[small_rrdbnet, small_compact], ids=["rrdbnet", "compact"])
def sr_model(request) -> SRModel:
    return request.param()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def largest_difference(sr_model: SRModel, run) -> float:
    differences = []
    for size in SIZES:
        x = torch.rand(size, generator=torch.Generator().manual_seed(1))
        y = np.asarray(run(x.numpy()))
        differences.append(np.abs(y - sr_model.module(x).numpy()).max())
    return max(differences)


class AddsItsWidth(nn.Module):
    """Its Python code computes a number from the picture's size: tracing turns that into a constant."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(x, scale_factor=2.0) + float(x.shape[3])


class Refuses(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no")


def test_sizes_here_are_not_those_of_the_verification():
    bare = small_compact()
    assert not {tuple(probe.draw(bare).shape) for probe in (TRACED, *TRIED)} & set(SIZES)


@pytest.mark.parametrize(("multiple", "minimum"), [*((n, 1) for n in range(1, 20)), (4, 16), (64, 64), (3, 100)])
def test_probes_differ_and_fit_whatever_the_network_needs(multiple, minimum):
    needy = replace(small_compact(), size_multiple=multiple, minimum_size=minimum)
    sizes = [tuple(probe.draw(needy).shape[2:]) for probe in (TRACED, *TRIED)]
    for axis in (0, 1):
        assert len({size[axis] for size in sizes}) == 3
    assert all(side % multiple == 0 and side >= minimum for size in sizes for side in size)


def test_onnx_equals_torch_at_other_sizes(sr_model, tmp_path):
    out = tmp_path / "a.onnx"
    result = export(sr_model, out, "onnx")
    session = onnxruntime.InferenceSession(out)
    assert largest_difference(sr_model, lambda x: session.run(["output"], {"input": x})[0]) <= TOLERANCE
    assert result.files == (out,)
    assert 0 < result.verified.difference <= TOLERANCE
    assert names(tmp_path) == ["a.onnx"]


def test_openvino_equals_torch_at_other_sizes(sr_model, tmp_path):
    out = tmp_path / "a.xml"
    result = export(sr_model, out, "openvino")
    network = core().compile_model(out, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert largest_difference(sr_model, lambda x: network({"input": x})["output"]) <= TOLERANCE
    assert result.files == (tmp_path / "a.bin", out)
    assert names(tmp_path) == ["a.bin", "a.xml"]


def test_safetensors_round_trip_is_exact(sr_model, tmp_path):
    out = tmp_path / "a.safetensors"
    result = export(sr_model, out, "safetensors")
    back = load_model(out)
    assert (back.name, back.scale, back.architecture) == ("a", 4, sr_model.architecture)
    assert largest_difference(sr_model, lambda x: back.module(torch.from_numpy(x))) == 0
    assert result.verified.difference == 0
    assert names(tmp_path) == ["a.safetensors"]


def test_packaged_network_survives_a_chain_of_exports(tmp_path):
    export(load_model("realesr-animevideov3"), tmp_path / "a.safetensors")
    back = load_model(tmp_path / "a.safetensors")
    result = export(back, tmp_path / "b.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "b.onnx")
    original = load_model("realesr-animevideov3")
    assert largest_difference(original, lambda x: session.run(None, {"input": x})[0]) <= TOLERANCE
    assert result.verified.sizes == ((1, 3, 13, 23), (3, 3, 21, 6))


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_reduced_network_keeps_its_scale(suffix, tmp_path):
    sr_model = load_model("realesr-animevideov3-x3")
    out = tmp_path / f"a{suffix}"
    export(sr_model, out)
    network = core().compile_model(out, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert network(np.zeros((1, 3, 15, 33), np.float32))[0].shape == (1, 3, 45, 99)
    assert largest_difference(sr_model, lambda x: network(x)[0]) <= TOLERANCE


def test_reduced_network_is_refused_as_weights(tmp_path):
    with pytest.raises(ModelError, match=r"realesr-animevideov3-x2: .*\(realesr-animevideov3-x4\)") as error:
        export(load_model("realesr-animevideov3-x2"), tmp_path / "a.safetensors")
    assert "\n" not in str(error.value)
    assert names(tmp_path) == []


def test_files_say_what_they_are(tmp_path):
    for suffix in SUFFIXES.values():
        export(small_compact(), tmp_path / f"a{suffix}")
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        safetensors = file.metadata()
    properties = {entry.key: entry.value for entry in onnx.load(tmp_path / "a.onnx").metadata_props}
    model = core().read_model(tmp_path / "a.xml")
    for key, value in (("name", "small-compact"), ("scale", "4"), ("licence", "CC0-1.0")):
        assert safetensors[key] == value
        assert properties[key] == value
        assert model.get_rt_info(["iqsr", key]).astype(str) == value


@pytest.mark.parametrize("suffix", SUFFIXES.values())
def test_existing_files_are_replaced(suffix, tmp_path):
    for name in (f"a{suffix}", "a.bin"):
        (tmp_path / name).write_bytes(b"old")
    result = export(small_compact(), tmp_path / f"a{suffix}")
    assert all(file.stat().st_size > 1000 for file in result.files)


@pytest.mark.parametrize("suffix", SUFFIXES.values())
def test_new_files_are_readable_by_others_as_the_umask_says(suffix, tmp_path):
    previous = os.umask(0o022)
    try:
        result = export(small_compact(), tmp_path / f"a{suffix}")
    finally:
        os.umask(previous)
    assert {file.stat().st_mode & 0o777 for file in result.files} == {0o644}


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_network_that_depends_on_the_traced_size_is_refused(suffix, tmp_path):
    baked = as_model("baked", "Own", AddsItsWidth(), scale=2)
    (tmp_path / f"a{suffix}").write_bytes(b"old")
    with pytest.raises(ModelError, match=r"baked: .* differs from torch .* apart at 1x13x23") as error:
        export(baked, tmp_path / f"a{suffix}")
    assert "\n" not in str(error.value)
    assert names(tmp_path) == [f"a{suffix}"]
    assert (tmp_path / f"a{suffix}").read_bytes() == b"old"


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_network_that_cannot_be_converted(suffix, tmp_path):
    with pytest.raises(ModelError, match=r"broken: .* cannot convert") as error:
        export(as_model("broken", "Own", Refuses()), tmp_path / f"a{suffix}")
    assert "\n" not in str(error.value)
    assert names(tmp_path) == []


def test_network_that_spandrel_does_not_know_is_refused_as_weights(tmp_path):
    unknown = as_model("unknown", "Own", nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4)))
    with pytest.raises(ModelError, match=r"unknown: spandrel does not know .* onnx or openvino") as error:
        export(unknown, tmp_path / "a.safetensors")
    assert str(tmp_path) not in str(error.value)
    assert names(tmp_path) == []
    export(unknown, tmp_path / "a.onnx")


def test_format_by_suffix():
    assert check_format(Path("a.ONNX")) == "onnx"
    assert check_format(Path("a.xml"), "openvino") == "openvino"
    with pytest.raises(UsageError, match=r"a\.png: expected a name that ends in \.safetensors, \.onnx, \.xml"):
        check_format(Path("a.png"))
    with pytest.raises(UsageError, match=r"a\.onnx: .* openvino ends in \.xml"):
        check_format(Path("a.onnx"), "openvino")
    with pytest.raises(UnknownNameError, match="unknown format 'openvin'; known: openvino, "):
        check_format(Path("a.xml"), "openvin")


@pytest.mark.parametrize("suffix", SUFFIXES.values())
def test_output_that_cannot_be(suffix, tmp_path):
    name = f"a{suffix}"
    (tmp_path / "file").write_text("")
    (tmp_path / name).mkdir()
    for out, why in (
        (tmp_path / "file" / name, "File exists"),
        (tmp_path / "file" / "below" / name, "Not a directory"),
        (tmp_path / name, "it is a folder"),
    ):
        with pytest.raises(ModelError, match=why) as error:
            export(small_compact(), out)
        assert str(error.value).startswith(f"{out}: cannot be written: ")
    assert names(tmp_path) == sorted(["file", name])


@pytest.mark.parametrize("suffix", SUFFIXES.values())
def test_a_folder_that_is_missing_is_made(suffix, tmp_path):
    out = tmp_path / "a" / "b" / f"c{suffix}"
    assert export(small_compact(), out).files[-1] == out
    assert out.is_file()


_LIMITED = """
import resource, sys
from pathlib import Path
from iqsr.errors import IqsrError
from iqsr.export import export
from iqsr.models import load_model
generator = load_model("realesr-animevideov3")
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
for out in sys.argv[1:]:
    try:
        export(generator, Path(out))
    except IqsrError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on the size of files")
def test_disk_that_takes_only_a_part(tmp_path):
    outs = [tmp_path / f"a{suffix}" for suffix in SUFFIXES.values()]
    done = subprocess.run([sys.executable, "-c", _LIMITED, *outs], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert len(lines) == len(outs), done.stderr
    for out, line in zip(outs, lines, strict=True):
        assert line.startswith(f"{out}: cannot be written: ")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("missing", "suffix", "extra"),
    [("onnx", ".onnx", "onnx"), ("onnxruntime", ".onnx", "onnx"), ("openvino", ".xml", "openvino")],
)
def test_missing_package_names_its_extra(missing, suffix, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)  # import fails as if it was not installed
    with pytest.raises(ModelError, match=rf"pip install 'iqsr\[{extra}\]'") as error:
        export(small_compact(), tmp_path / f"a{suffix}")
    assert "\n" not in str(error.value)
    assert names(tmp_path) == []


def test_command_prints_the_difference_and_the_files(tmp_path):
    import typer

    app = typer.Typer()
    app.command()(command)
    out = tmp_path / "a b.xml"
    result = CliRunner().invoke(app, ["realesr-animevideov3-x2", "--format", "openvino", "-o", str(out)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("verified against torch at 1x3x13x23 and 3x3x21x6: largest difference ")
    assert float(lines[0].split()[-1]) <= TOLERANCE
    assert [line.rsplit("  ", 1)[0] for line in lines[1:]] == [str(out.with_suffix(".bin")), str(out)]
