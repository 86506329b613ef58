"""Bradley and Terry's model (1952, doi:10.2307/2334029), and Luce's choice axiom (1959) for more than two.

A method with worth w is chosen among the shown ones with probability w / (sum of their worths). Fitted by maximum
likelihood, with Newton's method: the log-likelihood is concave in log w (Hunter, 2004, doi:10.1214/aos/1079120141).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from iqsr.errors import IqsrError
from iqsr.study.ballots import Counts

_MOST_STEPS, _PRECISION = 100, 1e-12


def log_worths(counts: Counts, shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(methods,): log w of maximum likelihood, of mean 0.

    Args:
        counts: (sets, methods + 1): choices from each set; those for no difference, last, count 1/n for each of n.
        shown: (sets, methods): the methods of each set.

    Raises:
        IqsrError: If no maximum exists, see `is_connected`. `with_prior` makes one.
    """
    if not is_connected(counts, shown):
        raise IqsrError("no finite scale fits these votes: some methods never lose, or were never compared, to others")
    chosen = _shares(counts, shown)
    n = chosen.sum(1)
    theta = np.zeros(shown.shape[1])
    value = _log_likelihood(theta, chosen, shown)
    for _ in range(_MOST_STEPS):
        p = _probabilities(theta, shown)
        gradient = (chosen - n[:, None] * p).sum(0)
        information = np.diag((n[:, None] * p).sum(0)) - (p * n[:, None]).T @ p
        step = np.linalg.lstsq(information + 1 / len(theta), gradient, rcond=None)[0]  # the mean stays 0
        while _log_likelihood(theta + step, chosen, shown) < value - 1e-9 * abs(value):
            step /= 2
        theta = theta + step
        value = _log_likelihood(theta, chosen, shown)
        if np.abs(step).max() < _PRECISION:
            break
    return theta - theta.mean()


def is_connected(counts: Counts, shown: NDArray[np.bool_]) -> bool:
    """Whether a maximum exists: each method beat each other, directly or over others (Ford, 1957, 10.2307/2308513)."""
    beaten = np.zeros((shown.shape[1],) * 2, bool)
    for row, members in zip(_shares(counts, shown), shown, strict=True):
        beaten |= np.outer(row > 0, members)
    return int(connected_components(beaten, directed=True, connection="strong")[0]) == 1


def is_compared(shown: NDArray[np.bool_]) -> bool:
    """Whether each method was compared with each other, directly or over others."""
    together = shown.astype(int).T @ shown.astype(int)
    return int(connected_components(together > 0, directed=False)[0]) == 1


def with_prior(counts: Counts) -> Counts:
    """The counts with one more vote for no difference on each set of methods, for scales that would be infinite."""
    more = counts.copy()
    more[:, -1] += 1
    return more


def _shares(counts: Counts, shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(sets, methods): choices, with no difference shared out."""
    return counts[:, :-1] + shown * (counts[:, -1] / shown.sum(1))[:, None]


def _probabilities(theta: NDArray[np.float64], shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    worth = np.where(shown, np.exp(theta - theta.max()), 0)
    return worth / worth.sum(1, keepdims=True)


def _log_likelihood(theta: NDArray[np.float64], chosen: NDArray[np.float64], shown: NDArray[np.bool_]) -> float:
    totals = np.log(shown @ np.exp(theta - theta.max())) + theta.max()
    return float((chosen @ theta).sum() - chosen.sum(1) @ totals)
