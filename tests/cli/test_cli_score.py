"""`iqsr score`: what it prints, writes and returns, and how it goes on after a stop."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from iqsr.images import open_picture
from iqsr.metrics import availability, metric_names, requirements
from iqsr.scoring import ScoreCache, score_files
from support.commands import PATIENCE, Run


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path / "cache"))


def picture(path: str, size: tuple[int, int] = (48, 40), seed: int = 0) -> Path:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)).save(place)
    return place


def pictures(count: int, folder: str = "sr", seed: int = 0) -> None:
    for i in range(count):
        picture(f"{folder}/{i:02}.png", seed=seed + i)


def cached() -> int:
    with ScoreCache(Path("cache/scores.sqlite")) as cache:
        return len(cache)


def test_few_pictures_are_shown_one_by_one_and_summed_up(iqsr: Run) -> None:
    pictures(3)
    pictures(3, "gt", seed=10)
    ended = iqsr("score", "sr", "--reference", "gt", "--metrics", "psnr,stlpips")
    assert (ended.code, ended.err) == (0, "")
    table = score_files(["sr"], ["psnr", "stlpips"], reference=Path("gt"))
    for row in table.to_dict("records"):
        assert re.search(rf"{row['path']} +48 x 40 +{row['psnr']:.5g} +{row['stlpips']:.5g}", ended.out)
    mean, median, sd = table["psnr"].mean(), table["psnr"].median(), table["psnr"].std()
    worst = table.loc[table["psnr"].idxmin()]
    shown = rf"psnr +higher +3 +{mean:.5g} +{median:.5g} +{sd:.5g} +{worst['psnr']:.5g}  {worst['path']}"
    assert re.search(shown, ended.out)
    worst = table.loc[table["stlpips"].idxmax()]
    assert re.search(rf"stlpips +lower +3 .* {worst['stlpips']:.5g}  {worst['path']}", ended.out)


@pytest.mark.usefixtures("locked_folder")
def test_a_folder_that_cannot_be_searched_is_work_that_failed(iqsr: Run) -> None:
    pictures(2)
    ended = iqsr("score", "sr", "-m", "laplacian")
    assert (ended.code, ended.err) == (1, "iqsr: left out 'in/locked\\n': Permission denied\n")
    assert "sr/01.png" in ended.out
    ended = iqsr("score", "sr/00.png", "-m", "psnr", "-r", "sr", "--crop-border", "4")  # of the references, too
    assert (ended.code, ended.err) == (1, "iqsr: left out 'in/locked\\n': Permission denied\n")


def test_one_picture_alone_tells_what_its_scores_mean(iqsr: Run) -> None:
    picture("a.png")
    picture("gt.png", seed=1)
    ended = iqsr("score", "a.png", "-m", "psnr,stlpips", "-r", "gt.png")
    assert ended.out.splitlines()[-2:] == [
        "psnr: Peak signal-to-noise ratio, RGB, dB; higher is better, 0 to 100",
        "stlpips: Shift-tolerant LPIPS (LPIPS-ST), AlexNet; lower is better, 0 to 1.5",
    ]


def test_many_pictures_are_only_summed_up_with_the_five_worst(iqsr: Run) -> None:
    pictures(21)
    ended = iqsr("score", "sr/*.png", "-m", "laplacian")
    assert ended.code == 0
    table = score_files(["sr"], ["laplacian"]).sort_values("laplacian")
    assert re.findall(r"sr/\d\d\.png", ended.out) == table["path"].head(5).tolist()


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json"])
def test_the_table_that_is_written_is_that_of_python(iqsr: Run, suffix: str) -> None:
    pictures(2)
    assert iqsr("score", "sr", "-m", "laplacian", "-o", f"new/t.{suffix}").code == 0
    back = {"csv": pd.read_csv, "parquet": pd.read_parquet, "json": pd.read_json}[suffix](f"new/t.{suffix}")
    table = score_files(["sr"], ["laplacian"])
    pd.testing.assert_frame_equal(back.astype(table.dtypes), table)


def test_json_is_one_object_and_nothing_else(iqsr: Run) -> None:
    pictures(2)
    Path("sr/bad.png").write_text("no")
    ended = iqsr("score", "sr", "-m", "laplacian", "--json")
    assert ended.code == 1
    said = json.loads(ended.out)
    assert [row["path"] for row in said["pictures"]] == ["sr/00.png", "sr/01.png", "sr/bad.png"]
    assert said["pictures"][2]["laplacian"] is None
    assert said["pictures"][2]["error"].startswith("cannot read 'sr/bad.png'")
    (summary,) = said["summary"]
    assert (summary["metric"], summary["n"], len(summary["worst"])) == ("laplacian", 2, 2)


def test_a_picture_that_fails_is_one_line_and_exit_code_1_and_the_rest_is_written(iqsr: Run) -> None:
    pictures(2)
    picture("sr/small.png", (12, 12))
    picture("gt.png")
    ended = iqsr("score", "sr", "-m", "stlpips", "--reference", "gt.png", "-o", "t.csv")
    assert ended.code == 1
    assert ended.err.splitlines() == [
        "iqsr: 'sr/small.png': stlpips needs at least 21 x 21 pixels, this has 12 x 12",
        "iqsr: 'sr/small.png': has 12 x 12 pixels, its reference 'gt.png' 48 x 40; crop or resize one of them",
    ]
    assert pd.read_csv("t.csv")["stlpips"].notna().tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("sr -m psnr", "psnr compares with a reference: give --reference FOLDER or FILE"),
        ("sr -m laplacian --reference sr", "none of the metrics compares with a reference"),
        ("sr -m laplacain", "unknown metric 'laplacain'; known: laplacian, "),
        ("sr -m ,", "no metric was named"),
        ("sr -m laplacian -o t.xlsx", "cannot write 't.xlsx': its name must end in .csv, .parquet, .json"),
        ("sr -m laplacian --cache c.sqlite --no-cache", "--cache and --no-cache exclude each other"),
        ("sr -m laplacian --precision fp8", "unknown precision 'fp8'; known: "),
        ("sr -m laplacian --device tpu", "unknown device 'tpu'"),
        ("'' -m laplacian", "a name is empty"),
        ("gone -m laplacian", "no such picture, folder or pattern: 'gone'"),
        ("-m laplacian", "Missing argument 'PATH...'; see `iqsr score --help`"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(iqsr: Run, arguments: str, line: str) -> None:
    pictures(1)
    ended = iqsr("score", *shlex.split(arguments))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"iqsr: {line}")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("options", [("-o", "taken/t.csv"), ("-o", "folder.csv"), ("--map", "taken")])
def test_a_place_that_cannot_be_written_is_told_before_anything_is_scored(iqsr: Run, options: tuple[str, ...]) -> None:
    picture("a.png", (64, 64))
    Path("taken").write_text("a file")
    Path("folder.csv").mkdir()
    ended = iqsr("score", "a.png", *options)
    assert (ended.code, ended.out) == (1, "")
    assert re.match(r"iqsr: cannot write '(taken/|folder\.csv)", ended.err)
    assert ended.err.count("\n") == 1
    assert not Path("cache/scores.sqlite").exists()


def test_a_metric_that_is_not_here_is_one_line_with_what_brings_it(iqsr: Run) -> None:
    picture("a.png", (300, 300))
    missing = next(name for name in reversed(metric_names()) if not availability(name).available)
    ended = iqsr("score", "a.png", "-m", missing, *(("-r", "a.png") if missing.startswith("lpips") else ()))
    assert ended.code in (1, 2)
    assert re.match(rf"iqsr: .*{re.escape(missing)}.*(run:|pip install|internet)", ended.err)
    assert ended.err.count("\n") == 1


def test_srq_is_the_default(iqsr: Run) -> None:
    picture("a.png", (64, 64))
    ended = iqsr("score", "a.png", "--json")
    assert ended.code == 0
    (row,) = json.loads(ended.out)["pictures"]
    assert row["srq"] == pytest.approx(score_files(["a.png"], ["srq"])["srq"][0])


@pytest.fixture
def without_srq(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """An installation that lacks srq's file; what it says brings it."""
    monkeypatch.setattr(requirements, "__file__", str(tmp_path / "quality" / "__init__.py"))
    return "this iqsr lacks srq.safetensors: install one that has it, or train it (docs/model-cards/srq.md)"


def test_without_srq_a_line_says_how_to_get_it_and_what_else_is_here(iqsr: Run, without_srq: str) -> None:
    picture("a.png", (64, 64))
    ended = iqsr("score", "a.png")
    assert ended.code == 2
    assert ended.err.startswith(
        f"iqsr: srq, the default metric, is not here ({without_srq}); name others, of these: psnr"
    )
    assert ended.err.count("\n") == 1


def test_a_map_is_written_for_each_picture(iqsr: Run) -> None:
    picture("sr/a.png", (80, 64))
    picture("sr/below/b.jpg", (64, 96))
    picture("sr/small.png", (16, 16))
    ended = iqsr("score", "sr", "-m", "laplacian", "--map", "sr/maps", "--json")
    assert ended.code == 1  # one is too small for srq
    rows = json.loads(ended.out)["pictures"]
    assert {row["path"]: row["srq"] is not None for row in rows} == {
        "sr/a.png": True,
        "sr/below/b.jpg": True,
        "sr/small.png": False,
    }
    assert sorted(map(str, Path("sr/maps").rglob("*.png"))) == ["sr/maps/a_map.png", "sr/maps/below/b_map.png"]
    assert open_picture(Path("sr/maps/a_map.png")).info.width == 80
    again = iqsr("score", "sr", "-m", "laplacian", "--map", "sr/maps", "--json", "--overwrite")
    assert again.out == ended.out  # no maps of maps


def test_without_srq_there_is_no_map(iqsr: Run, without_srq: str) -> None:
    picture("sr/a.png", (80, 64))
    ended = iqsr("score", "sr", "-m", "laplacian", "--map", "sr/maps", "--json")
    assert ended.code == 2
    assert ended.err == f"iqsr: --map shows what srq sees, and srq is not here: {without_srq}\n"
    assert not Path("sr/maps").exists()


def test_scores_are_remembered_unless_told_not_to(iqsr: Run) -> None:
    pictures(2)
    assert iqsr("score", "sr", "-m", "laplacian", "--no-cache").code == 0
    assert not Path("cache").exists()
    assert iqsr("score", "sr", "-m", "laplacian", "--cache", "mine.sqlite").code == 0
    assert Path("mine.sqlite").exists()
    assert not Path("cache").exists()
    assert iqsr("score", "sr", "-m", "laplacian").code == 0
    assert cached() == 2


def test_a_wrong_device_is_refused_when_every_score_is_remembered_too(iqsr: Run) -> None:
    pictures(2)
    assert iqsr("score", "sr", "-m", "laplacian").code == 0
    for name in ("tpu", "cuda:", "cuda:one", "Cpu", ""):
        ended = iqsr("score", "sr", "-m", "laplacian", "--device", name)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err == f"iqsr: unknown device '{name}'; choose auto, cpu, cuda, cuda:N or mps\n"


def test_a_cache_that_is_none_is_one_line_and_exit_code_1(iqsr: Run) -> None:
    pictures(1)
    ended = iqsr("score", "sr", "-m", "laplacian", "--cache", "sr/00.png")
    assert ended.code == 1
    assert ended.err.startswith("iqsr: 'sr/00.png' is not a score cache")
    assert ended.err.count("\n") == 1


def test_names_that_would_break_the_terminal_do_not(iqsr: Run) -> None:
    picture("sr/[red]a.png")
    picture("sr/b\x1b[31m.png")
    ended = iqsr("score", "sr", "-m", "laplacian")
    assert ended.code == 0
    assert "sr/[red]a.png" in ended.out
    assert r"sr/b\x1b[31m.png" in ended.out
    assert "\x1b" not in ended.out


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_polite_kill_says_how_to_go_on_and_the_rest_is_computed_then(iqsr: Run) -> None:
    for i in range(60):
        picture(f"sr/{i:02}.png", (200 + i, 200))  # each its own batch
    command = [sys.executable, "-m", "iqsr", "score", "sr", "-m", "stlpips-vgg", "-r", "sr"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as run:
        cache = Path("cache/scores.sqlite")
        while run.poll() is None and not (cache.exists() and cached() >= 2):
            time.sleep(0.05)
        run.send_signal(signal.SIGTERM)
        _, said = run.communicate(timeout=PATIENCE)
    assert run.returncode == 130
    assert said == "iqsr: stopped; the same command goes on from here\n"
    before = cached()
    assert 2 <= before < 60
    for path in sorted(Path("sr").iterdir())[before + 1 :]:
        path.unlink()
    assert iqsr("score", "sr", "-m", "stlpips-vgg", "-r", "sr").code == 0
    assert cached() == before + 1


def test_every_example_of_the_help_runs(iqsr: Run) -> None:
    from iqsr.cli.score import HELP

    for i in range(2):
        picture(f"results/{i}x4.png", (80, 64), seed=i)
        picture(f"originals/{i}.png", (80, 64), seed=i + 5)
    picture("photo.png", (80, 64))
    examples = [line.strip() for line in HELP.splitlines() if line.startswith("  iqsr ")]
    assert len(examples) >= 4
    for example in examples:
        ended = iqsr(*shlex.split(example)[1:])
        assert (ended.code, ended.err) == (0, ""), example


def test_the_help_fits_its_frame_and_names_each_option(iqsr: Run) -> None:
    ended = iqsr("score", "--help")
    assert ended.code == 0
    for option in ("--metrics", "--reference", "--output", "--map", "--cache", "--no-cache", "--device", "--json"):
        assert option in ended.out
