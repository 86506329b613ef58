"""`iqsr study import` and `iqsr study analyze` as they are typed."""

import json
from pathlib import Path

import pytest

from iqsr.study.votes import read_votes
from support.commands import Run
from support.study_votes import raters_with_shares, save_study


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of two raters without their votes; the current folder is its parent."""
    save_study(tmp_path / "study", raters_with_shares([3, 2], 4, 4))
    (tmp_path / "study/votes.csv").unlink()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "study"


def test_from_sheets_to_the_analysis(study: Path, iqsr: Run) -> None:
    for rater in ("r00", "r01"):
        folder = study.parent / "sheets" / rater
        folder.mkdir(parents=True)
        rows = "".join(f"{rater}-{pair:02},{'LEFT' if pair else ''},,\n" for pair in range(4))
        (folder / "answers.csv").write_text("trial,choice,strength,reason\n" + rows, "utf-8")
    added = iqsr("study", "import", "study", "sheets")
    assert added.out.splitlines() == [
        "6 votes added to study/votes.csv",
        "r00 left 1 without an answer: r00-00",
        "r01 left 1 without an answer: r01-00",
    ]
    again = json.loads(iqsr("study", "import", "study", "sheets", "--json").out)
    assert (again["added"], again["already_there"], again["missing"]) == (0, 6, {"r00": ["r00-00"], "r01": ["r01-00"]})
    assert len(read_votes(study / "votes.csv")) == 6
    analysed = iqsr("study", "analyze", "study", "-m", "laplacian", "-o", "out", "--json")
    document = json.loads(analysed.out)
    assert document["findings"]["votes"] == 6
    assert document["sides"]["left"] == 6
    assert document["agreement"]["accuracy"][0]["metric"] == "laplacian"
    assert {file.name for file in Path("out").iterdir()} == {"analysis.html", "analysis.csv", "pairs.csv"}
    refused = iqsr("study", "analyze", "study", "-o", "out")
    assert refused.code == 2
    assert "use --overwrite" in refused.err


def test_errors_are_one_line(study: Path, iqsr: Run) -> None:
    wrong = iqsr("study", "import", "study", "study/design.json")
    assert wrong.err.startswith("iqsr: 'study/design.json' has the columns")
    assert wrong.code == 2
    assert wrong.err.count("\n") == 1
    assert iqsr("study", "analyze", "nowhere").err == "iqsr: 'nowhere' is no folder\n"
    unvoted = iqsr("study", "analyze", "study")
    assert (unvoted.code, unvoted.err) == (2, "iqsr: 'study' has no votes.csv yet: serve it, or import votes\n")
