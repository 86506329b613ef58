"""Shares, sides, intervals and agreement of raters: equal to SciPy's, to published examples, and to what is known."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from iqsr.study.ballots import encode
from iqsr.study.bootstrap import Crossing, figure_intervals, share_interval
from iqsr.study.reliability import alpha, krippendorff, repeats, unit_tables
from iqsr.study.statistics import side_bias, summarise_shares
from iqsr.study.votes import Vote

TWELVE = np.array([17, 14, 20, 16, 23, 12, 18, 21, 15, 19, 13, 22]) / 25
"""Shares of 12 raters with 25 pairs each."""


def test_the_papers_figures_equal_those_of_scipy() -> None:
    found = summarise_shares(TWELVE)
    test: Any = stats.ttest_1samp(TWELVE, 0.5, alternative="greater")
    student = stats.ttest_1samp(TWELVE, 0.5).confidence_interval(0.95)
    assert found.raters == 12
    assert found.mean == pytest.approx(TWELVE.mean())
    assert found.median == pytest.approx(np.median(TWELVE))
    assert found.standard_error == pytest.approx(stats.sem(TWELVE))
    assert (found.t, found.p) == pytest.approx((test.statistic, test.pvalue))
    assert found.p_two_sided == pytest.approx(2 * test.pvalue)
    assert found.interval == pytest.approx((student.low, student.high))
    assert found.interval_normal == pytest.approx(stats.norm.interval(0.95, loc=TWELVE.mean(), scale=stats.sem(TWELVE)))


def test_the_normal_interval_is_the_papers() -> None:
    """Mean 69.7 %, standard error 4.8 % and [60.2, 79.1] stand in arXiv:2504.18524, section 12."""
    shares = 0.697 + 0.048 * np.sqrt(12) * stats.zscore(TWELVE, ddof=1)
    found = summarise_shares(shares)
    assert found.standard_error == pytest.approx(0.048)
    assert found.interval_normal == pytest.approx((0.602, 0.791), abs=0.001)
    assert found.p < 0.01


def test_shares_without_spread() -> None:
    same, even, one = (summarise_shares(np.array(shares)) for shares in ([0.8] * 4, [0.5] * 4, [0.7]))
    assert (same.mean, same.standard_error, same.t, same.p) == (0.8, 0, np.inf, 0)
    assert np.isnan([*same.interval, *same.interval_normal]).all()
    assert np.isnan([even.t, even.p]).all()
    assert np.isnan([one.standard_error, one.t, one.p, *one.interval]).all()


def test_side_bias_is_the_binomial_test() -> None:
    found = side_bias(70, 100)
    assert (found.share, found.p) == pytest.approx((0.7, stats.binomtest(70, 100).pvalue))
    assert np.isnan(side_bias(0, 0).p)


def crossing(raters: int, pictures: int) -> Crossing:
    rater, picture = np.divmod(np.arange(raters * pictures), pictures)
    return Crossing(rater, picture)


def test_an_interval_over_pictures_alone_is_the_usual_bootstrap() -> None:
    wins = np.random.default_rng(1).integers(0, 2, 60).astype(float)
    low, high = share_interval(crossing(1, 60), wins)
    known = stats.bootstrap((wins,), np.mean, method="percentile", rng=np.random.default_rng(2)).confidence_interval
    assert (low, high) == pytest.approx((known.low, known.high), abs=0.02)


def test_raters_who_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    votes = crossing(10, 40)
    alike = (rng.random(400) < 0.6).astype(float)
    differing = (votes.rater < 6).astype(float)
    narrow, wide = share_interval(votes, alike), share_interval(votes, differing)
    assert votes.over == ("raters", "pictures")
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0])
    assert wide[0] < 0.6 < wide[1]


def test_a_two_way_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    votes, held = crossing(8, 20), 0
    for _ in range(60):
        logit = rng.normal(0, 0.7, 8)[votes.rater] + rng.normal(0, 0.7, 20)[votes.picture]
        low, high = share_interval(votes, (rng.random(160) < 1 / (1 + np.exp(-logit))).astype(float))
        held += low <= 0.5 <= high
    assert held >= 51  # 57 are expected of 60; of 95 %, fewer than 51 have a chance of one in 500


def test_intervals_are_the_same_each_time_and_none_of_a_single_vote() -> None:
    wins = np.array([1.0, 0, 1, 1])
    votes = crossing(2, 2)
    assert share_interval(votes, wins) == share_interval(votes, wins)
    assert np.isnan(share_interval(crossing(1, 1), wins[:1])).all()


def test_a_figure_that_resamples_often_lack_has_no_interval() -> None:
    def figures(weights: np.ndarray) -> np.ndarray:
        return np.array([weights[0] if weights[0] else np.nan, weights.sum()])

    low, high = figure_intervals(crossing(1, 3), figures, 200)
    assert np.isnan([low[0], high[0]]).all()
    assert (low[1], high[1]) == (3, 3)


KRIPPENDORFF_2011 = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""
"""Section C of "Computing Krippendorff's alpha-reliability": nominal, four observers, missing values; alpha is .743."""


def test_alpha_equals_the_published_example() -> None:
    values = [line.split() for line in KRIPPENDORFF_2011.strip().splitlines()]
    counts = np.array([[column.count(str(c)) for c in range(1, 6)] for column in zip(*values, strict=True)], float)
    assert krippendorff(counts) == pytest.approx(0.743, abs=5e-4)


def test_alpha_of_full_and_of_no_agreement() -> None:
    assert krippendorff(np.array([[3, 0], [0, 3.0]])) == 1
    assert krippendorff(np.array([[1, 1], [1, 1.0]])) == pytest.approx(-0.5)
    assert np.isnan(krippendorff(np.array([[1, 0], [0, 1.0]])))  # nobody to agree with
    assert np.isnan(krippendorff(np.array([[2, 0], [2, 0.0]])))  # no other value to tell from


def vote(rater: str, trial: str, picture: str, chosen: str, **more: str) -> Vote:
    return Vote(rater, trial, picture, ("a", "b"), chosen, **more)  # pyright: ignore[reportArgumentType]


def test_units_of_alpha_are_pictures_with_two_votes() -> None:
    votes = [vote(r, f"{r}{p}", p, c) for r, p, c in ("1xa", "2xa", "1yb", "2yb", "3ya", "1za")]
    found = alpha(encode(votes, ["a", "b"]))
    assert [table.tolist() for table in unit_tables(encode(votes, ["a", "b"]))] == [[[2, 0, 0], [1, 2, 0]]]
    assert (found.units, found.votes) == (2, 5)
    assert found.value == pytest.approx(krippendorff(np.array([[2, 0], [1, 2.0]])))


def test_chance_votes_have_an_alpha_near_0() -> None:
    rng = np.random.default_rng(0)
    votes = [vote(str(r), f"{r}-{p}", str(p), "ab"[rng.integers(2)]) for r in range(8) for p in range(100)]
    found = alpha(encode(votes, ["a", "b"]))
    assert abs(found.value) < 0.03
    assert found.interval[0] < 0 < found.interval[1]


def test_repeats_are_compared_with_the_first_answer() -> None:
    votes = [
        vote("1", "t1", "x", "a"),
        vote("1", "t2", "y", "b"),
        vote("1", "t3", "x", "a", kind="repeat"),
        vote("1", "t4", "y", "a", kind="repeat"),
        vote("2", "t5", "x", "b", kind="repeat"),
    ]
    found = repeats(votes)
    assert list(found) == ["1"]
    assert (found["1"].n, found["1"].hits) == (2, 1)
