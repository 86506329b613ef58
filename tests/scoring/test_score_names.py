"""Names of files: those that are no text, originals of other names, accents that are written in two ways."""

import itertools
import os
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image

from iqsr.scoring import score_files
from support.commands import Run
from support.score_samples import picture

NAME = os.fsdecode(b"sr/caf\xe9.png")


@pytest.fixture(autouse=True)
def _pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose name is no UTF-8, and one of that name that is damaged."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path / "cache"))
    Path("sr").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)).save(NAME)
    Path(os.fsdecode(b"sr/\xe9.png")).write_bytes(Path(NAME).read_bytes()[:900])


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_a_name_that_is_no_text_is_escaped(iqsr: Run, suffix: str) -> None:
    ended = iqsr("score", "sr", "-m", "laplacian", "-o", f"table.{suffix}")
    assert ended.code == 1  # of the damaged one
    assert r"caf\xe9.png" in ended.out
    from pandas import read_csv, read_json, read_parquet

    table = {"csv": read_csv, "json": read_json, "parquet": read_parquet}[suffix](f"table.{suffix}")
    assert list(table["path"]) == [r"sr/caf\xe9.png", r"sr/\xe9.png"]
    assert list(table["laplacian"].isna()) == [False, True]
    assert r"\xe9.png" in table["error"][1]


@pytest.mark.parametrize(("original", "scored"), itertools.permutations(("NFC", "NFD"), 2))
def test_accents_may_be_written_in_two_ways(original: Literal["NFC", "NFD"], scored: Literal["NFC", "NFD"]) -> None:
    theirs = picture(f"gt/{normalize(original, 'é')}/{normalize(original, 'café')}.png")
    picture(f"gt/b/{normalize(original, 'café')}.png", seed=1)
    picture(f"x4/{normalize(scored, 'é')}/{normalize(scored, 'caféx4_ours')}.png")
    table = score_files(["x4"], ["psnr"], reference=Path("gt"))
    assert list(table["reference"]) == [str(theirs)]
    assert list(table["psnr"]) == [100]


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_the_table_says_what_each_picture_is_compared_with(iqsr: Run, suffix: str) -> None:
    for name in ("gt/a.png", "gt/b.png", "x4/a.png", "x4/b_ours.png", "x4/c.png"):
        picture(name)
    ended = iqsr("score", "x4", "--reference", "gt", "-m", "psnr,laplacian", "-o", f"t.{suffix}")
    assert ended.code == 1  # nothing is the original of c
    from pandas import read_csv, read_json, read_parquet

    table = {"csv": read_csv, "json": read_json, "parquet": read_parquet}[suffix](f"t.{suffix}")
    assert list(table.columns) == ["path", "width", "height", "reference", "psnr", "laplacian", "error"]
    assert list(table["reference"][:2]) == ["gt/a.png", "gt/b.png"]
    assert table["reference"].isna()[2]
    assert "reference" not in score_files(["x4"], ["laplacian"]).columns


def test_scores_that_are_remembered_say_so_too() -> None:
    picture("gt/a.png")
    picture("x4/a.png", seed=1)
    first, again = (score_files(["x4"], ["psnr"], reference=Path("gt"), cache=Path("c")) for _ in range(2))
    assert list(again["reference"]) == ["gt/a.png"]
    assert first.equals(again)


@pytest.mark.parametrize(
    ("scored", "original", "told"),
    [
        ("cat_2.png", "cat.png", True),
        ("cat-b.png", "cat.png", True),
        ("cat (1).png", "cat.png", True),
        ("0801_ours.png", "0801.png", True),
        ("0801x4_ours.png", "0801.png", False),
        ("0801_x2.png", "0801.png", False),
        ("one/cat.png", "two/cat.png", True),
        ("cat.jpg", "cat.png", False),
        ("one/cat.png", "one/cat.png", False),
        ("one/cat.png", "cat.png", False),
        ("cat.png", "two/cat.png", False),
    ],
)
def test_an_original_of_another_name_is_told(
    scored: str, original: str, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    picture(f"gt/{original}")
    picture(f"x4/{scored}")
    score_files(["x4"], ["psnr"], reference=Path("gt"))
    wanted = (
        f"'{scored}' is compared with '{original}', an original of another name; the table's column 'reference' has"
    )
    assert [record.getMessage()[: len(wanted)] for record in caplog.records] == [wanted] * told


def test_all_of_another_name_are_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    picture("gt/cat.png")
    for name in ("cat.png", "cat_2.png", "cat_3.png", "cat_4.png"):
        picture(f"x4/{name}")
    score_files(["x4"], ["psnr"], reference=Path("gt"))
    (record,) = caplog.records
    assert (
        "'cat_2.png' is compared with 'cat.png', an original of another name, as 2 more with such"
        in record.getMessage()
    )


def test_one_original_for_all_is_nothing_to_tell(caplog: pytest.LogCaptureFixture) -> None:
    picture("cat.png")
    picture("x4/dog.png")
    assert list(score_files(["x4"], ["psnr"], reference=Path("cat.png"))["reference"]) == ["cat.png"]
    assert caplog.records == []


def test_folders_of_systems_are_passed_over() -> None:
    for folder in ("@eaDir/a.png", "__MACOSX", "#recycle", ".thumbs", "x/@eaDir", "$RECYCLE.BIN"):
        picture(f"nas/{folder}/a.png")
    picture("nas/x/a.png")
    for given in ("nas", "nas/**/*.png", "nas/*/a.png"):
        assert list(score_files([given], ["laplacian"])["path"]) == ["nas/x/a.png"]
    assert list(score_files(["nas/@eaDir"], ["laplacian"])["path"]) == ["nas/@eaDir/a.png/a.png"]
