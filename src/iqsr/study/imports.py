"""Bring votes into a study's votes.csv: sheets that raters filled in, votes of other servers, tables of other tools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from iqsr.errors import UsageError
from iqsr.study.design import DESIGN_FILE, Design, read_design
from iqsr.study.import_sheets import REQUIRED, read_sheet, seat_trials
from iqsr.study.import_tables import TABLES
from iqsr.study.votes import COLUMNS, VOTES_FILE, Vote, read_table, read_votes, votes_csv, votes_of, write_votes


@dataclass(frozen=True)
class Imported:
    """What an import found."""

    file: Path
    """The table that the votes are in now."""
    added: int
    already_there: int
    """Votes that an earlier import had brought; they count once."""
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """By rater of a sheet: trials without an answer."""


def import_votes(study: Path, sources: Sequence[Path], rater: str | None = None) -> Imported:
    """Add votes to `votes.csv` in the folder of a study. Doing it again changes nothing.

    Args:
        study: A folder. Where it has a design, sheets and votes of that design are read; else tables of other tools,
            and the folder is made if it is missing.
        sources: CSV files, or folders in which all CSV files are read. Their columns tell what they are.
        rater: Whose votes a single sheet holds; None: as its file is called, or its folder.

    Returns:
        How many votes are new, and which answers are missing.

    Raises:
        UsageError: For the first thing that cannot be right, with file and line; nothing is written then.
        WriteError: If the table cannot be written.
    """
    files = [file for source in sources for file in _tables_in(source)]
    if rater is not None and len(files) != 1:
        raise UsageError(f"--rater names the rater of one sheet, and {len(files)} files were named")
    design = read_design(study) if (study / DESIGN_FILE).exists() else None
    out = study / VOTES_FILE
    before = votes_of(study)
    found, missing = _read(files, design, rater)
    added = _new(found, before)
    if added:
        write_votes([*before, *added], out)
    return Imported(out, len(added), len(found) - len(added), missing)


def _tables_in(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source]
    files = sorted(file for file in source.rglob("*.csv") if file.is_file())
    if not files:
        raise UsageError(f"'{source}' has no CSV files")
    return files


def _read(
    files: Iterable[Path], design: Design | None, rater: str | None
) -> tuple[list[Vote], dict[str, tuple[str, ...]]]:
    votes: list[Vote] = []
    missing: dict[str, tuple[str, ...]] = {}
    trials = None if design is None else seat_trials(design)
    for file in files:
        header, _ = read_table(file, by_hand=True)
        if set(REQUIRED) <= set(header) and header != COLUMNS:
            if design is None or trials is None:
                raise UsageError(f"'{file}' is a sheet, and its study's {DESIGN_FILE} is not here")
            sheet = read_sheet(file, trials, "best-of-n" if design.mode == "best-of-n" else "side", rater)
            votes += sheet.votes
            if sheet.missing:
                missing[sheet.rater] = sheet.missing
        elif rater is not None:
            raise UsageError(f"--rater names the rater of a sheet, and '{file}' is none")
        elif header == COLUMNS:
            votes += read_votes(file)
        else:
            votes += _foreign(file, header, design)
    return votes, missing


def _foreign(file: Path, header: Sequence[str], design: Design | None) -> list[Vote]:
    columns = {column.lower() for column in header}
    for ways, read in TABLES.values():
        if any(set(way) <= columns for way in ways):
            if design is not None:
                raise UsageError(f"'{file}' holds another tool's votes; import them into a folder of their own")
            _, rows = read_table(file)
            votes = read(file, [(line, {name.lower(): text for name, text in row.items()}) for line, row in rows])
            _check(file, votes)
            return votes
    known = {"sheets": REQUIRED} | {kind: ways[0] for kind, (ways, _) in TABLES.items()}
    listed = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in known.items())
    raise UsageError(f"'{file}' has the columns {', '.join(header)}; known are {listed}; and {VOTES_FILE}")


def _check(file: Path, votes: Sequence[Vote]) -> None:
    """Raise UsageError, with the file, for names that the table of votes cannot hold."""
    try:
        votes_csv(votes)
    except UsageError as error:
        raise UsageError(f"'{file}': {error}") from None


def _new(found: Sequence[Vote], before: Sequence[Vote]) -> list[Vote]:
    """The votes that are not there yet. Raises UsageError for another answer to a trial."""
    known = {(vote.rater, vote.trial): vote for vote in before}
    added: list[Vote] = []
    for vote in found:
        key = (vote.rater, vote.trial)
        earlier = known.get(key)
        if earlier is None:
            known[key] = vote
            added.append(vote)
        elif (earlier.picture, earlier.shown, earlier.chosen) != (vote.picture, vote.shown, vote.chosen):
            raise UsageError(
                f"'{vote.rater}' answered the trial '{vote.trial}' before, and otherwise: "
                f"'{earlier.chosen}' then, '{vote.chosen}' now"
            )
    return added
