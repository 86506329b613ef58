"""Layouts of sets to evaluate on: which files belong together, and what is said of those that do not."""

from pathlib import Path

import pytest

from iqsr.datasets.hggt_test import open_hggt_test
from iqsr.datasets.names import beginnings, match
from iqsr.datasets.pairs import open_inputs, open_originals, open_pairs, pair_folders
from iqsr.datasets.realsr import is_realsr, open_realsr
from iqsr.errors import UsageError
from support.evaluation_samples import hggt, pairs, realsr, reduced, save, smooth

P, S, N = "Positive", "Similar", "Negative"


def test_beginnings_cut_no_word_and_no_number() -> None:
    assert list(beginnings("img_10_x4")) == ["img_10_x4", "img_10_x", "img_10_", "img_10", "img_", "img"]
    assert list(beginnings("babyx4")) == ["babyx4", "babyx", "baby"]


def test_a_picture_belongs_to_the_longest_name_that_begins_its_own() -> None:
    pictures = [Path(f"{name}.png") for name in ("a_2_ours", "a", "img_10", "abc", "b", "b-x4")]
    found = match(["a", "a_2", "img_1", "b"], pictures)
    assert found.found == {"a": Path("a.png"), "a_2": Path("a_2_ours.png")}
    assert found.several == {"b": (Path("b.png"), Path("b-x4.png"))}
    assert found.strangers == (Path("img_10.png"), Path("abc.png"))


def test_accents_composed_and_decomposed_are_one_name() -> None:
    assert match(["caf\u00e9"], [Path("cafe\u0301_x4.png")]).found == {"caf\u00e9": Path("cafe\u0301_x4.png")}


def test_realsr(tmp_path: Path) -> None:
    realsr(tmp_path)
    found = open_realsr(tmp_path)
    assert is_realsr(tmp_path)
    assert [item.name for item in found.items] == ["Canon_001", "Canon_002", "Nikon_001", "Nikon_002"]
    first = found.items[0]
    place = tmp_path / "Canon" / "Test" / "4"
    assert first.lr == place / "Canon_001_LR4.png"
    assert first.references == first.ground_truths == (place / "Canon_001_HR.png",)
    assert found.findings == ()
    assert found.name == "RealSR v3 Canon+Nikon x4"


def test_realsr_of_one_camera_by_another_scale(tmp_path: Path) -> None:
    realsr(tmp_path)
    realsr(tmp_path, 2, ("Nikon",))
    assert [item.name for item in open_realsr(tmp_path, scale=2, cameras=["Nikon"]).items] == ["Nikon_001", "Nikon_002"]
    with pytest.raises(UsageError, match="Canon/Test/2"):
        open_realsr(tmp_path, scale=2)


def test_realsr_tells_what_is_left_out(tmp_path: Path) -> None:
    place = realsr(tmp_path, cameras=("Canon",)) / "Canon" / "Test" / "4"
    (place / "Canon_001_LR4.png").unlink()
    save(place / "Canon_003_LR2.png", smooth(0))
    save(place / "notes.png", smooth(0))
    found = open_realsr(tmp_path, cameras=["Canon"])
    assert [item.name for item in found.items] == ["Canon_002"]
    assert found.findings == (
        f"'{place / 'Canon_001_HR.png'}' has no LR picture beside it",
        f"'{place / 'Canon_003_LR2.png'}': is said to be of scale 2, in a folder of scale 4",
        f"'{place / 'notes.png'}': expected a name like Canon_001_HR or Canon_001_LR4",
    )


def test_pairs(tmp_path: Path) -> None:
    pairs(tmp_path, ("a", "b"), suffix="x4")
    folders = pair_folders(tmp_path)
    assert folders is not None
    assert folders == (tmp_path / "HR", tmp_path / "LR")
    found = open_pairs(*folders)
    assert [(item.name, item.lr) for item in found.items] == [(n, tmp_path / "LR" / f"{n}x4.png") for n in "ab"]


def test_originals_named_hr_go_with_inputs_named_lr(tmp_path: Path) -> None:
    save(tmp_path / "HR" / "x_HR.png", smooth(0))
    save(tmp_path / "LR" / "x_LR4.png", reduced(smooth(0)))
    (item,) = open_pairs(tmp_path / "HR", tmp_path / "LR").items
    assert (item.name, item.lr) == ("x", tmp_path / "LR" / "x_LR4.png")


def test_folders_alone(tmp_path: Path) -> None:
    save(tmp_path / "a.png", smooth(0))
    assert open_inputs(tmp_path).items[0].lr == tmp_path / "a.png"
    assert not open_inputs(tmp_path).has_references
    assert open_originals(tmp_path).items[0].references == (tmp_path / "a.png",)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="there is no picture in"):
        open_inputs(tmp_path / "empty")
    with pytest.raises(UsageError, match="no such folder"):
        open_inputs(tmp_path / "nowhere")


def test_hggt_has_its_inputs_and_the_majoritys_positives(tmp_path: Path) -> None:
    test = hggt(tmp_path, {"0001-0-0": (P, S, P, N)})
    (item,) = open_hggt_test(test).items
    assert [path.parent.name for path in item.references] == ["01", "03"]
    assert [path.parent.name for path in item.ground_truths] == ["original", "01", "02", "03", "04"]
    assert item.lr == tmp_path / "Test/Blind_Degradation_Benchmark_LQ/Test-100/Blind_LR/0001-0-0.png"


def test_hggt_without_positives_anywhere_is_refused(tmp_path: Path) -> None:
    test = hggt(tmp_path, {"0001-0-0": (S, S, S, N)})
    with pytest.raises(UsageError, match="no majority finds any of it better"):
        open_hggt_test(test)
