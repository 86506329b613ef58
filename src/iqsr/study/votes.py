"""Votes: one row for each answered trial. The server, the sheets, the import and the analysis exchange this table."""

from __future__ import annotations

from dataclasses import dataclass

from iqsr.study.design import Kind, Mode

NO_DIFFERENCE = ""
"""What `chosen` holds where a rater saw no difference."""


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
    """How clear the preference was, where the rater was asked: barely, clearly, strongly."""
