"""A set of ground truths: its name, its pictures, what people say of them, and which sets a training uses."""

from dataclasses import dataclass
from pathlib import Path

from iqsr.datasets.labels import Label
from iqsr.errors import UsageError


@dataclass(frozen=True, order=True)
class SetName:
    """The name of a set in HGGT: which crop of which image."""

    image: str
    row: int
    """of the crop's first row, in pixels"""
    column: int

    @classmethod
    def parse(cls, name: str) -> "SetName":
        """From `<image>-<row>-<column>`. UsageError for other names."""
        image, *offsets = name.rsplit("-", 2)
        if len(offsets) != 2 or not all(text.isdecimal() for text in offsets):
            raise UsageError(f"'{name}' is not a name of the form <image>-<row>-<column>")
        return cls(image, int(offsets[0]), int(offsets[1]))

    def __str__(self) -> str:
        return f"{self.image}-{self.row}-{self.column}"


@dataclass(frozen=True)
class GtSet:
    """One original (index 0) and its enhanced versions. All tuples are in the order of `variants`."""

    name: str
    variants: tuple[str, ...]
    """names of the folders; the first is `original`"""
    paths: tuple[Path, ...]
    labels: tuple[Label, ...] | None
    """by majority; Label.ORIGINAL first. None where the data set has no labels"""
    votes: tuple[int, ...] | None
    """how many of three people gave that label: 3 or 2, 1 where all differ; 3 for the original"""
    input: Path | None = None
    """The low-resolution picture that the enhanced versions were made of, where the data set stores inputs"""

    @property
    def positives(self) -> tuple[int, ...]:
        """Indices of the ground truths that people find better than the original. UsageError without labels."""
        return self._indices(Label.POSITIVE)

    @property
    def negatives(self) -> tuple[int, ...]:
        """Indices of those that people find worse. UsageError without labels."""
        return self._indices(Label.NEGATIVE)

    @property
    def positives_or_original(self) -> tuple[int, ...]:
        """The targets of HGGT's Pos+Neg training: the positives, the original where there is none."""
        return self.positives or (0,)

    def _indices(self, wanted: Label) -> tuple[int, ...]:
        if self.labels is None:
            raise UsageError(f"the set '{self.name}' has no labels of people: nothing in it is positive or negative")
        return tuple(i for i, label in enumerate(self.labels) if label == wanted)


def every_set(_: GtSet) -> bool:
    """HGGT's filter `Ori`: all sets are kept; the target is the original."""
    return True


def has_positive(gts: GtSet) -> bool:
    """HGGT's filter `Pos`: at least one positive; the target is one of the positives."""
    return bool(gts.positives)


def has_positive_or_negative(gts: GtSet) -> bool:
    """HGGT's filter `Pos+Neg`: at least one positive or negative; targets are `positives_or_original`."""
    return bool(gts.positives or gts.negatives)
