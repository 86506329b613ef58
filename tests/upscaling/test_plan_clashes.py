"""Results that would have one name: told apart or refused, each for itself, and the rest goes on."""

import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from iqsr import Upscaler
from iqsr.errors import UsageError
from iqsr.upscaling.jobs import Existing, UpscaleOptions, upscale_batch
from iqsr.upscaling.plan import plan
from support.cli_pictures import FAST, names, picture
from support.commands import Run


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler("realesr-animevideov3", precision="fp32")


def planned(*inputs: str, out: str | None = "o", **options: Any) -> dict[str, str]:
    """By source, the result or why there is none."""
    jobs = plan(inputs, out, UpscaleOptions(**options))
    return {job.source.as_posix(): job.refused or job.out.as_posix() for job in jobs}


def test_pictures_of_one_name_and_several_formats_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    names("in/a.png", "in/a.jpg", "in/b.png", "in/x/a.png")
    assert planned("in", format="webp") == {
        "in/a.jpg": "o/a_jpg.webp",
        "in/a.png": "o/a_png.webp",
        "in/b.png": "o/b.webp",
        "in/x/a.png": "o/x/a.webp",
    }
    assert caplog.messages == [
        "'in/a.jpg' and 'in/a.png' would both become 'o/a.webp': they become 'a_jpg.webp' and 'a_png.webp'"
    ]


def test_names_that_are_told_apart_have_the_suffix_behind_them() -> None:
    names("a.png", "a.jpg")
    assert planned("a.png", "a.jpg", format="tiff", suffix="_x4") == {
        "a.png": "o/a_png_x4.tiff",
        "a.jpg": "o/a_jpg_x4.tiff",
    }
    assert planned("a.png", "a.jpg", out=None, format="tiff") == {
        "a.png": "a_png_upscaled.tiff",
        "a.jpg": "a_jpg_upscaled.tiff",
    }


@pytest.mark.parametrize(("text", "out", "suffix"), [("in", "o", None), ("in", "in", None), ("*.*", None, None)])
def test_told_apart_they_are_found_again(text: str, out: str | None, suffix: str | None) -> None:
    names("in/a.png", "in/a.jpg", "in/b.png", "a.png", "a.jpg", "b.png")
    first = planned(text, out=out, format="webp", suffix=suffix, existing="skip")
    names(*first.values())
    assert planned(text, out=out, format="webp", suffix=suffix, existing="skip") == first


def test_the_result_of_an_earlier_run_is_not_taken_for_that_of_another_picture(upscaler: Upscaler) -> None:
    picture("in/a.jpg")
    list(upscale_batch(lambda: upscaler, plan(["in"], "o", UpscaleOptions(format="png"))))
    picture("in/a.png", (20, 20))
    jobs = plan(["in"], "o", UpscaleOptions(format="png", existing="skip"))
    done = list(upscale_batch(lambda: upscaler, jobs))
    assert [result.state for result in done] == ["done", "done"]
    assert Image.open("o/a_png.png").size == (80, 80)


def test_folders_with_the_same_names_are_refused_picture_by_picture() -> None:
    names("one/a.png", "one/b.png", "two/a.png", "two/c.png")
    clash = "'one/a.png' and 'two/a.png' would both become 'o/a.png'; run them apart, each with its own -o"
    assert planned("one", "two") == {
        "one/a.png": clash,
        "one/b.png": "o/b.png",
        "two/a.png": clash,
        "two/c.png": "o/c.png",
    }


def test_where_all_is_refused_nothing_begins() -> None:
    names("one/a.png", "two/a.png")
    with pytest.raises(UsageError, match=r"'one/a\.png' and 'two/a\.png' would both become 'o/a\.png'"):
        planned("one", "two")


def test_a_name_that_is_told_apart_may_be_taken_itself() -> None:
    names("in/a.png", "in/a.jpg", "in/a_jpg.png")
    clash = "'in/a.jpg' and 'in/a_jpg.png' would both become 'o/a_jpg.webp'; run them apart, each with its own -o"
    assert planned("in", format="webp") == {"in/a.jpg": clash, "in/a.png": "o/a_png.webp", "in/a_jpg.png": clash}


def test_what_would_replace_a_source_is_refused_and_the_rest_goes_on() -> None:
    names("in/a.png", "in/b.jpg")
    assert planned("in", out="in", format="jpg") == {
        "in/a.png": "in/a.jpg",
        "in/b.jpg": "'in/b.jpg' would become 'in/b.jpg', which would replace a source; choose another -o or a --suffix",
    }


def test_a_clash_is_one_line_each_and_the_exit_code_is_1(iqsr: Run) -> None:
    for name in ("one/a.png", "two/a.png", "two/b.png"):
        picture(name)
    for more in ([], ["--dry-run", "--overwrite"]):
        ended = iqsr("upscale", "one", "two", "-o", "o", *more, *FAST)
        assert ended.code == 1
        assert ended.err.count("would both become 'o/a.png'") == 2
        assert [path.name for path in Path("o").iterdir()] == ["b.png"]


# Names that some disks take for one


@pytest.mark.parametrize(("one", "other"), [("a", "A"), ("ä", "Ä"), ("straße", "STRASSE"), ("é", "e\u0301")])
def test_names_that_some_disks_take_for_one_know_of_each_other(one: str, other: str) -> None:
    names(f"in/x/{one}.png", f"in/y/{other}.png", "in/x/z.png")
    jobs = plan(["in/x", "in/y"], "o")
    place = Path("o").resolve()
    clashes = {job.source.name: job.name_clashes for job in jobs}
    assert clashes == {
        f"{one}.png": (place / f"{other}.png",),
        f"{other}.png": (place / f"{one}.png",),
        "z.png": (),
    }
    assert not any(job.refused for job in jobs)


def test_where_the_disk_tells_them_apart_both_are_written(upscaler: Upscaler, tmp_path: Path) -> None:
    if folds(tmp_path):
        pytest.skip("this disk does not")
    picture("x/a.png")
    picture("y/A.png", (20, 20))
    done = list(upscale_batch(lambda: upscaler, plan(["x", "y"], "o")))
    assert [result.state for result in done] == ["done", "done"]
    assert Image.open("o/A.png").size == (80, 80)


def folds(folder: Path) -> bool:
    """Whether the disk takes names for one that differ in case only."""
    (folder / "folds").touch()
    return (folder / "FOLDS").exists()


@pytest.fixture
def folding(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk that takes names for one that differ in case or composition: macOS has no other."""
    if folds(tmp_path):
        yield tmp_path
        return
    image, place = tmp_path / "image", tmp_path / "disk"
    place.mkdir()
    image.write_bytes(bytes(16 << 20))
    steps = [
        ["mkfs.ext4", "-q", "-O", "casefold", "-E", "encoding=utf8", str(image)],
        ["mount", "-o", "loop", str(image), str(place)],
    ]
    try:
        ready = all(subprocess.run(step, capture_output=True, check=False).returncode == 0 for step in steps)
    except OSError:
        ready = False
    if not ready:
        pytest.skip("no disk here that folds names, nor a way to mount one")
    try:
        (place / "o").mkdir()
        subprocess.run(["chattr", "+F", str(place / "o")], check=True)
        yield place / "o"
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("other", ["Ä.png", unicodedata.normalize("NFD", "ä.png")])
def test_where_the_disk_folds_names_nothing_is_replaced(upscaler: Upscaler, folding: Path, other: str) -> None:
    picture("x/ä.png")
    picture(f"y/{other}", (20, 20))
    states: dict[Existing, str] = {"replace": "done", "skip": "skipped"}
    for existing, state in states.items():
        jobs = plan(["x", "y"], str(folding / "results"), UpscaleOptions(existing=existing))
        done = list(upscale_batch(lambda: upscaler, jobs))
        assert [result.state for result in done] == [state, "failed"]
        assert "on this disk is the name of another picture" in (done[1].error or "")
    (result,) = (folding / "results").iterdir()
    assert np.asarray(Image.open(result)).shape == (96, 128, 3)
