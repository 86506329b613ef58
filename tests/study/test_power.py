"""Power by simulation: the test is scipy's, the effect is what was asked for, and known powers are met."""

import numpy as np
import pytest
from scipy import stats

from iqsr.errors import UsageError
from iqsr.study.power import Assumptions, _shares, _significant, simulate_power


def test_the_test_is_scipys() -> None:
    shares = np.random.default_rng(0).binomial(25, 0.56, (200, 12)) / 25
    expected = np.asarray(stats.ttest_1samp(shares, 0.5, axis=1, alternative="greater")[1]) < 0.05
    assert 0 < expected.sum() < 200
    assert np.array_equal(_significant(shares, 0.05), expected)


def test_equal_shares_above_one_half_are_found_and_others_not() -> None:
    assert _significant(np.array([[0.6] * 5, [0.5] * 5, [0.4] * 5]), 0.05).tolist() == [True, False, False]


def test_the_mean_share_is_the_effect_whatever_the_deviations() -> None:
    hands = np.array([np.arange(50)] * 8)
    for rater_sd, picture_sd in ((0, 0), (0.5, 0), (0.3, 1)):
        given = Assumptions(0.65, 50, rater_sd, picture_sd)
        assert _shares(2000, hands, given, np.random.default_rng(1)).mean() == pytest.approx(0.65, abs=0.01)


def test_a_known_power_is_met() -> None:
    """Without deviations shares are binomial; at 100 pairs the noncentral t is close."""
    found = simulate_power(8, 100, Assumptions(0.55, 100, 0, 0))
    error = np.sqrt(0.55 * 0.45 / 100 / 8)
    expected = stats.nct.sf(stats.t.isf(0.05, 7), 7, 0.05 / error)
    assert found.power == pytest.approx(expected, abs=0.04)
    assert found.low < found.power < found.high
    assert (found.votes, found.votes_per_picture) == (800, 8)


def test_without_an_effect_the_power_is_the_level_where_pictures_are_alike() -> None:
    found = simulate_power(12, 25, Assumptions(0.5, 100, 0.25, 0), simulations=4000)
    assert found.power == pytest.approx(0.05, abs=0.012)


def test_a_test_over_raters_alone_finds_too_much_where_all_see_the_same_pictures() -> None:
    """It takes the pictures for all pictures there are."""
    found = simulate_power(60, 25, Assumptions(0.5, 25, 0.25, 0.5))
    assert found.power > 0.15


def test_the_same_seed_gives_the_same_and_more_of_all_gives_more() -> None:
    one = simulate_power(6, 10)
    assert one == simulate_power(6, 10)
    assert one != simulate_power(6, 10, seed=1)
    assert one.power < simulate_power(12, 10).power < simulate_power(12, 40).power
    assert one.power < simulate_power(6, 10, Assumptions(effect=0.7)).power


@pytest.mark.parametrize(
    ("raters", "pairs", "given", "said"),
    [
        (1, 5, Assumptions(), "needs two raters or more"),
        (3, 101, Assumptions(), "101 pairs .* --scenes is 100"),
        (3, 5, Assumptions(effect=60), "between 0 and 1, not 60"),
        (3, 5, Assumptions(level=0), "--level lies between 0 and 1"),
        (3, 5, Assumptions(rater_sd=-1), "standard deviations are 0 or more"),
    ],
)
def test_numbers_out_of_range_are_one_line(raters: int, pairs: int, given: Assumptions, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        simulate_power(raters, pairs, given)
