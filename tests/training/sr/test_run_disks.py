"""A training whose disk fills up: one line, nothing half-written, and it goes on once there is room."""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from iqsr.errors import WriteError
from iqsr.recipes import resolved_toml
from iqsr.training.sr.recipe import TrainRecipe
from iqsr.training.sr.run import train
from support.commands import Run
from support.disks import full, read_only, small_disk
from support.tiny_runs import equal, lines, quick, tiny

OFTEN = quick("log_every=1", "checkpoint_every=2")
SELDOM = quick("steps=40", "checkpoint_every=100", "validation.every=100")


@pytest.fixture
def disk(tmp_path: Path) -> Generator[Path]:
    with small_disk("32m", tmp_path / "disk") as place:
        yield place


@pytest.fixture(scope="module")
def whole(sets: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of OFTEN on a disk with room."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train(OFTEN, sets, run, validation=photos)
    return run


def parts(run: Path) -> list[Path]:
    return [path for path in run.rglob("*") if path.name.endswith("part")]


def refusal(recipe: TrainRecipe, sets: Path, run: Path, photos: Path | None, at: tuple[str, int], left: int) -> str:
    """What is said of a run on whose disk only so many bytes are left from a certain moment on."""
    with ExitStack() as stack:

        def fill(stage: str, done: int, total: int, figures: object) -> None:
            if (stage, done) == at:
                stack.enter_context(full(run.parent, left))

        with pytest.raises(WriteError) as error:
            train(recipe, sets, run, validation=photos, on_progress=fill)
    assert "\n" not in str(error.value)
    assert f"no space is left on the disk '{run.parent}' (tmpfs): make room there" in str(error.value)
    assert parts(run) == []
    return str(error.value)


@pytest.mark.parametrize(
    ("named", "step", "room"),
    [
        ("validation/step-00000006/00.png", 6, lambda whole: 0),
        ("checkpoints/step-00000006-rank0.ckpt", 6, lambda whole: 200_000),
    ],
)
def test_a_full_disk_is_one_line_and_the_run_goes_on_once_there_is_room(
    named: str, step: int, room: Callable[[Path], int], sets: Path, photos: Path, disk: Path, whole: Path
) -> None:
    run = disk / "run"
    said = refusal(OFTEN, sets, run, photos, ("training", step), room(whole))
    assert said.startswith(f"cannot write '{run / named}': ")
    assert said.endswith(", then go on with --resume")
    train(OFTEN, sets, run, validation=photos, resume=True)
    assert equal(whole, run)
    assert lines(whole) == lines(run)


def test_a_result_that_does_not_fit_is_written_once_there_is_room(sets: Path, disk: Path, whole: Path) -> None:
    recipe, run = quick("checkpoint_every=100"), disk / "run"
    room = (whole / "checkpoints" / "step-00000008-rank0.ckpt").stat().st_size + 200_000
    said = refusal(recipe, sets, run, None, ("training", 8), room)
    assert said.startswith(f"cannot write '{run / 'weights.safetensors'}': ")
    train(recipe, sets, run, resume=True)
    assert equal(whole, run)


def test_a_log_that_does_not_fit_ends_the_run_and_has_no_torn_line(sets: Path, disk: Path) -> None:
    run = disk / "run"
    said = refusal(SELDOM, sets, run, None, ("training", 3), 0)
    assert "/log.jsonl'" in said or "/tensorboard/" in said
    assert [line["step"] for line in lines(run)] == list(range(1, len(lines(run)) + 1))
    train(SELDOM, sets, run, resume=True)
    assert [line["step"] for line in lines(run)] == list(range(1, 41))


@pytest.mark.parametrize(("left", "named"), [(0, "recipe.toml"), (12_288, "run.json")])
def test_a_run_that_cannot_be_noted_has_not_begun(left: int, named: str, sets: Path, disk: Path) -> None:
    run = disk / "run"
    said = refusal(SELDOM, sets, run, None, ("pictures", 30), left)
    assert said.startswith(f"cannot write '{run / named}'")
    assert train(quick("steps=1"), sets, run).exists()


def test_scores_of_patches_that_do_not_fit_are_told(sets: Path, disk: Path) -> None:
    recipe, run = tiny("ablation/cpu-amo", "sampling.grid=64", "steps=4"), disk / "run"
    said = refusal(recipe, sets, run, None, ("scores", 2), 0)
    assert "/patch-scores/" in said
    assert len(list((run / "patch-scores").iterdir())) == 2


def test_a_read_only_disk_is_one_line(sets: Path, disk: Path) -> None:
    train(quick("steps=2"), sets, disk / "run")
    with read_only(disk):
        for run, resume in ((disk / "new", False), (disk / "run", True)):
            with pytest.raises(WriteError, match=rf"^cannot write '{run}': the disk '{disk}' \(tmpfs\) is read-only"):
                train(quick("steps=2"), sets, run, resume=resume)


def test_the_command_says_one_line(iqsr: Run, sets: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "quick.toml"
    recipe.write_text(resolved_toml(OFTEN))
    with small_disk("6m", tmp_path / "disk") as disk:
        for more in ([], ["--resume"]):
            ended = iqsr("train", str(recipe), "--data", str(sets), "-o", str(disk / "run"), *more)
            told = [line for line in ended.err.splitlines() if line.startswith("iqsr: ")]
            assert ended.code == 1
            assert "Traceback" not in ended.err
            assert told == [
                f"iqsr: cannot write '{disk}/run/checkpoints/step-00000004-rank0.ckpt': no space is left on the disk "
                f"'{disk}' (tmpfs): make room there, then go on with --resume"
            ]
            assert sorted(p.name for p in (disk / "run" / "checkpoints").iterdir()) == [
                "step-00000002-rank0.ckpt", "step-00000002-rank0.json",
            ]  # fmt: skip
