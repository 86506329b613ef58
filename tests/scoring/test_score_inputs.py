"""What can be scored and how it comes back: originals found by name, wrong arguments, tensors, tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from iqsr.errors import IqsrError, PictureError, UnknownNameError, UsageError
from iqsr.metrics import requirements
from iqsr.scoring import MetricSet, PictureScores, score_files, score_pictures, summaries, write_table
from iqsr.scoring.metric_set import default_metrics
from iqsr.scoring.references import References
from iqsr.scoring.table import to_table
from support.score_samples import picture, some_pictures

COMPARING = ["psnr", "ssim", "stlpips"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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
        ("babyx4.png", "baby.png"),
        ("babyfacex1.5.png", "babyface.png"),
        ("a (1).png", "a.png"),
        ("a2.png", "a.png"),
        ("a.b.png", "a.b.png"),
    ],
)
def test_an_original_is_found_by_its_name(picture_name: str, original: str) -> None:
    names("gt/0801.png", "gt/img_1.png", "gt/img_10.png", "gt/baby.png", "gt/babyface.png", "gt/a.png", "gt/a.b.png")
    assert References(Path("gt")).original_of(Path(picture_name)) == Path("gt") / original


@pytest.mark.parametrize(
    "stranger", ["img_12.png", "0802.png", "080.png", "x0801.png", "alpha.png", "axial.png", "äa.png", "aß.png"]
)
def test_a_stranger_has_no_original(stranger: str) -> None:
    names("gt/0801.png", "gt/img_1.png", "gt/a.png")
    with pytest.raises(PictureError, match="no reference in 'gt'"):
        References(Path("gt")).original_of(Path(stranger))


def test_of_several_originals_the_one_in_the_same_place_is_taken_and_else_none() -> None:
    names("gt/x/a.png", "gt/y/a.png", "gt/z/b.png")
    assert References(Path("gt")).original_of(Path("y/a_x4.png")) == Path("gt/y/a.png")
    assert References(Path("gt")).original_of(Path("elsewhere/b.png")) == Path("gt/z/b.png")
    with pytest.raises(PictureError, match=r"several references in 'gt': 'x/a\.png', 'y/a\.png'"):
        References(Path("gt")).original_of(Path("a.png"))


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


def test_the_default_metric_is_srq() -> None:
    assert default_metrics() == MetricSet().names == ["srq"]


def test_without_srq_a_line_names_the_metrics_that_are_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(requirements, "__file__", str(tmp_path / "__init__.py"))  # srq's file is beside it no more
    with pytest.raises(UsageError, match=r"^srq, the default metric, is not here .*of these: psnr, .*laplacian"):
        default_metrics()


def test_an_alias_is_its_metric_and_a_metric_named_twice_counts_once() -> None:
    assert MetricSet(["lpips_st", "psnr", "stlpips"]).names == ["stlpips", "psnr"]
    with pytest.raises(UnknownNameError):
        MetricSet(["lpips_xx"])


# Tensors


def test_tensors_of_any_size_come_back_in_their_order() -> None:
    rng = torch.Generator().manual_seed(0)
    pictures = [torch.rand(3, *size, generator=rng) for size in ((32, 40), (40, 32), (32, 40))]
    originals = [torch.rand(x.shape, generator=rng) for x in pictures]
    scores = score_pictures(pictures, COMPARING, references=originals)
    assert list(scores.columns) == COMPARING
    for i, (x, y) in enumerate(zip(pictures, originals, strict=True)):
        assert scores.loc[i, "psnr"] == pytest.approx(-10 * (x - y).square().mean().log10().item(), abs=1e-5)


@pytest.mark.parametrize(
    ("pictures", "references", "line"),
    [
        (torch.zeros(2, 1, 32, 32), None, r"picture 0: expected shape \(3, H, W\), got \(1, 32, 32\)"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), None, r"picture 0: expected floats .* got torch.uint8"),
        (torch.zeros(2, 3, 32, 32), torch.zeros(1, 3, 32, 32), "2 pictures need as many references, got 1"),
        (torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 30), "both must have the same size"),
        (torch.full((1, 3, 32, 32), float("nan")), None, "picture 0: expected values .* NaN or infinity"),
        (torch.full((2, 3, 32, 32), 200.0), None, "picture 0: expected values .* 200 to 200: divide by 255"),
        (torch.zeros(1, 32, 32, 3), None, r"picture 0: expected shape .* \(32, 32, 3\); channels come first"),
        (torch.zeros(1, 3, 32, 32), torch.full((1, 3, 32, 32), -1.0), r"reference 0: .* take \(x \+ 1\) / 2"),
        (torch.zeros(1, 3, 2, 2), None, "picture 0: laplacian needs at least 3 x 3"),
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
    table = to_table([PictureScores(Path("a.png"), 1, 1, {"psnr": 3.0})], ["psnr"])
    with pytest.raises(UsageError, match=r"cannot write 'a\.xlsx': its name must end in \.csv, \.parquet, \.json"):
        write_table(table, Path("a.xlsx"))
    Path("folder.csv").mkdir()
    with pytest.raises(PictureError, match="it is a folder"):
        write_table(table, Path("folder.csv"))


def test_a_summary_by_hand() -> None:
    values = [4.0, 1.0, 3.0, 2.0, 10.0, 6.0, 5.0]
    scored = [PictureScores(Path(f"{v:g}.png"), 1, 1, {"psnr": v, "stlpips": v}) for v in values]
    scored.append(PictureScores(Path("failed.png"), errors=["why"]))
    psnr, stlpips = summaries(to_table(scored, ["psnr", "stlpips"]))
    assert (psnr.n, psnr.median) == (7, 4.0)
    assert psnr.mean == pytest.approx(31 / 7)
    assert psnr.sd == pytest.approx(np.sqrt((191 - 31**2 / 7) / 6))  # squares add up to 191
    assert [path for path, _ in psnr.worst] == ["1.png", "2.png", "3.png", "4.png", "5.png"]
    assert [path for path, _ in stlpips.worst] == ["10.png", "6.png", "5.png", "4.png", "3.png"]
    assert psnr.higher_is_better is True
    assert stlpips.higher_is_better is False


def test_a_summary_of_one_or_none_claims_nothing() -> None:
    (one,) = summaries(to_table([PictureScores(Path("a.png"), 1, 1, {"psnr": 3.0})], ["psnr"]))
    assert (one.n, one.mean, one.sd) == (1, 3.0, None)
    (none,) = summaries(to_table([PictureScores(Path("a.png"), errors=["why"])], ["psnr"]))
    assert (none.n, none.mean, none.median, none.sd, none.worst) == (0, None, None, None, [])
