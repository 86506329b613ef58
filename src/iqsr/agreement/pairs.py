"""Pairs of pictures with the share of people who prefer the first: a CSV file, checked line by line."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iqsr.errors import UsageError

COLUMNS = ("first", "second", "share_first")


@dataclass(frozen=True)
class Pairs:
    """Pictures compared by people, one entry a pair."""

    first: tuple[Path, ...]
    second: tuple[Path, ...]
    share_first: NDArray[np.float64]
    """(n,) in [0, 1]: the share of people who prefer `first`; the others prefer `second`"""
    reference: tuple[Path, ...] | None = None
    """the original that both pictures show, for full-reference metrics"""

    def __post_init__(self) -> None:
        lengths = {len(self.first), len(self.second), len(self.share_first), len(self.reference or self.first)}
        if len(lengths) > 1:
            raise UsageError(f"first, second, share_first and reference differ in length: {sorted(lengths)}")
        if not self.first:
            raise UsageError("no pairs to compare")
        if not ((self.share_first >= 0) & (self.share_first <= 1)).all():
            raise UsageError("share_first must lie in [0, 1]")

    def __len__(self) -> int:
        return len(self.first)


def read_pairs(path: Path) -> Pairs:
    """Pairs from a CSV file with the columns first, second, share_first and, optionally, reference.

    Paths are absolute, or relative to the CSV file. Other columns are left alone. UsageError, one line with the
    numbers of the lines, for a missing column, a picture that is not there, a share that is none.
    """
    path = Path(path)
    lines, rows = _rows(path)
    columns = (*COLUMNS, "reference") if "reference" in rows[0] else COLUMNS
    for column in columns:
        _refuse(path, f"no {column}", [n for n, row in zip(lines, rows, strict=True) if not row[column]])
    shares = [_share(row["share_first"]) for row in rows]
    unfit = {n: row["share_first"] for n, row, share in zip(lines, rows, shares, strict=True) if share is None}
    _refuse(path, "share_first is not a number from 0 to 1", unfit)
    found = {name: _pictures(path, name, lines, rows) for name in columns if name != "share_first"}
    return Pairs(found["first"], found["second"], np.array(shares, np.float64), found.get("reference"))


def _rows(path: Path) -> tuple[list[int], list[dict[str, str]]]:
    """Numbers of lines, and what is in them by column; white space around is no part of it."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            missing = [column for column in COLUMNS if column not in header]
            if missing:
                found = ", ".join(header) or "none: the file is empty"
                raise UsageError(f"'{path}' has no column {', '.join(missing)}; its columns are {found}")
            listed = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise UsageError(f"cannot read '{path}': {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot read '{path}': it is not a CSV file in UTF-8 ({error})") from None
    if not listed:
        raise UsageError(f"'{path}' has a header but no pairs")
    _refuse(path, f"not {len(header)} columns", [n for n, row in listed if len(row) != len(header)])
    return [n for n, _ in listed], [dict(zip(header, map(str.strip, row), strict=True)) for _, row in listed]


def _share(text: str) -> float | None:
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None


def _pictures(path: Path, column: str, lines: Sequence[int], rows: Sequence[Mapping[str, str]]) -> tuple[Path, ...]:
    """The column's files, each looked for once."""
    texts = [row[column] for row in rows]
    files = {text: path.parent / text for text in dict.fromkeys(texts)}
    gone = {text for text, file in files.items() if not file.is_file()}
    _refuse(path, f"{column} is not a file", {n: t for n, t in zip(lines, texts, strict=True) if t in gone})
    return tuple(files[text] for text in texts)


def _refuse(path: Path, problem: str, lines: Mapping[int, str] | Iterable[int]) -> None:
    """UsageError if there are such lines: the first few, with what stands there."""
    wrong = list(lines)
    if not wrong:
        return
    what = f" ('{lines[wrong[0]]}')" if isinstance(lines, Mapping) else ""
    first, *more = [str(line) for line in wrong[:5]]
    rest = f" and {len(wrong) - 5:,} more" if len(wrong) > 5 else ""
    where = f"line {first}{what}" + (f"; also {', '.join(more)}{rest}" if more else "")
    raise UsageError(f"'{path}': {problem}: {where}")
