"""The formats of data sets, and HDR, in every command that reads pictures, from files and from folders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

from iqsr.agreement import Rate, agreement
from iqsr.datasets import open_folders
from iqsr.preparation import prepare
from iqsr.scoring import score_files
from support.cli_pictures import FAST
from support.commands import Run
from support.png_samples import write_png
from support.prepare_samples import RECIPE

LOSSLESS = ["bmp", "gif", "pgm", "jp2"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def save(name: str, seed: int = 0, contrast: int = 256) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, contrast, (40, 48), np.uint8)
    Image.fromarray(noise).save(path)  # gray: what a GIF holds without loss
    return path


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_scores_are_those_of_the_same_picture_as_png(suffix: str) -> None:
    for ending in (suffix, "png"):
        save(f"sr_{ending}/a.{ending}", 1)
        save(f"gt_{ending}/a.{ending}", 2)
    tables = [
        score_files([f"sr_{ending}"], ["psnr", "laplacian"], reference=Path(f"gt_{ending}"))
        for ending in (suffix, "png")
    ]
    for metric in ("psnr", "laplacian"):
        assert tables[0][metric].tolist() == tables[1][metric].tolist()


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_agreement_reads_pairs_of_them(suffix: str) -> None:
    save(f"sharp.{suffix}")
    save(f"flat.{suffix}", contrast=20)
    Path("pairs.csv").write_text(f"first,second,share_first\nsharp.{suffix},flat.{suffix},0.9\n")
    assert agreement(Path("pairs.csv"), ["laplacian"]).accuracy == {"laplacian": Rate(1, 1)}


@pytest.mark.parametrize("suffix", ["bmp", "ppm", "jp2"])
def test_sets_are_prepared_from_them(suffix: str) -> None:
    Path("photos").mkdir()
    photo = Image.fromarray(skimage.data.astronaut()[:300, 100:360])
    lossless: dict[str, Any] = {"irreversible": False} if suffix == "jp2" else {}
    photo.save(f"photos/a.{suffix}", **lossless)
    photo.save("a.png")
    made = [prepare([photos], Path(out), RECIPE) for photos, out in (("photos", "one"), ("a.png", "two"))]
    assert made[0].sets == made[1].sets > 0


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_sets_that_others_made_may_hold_them(suffix: str) -> None:
    for folder in ("original", "positive"):
        save(f"sets/{folder}/a.{suffix}")
    sets = open_folders({"original": Path("sets/original"), "positive": Path("sets/positive")})
    assert [one.name for one in sets] == ["a"]


def test_a_folder_of_them_is_enlarged_to_png(iqsr: Run) -> None:
    for suffix in ("bmp", "pgm", "jp2", "png"):
        save(f"in/{suffix}/a.{suffix}")
    ended = iqsr("upscale", "in", "-o", "o", *FAST)
    assert (ended.code, ended.err) == (0, "4 upscaled\n")
    results = [np.asarray(Image.open(path)) for path in sorted(Path("o").rglob("*.png"))]
    assert len(results) == 4
    for result in results:
        assert np.array_equal(result, results[0])


def hdr(name: str) -> Path:
    """A photo told to be of BT.2020 and PQ."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    photo = skimage.data.astronaut()[:300, 100:360].astype(np.uint16)
    return write_png(Path(name), photo * 257, [(b"cICP", bytes((9, 16, 0, 1)))])


def told(name: str | Path) -> str:
    return f"'{name}' has HDR colours (PQ, BT.2020), which count as sRGB here; convert it to sRGB first\n"


def test_score_tells_of_hdr_once_a_file_and_also_where_scores_are_remembered(iqsr: Run) -> None:
    hdr("sr/a.png")
    hdr("gt/a.png")
    Image.fromarray(skimage.data.astronaut()[:300, 100:360]).save("sr/b.png")
    Image.fromarray(skimage.data.astronaut()[:300, 100:360]).save("gt/b.png")
    for folder in (Path(), Path.cwd()):  # a line is told once a process
        ended = iqsr("score", str(folder / "sr"), "--reference", str(folder / "gt"), "-m", "psnr,laplacian")
        assert (ended.code, ended.err.count("HDR")) == (0, 2)
        assert told(folder / "sr/a.png") in ended.err
        assert told(folder / "gt/a.png") in ended.err


def test_agree_tells_of_hdr(iqsr: Run) -> None:
    hdr("sharp.png")
    save("flat.png", contrast=20)
    Path("pairs.csv").write_text("first,second,share_first\nsharp.png,flat.png,0.9\n")
    ended = iqsr("agree", "pairs.csv", "-m", "laplacian")
    assert (ended.code, ended.err.count(told("sharp.png")), ended.err.count("HDR")) == (0, 1, 1)


def test_prepare_tells_of_hdr(caplog: pytest.LogCaptureFixture) -> None:
    hdr("photos/a.png")
    assert prepare(["photos"], Path("sets"), RECIPE).sets > 0
    assert [f"{line}\n" for line in caplog.messages if "HDR" in line] == [told("photos/a.png")]


def test_upscale_keeps_hdr_and_says_nothing(iqsr: Run) -> None:
    hdr("a.png")
    ended = iqsr("upscale", "a.png", "-o", "o.png", *FAST)
    assert (ended.code, ended.err.count("HDR")) == (0, 0)
