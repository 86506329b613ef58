"""Checkpoints that survive damage, the average, and the guard."""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from iqsr.errors import IqsrError
from iqsr.training.engine.average import Average
from iqsr.training.engine.checkpoints import FORMAT, Checkpoints
from iqsr.training.sr.recipe import GuardRecipe, OptimiserRecipe
from iqsr.training.sr.validation import Guard, ValidationResult
from support.pickles import Payload


def saved(folder: Path, *steps: int) -> Checkpoints:
    checkpoints = Checkpoints(folder)
    for step in steps:
        checkpoints.save(step, {"step": step, "weights": {"w": torch.full((100,), float(step))}})
    return checkpoints


def test_the_last_checkpoint_is_used_and_two_are_kept(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 10, 20, 30)
    checkpoints.keep_last(30)
    assert checkpoints.steps() == [20, 30]
    found = checkpoints.load()
    assert found is not None
    assert found[0] == found[1]["step"] == 30


def test_damaged_checkpoints_of_later_steps_take_the_place_of_none(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 10, 20, 30)
    for step in (20, 30, 99_999_999):
        (tmp_path / f"step-{step:08d}-rank0.ckpt").write_bytes(b"")
    found = checkpoints.load()
    assert found is not None
    assert found[0] == 10
    saved(tmp_path, 15).keep_last(15)  # the run goes on from step 10
    found = checkpoints.load()
    assert found is not None
    assert found[0] == 15
    saved(tmp_path, 20).keep_last(20)
    assert checkpoints.steps() == [15, 20, 30, 99_999_999]


@pytest.mark.parametrize("damage", ["emptied", "cut", "no note", "note emptied"])
def test_damaged_checkpoints_of_earlier_steps_take_the_place_of_none(tmp_path: Path, damage: str) -> None:
    saved(tmp_path, 10, 20)
    path = tmp_path / "step-00000020-rank0.ckpt"
    match damage:
        case "emptied":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(path.read_bytes()[:-100])
        case "no note":
            path.with_suffix(".json").unlink()
        case _:
            path.with_suffix(".json").write_bytes(b"")
    checkpoints = saved(tmp_path, 15)  # the run goes on from step 10
    checkpoints.keep_last(15)
    assert checkpoints.steps() == [10, 15, 20]
    saved(tmp_path, 30).keep_last(30)
    assert checkpoints.steps() == [15, 30]
    assert not path.with_suffix(".json").exists()
    (tmp_path / "step-00000030-rank0.ckpt").write_bytes(b"")
    found = checkpoints.load()
    assert found is not None
    assert found[0] == 15


def test_a_checkpoint_that_is_damaged_in_another_process_takes_the_place_of_none(tmp_path: Path) -> None:
    parts = [Checkpoints(tmp_path, rank, 2) for rank in range(2)]
    for step in (10, 20, 30):
        for part in parts:
            part.save(step, {"step": step})
    (tmp_path / "step-00000020-rank1.ckpt").write_bytes(b"")
    for part in parts:
        part.keep_last(30)
    assert parts[1].steps() == [10, 30]
    (tmp_path / "step-00000030-rank0.ckpt").write_bytes(b"")
    found = parts[0].load()
    assert found is not None
    assert found[0] == 10


@pytest.mark.parametrize("damage", ["cut", "flipped", "no note"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = saved(tmp_path, 10, 20)
    path = tmp_path / "step-00000020-rank0.ckpt"
    data = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(data[:-100])
    elif damage == "flipped":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        path.with_suffix(".json").unlink()
    found = checkpoints.load()
    assert found is not None
    assert found[0] == 10
    assert "step 20 is damaged or incomplete" in caplog.text


def test_where_none_is_whole_nothing_is_started_anew(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 10)
    (tmp_path / "step-00000010-rank0.ckpt").write_bytes(b"")
    with pytest.raises(IqsrError, match="no checkpoint is whole"):
        checkpoints.load()


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_first_checkpoint_that_a_kill_left_unfinished_is_none(
    tmp_path: Path, ranks: int, caplog: pytest.LogCaptureFixture
) -> None:
    for rank in range(ranks):
        Checkpoints(tmp_path, rank, ranks).save(10, {"step": 10})
    (tmp_path / f"step-00000010-rank{ranks - 1}.json").unlink()  # it is written last
    for rank in range(ranks):
        assert Checkpoints(tmp_path, rank, ranks).load() is None
    assert "killed amid its first checkpoint, of step 10: it starts anew" in caplog.text


def test_a_checkpoint_counts_when_every_process_has_written_its_part(tmp_path: Path) -> None:
    first, second = Checkpoints(tmp_path, 0, 2), Checkpoints(tmp_path, 1, 2)
    for step in (1, 2):
        first.save(step, {"step": step})
    second.save(1, {"step": 1})
    found = first.load()
    assert found is not None
    assert found[0] == 1


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_checkpoint_of_two_processes_is_loaded_by_any_number(tmp_path: Path, ranks: int) -> None:
    for rank in range(2):
        Checkpoints(tmp_path, rank, 2).save(7, {"of": rank})
    for rank in range(ranks):
        assert Checkpoints(tmp_path, rank, ranks).load() == (7, {"of": 0, "others": [{"of": 1}]})


def test_parts_of_different_numbers_of_processes_make_no_checkpoint(tmp_path: Path) -> None:
    for ranks in (3, 2):  # the second process of two was killed before it had written its part
        Checkpoints(tmp_path, 0, ranks).save(7, {})
        Checkpoints(tmp_path, 0, ranks).save(6, {})
        Checkpoints(tmp_path, 1, ranks).save(6, {})
    Checkpoints(tmp_path, 1, 3).save(7, {})
    found = Checkpoints(tmp_path, 0, 2).load()
    assert found is not None
    assert found[0] == 6


def test_old_parts_of_processes_that_are_no_more_are_removed(tmp_path: Path) -> None:
    for rank in range(2):
        for step in (1, 2):
            Checkpoints(tmp_path, rank, 2).save(step, {})
    alone = Checkpoints(tmp_path)
    for step in (3, 4):
        alone.save(step, {})
    alone.keep_last(4)
    assert {path.name[:18] for path in tmp_path.glob("*.ckpt")} == {"step-00000003-rank", "step-00000004-rank"}
    assert not list(tmp_path.glob("*-rank1.*"))


def test_the_average_is_the_exponential_one_of_what_is_trained() -> None:
    trained = nn.Linear(2, 2)
    module = nn.Sequential(trained, nn.Linear(2, 2))
    module[1].requires_grad_(False)
    average = Average({n: p for n, p in module.named_parameters() if p.requires_grad}, 0.9)
    start = trained.weight.detach().clone()
    with torch.no_grad():
        trained.weight.add_(1)
    average.update(1)
    assert set(average.values) == {"0.weight", "0.bias"}
    assert torch.allclose(average.values["0.weight"], start + 0.1)
    with average.applied():
        assert torch.allclose(trained.weight, start + 0.1)
    assert torch.equal(trained.weight, start + 1)


def look(
    *quality: float, lpips: float = 0.2, consistency: float = 40.0, originals: tuple[float, ...] = ()
) -> ValidationResult:
    return ValidationResult(list(quality), list(originals or [70.0] * len(quality)), {"stlpips": lpips}, consistency)


def test_the_guard_stops_outputs_that_score_above_their_originals() -> None:
    guard = Guard(GuardRecipe(margin=2.0))
    assert guard.judge(look(60)) is None
    assert guard.judge(look(71)) is None
    reason = guard.judge(look(73))
    assert reason is not None
    assert "3.0 points above" in reason


def test_outputs_above_their_originals_from_the_start_on_are_no_gaming() -> None:
    """Of grainy photos clean outputs score higher before anything is learned."""
    guard = Guard(GuardRecipe(margin=2.0))
    found = [guard.judge(look(q, originals=(40.0,))) for q in (55, 55.1, 56.9, 57.1)]
    assert found[:3] == [None] * 3
    assert found[3] is not None
    assert "2.1 points above" in found[3]


def test_a_grainy_photo_among_others_hides_no_gaming_and_makes_none() -> None:
    """Each photo has a limit of its own: its original's score, or its first output's where that is higher."""
    started, originals = (50.0, 60.0), (70.0, 20.0)
    for now, gamed in (((69.0, 61.0), False), ((71.0, 62.0), False), ((76.0, 63.0), True)):
        guard = Guard(GuardRecipe(margin=2.0))
        guard.judge(look(*started, originals=originals))
        assert (guard.judge(look(*now, originals=originals)) is not None) == gamed


def test_a_guard_that_was_restarted_compares_with_the_new_baseline() -> None:
    guard = Guard(GuardRecipe(margin=2.0, patience=1))
    guard.judge(look(50))
    guard.restart(look(30, 30, lpips=0.4, originals=(10.0, 40.0)))
    assert guard.judge(look(31, 31, lpips=0.39, originals=(10.0, 40.0))) is None


@pytest.mark.parametrize(("lpips", "consistency", "told"), [(0.25, 40.0, "stlpips"), (0.2, 38.0, "LR-consistency")])
def test_the_guard_stops_gains_that_no_other_judge_sees(lpips: float, consistency: float, told: str) -> None:
    guard = Guard(GuardRecipe(patience=2))
    assert guard.judge(look(50)) is None
    assert guard.judge(look(52, lpips=lpips, consistency=consistency)) is None
    reason = guard.judge(look(54, lpips=lpips, consistency=consistency))
    assert reason is not None
    assert told in reason


def test_the_guard_lets_honest_gains_pass() -> None:
    guard = Guard(GuardRecipe(patience=1))
    assert all(guard.judge(look(50 + k, lpips=0.2 - 0.01 * k, consistency=40.0 - 0.05 * k)) is None for k in range(9))


def test_the_guard_forgives_when_the_quality_stops_rising() -> None:
    guard = Guard(GuardRecipe(patience=2))
    found = [guard.judge(look(q, lpips=0.3 if k else 0.2)) for k, q in enumerate((50, 52, 51, 53, 52))]
    assert found == [None] * 5


def test_a_guard_goes_on_where_its_state_was_stored() -> None:
    guard, other = Guard(GuardRecipe(patience=2)), Guard(GuardRecipe(patience=2))
    guard.judge(look(50))
    guard.judge(look(52, lpips=0.3))
    other.load_state_dict(guard.state_dict())
    assert other.judge(look(53, lpips=0.3)) == guard.judge(look(53, lpips=0.3)) is not None


def test_the_learning_rate_rises_and_halves_at_milestones() -> None:
    recipe = OptimiserRecipe(warmup=2, milestones=(5, 8))
    assert [recipe.rate_at(step) for step in (0, 1, 4, 5, 7, 8)] == [0.5, 1.0, 1.0, 0.5, 0.5, 0.25]


def test_a_checkpoint_that_would_run_code_gives_way_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its note says that it is whole: whoever can write the one can write the other."""
    checkpoints, evil = saved(tmp_path / "run", 10), Checkpoints(tmp_path / "run")
    evil.save(20, {"step": 20, "weights": {"w": torch.ones(1)}, "x": Payload(tmp_path / "payload ran")})
    found = checkpoints.load()
    assert found is not None
    assert found[0] == 10
    assert "could run code" in caplog.text
    assert not (tmp_path / "payload ran").exists()


LOOKALIKES: dict[str, Callable[[Path], object]] = {
    "step-x-rank0.ckpt": Path.touch,
    "step-30-rank0.ckpt": Path.touch,
    "step-00000030-rank0 (1).ckpt": Path.touch,
    "step-00000030-rank0-old.ckpt": Path.touch,
    "step-00000030-rankx.ckpt": Path.touch,
    "step-00000030.ckpt": Path.touch,
    "step-\u0663\u0660-rank0.ckpt": Path.touch,  # digits, but not those of `save`
    "step-00000030-rank0.ckpt": Path.mkdir,
    "step-00000030-rank1.ckpt": os.mkfifo,
}


@pytest.mark.skipif(os.name == "nt", reason="pipes of Unix")
@pytest.mark.parametrize("name", LOOKALIKES)
def test_what_only_looks_like_a_checkpoint_is_passed_over_and_stays(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    LOOKALIKES[name](tmp_path / name)
    assert Checkpoints(tmp_path).load() is None
    checkpoints = saved(tmp_path, 10, 20)
    found = checkpoints.load()
    assert found is not None
    assert found[0] == 20
    assert f"{name}' is no checkpoint of this run: it is passed over" in caplog.text
    checkpoints.save(25, {})
    checkpoints.keep_last(25)
    assert checkpoints.steps() == [20, 25]
    assert (tmp_path / name).exists()


def _saved_object(what: object) -> bytes:
    file = io.BytesIO()
    torch.save(what, file)
    return file.getvalue()


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no archive", b"text", _saved_object(torch.ones(2))])
def test_a_noted_file_that_holds_no_state_gives_way_to_the_one_before(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints, path = saved(tmp_path, 10), tmp_path / "step-00000020-rank0.ckpt"
    path.write_bytes(content)
    note = {"format": FORMAT, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "ranks": 1}
    path.with_suffix(".json").write_text(json.dumps(note))
    found = checkpoints.load()
    assert found is not None
    assert found[0] == 10
    assert "the checkpoint of step 20 is" in caplog.text


NOTES = ["[]", "1", json.dumps({"format": FORMAT, "ranks": None}), "[" * 100_000, Path.mkdir, os.mkfifo]


@pytest.mark.skipif(os.name == "nt", reason="pipes of Unix")
@pytest.mark.parametrize("note", NOTES)
def test_a_note_that_is_none_makes_no_checkpoint(tmp_path: Path, note: str | Callable[[Path], object]) -> None:
    checkpoints, path = saved(tmp_path, 10), tmp_path / "step-00000020-rank0.ckpt"
    shutil.copy(tmp_path / "step-00000010-rank0.ckpt", path)
    if isinstance(note, str):
        path.with_suffix(".json").write_text(note)
    else:
        note(path.with_suffix(".json"))
    found = checkpoints.load()
    assert found is not None
    assert found[0] == 10
