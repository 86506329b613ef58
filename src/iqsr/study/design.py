"""The design of a study: who sees which pictures, in which order, on which side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from iqsr.errors import UsageError
from iqsr.io.atomic import write_text
from iqsr.io.places import is_file_name, read_whole

Mode = Literal["slider", "side", "flicker", "best-of-n"]
"""How pictures are shown: under one slider, side by side, in turn at one place, or all methods at once."""
Pairing = Literal["balanced", "asap"]
"""How pairs of methods are chosen: equally often, or those that are expected to tell most after the votes so far."""
Kind = Literal["vote", "attention", "repeat"]
"""What a trial is for: a vote that counts, a check that the rater looks, or an earlier trial shown again."""
ATTENTION = "(degraded)"
"""The method name of degraded copies in attention checks. Whoever looks does not choose it."""
INPUT = "(input)"
"""The method name of the low-resolution picture, where the study shows it. Nobody chooses it."""
DESIGN_FILE = "design.json"
PICTURES_FOLDER = "pictures"
_FORMAT = 1
"""Of `design.json`. A reader refuses a file with a higher number."""


@dataclass(frozen=True)
class Trial:
    """One question to one rater."""

    id: str
    """Unique in the study."""
    picture: str
    """Name of the scene, the same for all methods."""
    shown: tuple[str, ...]
    """Methods in the order of display: left and right, or all in best-of-n mode."""
    kind: Kind = "vote"


@dataclass(frozen=True)
class Seat:
    """A place for one rater: the trials, in their order. Empty until its rater comes, where pairing is active."""

    name: str
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Design:
    """Everything that was decided before the first vote. The same seed gives the same design."""

    seed: int
    mode: Mode
    pairing: Pairing
    methods: tuple[str, ...]
    pictures: tuple[str, ...]
    trials_per_seat: int
    """Of kind `vote`; attention checks and repeats come on top."""
    seats: tuple[Seat, ...]
    files: Mapping[str, Mapping[str, str]]
    """Picture -> method -> name of the file in the folder `pictures` of the study."""
    attention_checks: int = 0
    """In each seat."""
    repeats: int = 0
    """In each seat."""


def write_design(design: Design, study: Path) -> None:
    """Write `design.json` into the folder of a study, whole or not at all. Raises WriteError."""
    write_text(study / DESIGN_FILE, design_json(design))


def design_json(design: Design) -> str:
    """The design as JSON, a line for each seat's trial."""
    document: dict[str, Any] = {"format": _FORMAT} | asdict(design)
    seats = document.pop("seats")
    head = json.dumps(document, indent=1, ensure_ascii=False)
    lines = ",\n".join(_seat_json(seat) for seat in seats)
    return f'{head[:-2]},\n "seats": [\n{lines}\n ]\n}}\n'


def read_design(study: Path) -> Design:
    """Read `design.json` from the folder of a study.

    Raises:
        UsageError: The folder is no study, or the file is damaged or of a later version. One line.
    """
    from pydantic import TypeAdapter, ValidationError

    file = study / DESIGN_FILE
    try:
        text = read_whole(file).decode()
    except FileNotFoundError:
        raise UsageError(f"'{study}' is no study: it has no {DESIGN_FILE}; make one: iqsr study create") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read '{file}': {getattr(error, 'strerror', None) or 'it is no text'}") from None
    try:
        document: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"'{file}' is no JSON: {error}") from None
    format = document.pop("format", None) if isinstance(document, dict) else None
    if format != _FORMAT:
        raise UsageError(f"'{file}' has format {format}, and this version of iqsr reads format {_FORMAT}")
    try:
        design = TypeAdapter(Design).validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"'{file}' is damaged: {where}: {first['msg']}") from None
    for name in _file_names(design):
        if not is_file_name(name):
            raise UsageError(f"'{file}' is damaged: '{name}' is no name for a file")
    return design


def _file_names(design: Design) -> Iterator[str]:
    """What files and folders are called by: seats and trials in sheets, and the files of pictures."""
    for seat in design.seats:
        yield seat.name
        yield from (trial.id for trial in seat.trials)
    for files in design.files.values():
        yield from files.values()


def _seat_json(seat: dict[str, Any]) -> str:
    trials = ",\n".join(f"   {json.dumps(trial, ensure_ascii=False)}" for trial in seat["trials"])
    inside = f"\n{trials}\n  " if trials else ""
    return f'  {{"name": {json.dumps(seat["name"])}, "trials": [{inside}]}}'
