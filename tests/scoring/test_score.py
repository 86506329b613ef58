"""Scoring files: the right numbers, each picture decoded once, nothing computed twice; a bad one costs no other."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor

from iqsr.images import Picture, open_picture
from iqsr.images.find import find_pictures
from iqsr.metrics import card
from iqsr.metrics.metric import Metric
from iqsr.scoring import MetricSet, ScoreCache, score_files, score_pictures
from iqsr.scoring.files import scores_of
from iqsr.scoring.metric_set import batches
from iqsr.scoring.references import References
from iqsr.scoring.table import records
from support.commands import PATIENCE
from support.score_samples import noise, picture, some_pictures

COMPARING = ["psnr", "ssim", "stlpips"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were decoded, in order; the reader itself is the real one."""
    paths: list[str] = []
    rows = Picture.rows

    def counting(self: Picture, band_height: int) -> Iterator[Tensor]:
        paths.append(self.info.path.as_posix())
        return rows(self, band_height)

    monkeypatch.setattr(Picture, "rows", counting)
    return paths


# Numbers


def test_a_score_of_a_file_is_what_others_compute_from_its_pixels() -> None:
    picture("sr/a.png", seed=1)
    picture("gt/a.png", seed=2)
    table = score_files(["sr"], ["psnr"], reference=Path("gt"))
    expected = peak_signal_noise_ratio(noise(seed=2), noise(seed=1))
    assert table.loc[0, "psnr"] == pytest.approx(expected, abs=1e-4)
    facts = {"path": "sr/a.png", "width": 48, "height": 40, "reference": "gt/a.png"}
    assert records(table) == [{**facts, "psnr": table["psnr"][0]}]


def test_batches_score_as_single_pictures_do() -> None:
    sizes = [(48, 40)] * 5 + [(40, 48)] * 3 + [(64, 64)]
    some_pictures(sizes)
    some_pictures(sizes, "original")
    together = score_files(["sr"], [*COMPARING, "laplacian"], reference=Path("original"))
    alone = [
        score_files([path], [*COMPARING, "laplacian"], reference=Path("original") / Path(path).name)
        for path in together["path"]
    ]
    for name, tolerance in {"psnr": 1e-5, "ssim": 1e-5, "stlpips": 1e-5, "laplacian": 1e-2}.items():
        np.testing.assert_allclose(together[name], pd.concat(alone)[name], rtol=1e-5, atol=tolerance)
        assert len(set(together[name])) == len(sizes)


def test_files_and_tensors_score_the_same() -> None:
    some_pictures([(48, 40), (40, 40), (48, 40)])
    tensors = [next(open_picture(path).rows(1000))[0] for path, _ in find_pictures(["sr"])]
    table = score_files(["sr"], ["laplacian"])
    assert score_pictures(tensors, ["laplacian"])["laplacian"].tolist() == pytest.approx(table["laplacian"].tolist())


def test_16_bits_are_not_cut_to_8() -> None:
    deep = np.random.default_rng(0).integers(0, 65000, (40, 48), np.uint16)
    Image.fromarray(deep).save("a.png")
    Image.fromarray(deep + np.uint16(20)).save("b.png")
    assert open_picture(Path("a.png")).info.depth == 16
    scored = score_files(["a.png"], ["psnr"], reference=Path("b.png")).loc[0, "psnr"]
    assert scored == pytest.approx(20 * np.log10(65535 / 20), abs=1e-2)


def test_gray_is_three_equal_channels() -> None:
    gray = picture("gray.png", mode="L")
    Image.open(gray).convert("RGB").save("rgb.png")
    table = score_files(["gray.png", "rgb.png"], ["laplacian"])
    assert table.loc[0, "laplacian"] == table.loc[1, "laplacian"]


def test_cmyk_is_scored() -> None:
    picture("cmyk.jpg", mode="CMYK")
    assert np.isfinite(score_files(["cmyk.jpg"], ["laplacian"])["laplacian"]).all()


def test_colour_that_transparency_hides_has_no_say_and_opaque_alpha_none_either() -> None:
    pixels = np.concatenate([noise(), np.full((40, 48, 1), 255, np.uint8)], 2)
    Image.fromarray(pixels).save("opaque.png")
    Image.fromarray(pixels[..., :3]).save("without.png")
    pixels[10:30, 10:30, 3] = 0
    for name, hidden in {"black": 0, "white": 255}.items():
        pixels[10:30, 10:30, :3] = hidden
        Image.fromarray(pixels).save(f"{name}.png")
    scores = score_files(["opaque.png", "without.png", "black.png", "white.png"], ["laplacian"])["laplacian"].tolist()
    assert scores[0] == pytest.approx(scores[1], rel=1e-6)
    assert scores[2] == pytest.approx(scores[3], rel=1e-6)
    assert scores[2] < scores[0]


def test_a_sideways_photo_is_compared_upright() -> None:
    Image.fromarray(np.rot90(noise())).save("sideways.png", exif=bytes.fromhex(
        "45786966000049492a0008000000010012010300010000000600000000000000"))  # fmt: skip
    picture("upright.png")
    assert score_files(["sideways.png"], ["psnr"], reference=Path("upright.png")).loc[0, "psnr"] == 100


# One decode, one computation


def test_each_picture_is_decoded_once_whatever_the_number_of_metrics(decoded: list[str]) -> None:
    some_pictures([(48, 40), (40, 40), (48, 40)])
    some_pictures([(48, 40), (40, 40), (48, 40)], "gt")
    score_files(["sr"], [*COMPARING, "laplacian"], reference=Path("gt"))
    assert sorted(decoded) == sorted([f"{folder}/{i:02}.png" for folder in ("sr", "gt") for i in range(3)])


def test_an_original_of_many_is_decoded_once(decoded: list[str]) -> None:
    some_pictures([(48, 40)] * 6)
    picture("original.png", seed=9)
    found, metric_set = find_pictures(["sr"]), MetricSet(["psnr"])
    done = list(scores_of(found, metric_set, references=References(Path("original.png")), pixels=2 * 48 * 40))
    assert len(done) == 6
    assert decoded.count("original.png") == 1


def test_batches_are_of_one_size_and_stay_under_the_limit() -> None:
    sizes = [(10, 10), (20, 5), (10, 10), (10, 10), (500, 500), (10, 10), (20, 5)]
    assert list(batches(sizes, pixels=300)) == [[0, 2, 3], [5], [1, 6], [4]]


def test_a_second_run_decodes_nothing(decoded: list[str]) -> None:
    some_pictures([(48, 40)] * 3)
    first = score_files(["sr"], ["laplacian"], cache=Path("c.sqlite"))
    decoded.clear()
    pd.testing.assert_frame_equal(score_files(["sr"], ["laplacian"], cache=Path("c.sqlite")), first)
    assert decoded == []


def test_another_metric_computes_only_itself_and_a_moved_picture_nothing(decoded: list[str]) -> None:
    some_pictures([(48, 40)] * 2)
    score_files(["sr"], ["laplacian"], cache=Path("c.sqlite"))
    Path("sr").rename("moved")
    decoded.clear()
    score_files(["moved"], ["laplacian"], cache=Path("c.sqlite"))
    assert decoded == []
    with ScoreCache(Path("c.sqlite")) as cache:
        assert len(cache) == 2
    picture("original.png", seed=7)
    score_files(["moved"], ["laplacian", "psnr"], reference=Path("original.png"), cache=Path("c.sqlite"))
    with ScoreCache(Path("c.sqlite")) as cache:
        assert len(cache) == 4


def test_changed_bytes_mean_a_new_score() -> None:
    picture("a.png", seed=1)
    picture("gt.png", seed=5)
    cache, original = Path("c.sqlite"), Path("gt.png")
    before = score_files(["a.png"], ["psnr"], cache=cache, reference=original).loc[0, "psnr"]
    picture("a.png", seed=2)
    changed = score_files(["a.png"], ["psnr"], cache=cache, reference=original).loc[0, "psnr"]
    picture("gt.png", seed=6)
    other_original = score_files(["a.png"], ["psnr"], cache=cache, reference=original).loc[0, "psnr"]
    assert len({before, changed, other_original}) == 3
    assert changed == pytest.approx(peak_signal_noise_ratio(noise(seed=5), noise(seed=2)), abs=1e-4)
    assert other_original == pytest.approx(peak_signal_noise_ratio(noise(seed=6), noise(seed=2)), abs=1e-4)


def test_a_picture_that_changes_while_it_is_scored_has_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    picture("a.png", seed=1)
    rows = Picture.rows

    def changing(self: Picture, band_height: int) -> Iterator[Tensor]:
        bands = list(rows(self, band_height))
        picture("a.png", seed=2)
        return iter(bands)

    monkeypatch.setattr(Picture, "rows", changing)
    table = score_files(["a.png"], ["laplacian"], cache=Path("c.sqlite"))
    assert table["error"].tolist() == ["cannot score 'a.png': it has changed since it was opened; run again"]
    with ScoreCache(Path("c.sqlite")) as cache:
        assert len(cache) == 0


_KILLED = """
import sys
from pathlib import Path
import torch
from iqsr.scoring import score_files
torch.set_num_threads(1)

def after(scored, done, total):
    print(scored.path, flush=True)
    if done == 4:
        sys.stdin.readline()

score_files(["sr"], ["laplacian", "psnr"], reference=Path("gt.png"), cache=Path("c.sqlite"), on_progress=after)
"""


def test_after_a_kill_only_the_rest_is_computed(decoded: list[str]) -> None:
    some_pictures([(48, 40 + i) for i in range(10)])  # each its own batch
    picture("gt.png", (48, 40))
    with subprocess.Popen([sys.executable, "-c", _KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        done = {run.stdout.readline().decode().strip() for _ in range(4)}
        run.kill()
        assert run.wait(timeout=PATIENCE) == -signal.SIGKILL
    with ScoreCache(Path("c.sqlite")) as cache:
        assert len(cache) == 5  # laplacian of four pictures, and psnr of the one that has the original's size
    table = score_files(["sr"], ["laplacian"], cache=Path("c.sqlite"))
    assert len(decoded) == len(set(decoded)) == 6
    assert set(decoded) | done == set(table["path"])
    pd.testing.assert_frame_equal(table, score_files(["sr"], ["laplacian"]))


# What goes wrong with one picture


def test_pictures_that_cannot_be_scored_are_told_and_the_rest_goes_on() -> None:
    for name in ("good", "lonely", "resized", "small"):
        picture(f"sr/{name}.png", (12, 12) if name == "small" else (48, 40))
        if name != "lonely":
            picture(f"gt/{name}.png", (12, 12) if name == "small" else (50, 40) if name == "resized" else (48, 40))
    Path("sr/broken.png").write_bytes(Path("sr/good.png").read_bytes()[:900])
    Path("sr/text.png").write_text("not a picture")
    table = score_files(["sr"], ["stlpips", "laplacian"], reference=Path("gt")).set_index("path")
    said = table["error"].to_dict()
    assert said.pop("sr/good.png") == ""
    assert "cannot read 'sr/broken.png': the file is damaged or cut short" in said.pop("sr/broken.png")
    assert said == {
        "sr/lonely.png": "'sr/lonely.png': no reference in 'gt': no picture there is named like it",
        "sr/resized.png": "'sr/resized.png': has 48 x 40 pixels, its reference 'gt/resized.png' 50 x 40; "
        "crop or resize one of them",
        "sr/small.png": "'sr/small.png': stlpips needs at least 21 x 21 pixels, this has 12 x 12",
        "sr/text.png": "cannot read 'sr/text.png': it is a text file, not a picture; "
        "PNG, JPEG, WebP, TIFF, HEIC, AVIF, BMP, GIF, PPM and JPEG 2000 are read",
    }
    scored = table.dropna(subset=["laplacian"])
    assert set(scored.index) == {"sr/good.png", "sr/lonely.png", "sr/resized.png", "sr/small.png"}
    assert table["stlpips"].notna().tolist().count(True) == 1
    assert table.loc["sr/text.png", "width"] is pd.NA


def test_a_damaged_original_costs_only_the_scores_that_need_it() -> None:
    some_pictures([(48, 40)] * 2)
    some_pictures([(48, 40)] * 2, "gt")
    Path("gt/00.png").write_bytes(Path("gt/00.png").read_bytes()[:3000])
    table = score_files(["sr"], ["psnr", "laplacian"], reference=Path("gt"))
    assert table["psnr"].isna().tolist() == [True, False]
    assert all(table["laplacian"].notna())
    assert "'sr/00.png': cannot read 'gt/00.png'" in table["error"][0]


def test_a_score_that_is_not_finite_is_an_error_of_that_picture_alone() -> None:
    metric_set = MetricSet(["laplacian"])
    # A metric as others write them: it divides by the picture's contrast.
    metric_set._loaded["laplacian"] = Metric(card("laplacian"), lambda x: x.flatten(1).sum(1) * 0 / x.flatten(1).std(1))
    some_pictures([(48, 40)] * 3)
    Image.new("RGB", (48, 40)).save("sr/01.png")
    with ScoreCache(Path("c.sqlite")) as cache:
        done = dict(scores_of(find_pictures(["sr"]), metric_set, cache=cache))
        assert len(cache) == 2
    assert [done[i].errors for i in range(3)] == [[], ["'sr/01.png': laplacian gave nan, which is no score"], []]
    assert [done[i].scores for i in range(3)] == [{"laplacian": 0.0}, {}, {"laplacian": 0.0}]


def test_a_metric_that_fails_for_one_picture_of_a_batch_scores_the_others() -> None:
    def picky(x: Tensor) -> Tensor:
        if (x.flatten(1).max(1).values == 0).any():
            raise RuntimeError("cannot digest black\nat line 7")
        return x.flatten(1).mean(1)

    metric_set = MetricSet(["laplacian"])
    metric_set._loaded["laplacian"] = Metric(card("laplacian"), picky)
    x = torch.stack([torch.ones(3, 8, 8), torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])
    assert metric_set.measure("laplacian", x) == [1.0, "laplacian failed: cannot digest black", 1.0]
