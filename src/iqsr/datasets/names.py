"""Which picture belongs to which item, by the names of the files. Sorted order never decides."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

from iqsr.errors import UsageError
from iqsr.images.find import is_hidden
from iqsr.images.formats import PICTURE_SUFFIXES

_SCALE = re.compile(r"[xX][0-9]")
"""As in `babyx4`, the usual names of enlarged pictures."""


def beginnings(stem: str) -> Iterator[str]:
    """The stem itself, then its beginnings, the longest first, but none that ends amid a number or a word.

    A scale may follow a word: `baby` is a beginning of `babyx4`.
    """
    for length in range(len(stem), 0, -1):
        beginning, rest = stem[:length], stem[length:]
        both = beginning[-1] + rest[:1]
        amid_word = both.isalpha() and not _SCALE.match(rest)
        if not rest or not (both.isdecimal() or amid_word):
            yield beginning


def pictures_in(folder: Path) -> list[Path]:
    """The picture files in a folder (not below it), in the order of their names. UsageError where it is none."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError as error:
        raise UsageError(f"cannot list '{folder}': {error.strerror}") from None
    return [folder / n for n in names if not is_hidden(n) and Path(n).suffix.lower() in PICTURE_SUFFIXES]


def stem_of(path: Path) -> str:
    """The file's name without its suffix, accents composed (NFC)."""
    return normalize("NFC", path.stem)


@dataclass(frozen=True)
class Matched:
    """Pictures and the items that they belong to."""

    found: dict[str, Path]
    """by the item's name"""
    several: dict[str, tuple[Path, ...]]
    """items that several pictures belong to: none of them is taken"""
    strangers: tuple[Path, ...]
    """pictures that belong to no item"""

    def findings(self, folder: Path) -> list[str]:
        """A line for each item with several pictures, and one for all pictures of no item."""
        lines = [
            f"'{folder}' has several pictures for '{name}': {_listed(p)}; keep one" for name, p in self.several.items()
        ]
        if self.strangers:
            lines.append(f"'{folder}' has pictures that belong to no item: {_listed(self.strangers)}")
        return lines


def match(names: Iterable[str], pictures: Iterable[Path]) -> Matched:
    """Each picture with the item whose name is its stem, or the longest beginning of it: `0801_x4` is of `0801`."""
    known = set(names)
    of: dict[str, list[Path]] = defaultdict(list)
    strangers: list[Path] = []
    for path in pictures:
        name = next((beginning for beginning in beginnings(stem_of(path)) if beginning in known), None)
        if name is None:
            strangers.append(path)
        else:
            of[name].append(path)
    found = {name: paths[0] for name, paths in sorted(of.items()) if len(paths) == 1}
    several = {name: tuple(paths) for name, paths in sorted(of.items()) if len(paths) > 1}
    return Matched(found, several, tuple(strangers))


def _listed(paths: Iterable[Path], most: int = 5) -> str:
    names = [f"'{path.name}'" for path in paths]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
