"""`iqsr compare`: two trainings side by side."""

from pathlib import Path

import pytest

from iqsr.errors import UsageError
from iqsr.evaluation.report_runs import (
    Difference,
    FinalRow,
    comparison_text,
    differences,
    final_rows,
    read_run,
    read_runs,
    spark,
    write_run_comparison,
)
from support.browsers import chromium, opened_page
from support.commands import Run
from support.damaged_lines import DAMAGED_LINES
from support.report_samples import run_folder

A = "steps = 4\n[optimiser]\nlr = 1e-4\nbetas = [0.9, 0.99]\n[lora]\nrank = 4\n"
B = 'steps = 8\n[optimiser]\nlr = 1e-4\nbetas = [0.9, 0.999]\n[model]\nstart = "new <b>"\n'


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    a = run_folder(tmp_path / "base", A, {0: 20.0, 4: 21.0})
    return a, run_folder(tmp_path / "guided", B, {0: 20.0, 4: 22.0, 8: 24.5})


def test_differences_by_dotted_key(runs):
    assert differences(*map(read_run, runs)) == [
        Difference("lora.rank", "4", "not set"),
        Difference("model.start", "not set", '"new <b>"'),
        Difference("optimiser.betas", "[0.9, 0.99]", "[0.9, 0.999]"),
        Difference("steps", "4", "8"),
    ]


def test_curves_are_what_the_log_has_without_a_torn_line(runs):
    a = read_run(runs[0])
    assert a.curves == {
        "train/loss": [(0, 1.0), (4, 0.2)],
        "validation/psnr": [(0, 20.0), (4, 21.0)],
    }, "no time, no null, no half line"


@pytest.mark.parametrize("damage", DAMAGED_LINES)
def test_damaged_lines_of_a_log_are_passed_over(runs, damage):
    log = runs[0] / "log.jsonl"
    before = read_run(runs[0])
    log.write_bytes(damage + b"\n" + log.read_bytes())
    assert read_run(runs[0]) == before


def test_last_figures_with_their_steps(runs):
    a, b = map(read_run, runs)
    assert final_rows(a, b)[0] == FinalRow("validation/psnr", "21 (4)", "24.5 (8)", "+3.5")
    assert final_rows(a, a)[0] == FinalRow("validation/psnr", "21", "21", "+0")


def test_a_curve_in_blocks():
    assert spark([(0, 0.0), (1, 0.5), (2, 1.0)], (0.0, 1.0)) == "▁▅█"
    assert spark([(0, 3.0)], (3.0, 3.0)) == "▄"
    assert spark([], (0.0, 1.0)) == ""
    assert len(spark([(step, float(step)) for step in range(1000)], (0.0, 999.0))) == 24


def test_runs_of_one_name_are_told_apart(tmp_path):
    for place in ("x", "y"):
        run_folder(tmp_path / place / "run", A, {0: 1.0})
    a, b = read_runs(tmp_path / "x" / "run", tmp_path / "y" / "run")
    assert a.name != b.name
    assert "no difference" in comparison_text(a, b)


def test_the_command_prints_and_writes_a_page(iqsr: Run, runs, tmp_path):
    out = tmp_path / "page.html"
    ended = iqsr("compare", str(runs[0]), str(runs[1]), "-o", str(out))
    assert (ended.code, ended.err) == (0, "")
    assert "  steps: 4 -> 8\n" in ended.out
    assert "24.5 (8)" in ended.out
    assert out.is_file()
    for words, message in [
        ((str(tmp_path), str(runs[0])), "has no log.jsonl"),
        ((*map(str, runs), "-o", "x.png"), ".html"),
    ]:
        ended = iqsr("compare", *words)
        assert ended.code == 2
        assert message in ended.err


def test_a_damaged_recipe_is_told(runs):
    (runs[0] / "recipe.toml").write_text("steps = = 4")
    with pytest.raises(UsageError, match="is not TOML"):
        read_run(runs[0])


@pytest.mark.browser
def test_the_page_has_differences_curves_and_last_figures(runs, tmp_path):
    write_run_comparison(*read_runs(*runs), tmp_path / "page.html")
    with chromium() as browser, opened_page(browser, tmp_path / "page.html", 390) as page:
        assert page.locator("h1").inner_text() == "base and guided"
        assert page.locator(".words tbody tr").nth(1).locator("td").all_inner_texts() == ["not set", '"new <b>"']
        assert page.locator(".words caption").inner_text() == "1 settings are the same."
        said = page.locator("svg[role=img]").first.get_attribute("aria-label")
        assert said == "validation/psnr over steps: base from 20 to 21; guided from 20 to 24.5"
        assert page.evaluate("document.documentElement.scrollWidth") == 390
