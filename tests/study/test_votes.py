"""votes.csv: what is written is read, and what cannot be right is refused with its line and column."""

from dataclasses import replace
from pathlib import Path

import pytest

from iqsr.errors import UsageError
from iqsr.study.votes import COLUMNS, NO_DIFFERENCE, Vote, read_votes, votes_csv, write_votes

FULL = Vote(
    rater="r01",
    trial="r01-001",
    picture='street, "night"',
    shown=("base", "sharp, er"),
    chosen="sharp, er",
    kind="repeat",
    mode="side",
    seconds=4.25,
    zoom=2.0,
    viewport_width=390,
    viewport_height=844,
    pixel_ratio=3.0,
    at="2026-01-02T03:04:05.678+00:00",
    strength="clearly",
)
SPARSE = Vote("r01", "r01-002", "köln", ("base", "sharp, er", "(degraded)"), NO_DIFFERENCE, mode="best-of-n")


def test_votes_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_votes([FULL, SPARSE], tmp_path / "votes.csv")
    assert read_votes(tmp_path / "votes.csv") == (FULL, SPARSE)


def test_the_table_is_what_the_contract_says() -> None:
    header, first, second = votes_csv([FULL, SPARSE]).splitlines()
    assert header == (
        "rater,trial,picture,shown,chosen,kind,mode,seconds,zoom,viewport_width,viewport_height,pixel_ratio,at,strength"
    )
    assert first == (
        'r01,r01-001,"street, ""night""","base|sharp, er","sharp, er",repeat,side,4.25,2.0,390,844,3.0,'
        "2026-01-02T03:04:05.678+00:00,clearly"
    )
    assert second == 'r01,r01-002,köln,"base|sharp, er|(degraded)",,vote,best-of-n,,,,,,,'


def test_no_votes_are_a_header(tmp_path: Path) -> None:
    write_votes([], tmp_path / "votes.csv")
    assert read_votes(tmp_path / "votes.csv") == ()


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("rater", "", "is empty"),
        ("shown", "base", "needs two or more different methods"),
        ("shown", "base|base", "needs two or more different methods"),
        ("chosen", "other", "'other' was not shown, only base, sharp"),
        ("kind", "check", "is 'check', not one of vote, attention, repeat"),
        ("mode", "page", "is 'page', not one of slider, side, flicker, best-of-n"),
        ("seconds", "-1", "is -1, and must be 0 or more"),
        ("seconds", "nan", "is nan, and must be 0 or more"),
        ("zoom", "much", "is 'much', not a number"),
        ("viewport_width", "390.5", "is '390.5', not a whole number"),
        ("at", "yesterday", "is 'yesterday', not a time in ISO 8601"),
        ("strength", "very", "is 'very', not one of nothing, barely, clearly, strongly"),
    ],
)
def test_a_wrong_value_is_refused_with_line_and_column(tmp_path: Path, column: str, value: str, problem: str) -> None:
    right = {"rater": "a", "trial": "2", "picture": "p", "shown": "base|sharp", "kind": "vote", "mode": "side"}
    rows = [right | {"trial": "1"}, right | {column: value}]
    lines = [",".join(COLUMNS), *(",".join(row.get(name, "") for name in COLUMNS) for row in rows)]
    (tmp_path / "v.csv").write_text("\n".join(lines), "utf-8")
    with pytest.raises(UsageError) as refused:
        read_votes(tmp_path / "v.csv")
    assert str(refused.value).startswith(f"'{tmp_path / 'v.csv'}', line 3, column {column}: {problem}")


def test_a_second_answer_to_a_trial_is_refused_both_ways(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'r01' answers 'r01-001' twice"):
        write_votes([FULL, replace(FULL, chosen="base")], tmp_path / "votes.csv")
    assert not (tmp_path / "votes.csv").exists()
    twice = votes_csv([FULL]) + votes_csv([FULL]).splitlines()[1]
    (tmp_path / "votes.csv").write_text(twice, "utf-8")
    with pytest.raises(UsageError, match="line 3, column trial: 'r01' answers 'r01-001' twice"):
        read_votes(tmp_path / "votes.csv")


def test_a_vote_that_could_not_be_read_back_is_not_written() -> None:
    with pytest.raises(UsageError, match=r"vote of 'r01' on 'r01-001': shown: a method's name contains '\|'"):
        votes_csv([replace(FULL, shown=("a|b", "c"), chosen="c")])
    with pytest.raises(UsageError, match="chosen: 'other' was not shown"):
        votes_csv([replace(FULL, chosen="other")])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("rater,trial\n", "line 1: it has no column picture, shown"),
        (",".join(reversed(COLUMNS)), "line 1: it has the columns strength,"),
        (",".join(COLUMNS) + "\na,b\n", "line 2: 2 values for 14 columns"),
        ("rater,rater\n", "line 1: a column stands there twice"),
    ],
)
def test_a_table_of_another_shape_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "v.csv").write_text(text, "utf-8")
    with pytest.raises(UsageError) as refused:
        read_votes(tmp_path / "v.csv")
    assert problem in str(refused.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*: No such file"):
        read_votes(tmp_path / "votes.csv")
