"""Several processes learn what one learns from all samples, through resumes with other numbers and through kills."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

from iqsr.training.sr.recipe import TrainRecipe
from iqsr.training.sr.run import train
from support.launched import Launched
from support.tiny_runs import equal, lines, quick, weights

pytestmark = pytest.mark.slow
STEPS = 20


def recipe(processes: int, *changes: str) -> TrainRecipe:
    """A recipe whose steps have four samples, in one process or in two. The pool is full after two steps."""
    return quick(
        f"steps={STEPS}", f"batch={4 // processes}", f"data.pool={8 // processes}", "log_every=1", "checkpoint_every=5",
        "data.sets=positive", "sampling.sampler=upos", "validation.every=10", "validation.photos=3", *changes,
    )  # fmt: skip


def assert_same_curve(run: Path, other: Path) -> None:
    """Every figure of every step and validation, to 1e-4 relative."""
    found, wanted = lines(run), lines(other)
    assert len([line for line in found if line["group"] == "train"]) == STEPS
    for a, b in zip(found, wanted, strict=True):
        assert a.pop("group") == b.pop("group")
        assert a == pytest.approx(b, rel=1e-4)


@pytest.fixture(scope="module")
def three_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of which one of two processes has two."""
    from support.sets import write_photos

    return write_photos(tmp_path_factory.mktemp("three"), count=3)


@pytest.fixture(scope="module")
def alone(sets: Path, three_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process with all samples."""
    run = tmp_path_factory.mktemp("alone") / "run"
    train(recipe(1), sets, run, validation=three_photos)
    return run


@pytest.fixture(scope="module")
def together(sets: Path, three_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two processes."""
    run = tmp_path_factory.mktemp("together") / "run"
    ended = Launched(2, recipe(2), sets, run, "--validation", three_photos).wait()
    assert ended.code == 0, ended.err
    return run


@pytest.fixture(scope="module")
def killed(sets: Path, three_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Two processes, of which the second was killed in the seventh step or soon after; and what was said."""
    run = tmp_path_factory.mktemp("killed") / "run"
    launched = Launched(2, recipe(2), sets, run, "--validation", three_photos)
    launched.wait_for_step(6)
    os.kill(launched.pid_of(1), signal.SIGKILL)
    ended = launched.wait()
    assert ended.code == 1
    assert lines(run)[-1]["step"] < STEPS
    return run, ended.err


def test_two_processes_have_the_curve_of_one_with_twice_the_batch(alone: Path, together: Path) -> None:
    assert_same_curve(together, alone)
    for name, values in weights(alone).items():
        assert weights(together)[name].sub(values).abs().max() < 1e-5


def test_what_is_shared_is_written_once(together: Path) -> None:
    first, second = (
        torch.load(together / "checkpoints" / f"step-00000020-rank{rank}.ckpt", weights_only=True) for rank in range(2)
    )
    assert first.keys() > {"weights", "average", "optimizer", "guard", "validation"} | second.keys()
    assert second.keys() == {"figures", "pool", "patch scores"}
    assert {path.name for path in (together / "validation").iterdir()} == {
        "step-00000000", "step-00000010", "step-00000020",
    }  # fmt: skip


def test_a_killed_process_ends_the_run_with_advice(killed: tuple[Path, str]) -> None:
    told = [line for line in killed[1].splitlines() if line.startswith("iqsr: another process of this run has ended")]
    assert len(told) == 1
    assert "Start all processes again with --resume: the run goes on from its checkpoint of step " in told[0]
    assert "Signal 9 (SIGKILL)" in killed[1]  # the launcher says which it was


def test_a_run_goes_on_after_a_kill_to_the_same_weights(
    killed: tuple[Path, str], together: Path, sets: Path, three_photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(killed[0], run := tmp_path / "run")
    ended = Launched(2, recipe(2), sets, run, "--validation", three_photos, "--resume").wait()
    assert ended.code == 0, ended.err
    assert equal(run, together)
    assert lines(run) == lines(together)


def test_one_process_goes_on_where_two_were(
    killed: tuple[Path, str],
    alone: Path,
    sets: Path,
    three_photos: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shutil.copytree(killed[0], run := tmp_path / "run")
    train(recipe(2), sets, run, validation=three_photos, resume=True)
    assert "the run had 2 processes, now there are 1: of the 4 samples of each step each takes 4" in caplog.text
    assert_same_curve(run, alone)
    assert [path.name for path in (run / "checkpoints").glob("*-rank1.*")] == []


def test_two_processes_go_on_where_one_was(alone: Path, sets: Path, three_photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(recipe(1, "steps=10"), sets, run, validation=three_photos)
    ended = Launched(2, recipe(1), sets, run, "--validation", three_photos, "--resume").wait()
    assert ended.code == 0, ended.err
    assert_same_curve(run, alone)


def test_a_process_that_does_not_answer_ends_the_run(sets: Path, tmp_path: Path) -> None:
    launched = Launched(2, recipe(2, "steps=1000"), sets, tmp_path / "run", IQSR_PROCESS_TIMEOUT="20")
    launched.wait_for_step(1)
    os.kill(launched.pid_of(1), signal.SIGSTOP)
    ended = launched.wait()
    assert ended.code == 1
    assert "has not answered for 20 s (IQSR_PROCESS_TIMEOUT)" in ended.err
