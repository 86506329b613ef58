"""A share of cases with its uncertainty."""

from dataclasses import dataclass
from functools import lru_cache
from math import nan

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """How often something holds: `hits` of `n` cases, and `ties` that count one half each."""

    n: int
    hits: int
    ties: int = 0

    @property
    def value(self) -> float:
        """The share, in [0, 1]; NaN without cases."""
        return (self.hits + self.ties / 2) / self.n if self.n else nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % score interval (Wilson, 1927, doi:10.1080/01621459.1927.10502953), by SciPy; NaN without cases.

        It takes the cases as independent. Whole numbers of hits make it: an odd number of ties leaves half a hit
        over, and the interval then spans those of the two whole numbers beside it.
        """
        if not self.n:
            return nan, nan
        twice = 2 * self.hits + self.ties
        return wilson(twice // 2, self.n)[0], wilson((twice + 1) // 2, self.n)[1]


@lru_cache(maxsize=100_000)
def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `hits` in `n`."""
    from scipy.stats import binomtest

    low, high = binomtest(hits, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(low), float(high)
