"""Evaluations of tiny sets in every layout, their scores computed by hand."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

import iqsr
from iqsr.errors import IqsrError, UnknownNameError, UsageError
from iqsr.evaluation import GOLD_STANDARD, Evaluation
from iqsr.evaluation.result import read_evaluation
from support.evaluation_samples import hggt, outputs, pairs, psnr_of, realsr, reduced, save, smooth

P, S, N = "Positive", "Similar", "Negative"


def score(found: Evaluation, image: str, model: str, metric: str) -> float:
    rows = found.scores
    (value,) = rows[(rows["image"] == image) & (rows["model"] == model) & (rows["metric"] == metric)]["score"]
    return float(value)


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Layouts


def test_pairs_of_folders_with_pictures_made_elsewhere() -> None:
    pairs(Path("set"))
    outputs(Path("ours"), {"a": 5, "b": 10})
    found = iqsr.evaluate("set", ["ours"], ["psnr"], out="out")
    assert score(found, "a", "ours", "psnr") == pytest.approx(psnr_of(5), abs=1e-4)
    assert score(found, "b", "ours", "psnr") == pytest.approx(psnr_of(10), abs=1e-4)
    assert found.means().loc["ours", "psnr"] == pytest.approx((psnr_of(5) + psnr_of(10)) / 2, abs=1e-4)
    assert found.problems == ()
    assert found.baseline == "ours"


@pytest.mark.parametrize(
    ("hr", "lr", "suffix"), [("test_HR", "test_LR", ""), ("GT", "LQ", "x4"), ("hr", "lr_x4", "_x4")]
)
def test_folders_of_pairs_go_by_several_names(hr: str, lr: str, suffix: str) -> None:
    pairs(Path("set"), hr=hr, lr=lr, suffix=suffix)
    found = iqsr.evaluate("set", ["bicubic"], ["psnr"], out="out")
    assert found.problems == ()
    assert len(found.scores) == 2


def test_inputs_may_be_elsewhere() -> None:
    pairs(Path("set"))
    found = iqsr.evaluate("set/HR", ["bicubic"], ["psnr"], lr="set/LR", out="out")
    assert found.problems == ()
    assert found.set.layout == "pairs"


def test_bicubic_is_pillows() -> None:
    pairs(Path("set"), ("a",))
    found = iqsr.evaluate("set", ["bicubic"], ["psnr"], out="out")
    ours = np.asarray(Image.open("out/pictures/bicubic/a.png"))
    channels = np.asarray(Image.open("set/LR/a.png"), np.float32).transpose(2, 0, 1)
    theirs = np.stack([np.asarray(Image.fromarray(c).resize((32, 32), Image.Resampling.BICUBIC)) for c in channels], 2)
    assert np.abs(ours - np.clip(theirs, 0, 255)).max() <= 0.501
    original = np.asarray(Image.open("set/HR/a.png"))
    assert score(found, "a", "bicubic", "psnr") == pytest.approx(peak_signal_noise_ratio(original, ours), abs=1e-4)


def test_hggt_takes_the_mean_over_the_majoritys_positives_then_over_images() -> None:
    """Versions are the original moved by 2, 4, 6 and 8; the output is the original itself."""
    test = hggt(Path(), {"0001-0-0": (P, P, S, N), "0002-0-0": (S, P, P, P)})
    outputs(Path("ours"), {"0001-0-0": 0, "0002-0-0": 0})
    found = iqsr.evaluate(test, ["ours"], ["psnr", "laplacian"], protocol="hggt", out="out")
    first = (psnr_of(2) + psnr_of(4)) / 2
    second = (psnr_of(4) + psnr_of(6) + psnr_of(8)) / 3
    assert score(found, "0001-0-0", "ours", "psnr") == pytest.approx(first, abs=1e-4)
    assert score(found, "0002-0-0", "ours", "psnr") == pytest.approx(second, abs=1e-4)
    assert found.means().loc["ours", "psnr"] == pytest.approx((first + second) / 2, abs=1e-4)
    rows = found.scores[(found.scores["metric"] == "psnr") & (found.scores["model"] == "ours")]
    assert rows["n_references"].tolist() == [2, 3]
    assert rows["crop_border"].tolist() == [4, 4]
    alone = found.scores[(found.scores["metric"] == "laplacian") & (found.scores["model"] == "ours")]
    assert alone["n_references"].tolist() == [0, 0]
    assert alone["crop_border"].tolist() == [0, 0]


def test_the_gold_standard_is_the_best_of_each_quintuplet() -> None:
    """The fourth version is sharper than all others, and no positive."""
    test = hggt(Path(), {"0001-0-0": (P, P, S, N)})
    sharp = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    save(test / "images" / "04" / "0001-0-0_04.png", sharp)
    found = iqsr.evaluate(test, ["bicubic"], ["psnr", "laplacian"], protocol="hggt", out="out")
    files = [test / "images" / "original" / "0001-0-0.png"]
    files += [test / "images" / n / f"0001-0-0_{n}.png" for n in ("01", "02", "03", "04")]
    own = iqsr.score(files, ["laplacian"])["laplacian"]
    assert score(found, "0001-0-0", GOLD_STANDARD, "laplacian") == own.max() == own[4]
    gold = found.scores[found.scores["model"] == GOLD_STANDARD]
    assert gold["metric"].tolist() == ["laplacian"]


def test_where_lower_is_better_the_gold_standard_is_the_lowest() -> None:
    pytest.importorskip("pyiqa")
    test = hggt(Path(), {"0001-0-0": (P, P, S, N)})
    save(test / "images" / "04" / "0001-0-0_04.png", np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    found = iqsr.evaluate(test, ["bicubic"], ["piqe"], out="out")
    files = [path for name in ("original", "01", "02", "03", "04") for path in (test / "images" / name).iterdir()]
    own = iqsr.score(files, ["piqe"])["piqe"]
    assert len(set(own)) > 1
    assert score(found, "0001-0-0", GOLD_STANDARD, "piqe") == own.min()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_realsr_of_both_cameras(scale: int) -> None:
    realsr(Path("RealSR"), scale)
    found = iqsr.evaluate("RealSR", ["bicubic"], ["psnr"], scale=scale, out="out")
    names = ["Canon_001", "Canon_002", "Nikon_001", "Nikon_002"]
    assert found.scores["image"].tolist() == names
    assert found.set.layout == "realsr"
    assert found.problems == ()


def test_originals_alone_are_degraded_by_a_seed() -> None:
    save(Path("hr/a.png"), smooth(0, (67, 66)))
    save(Path("hr/b.png"), smooth(1, (64, 64)))
    options = {"degradation": "hggt-one-stage", "metrics": ["psnr"]}
    first = iqsr.evaluate("hr", ["bicubic"], out="one", seed=3, **options)
    again = iqsr.evaluate("hr", ["bicubic"], out="two", seed=3, **options)
    other = iqsr.evaluate("hr", ["bicubic"], out="three", seed=4, **options)
    assert first.scores["score"].tolist() == again.scores["score"].tolist()
    assert first.scores["score"].tolist() != other.scores["score"].tolist()
    assert Image.open("one/inputs/a.png").size == (16, 16)
    assert Image.open("one/inputs/originals/a.png").size == (64, 64)
    assert not Path("one/inputs/originals/b.png").exists()
    Path("hr/a.png").unlink()
    alone = iqsr.evaluate("hr", ["bicubic"], out="four", seed=3, **options)
    assert alone.scores["score"].tolist() == [score(first, "b", "bicubic", "psnr")]


def test_the_bicubic_degradation_is_pillows() -> None:
    save(Path("hr/a.png"), smooth(0, (64, 48)))
    found = iqsr.evaluate("hr", ["bicubic"], ["psnr"], degradation="bicubic", out="out")
    assert found.set.name == "hr (bicubic x4)"
    theirs = reduced(smooth(0, (64, 48))).astype(int)
    assert np.abs(np.asarray(Image.open("out/inputs/a.png")).astype(int) - theirs).max() <= 1


def test_inputs_alone_have_metrics_without_a_reference() -> None:
    save(Path("lr/a.png"), smooth(0, (16, 16)))
    found = iqsr.evaluate("lr", ["bicubic"], ["psnr", "laplacian", "lr-consistency"], out="out")
    assert found.set.layout == "lr"
    assert sorted(found.scores["metric"]) == ["laplacian", "lr-consistency"]
    assert [problem.metric for problem in found.problems] == ["psnr", ""]
    assert "if these are originals, give --degradation bicubic, " in found.problems[1].text
    assert GOLD_STANDARD not in [model.name for model in found.models]


def test_lr_consistency_compares_with_the_input() -> None:
    pairs(Path("set"), ("a",))
    found = iqsr.evaluate("set", ["bicubic"], ["psnr", "lr-consistency"], out="out")
    from iqsr.images import read_rgb
    from iqsr.metrics.lr_consistency import lr_consistency

    by_hand = lr_consistency(read_rgb(Path("out/pictures/bicubic/a.png")), read_rgb(Path("set/LR/a.png")))
    assert score(found, "a", "bicubic", "lr-consistency") == pytest.approx(float(by_hand), abs=1e-4)


# Models


def test_pictures_are_matched_by_name_never_by_order() -> None:
    pairs(Path("set"), ("img_1", "img_10", "img_2"))
    outputs(Path("ours"), {"img_1": 1, "img_10": 2, "img_2": 4}, suffix="_x4_ours")
    found = iqsr.evaluate("set", ["ours"], ["psnr"], out="out")
    expected = [psnr_of(1), psnr_of(2), psnr_of(4)]
    assert found.scores["score"].tolist() == pytest.approx(expected, abs=1e-3)
    assert found.problems == ()


def test_rows_can_be_named() -> None:
    pairs(Path("set"), ("a",))
    found = iqsr.evaluate("set", ["theirs=bicubic", "bicubic"], ["psnr"], out="out", baseline="bicubic")
    assert [model.name for model in found.models if model.kind != "gold"] == ["theirs", "bicubic"]
    assert found.baseline == "bicubic"
    first, second = found.scores["score"]
    assert first == second


def test_what_is_no_model_ends_before_anything_is_written() -> None:
    pairs(Path("set"))
    with pytest.raises(UnknownNameError, match="bicubic"):
        iqsr.evaluate("set", ["bicubik"], out="out")
    with pytest.raises(UsageError, match="two models would be called 'bicubic'"):
        iqsr.evaluate("set", ["bicubic", "bicubic"], out="out")
    with pytest.raises(UsageError, match="unknown protocol 'hgt'"):
        iqsr.evaluate("set", ["bicubic"], protocol="hgt", out="out")
    assert not Path("out").exists()


def test_a_metric_that_is_named_twice_is_one_column() -> None:
    pairs(Path("set"), ("a",))
    found = iqsr.evaluate("set", ["bicubic"], ["PSNR", "psnr", "lpips_st", "stlpips"], out="out")
    assert [metric.name for metric in found.metrics] == ["psnr", "stlpips"]


def test_the_gold_standard_needs_a_metric_without_a_reference() -> None:
    pairs(Path("set"), ("a",))
    found = iqsr.evaluate("set", ["bicubic"], ["psnr"], out="out")
    assert [model.name for model in found.models] == ["bicubic"]
    found = iqsr.evaluate("set", ["bicubic"], ["laplacian"], gold_standard=False, out="out")
    assert [model.name for model in found.models] == ["bicubic"]


def test_cameras_are_chosen() -> None:
    realsr(Path("RealSR"))
    found = iqsr.evaluate("RealSR", ["bicubic"], ["psnr"], cameras=["Nikon"], out="out")
    assert found.scores["image"].tolist() == ["Nikon_001", "Nikon_002"]


def test_a_baseline_that_is_no_model_ends_before_any_work() -> None:
    pairs(Path("set"))
    with pytest.raises(UsageError, match="no model 'bogus' for --baseline; models: bicubic"):
        iqsr.evaluate("set", ["bicubic"], ["psnr"], baseline="bogus", out="out")
    assert not Path("out").exists()


def test_a_recipe_says_what_is_evaluated() -> None:
    Path("a.toml").write_text('[data]\npath = "set"\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"'a\.toml' says what is evaluated: change it there"):
        iqsr.evaluate("a.toml", seed=3, out="out")


# Bad input: a line each, nothing silently dropped


def test_a_picture_that_a_model_lacks_is_told() -> None:
    pairs(Path("set"))
    outputs(Path("ours"), {"a": 5})
    found = iqsr.evaluate("set", ["ours", "bicubic"], ["psnr"], out="out")
    (problem,) = found.problems
    assert (problem.model, problem.image) == ("ours", "b")
    assert problem.text == "'ours' has no picture for 'b'"
    assert found.counts().loc["ours", "psnr"] == 1
    assert found.counts().loc["bicubic", "psnr"] == 2


def test_a_size_that_does_not_fit_is_an_error_never_a_resize() -> None:
    pairs(Path("set"), ("a",))
    save(Path("ours/a.png"), smooth(0, (30, 32)))
    found = iqsr.evaluate("set", ["ours"], ["psnr", "laplacian"], out="out")
    assert "30 x 32 pixels, its reference 'set/HR/a.png' 32 x 32" in found.problems[0].text
    assert np.isnan(score(found, "a", "ours", "psnr"))
    assert np.isfinite(score(found, "a", "ours", "laplacian"))
    errors = found.scores.loc[found.scores["score"].isna(), "error"]
    assert "30 x 32" in errors.iloc[0]


def test_an_empty_folder_duplicate_stems_and_strangers_are_told() -> None:
    pairs(Path("set"))
    Path("empty").mkdir()
    outputs(Path("ours"), {"a": 5, "b": 5})
    save(Path("ours/a_x4.png"), smooth(0))
    save(Path("ours/other.png"), smooth(0))
    found = iqsr.evaluate("set", ["empty", "ours"], ["psnr"], out="out")
    assert [problem.text for problem in found.problems] == [
        "'empty' holds neither a run's result nor pictures: the model 'empty' is left out",
        "'ours' has several pictures for 'a': 'a.png', 'a_x4.png'; keep one",
        "'ours' has pictures that belong to no item: 'other.png'",
    ]
    assert found.scores["image"].tolist() == ["b"]


def test_originals_of_one_stem_and_inputs_that_are_missing_are_told() -> None:
    pairs(Path("set"), ("a", "b", "c"))
    Image.open("set/HR/a.png").save("set/HR/a.bmp")
    Path("set/LR/b.png").unlink()
    found = iqsr.evaluate("set", ["bicubic"], ["psnr"], out="out")
    texts = [problem.text for problem in found.problems]
    assert "'set/HR' has both 'a.bmp' and 'a.png', of one name; keep one" in texts
    assert "'set/LR' has no picture for 'b'" in texts
    assert found.scores["image"].tolist() == ["c"]


def test_a_label_that_cannot_be_read_leaves_its_set_out() -> None:
    test = hggt(Path(), {"0001-0-0": (P, P, S, N), "0002-0-0": (S, P, P, P), "0003-0-0": (S, S, S, N)})
    (test / "labels" / "B" / "0001-0-0.json").write_text("{", encoding="utf-8")
    found = iqsr.evaluate(test, ["bicubic"], ["psnr"], out="out")
    assert found.scores["image"].tolist() == ["0002-0-0"]
    assert "labels/B/0001-0-0.json" in found.problems[0].text
    assert "the set '0003-0-0' is left out: no majority" in found.problems[1].text


def test_a_network_of_another_scale_is_left_out() -> None:
    realsr(Path("RealSR"), 2)
    found = iqsr.evaluate("RealSR", ["realesr-animevideov3", "bicubic"], ["psnr"], scale=2, out="out")
    (problem,) = found.problems
    assert problem.text == "realesr-animevideov3 enlarges 4 times, the set needs 2: it is left out"
    assert set(found.scores["model"]) == {"bicubic"}


def test_a_damaged_picture_is_told(tmp_path: Path) -> None:
    pairs(Path("set"), ("a",))
    Path("ours").mkdir()
    Path("ours/a.png").write_bytes(Path("set/HR/a.png").read_bytes()[:200])
    found = iqsr.evaluate("set", ["ours"], ["psnr"], out="out")
    assert "ours/a.png" in found.problems[0].text
    assert np.isnan(score(found, "a", "ours", "psnr"))


def test_strict_ends_at_the_first_problem() -> None:
    pairs(Path("set"))
    outputs(Path("ours"), {"a": 5})
    with pytest.raises(IqsrError, match="'ours' has no picture for 'b'"):
        iqsr.evaluate("set", ["ours"], ["psnr"], out="out", strict=True)


def test_a_metric_without_weights_is_told_and_a_derived_score_is_partial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IQSR_WEIGHTS", str(Path("nowhere").absolute()))
    monkeypatch.setenv("TORCH_HOME", str(Path("nowhere").absolute()))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    pairs(Path("set"))
    outputs(Path("ours"), {"a": 5, "b": 5})
    scores = pd.DataFrame({"image": ["a", "b"], "model": "ours", "musiq": [40.0, 60.0], "niqe": [3.0, 5.0]})
    scores.to_csv("elsewhere.csv", index=False)
    options = {"protocol": "ntire2026", "metrics": ["psnr", "lpips"], "scores": ["elsewhere.csv"]}
    found = iqsr.evaluate("set", ["ours"], out="out", **options)
    assert [problem.metric for problem in found.problems] == ["lpips"]
    assert found.means().loc["ours", "ntire2026-score"] == pytest.approx(0.5 + 0.6)
    derived = found.metrics[-1]
    assert derived.name == "ntire2026-score"
    assert derived.partial == ("lpips", "dists", "clipiqa", "maniqa")
    row = found.scores[found.scores["metric"] == "ntire2026-score"].iloc[0]
    assert row["metric_variant"] == "partial, without lpips, dists, clipiqa, maniqa"


# Scores made elsewhere


def test_scores_made_elsewhere_are_joined() -> None:
    pairs(Path("set"))
    outputs(Path("ours"), {"a": 5, "b": 5})
    table = pd.DataFrame(
        {
            "image": ["a", "b", "z"],
            "model": "theirs",
            "metric": "reasoner",
            "score": [1.0, 2.0, 3.0],
            "higher_is_better": False,
        }
    )
    table.to_csv("theirs.csv", index=False)
    found = iqsr.evaluate("set", ["ours"], ["psnr"], scores=["theirs.csv"], out="out")
    assert found.means().loc["theirs", "reasoner"] == 1.5
    assert [metric.higher_is_better for metric in found.metrics] == [True, False]
    assert [problem.text for problem in found.problems] == [
        "'theirs.csv' has scores of 'z' (1 such), which the set does not have"
    ]
    assert found.scores.loc[found.scores["model"] == "theirs", "origin"].str.startswith("theirs.csv ").all()
    table = csv.DictReader(Path("out/table.csv").read_text("utf-8").splitlines())
    rows = {(row["model"], row["metric"]): row["origin"] for row in table}
    assert rows["ours", "psnr"] == "measured"
    assert rows["theirs", "reasoner"].startswith("theirs.csv ")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"model": ["m"], "psnr": [1.0]}, "'image' is missing"),
        ({"image": ["a"], "model": ["m"], "unheard-of": [1.0]}, "add a column higher_is_better"),
        ({"image": ["a", "a"], "model": ["m", "m"], "psnr": [1.0, 2.0]}, "two scores of psnr"),
        ({"image": ["a"], "model": ["ours"], "psnr": [1.0]}, "which is there already"),
    ],
)
def test_a_file_of_scores_that_cannot_be_right_is_refused(columns: dict[str, list[object]], told: str) -> None:
    pairs(Path("set"))
    outputs(Path("ours"), {"a": 5, "b": 5})
    pd.DataFrame(columns).to_csv("bad.csv", index=False)
    with pytest.raises(UsageError, match=told):
        iqsr.evaluate("set", ["ours"], ["psnr"], scores=["bad.csv"], out="out")


# The folder


def test_what_is_written_is_read_back() -> None:
    test = hggt(Path(), {"0001-0-0": (P, P, S, N)})
    found = iqsr.evaluate(test, ["bicubic"], ["psnr", "laplacian"], protocol="ntire2026", out="out")
    again = read_evaluation(Path("out"))
    pd.testing.assert_frame_equal(again.scores, found.scores)
    assert (again.metrics, again.problems, again.protocol) == (found.metrics, found.problems, found.protocol)
    assert [m.name for m in again.models] == [m.name for m in found.models]
    (item,) = again.set.items
    assert [path.resolve() for path in item.references] == [path.resolve() for path in found.set.items[0].references]
    assert again.models[1].pictures["0001-0-0"].is_file()
    with pytest.raises(UsageError, match="has no results of iqsr evaluate"):
        read_evaluation(Path("set"))


def test_a_row_says_where_its_score_comes_from() -> None:
    pairs(Path("set"), ("a",))
    found = iqsr.evaluate("set", ["bicubic"], ["psnr"], protocol="osediff", out="out")
    from iqsr.scoring import content_hash

    (row,) = found.scores.to_dict("records")
    assert row["metric"] == "psnr"
    assert row["metric_variant"] == "psnr-y"
    assert row["protocol"] == "osediff"
    assert row["picture_sha256"] == content_hash(Path("out/pictures/bicubic/a.png"))
    assert row["references_sha256"] == content_hash(Path("set/HR/a.png"))
    assert row["iqsr_version"] == iqsr.__version__
    assert row["origin"] == "measured"
