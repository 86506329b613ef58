"""The design of a study: who sees which pictures, in which order, on which side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Mode = Literal["slider", "side", "flicker", "best-of-n"]
"""How pictures are shown: under one slider, side by side, in turn at one place, or all methods at once."""
Pairing = Literal["balanced", "asap"]
"""How pairs of methods are chosen: equally often, or those that are expected to tell most after the votes so far."""
Kind = Literal["vote", "attention", "repeat"]
"""What a trial is for: a vote that counts, a check that the rater looks, or an earlier trial shown again."""
ATTENTION = "(degraded)"
"""The method name of degraded copies in attention checks. Whoever looks does not choose it."""


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
    seats: tuple[Seat, ...]
    files: Mapping[str, Mapping[str, str]]
    """Picture -> method -> name of the file in the folder `pictures` of the study."""
