"""Figures in the experiments' pages are what the kept votes give."""

import importlib.util
from pathlib import Path

import pytest

from iqsr.study.analysis_files import AnalysisOptions, analyze_study
from iqsr.study.analysis_text import paragraph, percent

ROOT = Path(__file__).parents[2]


def test_the_study_of_sharpening_says_what_its_votes_say() -> None:
    page = " ".join((ROOT / "docs/experiments/sharpened.md").read_text("utf-8").replace("\n> ", " ").split())
    found = analyze_study(ROOT / "evaluation/sharpened", AnalysisOptions(metrics="none")).analysis
    assert paragraph(found) in page
    for one in found.findings.preferences:
        votes = f"{one.tally.first} to {one.tally.second} | {percent(one.tally.share)}"
        assert f"{one.first} – {one.second} | {votes}" in page


@pytest.mark.parametrize(
    ("folder", "page"),
    [
        ("fast/ratings", "model-cards/iqsr-compact-x4.md"),
        ("sharpened/limited", "experiments/sharpened.md"),
        ("sharpened/softer", "experiments/sharpened.md"),
        ("sharpened/fine", "experiments/sharpened.md"),
        ("sharpened/stronger", "experiments/sharpened.md"),
        ("sharpened/finer", "experiments/sharpened.md"),
        ("sharpened/drawings", "experiments/sharpened.md"),
        ("sharpened/default", "experiments/sharpened.md"),
        ("sharpened/default-drawings", "experiments/sharpened.md"),
        ("sharpened/default-clean", "experiments/sharpened.md"),
        ("sharpened/default-face", "experiments/sharpened.md"),
        ("sharpened/default-small", "experiments/sharpened.md"),
        ("sharpened/default-text", "experiments/sharpened.md"),
        ("sharpened/clean", "experiments/sharpened.md"),
        ("sharpened/tuned", "experiments/sharpened.md"),
        ("fast/sharpened", "model-cards/iqsr-compact-x4.md"),
    ],
)
def test_pages_say_what_raters_answered(folder: str, page: str) -> None:
    spec = importlib.util.spec_from_file_location("ratings", ROOT / "evaluation" / "ratings.py")
    assert spec
    assert spec.loader
    ratings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ratings)
    assert ratings.table(ROOT / "evaluation" / folder) in (ROOT / "docs" / page).read_text("utf-8")
