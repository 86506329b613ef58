"""The training's benchmark: its plain loop learns what iqsr learns, and a quick run measures every contender."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from iqsr.models.lora import load_lora_state, lora_state

pytest.importorskip("skimage")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CONTENDERS = {
    "samplers": {"UPos", "AMO, grid", "AMO, online"},
    "adapters": {"LoRA", "every weight"},
    "plain": {"iqsr, AMO online", "iqsr, AMO, grid", "plain loop, AMO online"},
}


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return pytest.importorskip("training")


def quick(training: ModuleType, monkeypatch: pytest.MonkeyPatch, out: Path, *arguments: str) -> dict[str, Any]:
    threads = str(torch.get_num_threads())
    monkeypatch.setattr(sys, "argv", ["training.py", "--quick", "--threads", threads, "--out", str(out), *arguments])
    training.main()
    page = (out / "training.md").read_text()
    assert page.startswith("To reproduce")
    assert "A quick run" in page
    return json.loads((out / "training.json").read_text())["parts"]


def test_a_step_of_the_plain_loop_is_one_of_ours(training: ModuleType, tmp_path: Path) -> None:
    bench = training.Bench(training.QUICK, tmp_path, 1)
    training.write_sets(bench.sets, None, count=1, side=96)
    ours, loop = bench.training(*training.ONLINE, "optimiser.lr=5e-3"), bench.plain_loop("optimiser.lr=5e-3")
    drawing = torch.Generator().manual_seed(0)
    state = {
        name: 0.05 * torch.randn(value.shape, generator=drawing) for name, value in lora_state(ours.module).items()
    }
    for module in (ours.module, loop.network):
        load_lora_state(module, state)
    batch = bench.batches()[0]
    terms = ours.step({name: value.clone() for name, value in batch.items()})
    assert terms.keys() == {"l1", "perceptual", "quality"}
    assert sum(terms.values()) == pytest.approx(loop.step(batch), rel=1e-5)
    found, wanted = lora_state(ours.module), lora_state(loop.network)
    for name, before in state.items():
        learned = wanted[name] - before
        assert learned.norm() > 0
        assert (found[name] - wanted[name]).norm() < 0.02 * learned.norm(), name


@pytest.mark.parametrize("part", CONTENDERS)
def test_a_quick_run_measures_every_contender(
    part: str, training: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = quick(training, monkeypatch, tmp_path, "--only", part).values()
    rows = {row["name"]: row for row in found["contenders"]}
    assert rows.keys() == CONTENDERS[part]
    for row in rows.values():
        ratio = row["times_the_first"]
        assert min(row["seconds"]) > 0
        assert 0 < ratio["min"] <= ratio["median"] <= ratio["max"]
    assert found["contenders"][0]["times_the_first"] == {"median": 1, "min": 1, "max": 1}


def test_a_part_that_is_measured_anew_leaves_the_others(
    training: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = {"peak_gb": {"LoRA": 1.0}}
    (tmp_path / "training.json").write_text(json.dumps({"parts": {"memory": part, "of old": {}}}))
    found = quick(training, monkeypatch, tmp_path, "--only", "adapters")
    assert list(found) == ["adapters", "memory"]
    assert found["memory"] == part


def test_a_plain_loop_that_learns_something_else_is_told(
    training: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training.PlainLoop, "best", lambda self, pictures: 0)
    with pytest.raises(SystemExit, match="learns something else"):
        quick(training, monkeypatch, tmp_path, "--only", "plain")


def test_photos_of_a_folder_are_cut_twice(training: ModuleType, tmp_path: Path) -> None:
    from PIL import Image

    Image.linear_gradient("L").convert("RGB").save(tmp_path / "photo.png")
    sets = training.write_sets(tmp_path / "sets", tmp_path, count=1, side=100)
    assert sorted(path.name for path in sets.iterdir()) == ["01", "02", "03", "04", "labels", "original"]
    assert Image.open(sets / "original" / "1.png").size == (100, 100)
    with pytest.raises(SystemExit, match="at least 300 x 300"):
        training.write_sets(tmp_path / "more", sets, count=1, side=300)


@pytest.mark.slow
def test_a_whole_run(tmp_path: Path) -> None:
    pytest.importorskip("pyiqa")
    command = [sys.executable, str(BENCHMARKS / "training.py"), "--quick", "--threads", "1", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    parts = json.loads((tmp_path / "training.json").read_text())["parts"]
    plain = ["plain", "plain-4", "plain-rank-24", "plain-musiq", "plain-musiq-4"]
    assert list(parts) == ["samplers", "adapters", *plain, "memory"]
    for name in plain:
        assert {row["name"] for row in parts[name]["contenders"]} == CONTENDERS["plain"]
    assert parts["memory"]["peak_gb"].keys() == {"LoRA", "every weight", "plain loop"}
    assert min(parts["memory"]["peak_gb"].values()) > 0.2
    assert str(tmp_path) not in (tmp_path / "training.json").read_text()
