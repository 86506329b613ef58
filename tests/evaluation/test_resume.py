"""What is there is not computed again, what changed is, and a kill changes no byte of the results."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import iqsr
from iqsr.errors import UsageError
from iqsr.evaluation.recipe import checked
from iqsr.evaluation.run import Setting, run
from support.damaged_lines import DAMAGED_LINES
from support.evaluation_samples import hggt, outputs, pairs, psnr_of, save, smooth

P, S, N = "Positive", "Similar", "Negative"


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The metrics that measure something, with how many pictures, as they are called."""
    from iqsr.scoring import MetricSet

    calls: list[str] = []
    before = MetricSet.measure

    def counted(self: MetricSet, name: str, x, reference=None):
        calls.extend([name] * len(x))
        return before(self, name, x, reference)

    monkeypatch.setattr(MetricSet, "measure", counted)
    return calls


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_second_run_measures_nothing_and_writes_the_same(measured: list[str]) -> None:
    pairs(Path("set"))
    iqsr.evaluate("set", ["bicubic"], ["psnr", "laplacian"], out="out")
    before, stamps = everything_in(Path("out")), Path("out/pictures/bicubic/a.png").stat().st_mtime_ns
    assert measured.count("psnr") == 2
    measured.clear()
    iqsr.evaluate("set", ["bicubic"], ["psnr", "laplacian"], out="out")
    assert measured == []
    assert everything_in(Path("out")) == before
    assert Path("out/pictures/bicubic/a.png").stat().st_mtime_ns == stamps


def test_a_further_model_or_metric_is_all_that_is_measured(measured: list[str]) -> None:
    pairs(Path("set"))
    outputs(Path("ours"), {"a": 5, "b": 5})
    iqsr.evaluate("set", ["bicubic"], ["psnr"], out="out")
    measured.clear()
    iqsr.evaluate("set", ["bicubic", "ours"], ["psnr"], out="out")
    assert measured == ["psnr"] * 2
    measured.clear()
    found = iqsr.evaluate("set", ["bicubic", "ours"], ["psnr", "ssim"], out="out")
    assert measured == ["ssim"] * 4
    assert len(found.scores) == 8


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"protocol": "hggt"}, "another protocol (rgb; now hggt)"),
        ({"seed": 4}, "another seed (3; now 4)"),
        ({"degradation": "real-esrgan"}, "another degradation (hggt-one-stage; now real-esrgan)"),
        ({"scale": 2, "seed": 4}, "another scale (4; now 2), another seed (3; now 4)"),
        ({"data": "other"}, "another data ("),
    ],
)
def test_results_of_something_else_are_never_replaced(changed: dict[str, Any], told: str) -> None:
    for folder in ("hr", "other"):
        save(Path(folder, "a.png"), smooth(0, (64, 64)))
    options: dict[str, Any] = {
        "data": "hr",
        "metrics": ["psnr"],
        "degradation": "hggt-one-stage",
        "seed": 3,
        "out": "out",
    }
    iqsr.evaluate(models=["bicubic"], **options)
    before = everything_in(Path("out"))
    with pytest.raises(UsageError) as raised:
        iqsr.evaluate(models=["bicubic"], **options | changed)
    assert told in str(raised.value)
    assert str(raised.value).endswith(": name another folder (-o)")
    assert everything_in(Path("out")) == before
    options["data"] = Path("hr").absolute()
    iqsr.evaluate(models=["bicubic"], **options)


def test_a_recipe_that_was_edited_in_its_own_folder_replaces_nothing() -> None:
    pairs(Path("set"))
    iqsr.evaluate("set", ["bicubic"], ["psnr"], out="out")
    file = Path("out/evaluation.toml")
    file.write_text(file.read_text("utf-8").replace('protocol = "rgb"', 'protocol = "hggt"'), encoding="utf-8")
    before = everything_in(Path("out"))
    with pytest.raises(UsageError, match=r"'out' has results of another protocol \(rgb; now hggt\)"):
        iqsr.evaluate(file, out="out")
    assert everything_in(Path("out")) == before
    assert iqsr.evaluate(file, out="other").protocol.name == "hggt"


def test_what_was_stopped_goes_on_with_the_same_settings_only() -> None:
    save(Path("hr/a.png"), smooth(0, (64, 64)))
    options: dict[str, Any] = {
        "models": ["bicubic"],
        "metrics": ["psnr"],
        "degradation": "hggt-one-stage",
        "out": "out",
    }

    def stop(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        iqsr.evaluate("hr", seed=3, on_progress=stop, **options)
    assert not Path("out/evaluation.json").exists()
    with pytest.raises(UsageError, match=r"another seed \(3; now 4\)"):
        iqsr.evaluate("hr", seed=4, **options)
    iqsr.evaluate("hr", seed=3, **options)


def test_results_may_be_moved_with_their_data() -> None:
    pairs(Path("here/set"))
    iqsr.evaluate("here/set", ["bicubic"], ["psnr"], out="here/out")
    Path("here").rename("there")
    found = iqsr.evaluate("there/out/evaluation.toml", out="there/out")
    assert found.problems == ()


def test_a_picture_that_changed_is_measured_again(measured: list[str]) -> None:
    pairs(Path("set"))
    outputs(Path("ours"), {"a": 5, "b": 5})
    iqsr.evaluate("set", ["ours"], ["psnr"], out="out")
    measured.clear()
    outputs(Path("ours"), {"a": 10})
    found = iqsr.evaluate("set", ["ours"], ["psnr"], out="out")
    assert measured == ["psnr"]
    assert found.scores["score"].tolist() == pytest.approx([psnr_of(10), psnr_of(5)], abs=1e-4)


def test_another_original_is_measured_again(measured: list[str]) -> None:
    pairs(Path("set"))
    outputs(Path("ours"), {"a": 5, "b": 5})
    iqsr.evaluate("set", ["ours"], ["psnr", "laplacian"], out="out")
    measured.clear()
    save(Path("set/HR/a.png"), smooth(9))
    iqsr.evaluate("set", ["ours"], ["psnr", "laplacian"], out="out")
    assert sorted(measured) == ["laplacian", "psnr"]  # the Gold Standard's own is another picture, too


def test_another_input_or_model_makes_the_picture_again() -> None:
    pairs(Path("set"))
    iqsr.evaluate("set", ["m=bicubic"], ["psnr"], out="out")
    before = everything_in(Path("out/pictures/m"))
    save(Path("set/LR/a.png"), smooth(9, (8, 8)))
    iqsr.evaluate("set", ["m=bicubic"], ["psnr"], out="out")
    after = everything_in(Path("out/pictures/m"))
    assert before["a.png"] != after["a.png"]
    assert before["b.png"] == after["b.png"]
    iqsr.evaluate("set", ["m=realesr-animevideov3"], ["psnr"], out="out")
    assert everything_in(Path("out/pictures/m"))["b.png"] != after["b.png"]


def test_a_picture_that_someone_changed_is_made_again() -> None:
    pairs(Path("set"))
    iqsr.evaluate("set", ["bicubic"], ["psnr"], out="out")
    before = everything_in(Path("out"))
    save(Path("out/pictures/bicubic/a.png"), smooth(9))
    iqsr.evaluate("set", ["bicubic"], ["psnr"], out="out")
    assert everything_in(Path("out")) == before


@pytest.mark.parametrize("damage", DAMAGED_LINES)
def test_a_file_whose_note_is_damaged_is_made_again(damage: bytes) -> None:
    pairs(Path("set"))
    iqsr.evaluate("set", ["bicubic"], ["psnr"], out="out")
    before = everything_in(Path("out"))
    pictures = [Path(f"out/pictures/bicubic/{name}.png") for name in "ab"]
    stamps = [path.stat().st_mtime_ns for path in pictures]
    journal = Path("out/pictures/bicubic/made.jsonl")
    journal.write_bytes(damage + b"\n" + journal.read_bytes().splitlines()[1] + b"\n")
    iqsr.evaluate("set", ["bicubic"], ["psnr"], out="out")
    assert everything_in(Path("out")) == before
    assert [path.stat().st_mtime_ns == stamp for path, stamp in zip(pictures, stamps, strict=True)] == [False, True]


def test_batches_of_any_size_give_the_same_scores() -> None:
    pairs(Path("set"), ("a", "b", "c", "d"))
    for seed, name in enumerate("abcd"):
        save(Path(f"ours/{name}.png"), smooth(seed + 20))
    metrics = ["psnr", "ssim", "psnr-y", "ssim-y-rounded", "stlpips", "laplacian", "lr-consistency"]
    recipe = checked({"data": {"path": "set"}, "models": [{"model": "ours"}], "metrics": metrics})
    tables = [run(recipe, Path(f"out{n}"), Setting(pixels=n * 32 * 32)).scores for n in (1, 2, 4)]
    first = tables[0]["score"].tolist()
    for other in tables[1:]:
        assert other["score"].tolist() == pytest.approx(first, rel=1e-6)


def test_each_picture_is_decoded_once_for_all_metrics_and_positives(monkeypatch: pytest.MonkeyPatch) -> None:
    from iqsr.images.read import Picture

    test = hggt(Path(), {"0001-0-0": (P, P, P, N), "0002-0-0": (S, P, P, P)})
    outputs(Path("ours"), {"0001-0-0": 3, "0002-0-0": 3})
    outputs(Path("theirs"), {"0001-0-0": 7, "0002-0-0": 7})
    decoded: list[Path] = []
    before = Picture.rows

    def noted(self: Picture, band_height: int):
        decoded.append(self.info.path)
        return before(self, band_height)

    monkeypatch.setattr(Picture, "rows", noted)
    recipe = checked(
        {
            "data": {"path": str(test)},
            "models": [{"model": "ours"}, {"model": "theirs"}],
            "metrics": ["psnr", "ssim", "laplacian", "lr-consistency"],
        }
    )
    run(recipe, Path("out"), Setting(pixels=1))
    assert len(decoded) == len(set(decoded))
    assert len(decoded) == 2 * (2 + 5 + 1)  # two outputs, five versions, the input


def test_the_features_of_a_shared_original_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from iqsr.metrics import lpips_st

    pairs(Path("set"))
    for name, by in (("one", 3), ("two", 9), ("three", 20)):
        outputs(Path(name), {"a": by, "b": by})
    scaled: list[int] = []
    before = lpips_st.scaled
    monkeypatch.setattr(lpips_st, "scaled", lambda x: (scaled.append(len(x)), before(x))[1])
    models = [{"model": name} for name in ("one", "two", "three")]
    recipe = checked({"data": {"path": "set"}, "models": models, "metrics": ["stlpips"]})
    together = run(recipe, Path("together"), Setting("cpu")).scores["score"].tolist()
    assert sorted(scaled) == [1, 1, 3, 3]
    alone = run(recipe, Path("alone"), Setting("cpu", pixels=1)).scores["score"].tolist()
    assert together == pytest.approx(alone, rel=1e-6, abs=1e-8)


_PROGRAM = """
import sys
from pathlib import Path
from typing import Any
import iqsr
iqsr.evaluate("set", ["bicubic"], ["psnr", "laplacian"], out="out", cache=Path("cache.sqlite"), degradation="bicubic",
              layout="hr")
"""


def test_a_kill_in_the_middle_changes_no_byte() -> None:
    for seed in range(24):
        save(Path(f"set/{seed:02}.png"), smooth(seed, (66, 64)))
    subprocess.run([sys.executable, "-c", _PROGRAM], check=True, capture_output=True)
    whole = everything_in(Path("out"))
    for stop in ("inputs/05.png", "pictures/bicubic/03.png"):
        shutil.rmtree("out")
        Path("cache.sqlite").unlink(missing_ok=True)
        _killed_when(lambda stop=stop: Path("out", stop).exists())
        assert not Path("out/scores.parquet").exists()
        Path("out/inputs/.05.png.99999999-0.iqsr-part").write_bytes(b"half a pict")
        subprocess.run([sys.executable, "-c", _PROGRAM], check=True, capture_output=True)
        assert everything_in(Path("out")) == whole


def _killed_when(there: Callable[[], bool]) -> None:
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM])
    until = time.monotonic() + 120
    while not there() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
