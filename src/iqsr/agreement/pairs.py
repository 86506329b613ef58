"""Pairs of pictures with the share of people who prefer the first, read from a CSV file."""

import csv
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iqsr.errors import UsageError
from iqsr.images.find import as_stored, spellings
from iqsr.io.remote import files_among, kind_of, refresh
from iqsr.io.urls import path_from, url_of

COLUMNS = ("first", "second", "share_first")
ROUNDING = 1e-6
"""Shares this near to 0, 0.5 or 1 are taken as equal to it: sums of floats are not exact."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures that people compared. Raises UsageError for lengths or values that are wrong."""

    first: tuple[Path, ...]
    second: tuple[Path, ...]
    share_first: NDArray[np.float64]
    """(n,) in [0, 1]: the share of people who prefer `first`; the others prefer `second`."""
    reference: tuple[Path | None, ...] | None = None
    """The original of both pictures, for full-reference metrics; None where a pair has none."""

    def __post_init__(self) -> None:
        lengths = {len(self.first), len(self.second), len(self.share_first), len(self.reference or self.first)}
        if len(lengths) > 1:
            raise UsageError(f"first, second, share_first and reference differ in length: {sorted(lengths)}")
        if not self.first:
            raise UsageError("no pairs to compare")
        if not ((self.share_first >= -ROUNDING) & (self.share_first <= 1 + ROUNDING)).all():
            raise UsageError("share_first must lie in [0, 1]")
        itself = next((a for a, b in zip(self.first, self.second, strict=True) if a == b), None)
        if itself is not None:
            raise UsageError(f"'{itself}' is compared with itself")
        share = np.clip(self.share_first, 0, 1)
        object.__setattr__(self, "share_first", np.where(np.abs(share - 0.5) < ROUNDING, 0.5, share))

    def __len__(self) -> int:
        return len(self.first)


def read_pairs(path: Path, *, with_reference: bool = False) -> Pairs:
    """Read pairs from a CSV file with the columns first, second, share_first and, optionally, reference.

    Paths are absolute, relative to the CSV file, or URLs; the file may be the place of a URL. Warnings name other
    columns, which are ignored, and repeated pairs, each of which counts. with_reference: every pair must have a
    reference.

    Raises UsageError, with the numbers of the lines, for a column that is missing or repeated, a picture that does not
    exist or is compared with itself, and a share that is not a number in [0, 1].
    """
    path = Path(path)
    lines, rows = _rows(path)
    referenced = "reference" in rows[0]
    for column in (*COLUMNS, "reference") if referenced and with_reference else COLUMNS:
        _refuse(path, f"no {column}", [n for n, row in zip(lines, rows, strict=True) if not row[column]])
    shares = [_share(row["share_first"]) for row in rows]
    unfit = {n: row["share_first"] for n, row, share in zip(lines, rows, shares, strict=True) if share is None}
    _refuse(path, "share_first is not a number from 0 to 1", unfit, _share_advice(unfit.values()))
    first, second = (_pictures(path, name, lines, rows) for name in ("first", "second"))
    real = {file: file.resolve() for file in {*first, *second}}
    paired = [(real[a], real[b]) for a, b in zip(first, second, strict=True)]
    _refuse(path, "a picture is compared with itself", [n for n, (a, b) in zip(lines, paired, strict=True) if a == b])
    _warn_of_repeated(path, lines, paired)
    reference = _references(path, lines, rows) if referenced else None
    return Pairs(first, second, np.array(shares, np.float64), reference)


def _rows(path: Path) -> tuple[list[int], list[dict[str, str]]]:
    """The numbers of the non-empty lines, and their values by column, without surrounding white space."""
    if url_of(path) is not None and kind_of(path) != "file":
        raise UsageError(f"cannot read '{path}': no such file")
    refresh(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header)
            listed = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except OSError as error:
        raise UsageError(f"cannot read '{path}': {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot read '{path}': it is not a CSV file in UTF-8 ({error})") from None
    if not listed:
        raise UsageError(f"'{path}' has a header but no pairs")
    _refuse(path, f"not {len(header)} columns", [n for n, row in listed if len(row) != len(header)])
    return [n for n, _ in listed], [dict(zip(header, map(str.strip, row), strict=True)) for _, row in listed]


def _check_header(path: Path, header: Sequence[str]) -> None:
    """Raise UsageError for columns that are missing or repeated; warn of columns that are ignored."""
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        found = ", ".join(header) or "none: the file is empty"
        other = next((mark for mark in (";", "\t") if any(mark in name for name in header)), None)
        advice = f"; they are separated by {other!r}: save the file with commas" if other else ""
        raise UsageError(f"'{path}' has no column {', '.join(missing)}; its columns are {found}{advice}")
    known = (*COLUMNS, "reference")
    twice = [name for name, times in Counter(header).items() if times > 1 and name in known]
    if twice:
        raise UsageError(f"'{path}' has the column {', '.join(twice)} more than once: keep one")
    if unknown := [name for name in dict.fromkeys(header) if name and name not in known]:
        logger.warning("'%s': columns that are left alone: %s", path, ", ".join(unknown))


def _share(text: str) -> float | None:
    try:
        share = float(text)
    except ValueError:
        return None
    return min(max(share, 0.0), 1.0) if -ROUNDING <= share <= 1 + ROUNDING else None


def _share_advice(unfit: Iterable[str]) -> str:
    """Advice where the shares look like percentages."""
    numbers = [text.rstrip("% ") for text in unfit]
    percent = all(number.replace(".", "", 1).isdecimal() and float(number) <= 100 for number in numbers)
    return ": percentages? Divide by 100" if percent and any(float(number) > 2 for number in numbers) else ""


def _warn_of_repeated(path: Path, lines: Sequence[int], paired: Sequence[tuple[Path, Path]]) -> None:
    """Warn of repeated pairs, in either order. They may be one line for each voter, or a mistake."""
    first_line: dict[frozenset[Path], int] = {}
    places = [(line, first_line.setdefault(frozenset(pair), line)) for line, pair in zip(lines, paired, strict=True)]
    again = [(line, first) for line, first in places if line != first]
    if again:
        many = f"{len(again):,} pairs stand" if len(again) > 1 else "a pair stands"
        logger.warning("'%s': %s there again (line %d as line %d): each line counts", path, many, *again[0])


def _references(path: Path, lines: Sequence[int], rows: Sequence[Mapping[str, str]]) -> tuple[Path | None, ...]:
    """The files of the column `reference`; None where a pair has none."""
    given = [(n, row) for n, row in zip(lines, rows, strict=True) if row["reference"]]
    files = iter(_pictures(path, "reference", [n for n, _ in given], [row for _, row in given]))
    return tuple(next(files) if row["reference"] else None for row in rows)


def _pictures(path: Path, column: str, lines: Sequence[int], rows: Sequence[Mapping[str, str]]) -> tuple[Path, ...]:
    """The files of a column; each is looked up once."""
    texts = [row[column] for row in rows]
    places = {text: path_from(path.parent, text) for text in dict.fromkeys(texts)}
    in_stores = files_among(spelled for place in places.values() if url_of(place) for spelled in spellings(place))
    files = {text: file for text, place in places.items() if (file := _found(place, in_stores))}
    _refuse(path, f"{column} is not a file", {n: t for n, t in zip(lines, texts, strict=True) if t not in files})
    return tuple(files[text] for text in texts)


def _found(path: Path, in_stores: Set[Path]) -> Path | None:
    """The file in the spelling under which it exists, on this disk or among those in stores; None where it does not."""
    if url_of(path) is not None:
        return next((spelled for spelled in spellings(path) if spelled in in_stores), None)
    spelled = as_stored(path)
    return spelled if spelled.is_file() else None


def _refuse(path: Path, problem: str, lines: Mapping[int, str] | Iterable[int], advice: str = "") -> None:
    """Raise UsageError if there are such lines, with the first few numbers and the first value."""
    wrong = list(lines)
    if not wrong:
        return
    what = f" ('{lines[wrong[0]]}')" if isinstance(lines, Mapping) else ""
    first, *more = [str(line) for line in wrong[:5]]
    rest = f" and {len(wrong) - 5:,} more" if len(wrong) > 5 else ""
    where = f"line {first}{what}" + (f"; also {', '.join(more)}{rest}" if more else "")
    raise UsageError(f"'{path}': {problem}: {where}{advice}")
