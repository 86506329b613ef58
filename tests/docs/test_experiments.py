"""Figures in the experiments' pages are what the kept votes give."""

import importlib.util
from pathlib import Path

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


def test_the_card_of_the_small_network_says_what_raters_answered() -> None:
    spec = importlib.util.spec_from_file_location("count", ROOT / "evaluation/fast/ratings/count.py")
    assert spec
    assert spec.loader
    count = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(count)
    assert count.table() in (ROOT / "docs/model-cards/iqsr-compact-x4.md").read_text("utf-8")
