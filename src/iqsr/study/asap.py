"""Active pairing: the pairs of methods that are expected to tell most about the order of all methods.

After ASAP (Mikhailiuk, Wilmot, Perez-Ortiz, Yue and Mantiuk, "Active Sampling for Pairwise Comparisons via Approximate
Message Passing and Information Gain Maximization", 2020, arXiv:2004.05691). Scores of methods are Gaussian before the
first vote, and a vote is a probit of their difference (Thurstone, Case V). After the votes so far, the posterior is
approximated by a Gaussian with all covariances. The expected information gain of a pair follows from the posterior of
the difference alone. As in ASAP's batches, pairs are taken from the spanning tree with the largest gain, so that every
method is in a batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from iqsr.errors import UsageError
from iqsr.study.balance import trails
from iqsr.study.design import ATTENTION, Design, Trial
from iqsr.study.plan import Plan
from iqsr.study.seats import fill_seat
from iqsr.study.votes import Vote

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PRIOR_VARIANCE = 1.0
"""Of a method's score; the unit is the standard deviation of the difference that one rater sees."""
_NODES = 40
"""Of Gauss-Hermite quadrature."""


def assign(design: Design, seat_name: str, votes: Sequence[Vote]) -> tuple[Trial, ...]:
    """The trials of a seat. The same arguments give the same trials.

    Args:
        design: The design of the study. Where its pairing is balanced, the seat has its trials already.
        seat_name: The seat.
        votes: All votes so far; none is fine.

    Raises:
        UsageError: The design has no such seat.
    """
    seat = next((seat for seat in design.seats if seat.name == seat_name), None)
    if seat is None:
        raise UsageError(f"the study has no seat '{seat_name}'")
    if design.pairing == "balanced":
        return seat.trials
    rng = Random(f"{design.seed}/{seat_name}")
    counted = [vote for vote in votes if vote.kind == "vote" and {*vote.shown} <= {*design.methods}]
    pairs = choose_pairs(preferences(counted, design.methods), design.trials_per_seat, rng)
    named = [(design.methods[one], design.methods[other]) for one, other in pairs]
    plan = Plan(
        len(design.seats),
        design.trials_per_seat,
        design.mode,
        design.pairing,
        design.attention_checks,
        design.repeats,
        design.seed,
    )
    trials = _with_sides(_with_pictures(named, counted, design.pictures, rng), counted, rng)
    degraded = [picture for picture in design.pictures if ATTENTION in design.files[picture]]
    return fill_seat(seat_name, trials, plan, design.methods, degraded, rng, Counter()).trials


def preferences(votes: Sequence[Vote], methods: Sequence[str]) -> NDArray[np.float64]:
    """How often each method (row) was preferred to each other (column). No difference is half a vote for each."""
    number = {method: place for place, method in enumerate(methods)}
    wins = np.zeros((len(methods), len(methods)))
    for vote in votes:
        one, other = (number[method] for method in vote.shown)
        share = 0.5 if vote.chosen not in vote.shown else float(vote.chosen == vote.shown[0])
        wins[one, other] += share
        wins[other, one] += 1 - share
    return wins


def choose_pairs(wins: NDArray[np.float64], count: int, rng: Random) -> list[tuple[int, int]]:
    """The next pairs of methods to ask about.

    Args:
        wins: (methods, methods): how often each row was preferred to each column.
        count: How many pairs.
        rng: Decides between pairs that tell equally much.

    Returns:
        Pairs of numbers of methods, the smaller first. One pair may come again when all others tell less.
    """
    wins = wins.copy()
    chosen: list[tuple[int, int]] = []
    while len(chosen) < count:
        mean, covariance = posterior(wins)
        gain = information_gain(mean, covariance)
        tree = _spanning_tree(gain, rng)[: count - len(chosen)]
        chosen += tree
        for one, other in tree:  # as if it had been answered: with the shares that are expected
            share = _expected_share(mean, covariance, one, other)
            wins[one, other] += share
            wins[other, one] += 1 - share
    return chosen


def posterior(wins: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (methods,) and covariance (methods, methods) of the scores, by Laplace's approximation (Newton's method)."""
    from scipy.special import log_ndtr

    count = len(wins)
    mean = np.zeros(count)
    precision = np.eye(count) / _PRIOR_VARIANCE
    for _ in range(50):
        difference = mean[:, None] - mean[None, :]
        hazard = np.exp(-0.5 * difference**2 - log_ndtr(difference)) / np.sqrt(2 * np.pi)
        slope, curvature = wins * hazard, wins * hazard * (difference + hazard)
        gradient = slope.sum(1) - slope.sum(0) - mean / _PRIOR_VARIANCE
        both = curvature + curvature.T
        precision = np.diag(both.sum(1)) - both + np.eye(count) / _PRIOR_VARIANCE
        step = np.linalg.solve(precision, gradient)
        mean = mean + step
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    return mean, np.linalg.inv(precision).astype(np.float64)


def information_gain(mean: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """(methods, methods): nats that one more vote about each pair is expected to tell about the scores.

    It is the mutual information of the vote and the difference of the scores: the entropy of the vote less its mean
    entropy given the difference.
    """
    from scipy.special import ndtr

    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    spread = np.sqrt(np.maximum(_difference_variance(covariance), 0))
    difference = mean[:, None] - mean[None, :]
    share = ndtr(difference[..., None] + spread[..., None] * nodes)
    weights = weights / weights.sum()
    gain = _entropy(share @ weights) - _entropy(share) @ weights
    np.fill_diagonal(gain, 0)
    return np.maximum(gain, 0)


def _expected_share(mean: NDArray[np.float64], covariance: NDArray[np.float64], one: int, other: int) -> float:
    from scipy.special import ndtr

    return float(ndtr((mean[one] - mean[other]) / np.sqrt(1 + _difference_variance(covariance)[one, other])))


def _difference_variance(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    variance = np.diag(covariance)
    return variance[:, None] + variance[None, :] - 2 * covariance


def _entropy(share: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.special import entr

    return entr(share) + entr(1 - share)


def _spanning_tree(gain: NDArray[np.float64], rng: Random) -> list[tuple[int, int]]:
    """The edges of the spanning tree with the largest gain, largest first (Kruskal). Ties are drawn."""
    count = len(gain)
    edges = [(one, other) for one in range(count) for other in range(one + 1, count)]
    rng.shuffle(edges)
    edges.sort(key=lambda edge: -round(float(gain[edge]), 12))
    root = list(range(count))
    tree: list[tuple[int, int]] = []
    for one, other in edges:
        if root[one] != root[other]:
            tree.append((one, other))
            old = root[other]
            root = [root[one] if name == old else name for name in root]
    return tree


def _with_pictures(
    pairs: Sequence[tuple[str, str]], votes: Sequence[Vote], pictures: Sequence[str], rng: Random
) -> list[tuple[str, tuple[str, str]]]:
    """A picture for each pair: least seen by this rater, then with this pair, then at all. No question comes twice."""
    order = list(pictures)
    rng.shuffle(order)
    own: Counter[str] = Counter()
    seen = Counter(vote.picture for vote in votes)
    seen_with = Counter((vote.picture, frozenset(vote.shown)) for vote in votes)
    asked: set[tuple[str, frozenset[str]]] = set()
    found: list[tuple[str, tuple[str, str]]] = []
    for pair in pairs:
        which = frozenset(pair)

        def use(picture: str, which: frozenset[str] = which) -> tuple[bool, int, int, int]:
            question = picture, which
            return question in asked, own[picture], seen_with[question], seen[picture]

        picture = min(order, key=use)
        asked.add((picture, which))
        own[picture] += 1
        seen_with[picture, which] += 1
        seen[picture] += 1
        found.append((picture, pair))
    rng.shuffle(found)
    return found


def _with_sides(questions: Sequence[tuple[str, tuple[str, str]]], votes: Sequence[Vote], rng: Random) -> list[Trial]:
    """Trials in which each method is left and right equally often, within one; over all votes as far as that allows."""
    shown = Counter(vote.shown for vote in votes)
    trials: list[Trial | None] = [None] * len(questions)
    for trail in trails([pair for _, pair in questions], rng):
        forth = sum(shown[order] for _, order in trail)
        back = sum(shown[order[::-1]] for _, order in trail)
        turned = back < forth or (back == forth and rng.random() < 0.5)
        for place, order in trail:
            trials[place] = Trial("", questions[place][0], order[::-1] if turned else order)
    return [trial for trial in trials if trial is not None]
