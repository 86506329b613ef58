"""`iqsr evaluate`: what it prints, writes and returns."""

import re
from pathlib import Path
from typing import Any

import pytest

from iqsr.evaluation import evaluate
from iqsr.evaluation.recipe import EvaluationRecipe, read_evaluation_recipe
from iqsr.evaluation.result import read_evaluation
from support.commands import Run
from support.evaluation_samples import outputs, pairs, psnr_of


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path / "cache"))
    pairs(Path("set"))
    outputs(Path("ours"), {"a": 5, "b": 5})


def test_it_prints_means_with_directions_and_names_the_protocol(iqsr: Run) -> None:
    ended = iqsr("evaluate", "--data", "set", "--models", "bicubic,ours", "--metrics", "psnr,laplacian", "-o", "out")
    assert ended.code == 0
    assert "set: 2 images; protocol rgb" in ended.out
    assert re.search(rf"ours +{psnr_of(5):.4f} +[0-9.]+", ended.out)
    assert "Gold Standard" in ended.out
    assert ended.out.count("higher") == 2
    assert sorted(path.name for path in Path("out").iterdir() if path.is_file() and path.name != ".lock") == [
        "evaluation.json",
        "evaluation.toml",
        "report.html",
        "scores.parquet",
        "settings.json",
        "table.csv",
        "table.md",
        "table.tex",
    ]


def test_the_file_it_writes_runs_it_again(iqsr: Run) -> None:
    options = ("--metrics", "psnr,ssim", "--protocol", "luma-shave4", "--baseline", "ours")
    assert iqsr("evaluate", "--data", "set", "--models", "bicubic,mine=ours,ours", *options, "-o", "deep/out").code == 0
    before = {path: path.read_bytes() for path in Path("deep/out").iterdir() if path.is_file()}
    ended = iqsr("evaluate", "deep/out/evaluation.toml")
    assert ended.code == 0
    assert {path: path.read_bytes() for path in before} == before
    found = read_evaluation(Path("deep/out"))
    assert (found.baseline, found.protocol.name) == ("ours", "luma-shave4")
    assert [model.name for model in found.models if model.kind != "gold"] == ["bicubic", "mine", "ours"]


@pytest.mark.parametrize(
    "options",
    [
        ("--seed", "3"),
        ("--protocol", "rgb"),
        ("--no-gold-standard",),
        ("--baseline", "ours"),
        ("--scores", "x.csv"),
        ("--init", "other"),
    ],
)
def test_options_that_the_recipe_decides_are_refused_beside_it(iqsr: Run, options: tuple[str, ...]) -> None:
    iqsr("evaluate", "--init", "new", "--data", "set", "--models", "ours", "-m", "psnr")
    ended = iqsr("evaluate", "new/evaluation.toml", *options, "--scale", "4")
    assert ended.code == 2
    told = "--gold-standard" if len(options) == 1 else options[0]
    assert "'new/evaluation.toml' says what is evaluated: change it there, not with" in ended.err
    assert told in ended.err
    assert "--scale" in ended.err
    assert not Path("new/scores.parquet").exists()


def test_how_it_is_computed_may_stand_beside_a_recipe(iqsr: Run) -> None:
    iqsr("evaluate", "--init", "new", "--data", "set", "--models", "ours", "-m", "psnr")
    ended = iqsr("evaluate", "new/evaluation.toml", "--device", "cpu", "--strict", "--no-cache", "-o", "out")
    assert ended.code == 0
    assert "tables: out/table.md; report: out/report.html" in ended.out


def test_python_writes_the_files_of_the_command(iqsr: Run) -> None:
    assert iqsr("evaluate", "--data", "set", "--models", "ours", "-m", "psnr", "--paper", "7", "-o", "out").code == 0
    evaluate("set", ["ours"], ["psnr"], paper=7, out="same")
    files = [{path.name: path.read_bytes() for path in Path(d).iterdir() if path.is_file()} for d in ("out", "same")]
    assert files[0] == files[1]


def test_init_writes_every_setting_with_a_comment(iqsr: Run) -> None:
    ended = iqsr("evaluate", "--init", "new", "--data", "set", "--models", "bicubic,ours", "--protocol", "hggt")
    assert (ended.code, ended.err) == (0, "")
    assert "run: iqsr evaluate new/evaluation.toml" in ended.out
    text = Path("new/evaluation.toml").read_text()
    data: Any = EvaluationRecipe.model_fields["data"].annotation
    settings = [*EvaluationRecipe.model_fields, *data.model_fields]
    for name in settings:
        assert re.search(rf"^(\[+)?{name}\b", text, re.MULTILINE), name
    recipe = read_evaluation_recipe(Path("new/evaluation.toml"))
    assert Path(recipe.data.path).resolve() == Path("set").resolve()
    assert recipe.protocol == "hggt"
    assert iqsr("evaluate", "--init", "new").code == 2


def test_comments_of_the_user_stay(iqsr: Run) -> None:
    iqsr("evaluate", "--init", "new", "--data", "set", "--models", "ours", "-m", "psnr")
    file = Path("new/evaluation.toml")
    file.write_text("# mine\n" + file.read_text())
    assert iqsr("evaluate", "new/evaluation.toml").code == 0
    assert file.read_text().startswith("# mine\n")


def test_columns_that_do_not_fit_on_a_terminal_stand_below(iqsr: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = "psnr,psnr-y,ssim,ssim-y,laplacian,lr-consistency"
    options = ("--data", "set", "--models", "bicubic,ours", "-m", metrics, "-o", "out")
    whole = iqsr("evaluate", *options).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "44")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", iqsr("evaluate", *options).out).splitlines()
    rows = [line.split() for line in lines if line.strip().startswith("ours ")]
    assert len(rows) > 1
    assert [cell for row in rows for cell in row[1:]] == next(r for r in whole.splitlines() if "ours " in r).split()[1:]
    assert max(len(line) for line in lines if " ours " in line or "model" in line) <= 44


def test_a_terminal_shows_what_is_done_and_the_time_left(iqsr: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    ended = iqsr("evaluate", "--data", "set", "--models", "bicubic", "-m", "psnr", "-o", "out")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", ended.err)
    assert re.search(r"[0-9]/[0-9] +([0-9]:[0-9]{2}:[0-9]{2}|-:--:--)", shown)


def test_problems_are_told_in_lines_and_end_in_1(iqsr: Run) -> None:
    Path("ours/b.png").unlink()
    ended = iqsr("evaluate", "--data", "set", "--models", "ours", "--metrics", "psnr", "-o", "out")
    assert ended.code == 1
    assert "iqsr: 'ours' has no picture for 'b'\n" in ended.err
    assert f"{psnr_of(5):.4f} (n=1)" in ended.out


def test_strict_makes_a_problem_fatal(iqsr: Run) -> None:
    Path("ours/b.png").unlink()
    ended = iqsr("evaluate", "--data", "set", "--models", "ours", "--metrics", "psnr", "-o", "out", "--strict")
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "no picture for 'b' (without --strict" in ended.err
    assert not Path("out/scores.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--data", "set", "-o", "out"], "give --data SET, --models A,B,... and -o DIR"),
        (["--data", "nowhere", "--models", "ours", "-o", "out"], "no such folder: 'nowhere'"),
        (["--data", "set", "--models", "bicubik", "-o", "out"], "unknown model 'bicubik'"),
        (["--data", "set", "--models", "ours", "-m", "psnrr", "-o", "out"], "unknown metric 'psnrr'"),
        (["--data", "set", "--models", "ours", "--protocol", "x", "-o", "out"], "unknown protocol 'x'"),
        (["--data", "set", "--models", "ours", "--layout", "x", "-o", "out"], "data.layout should be 'auto'"),
        (["--data", "set/HR", "--models", "ours", "--layout", "hr", "-o", "out"], "need a degradation"),
        (["--data", "set/HR", "--degradation", "x", "--models", "ours", "-o", "out"], "unknown degradation 'x'"),
        (
            ["--data", "set", "--models", "ours", "--baseline", "x", "-m", "psnr", "-o", "out"],
            "no model 'x' for --baseline",
        ),
        (["--data", "set/HR", "--models", "ours", "-m", "psnr", "-o", "out"], "'HR' was taken as inputs alone"),
        (["--data", "set", "--models", "ours", "--paper", "6", "-o", "out"], "choose 7 or 8"),
        (["none.toml"], "cannot read recipe 'none.toml'"),
    ],
)
def test_wrong_arguments_are_one_line(iqsr: Run, arguments: list[str], told: str) -> None:
    ended = iqsr("evaluate", *arguments)
    assert ended.code == 2
    assert told in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err
