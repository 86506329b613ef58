"""What models are evaluated on: inputs, and the originals that outputs are compared with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Layout = Literal["hggt", "realsr", "pairs", "hr", "lr"]


@dataclass(frozen=True)
class EvaluationItem:
    """One picture of a set."""

    name: str
    """tells it from the others; files of a model's outputs begin with it"""
    lr: Path | None
    """the low-resolution input; None where the set has none, so that only pictures made elsewhere can be scored"""
    references: tuple[Path, ...] = ()
    """originals that outputs are compared with: several positives in HGGT, none where there is only an input"""
    ground_truths: tuple[Path, ...] = ()
    """all high-resolution versions, the original first: the Gold Standard is the best of them. Where there is one
    original, that alone"""


@dataclass(frozen=True)
class EvaluationSet:
    """A set of pictures to evaluate on."""

    name: str
    layout: Layout
    items: tuple[EvaluationItem, ...]
    """sorted by name; names differ"""
    findings: tuple[str, ...] = ()
    """one line each: what of the folders is in no item, and why"""

    @property
    def has_references(self) -> bool:
        """Whether any item can be compared with an original."""
        return any(item.references for item in self.items)
