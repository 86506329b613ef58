"""The analysis of a study: the paper's figures, several methods, screening with and without, what is refused."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from iqsr.errors import UsageError
from iqsr.study.analysis import Analysis, analyze, picture_order
from iqsr.study.analysis_text import COLUMNS, analysis_csv, analysis_json, p_text, paragraph
from iqsr.study.design import ATTENTION, Design
from iqsr.study.import_tables import UNKNOWN_RATER
from iqsr.study.screening import screen
from iqsr.study.votes import NO_DIFFERENCE, Vote
from support.study_votes import check, raters_with_shares

WINS = (17, 14, 20, 16, 23, 12, 18, 21, 15, 19, 13, 22)
"""Of 25 pairs, by 12 raters."""


def analysed(votes: list[Vote], design: Design | None = None) -> Analysis:
    return analyze(votes, design, resamples=50)


@pytest.fixture(scope="module")
def papers() -> Analysis:
    return analysed(raters_with_shares(WINS))


def test_12_raters_with_known_shares_give_the_papers_figures(papers: Analysis) -> None:
    (one,) = papers.findings.preferences
    shares = np.array(WINS) / 25
    test = stats.ttest_1samp(shares, 0.5, alternative="greater")
    assert (one.first, one.second) == ("ours", "theirs")
    assert [tally.share for tally in one.by_rater.values()] == pytest.approx(list(shares))
    found = one.raters
    assert found is not None
    assert (found.mean, found.median) == pytest.approx((shares.mean(), np.median(shares)))
    assert found.standard_error == pytest.approx(stats.sem(shares))
    assert (found.t, found.p) == pytest.approx(tuple(test))  # pyright: ignore[reportArgumentType]
    assert (one.tally.first, one.tally.second, one.tally.votes) == (sum(WINS), 300 - sum(WINS), 300)
    assert {tally.votes for tally in one.by_picture.values()} == {3}
    assert one.interval[0] < one.tally.share < one.interval[1]


def test_the_paragraph_says_the_figures(papers: Analysis) -> None:
    said = paragraph(papers)
    assert said.startswith(
        "12 raters gave 300 votes on 100 pictures. They preferred ours to theirs in a mean of 70.0 %"
    )
    assert "median 70.0 %, standard error 4.2 %" in said
    assert "t(11) = 4.80, p < .001 (two-sided p < .001)" in said
    assert "by the normal distribution" in said


def test_the_direction_of_the_test_is_that_of_the_expected_method() -> None:
    votes = raters_with_shares(WINS, 25)
    ours, theirs = (analyze(votes, expected=name, resamples=10).findings.preferences[0] for name in ("ours", "theirs"))
    assert ours.raters is not None
    assert theirs.raters is not None
    assert ours.raters.p == pytest.approx(1 - theirs.raters.p)
    with pytest.raises(UsageError, match="unknown method 'our'; known: ours, theirs"):
        analyze(votes, expected="our")


def test_no_difference_is_half_a_vote() -> None:
    votes = [
        replace(v, chosen=NO_DIFFERENCE) if v.trial.endswith("00") else v for v in raters_with_shares([4, 2], 4, 4)
    ]
    found = analysed(votes).findings
    (one,) = found.preferences
    assert (found.no_difference, one.tally.first, one.tally.second, one.tally.no_difference) == (2, 4, 2, 2)
    assert one.tally.share == 5 / 8
    assert one.by_rater["r00"].share == 3.5 / 4


def test_checks_and_repeats_are_in_no_figure_of_the_methods() -> None:
    votes = raters_with_shares([3, 2], 4, 4)
    more = [*votes, check(votes[0], 1, ATTENTION), replace(votes[1], trial="x", kind="repeat")]
    assert analysed(more).findings == analysed(votes).findings
    assert analysed(more).repeats is not None


def bad_raters() -> list[Vote]:
    """Eight like-minded raters, one who fails checks, one who always chooses the left, one of the opposite taste."""
    votes = raters_with_shares([*[20, 21, 19, 20, 22, 18, 20, 21], 20, 0, 1], 25)
    lefts = [replace(v, chosen=v.shown[0]) if v.rater == "r09" else v for v in votes]
    first = {v.rater: v for v in reversed(votes)}
    checks = [
        check(first[rater], n, ATTENTION if rater == "r08" and n else first[rater].shown[0])
        for rater in first
        for n in range(3)
    ]
    return [*lefts, *checks]


def test_screening_finds_who_did_not_look_and_results_are_given_with_and_without() -> None:
    votes = bad_raters()
    records = {r.name: r for r in screen(votes, ["ours", "theirs"], has_sides=True)}
    assert records["r08"].reasons == ("failed 2 of 3 attention checks",)
    assert records["r09"].reasons[0] == "chose the left in 25 of 25 votes"
    assert records["r10"].reasons[0].startswith("votes unlike all others")
    assert {name for name, record in records.items() if record.reasons} == {"r08", "r09", "r10"}
    found = analysed(votes)  # sides are not known here
    assert [record.name for record in found.screened_raters] == ["r08", "r09", "r10"]  # r09 votes unlike others, too
    assert found.screened is not None
    assert (found.findings.raters, found.screened.raters) == (11, 8)
    assert found.screened.preferences[0].tally.votes == 8 * 25
    assert "screening finds 3 raters" in paragraph(found)


def test_raters_of_one_taste_are_not_outliers() -> None:
    rng = np.random.default_rng(2)
    votes = raters_with_shares(list(rng.binomial(25, 0.7, 12)))
    assert not analysed(votes).screened_raters


def test_repeats_are_inconsistent_below_chance_alone() -> None:
    votes = raters_with_shares([10], 20, 20)
    same = [replace(v, trial=f"s{n}", kind="repeat", shown=v.shown[::-1]) for n, v in enumerate(votes[:6])]
    other = [replace(v, chosen=next(m for m in v.shown if m != v.chosen)) for v in same]
    (steady,), (mixed,), (reversed_,) = (
        screen([*votes, *more], ["ours", "theirs"], has_sides=False) for more in (same, [*same[:2], *other[2:]], other)
    )
    assert steady.repeats is not None
    assert (steady.repeats.hits, steady.repeats.n) == (6, 6)
    assert (steady.reasons, mixed.reasons) == ((), ())
    assert reversed_.reasons == ("gave 0 of 6 repeats the same answer",)


def three(counts: dict[tuple[str, str], int], rater: str = "") -> list[Vote]:
    votes = [(winner, loser) for (winner, loser), times in counts.items() for _ in range(times)]
    return [Vote(rater or f"r{n % 4}", f"t{n}", f"p{n % 7}", pair, pair[0]) for n, pair in enumerate(votes)]


SEVERAL = {("a", "b"): 9, ("b", "a"): 5, ("a", "c"): 11, ("c", "a"): 3, ("b", "c"): 8, ("c", "b"): 6}


def test_several_methods_are_scaled_best_first() -> None:
    found = analysed(three(SEVERAL))
    assert found.findings.scale is not None
    rows = found.findings.scale.methods
    assert [row.method for row in rows] == ["a", "b", "c"]
    assert sum(row.jod for row in rows) == pytest.approx(0, abs=1e-9)
    assert all(row.jod_interval[0] <= row.jod <= row.jod_interval[1] for row in rows)
    assert len(found.findings.preferences) == 3
    assert not found.findings.scale.has_prior
    assert "JOD (1 JOD: preferred in 75 % of votes" in paragraph(found)


def test_a_method_that_never_loses_gets_the_prior_and_it_is_said() -> None:
    found = analysed(three({("a", "b"): 6, ("a", "c"): 6, ("b", "c"): 3, ("c", "b"): 2}))
    assert found.findings.scale is not None
    assert found.findings.scale.has_prior
    assert np.isfinite([row.jod for row in found.findings.scale.methods]).all()


def test_methods_that_were_never_compared_have_no_common_scale() -> None:
    found = analysed(three({("a", "b"): 3, ("b", "a"): 2, ("c", "d"): 4, ("d", "c"): 1}))
    assert found.findings.scale is None
    assert [(one.first, one.second) for one in found.findings.preferences] == [("a", "b"), ("c", "d")]


def test_unknown_raters_have_votes_but_no_figures_of_raters() -> None:
    found = analysed(three(SEVERAL, UNKNOWN_RATER))
    assert (found.findings.raters, found.findings.alpha, found.raters, found.sides) == (0, None, (), None)
    assert all(one.raters is None and one.over == ("pictures",) for one in found.findings.preferences)
    assert paragraph(found).startswith("Raters who are not known gave 42 votes")


def test_votes_of_another_study_are_refused() -> None:
    votes = raters_with_shares([3], 4, 4)
    design = Design(0, "slider", "balanced", ("ours", "theirs"), ("p000", "p001"), 4, (), {})
    with pytest.raises(UsageError, match=r"the vote of 'r00' on 'r00-02' \(p002: .*\) is of no picture and methods"):
        analyze(votes, design)
    with pytest.raises(UsageError, match="no votes to analyse"):
        analyze([])


def test_the_table_and_the_json_hold_every_figure(papers: Analysis) -> None:
    rows = list(csv.DictReader(io.StringIO(analysis_csv(papers))))
    assert tuple(rows[0]) == COLUMNS
    shares = {row["of"]: float(row["value"]) for row in rows if row["figure"].startswith("share of a rater")}
    assert list(shares.values()) == pytest.approx([count / 25 for count in WINS])
    document = json.loads(analysis_json(papers, {"iqsr": "x"}))
    (one,) = document["findings"]["preferences"]
    assert one["tally"] == {"first": 210, "second": 90, "no_difference": 0, "share": 0.7}
    assert one["raters"]["mean"] == pytest.approx(0.7)
    assert document["screened"] is None


def test_pictures_are_ordered_by_their_share(papers: Analysis) -> None:
    order = picture_order(papers.findings.preferences[0])
    assert [share for _, share in order] == sorted((share for _, share in order), reverse=True)
    assert len(order) == 100


@pytest.mark.parametrize(("p", "said"), [(0.0004, "p < .001"), (0.0124, "p = .012"), (0.5, "p = .500"), (1, "p = 1")])
def test_p_values_in_words(p: float, said: str) -> None:
    assert p_text(p) == said
