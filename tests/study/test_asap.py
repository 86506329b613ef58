"""Active pairing: known values of the posterior and the gain, fair seats, and fewer votes than pairs at random need."""

from collections import Counter
from dataclasses import replace
from itertools import combinations
from random import Random

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import norm, spearmanr

from iqsr.errors import UsageError
from iqsr.study.asap import assign, choose_pairs, information_gain, posterior, preferences
from iqsr.study.design import ATTENTION, Design, Seat
from iqsr.study.votes import Vote

METHODS = ("a", "b", "c", "d", "e")
DESIGN = Design(
    seed=1,
    mode="slider",
    pairing="asap",
    methods=METHODS,
    pictures=tuple(f"p{number}" for number in range(12)),
    trials_per_seat=10,
    seats=tuple(Seat(f"r{number:02d}", ()) for number in range(1, 7)),
    files={f"p{number}": {ATTENTION: "x.png"} if number < 4 else {} for number in range(12)},
    attention_checks=2,
    repeats=2,
)


def test_without_votes_nothing_is_known_and_all_pairs_tell_the_same() -> None:
    mean, covariance = posterior(np.zeros((4, 4)))
    assert np.array_equal(mean, np.zeros(4))
    assert np.allclose(covariance, np.eye(4))
    gain = information_gain(mean, covariance)
    off = gain[~np.eye(4, dtype=bool)]
    assert np.allclose(off, off[0])
    assert off[0] > 0
    assert np.array_equal(np.diag(gain), np.zeros(4))


def test_the_posterior_is_where_the_likelihood_and_the_prior_peak() -> None:
    wins = np.array([[0.0, 7.0], [2.0, 0.0]])
    mean, _ = posterior(wins)
    grid = np.linspace(-3, 3, 60001)  # scores are d/2 and -d/2: of all with that difference the likeliest
    log_density = 7 * norm.logcdf(grid) + 2 * norm.logcdf(-grid) - (grid / 2) ** 2
    assert mean[0] - mean[1] == pytest.approx(grid[log_density.argmax()], abs=1e-3)
    assert mean.sum() == pytest.approx(0, abs=1e-9)


def test_the_gain_is_the_mutual_information_of_vote_and_difference() -> None:
    mean, covariance = np.array([0.4, -0.3]), np.array([[0.5, 0.2], [0.2, 0.7]])
    spread = np.sqrt(0.5 + 0.7 - 2 * 0.2)

    def entropy(share: float) -> float:
        return -share * np.log(share) - (1 - share) * np.log(1 - share)

    within = quad(lambda d: entropy(ndtr(d)) * norm.pdf(d, 0.7, spread), -5, 6)[0]
    expected = entropy(ndtr(0.7 / np.sqrt(1 + spread**2))) - within
    assert information_gain(mean, covariance)[0, 1] == pytest.approx(expected, abs=1e-6)


def test_a_settled_pair_tells_less_than_an_open_one() -> None:
    wins = np.zeros((3, 3))
    wins[0, 1] = 50
    gain = information_gain(*posterior(wins))
    assert gain[0, 1] < gain[0, 2]
    assert gain[0, 1] < gain[1, 2]


def test_each_batch_has_every_method() -> None:
    pairs = choose_pairs(np.zeros((6, 6)), 5, Random(0))
    assert len(pairs) == 5
    assert {method for pair in pairs for method in pair} == set(range(6))


def simulated(active: bool, seed: int, votes: int) -> list[float]:
    """Spearman's correlation with the true order after each 14 votes about 15 methods."""
    true = np.random.default_rng(seed).normal(size=15)
    rng, wins = Random(seed), np.zeros((15, 15))
    every = list(combinations(range(15), 2))
    found = []
    for _ in range(votes // 14):
        for one, other in choose_pairs(wins, 14, rng) if active else rng.choices(every, k=14):
            first = rng.random() < ndtr(true[one] - true[other])
            wins[(one, other) if first else (other, one)] += 1
        found.append(spearmanr(posterior(wins)[0], true)[0])
    return found


def test_an_accuracy_is_reached_with_fewer_votes_than_at_random() -> None:
    """A mean correlation of .9 over 20 simulated studies."""
    needed = {}
    for active in (True, False):
        mean = np.mean([simulated(active, seed, 196) for seed in range(20)], axis=0)
        needed[active] = 14 * (int(np.argmax(mean >= 0.9)) + 1) if mean.max() >= 0.9 else 210
    assert needed[True] <= 0.75 * needed[False], needed


def test_a_seat_is_filled_fairly_and_again_the_same() -> None:
    trials = assign(DESIGN, "r03", ())
    assert trials == assign(DESIGN, "r03", ())
    assert trials != assign(DESIGN, "r04", ())
    assert [trial.id for trial in trials] == [f"r03-{number:03d}" for number in range(1, 15)]
    votes = [trial for trial in trials if trial.kind == "vote"]
    assert Counter(trial.kind for trial in trials) == {"vote": 10, "attention": 2, "repeat": 2}
    assert len({trial.picture for trial in votes}) == 10
    assert all(ATTENTION in DESIGN.files[trial.picture] for trial in trials if trial.kind == "attention")
    left = Counter(trial.shown[0] for trial in votes)
    right = Counter(trial.shown[1] for trial in votes)
    assert all(abs(left[method] - right[method]) <= 1 for method in METHODS)
    assert {*left, *right} == {*METHODS}


def test_votes_steer_the_next_seat() -> None:
    """Where c always loses and d always wins, and a, b and e are alike, those three are asked about."""
    votes = [
        Vote("r01", f"r01-{number}", f"p{number % 12}", shown, "d" if "d" in shown else "ab e"[number % 2])
        for number in range(40)
        for shown in (("d", "a"), ("b", "d"), ("d", "c"), ("d", "e"))
    ]
    votes += [Vote("r01", "x", "p1", (method, "c"), method) for method in "abe" for _ in range(40)]
    asked = Counter(frozenset(t.shown) for t in assign(DESIGN, "r02", votes) if t.kind == "vote")
    assert sum(asked[frozenset(pair)] for pair in ("ab", "ae", "be")) >= 6


def test_no_difference_is_half_a_vote_for_each_and_checks_count_nothing() -> None:
    votes = [Vote("r", "1", "p", ("a", "b"), ""), Vote("r", "2", "p", ("b", "a"), "a")]
    assert preferences(votes, ("a", "b")).tolist() == [[0, 1.5], [0.5, 0]]
    checks = [Vote("r", "1", "p0", ("a", ATTENTION), "a", "attention")] * 50
    assert assign(DESIGN, "r01", checks) == assign(DESIGN, "r01", ())


def test_a_balanced_design_keeps_its_seats_and_an_unknown_seat_is_refused() -> None:
    trials = assign(DESIGN, "r01", ())
    balanced = replace(DESIGN, pairing="balanced", seats=(Seat("r01", trials),))
    assert assign(balanced, "r01", ()) == trials
    with pytest.raises(UsageError, match="no seat 'r09'"):
        assign(DESIGN, "r09", ())
