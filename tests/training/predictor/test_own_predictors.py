"""Predictors that `iqsr train-quality` made stand wherever a metric's name can."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import iqsr as package
from iqsr.errors import UnknownNameError, WeightsError
from iqsr.metrics import availability, card
from iqsr.metrics import srq as srq_module
from iqsr.scoring.cache import metric_fingerprint
from iqsr.training.sr.loop import Training
from support.commands import Run
from support.tiny_runs import tiny

SHIPPED = Path(srq_module.__file__).with_name("srq.safetensors")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The folder of a run whose predictor differs from the shipped one."""
    state = load_file(SHIPPED)
    name = next(name for name, value in state.items() if name.startswith("head.") and value.ndim > 1)
    state[name] = state[name] * 0.5
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    save_file(state, folder / "weights.safetensors")
    return folder


def picture(path: Path, seed: int) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((96, 96), Image.Resampling.BICUBIC).save(path)
    return path


def test_a_folder_or_a_file_names_a_predictor(own: Path) -> None:
    x = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    shipped, by_folder, by_file = (
        float(package.load_metric(name)(x)) for name in ("srq", f"srq:{own}", f"SRQ:{own / 'weights.safetensors'}")
    )
    assert by_folder == by_file != shipped
    assert card(f"srq:{own}").name == f"srq:{own}"
    for number in (0, 1, 10):
        (own.parent / "photos" / f"round-{number}").mkdir(parents=True)
        (own.parent / "photos" / f"round-{number}" / "weights.safetensors").touch()
    assert Path(card(f"srq:{own.parent / 'photos'}").weights_file).parent.name == "round-10"
    assert availability(f"srq:{own}").available


def test_what_is_no_predictor_is_told(own: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"there is no file '.*nowhere': give a run of"):
        package.load_metric(f"srq:{tmp_path / 'nowhere'}")
    (own / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"weights\.safetensors: "):
        package.load_metric(f"srq:{own}")
    with pytest.raises(UnknownNameError, match="unknown metric 'psnr:x'"):
        card("psnr:x")


def test_scores_follow_the_file(own: Path) -> None:
    before = metric_fingerprint(f"srq:{own}")
    assert before != metric_fingerprint("srq")
    save_file(load_file(SHIPPED), own / "weights.safetensors")
    assert metric_fingerprint(f"srq:{own}") != before


def test_tables_have_it_under_its_own_name(own: Path, iqsr: Run, tmp_path: Path) -> None:
    a, b = picture(tmp_path / "a.png", 1), picture(tmp_path / "b.png", 2)
    name = f"srq:{own}"
    assert iqsr("score", str(a), str(b), "-m", f"{name},srq", "-o", str(tmp_path / "t.csv"), "--no-cache").code == 0
    rows = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert all(row[name] != row["srq"] for row in rows)
    (tmp_path / "pairs.csv").write_text(f"first,second,share_first\n{a},{b},0.9\n")
    assert name in iqsr("agree", str(tmp_path / "pairs.csv"), "-m", name, "--no-cache").out


def test_a_training_can_be_guided_by_it(own: Path, sets: Path, tmp_path: Path) -> None:
    changes = (f"objective.quality={{srq=0.0, 'srq:{own}'=1.0}}", f"sampling.metric=srq:{own}", "steps=1")
    recipe = tiny("ablation/cpu-amo-ft", *changes)
    assert recipe.trained_on == {f"srq:{own}"}
    Training(recipe, [sets], tmp_path / "run").run()
