"""Filled-in sheets as votes: CSV files with the columns trial, choice and, optionally, strength and reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from iqsr.errors import UnknownNameError, UsageError
from iqsr.study.design import Design, Mode, Trial
from iqsr.study.votes import NO_DIFFERENCE, STRENGTHS, Vote, read_table

REQUIRED = ("trial", "choice")
_KNOWN = (*REQUIRED, "strength", "reason")
_SIDES = ("LEFT", "RIGHT")
_NONE = "NONE"
_PLAIN_NAMES = ("answers", "choices", "sheet", "votes")
"""File names that tell nothing of the rater: the folder's name does."""


@dataclass(frozen=True)
class FilledSheet:
    """What a rater answered, and what not."""

    rater: str
    file: Path
    votes: tuple[Vote, ...]
    missing: tuple[str, ...]
    """Trials of the seat without an answer."""


def seat_trials(design: Design) -> dict[str, tuple[Trial, ...]]:
    """By seat, its trials; of a design with active pairing those that are assigned without votes, as on sheets."""
    if design.pairing == "balanced":
        return {seat.name: seat.trials for seat in design.seats}
    from iqsr.study.asap import assign

    return {seat.name: assign(design, seat.name, ()) for seat in design.seats}


def rater_of(file: Path) -> str:
    """The rater that a sheet's place names: its file, or its folder where all files have the same plain name."""
    return file.resolve().parent.name if file.stem.casefold() in _PLAIN_NAMES else file.stem


def read_sheet(file: Path, trials: Mapping[str, Sequence[Trial]], mode: Mode, rater: str | None = None) -> FilledSheet:
    """Read one rater's sheet.

    Args:
        file: A CSV file. A choice is LEFT or RIGHT, or the picture's place (from 1), or NONE for no difference, in any
            case; nothing is a missing answer.
        trials: By seat, its trials (`seat_trials`). All trials of a sheet are of one seat.
        mode: How the pictures were shown.
        rater: Whose votes they are; None: as the file or its folder is called.

    Raises:
        UsageError: With the line, for a trial that is unknown, of another seat or answered twice, and for a choice or
            strength that cannot be.
    """
    header, rows = read_table(file, by_hand=True)
    unknown = [column for column in header if column not in _KNOWN]
    if unknown or any(column not in header for column in REQUIRED):
        raise UsageError(f"'{file}' has the columns {', '.join(header)}; a sheet has {', '.join(_KNOWN)}")
    known = {trial.id: (seat, trial) for seat, listed in trials.items() for trial in listed}
    name = rater or rater_of(file)
    votes: dict[str, Vote] = {}
    named: set[str] = set()
    seats: dict[str, int] = {}
    for line, row in rows:
        where = f"'{file}', line {line}"
        if row["trial"] not in known:
            raise UsageError(f"{where}: {UnknownNameError('trial', row['trial'], list(known))}")
        seat, trial = known[row["trial"]]
        seats.setdefault(seat, line)
        if len(seats) > 1:
            raise UsageError(f"{where}: trials of the seats {' and '.join(seats)}; a sheet is of one seat")
        if trial.id in named:
            raise UsageError(f"{where}: the trial '{trial.id}' stands there twice")
        named.add(trial.id)
        if row["choice"]:
            chosen = _chosen(row["choice"], trial, where)
            strength = _strength(row.get("strength", ""), where)
            votes[trial.id] = Vote(
                name, trial.id, trial.picture, trial.shown, chosen, trial.kind, mode, strength=strength
            )
    missing = [trial.id for seat in seats for trial in trials[seat] if trial.id not in votes]
    return FilledSheet(name, file, tuple(votes.values()), tuple(missing))


def _chosen(text: str, trial: Trial, where: str) -> str:
    choices = [str(place) for place in range(1, len(trial.shown) + 1)]
    methods = dict(zip(choices, trial.shown, strict=True))
    if len(trial.shown) == 2:
        methods |= dict(zip(_SIDES, trial.shown, strict=True))
    methods[_NONE] = NO_DIFFERENCE
    if text.upper() not in methods:
        raise UsageError(f"{where}, column choice: is '{text}', not one of {', '.join(methods)}")
    return methods[text.upper()]


def _strength(text: str, where: str) -> str:
    if text.lower() not in ("", *STRENGTHS):
        raise UsageError(f"{where}, column strength: is '{text}', not one of {', '.join(STRENGTHS)}")
    return text.lower()
