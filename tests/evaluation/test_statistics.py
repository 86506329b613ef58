"""Intervals, tests and corrections of an evaluation, by hand and against independent computations."""

from math import isnan, nan

import numpy as np
import pytest

from iqsr.evaluation.statistics import compare, holm, mean_interval, summarise


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_leaves_out_what_was_not_tested() -> None:
    found = holm([0.02, nan, 0.04])
    assert found[0] == pytest.approx(0.04)
    assert isnan(found[1])
    assert found[2] == pytest.approx(0.04)


def test_the_signed_rank_test_of_few_images_is_exact() -> None:
    baseline = np.arange(5.0)
    found = compare(baseline + np.array([1.0, 2.0, 3.0, 4.0, 5.0]), baseline)
    assert (found.n, found.difference) == (5, 3.0)
    assert found.p_value == pytest.approx(2 / 2**5)  # all five signs alike, either way


def test_equal_models_do_not_differ() -> None:
    values = np.array([0.3, 0.7, 0.5])
    found = compare(values, values)
    assert (found.difference, found.interval, found.p_value) == (0.0, (0.0, 0.0), 1.0)


def test_only_images_that_both_have_are_compared() -> None:
    found = compare(np.array([1.0, nan, 3.0]), np.array([0.5, 9.0, nan]))
    assert (found.n, found.difference) == (1, 0.5)
    assert isnan(found.interval[0])


def test_comparisons_are_paired() -> None:
    """Images differ by far more than models do; the interval is of the differences alone."""
    rng = np.random.default_rng(0)
    baseline = rng.normal(30, 10, 40)
    found = compare(baseline + rng.normal(0.5, 0.1, 40), baseline)
    low, high = found.interval
    assert 0.4 < low < found.difference < high < 0.6


def test_the_interval_of_a_mean_is_the_bootstraps() -> None:
    values = np.random.default_rng(1).exponential(1, 60)
    means = np.random.default_rng(2).choice(values, (20_000, 60)).mean(1)
    assert mean_interval(values) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.01)
    assert mean_interval(values) == mean_interval(values)


def test_the_worst_case_is_at_the_worse_end() -> None:
    values = np.arange(101.0)
    assert summarise(values, higher_is_better=True).worst == 5
    assert summarise(values, higher_is_better=False).worst == 95


def test_no_scores_give_no_figures() -> None:
    found = summarise(np.array([nan, nan]), higher_is_better=True)
    assert found.n == 0
    assert all(isnan(value) for value in (found.mean, *found.interval, found.worst))
