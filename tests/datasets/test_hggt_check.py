"""What `check` finds wrong with sets of ground truths."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iqsr.datasets import check
from support.hggt_samples import ENHANCED, MIXED, P, add_set, changed, label_file, picture, three_sets


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return three_sets(tmp_path / "Train")


def test_check_finds_all_that_is_wrong_in_one_run(train: Path) -> None:
    images = train / "images/0-20193"
    (images / "01/0001-0-288_01.png").write_bytes(b"not a picture")
    picture(images / "02/0001-0-288_02.png", size=(8, 4))
    (images / "original/0002-0-0.png").unlink()
    label_file(train).write_text("{}")
    found = {finding.path.relative_to(train).as_posix(): finding.problem for finding in check(train)}
    without_original = [f"images/0-20193/{v}/0002-0-0_{v}.png" for v in ENHANCED]
    without_original += [f"labels/0-20193/{a}/0002-0-0.json" for a in "ABC"]
    assert {path for path, problem in found.items() if problem == "there is no original for it"} == {*without_original}
    assert "Picture_2 is missing" in found["labels/0-20193/B/0001-0-288.json"]
    assert found["images/0-20193/02/0001-0-288_02.png"] == "8 x 4 pixels; others of its set have 6 x 4"
    assert "images/0-20193/01/0001-0-288_01.png" in found
    assert len(found) == 7 + 3


def test_check_looks_at_what_reading_passes_over(train: Path) -> None:
    add_set(train, "0001-0-288", MIXED, part="20194-30000")  # as in the other range
    stray = train / "labels/40000-50000"
    (stray / "A").mkdir(parents=True)
    said = {
        "A": (
            {"Name": "0001-0-288.png", "File": "01", "Label": None},
            "Picture_1 is said to be of folder '01', expected 'original'",
        ),
        "B": (None, "Picture_1, the original, is missing"),
        "C": ({"File": "Original", "Label": P}, "Picture_1, the original, has the label 'Positive'"),
    }
    for annotator, (first, _) in said.items():
        (train / f"labels/0-20193/{annotator}/0001-0-288.json").write_text(changed(Picture_1=first))
    found = {finding.path.relative_to(train).as_posix(): finding.problem for finding in check(train)}
    twice = found.pop("images/20194-30000/original/0001-0-288.png")
    assert twice.endswith("images/0-20193/original' has a set of this name, too")
    assert found.pop("labels/40000-50000") == "labels of a range that has no pictures"
    assert found == {f"labels/0-20193/{a}/0001-0-288.json": problem for a, (_, problem) in said.items()}


def test_labels_that_nobody_reads_are_told(train: Path) -> None:
    labels = train / "labels/0-20193"
    (labels / "C").rename(labels / "c")
    found = {finding.path.name: finding.problem for finding in check(train)}
    assert found["c"] == "labels of an unknown annotator 'c'; known: A, B, C"
    assert found["C"].startswith("No such file")
    assert len(found) == 2


def test_folders_without_a_set_are_not_well(tmp_path: Path) -> None:
    for variant in ("original", "01"):
        (tmp_path / variant).mkdir()
    (finding,) = check(tmp_path)
    assert (finding.path, finding.problem) == (tmp_path / "original", "holds no pictures: there are no sets")


def test_only_a_deep_check_finds_a_picture_cut_short(train: Path) -> None:
    path = train / "images/0-20193/04/0001-0-288_04.png"
    noise = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    assert check(train, deep=False) == []
    (finding,) = check(train)
    assert finding.path == path
