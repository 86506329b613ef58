"""`iqsr study power`: a line for each design."""

import json

import pytest

from support.commands import Run

FAST = ("--simulations", "200")


def test_lists_and_ranges_make_a_table(iqsr: Run) -> None:
    ended = iqsr("study", "power", "--effect", "0.7", "--raters", "4-12:4,20", "--pairs", "5,25", *FAST)
    assert (ended.code, ended.err) == (0, "")
    rows = [
        [cell.strip() for cell in line.split("|")[1:3]] for line in ended.out.splitlines() if line.startswith("|  ")
    ]
    assert rows == [[n, m] for n in ("4", "8", "12", "20") for m in ("5", "25")]
    assert ended.out.splitlines()[0].startswith("Votes for the better method 70.0%; 100 pictures; ")
    assert "each picture equally often: " in ended.out.splitlines()[-1]


def test_json_has_the_assumptions_and_the_designs(iqsr: Run) -> None:
    ended = iqsr("study", "power", "--raters", "12", "--pairs", "25", "--seed", "3", "--json", *FAST)
    document = json.loads(ended.out)
    assert document["assumptions"] == {
        "effect": 0.6,
        "pictures": 100,
        "rater_sd": 0.25,
        "picture_sd": 0.5,
        "level": 0.05,
    }
    assert (document["simulations"], document["seed"]) == (200, 3)
    (row,) = document["designs"]
    assert (row["raters"], row["pairs"], row["votes"], row["votes_per_picture"]) == (12, 25, 300, 3.0)
    assert row["low"] < row["power"] < row["high"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--raters", "few", "--pairs", "5"), "--raters takes a number, a list (6,12) or a range (6-24:6), not 'few'"),
        (("--raters", "9-6", "--pairs", "5"), "--raters: there is no number in '9-6'"),
        (("--raters", "6", "--pairs", "5-9:0"), "--pairs takes a number"),
        (("--raters", "2-100", "--pairs", "1-50"), "4950 designs are too many for a table: name at most 200"),
        (("--raters", "6", "--pairs", "200"), "200 pairs for each rater need as many pictures, and --scenes is 100"),
        (("--raters", "6", "--pairs", "5", "--effect", "60"), "--effect is a share of votes between 0 and 1, not 60"),
    ],
)
def test_wrong_numbers_are_one_line(iqsr: Run, given: tuple[str, ...], said: str) -> None:
    ended = iqsr("study", "power", *given)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1
