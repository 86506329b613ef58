"""Do metrics order the pictures of a study as its raters do? Pairs in the format of `iqsr agree`."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from iqsr.errors import UsageError
from iqsr.io.atomic import write_text
from iqsr.study.design import PICTURES_FOLDER, Design
from iqsr.study.preferences import Preference, Tally

if TYPE_CHECKING:
    from iqsr.agreement import Pairs

PAIRS_FILE = "pairs.csv"


@dataclass(frozen=True)
class RatedPair:
    """Two methods' pictures of one scene, and the votes for them."""

    picture: str
    methods: tuple[str, str]
    first: Path
    second: Path
    tally: Tally


class StudyPictures:
    """Where the picture of a scene by a method lies: in a study's folder, or where a pattern says."""

    def __init__(self, study: Path, design: Design | None, pattern: str | None = None) -> None:
        """Look pictures up by the design, unless there is a pattern with {picture} and {method}. UsageError."""
        if pattern is not None and not ("{picture}" in pattern and "{method}" in pattern):
            raise UsageError(f"a pattern of pictures has {{picture}} and {{method}}, and this is '{pattern}'")
        self._folder, self._design, self._pattern = study / PICTURES_FOLDER, design, pattern

    def find(self, picture: str, method: str) -> Path | None:
        """The file; None where there is none."""
        if self._pattern is not None:
            file = Path(self._pattern.replace("{picture}", picture).replace("{method}", method))
        elif self._design is not None and method in self._design.files.get(picture, {}):
            file = self._folder / self._design.files[picture][method]
        else:
            return None
        return file if file.is_file() else None


def rated_pairs(preferences: Sequence[Preference], pictures: StudyPictures) -> list[RatedPair]:
    """Every pair of pictures with votes, of which both are here."""
    found: list[RatedPair] = []
    for one in preferences:
        for picture, tally in one.by_picture.items():
            first, second = pictures.find(picture, one.first), pictures.find(picture, one.second)
            if first is not None and second is not None:
                found.append(RatedPair(picture, (one.first, one.second), first, second, tally))
    return found


def agree_pairs(rated: Sequence[RatedPair]) -> Pairs:
    """The pairs as `iqsr.agreement.agreement` takes them."""
    from iqsr.agreement import Pairs

    return Pairs(
        tuple(pair.first for pair in rated),
        tuple(pair.second for pair in rated),
        np.array([pair.tally.share for pair in rated]),
    )


def write_pairs(rated: Sequence[RatedPair], out: Path) -> None:
    """Write pairs as `iqsr agree` and `iqsr train-quality --pairs` read them.

    Columns: first and second (relative to the file), share_first, and what they leave alone: the numbers of votes and
    the name of the scene. Raises WriteError.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("first", "second", "share_first", "votes_first", "votes_second", "no_difference", "scene"))
    base = out.resolve().parent
    for pair in rated:
        files = (os.path.relpath(file.resolve(), base) for file in (pair.first, pair.second))
        tally = pair.tally
        writer.writerow((*files, f"{tally.share:.6g}", tally.first, tally.second, tally.no_difference, pair.picture))
    write_text(out, text.getvalue())


def here_metrics() -> list[str]:
    """All metrics without a reference that can be used here: an original is not part of a study."""
    from iqsr.metrics import availability, card, metric_names

    return [name for name in metric_names() if not card(name).compares and availability(name).available]


def metric_names_of(text: str | None) -> Sequence[str]:
    """What `--metrics` says: names, `all` (also None) that are here and need no reference, or `none`."""
    if text is None or text == "all":
        return here_metrics()
    return [] if text == "none" else [name.strip() for name in text.split(",") if name.strip()]
