"""Going on with a run: what may differ, what may not, and what is told of it."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import torch

from iqsr.errors import IqsrError, PictureError, UsageError
from iqsr.models import SRModel
from iqsr.models.checkpoint_writer import write_checkpoint
from iqsr.models.untrained import new_rrdbnet, new_swinir
from iqsr.recipes import resolved_toml
from iqsr.training.engine.pictures import decode_all
from iqsr.training.engine.prefetch import prefetched
from iqsr.training.engine.settings import OnResume, changes, marks
from iqsr.training.sr.data import Batches
from iqsr.training.sr.loop import Training
from iqsr.training.sr.objective import Objective
from iqsr.training.sr.recipe import LoraRecipe, TrainRecipe
from iqsr.training.sr.run import train
from iqsr.training.sr.sets import Sets
from support.commands import PATIENCE, Run
from support.launched import LAUNCH
from support.sets import NONE_IS_BETTER, write_photos, write_sets
from support.tiny_runs import equal, lines, quick, tiny

LIGHT = ("objective.perceptual=0.0", "objective.gan=0.0", "objective.l1=1.0", "validation.metrics=['psnr']")


def light(*settings: str) -> TrainRecipe:
    """A recipe without networks beside the one that learns."""
    return tiny("ablation/cpu-origins", *LIGHT, *settings)


def run_of(folder: Path) -> dict[str, object]:
    return json.loads((folder / "run.json").read_text())


def stopped(recipe: TrainRecipe, sets: Path, out: Path, after: int, validation: Path | None = None) -> None:
    """A run that SIGTERM ends after some steps."""

    def stop(stage: str, done: int, total: int, figures: object) -> None:
        if stage == "training" and done == after:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        Training(recipe, sets, out, validation=validation).run(stop)


@pytest.fixture
def own_sets(tmp_path: Path) -> Path:
    """Sets that a test may damage."""
    return write_sets(tmp_path / "own", count=4)


def damage(path: Path) -> bytes:
    """Cut a file short; returns what it was."""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return whole


def test_every_setting_says_whether_it_may_differ() -> None:
    assert [key for key, mark in marks(TrainRecipe).items() if mark is None] == []
    assert marks(TrainRecipe)["lora.rank"] is OnResume.FIXED
    assert marks(TrainRecipe)["steps"] is OnResume.LENGTH


def test_changes_are_found_in_every_section_and_in_what_may_be_missing() -> None:
    before = TrainRecipe(lora=LoraRecipe(rank=2, targets="all-convs"))
    now = TrainRecipe(lora=LoraRecipe(rank=4, targets="all-convs"), log_every=7)
    found = changes(before.model_dump(mode="json"), now)
    assert [str(change) for change in found] == ["lora.rank: 4 here, 2 in the run", "log_every: 7 here, 100 in the run"]
    assert [c.key for c in changes(before.model_dump(mode="json"), TrainRecipe())] == ["lora"]
    assert changes({}, TrainRecipe()) == []  # what an older run does not say had its default


def test_settings_that_change_nothing_may_differ(sets: Path, photos: Path, tmp_path: Path) -> None:
    train(light(), sets, tmp_path / "whole", validation=photos)
    stopped(light(), sets, tmp_path / "parts", after=1, validation=photos)
    free = ("data.workers=1", "log_every=3", "checkpoint_every=1", "validation.every=3", "guard.margin=5.0")
    train(light(*free), sets, tmp_path / "parts", validation=photos, resume=True)
    assert equal(tmp_path / "whole", tmp_path / "parts")
    (change,) = run_of(tmp_path / "parts")["changes"]  # type: ignore[misc]
    assert change["step"] == 1
    assert change["settings"]["log_every"] == [1, 3]
    assert set(change["settings"]) == {setting.split("=")[0] for setting in free}


def test_a_run_made_longer_is_one_of_that_length(sets: Path, tmp_path: Path) -> None:
    schedule = ("optimiser.milestones=[3, 6]", "log_every=3")
    train(light("steps=8", *schedule), sets, tmp_path / "whole")
    train(light("steps=4", *schedule), sets, tmp_path / "longer")
    train(light("steps=8", *schedule), sets, tmp_path / "longer", resume=True)
    assert equal(tmp_path / "whole", tmp_path / "longer")
    figures = {line["step"]: line["l1"] for line in lines(tmp_path / "longer")}
    assert list(figures) == [3, 4, 6, 8]
    whole = {line["step"]: line["l1"] for line in lines(tmp_path / "whole")}
    assert (figures[4] + 2 * figures[6]) / 3 == pytest.approx(whole[6], rel=1e-4)  # means of one step and of two
    assert figures[8] == whole[8]


def test_steps_that_were_taken_stay(sets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(light("steps=2"), sets, tmp_path / "whole")
    train(light("steps=2"), sets, tmp_path / "run")
    train(light("steps=1"), sets, tmp_path / "run", resume=True)
    assert "has taken 2 steps already, not 1" in caplog.text
    assert equal(tmp_path / "whole", tmp_path / "run")
    assert run_of(tmp_path / "run")["changes"] == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("batch=4",), r"\(batch: 4 here, 2 in the run\)"),
        (("seed=3", "steps=9", "optimiser.clip=0.5"), r"\(seed: 3 here, 0 in the run; optimiser.clip: 0.5 here, "),
        (("lora.rank=3",), r"lora\.rank: 3 here, \d+ in the run"),
        (("seed=3", "data.flip=0.0", "batch=1", "data.pool=0", "objective.l1=2.0"), "; and 1 more"),
    ],
)
def test_settings_that_make_another_run_are_named(
    settings: tuple[str, ...], told: str, sets: Path, tmp_path: Path
) -> None:
    Training(light(), sets, tmp_path / "run")
    with pytest.raises(UsageError, match=told) as error:
        train(light(*settings), sets, tmp_path / "run", resume=True)
    assert "steps" not in str(error.value)


def test_a_recipe_file_edited_in_the_runs_folder_is_another(sets: Path, tmp_path: Path) -> None:
    Training(light(), sets, tmp_path / "run")
    changed = light("optimiser.lr=0.5")
    (tmp_path / "run" / "recipe.toml").write_text(resolved_toml(changed))
    with pytest.raises(UsageError, match=r"optimiser\.lr: 0\.5 here"):
        train(changed, sets, tmp_path / "run", resume=True)


def test_a_run_goes_on_with_the_same_data_wherever_it_lies(sets: Path, tmp_path: Path) -> None:
    recipe, run = light("steps=2"), tmp_path / "run"
    Training(recipe, sets, run)
    moved = shutil.copytree(sets, tmp_path / "moved")
    other = write_sets(tmp_path / "other", labelled=True, said=(NONE_IS_BETTER,))
    with pytest.raises(IqsrError, match=r"other data: 6 changed \(photo0-0-0, photo1-0-0, photo2-0-0, \.\.\.\) of 6"):
        train(recipe, other, run, resume=True)
    Training(recipe, moved, run, resume=True)
    (run / "data.json").unlink()  # as runs were before it was noted
    assert train(recipe, other, run, resume=True).exists()


def test_data_that_changed_is_told_and_can_be_accepted(own_sets: Path, tmp_path: Path) -> None:
    recipe, run = light("steps=2"), tmp_path / "run"
    stopped(recipe, own_sets, run, after=1)
    originals = own_sets / "images" / "0-9" / "original"
    shutil.copy(originals / "photo1-0-0.png", originals / "photo0-0-0.png")
    for path in own_sets.rglob("photo3*.png"):
        path.unlink()
    told = r"1 removed \(photo3-0-0\), 1 changed \(photo0-0-0\) of 4 sets; .*--accept-data"
    with pytest.raises(IqsrError, match=told):
        train(recipe, own_sets, run, resume=True)
    train(recipe, own_sets, run, resume=True, accept_data=True)
    assert run_of(run)["changes"] == [
        {"step": 1, "data": {"removed": ["photo3-0-0"], "changed": ["photo0-0-0"]}},
    ]
    train(recipe, own_sets, run, resume=True)  # accepted once, it is the run's


def test_contents_that_differ_are_found_though_sizes_do_not(own_sets: Path, tmp_path: Path) -> None:
    recipe, run = light(), tmp_path / "run"
    Training(recipe, own_sets, run)
    path = next(own_sets.rglob("photo2-0-0_01.png"))
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0")
    os.truncate(path, len(whole))
    Training(recipe, own_sets, run, resume=True)
    path.write_bytes(next(own_sets.rglob("photo1-0-0_01.png")).read_bytes())
    with pytest.raises(IqsrError, match="1 changed"):
        Training(recipe, own_sets, run, resume=True)


def test_contents_that_differ_are_found_though_sizes_and_times_do_not(own_sets: Path, tmp_path: Path) -> None:
    path = next(own_sets.rglob("photo2-0-0_01.png"))
    whole, stat = path.read_bytes(), path.stat()
    assert not decode_all([path]).damaged
    path.write_bytes(bytes(reversed(whole)))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as rsync and tar do
    assert decode_all([path]).damaged


@pytest.mark.parametrize(("file", "text"), [("data.json", '{"a": ['), ("data.json", '{"a": 1}'), ("run.json", "[]")])
def test_a_damaged_note_is_told_in_a_line(file: str, text: str, sets: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    Training(light(), sets, run)
    (run / file).write_text(text)
    with pytest.raises(IqsrError, match=rf"{file}' is damaged.*: (remove it to go on|name another folder)"):
        Training(light(), sets, run, resume=True)


def test_adapters_go_on_over_the_weights_that_they_began_on(sets: Path, tmp_path: Path) -> None:
    base, run = tmp_path / "base.safetensors", tmp_path / "run"
    shutil.copy(train(quick("steps=1"), sets, tmp_path / "one"), base)
    other = train(quick("steps=1", "seed=1"), sets, tmp_path / "two")
    settings = (f"model.start={base}", "lora.rank=1", "lora.targets=all-convs")
    whole = train(light("steps=2", *settings), sets, run)
    began = whole.read_bytes()
    shutil.copy(other, base)
    with pytest.raises(IqsrError, match=r"adapters on other weights: model\.start = '.*' is not what it was"):
        train(light("steps=3", *settings), sets, run, resume=True)
    assert whole.read_bytes() == began


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (
            partial(new_rrdbnet, blocks=1, features=8),
            r"weights '.*' are \(16, 3, 3, 3\) in them, \(8, 3, 3, 3\)",
        ),
        (partial(new_rrdbnet, blocks=2, features=16), r"weights '.*' are not there in them, \("),
        (partial(new_swinir, depths=(2,), dim=12, heads=(2,)), r"weights '.*' are not there in them, \("),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(
    new: Callable[..., SRModel], told: str, sets: Path, tmp_path: Path
) -> None:
    base, run = tmp_path / "base.safetensors", tmp_path / "run"
    first, other = new_rrdbnet(blocks=1, features=16, seed=0), new(seed=0)
    write_checkpoint(first.module, first.architecture, base)
    train(quick("steps=1", f"model.start={base}"), sets, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    write_checkpoint(other.module, other.architecture, base)
    with pytest.raises(IqsrError, match=rf"^'.*run' holds checkpoints of another network: {told}.*; give the network"):
        train(quick("steps=2", f"model.start={base}"), sets, run, resume=True)
    assert {path: path.read_bytes() for path in before} == before


def test_damaged_pictures_are_told_before_a_run_begins(own_sets: Path, tmp_path: Path, iqsr: Run) -> None:
    for name in ("photo1-0-0_02.png", "photo2-0-0.png"):
        damage(next(own_sets.rglob(name)))
    recipe = tmp_path / "light.toml"
    recipe.write_text(resolved_toml(light("steps=1")))
    ended = iqsr("train", str(recipe), "--data", str(own_sets), "-o", str(tmp_path / "run"))
    assert ended.code == 1
    line = ended.err.splitlines()[-1]
    assert line.startswith("iqsr: 2 of 20 pictures cannot be used: cannot read '")
    assert "photo1-0-0_02.png" in line
    assert "photo2-0-0.png" in line
    assert "--set data.damaged=skip" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("what", ["damaged", "missing", "other size"])
def test_sets_with_damaged_pictures_can_be_left_out(
    what: str, own_sets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = next(own_sets.rglob("photo1-0-0_02.png"))
    whole = damage(bad)
    if what == "missing":
        bad.unlink()
    elif what == "other size":
        shutil.copy(next(write_sets(tmp_path / "small", side=64).rglob("photo1-0-0_02.png")), bad)
    with pytest.raises(PictureError):
        train(light("steps=2"), own_sets, tmp_path / "run")
    recipe, run = light("steps=2", "data.damaged=skip"), tmp_path / "run"
    stopped(recipe, own_sets, run, after=1)
    assert list(run_of(run)["left out"]) == ["photo1-0-0"]  # type: ignore[call-overload]
    assert "sets left out for their pictures (run.json names them): 1: " in caplog.text
    bad.write_bytes(whole)
    assert len(Training(recipe, own_sets, run, resume=True).sets) == 3
    training = Training(recipe, own_sets, run, resume=True, accept_data=True)
    assert len(training.sets) == 4
    assert run_of(run)["left out"] == {}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_damaged_on_the_way_costs_no_step(workers: int, own_sets: Path, tmp_path: Path, iqsr: Run) -> None:
    """Nor does it change what the run comes to, once it is whole again."""
    recipe = light("steps=6", "checkpoint_every=100", f"data.workers={workers}")
    train(recipe, own_sets, tmp_path / "whole")
    training = Training(recipe, own_sets, tmp_path / "parts")
    broken: dict[Path, bytes] = {}

    def spoil(stage: str, done: int, total: int, figures: object) -> None:
        if stage == "training" and done == 1:
            broken.update({path: damage(path) for path in own_sets.rglob("*_01.png")})

    with pytest.raises(IqsrError, match=r"_01\.png.*; stopped after [1-5] steps: put it right, and --resume goes on"):
        training.run(spoil)
    assert training.checkpoints.steps() == [training.done]
    file = tmp_path / "light.toml"
    file.write_text(resolved_toml(recipe))
    again = ("train", str(file), "--data", str(own_sets), "-o", str(tmp_path / "parts"), "--resume")
    assert "4 of 20 pictures cannot be used" in iqsr(*again).err
    for path, content in broken.items():
        path.write_bytes(content)
    assert iqsr(*again).code == 0
    assert equal(tmp_path / "whole", tmp_path / "parts")


def test_a_picture_that_was_never_read_may_be_repaired(own_sets: Path, tmp_path: Path) -> None:
    recipe, run = light("steps=4", "data.check=false"), tmp_path / "run"
    bad = next(own_sets.rglob("photo1-0-0_02.png"))
    whole = damage(bad)
    with pytest.raises(IqsrError, match="photo1-0-0_02"):
        train(recipe, own_sets, run)
    bad.write_bytes(whole)
    train(recipe, own_sets, run, resume=True)
    assert (run / "adapter.safetensors").exists()


def test_skipping_needs_the_check() -> None:
    with pytest.raises(UsageError, match=r"data\.damaged = 'skip' needs data\.check"):
        light("data.damaged=skip", "data.check=false")


def test_a_step_that_fails_leaves_a_checkpoint_of_those_before(
    sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = light("steps=6", "checkpoint_every=100", "data.pool=4")
    train(recipe, sets, tmp_path / "whole")
    training, terms = Training(recipe, sets, tmp_path / "parts"), Objective.terms

    def failing(self: Objective, *given: object, **more: object) -> object:
        if training.done == 4:
            raise RuntimeError("no room")
        return terms(self, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Objective, "terms", failing)
    with pytest.raises(RuntimeError, match="no room"):
        training.run()
    monkeypatch.setattr(Objective, "terms", terms)
    assert training.checkpoints.steps() == [4]
    train(recipe, sets, tmp_path / "parts", resume=True)
    assert equal(tmp_path / "whole", tmp_path / "parts")
    assert lines(tmp_path / "whole") == lines(tmp_path / "parts")


def test_with_other_validation_photos_the_guard_starts_at_the_runs_start(
    sets: Path, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changes = ("objective.lambda_q=0.05", "optimiser.lr=0.01", "guard.on=true", "guard.margin=100.0", "steps=4")
    other = write_photos(tmp_path / "other", count=3)
    (other / "0.png").unlink()
    whole = Training(light(*changes), sets, tmp_path / "whole", validation=other)
    whole.run()
    stopped(light(*changes), sets, tmp_path / "parts", after=3, validation=photos)
    parts = Training(light(*changes), sets, tmp_path / "parts", validation=other, resume=True)
    assert "validation is on other photos than before" in caplog.text
    assert parts.guard.first == parts.guard.last == whole.guard.first
    assert parts.done == 3
    assert run_of(tmp_path / "parts")["changes"] == [{"step": 3, "validation": "other photos, or measured otherwise"}]
    caplog.clear()
    parts.run()
    Training(light(*changes), sets, tmp_path / "parts", validation=other, resume=True)
    assert caplog.text == ""
    Training(light(*changes), sets, tmp_path / "parts", resume=True)
    assert "the guard sees nothing from here on" in caplog.text


def test_nothing_stops_a_run_that_optimises_no_quality(sets: Path, photos: Path, tmp_path: Path) -> None:
    recipe = light("guard.on=true", "guard.margin=-1000.0", "steps=2")
    assert train(recipe, sets, tmp_path / "run", validation=photos).exists()


def test_data_is_accepted_only_where_a_run_goes_on(sets: Path, tmp_path: Path, iqsr: Run) -> None:
    recipe = tmp_path / "light.toml"
    recipe.write_text(resolved_toml(light()))
    ended = iqsr("train", str(recipe), "--data", str(sets), "-o", str(tmp_path / "run"), "--accept-data")
    assert ended.code == 2
    assert "--accept-data goes with --resume" in ended.err


@pytest.mark.slow
def test_a_picture_that_one_process_cannot_read_ends_all_of_them(own_sets: Path, tmp_path: Path) -> None:
    recipe = light("steps=6", "batch=1", "data.pool=0", "checkpoint_every=100", "data.check=false")
    made = Batches(Sets(own_sets, recipe.data), recipe.data, batch=1, seed=recipe.seed, rank=1, ranks=2)
    name = made.sets.chosen[int(made[1]["place"][0, 0])].name  # drawn by the second process in the second step
    content = damage(bad := next(own_sets.rglob(f"{name}_03.png")))
    file, run = tmp_path / "light.toml", tmp_path / "run"
    file.write_text(resolved_toml(recipe))
    command = [*LAUNCH, "2", "-m", "iqsr", "train", str(file), "--data", str(own_sets), "-o", str(run)]
    settings = {"env": os.environ | {"OMP_NUM_THREADS": "1"}, "capture_output": True, "text": True, "timeout": PATIENCE}
    ended = subprocess.run(command, check=False, **settings)  # type: ignore[call-overload]
    assert ended.returncode != 0
    assert "stopped after 1 steps: put it right" in ended.stderr
    assert len(list((run / "checkpoints").glob("step-00000001-rank?.ckpt"))) == 2
    bad.write_bytes(content)
    subprocess.run([*command, "--resume"], check=True, **settings)  # type: ignore[call-overload]
    subprocess.run([*command[:-1], str(tmp_path / "whole"), "--set", "data.check=true"], check=True, **settings)  # type: ignore[call-overload]
    assert equal(run, tmp_path / "whole")


def test_batches_prefetched_take_no_shared_memory(sets: Path) -> None:
    recipe = quick()
    batches = Batches(Sets(sets, recipe.data), recipe.data, batch=2, seed=0)
    with closing(prefetched(batches, 0, 2, 1)) as made:  # containers have little, and torch waits where it is full
        for step, batch in enumerate(made):
            assert not any(value.is_shared() for value in batch.values())
            assert all(torch.equal(value, batch[name]) for name, value in batches[step].items())
