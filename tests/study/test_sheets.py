"""Sheets: the right pictures on the right sides, and nothing that tells the methods apart."""

import csv
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from iqsr.errors import UsageError
from iqsr.study.asap import assign
from iqsr.study.design import Design, read_design
from iqsr.study.imports import import_votes
from iqsr.study.pictures import png_chunks
from iqsr.study.plan import Plan
from iqsr.study.sheets import detailed_corner, write_sheets
from iqsr.study.votes import NO_DIFFERENCE, read_votes
from support.study_samples import small_study

PLAN = Plan(2, 4, attention_checks=1, repeats=1, seed=2)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def shown(design: Design, study: Path, scene: str, method: str) -> np.ndarray:
    return pixels(study / "pictures" / design.files[scene][method])


def contains(sheet: np.ndarray, part: np.ndarray, x: int, y: int) -> bool:
    return np.array_equal(sheet[y : y + part.shape[0], x : x + part.shape[1]], part)


def test_each_rater_gets_a_folder_with_a_sheet_for_each_trial(tmp_path: Path) -> None:
    study = small_study(tmp_path, PLAN, question="Which one is sharper?", instructions="Sit down.")
    design = read_design(study)
    folders = write_sheets(study, tmp_path / "sheets")
    assert [folder.name for folder in folders] == ["r01", "r02"]
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["r01", "r02"]
    for seat, folder in zip(design.seats, folders, strict=True):
        names = {path.name for path in folder.iterdir()}
        assert names == {f"{trial.id}.png" for trial in seat.trials} | {"README.txt", "answers.csv"}
        with (folder / "answers.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["trial"] for row in rows] == [trial.id for trial in seat.trials]
        assert list(rows[0]) == ["trial", "choice", "strength", "reason"]
        text = (folder / "README.txt").read_text()
        assert "Which one is sharper?" in text
        assert "Sit down." in text
        for trial in seat.trials:
            sheet = pixels(folder / f"{trial.id}.png")
            left, right = (shown(design, study, trial.picture, method) for method in trial.shown)
            assert contains(sheet, left, 20, 56)
            assert contains(sheet, right, 20 + 24 + 20, 56)


def test_nothing_but_pixels_tells_the_methods_apart(tmp_path: Path) -> None:
    study = small_study(tmp_path, PLAN, methods=("secret-one", "secret-two"))
    for folder in write_sheets(study, tmp_path / "sheets"):
        shapes = set()
        for path in folder.iterdir():
            data = path.read_bytes()
            assert b"secret" not in data
            assert not {*path.stem} - {*"rREADMEanswers0123456789-"}
            if path.suffix == ".png":
                assert {name for name, _ in png_chunks(data)} == {b"IHDR", b"IDAT", b"IEND"}
                shapes.add(pixels(path).shape)
        assert len(shapes) == 1


def test_a_crop_is_the_same_part_of_all_methods_and_for_all_raters(tmp_path: Path) -> None:
    study = small_study(tmp_path, Plan(2, 4, repeats=1, seed=2), scenes=4)
    design = read_design(study)
    with pytest.raises(UsageError, match="a part of 8 pixels shows nothing"):
        write_sheets(study, tmp_path / "sheets", crop_size=8)
    folders = write_sheets(study, tmp_path / "sheets", crop_size=32)  # larger than the pictures: all of them
    assert pixels(folders[0] / "r01-001.png").shape == (28 + 28 + 18 + 20, 2 * 44 + 20, 3)
    versions = [np.zeros((40, 50, 3), np.uint8) for _ in design.methods]
    for version in versions:
        version[20:40, 30:50] = np.random.default_rng(0).integers(0, 256, (20, 20, 3))
    corners = {detailed_corner(versions, 16, Random("1")) for _ in range(3)}
    assert len(corners) == 1
    x, y = corners.pop()
    assert 0 <= x <= 34
    assert 0 <= y <= 24


def test_the_corner_has_the_second_most_detail_of_six() -> None:
    ramp = np.zeros((64, 64, 3), np.uint8)
    ramp[:, ::2] = np.arange(64, dtype=np.uint8)[:, None, None] * 4  # the further down, the more contrast
    rng = Random("seed")
    tops = sorted((rng.randint(0, 48), rng.randint(0, 48))[1] for _ in range(6))
    assert detailed_corner([ramp], 16, Random("seed"))[1] == tops[-2]


def test_best_of_n_has_numbered_pictures_in_rows_of_three(tmp_path: Path) -> None:
    study = small_study(tmp_path, Plan(2, 4, mode="best-of-n", seed=1), methods=tuple("abcd"))
    design = read_design(study)
    (first, _) = write_sheets(study, tmp_path / "sheets")
    trial = design.seats[0].trials[0]
    sheet = pixels(first / f"{trial.id}.png")
    places = [(20, 56), (64, 56), (108, 56), (20, 56 + 18 + 28)]
    for method, (x, y) in zip(trial.shown, places, strict=True):
        assert contains(sheet, shown(design, study, trial.picture, method), x, y)
    assert "the number of the picture" in (first / "README.txt").read_text()


def test_active_pairing_gets_the_trials_before_any_vote(tmp_path: Path) -> None:
    study = small_study(tmp_path, Plan(2, 6, pairing="asap", seed=1), scenes=6, methods=tuple("abcde"))
    folders = write_sheets(study, tmp_path / "sheets")
    for folder in folders:
        trials = assign(read_design(study), folder.name, ())
        assert (folder / "answers.csv").read_text().split("\n")[1:-1] == [f"{trial.id},,," for trial in trials]


def test_a_folder_with_answers_is_never_replaced(tmp_path: Path) -> None:
    study = small_study(tmp_path, PLAN)
    write_sheets(study, tmp_path / "sheets")
    (tmp_path / "sheets/r01/answers.csv").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        write_sheets(study, tmp_path / "sheets")
    assert (tmp_path / "sheets/r01/answers.csv").read_text() == "mine"
    with pytest.raises(UsageError, match="is no study"):
        write_sheets(tmp_path / "sheets", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_filled_in_sheets_are_read_back_as_the_votes_that_were_meant(tmp_path: Path) -> None:
    study = small_study(tmp_path, PLAN, allow_no_difference=True)
    write_sheets(study, tmp_path / "sheets")
    expected = {}
    for seat in read_design(study).seats:
        table = tmp_path / "sheets" / seat.name / "answers.csv"
        rows = ["trial,choice,strength,reason"]
        for number, trial in enumerate(seat.trials):
            choice = ("LEFT", "right", "NONE")[number % 3]
            rows.append(f"{trial.id},{choice},clearly,")
            expected[trial.id] = (*trial.shown, NO_DIFFERENCE)[number % 3]
        table.write_text("\n".join(rows) + "\n")
    import_votes(study, [tmp_path / "sheets"])
    votes = read_votes(study / "votes.csv")
    assert {vote.trial: vote.chosen for vote in votes} == expected
    assert {vote.rater for vote in votes} == {"r01", "r02"}
    assert [vote.kind for vote in votes] == [trial.kind for seat in read_design(study).seats for trial in seat.trials]
