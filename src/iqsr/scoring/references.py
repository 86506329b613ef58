"""Finds the original that a picture is compared with, by the names of the files."""

import logging
import re
from collections import defaultdict
from pathlib import Path
from typing import Protocol
from unicodedata import normalize

from iqsr.datasets.names import beginnings
from iqsr.errors import PictureError, UsageError
from iqsr.images.find import OnUnread, exists, find_pictures, is_folder

_ENLARGED = re.compile(r"[ _.-]?[xX][0-9]")
"""What follows the original's name in those of its enlargements: `0801x4`, `0801_x4_ours`. No other picture's name."""

logger = logging.getLogger(__name__)


class OriginalLookup(Protocol):
    """Finds the original of a picture."""

    def original_of(self, relative: Path) -> Path:
        """The original of a picture, which is given by its path below the input that named it. PictureError."""
        ...


class References:
    """The originals below a folder, or one original for all pictures.

    In a folder the original of a picture is the one of equal stem (`0801.png` for `0801.jpg`), else the one whose stem
    is the longest beginning of the picture's (`0801` for `0801x4_ours`); neither a number nor a word is ever cut in two
    (`img_1` is not the original of `img_10`, `a` not that of `alpha`), but a scale may follow a word (`babyx4`). Where
    several subfolders have it, the one in the same relative place is taken. Names that differ only in how their accents
    are written, composed (NFC) or decomposed (NFD), are the same.

    on_unread: see `find_pictures`. Raises UsageError for a path that does not exist or a folder without pictures.
    """

    def __init__(self, path: Path, *, on_unread: OnUnread | None = None) -> None:
        self.path = Path(path)
        if not exists(self.path):
            raise UsageError(f"no such reference picture or folder: '{path}'")
        self._single = None if is_folder(self.path) else self.path
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        if self._single is None:
            for _, relative in find_pictures([self.path], on_unread=on_unread):
                self._by_stem[normalize("NFC", relative.stem)].append(relative)
        self._of_other_name: dict[Path, Path] = {}

    def original_of(self, relative: Path) -> Path:
        """The original of a picture, which is given by its path below the input that named it.

        PictureError if there is none, or if there are several.
        """
        if self._single is not None:
            return self._single
        own = normalize("NFC", relative.stem)
        stem = next((beginning for beginning in beginnings(own) if beginning in self._by_stem), None)
        if stem is None:
            raise PictureError(f"no reference in '{self.path}': no picture there is named like it")
        candidates = _in_same_place(self._by_stem[stem], relative.parent)
        if len(candidates) > 1:
            names = ", ".join(f"'{candidate}'" for candidate in candidates)
            raise PictureError(f"several references in '{self.path}': {names}; keep one of them")
        (chosen,) = candidates
        elsewhere = relative.parent != Path() != chosen.parent and not _same(relative.parent, chosen.parent)
        if elsewhere or (stem != own and not _ENLARGED.match(own[len(stem) :])):
            self._of_other_name[relative] = chosen
        return self.path / chosen

    def warn_of_other_names(self) -> None:
        """Say in one line which pictures `of` gave an original of another name, or of another folder: is it theirs?

        A scale behind the name is none: `0801x4` is of `0801`.
        """
        if not self._of_other_name:
            return
        count, (relative, original) = len(self._of_other_name), next(iter(self._of_other_name.items()))
        others = f", as {count - 1} more with such" if count > 1 else ""
        logger.warning(
            "'%s' is compared with '%s', an original of another name%s; the table's column 'reference' has all",
            relative,
            original,
            others,
        )


def _in_same_place(candidates: list[Path], place: Path) -> list[Path]:
    return [candidate for candidate in candidates if _same(candidate.parent, place)] or candidates


def _same(one: Path, other: Path) -> bool:
    return normalize("NFC", str(one)) == normalize("NFC", str(other))
