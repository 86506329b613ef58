"""Do metrics agree with people? Accuracy on pairs, complementarity, misalignment on sets of ground truths.

>>> from iqsr.agreement import agreement
>>> found = agreement(Path("pairs.csv"), ["srq", "laplacian"])
>>> found.accuracy["srq"].value, found.accuracy["srq"].interval
>>> found.complementarity["srq", "laplacian"].value  # where srq is wrong
"""

from iqsr.agreement.accuracy import Agreement
from iqsr.agreement.measure import agreement, misalignments
from iqsr.agreement.misalignment import Misalignment, Misalignments
from iqsr.agreement.pairs import Pairs, read_pairs
from iqsr.agreement.rate import Rate

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
