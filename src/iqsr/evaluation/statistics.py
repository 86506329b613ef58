"""How sure the figures of an evaluation are: intervals over images, tests against a baseline, the worst cases.

Images are what varies: every interval and test takes one score an image. Two models are compared on the images that
both have a score of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 9_999
"""Of the bootstrap."""
SEED = 0
WORST_PERCENTILE = 5
"""A model's worst case is the score that one image in twenty falls short of."""


@dataclass(frozen=True)
class Summary:
    """One model by one metric, over images."""

    n: int
    """images with a score"""
    mean: float
    """over these images; NaN where there is none, as all that follows"""
    median: float
    """over these images"""
    interval: tuple[float, float]
    """of the mean: 95 %, percentile bootstrap over images; both ends are NaN below two images"""
    worst: float
    """the 5th percentile from the worse end: the 95th where lower is better"""


@dataclass(frozen=True)
class Comparison:
    """One model against the baseline by one metric, image by image."""

    n: int
    """images with a score of both"""
    difference: float
    """mean of the model's score less the baseline's, in the metric's units"""
    interval: tuple[float, float]
    """of the difference: 95 %, paired percentile bootstrap over images"""
    p_value: float
    """two-sided, of Wilcoxon's signed-rank test (Wilcoxon, 1945, doi:10.2307/3001968); 1 where all images are equal"""
    p_holm: float = nan
    """the same, corrected for all comparisons of the evaluation (Holm, 1979)"""


def summarise(values: Values, *, higher_is_better: bool) -> Summary:
    """The summary of one model's scores, (n,); NaN stands for an image without a score and does not count."""
    known = values[~np.isnan(values)]
    if not len(known):
        return Summary(n=0, mean=nan, median=nan, interval=(nan, nan), worst=nan)
    percentile = WORST_PERCENTILE if higher_is_better else 100 - WORST_PERCENTILE
    return Summary(
        n=len(known),
        mean=float(known.mean()),
        median=float(np.median(known)),
        interval=mean_interval(known),
        worst=float(np.percentile(known, percentile)),
    )


def compare(values: Values, baseline: Values) -> Comparison:
    """A model's scores against the baseline's, both (n,) in the same order of images; NaN where there is no score."""
    from scipy.stats import wilcoxon

    differences = values - baseline
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return Comparison(n=0, difference=nan, interval=(nan, nan), p_value=nan)
    test: Any = wilcoxon(differences) if differences.any() else None
    p_value = 1.0 if test is None else float(test.pvalue)
    return Comparison(
        n=len(differences),
        difference=float(differences.mean()),
        interval=mean_interval(differences),
        p_value=p_value,
    )


def smallest_p(n: int) -> float:
    """The smallest p that Wilcoxon's test, two-sided and exact, can give for n images: all differences of one sign."""
    return float(2 / 2**n) if n else 1.0


def mean_interval(values: Values) -> tuple[float, float]:
    """The 95 % interval of the mean of (n,): percentile bootstrap, 9,999 resamples of a fixed seed."""
    from scipy.stats import bootstrap

    if len(values) < 2:
        return nan, nan
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    rng = np.random.default_rng(SEED)
    found = bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, batch=1000, confidence_level=CONFIDENCE, method="percentile", rng=rng
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number (Holm, 1979, "A simple sequentially rejective multiple test procedure").

    The k-th smallest of m is multiplied by m - k + 1; none is below a smaller one's, none above 1. NaN stays NaN and
    does not count.
    """
    order = sorted((k for k, p in enumerate(p_values) if not isnan(p)), key=lambda k: p_values[k])
    corrected, largest = list(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, p_values[place] * (len(order) - rank)))
        corrected[place] = largest
    return corrected
