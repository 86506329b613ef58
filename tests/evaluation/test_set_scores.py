"""Metrics of whole sets in an evaluation: one number a model, resumable, with what it is over in every table."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import iqsr
from iqsr.errors import UsageError
from iqsr.evaluation import Evaluation
from iqsr.evaluation.recipe import checked
from iqsr.evaluation.result import read_evaluation
from iqsr.evaluation.run import Setting, run
from iqsr.images import read_rgb
from iqsr.metrics import load_features
from iqsr.metrics.frechet import PictureFeatures, frechet_distance
from support.evaluation_samples import hggt, outputs, pairs, reduced, save, smooth

NAME = "frechet-lite0"
P, S, N = "Positive", "Similar", "Negative"


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the pictures whose features are computed."""
    shapes: list[tuple[int, ...]] = []
    before = PictureFeatures.of

    def noted(self: PictureFeatures, picture):
        shapes.append(tuple(picture.shape))
        return before(self, picture)

    monkeypatch.setattr(PictureFeatures, "of", noted)
    return shapes


def by_hand(outputs: list[str], originals: list[str], name: str = NAME) -> float:
    features = load_features(name)
    first, second = (np.concatenate([features.of(read_rgb(Path(p))) for p in side]) for side in (outputs, originals))
    return frechet_distance(first, second)


def value(found: Evaluation, model: str, metric: str = NAME) -> float:
    rows = found.scores[(found.scores["model"] == model) & (found.scores["metric"] == metric)]
    assert rows["image"].tolist() == [""]
    return float(rows["score"].tolist()[0])


def test_it_is_one_number_of_all_outputs_against_all_originals() -> None:
    pairs(Path("set"), ("a", "b", "c"))
    outputs(Path("ours"), {"a": 0, "b": 0, "c": 0})
    found = iqsr.evaluate("set", ["bicubic", "ours"], ["psnr", NAME], out="out", device="cpu")
    originals = [f"set/HR/{name}.png" for name in "abc"]
    expected = by_hand([f"out/pictures/bicubic/{name}.png" for name in "abc"], originals)
    assert value(found, "bicubic") == pytest.approx(expected, rel=1e-9)
    assert value(found, "ours") == pytest.approx(0, abs=1e-6)
    assert [metric.name for metric in found.metrics] == ["psnr", NAME]
    assert found.metrics[1].samples == 3
    assert found.problems == ()
    assert found.means().loc["bicubic", NAME] == pytest.approx(expected)


def test_several_positives_are_all_originals_and_the_gold_standard_has_none() -> None:
    test = hggt(Path(), {"0001-0-0": (P, P, S, N), "0002-0-0": (S, P, P, P)})
    outputs(Path("ours"), {"0001-0-0": 1, "0002-0-0": 1})
    found = iqsr.evaluate(test, ["ours"], ["laplacian", NAME], protocol="hggt", out="out", device="cpu")
    positives = [f"{test}/images/{n}/0001-0-0_{n}.png" for n in ("01", "02")]
    positives += [f"{test}/images/{n}/0002-0-0_{n}.png" for n in ("02", "03", "04")]
    assert value(found, "ours") == pytest.approx(by_hand(["ours/0001-0-0.png", "ours/0002-0-0.png"], positives))
    assert set(found.scores.loc[found.scores["metric"] == NAME, "model"]) == {"ours"}
    row = found.scores[found.scores["metric"] == NAME].iloc[0]
    assert (row["n_references"], row["crop_border"], row["origin"]) == (5, 0, "measured")
    assert found.metrics[0].samples == 2


def test_patches_count_and_stand_in_the_head() -> None:
    for seed, name in enumerate("ab"):
        original = smooth(seed, (200, 136))
        save(Path("set/HR", f"{name}.png"), original)
        save(Path("set/LR", f"{name}.png"), reduced(original))
    found = iqsr.evaluate("set", ["bicubic"], [f"{NAME}-patch"], out="out", device="cpu")
    assert found.metrics[0].sample_note == "n = 4 patches of 128 px, stride 64"
    files = [f"out/pictures/bicubic/{name}.png" for name in "ab"]
    expected = by_hand(files, ["set/HR/a.png", "set/HR/b.png"], f"{NAME}-patch")
    assert value(found, "bicubic", f"{NAME}-patch") == pytest.approx(expected, rel=1e-9)


def test_tables_say_what_it_is_over_and_warn_of_few_pictures(caplog: pytest.LogCaptureFixture) -> None:
    pairs(Path("set"))
    found = iqsr.evaluate("set", ["bicubic"], ["psnr", NAME], out="out", device="cpu")
    few = f"{NAME}: n = 2, fewer than 2,048: too few"
    assert few in caplog.text
    table = Path("out/table.md").read_text(encoding="utf-8")
    assert f"| {NAME} ↓ (n = 2) |" in table
    for text in (table, Path("out/table.tex").read_text(encoding="utf-8"), Path("out/report.html").read_text("utf-8")):
        assert few in text
        assert f"{NAME} is one value of the whole set, without an interval" in text
    rows = csv.DictReader(Path("out/table.csv").read_text(encoding="utf-8").splitlines())
    (row,) = [row for row in rows if row["metric"] == NAME]
    assert (row["n"], row["mean_low"], row["worst"]) == ("2", "", "")
    assert float(row["mean"]) == value(found, "bicubic")


def test_what_is_there_is_kept_and_a_further_model_reads_its_own_pictures(looked_at: list[tuple[int, ...]]) -> None:
    pairs(Path("set"))
    outputs(Path("ours"), {"a": 5, "b": 5})
    first = iqsr.evaluate("set", ["bicubic"], [NAME], out="out", device="cpu")
    assert len(looked_at) == 4
    looked_at.clear()
    iqsr.evaluate("set", ["bicubic"], [NAME], out="out", device="cpu")
    assert looked_at == []
    both = iqsr.evaluate("set", ["bicubic", "ours"], [NAME], out="out", device="cpu")
    assert len(looked_at) == 2
    assert value(both, "bicubic") == value(first, "bicubic")
    looked_at.clear()
    outputs(Path("ours"), {"a": 9})
    changed = iqsr.evaluate("set", ["bicubic", "ours"], [NAME], out="out", device="cpu")
    assert len(looked_at) == 1
    assert value(changed, "ours") != value(both, "ours")
    pd.testing.assert_frame_equal(read_evaluation(Path("out")).scores, changed.scores)
    assert read_evaluation(Path("out")).metrics == changed.metrics


def test_after_a_stop_only_the_rest_is_computed(looked_at: list[tuple[int, ...]], monkeypatch) -> None:
    pairs(Path("set"), ("a", "b", "c"))
    whole = iqsr.evaluate("set", ["bicubic"], [NAME], out="whole", device="cpu")
    looked_at.clear()

    def stop(what: str, done: int, total: int) -> None:
        if what == f"features of {NAME}" and done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        iqsr.evaluate("set", ["bicubic"], [NAME], out="out", device="cpu", on_progress=stop)
    assert len(looked_at) == 4
    cut_off = sorted(Path("out/features").rglob("*.npy"))[0]
    cut_off.write_bytes(cut_off.read_bytes()[:100])
    again = iqsr.evaluate("set", ["bicubic"], [NAME], out="out", device="cpu")
    assert len(looked_at) == 4 + 3
    assert value(again, "bicubic") == value(whole, "bicubic")
    files = [{p.name: p.read_bytes() for p in Path(d).rglob("*.npy")} for d in ("whole", "out")]
    assert files[0] == files[1]


def test_it_does_not_depend_on_what_is_measured_together() -> None:
    pairs(Path("set"), ("a", "b", "c"))
    recipe = checked({"data": {"path": "set"}, "models": [{"model": "bicubic"}], "metrics": ["psnr", NAME]})
    found = [run(recipe, Path(f"out{n}"), Setting("cpu", pixels=n * 32 * 32)).scores["score"] for n in (1, 3)]
    assert found[0].tolist() == found[1].tolist()


def test_what_cannot_be_had_is_told() -> None:
    pairs(Path("set"), ("a", "b"))
    save(Path("set/HR/a.png"), smooth(0, (24, 24)))
    outputs(Path("ours"), {"a": 0})
    found = iqsr.evaluate("set", ["bicubic", "ours"], ["psnr", NAME, f"{NAME}-patch"], out="out", device="cpu")
    texts = [problem.text for problem in found.problems if problem.metric.startswith(NAME)]
    assert f"'set/HR/a.png': {NAME} needs at least 32 x 32 pixels, this has 24 x 24" in texts
    assert any(f"{NAME}-patch needs at least 128 x 128 pixels" in text for text in texts)
    assert np.isnan(value(found, "bicubic"))
    save(Path("set/HR/a.png"), smooth(0))
    found = iqsr.evaluate("set", ["ours"], ["psnr", NAME], out="out", device="cpu")
    assert f"{NAME} needs two pictures at least, 'ours' has one" in [problem.text for problem in found.problems]


def test_fid_without_weights_is_told_with_the_line_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IQSR_WEIGHTS", str(Path("nowhere").absolute()))
    pairs(Path("set"), ("a",))
    found = iqsr.evaluate("set", ["bicubic"], ["psnr", "fid"], out="out", device="cpu")
    assert "run: iqsr weights fetch inception-fid" in found.problems[0].text
    assert [metric.name for metric in found.metrics] == ["psnr"]


def test_inputs_alone_have_none() -> None:
    save(Path("lr/a.png"), smooth(0, (16, 16)))
    with pytest.raises(UsageError, match="none of the metrics can be had"):
        iqsr.evaluate("lr", ["bicubic"], [NAME], out="out", device="cpu")
