"""Votes: one row for each answered trial. The server, the sheets, the import and the analysis exchange this table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any, get_args

from iqsr.errors import UsageError
from iqsr.io.atomic import write_text
from iqsr.io.places import check_is_file
from iqsr.study.design import Kind, Mode

VOTES_FILE = "votes.csv"
NO_DIFFERENCE = ""
"""What `chosen` holds where a rater saw no difference."""
STRENGTHS = ("barely", "clearly", "strongly")
"""How clear a preference was, where raters are asked."""
SEPARATOR = "|"
"""Between the methods of the column `shown`."""


@dataclass(frozen=True)
class Vote:
    """The answer to one trial. What the rater's browser did not tell is None."""

    rater: str
    trial: str
    picture: str
    shown: tuple[str, ...]
    """Methods in the order of display."""
    chosen: str
    """The preferred method, or NO_DIFFERENCE."""
    kind: Kind = "vote"
    mode: Mode = "slider"
    seconds: float | None = None
    """From the pictures' appearance to the answer."""
    zoom: float | None = None
    """Device pixels for a picture's pixel, when the answer was given."""
    viewport_width: int | None = None
    """CSS pixels."""
    viewport_height: int | None = None
    """CSS pixels."""
    pixel_ratio: float | None = None
    """Device pixels for a CSS pixel."""
    at: str = ""
    """ISO 8601, UTC."""
    strength: str = ""
    """How clear the preference was, where the rater was asked: one of STRENGTHS."""


COLUMNS = tuple(field.name for field in fields(Vote))


def write_votes(votes: Iterable[Vote], path: Path) -> None:
    """Write the table, whole or not at all.

    Args:
        votes: In the order of the rows.
        path: The file; an older one is replaced.

    Raises:
        UsageError: For a vote that could not be read back, or a rater's second answer to a trial.
        WriteError: If the file cannot be written.
    """
    write_text(path, votes_csv(votes))


def votes_csv(votes: Iterable[Vote]) -> str:
    """The table as text: CSV in UTF-8 with a header. Raises UsageError as `write_votes`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    seen: set[tuple[str, str]] = set()
    for vote in votes:
        row = {column: _cell(getattr(vote, column)) for column in COLUMNS}
        try:
            if any(SEPARATOR in method for method in vote.shown):
                raise _CellError("shown", f"a method's name contains '{SEPARATOR}'")
            _vote(row)
            _check_once(vote, seen)
        except _CellError as wrong:
            raise UsageError(f"vote of '{vote.rater}' on '{vote.trial}': {wrong.column}: {wrong.problem}") from None
        writer.writerow(row.values())
    return text.getvalue()


def votes_of(study: Path) -> tuple[Vote, ...]:
    """The votes in the folder of a study; none where it has no table of them. OSError for what is no file.

    Raises UsageError as `read_votes`.
    """
    file = study / VOTES_FILE
    if not file.exists():
        return ()
    check_is_file(file)
    return read_votes(file)


def read_votes(path: Path) -> tuple[Vote, ...]:
    """Read `votes.csv`.

    Args:
        path: A file with the columns of `Vote` in their order.

    Returns:
        The votes in the order of the rows.

    Raises:
        UsageError: With line and column, for the first value that cannot be right: a wrong header, a choice that was
            not shown, a number that is none, a rater's second answer to a trial.
    """
    votes: list[Vote] = []
    seen: set[tuple[str, str]] = set()
    for line, row in rows_of(path, COLUMNS):
        try:
            vote = _vote(row)
            _check_once(vote, seen)
        except _CellError as wrong:
            raise UsageError(f"'{path}', line {line}, column {wrong.column}: {wrong.problem}") from None
        votes.append(vote)
    return tuple(votes)


def rows_of(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file by column, each with the number of its first line; empty lines are left out.

    Raises UsageError if the file cannot be read, its header is not `columns`, or a row has too many or too few values.
    """
    header, rows = read_table(path)
    if header != tuple(columns):
        missing = [column for column in columns if column not in header]
        what = f"no column {', '.join(missing)}" if missing else f"the columns {', '.join(header)}"
        raise UsageError(f"'{path}', line 1: it has {what}; a table of this kind has {','.join(columns)}")
    return rows


def read_table(path: Path, *, by_hand: bool = False) -> tuple[tuple[str, ...], list[tuple[int, dict[str, str]]]]:
    """Any CSV file in UTF-8 with a header: the columns, and each row with the number of its first line.

    White space around values and empty lines do not count. by_hand: in what people type, commas at the end of a row may
    be missing, and those in the last column need no quotes. Raises UsageError if the file cannot be read, a column
    stands there twice, or a row has too many or too few values.
    """
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=not by_hand)
            header = tuple(name.strip() for name in next(reader, []))
            if not header:
                raise UsageError(f"'{path}' is empty")
            if len(set(header)) < len(header):
                raise UsageError(f"'{path}', line 1: a column stands there twice: {', '.join(header)}")
            line = reader.line_num + 1
            for values in reader:
                if any(map(str.strip, values)):
                    if by_hand:
                        last = len(header) - 1
                        values = [*values[:last], *([""] * (last - len(values))), ",".join(values[last:])]
                    if len(values) != len(header):
                        raise UsageError(f"'{path}', line {line}: {len(values)} values for {len(header)} columns")
                    rows.append((line, dict(zip(header, map(str.strip, values), strict=True))))
                line = reader.line_num + 1
    except OSError as error:
        raise UsageError(f"cannot read '{path}': {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot read '{path}': it is not a CSV file in UTF-8 ({error})") from None
    return header, rows


class _CellError(Exception):
    """What is wrong in which column."""

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(column, problem)
        self.column, self.problem = column, problem


def _cell(value: object) -> str:
    """A field as text; None is empty."""
    if value is None:
        return ""
    return SEPARATOR.join(map(str, value)) if isinstance(value, tuple) else str(value)  # pyright: ignore[reportUnknownVariableType]


def _vote(row: dict[str, str]) -> Vote:
    """A row as a vote. Raises _CellError."""
    values: dict[str, Any] = {}
    for column, text in row.items():
        try:
            values[column] = _PARSERS[column](text)
        except ValueError as error:
            raise _CellError(column, str(error)) from None
    vote = Vote(**values)
    if vote.chosen != NO_DIFFERENCE and vote.chosen not in vote.shown:
        raise _CellError("chosen", f"'{vote.chosen}' was not shown, only {', '.join(vote.shown)}")
    return vote


def _check_once(vote: Vote, seen: set[tuple[str, str]]) -> None:
    """Raise _CellError for a rater's second answer to a trial; else remember the first."""
    key = (vote.rater, vote.trial)
    if key in seen:
        raise _CellError("trial", f"'{vote.rater}' answers '{vote.trial}' twice")
    seen.add(key)


def _name(text: str) -> str:
    if not text or text != text.strip():
        raise ValueError("is empty, or has white space around it")
    return text


def _shown(text: str) -> tuple[str, ...]:
    methods = tuple(text.split(SEPARATOR))
    if len(methods) < 2 or len(set(methods)) < len(methods) or not all(method.strip() for method in methods):
        raise ValueError(f"needs two or more different methods, joined by '{SEPARATOR}', and is '{text}'")
    return methods


def _one_of(choices: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"is '{text}', not one of {', '.join(choice or 'nothing' for choice in choices)}")
        return text

    return parse


def _number(least: float, kind: Callable[[str], float] = float) -> Callable[[str], float | None]:
    """Read a number of `least` or more; nothing is None."""

    def parse(text: str) -> float | None:
        if not text:
            return None
        try:
            value = kind(text)
        except ValueError:
            raise ValueError(f"is '{text}', not a {'whole ' if kind is int else ''}number") from None
        if not isfinite(value) or value < least:
            raise ValueError(f"is {text}, and must be {least} or more")
        return value

    return parse


def _time(text: str) -> str:
    if text:
        try:
            datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"is '{text}', not a time in ISO 8601") from None
    return text


_PARSERS: dict[str, Callable[[str], Any]] = {
    "rater": _name,
    "trial": _name,
    "picture": _name,
    "shown": _shown,
    "chosen": str,
    "kind": _one_of(get_args(Kind)),
    "mode": _one_of(get_args(Mode)),
    "seconds": _number(0),
    "zoom": _number(0),
    "viewport_width": _number(1, int),
    "viewport_height": _number(1, int),
    "pixel_ratio": _number(0),
    "at": _time,
    "strength": _one_of(("", *STRENGTHS)),
}
