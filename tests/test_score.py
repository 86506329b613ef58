"""Scoring files and tensors: the right pictures, the right numbers, each decoded once, nothing computed twice."""

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

from iqsr.errors import IqsrError, PictureError, UnknownNameError, UsageError
from iqsr.images import Picture, open_picture
from iqsr.images.find import find_pictures
from iqsr.quality import availability, card
from iqsr.quality.metric import Metric
from iqsr.scoring import Judges, ScoreCache, Scored, score_files, score_pictures, summaries, write_table
from iqsr.scoring.files import scores_of
from iqsr.scoring.pictures import batches, default_metrics
from iqsr.scoring.references import References
from iqsr.scoring.table import records, to_table

COMPARING = ["psnr", "ssim", "stlpips"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def noise(size: tuple[int, int] = (48, 40), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)


def picture(path: str, size: tuple[int, int] = (48, 40), seed: int = 0, mode: str = "RGB") -> Path:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(size, seed)).convert(mode).save(place)
    return place


def some_pictures(sizes: list[tuple[int, int]], folder: str = "sr") -> None:
    for i, size in enumerate(sizes):
        picture(f"{folder}/{i:02}.png", size, seed=100 * len(folder) + i)


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
    assert table["psnr"][0] == pytest.approx(expected, abs=1e-4)
    assert records(table) == [{"path": "sr/a.png", "width": 48, "height": 40, "psnr": table["psnr"][0]}]


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
        assert together[name].nunique() == len(sizes)


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
    scored = score_files(["a.png"], ["psnr"], reference=Path("b.png"))["psnr"][0]
    assert scored == pytest.approx(20 * np.log10(65535 / 20), abs=1e-2)


def test_gray_is_three_equal_channels() -> None:
    gray = picture("gray.png", mode="L")
    Image.open(gray).convert("RGB").save("rgb.png")
    table = score_files(["gray.png", "rgb.png"], ["laplacian"])
    assert table["laplacian"][0] == table["laplacian"][1]


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
    scores = score_files(["opaque.png", "without.png", "black.png", "white.png"], ["laplacian"])["laplacian"]
    assert scores[0] == pytest.approx(scores[1], rel=1e-6)
    assert scores[2] == pytest.approx(scores[3], rel=1e-6)
    assert scores[2] < scores[0]


def test_a_sideways_photo_is_compared_upright() -> None:
    Image.fromarray(np.rot90(noise())).save("sideways.png", exif=bytes.fromhex(
        "45786966000049492a0008000000010012010300010000000600000000000000"))  # fmt: skip
    picture("upright.png")
    assert score_files(["sideways.png"], ["psnr"], reference=Path("upright.png"))["psnr"][0] == 100


# One decode, one computation


def test_each_picture_is_decoded_once_whatever_the_number_of_metrics(decoded: list[str]) -> None:
    some_pictures([(48, 40), (40, 40), (48, 40)])
    some_pictures([(48, 40), (40, 40), (48, 40)], "gt")
    score_files(["sr"], [*COMPARING, "laplacian"], reference=Path("gt"))
    assert sorted(decoded) == sorted([f"{folder}/{i:02}.png" for folder in ("sr", "gt") for i in range(3)])


def test_an_original_of_many_is_decoded_once(decoded: list[str]) -> None:
    some_pictures([(48, 40)] * 6)
    picture("original.png", seed=9)
    found, judges = find_pictures(["sr"]), Judges(["psnr"])
    done = list(scores_of(found, judges, references=References(Path("original.png")), pixels=2 * 48 * 40))
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
    cache, options = Path("c.sqlite"), {"reference": Path("gt.png")}
    before = score_files(["a.png"], ["psnr"], cache=cache, **options)["psnr"][0]
    picture("a.png", seed=2)
    changed = score_files(["a.png"], ["psnr"], cache=cache, **options)["psnr"][0]
    picture("gt.png", seed=6)
    other_original = score_files(["a.png"], ["psnr"], cache=cache, **options)["psnr"][0]
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
        assert run.wait(timeout=60) == -signal.SIGKILL
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
        "PNG, JPEG, WebP, TIFF, HEIC and AVIF are read",
    }
    scored = table["laplacian"].notna()
    assert set(scored[scored].index) == {"sr/good.png", "sr/lonely.png", "sr/resized.png", "sr/small.png"}
    assert table["stlpips"].notna().sum() == 1
    assert table.loc["sr/text.png", "width"] is pd.NA


def test_a_damaged_original_costs_only_the_scores_that_need_it() -> None:
    some_pictures([(48, 40)] * 2)
    some_pictures([(48, 40)] * 2, "gt")
    Path("gt/00.png").write_bytes(Path("gt/00.png").read_bytes()[:3000])
    table = score_files(["sr"], ["psnr", "laplacian"], reference=Path("gt"))
    assert table["psnr"].isna().tolist() == [True, False]
    assert table["laplacian"].notna().all()
    assert "'sr/00.png': cannot read 'gt/00.png'" in table["error"][0]


def test_a_score_that_is_not_finite_is_an_error_of_that_picture_alone() -> None:
    judges = Judges(["laplacian"])
    # A metric as others write them: it divides by the picture's contrast.
    judges._loaded["laplacian"] = Metric(card("laplacian"), lambda x: x.flatten(1).sum(1) * 0 / x.flatten(1).std(1))
    some_pictures([(48, 40)] * 3)
    Image.new("RGB", (48, 40)).save("sr/01.png")
    with ScoreCache(Path("c.sqlite")) as cache:
        done = dict(scores_of(find_pictures(["sr"]), judges, cache=cache))
        assert len(cache) == 2
    assert [done[i].errors for i in range(3)] == [[], ["'sr/01.png': laplacian gave nan, which is no score"], []]
    assert [done[i].scores for i in range(3)] == [{"laplacian": 0.0}, {}, {"laplacian": 0.0}]


def test_a_metric_that_fails_for_one_picture_of_a_batch_scores_the_others() -> None:
    def picky(x: Tensor) -> Tensor:
        if (x.flatten(1).max(1).values == 0).any():
            raise RuntimeError("cannot digest black\nat line 7")
        return x.flatten(1).mean(1)

    judges = Judges(["laplacian"])
    judges._loaded["laplacian"] = Metric(card("laplacian"), picky)
    x = torch.stack([torch.ones(3, 8, 8), torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])
    assert judges.measure("laplacian", x) == [1.0, "laplacian failed: cannot digest black", 1.0]


# References by name


def names(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


@pytest.mark.parametrize(
    ("picture_name", "original"),
    [
        ("0801.jpg", "0801.png"),
        ("0801x4.png", "0801.png"),
        ("0801_ours_v2.png", "0801.png"),
        ("img_10.png", "img_10.png"),
        ("img_10_x4.png", "img_10.png"),
        ("babyface_x4.png", "babyface.png"),
        ("baby_x4.png", "baby.png"),
        ("a.b.png", "a.b.png"),
    ],
)
def test_an_original_is_found_by_its_name(picture_name: str, original: str) -> None:
    names("gt/0801.png", "gt/img_1.png", "gt/img_10.png", "gt/baby.png", "gt/babyface.png", "gt/a.png", "gt/a.b.png")
    assert References(Path("gt")).of(Path(picture_name)) == Path("gt") / original


@pytest.mark.parametrize("stranger", ["img_12.png", "0802.png", "080.png", "x0801.png"])
def test_a_stranger_has_no_original(stranger: str) -> None:
    names("gt/0801.png", "gt/img_1.png")
    with pytest.raises(PictureError, match="no reference in 'gt'"):
        References(Path("gt")).of(Path(stranger))


def test_of_several_originals_the_one_in_the_same_place_is_taken_and_else_none() -> None:
    names("gt/x/a.png", "gt/y/a.png", "gt/z/b.png")
    assert References(Path("gt")).of(Path("y/a_x4.png")) == Path("gt/y/a.png")
    assert References(Path("gt")).of(Path("elsewhere/b.png")) == Path("gt/z/b.png")
    with pytest.raises(PictureError, match=r"several references in 'gt': 'x/a\.png', 'y/a\.png'"):
        References(Path("gt")).of(Path("a.png"))


# Arguments


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"metrics": ["psnr"]}, "psnr compares with a reference: give --reference FOLDER or FILE"),
        ({"metrics": ["psnr", "ssim"]}, "psnr, ssim compare with a reference"),
        ({"metrics": ["laplacian"], "reference": Path("a.png")}, "none of the metrics compares"),
        ({"metrics": ["psnr"], "reference": Path("gone")}, "no such reference picture or folder: 'gone'"),
        ({"metrics": []}, "no metric was named"),
        ({"metrics": ["laplacian"], "device": "tpu"}, "unknown device 'tpu'"),
        ({"metrics": ["laplacian"], "paths": ["gone/*.png"]}, r"no such picture, folder or pattern: 'gone/\*\.png'"),
        ({"metrics": ["laplacain"]}, "unknown metric 'laplacain'; known: laplacian"),
    ],
)
def test_wrong_arguments_are_one_line(options: dict, line: str) -> None:
    picture("a.png")
    with pytest.raises(UsageError, match=f"^{line}"):
        score_files(**{"paths": ["a.png"], **options})


def test_the_default_metric_is_srq_or_a_line_that_names_those_that_are_here() -> None:
    if availability("srq").here:
        assert default_metrics() == Judges().names == ["srq"]
    else:
        with pytest.raises(UsageError, match=r"^srq, the default metric, is not here .*of these: psnr, .*laplacian"):
            default_metrics()


def test_an_alias_is_its_metric_and_a_metric_named_twice_counts_once() -> None:
    assert Judges(["lpips_st", "psnr", "stlpips"]).names == ["stlpips", "psnr"]
    with pytest.raises(UnknownNameError):
        Judges(["lpips_xx"])


# Tensors


def test_tensors_of_any_size_come_back_in_their_order() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = [torch.rand(3, *size, generator=generator) for size in ((32, 40), (40, 32), (32, 40))]
    originals = [torch.rand(x.shape, generator=generator) for x in pictures]
    scores = score_pictures(pictures, COMPARING, references=originals)
    assert list(scores.columns) == COMPARING
    for i, (x, y) in enumerate(zip(pictures, originals, strict=True)):
        assert scores["psnr"][i] == pytest.approx(-10 * (x - y).square().mean().log10().item(), abs=1e-5)


@pytest.mark.parametrize(
    ("pictures", "references", "line"),
    [
        (torch.zeros(2, 1, 32, 32), None, r"picture 0: expected floats \(3, H, W\) in \[0, 1\], got .*\(1, 32, 32\)"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), None, r"picture 0: expected floats .* got torch.uint8"),
        (torch.zeros(2, 3, 32, 32), torch.zeros(1, 3, 32, 32), "2 pictures need as many references, got 1"),
        (torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 30), "both must have the same size"),
        (torch.full((1, 3, 32, 32), float("nan")), None, "picture 0: laplacian gave nan, which is no score"),
        (torch.zeros(1, 3, 2, 2), None, "picture 0: laplacian needs .* 3x3"),
    ],
)
def test_tensors_that_cannot_be_scored(pictures: Tensor, references: Tensor | None, line: str) -> None:
    with pytest.raises(IqsrError, match=line):
        score_pictures(pictures, ["laplacian"], references=references)


def test_tensors_without_originals_are_not_compared() -> None:
    with pytest.raises(UsageError, match="psnr compares with a reference; give references"):
        score_pictures(torch.zeros(1, 3, 32, 32), ["psnr"])


# Tables


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
@pytest.mark.parametrize("with_error", [False, True])
def test_a_table_comes_back_as_it_went(suffix: str, with_error: bool) -> None:
    some_pictures([(48, 40), (40, 40)])
    if with_error:
        Path("sr/ä, \"b\".png").write_text("no")  # fmt: skip
    table = score_files(["sr"], ["psnr", "laplacian"], reference=picture("gt.png"))
    out = Path("new", "table" + suffix)
    write_table(table, out)
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".json": pd.read_json}
    options = {".csv": {"float_precision": "round_trip"}, ".json": {"precise_float": True}, ".parquet": {}}
    back = readers[suffix](out, **options[suffix])
    if "error" in table:
        back["error"] = back["error"].fillna("")
    pd.testing.assert_frame_equal(back.astype(table.dtypes), table, check_exact=True)
    assert [path.name for path in Path("new").iterdir()] == [out.name]


def test_a_table_without_gaps_has_no_column_for_errors() -> None:
    some_pictures([(48, 40)])
    assert list(score_files(["sr"], ["laplacian"]).columns) == ["path", "width", "height", "laplacian"]


def test_a_table_of_another_kind_is_refused() -> None:
    table = to_table([Scored(Path("a.png"), 1, 1, {"psnr": 3.0})], ["psnr"])
    with pytest.raises(UsageError, match=r"cannot write 'a\.xlsx': its name must end in \.csv, \.parquet, \.json"):
        write_table(table, Path("a.xlsx"))
    Path("folder.csv").mkdir()
    with pytest.raises(PictureError, match="it is a folder"):
        write_table(table, Path("folder.csv"))


def test_a_summary_by_hand() -> None:
    values = [4.0, 1.0, 3.0, 2.0, 10.0, 6.0, 5.0]
    scored = [Scored(Path(f"{v:g}.png"), 1, 1, {"psnr": v, "stlpips": v}) for v in values]
    scored.append(Scored(Path("failed.png"), errors=["why"]))
    psnr, stlpips = summaries(to_table(scored, ["psnr", "stlpips"]))
    assert (psnr.n, psnr.median) == (7, 4.0)
    assert psnr.mean == pytest.approx(31 / 7)
    assert psnr.sd == pytest.approx(np.sqrt((191 - 31**2 / 7) / 6))  # squares add up to 191
    assert [path for path, _ in psnr.worst] == ["1.png", "2.png", "3.png", "4.png", "5.png"]
    assert [path for path, _ in stlpips.worst] == ["10.png", "6.png", "5.png", "4.png", "3.png"]
    assert psnr.higher_is_better is True
    assert stlpips.higher_is_better is False


def test_a_summary_of_one_or_none_claims_nothing() -> None:
    (one,) = summaries(to_table([Scored(Path("a.png"), 1, 1, {"psnr": 3.0})], ["psnr"]))
    assert (one.n, one.mean, one.sd) == (1, 3.0, None)
    (none,) = summaries(to_table([Scored(Path("a.png"), errors=["why"])], ["psnr"]))
    assert (none.n, none.mean, none.median, none.sd, none.worst) == (0, None, None, None, [])
