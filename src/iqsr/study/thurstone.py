"""Thurstone's Case V (1927, doi:10.1037/h0070288) in just-objectionable differences (JOD), as pwcmp scales votes.

A method that is 1 JOD better than another is preferred in 75 % of votes: the difference of two perceived qualities is
normal, with a standard deviation of 1.4826 JOD. Maximum likelihood with pwcmp's prior of distances (Pérez-Ortiz and
Mantiuk, 2017, arXiv:1712.03686), which keeps few votes from spreading the scale. JOD add up to 0 over the methods.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_ndtr

Wins = NDArray[np.float64]
"""(methods, methods): how often the row was preferred to the column."""

SIGMA_JOD = 1.4826
"""Standard deviation of a difference: the normal distribution is 0.75 at 1 / SIGMA_JOD, as in pwcmp."""
_FLOOR = 0.1
"""What pwcmp adds to the prior of a distance, so that none is impossible."""
_MEAN_WEIGHT = 0.01
"""Of the squared mean of the scale, which sets its zero."""


def jod(wins: Wins, start: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """(methods,): quality in JOD; higher is better.

    Args:
        wins: Counts, which may have halves. Each method must have beaten each other, directly or over others: the scale
            is infinite otherwise (`bradley_terry.is_connected`).
        start: (methods,): where the search begins, as pwcmp's at 0 if None. Log-worths are near.
    """
    compared = np.argwhere((wins + wins.T) > 0)
    first, second = compared[:, 0], compared[:, 1]
    won, lost = wins[first, second], wins[second, first]
    prior_won = _softened(won, lost)
    n = len(wins)

    def loss(q: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = (q[first] - q[second]) / SIGMA_JOD
        log_p, log_not = log_ndtr(z), log_ndtr(-z)
        slope_p, slope_not = _slope(z, log_p), -_slope(z, log_not)
        value, along = _prior(log_p, log_not, slope_p, slope_not, prior_won, won + lost)
        value += float(won @ log_p + lost @ log_not)
        along += won * slope_p + lost * slope_not
        gradient = (np.bincount(first, along, n) - np.bincount(second, along, n)) / SIGMA_JOD
        return _MEAN_WEIGHT * q.mean() ** 2 - value, 2 * _MEAN_WEIGHT * q.mean() / n - gradient

    q = minimize(loss, np.zeros(n) if start is None else start, jac=True, method="BFGS", options={"gtol": 1e-6}).x
    return q - q.mean()


def _softened(won: NDArray[np.float64], lost: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wins for the prior: of a pair that all agree on, one vote is taken as if it went the other way."""
    return np.where(lost == 0, won - 1, np.where(won == 0, 1, won))


def _slope(z: NDArray[np.float64], log_p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Derivative of log_ndtr: the normal density over its distribution."""
    return np.exp(-(z**2) / 2 - np.log(2 * np.pi) / 2 - log_p)


def _prior(
    log_p: NDArray[np.float64],
    log_not: NDArray[np.float64],
    slope_p: NDArray[np.float64],
    slope_not: NDArray[np.float64],
    won: NDArray[np.float64],
    votes: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64]]:
    """Log-prior of all distances and its slope along each.

    The prior of a distance is the sum, over all compared pairs, of its likelihood by that pair's votes, normalised over
    the distances.
    """
    likelihood = np.outer(log_p, won) + np.outer(log_not, votes - won)  # (distances, pairs)
    weight = np.exp(likelihood - likelihood.max(0))
    weight /= weight.sum(0)
    floored = weight.sum(1) + _FLOOR
    inverse = 1 / floored
    pull = weight * (inverse[:, None] - inverse @ weight)
    return float(np.log(floored).sum()), slope_p * (pull @ won) + slope_not * (pull @ (votes - won))
