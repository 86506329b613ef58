"""The folder of a study: pixels and nothing else, equal lengths, the same for the same seed, whole or not there."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from iqsr.errors import IqsrError, PictureError, UsageError
from iqsr.study.create import create_study, plan_study
from iqsr.study.design import ATTENTION, INPUT, read_design
from iqsr.study.new_folder import new_folder
from iqsr.study.pictures import png_chunks
from iqsr.study.plan import Plan
from iqsr.study.settings import Settings, read_settings
from support.study_samples import method_folders

PLAN = Plan(raters=4, trials=4, attention_checks=1, repeats=1, seed=3)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_study_holds_its_design_its_settings_and_its_pictures(tmp_path: Path) -> None:
    folders = method_folders(tmp_path)
    design = create_study(folders, tmp_path / "new/study", PLAN, settings=Settings(title="T", question="Q?"))
    study = tmp_path / "new/study"
    assert read_design(study) == design == plan_study(folders, PLAN)
    assert read_settings(study).title == "T"
    assert design.methods == ("a", "b")
    assert design.pictures == ("s0", "s1", "s2", "s3")
    listed = {f"pictures/{file}" for files in design.files.values() for file in files.values()}
    assert contents(study).keys() == listed | {"design.json", "study.toml"}
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["study"]
    checked = {t.picture for seat in design.seats for t in seat.trials if t.kind == "attention"}
    assert {name for name, files in design.files.items() if ATTENTION in files} == checked
    for scene in design.pictures:
        for method, folder in folders.items():
            shown = Image.open(study / "pictures" / design.files[scene][method])
            assert np.array_equal(np.asarray(shown), np.asarray(Image.open(folder / f"{scene}.png")))


def test_the_files_of_a_scene_have_one_length_and_no_metadata(tmp_path: Path) -> None:
    folders = method_folders(tmp_path, methods=("a", "b", "c"))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with Image.open(folders["a"] / "s1.png") as picture:
        exif = picture.getexif()
        exif[0x010E] = "made by a"
        picture.save(folders["a"] / "s1.png", exif=exif, icc_profile=profile, dpi=(72, 72))
    design = create_study(folders, tmp_path / "study", Plan(4, 3, attention_checks=1, seed=3))
    for scene, files in design.files.items():
        data = [(tmp_path / "study/pictures" / file).read_bytes() for file in files.values()]
        assert len({len(one) for one in data}) == 1, scene
        for one in data:
            names = [name for name, _ in png_chunks(one)]
            assert names == [b"IHDR", *[b"IDAT"] * (len(names) - 3), b"fiLl", b"IEND"]
    assert len({len(path.read_bytes()) for path in folders["a"].iterdir()}) > 1  # they were not equal before


def test_the_same_seed_makes_the_same_files_and_another_seed_other_names(tmp_path: Path) -> None:
    folders = method_folders(tmp_path)
    create_study(folders, tmp_path / "one", PLAN)
    create_study(folders, tmp_path / "two", PLAN)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    create_study(folders, tmp_path / "three", Plan(raters=4, trials=4, attention_checks=1, repeats=1, seed=4))
    names = [{name for name in contents(tmp_path / study) if name.startswith("pictures")} for study in ("one", "three")]
    assert not names[0] & names[1]


def test_the_input_is_enlarged_to_squares_and_as_long_as_the_others(tmp_path: Path) -> None:
    folders = method_folders(tmp_path)
    (lr,) = method_folders(tmp_path, methods=("lr",), size=(6, 5)).values()
    design = create_study(folders, tmp_path / "study", PLAN, lr=lr)
    files = design.files["s2"]
    data = {name: (tmp_path / "study/pictures" / file).read_bytes() for name, file in files.items()}
    assert INPUT in data
    assert len({len(one) for one in data.values()}) == 1
    with Image.open(tmp_path / "study/pictures" / files[INPUT]) as shown, Image.open(lr / "s2.png") as given:
        assert shown.size == (24, 18)
        assert np.array_equal(np.asarray(shown)[0, :4], np.asarray(given)[0, :1].repeat(4, 0))


def test_orientation_profile_and_transparency_become_pixels(tmp_path: Path) -> None:
    folders = method_folders(tmp_path, scenes=2, size=(18, 24))
    with Image.open(folders["a"] / "s0.png") as picture:
        exif = picture.getexif()
        exif[0x0112] = 6
        upright = np.asarray(picture)
        Image.fromarray(np.rot90(upright)).save(folders["a"] / "s0.png", exif=exif)
    with Image.open(folders["b"] / "s0.png") as picture:
        picture.putalpha(Image.new("L", picture.size, 0))
        picture.save(folders["b"] / "s0.png")
    design = create_study(folders, tmp_path / "study", Plan(2, 2))
    shown = {m: np.asarray(Image.open(tmp_path / "study/pictures" / f)) for m, f in design.files["s0"].items()}
    assert np.array_equal(shown["a"], upright)
    assert (shown["b"] == 255).all()


def test_some_of_the_scenes_are_drawn(tmp_path: Path) -> None:
    folders = method_folders(tmp_path, scenes=7)
    design = create_study(folders, tmp_path / "study", Plan(2, 3, seed=1), scenes=3)
    assert len(design.pictures) == 3
    assert len(list((tmp_path / "study/pictures").iterdir())) == 6


def test_of_two_that_make_one_study_the_later_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "study"

    def make_later() -> None:
        with new_folder(out) as later:
            (later / "design.json").write_text("later")
            out.mkdir()
            (out / "design.json").write_text("earlier")

    with pytest.raises(UsageError, match="is not empty: name another folder"):
        make_later()
    assert contents(tmp_path) == {"study/design.json": b"earlier"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study"]


KILLED = """
import os, sys
from pathlib import Path
from iqsr.study.new_folder import new_folder
with new_folder(Path(sys.argv[1])) as part:
    (part / "design.json").write_text("half")
    os._exit(9)
"""


def test_what_a_killed_process_left_is_removed_and_the_folder_of_one_at_work_is_not(tmp_path: Path) -> None:
    out = tmp_path / "study"
    subprocess.run([sys.executable, "-c", KILLED, str(out)], check=False)
    (stale,) = tmp_path.iterdir()
    with new_folder(out) as part:
        assert not stale.exists()
        other = subprocess.run([sys.executable, "-c", KILLED, str(out)], check=False)
        assert other.returncode == 9
        assert part.exists()
        (part / "design.json").write_text("whole")
    assert contents(out) == {"design.json": b"whole"}


def test_active_pairing_has_degraded_pictures_to_choose_from(tmp_path: Path) -> None:
    folders = method_folders(tmp_path, scenes=6, methods=tuple("abcde"))
    design = create_study(folders, tmp_path / "study", Plan(2, 5, pairing="asap", attention_checks=1))
    assert sum(ATTENTION in files for files in design.files.values()) == 4


def save(path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size).save(path)


@pytest.mark.parametrize(
    ("change", "said", "error"),
    [
        (
            lambda f: save(f["b"] / "s1.png", (24, 17)),
            "of 's1' differ in size: 24 x 18 of 'a', 24 x 17 of 'b'",
            UsageError,
        ),
        (lambda f: (f["b"] / "s1.png").unlink(), "b' has no picture for 's1.png' of '.*a'", UsageError),
        (lambda f: (f["b"] / "s1.png").write_bytes(b"GIF89a"), "cannot read", PictureError),
        (lambda f: f.update(b=f["a"]), "'a' and 'b' are the same folder", UsageError),
        (lambda f: f.update({"c|d": f.pop("b")}), "is no name for a method", UsageError),
        (lambda f: f.update({ATTENTION: f.pop("b")}), "a word of iqsr's own", UsageError),
        (lambda f: f.update(b=f["a"] / "x"), "is no folder", UsageError),
        (
            lambda f: [(f["b"] / p.name).write_bytes(p.read_bytes()) for p in f["a"].iterdir()],
            "nothing to com",
            UsageError,
        ),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_nothing(change, said: str, error: type, tmp_path: Path) -> None:
    folders = method_folders(tmp_path)
    change(folders)
    with pytest.raises(error, match=said) as refused:
        create_study(folders, tmp_path / "new/study", PLAN)
    assert isinstance(refused.value, IqsrError)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "new").exists() or not list((tmp_path / "new").iterdir())


def test_a_folder_with_something_in_it_is_refused_and_an_empty_one_taken(tmp_path: Path) -> None:
    folders = method_folders(tmp_path)
    (tmp_path / "study").mkdir()
    create_study(folders, tmp_path / "study", PLAN)
    before = contents(tmp_path / "study")
    with pytest.raises(UsageError, match="is not empty: name another folder"):
        create_study(folders, tmp_path / "study", PLAN)
    assert contents(tmp_path / "study") == before
