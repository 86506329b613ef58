"""Pairs of pictures and which of them is better: ratings, votes, ladders."""

import csv
import hashlib
import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

FOLDS = 5
SHARES = {1: 0.65, 2: 0.85, 3: 0.95}
"""The share of people that a rater's answer stands for: barely, clearly, strongly better."""
SAME_DEFECT = {
    "hairs": "hairs", "grit": "grit", "haze": "haze", "checkerboard": "checkerboard", "fringe": "fringe",
    "oversharp": "oversharpen", "plastic": "oversmooth", "blur": "blur",
}  # fmt: skip
"""The ladder that shows the same defect as a method of the rated set."""


@dataclass(frozen=True)
class Pairs:
    """Each field has one entry a pair."""

    first: np.ndarray
    """Row of the first picture in its set; `second` likewise."""
    second: np.ndarray
    share: np.ndarray
    """The share that prefers the first."""
    weight: np.ndarray
    scene: np.ndarray
    first_method: np.ndarray
    second_method: np.ndarray
    kind: np.ndarray

    def where(self, chosen: np.ndarray) -> "Pairs":
        return Pairs(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def has(self, *methods: str) -> np.ndarray:
        return np.isin(self.first_method, methods) | np.isin(self.second_method, methods)

    @property
    def methods(self) -> list[str]:
        return sorted({*self.first_method, *self.second_method})

    @property
    def fold(self) -> np.ndarray:
        """A fold of each pair, by its scene."""
        return np.array([hashlib.sha256(f"f{scene}".encode()).digest()[0] % FOLDS for scene in self.scene])


def _pairs(rows: Sequence[tuple]) -> Pairs:
    return Pairs(*(np.array(column) for column in zip(*rows, strict=True)))


def rated_pairs(names: Sequence[str], ratings: Path) -> Pairs:
    """Kinds: `agreed` by all raters, or `split`. names: SCENE/METHOD.png."""
    place = {name: row for row, name in enumerate(names)}
    answers: dict[tuple[str, str, str], list[tuple[bool, float]]] = defaultdict(list)
    for row in csv.DictReader(ratings.open()):
        is_first, share = row["preferred"] == row["first"], SHARES[int(row["strength"])]
        answers[row["scene"], row["first"], row["second"]].append((is_first, share if is_first else 1 - share))
    rows = []
    for (scene, first, second), found in sorted(answers.items()):
        kind = "agreed" if len({is_first for is_first, _ in found}) == 1 else "split"
        share = float(np.mean([share for _, share in found]))
        at = (place[f"{scene}/{name}.png"] for name in (first, second))
        rows.append((*at, share, 1.0, scene, first, second, kind))
    return _pairs(rows)


def voted_pairs(names: Sequence[str], votes: Path) -> Pairs:
    """Kinds: `laboratory`; best-of-four votes are `clear` (p < 0.05) or `open`. names: SCENE_METHOD.webp."""
    place = {Path(name).name: row for row, name in enumerate(names)}
    rows = []
    for row in csv.DictReader(votes.open()):
        files = [Path(row[side]).name for side in ("first", "second")]
        count, total = float(row["votes_first"]), float(row["votes_first"]) + float(row["votes_second"])
        is_clear = total > 0 and binomtest(int(count), int(total)).pvalue < 0.05
        kind = "laboratory" if row["kind"] == "pair" else "clear" if is_clear else "open"
        methods = (Path(file).stem.split("_")[1] for file in files)
        at = (place[file] for file in files)
        rows.append((*at, float(row["share_first"]), total / 25, row["scene"], *methods, kind))
    return _pairs(rows)


def ladder_pairs(names: Sequence[str]) -> Pairs:
    """Kinds: `clean` over the mildest, `far` (over the strongest), `step` (one strength over the next)."""
    place = {name: row for row, name in enumerate(names)}
    rungs: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in names:
        crop, version = name.removesuffix(".png").split("/")
        if version != "clean":
            rungs[crop, version.split("-")[0]].append(name)
    rows = []
    for (crop, defect), found in sorted(rungs.items()):
        found.sort()
        clean = place[f"{crop}/clean.png"]
        rows.append((clean, place[found[0]], 0.93, 1.0, crop, "clean", defect, "clean"))
        rows.append((clean, place[found[-1]], 0.97, 1.0, crop, "clean", defect, "far"))
        for better, worse in itertools.pairwise(found):
            rows.append((place[better], place[worse], 0.9, 1.0, crop, defect, defect, "step"))
    return _pairs(rows)
