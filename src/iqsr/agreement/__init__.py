"""Do metrics agree with people? Accuracy on pairs, complementarity, misalignment on sets of ground truths.

>>> from iqsr.agreement import agreement
>>> result = agreement(Path("pairs.csv"), ["srq", "laplacian"])
>>> result.accuracy["srq"].value, result.accuracy["srq"].interval
>>> result.complementarity["srq", "laplacian"].value  # where srq is wrong
"""

from iqsr.agreement.measure import agreement, misalignments
from iqsr.agreement.pairs import Pairs, read_pairs
from iqsr.agreement.rates import Agreement, Misalignment, Misalignments, Rate

__all__ = [
    "Agreement",
    "Misalignment",
    "Misalignments",
    "Pairs",
    "Rate",
    "agreement",
    "misalignments",
    "read_pairs",
]
