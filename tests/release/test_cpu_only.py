"""Without CUDA: nothing of iqsr needs packages of NVIDIA or Triton, which PyTorch's builds for CPUs leave out."""

import json
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.utils import canonicalize_name

from support.cli_pictures import FAST, picture
from support.commands import PATIENCE, Ended
from support.project import EXTRAS, ROOT, pins, requirements

BLOCKED = ("nvidia", "triton", "cuda", "pynvml", "cupy", "tensorrt")
"""Packages as they are imported, and how the names of those that bring them begin."""
HOOK = f"""
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {BLOCKED!r} else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Without, sys.meta_path)
for name in {BLOCKED!r}:
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{{name}} is not blocked")
from iqsr.cli import main
main()
"""


def without_cuda(*arguments: str) -> Ended:
    """The command in a process in which none of these packages can be imported."""
    ended = subprocess.run(
        [sys.executable, "-c", HOOK, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def test_only_torch_asks_for_them() -> None:
    users = set(EXTRAS) - {"dev", "docs", "bench"}
    names = {canonicalize_name(one.name) for one in requirements(users, leaves=("torch",))}
    assert len(names) > 80
    assert not [name for name in names if name.startswith(BLOCKED)]


def test_pip_prefers_the_build_for_cpus_of_the_pinned_version(tmp_path: Path) -> None:
    """Of two wheels of one version, as two indices offer them; a newer version, which is not pinned, is left alone."""
    (pin,) = pins()[canonicalize_name("torch")].specifier
    for version in (pin.version, f"{pin.version}+cpu", "99.0"):
        empty_wheel(tmp_path, version)
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-index", "--report", "-"]
    command += ["--quiet", "--find-links", str(tmp_path), "--constraint", str(ROOT / "constraints.txt"), "torch"]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    variables |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=variables, check=False)
    assert ended.returncode == 0, ended.stderr
    (chosen,) = json.loads(ended.stdout)["install"]
    assert chosen["metadata"]["version"] == f"{pin.version}+cpu"


def empty_wheel(folder: Path, version: str) -> None:
    """A wheel that is called torch, and installs nothing."""
    about = f"torch-{version}.dist-info"
    with ZipFile(folder / f"torch-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")


@pytest.mark.slow
def test_the_commands_work_without_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    picture("in/a.png")
    picture("in/b.png", (64, 64))
    for command in (
        ("doctor",),
        ("upscale", "in", "-o", "out", *FAST, "--device", "cpu"),
        ("score", "out", "-m", "laplacian,srq,piqe", "--no-cache", "--device", "cpu"),
        ("export", "realesr-animevideov3", "--format", "onnx", "-o", "net.onnx"),
    ):
        ended = without_cuda(*command)
        assert ended.code == 0, (command, ended.err)
        assert "Wrong" not in ended.out
    assert len(list(Path("out").iterdir())) == 2


@pytest.mark.slow
def test_trainings_import_none_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step is taken: accelerate, peft and TensorBoard ask for none, either."""
    from iqsr.recipes import resolved_toml
    from support.sets import write_photos, write_sets
    from support.tiny_runs import quick

    monkeypatch.chdir(tmp_path)
    sets, photos = write_sets(tmp_path / "sets", labelled=True), write_photos(tmp_path / "photos")
    Path("quick.toml").write_text(resolved_toml(quick("steps=1")))
    ended = without_cuda("train", "quick.toml", "--data", str(sets), "--validation", str(photos), "-o", "run")
    assert ended.code == 0, ended.err
    assert Path("run/weights.safetensors").exists() or Path("run/adapter.safetensors").exists()
