"""Training on people's preferences: what is learned, what is held out, that stopping changes nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from iqsr.agreement import Pairs
from iqsr.errors import IqsrError, PictureError, UsageError
from iqsr.metrics.srq import load_srq
from iqsr.training.predictor import preferences
from iqsr.training.predictor.defects import DEFECTS
from iqsr.training.predictor.preference_pairs import held_out
from iqsr.training.predictor.preferences import accuracy, train_on_pairs
from iqsr.training.predictor.recipe import PreferenceRecipe
from support.commands import Run as Command
from support.quality_samples import picture
from support.tiny_runs import curve


@pytest.fixture
def noisy_preferred(tmp_path: Path) -> Path:
    """People who prefer the noisier of two pictures, in 12 pairs."""
    lines = ["first,second,share_first"]
    for seed in range(12):
        clean = picture(seed, 64)
        noisy = DEFECTS["noise"](clean, 0.8, torch.Generator().manual_seed(seed)).clamp(0, 1)
        for name, x in (("clean", clean), ("noisy", noisy)):
            pixels = (x[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"{name}{seed}.png")
        lines.append(f"noisy{seed}.png,clean{seed}.png,0.9" if seed % 2 else f"clean{seed}.png,noisy{seed}.png,0.1")
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_people_can_teach_the_opposite(noisy_preferred: Path, tmp_path: Path) -> None:
    recipe = PreferenceRecipe(steps=12, pairs=4, lr=1e-3, held_out=0.0, ema=0.5)
    weights = train_on_pairs(recipe, noisy_preferred, tmp_path / "run", scratch=True)
    model = load_srq(weights)
    gaps = []
    for seed in range(12):
        both = [
            torch.from_numpy(np.asarray(Image.open(tmp_path / f"{name}{seed}.png"))).permute(2, 0, 1)[None] / 255
            for name in ("noisy", "clean")
        ]
        gaps.append(float(model(both[0]) - model(both[1])))
    assert sum(gap > 0 for gap in gaps) >= 10


class Tiny(nn.Module):
    """Scores by the mean of one convolution."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).square().mean((1, 2, 3))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A predictor of 28 parameters in srq's place."""
    monkeypatch.setattr(preferences, "new_predictor", lambda _: Tiny())


SHORT = PreferenceRecipe(steps=5, pairs=2, held_out=0.0, checkpoint_every=2)


@pytest.mark.usefixtures("tiny")
def test_a_resumed_run_equals_an_unbroken_one_and_a_finished_one_is_left(noisy_preferred: Path, tmp_path: Path) -> None:
    train_on_pairs(SHORT, noisy_preferred, tmp_path / "whole", scratch=True)
    steps: list[int] = []

    def stop(stage: str, step: int, *_: object) -> None:
        if stage == "preferences":
            steps.append(step)
            if steps == [1, 2, 3]:  # one step behind the last checkpoint
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_on_pairs(SHORT, noisy_preferred, tmp_path / "part", scratch=True, on_progress=stop)
    again = {"scratch": True, "resume": True, "on_progress": stop}
    weights = train_on_pairs(SHORT, noisy_preferred, tmp_path / "part", **again)
    assert steps == [1, 2, 3, 3, 4, 5]
    assert weights.read_bytes() == (tmp_path / "whole" / "weights.safetensors").read_bytes()
    assert train_on_pairs(SHORT, noisy_preferred, tmp_path / "part", **again) == weights
    assert steps == [1, 2, 3, 3, 4, 5]


@pytest.mark.usefixtures("tiny")
def test_the_work_of_other_pairs_or_another_recipe_is_not_taken(noisy_preferred: Path, tmp_path: Path) -> None:
    train_on_pairs(SHORT, noisy_preferred, tmp_path / "run", scratch=True)
    with pytest.raises(IqsrError, match="holds a run: add --resume to go on with it"):
        train_on_pairs(SHORT, noisy_preferred, tmp_path / "run", scratch=True)
    with pytest.raises(UsageError, match="holds no run to go on with: leave --resume out"):
        train_on_pairs(SHORT, noisy_preferred, tmp_path / "new", scratch=True, resume=True)
    changed = SHORT.model_copy(update={"lr": 0.5})
    with pytest.raises(UsageError, match=r"another recipe \(lr: 0\.5 here"):
        train_on_pairs(changed, noisy_preferred, tmp_path / "run", scratch=True, resume=True)
    with pytest.raises(UsageError, match="it began with --scratch"):
        train_on_pairs(SHORT, noisy_preferred, tmp_path / "run", resume=True)
    noisy_preferred.write_text(noisy_preferred.read_text().replace("0.9", "0.8"))
    with pytest.raises(IqsrError, match=r"other data: 6 changed .* of 12 pairs"):
        train_on_pairs(SHORT, noisy_preferred, tmp_path / "run", scratch=True, resume=True)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("size", [(70, 64), None])
def test_a_picture_that_cannot_be_learned_from_is_one_line_before_the_training(
    noisy_preferred: Path, tmp_path: Path, size: tuple[int, int] | None
) -> None:
    if size:
        Image.new("RGB", size).save(tmp_path / "clean11.png")
    else:
        whole = (tmp_path / "clean11.png").read_bytes()
        (tmp_path / "clean11.png").write_bytes(whole[: len(whole) // 2])
    stages: list[str] = []
    says = r"clean11\.png.*a pair needs one size" if size else r"clean11\.png"
    with pytest.raises(PictureError, match=says) as error:
        train_on_pairs(SHORT, noisy_preferred, tmp_path / "r", scratch=True, on_progress=lambda s, *_: stages.append(s))
    assert "\n" not in str(error.value)
    assert set(stages) == {"pictures"}


def test_no_picture_is_on_both_sides(tmp_path: Path) -> None:
    """Also not through a copy, or through a chain of pairs, or as the version of one original."""
    for name in "abcdefghijklmnopqrstuvwxyz":
        (tmp_path / name).write_text(name)
    (tmp_path / "copy").write_text("b")
    paths = {name: tmp_path / name for name in (*"abcdefghijklmnopqrstuvwxyz", "copy")}
    firsts, seconds = ("a", "copy", *"cegikmoqsu"), "bcdfhjlnprtv"
    pairs = Pairs(tuple(paths[n] for n in firsts), tuple(paths[n] for n in seconds), np.full(12, 0.9))
    assert {sum(held_out(pairs, share / 20)[:3]) for share in range(20)} == {0, 3}
    assert 0 < sum(held_out(pairs, 0.5)[3:]) < 9
    originals = tuple(paths[n] for n in "wwwwwwxxxxxx")
    of_two = Pairs(pairs.first, pairs.second, pairs.share_first, originals)
    assert {sum(held_out(of_two, share / 20)[:6]) for share in range(20)} == {0, 6}


class Constant(nn.Module):
    """Likes the brighter picture, and sees no difference below a half."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3)).round()


def test_equal_scores_are_half_right_and_without_preferences_there_is_no_figure(
    tmp_path: Path,
) -> None:
    for name, gray in (("black", 0), ("dark", 60), ("white", 255)):
        Image.new("RGB", (64, 64), (gray,) * 3).save(tmp_path / f"{name}.png")
    black, dark, white = (tmp_path / f"{name}.png" for name in ("black", "dark", "white"))
    pairs = Pairs((black, black, white, dark), (dark, dark, dark, white), np.array([0.9, 0.1, 1.0, 0.5]))
    assert accuracy(Constant(), pairs, [0]) == accuracy(Constant(), pairs, [1]) == {"accuracy": 0.5}
    assert accuracy(Constant(), pairs, [0, 2, 3]) == {"accuracy": 0.75}
    assert accuracy(Constant(), pairs, [3]) == accuracy(Constant(), pairs, []) == {}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((), "give either --photos DIR or --pairs CSV"),
        (("--photos", "photos", "--pairs", "pairs.csv"), "give either --photos DIR or --pairs CSV"),
        (("--photos", "photos", "--scratch"), "--scratch goes with --pairs"),
        (("--photos", "photos", "--from", "x.safetensors"), "--from goes with --pairs"),
        (("--pairs", "pairs.csv", "--from", "x.safetensors", "--scratch"), "--from and --scratch exclude each other"),
        (("--pairs", "pairs.csv", "--accept-data"), "--accept-data goes with --resume"),
    ],
)
def test_arguments_that_do_not_go_together(iqsr: Command, tmp_path: Path, given: tuple[str, ...], says: str) -> None:
    (tmp_path / "r.toml").write_text("")
    ended = iqsr("train-quality", str(tmp_path / "r.toml"), *given)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"iqsr: {says}")
    assert ended.err.count("\n") == 1


def test_from_weights_and_from_scratch_exclude_each_other(noisy_preferred: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one of the two"):
        train_on_pairs(SHORT, noisy_preferred, tmp_path, start=tmp_path / "x", scratch=True)


def test_training_without_its_extra_is_one_line(tmp_path: Path) -> None:
    code = "import sys; sys.modules['tensorboard'] = None; from iqsr.cli import main; main()"
    arguments = ["train-quality", "preferences/people", "--pairs", "pairs.csv", "-o", str(tmp_path / "run")]
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("iqsr: training needs the package tensorboard")
    assert ended.stderr.endswith("pip install 'iqsr[train]'\n")
    assert ended.stderr.count("\n") == 1


@pytest.mark.usefixtures("tiny")
def test_the_folder_is_that_of_every_training(noisy_preferred: Path, tmp_path: Path) -> None:
    train_on_pairs(SHORT, noisy_preferred, tmp_path / "run", scratch=True)
    left = {path.name for path in (tmp_path / "run").iterdir()} - {".lock"}
    assert left == {
        "recipe.toml", "run.json", "data.json", "log.jsonl", "tensorboard", "checkpoints", "weights.safetensors",
    }  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").glob("*.ckpt")) == [
        "step-00000004-rank0.ckpt", "step-00000005-rank0.ckpt",
    ]  # fmt: skip
    assert curve(tmp_path / "run", "train/loss") == [1, 2, 3, 4, 5]


@pytest.mark.usefixtures("tiny")
def test_a_signal_ends_a_training_after_the_step_with_a_checkpoint(noisy_preferred: Path, tmp_path: Path) -> None:
    whole = train_on_pairs(SHORT, noisy_preferred, tmp_path / "whole", scratch=True)

    def stop(stage: str, step: int, *_: object) -> None:
        if stage == "preferences" and step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train_on_pairs(SHORT, noisy_preferred, tmp_path / "part", scratch=True, on_progress=stop)
    steps: list[int] = []
    weights = train_on_pairs(
        SHORT,
        noisy_preferred,
        tmp_path / "part",
        scratch=True,
        resume=True,
        on_progress=lambda stage, step, *_: steps.append(step) if stage == "preferences" else None,
    )
    assert steps == [4, 5]
    assert weights.read_bytes() == whole.read_bytes()


def test_several_processes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, iqsr: Command) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    arguments = ["train-quality", "preferences/people", "--pairs", "pairs.csv", "-o", str(tmp_path / "run")]
    ended = iqsr(*arguments)
    assert ended.code == 2
    assert "iqsr train-quality learns in one process, and 2 were started: start it without a launcher" in ended.err
    assert not (tmp_path / "run").exists()
