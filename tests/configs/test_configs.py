"""The recipes that ship: their names, overlays, and the command that lists them."""

from pathlib import Path

import pytest

from iqsr.configs import overlay_names, recipe_files, recipe_names, summary
from iqsr.errors import UnknownNameError
from iqsr.recipes import read_recipe
from iqsr.training.sr.recipe import TrainRecipe
from support.commands import Run

FOLDERS = {"ablation", "compact", "paper", "predictor", "preferences", "prepare"}


def test_every_recipe_has_a_name_and_a_line() -> None:
    names = recipe_names()
    assert {name.partition("/")[0] for name in names} == FOLDERS
    assert len(set(map(summary, names))) == len(names)
    assert all(10 < len(summary(name)) <= 100 and summary(name).endswith(".") for name in names)


def test_unknown_names_are_told_with_the_nearest_first() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown recipe 'paper/swinir-amoft'; known: paper/swinir-amo-ft, "):
        recipe_files("paper/swinir-amoft")
    with pytest.raises(UnknownNameError, match=r"unknown overlay of 'paper' recipes 'naiv'; known: naive, "):
        recipe_files("paper/swinir-amo-ft+naiv")


def test_overlays_change_a_recipe_in_the_order_given() -> None:
    def read(name: str) -> TrainRecipe:
        return read_recipe(name, TrainRecipe)

    assert read("paper/swinir-amo-ft+ig+hp") == read("paper/swinir-amo-ft+hp+ig")
    assert read("paper/swinir-amo-ft+ig+nnr-ig5").objective.gan == 0.5
    assert read("paper/swinir-amo-ft+nnr-ig5+ig").objective.gan == 0.1
    assert read("paper/swinir-amo-ft+naive").lora is None


def test_a_file_may_inherit_from_a_recipe_that_ships(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('base = "paper/swinir-amo-ft"\nsteps = 7\n')
    assert read_recipe(tmp_path / "mine.toml", TrainRecipe).lora == read_recipe("paper/swinir-amo-ft", TrainRecipe).lora


def test_a_file_goes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper" / "swinir-amo-ft").write_text("steps = 7\n[model]\nstart = 'new:swinir-tiny'\n")
    assert read_recipe("paper/swinir-amo-ft", TrainRecipe).steps == 7


def test_the_command_lists_and_prints_them(iqsr: Run, tmp_path: Path) -> None:
    listed = iqsr("recipes").out.splitlines()
    assert len(listed) == len(recipe_names()) + len(overlay_names("paper"))
    assert any(line.startswith("paper/swinir-amo-ft ") for line in listed)
    for name in recipe_names():
        assert iqsr("recipes", "show", name).code == 0, name
    (tmp_path / "shown.toml").write_text(iqsr("recipes", "show", "paper/swinir-amo-ft+ig", "--set", "steps=5").out)
    shown = read_recipe(tmp_path / "shown.toml", TrainRecipe)
    assert shown == read_recipe("paper/swinir-amo-ft+ig", TrainRecipe, ["steps=5"])
    assert iqsr("recipes", "show", "paper/swinr").code == 2
