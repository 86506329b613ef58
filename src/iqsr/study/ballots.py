"""Votes as arrays: who chose what, on which picture, among which methods. All statistics count these.

A vote for one of two methods is a win. A vote for no difference is half a win for each of two (Davidson, 1970,
doi:10.1080/01621459.1970.10481082, discusses it and the alternatives), and 1/n of a choice among n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from iqsr.study.votes import NO_DIFFERENCE, Vote

Counts = NDArray[np.float64]
"""(sets, methods + 1): how often each method was chosen where that set of methods was shown; last, no difference."""


@dataclass(frozen=True)
class Ballots:
    """Votes of one study, encoded."""

    methods: tuple[str, ...]
    raters: tuple[str, ...]
    pictures: tuple[str, ...]
    sets: tuple[tuple[int, ...], ...]
    """Each set of methods that was shown together, as indices in ascending order."""
    rater: NDArray[np.intp]
    """(votes,): index in `raters`."""
    picture: NDArray[np.intp]
    """(votes,): index in `pictures`."""
    set: NDArray[np.intp]
    """(votes,): index in `sets`."""
    choice: NDArray[np.intp]
    """(votes,): index in `methods`, or their number for no difference."""

    def __len__(self) -> int:
        return len(self.choice)

    @cached_property
    def shown(self) -> NDArray[np.bool_]:
        """(sets, methods): whether a set has a method."""
        found = np.zeros((len(self.sets), len(self.methods)), bool)
        for row, members in enumerate(self.sets):
            found[row, list(members)] = True
        return found

    @cached_property
    def _cell(self) -> NDArray[np.intp]:
        return self.set * (len(self.methods) + 1) + self.choice

    def counts(self, weights: NDArray[np.float64] | None = None) -> Counts:
        """How often each method was chosen from each set. weights: of the votes, (votes,); 1 each if None."""
        shape = (len(self.sets), len(self.methods) + 1)
        return np.bincount(self._cell, weights, shape[0] * shape[1]).astype(float).reshape(shape)

    def only(self, chosen: NDArray[np.bool_]) -> Ballots:
        """The ballots of those votes, (votes,). Names stay as they are."""
        return replace(
            self,
            rater=self.rater[chosen],
            picture=self.picture[chosen],
            set=self.set[chosen],
            choice=self.choice[chosen],
        )


def encode(votes: Sequence[Vote], methods: Sequence[str]) -> Ballots:
    """Encode votes. methods: all that occur in them, in the order of the results."""
    raters = tuple(dict.fromkeys(vote.rater for vote in votes))
    pictures = tuple(dict.fromkeys(vote.picture for vote in votes))
    number = {method: index for index, method in enumerate(methods)} | {NO_DIFFERENCE: len(methods)}
    shown = [tuple(sorted(number[method] for method in vote.shown)) for vote in votes]
    sets = tuple(sorted(set(shown)))
    return Ballots(
        methods=tuple(methods),
        raters=raters,
        pictures=pictures,
        sets=sets,
        rater=_indices([vote.rater for vote in votes], raters),
        picture=_indices([vote.picture for vote in votes], pictures),
        set=_indices(shown, sets),
        choice=np.array([number[vote.chosen] for vote in votes], np.intp),
    )


def wins(counts: Counts, shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(methods, methods): how often the row was preferred to the column.

    A choice among more than two is a win over each of the others; what it says of these among themselves is nothing.
    """
    n = shown.shape[1]
    found = np.zeros((n, n))
    for row, members in zip(counts, shown, strict=True):
        found += np.outer(row[:n] + row[n] / 2, members) * members[:, None]
    np.fill_diagonal(found, 0)
    return found


def _indices(values: Sequence[object], known: Sequence[object]) -> NDArray[np.intp]:
    place = {value: index for index, value in enumerate(known)}
    return np.array([place[value] for value in values], np.intp)
