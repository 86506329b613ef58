"""Models on data sets, scored under a named protocol: the evidence of a comparison.

>>> from iqsr.evaluation import evaluate
>>> found = evaluate("HGGT/Test-100", ["bicubic", "realesrgan-x4plus", "others/theirs"], protocol="hggt", out="results")
>>> found.means()
"""

from iqsr.evaluation.api import evaluate
from iqsr.evaluation.contestants import BICUBIC, GOLD_STANDARD, Contestant
from iqsr.evaluation.problems import Problem
from iqsr.evaluation.protocols import Derived, Protocol, protocol, protocol_names
from iqsr.evaluation.recipe import EvaluationRecipe
from iqsr.evaluation.result import Evaluation
from iqsr.evaluation.scores import EvaluatedMetric

__all__ = [
    "BICUBIC",
    "GOLD_STANDARD",
    "Contestant",
    "Derived",
    "EvaluatedMetric",
    "Evaluation",
    "EvaluationRecipe",
    "Problem",
    "Protocol",
    "evaluate",
    "protocol",
    "protocol_names",
]
