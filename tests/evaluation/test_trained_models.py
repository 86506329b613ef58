"""Adapters and the folders of runs as models of an evaluation, and the rows of the paper's tables from runs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import iqsr
from iqsr.evaluation import Evaluation
from iqsr.images import read_rgb
from iqsr.models.checkpoint_writer import write_checkpoint
from iqsr.models.lora import save_adapter
from iqsr.models.merge import ADAPTER_FILE, RECIPE_FILE, WEIGHTS_FILE
from iqsr.recipes import resolved_toml
from iqsr.scoring import content_hash
from support.commands import Run
from support.evaluation_samples import hggt, pairs
from support.lora_networks import ANIMEVIDEO, compact, run, tiny_rrdbnet, trained
from support.tiny_runs import tiny

P, S, N = "Positive", "Similar", "Negative"


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def evaluated(*models: str) -> Evaluation:
    pairs(Path("set"), ("a",))
    return iqsr.evaluate("set", models, ["psnr", "laplacian"], out="out", device="cpu", gold_standard=False)


def adapter(path: Path) -> np.ndarray:
    """Write one of realesr-animevideov3; what its network makes of `set/LR/a.png`, with the adapter unmerged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = trained(compact(), "all-convs")
    save_adapter(made.module, path, base=ANIMEVIDEO, targets="all-convs", half=False)
    pairs(Path("set"), ("a",))
    found = run(made.module, read_rgb(Path("set/LR/a.png")))
    return found[0].clamp(0, 1).mul(255).permute(1, 2, 0).numpy()


def output(model: str) -> np.ndarray:
    return np.asarray(Image.open(f"out/pictures/{model}/a.png"), np.float32)


def test_an_adapter_is_merged_into_its_network() -> None:
    expected = adapter(Path("mine.safetensors"))
    found = evaluated(ANIMEVIDEO, "mine.safetensors")
    assert found.problems == ()
    assert [model.name for model in found.models] == [ANIMEVIDEO, "mine"]
    assert np.abs(output("mine") - expected).max() <= 0.51
    assert np.abs(output(ANIMEVIDEO) - expected).max() > 2
    hashes = {model.model_sha256 for model in found.models}
    assert len(hashes) == 2
    assert content_hash(Path("mine.safetensors")) not in hashes  # it stands for the network below, too


def test_a_runs_folder_is_its_result_and_tells_what_it_was_trained_on() -> None:
    expected = adapter(Path("runs/ft", ADAPTER_FILE))
    Path("runs/ft", RECIPE_FILE).write_text(resolved_toml(tiny("ablation/cpu-amo-ft", f"model.start={ANIMEVIDEO}")))
    found = evaluated("runs/ft", "other=runs/ft")
    assert found.problems == ()
    assert [model.name for model in found.models] == ["ft", "other"]
    assert found.models[0].trained_on == ("srq",)
    assert np.abs(output("ft") - expected).max() <= 0.51
    assert found.means().loc["ft", "psnr"] == found.means().loc["other", "psnr"]


def test_a_run_that_goes_on_makes_its_pictures_again() -> None:
    adapter(Path("runs/ft", ADAPTER_FILE))
    first = evaluated("runs/ft")
    made = trained(compact(), "all-convs", seed=1)
    save_adapter(made.module, Path("runs/ft", ADAPTER_FILE), base=ANIMEVIDEO, targets="all-convs", half=False)
    second = evaluated("runs/ft")
    assert second.models[0].model_sha256 != first.models[0].model_sha256
    assert second.means().loc["ft", "psnr"] != first.means().loc["ft", "psnr"]


def test_the_rows_of_a_paper_table_come_from_runs(iqsr: Run) -> None:
    test = hggt(Path(), {"0001-0-0": (P, P, S, N), "0002-0-0": (S, P, P, P)})
    for seed, name in enumerate(("swinir-upos", "realesrgan-amo-ft")):
        network = tiny_rrdbnet(seed)
        Path("runs", name).mkdir(parents=True)
        write_checkpoint(network.module, network.architecture, Path("runs", name, WEIGHTS_FILE))
    options = ("--protocol", "hggt", "-m", "psnr,laplacian", "--device", "cpu", "--no-cache")
    ended = iqsr("evaluate", "--data", str(test), "--paper-table", "7", "--runs", "runs", *options, "-o", "out")
    assert ended.code == 0
    assert ended.err.count("iqsr: no run for '") == 14
    line = "no run for 'SwinIR-AMO+FT': iqsr train paper/swinir-amo-ft --data HGGT/Train -o runs/swinir-amo-ft\n"
    assert line in ended.err
    table = Path("out/table.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    measured, published = rows.index("SwinIR-UPos"), rows.index("SwinIR-AMO+FT")
    assert measured < rows.index("RESRGAN-AMO+FT") < published
    assert "published in arXiv:2504.18524, table 7 (HGGT Test-100); not measured here" in table
    assert sorted(path.name for path in Path("out/pictures").iterdir()) == ["RESRGAN-AMO+FT", "SwinIR-UPos"]
