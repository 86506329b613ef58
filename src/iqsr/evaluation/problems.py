"""What went wrong in an evaluation, one line each. Nothing is left out of a table without such a line."""

from collections.abc import Callable
from dataclasses import dataclass, field

from iqsr.errors import IqsrError


@dataclass(frozen=True)
class Problem:
    """One thing that is missing from the results, and why."""

    text: str
    """one line: what, where, what to do"""
    model: str = ""
    """name of the model that it concerns; empty where it concerns all"""
    image: str = ""
    """name of the item that it concerns; empty where it concerns all"""
    metric: str = ""
    """name of the metric that it concerns; empty where it concerns all"""


@dataclass
class Problems:
    """Collects problems in the order they are found; with `strict`, the first one ends the evaluation."""

    strict: bool = False
    on_problem: Callable[[Problem], None] = lambda problem: None
    """called with each as it is found"""
    found: list[Problem] = field(default_factory=list[Problem])

    def add(self, text: object, *, model: str = "", image: str = "", metric: str = "") -> None:
        """Note a problem, once. IqsrError with the same line where `strict` is set."""
        problem = Problem(str(text), model, image, metric)
        if problem in self.found:
            return
        self.found.append(problem)
        if self.strict:
            raise IqsrError(f"{problem.text} (without --strict the evaluation goes on without it)")
        self.on_problem(problem)
