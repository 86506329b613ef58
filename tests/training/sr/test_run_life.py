"""What a training's folder goes through: a second process, a kill, numbers that are not finite, several launchers."""

import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest
import torch
from torch import nn

from iqsr.errors import IqsrError, UsageError
from iqsr.finite import NotFiniteError, all_finite, first_not_finite
from iqsr.recipes import resolved_toml
from iqsr.training.engine.checkpoints import FORMAT
from iqsr.training.engine.log import LogFile
from iqsr.training.engine.processes import check_launch
from iqsr.training.sr.loop import Training
from iqsr.training.sr.recipe import TrainRecipe
from iqsr.training.sr.run import train
from support.commands import PATIENCE
from support.damaged_lines import DAMAGED_LINES
from support.tiny_runs import curve, equal, lines, quick, weights

RECIPE = quick("log_every=1", "checkpoint_every=2")


def command(recipe: TrainRecipe, sets: Path, run: Path, *more: str) -> list[str]:
    path = run.parent / f"{run.name}.toml"
    path.write_text(resolved_toml(recipe))
    return [sys.executable, "-m", "iqsr", "train", str(path), "--data", str(sets), "-o", str(run), *more]


def steps(run: Path) -> list[int]:
    text = (run / "log.jsonl").read_text() if (run / "log.jsonl").exists() else ""
    return [json.loads(line)["step"] for line in text.splitlines()]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# One process in a folder


def test_nobody_else_works_in_the_folder_of_a_run_and_a_kill_leaves_each_step_once(sets: Path, tmp_path: Path) -> None:
    recipe, run = quick("steps=24", "checkpoint_every=6", "data.workers=1"), tmp_path / "run"
    process = subprocess.Popen(command(recipe, sets, run), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until = time.monotonic() + PATIENCE
    while not steps(run):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    for resume in (False, True):
        with pytest.raises(IqsrError, match=rf"`iqsr train` \(process {process.pid} on .* is at work in '{run}'"):
            train(recipe, sets, run, resume=resume)
    while steps(run)[-1] % 6 != 3:  # between two checkpoints
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert steps(run)[-1] < 24
    with (run / "log.jsonl").open("a") as log:
        log.write('{"step": 5')  # as a power cut leaves it
    train(recipe, sets, run, resume=True)  # no wait: its worker lives for a second more
    assert steps(run) == list(range(1, 25))
    assert curve(run, "train/l1") == list(range(1, 25))
    train(recipe, sets, tmp_path / "whole")
    assert lines(tmp_path / "whole") == lines(run)
    assert sha256(tmp_path / "whole" / "weights.safetensors") == sha256(run / "weights.safetensors")


@pytest.mark.slow
def test_of_two_that_start_together_one_is_refused(sets: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    commands = [command(quick("steps=4"), sets, run, "--set", f"seed={seed}") for seed in range(2)]
    processes = [subprocess.Popen(c, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) for c in commands]
    ended = [(p.communicate(timeout=PATIENCE)[1], p.returncode) for p in processes]
    assert sorted(code for _, code in ended) == [0, 1]
    (said,) = [err for err, code in ended if code == 1]
    assert "is at work in" in said or "holds a run" in said
    assert steps(run) == [1, 2, 3, 4]


def test_a_training_lets_go_of_its_folder(sets: Path, tmp_path: Path) -> None:
    first = Training(RECIPE, sets, tmp_path / "run")
    with pytest.raises(IqsrError, match="this process itself"):
        Training(RECIPE, sets, tmp_path / "run", resume=True)
    first.close()
    Training(RECIPE, sets, tmp_path / "run", resume=True).run()
    train(RECIPE, sets, tmp_path / "run", resume=True)


# A log that ends where its checkpoint does


@pytest.mark.parametrize(("step", "kept"), [(0, 0), (1, 1), (2, 3), (9, 4)])
def test_a_log_is_cut_back_to_a_step(step: int, kept: int, tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log.jsonl")
    for number in (1, 2, 2, 3):
        log.write({"step": number}, {"loss": 0.5})
    before = log.path.read_text().splitlines()
    with log.path.open("ab") as file:
        file.write(b"\n".join([*DAMAGED_LINES, b'{"step": 1, "lo']))
    log.cut_back(step)
    assert log.path.read_text().splitlines() == before[:kept]


def test_a_log_is_json_whatever_the_figures_are(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log.jsonl")
    log.write({"step": 1}, {"loss": float("nan"), "psnr": inf, "rate": 1 / 3})
    found = json.loads(log.path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert found == {"step": 1, "loss": None, "psnr": None, "rate": 0.333333}


def test_a_run_killed_before_its_first_checkpoint_begins_its_log_anew(
    sets: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    training = Training(RECIPE, sets, run, validation=photos)

    def stop(stage: str, done: int, total: int, figures: object) -> None:
        if stage == "training":
            raise RuntimeError  # before the step's checkpoint: nothing is saved, as by a kill

    monkeypatch.setattr(training, "save", lambda: None)
    with pytest.raises(RuntimeError):
        training.run(stop)
    train(RECIPE, sets, run, validation=photos, resume=True)
    assert [line["step"] for line in lines(run) if line["group"] == "train"] == list(range(1, 9))
    assert [line["step"] for line in lines(run) if line["group"] == "validation"] == [0, 2, 4, 6, 8]


def test_the_log_has_learning_rates_and_the_total(sets: Path, tmp_path: Path) -> None:
    recipe = quick("steps=3", "objective.consistency=0.5", "objective.gan=0.1", "optimiser.warmup=4")
    train(recipe, sets, tmp_path / "run")
    for number, line in enumerate(lines(tmp_path / "run"), 1):
        assert line["learning rate"] == pytest.approx(recipe.optimiser.lr * number / 4)
        assert line["discriminator learning rate"] == pytest.approx(recipe.optimiser.discriminator_lr * number / 4)
        terms = [float(str(line[name])) for name in ("l1", "consistency", "gan")]
        assert float(str(line["total"])) == pytest.approx(sum(terms), rel=1e-4)


# Numbers that are not finite


def spoil(module: nn.Module, factor: float, at: int) -> None:
    """Multiply the gradient of a parameter in the step with this number, counted from 1."""
    passed: list[None] = []

    def multiplied(gradient: torch.Tensor) -> torch.Tensor:
        passed.append(None)
        return gradient * factor if len(passed) == at else gradient

    next(iter(module.parameters())).register_hook(multiplied)


@pytest.mark.parametrize(
    ("changes", "spoiled", "named"),
    [
        ((), lambda training: spoil(training.module, inf, 5), r"weights\.model\.0\.weight"),
        ((), lambda training: spoil(training.module, 1e30, 5), r"optimizer\.state\.0\.exp_avg_sq"),
        (
            ("objective.gan=0.1",),
            lambda t: spoil(t.discriminator.module, inf, 9),
            r"discriminator\.module\..*",
        ),  # of two a step
        (("optimiser.lr=1e3", "optimiser.ema=0.99999"), lambda training: None, "the objective's term l1"),
    ],
)
def test_what_is_not_finite_is_never_kept(
    changes: tuple[str, ...], spoiled: Callable[[Training], None], named: str, sets: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    training = Training(quick("checkpoint_every=1", *changes), sets, run)
    spoiled(training)
    with pytest.raises(NotFiniteError) as error:
        training.run()
    step, advice = training.done + 1, "lower optimiser.lr, set optimiser.clip, or bf16 = false"
    kept = rf"'{run}/weights.safetensors' holds the last good ones, of step {training.done}"
    assert training.done == (4 if not named.startswith("the") else 1)
    assert re.fullmatch(rf"{named} is not finite at step {step}: {advice}; {kept}", str(error.value)), error.value
    assert training.checkpoints.steps()[-1] == training.done
    for path in (run / "checkpoints").glob("*.ckpt"):
        assert first_not_finite(torch.load(path, weights_only=True)) is None
    assert all(value.isfinite().all() for value in weights(run).values())
    for line in (run / "log.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(name))


def test_a_first_step_that_is_not_finite_leaves_nothing(sets: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFiniteError, match=r"is not finite at step 1: .*; there is no checkpoint from before$"):
        train(quick("optimiser.lr=1e38"), sets, tmp_path / "run")
    assert not list(tmp_path.rglob("*.ckpt"))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_checkpoint_that_is_not_finite_is_passed_over(
    sets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(RECIPE, sets, tmp_path / "whole")
    run = tmp_path / "run"
    train(RECIPE, sets, run)
    folder = run / "checkpoints"
    for step in (8, 6):
        path = folder / f"step-{step:08d}-rank0.ckpt"
        state = torch.load(path, weights_only=True)
        next(iter(state["average"].values()))[0] = float("nan")
        torch.save(state, path)
        note = {"sha256": sha256(path), "size": path.stat().st_size, "ranks": 1, "format": FORMAT}
        path.with_suffix(".json").write_text(json.dumps(note))
        if step == 8:
            train(RECIPE, sets, run, resume=True)
            assert (
                "the checkpoint of step 8 is not finite (average.model.0.weight): using the one before" in caplog.text
            )
            assert equal(tmp_path / "whole", run)
    (folder / "step-00000008-rank0.ckpt").unlink()
    with pytest.raises(IqsrError, match="no checkpoint is whole and finite; remove the run's folder"):
        train(RECIPE, sets, run, resume=True)


def test_what_is_not_finite_is_found_and_named() -> None:
    fine = {
        "a": torch.ones(3),
        "b": {"c": [torch.zeros(2, dtype=torch.bfloat16), 1.0], "d": torch.tensor([7])},
        "e": None,
    }
    assert all_finite(fine)
    assert first_not_finite(fine) is None
    assert all_finite({})
    assert all_finite({"large": torch.full((100,), 3e38), "larger": torch.full((2,), 1e300, dtype=torch.float64)})
    for bad in (float("nan"), inf, -inf):
        for state, name in (
            (fine | {"x": {"y": torch.tensor([1.0, bad])}}, "x.y"),
            (fine | {"x": [0.0, bad]}, "x.1"),
            (fine | {"x": torch.tensor(bad, dtype=torch.float16)}, "x"),
        ):
            assert not all_finite(state)
            assert first_not_finite(state) == name


# Processes


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"ACCELERATE_MIXED_PRECISION": "no", "MASTER_PORT": "29500"}, "accelerate launch was asked for several"),
        ({"SLURM_NTASKS": "4"}, "SLURM_NTASKS=4"),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, "OMPI_COMM_WORLD_SIZE=2"),
        ({"WORLD_SIZE": "3"}, "WORLD_SIZE=3"),
        ({"SLURM_NTASKS": "1", "WORLD_SIZE": "1", "PMI_SIZE": ""}, None),
        ({"ACCELERATE_MIXED_PRECISION": "no"}, None),
        ({}, None),
    ],
)
def test_a_process_that_learns_alone_against_its_launcher_is_told(
    environment: dict[str, str], said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    check_launch(2, environment)
    assert caplog.text == ""
    check_launch(1, environment)
    assert (f"{said}" in caplog.text and "torchrun --nproc_per_node N" in caplog.text) == (said is not None)


@pytest.mark.slow
def test_accelerate_that_starts_one_process_on_a_cpu_is_told(sets: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "--cpu"]
    ended = subprocess.run([*launch, *command(quick("steps=1"), sets, run)[1:]], capture_output=True, text=True)
    assert ended.returncode == 0
    assert "iqsr: accelerate launch was asked for several processes, but this one learns alone" in ended.stderr
    assert json.loads((run / "run.json").read_text())["processes"] == 1


@pytest.mark.parametrize("given", ["0", "soon", "inf", "-3"])
def test_a_timeout_that_is_none_is_refused(
    given: str, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IQSR_PROCESS_TIMEOUT", given)
    with pytest.raises(UsageError, match=f"IQSR_PROCESS_TIMEOUT must be a number of seconds above 0, got '{given}'"):
        train(RECIPE, sets, tmp_path / "run")
    assert not (tmp_path / "run").exists()
