"""Scores without a border: `crop_border`, `iqsr score --crop-border`."""

import re
from pathlib import Path

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from iqsr.errors import UsageError
from iqsr.scoring import score_files, score_pictures
from support.commands import Run
from support.score_samples import noise, picture


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path / "cache"))


def test_a_border_is_left_out_where_metrics_compare_and_such_scores_are_remembered_apart() -> None:
    picture("sr/a.png", seed=1)
    picture("gt/a.png", seed=2)

    def scores(border: int) -> dict[str, float]:
        names, cache = ["psnr", "laplacian"], Path("c.sqlite")
        table = score_files(["sr"], names, reference=Path("gt"), crop_border=border, cache=cache)
        return dict(table[names].iloc[0])

    whole, inner = scores(0), scores(4)
    expected = peak_signal_noise_ratio(noise(seed=2)[4:-4, 4:-4], noise(seed=1)[4:-4, 4:-4])
    assert inner["psnr"] == pytest.approx(expected, abs=1e-4)
    assert abs(inner["psnr"] - whole["psnr"]) > 0.01
    assert inner["laplacian"] == whole["laplacian"], "it sees the whole picture"
    assert scores(0) == whole
    pair = [torch.from_numpy(noise(seed=seed)).permute(2, 0, 1) / 255 for seed in (1, 2)]
    in_memory = score_pictures(pair[:1], ["psnr"], references=pair[1:], crop_border=4)
    assert in_memory.loc[0, "psnr"] == pytest.approx(expected, abs=1e-4)
    with pytest.raises(UsageError, match="picture 0: psnr needs at least 101 x 101 pixels with 50 left out"):
        score_pictures(pair[:1], ["psnr"], references=pair[1:], crop_border=50)
    table = score_files(["sr"], ["ssim"], reference=Path("gt"), crop_border=15)
    assert (
        table.loc[0, "error"]
        == "'sr/a.png': ssim needs at least 41 x 41 pixels with 15 left out on each side, this has 48 x 40"
    )


def test_a_border_is_for_metrics_that_compare(iqsr: Run) -> None:
    picture("sr/00.png")
    picture("gt/00.png", seed=10)
    ended = iqsr("score", "sr", "-m", "psnr", "-r", "gt", "--crop-border", "4")
    table = score_files(["sr"], ["psnr"], reference=Path("gt"), crop_border=4)
    assert re.search(rf"sr/00\.png +48 x 40 +{table['psnr'][0]:.5g}", ended.out)
    ended = iqsr("score", "sr", "--crop-border", "4")
    assert ended.code == 2
    assert "a border is left out by metrics that compare; add one" in ended.err
