"""Bradley-Terry and Thurstone scales against independent fits, and what happens where votes allow none."""

import choix
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import norm

from iqsr.errors import IqsrError
from iqsr.study.ballots import encode, wins
from iqsr.study.bradley_terry import is_compared, is_connected, log_worths, with_prior
from iqsr.study.thurstone import SIGMA_JOD, jod
from iqsr.study.votes import NO_DIFFERENCE, Vote

FOUR = np.array([[0, 13, 17, 8], [7, 0, 11, 6], [3, 9, 0, 5], [12, 14, 15, 0]], float)
"""Wins of the row over the column: 20 votes on each of six pairs."""
INCOMPLETE = np.array([[0, 9, 0, 0], [3, 0, 5, 0], [0, 7, 0, 20], [0, 0, 4, 0]], float)
"""A chain: only neighbours were compared, and unequally often."""


LABORATORY = np.array([[0, 28, 22, 34], [62, 0, 36, 50], [68, 54, 0, 64], [56, 40, 26, 0]], float)
"""540 laboratory votes for pairs of BSRGAN, RealESRGAN, ResShift and SwinIR on six scenes."""
SUREAL_JOD = (-0.5573, 0.1397, 0.5577, -0.1401)
"""The scale that sureal 0.9.0 gives these (ThurstoneMlePairedCompSubjectiveModel, no prior), times 1.4826, mean 0."""


def votes_of(table: NDArray[np.float64], ties: int = 0) -> list[Vote]:
    names = [f"m{number}" for number in range(len(table))]
    chosen = [(a, b, names[a]) for a, b in np.argwhere(table) for _ in range(int(table[a, b]))]
    even = [(0, 1, NO_DIFFERENCE)] * ties
    return [
        Vote("r", f"t{number}", "p", (names[a], names[b]), choice)
        for number, (a, b, choice) in enumerate([*chosen, *even])
    ]


def fit(votes: list[Vote]) -> NDArray[np.float64]:
    ballots = encode(votes, sorted({method for vote in votes for method in vote.shown}))
    return log_worths(ballots.counts(), ballots.shown)


@pytest.mark.parametrize("table", [FOUR, INCOMPLETE, LABORATORY], ids=["complete", "incomplete", "laboratory"])
def test_bradley_terry_equals_choix(table: NDArray[np.float64]) -> None:
    pairs = [(a, b) for a, b in np.argwhere(table) for _ in range(int(table[a, b]))]
    known = choix.opt_pairwise(len(table), pairs, 0, method="Newton-CG", tol=1e-12)
    assert fit(votes_of(table)) == pytest.approx(known - known.mean(), abs=1e-6)


def test_choices_among_more_than_two_equal_choix() -> None:
    rng = np.random.default_rng(3)
    sets = [tuple(rng.choice(5, size, replace=False)) for size in rng.integers(2, 6, 400)]
    worth = np.exp([0.0, 0.4, -0.3, 1.0, 0.2])
    chosen = [int(rng.choice(shown, p=worth[list(shown)] / worth[list(shown)].sum())) for shown in sets]
    votes = [
        Vote("r", str(n), "p", tuple(f"m{m}" for m in shown), f"m{best}")
        for n, (shown, best) in enumerate(zip(sets, chosen, strict=True))
    ]
    data = [(best, tuple(m for m in shown if m != best)) for shown, best in zip(sets, chosen, strict=True)]
    known = choix.opt_top1(5, data, 0, method="Newton-CG", tol=1e-12)
    assert fit(votes) == pytest.approx(known - known.mean(), abs=1e-6)


def test_no_difference_is_half_a_win_for_both() -> None:
    with_ties = fit(votes_of(FOUR, ties=6))
    halves = FOUR.copy()
    halves[0, 1] += 3
    halves[1, 0] += 3
    assert with_ties == pytest.approx(fit(votes_of(halves)), abs=1e-9)


def test_two_methods_have_the_logit_of_their_share() -> None:
    first, second = fit(votes_of(np.array([[0, 30], [10, 0]], float)))
    assert first - second == pytest.approx(np.log(3), abs=1e-9)
    assert first + second == pytest.approx(0, abs=1e-12)


def test_scales_that_would_be_infinite_are_refused_or_get_the_prior() -> None:
    always = np.array([[0, 9, 9], [0, 0, 5], [0, 4, 0]], float)
    ballots = encode(votes_of(always), ["m0", "m1", "m2"])
    counts, shown = ballots.counts(), ballots.shown
    assert is_compared(shown)
    assert not is_connected(counts, shown)
    with pytest.raises(IqsrError, match="no finite scale"):
        log_worths(counts, shown)
    softened = always + 0.5 * ((always + always.T) > 0)
    pairs = [(a, b) for a, b in np.argwhere(softened) for _ in range(int(2 * softened[a, b]))]
    known = choix.opt_pairwise(3, pairs, 0, method="Newton-CG", tol=1e-12)
    assert log_worths(with_prior(counts), shown) == pytest.approx(known - known.mean(), abs=1e-6)


def test_methods_that_were_never_compared_are_noticed() -> None:
    apart = np.zeros((4, 4))
    apart[0, 1] = apart[1, 0] = apart[2, 3] = apart[3, 2] = 5
    ballots = encode(votes_of(apart), ["m0", "m1", "m2", "m3"])
    assert not is_compared(ballots.shown)
    assert not is_connected(ballots.counts(), ballots.shown)


def pwcmp(d: NDArray[np.float64]) -> NDArray[np.float64]:
    """pwcmp's published method, written from its formulas: loops, no gradient, another optimiser."""
    n = len(d)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j and d[i, j] + d[j, i] > 0]
    soft = d.copy()
    for i, j in pairs:
        if d[i, j] == 0:
            soft[i, j] = 1
        elif d[j, i] == 0:
            soft[i, j] -= 1

    def loss(q: NDArray[np.float64]) -> float:
        p = {(i, j): norm.cdf(q[i] - q[j], scale=1.4826) for i, j in pairs}
        sums = {
            (a, b): sum(p[m] ** soft[a, b] * (1 - p[m]) ** (d[a, b] + d[b, a] - soft[a, b]) for m in pairs)
            for a, b in pairs
        }
        total = 0.01 * np.mean(q) ** 2
        for i, j in pairs:
            x = p[i, j]
            prior = sum(x ** soft[a, b] * (1 - x) ** (d[a, b] + d[b, a] - soft[a, b]) / sums[a, b] for a, b in pairs)
            total -= np.log(x ** d[i, j] * (1 - x) ** d[j, i]) + np.log(prior + 0.1)
        return float(total)

    q = minimize(loss, np.zeros(n), method="Powell", options={"xtol": 1e-7, "ftol": 1e-12, "maxiter": 20_000}).x
    return q - q.mean()


def test_jod_of_laboratory_votes_are_those_of_sureal() -> None:
    assert jod(LABORATORY) == pytest.approx(SUREAL_JOD, abs=0.02)


UNANIMOUS_PAIR = np.array([[0, 8, 5], [0, 0, 6], [3, 2, 0]], float)
"""All agree on one of the pairs, and the scale is finite all the same."""


@pytest.mark.parametrize("table", [FOUR, INCOMPLETE, UNANIMOUS_PAIR], ids=["complete", "incomplete", "unanimous"])
def test_jod_equal_the_published_method_of_pwcmp(table: NDArray[np.float64]) -> None:
    assert jod(table) == pytest.approx(pwcmp(table), abs=2e-3)


def test_jod_of_two_methods_is_the_quantile_of_their_share() -> None:
    better, worse = jod(np.array([[0, 75], [25, 0]], float))
    assert better - worse == pytest.approx(1, abs=1e-4)
    better, worse = jod(np.array([[0, 30], [10, 0]], float))
    assert better - worse == pytest.approx(SIGMA_JOD * norm.ppf(0.75), abs=1e-4)


def test_many_votes_give_back_the_true_scale() -> None:
    true = np.array([-1.2, 0.1, 0.4, 0.7])
    p = norm.cdf(true[:, None] - true, scale=SIGMA_JOD)
    table: NDArray[np.float64] = np.asarray(np.round(2000 * p), float)
    np.fill_diagonal(table, 0)
    assert jod(table) == pytest.approx(true, abs=0.01)


def test_wins_of_a_choice_among_three() -> None:
    votes = [
        Vote("r", "1", "p", ("a", "b", "c"), "b", mode="best-of-n"),
        Vote("r", "2", "p", ("c", "a", "b"), NO_DIFFERENCE, mode="best-of-n"),
        Vote("r", "3", "p", ("a", "c"), "c"),
    ]
    ballots = encode(votes, ["a", "b", "c"])
    table = wins(ballots.counts(), ballots.shown)
    assert table.tolist() == [[0, 0.5, 0.5], [1.5, 0, 1.5], [1.5, 0.5, 0]]
