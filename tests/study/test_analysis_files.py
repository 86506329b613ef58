"""What an analysis writes: a page that loads nothing, tables, and pairs that other commands read."""

import csv
import re
from pathlib import Path

import pytest

from iqsr.agreement import read_pairs
from iqsr.errors import UsageError
from iqsr.study.analysis_files import AnalysisOptions, StudyAnalysis, analyze_study, write_analysis
from iqsr.study.metric_agreement import StudyPictures
from iqsr.study.votes import write_votes
from support.browsers import chromium, opened_page
from support.study_votes import raters_with_shares, save_study

OPTIONS = AnalysisOptions(metrics="laplacian")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyAnalysis]:
    """A study of three raters and six pictures, analysed."""
    study = tmp_path_factory.mktemp("data") / "dusk & dawn"
    save_study(study, raters_with_shares([5, 4, 6], 6, 6))
    found = analyze_study(study, OPTIONS)
    write_analysis(found, study / "out", pictures=4)
    return study, found


def test_pairs_are_read_by_agree(written: tuple[Path, StudyAnalysis]) -> None:
    study, found = written
    pairs = read_pairs(study / "out/pairs.csv")
    assert len(pairs) == 6
    assert {path.resolve().parent for path in (*pairs.first, *pairs.second)} == {study / "pictures"}
    (one,) = found.analysis.findings.preferences
    assert list(pairs.share_first) == pytest.approx([tally.share for tally in one.by_picture.values()])
    with (study / "out/pairs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {int(row["votes_first"]) + int(row["votes_second"]) for row in rows} == {3}


def test_metrics_are_compared_with_the_votes(written: tuple[Path, StudyAnalysis]) -> None:
    agreement = written[1].analysis.agreement
    assert agreement is not None
    assert agreement.pairs == 6
    assert agreement.accuracy["laplacian"].hits == 5  # the sharper won most votes on five pictures


def test_the_page_has_everything_and_names_are_text(written: tuple[Path, StudyAnalysis]) -> None:
    page = (written[0] / "out/analysis.html").read_text("utf-8")
    for heading in (
        "Result",
        "Methods",
        "Raters",
        "Pictures",
        "Best and worst pictures",
        "Metrics",
        "How it was computed",
    ):
        assert f">{heading}</h2>" in page
    assert "<h1>dusk &amp; dawn</h1>" in page
    assert page.count("<before-after role") == 4
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_and_logs_nothing(written: tuple[Path, StudyAnalysis], width: int) -> None:
    with chromium() as browser, opened_page(browser, written[0] / "out/analysis.html", width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == width
        clipped = page.evaluate(
            """[...document.querySelectorAll('svg text')].filter(text => {
                 const own = text.getBoundingClientRect(), all = text.closest('svg').getBoundingClientRect();
                 return own.left < all.left - 1 || own.right > all.right + 1;
               }).map(text => text.textContent)"""
        )
        assert clipped == []


def test_votes_without_a_design_find_pictures_by_a_pattern(tmp_path: Path) -> None:
    design = save_study(tmp_path / "made", raters_with_shares([2], 2, 2))
    write_votes(raters_with_shares([2], 2, 2), tmp_path / "other/votes.csv")
    found = analyze_study(tmp_path / "other", AnalysisOptions(metrics="none"))
    assert found.rated == ()
    assert [file.name for file in write_analysis(found, tmp_path / "out")] == ["analysis.html", "analysis.csv"]
    for picture, files in design.files.items():
        for method, file in files.items():
            (tmp_path / "made/pictures" / file).rename(tmp_path / f"{picture}_{method}.png")
    pattern = f"{tmp_path}/{{picture}}_{{method}}.png"
    assert len(analyze_study(tmp_path / "other", AnalysisOptions(metrics="none", pictures=pattern)).rated) == 2
    with pytest.raises(UsageError, match=r"a pattern of pictures has \{picture\} and \{method\}, and this is 'x\.png'"):
        StudyPictures(tmp_path, None, "x.png")


def test_a_study_without_votes_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no votes\.csv yet: serve it, or import votes"):
        analyze_study(tmp_path, OPTIONS)
