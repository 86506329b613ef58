"""A run's folder: who may begin or continue there, whatever the training is."""

import json
from pathlib import Path

import pytest

from iqsr.errors import IqsrError, UsageError
from iqsr.recipes import read_recipe
from iqsr.training.engine.checkpoints import FORMAT, Checkpoints
from iqsr.training.engine.folder import RunFolder, at_least
from iqsr.training.engine.identity import Identity, mark
from iqsr.training.engine.processes import lost_processes
from iqsr.training.predictor.recipe import PredictorRecipe, PreferenceRecipe
from iqsr.training.sr.recipe import TrainRecipe

RECIPES = [TrainRecipe(), PredictorRecipe(), PreferenceRecipe()]
Any = TrainRecipe | PredictorRecipe | PreferenceRecipe


def begin(path: Path, recipe: Any, **facts: object) -> None:
    folder = RunFolder(path, "iqsr train", recipe, resume=False)
    folder.take()
    folder.write(left_out={}, data=Identity({"a": mark([1], ["x"]), "b": mark([2], ["y"])}), facts=facts)
    folder.release()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_has_its_recipe_and_where_it_comes_from(recipe: Any, tmp_path: Path) -> None:
    begin(tmp_path, recipe)
    assert read_recipe(tmp_path / "recipe.toml", type(recipe)) == recipe
    note = json.loads((tmp_path / "run.json").read_text())
    assert {"recipe", "python", "torch", "commit", "data", "settings", "left out", "changes"} <= note.keys()
    assert note["format"] == FORMAT


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_is_continued_with_resume_and_begun_without(recipe: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run to go on with: leave --resume out"):
        RunFolder(tmp_path, "iqsr train", recipe, resume=True)
    begin(tmp_path, recipe)
    with pytest.raises(IqsrError, match="holds a run: add --resume to go on with it"):
        RunFolder(tmp_path, "iqsr train", recipe, resume=False)
    assert RunFolder(tmp_path, "iqsr train", recipe, resume=True).changed == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_of_another_format_is_refused(recipe: Any, tmp_path: Path) -> None:
    """Also one that does not say: it was begun before runs said so."""
    begin(tmp_path, recipe)
    note = json.loads((tmp_path / "run.json").read_text())
    for changed in (note | {"format": FORMAT + 1}, {name: what for name, what in note.items() if name != "format"}):
        (tmp_path / "run.json").write_text(json.dumps(changed))
        with pytest.raises(IqsrError, match=r"^'.*' holds a run of another version of iqsr: continue it with"):
            RunFolder(tmp_path, "iqsr train", recipe, resume=True)


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(1, {})
    (path,) = (tmp_path / "checkpoints").glob("*.json")
    note = json.loads(path.read_text())
    path.write_text(json.dumps({name: what for name, what in note.items() if name != "format"}))
    with pytest.raises(IqsrError, match="another version of iqsr"):
        checkpoints.load()


def test_a_fact_must_stay(tmp_path: Path) -> None:
    begin(tmp_path, RECIPES[0], start="srq")
    folder = RunFolder(tmp_path, "iqsr train", RECIPES[0], resume=True)
    folder.check_fact("start", "srq", str)
    with pytest.raises(IqsrError, match="holds a run that began with srq"):
        folder.check_fact("start", "scratch", lambda began: f"that began with {began}")


def test_other_data_is_refused_unless_it_is_accepted(tmp_path: Path) -> None:
    begin(tmp_path, RECIPES[0])
    folder = RunFolder(tmp_path, "iqsr train", RECIPES[0], resume=True)
    other = Identity({"b": mark([2], ["z"]), "c": mark([3], None)})
    says = r"holds a run on other data: 1 added \(c\), 1 removed \(a\), 1 changed \(b\) of 2 sets; .*--accept-data"
    with pytest.raises(IqsrError, match=says):
        folder.check_data(other, "sets", accept=False)
    found = folder.check_data(other, "sets", accept=True)
    folder.take()
    folder.write(left_out={}, data=other, step=4, changed={"data": found.note()})
    folder.release()
    history = json.loads((tmp_path / "run.json").read_text())["changes"]
    assert history == [{"step": 4, "data": {"added": ["c"], "removed": ["a"], "changed": ["b"]}}]
    assert not RunFolder(tmp_path, "iqsr train", RECIPES[0], resume=True).check_data(other, "sets", accept=False)


def test_steps_that_were_taken_are_the_least(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = PreferenceRecipe(steps=3)
    assert at_least(recipe, tmp_path) == recipe
    Checkpoints(tmp_path / "checkpoints").save(5, {})
    assert at_least(recipe, tmp_path).steps == 5
    assert "has taken 5 steps already, not 3" in caplog.text


@pytest.mark.parametrize("damage", [b"", None])
def test_steps_of_a_checkpoint_that_is_not_whole_were_not_taken(tmp_path: Path, damage: bytes | None) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (5, 9):
        checkpoints.save(step, {})
    (tmp_path / "checkpoints" / "step-99999999-rank0.ckpt").write_bytes(b"")
    cut = tmp_path / "checkpoints" / "step-00000009-rank0.ckpt"
    cut.write_bytes(cut.read_bytes()[:-9] if damage is None else damage)
    assert at_least(PreferenceRecipe(steps=3), tmp_path).steps == 5
    assert at_least(PreferenceRecipe(steps=6), tmp_path).steps == 6
    with pytest.raises(IqsrError, match="the run goes on from its checkpoint of step 5"), lost_processes(tmp_path):
        raise RuntimeError("gloo: connection closed by peer")


def test_a_run_without_a_whole_checkpoint_goes_on_from_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-99999999-rank0.ckpt").write_bytes(b"")
    with pytest.raises(IqsrError, match="from its beginning, for it has no checkpoint"), lost_processes(tmp_path):
        raise RuntimeError("gloo: connection closed by peer")


@pytest.mark.parametrize(
    ("recipe", "section"), [(TrainRecipe, "data."), (PredictorRecipe, "data."), (PreferenceRecipe, "")]
)
def test_leaving_damaged_pictures_out_needs_the_check(recipe: type[Any], section: str, tmp_path: Path) -> None:
    path = tmp_path / "empty.toml"
    path.touch()
    says = rf"^.*{section}damaged = 'skip' needs {section}check = true"
    with pytest.raises(UsageError, match=says):
        read_recipe(path, recipe, [f"{section}damaged=skip", f"{section}check=false"])


def test_a_renamed_item_is_named_as_such() -> None:
    before = Identity({"a": mark([1], ["x"]), "b": mark([2], ["y"])})
    now = Identity({"b": mark([2], ["y"]), "z": mark([1], ["x"])})
    assert str(now.since(before)) == "1 added (z), 1 removed (a), names count, and 'a' is 'z' now"
    assert now.since(before).renamed == [("a", "z")]
    assert now.since(before).note() == {"added": ["z"], "removed": ["a"]}
