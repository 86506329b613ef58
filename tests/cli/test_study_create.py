"""`iqsr study create`: what it prints and writes, and what it refuses."""

import json
from pathlib import Path

import pytest

from iqsr.study.design import read_design
from support.commands import Run
from support.study_samples import method_folders

ARGUMENTS = ("study", "create", "--a", "a", "--b", "b", "--raters", "2", "--pairs", "4", "--seed", "1", "-o", "study")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    method_folders(Path(), scenes=4, methods=tuple("abcde"))


def test_a_study_is_made_and_described(iqsr: Run) -> None:
    ended = iqsr(*ARGUMENTS, "--checks", "1", "--repeats", "2")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "2 raters x 4 pairs = 8 votes; slider, seed 1",
        "2 methods: a, b",
        "and for each rater 1 attention check and 2 repeats",
        "4 pictures, each in 2 votes",
        "a and b  8 votes, a on the left in 4",
        "",
        "study: edit study.toml, then `iqsr study serve study` or `iqsr study sheets study -o DIR`",
    ]
    assert read_design(Path("study")).seed == 1


def test_a_dry_run_prints_every_trial_and_writes_nothing(iqsr: Run) -> None:
    ended = iqsr(*ARGUMENTS, "--dry-run")
    assert ended.code == 0
    trials = [line.split() for line in ended.out.splitlines() if line.startswith("r0")]
    assert len(trials) == 8
    assert not Path("study").exists()
    printed = json.loads(iqsr(*ARGUMENTS, "--dry-run", "--json").out)
    assert [
        [t["id"], t["picture"], *" | ".join(t["shown"]).split()] for s in printed["seats"] for t in s["trials"]
    ] == trials
    assert iqsr(*ARGUMENTS, "--json").out == Path("study/design.json").read_text()


def test_without_a_seed_one_is_drawn_and_stored(iqsr: Run) -> None:
    given = [word for word in ARGUMENTS if word not in ("--seed", "1")]
    assert iqsr(*given).code == 0
    given[-1] = "other"
    assert iqsr(*given).code == 0
    assert read_design(Path("study")).seed != read_design(Path("other")).seed


def test_methods_have_names_and_more_can_be_added(iqsr: Run) -> None:
    ended = iqsr(*ARGUMENTS[:2], "--a", "first=a", "--b", "b/", "--more", "c", "--more", "last one=d", *ARGUMENTS[6:])
    assert ended.code == 0, ended.err
    assert read_design(Path("study")).methods == ("first", "b", "c", "last one")


def test_five_methods_with_active_pairing(iqsr: Run) -> None:
    more = [word for name in "cde" for word in ("--more", name)]
    ended = iqsr(*ARGUMENTS, *more, "--pairing", "asap", "--mode", "side")
    assert ended.code == 0, ended.err
    assert "4 pictures; pairs are chosen when a rater comes, after the votes so far\n" in ended.out
    assert [seat.trials for seat in read_design(Path("study")).seats] == [(), ()]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("--mode", "slide"), "unknown mode 'slide'; known: slider, side, flicker, best-of-n"),
        (("--pairing", "all"), "unknown pairing 'all'; known: balanced, asap"),
        (
            ("--pairing", "asap"),
            "--pairing asap needs 5 methods or more, not 2: leave it out, and every pair of methods",
        ),
        (("--more", "x=a"), "'a' and 'x' are the same folder, 'a'"),
        (("--more", "a"), "two methods are called 'a': give one another name, NAME=a"),
        (("--more", "x=none"), "the pictures of 'x': 'none' is no folder"),
        (("--scenes", "3"), "--pairs 4 is impossible: a rater can see 3 pictures, each once; nearest: --pairs 3"),
        (("--scenes", "9"), "--scenes 9: the folders hold 4 scenes"),
        (("--lr", "none"), "--lr: 'none' is no folder"),
        (("--repeats", "3"), "--repeats: at most half of the 4 pairs come again, not 3"),
    ],
)
def test_what_does_not_fit_is_one_line_and_exit_code_2(iqsr: Run, change: tuple[str, ...], said: str) -> None:
    ended = iqsr(*ARGUMENTS, *change)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert not Path("study").exists()


def test_a_study_that_exists_is_never_replaced(iqsr: Run) -> None:
    Path("study").mkdir()
    Path("study/votes.csv").write_text("mine")
    ended = iqsr(*ARGUMENTS)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "iqsr: 'study' is not empty: name another folder, or remove it first\n"
    assert [path.name for path in Path("study").iterdir()] == ["votes.csv"]
