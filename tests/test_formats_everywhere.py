"""The formats of data sets are read by every command that reads pictures, from files and from folders."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from cli_pictures import FAST
from commands import Run
from iqsr.agreement import Rate, agreement
from iqsr.multigt import open_folders
from iqsr.prepare import prepare
from iqsr.scoring import score_files
from prepare_samples import RECIPE

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
    photo.save(f"photos/a.{suffix}", **({"irreversible": False} if suffix == "jp2" else {}))
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
