"""Checkpoints: they hold everything, appear whole, and are known to be whole and finite before they are used."""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from iqsr.errors import IqsrError
from iqsr.finite import NotFiniteError, first_not_finite
from iqsr.io.atomic import atomic_open, write_text
from iqsr.io.places import read_whole

KEPT = 2
FORMAT = 3
"""Version of checkpoints, and of all else in a run's folder."""
OTHERS = "others"
"""The part of a loaded state with the states of the processes after the first."""
LEARNED = ("weights", "average", "optimizer", "discriminator", "halfway")
"""The parts of a state in which every number must be finite."""
_LOOKS_LIKE_ONE = "step-*.ckpt"
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, RecursionError)
"""What reading a note may raise."""
_NAME = re.compile(r"step-([0-9]+)-rank([0-9]+)\.ckpt")
logger = logging.getLogger(__name__)


def older_format(folder: Path) -> IqsrError:
    """The error for a run that another version of iqsr began."""
    return IqsrError(
        f"'{folder}' holds a run of another version of iqsr: continue it with that version, or name another folder"
    )


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run: a file for each step and process, and beside it a note with its SHA-256.

    The file of the first process has all that the processes share. A checkpoint of any number of processes can be
    loaded by any number.

    rank, ranks: the number of this process, and how many there are.
    """

    folder: Path
    rank: int = 0
    ranks: int = 1

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write this process's state after `step` steps, whole or not at all.

        Raises:
            NotFiniteError: For a state that is not finite in what was learned. It is never written.
            WriteError: If the disk does not take it.
        """
        if (name := first_learned_not_finite(state)) is not None:
            raise NotFiniteError(f"{name} is not finite after step {step}: no checkpoint was written")
        path = self._path(step, self.rank)
        is_new = not path.exists()
        try:
            with atomic_open(path) as file:
                torch.save(state, file)
            note = {"format": FORMAT, "sha256": _sha256(path), "size": path.stat().st_size, "ranks": self.ranks}
            write_text(_note(path), json.dumps(note))  # last: without its note a checkpoint does not count
        except BaseException:
            if is_new:
                self.remove(step)
            raise

    def remove(self, step: int) -> None:
        """Delete this process's checkpoint of a step, if there is one."""
        self._remove(step, self.rank)

    def _remove(self, step: int, rank: int) -> None:
        for file in (_note(self._path(step, rank)), self._path(step, rank)):
            file.unlink(missing_ok=True)

    def keep_last(self, done: int) -> None:
        """Delete all but the last two of this process's checkpoints; the first also those of processes of before.

        One counts as one of the two if the files of all its processes have the sizes that their notes say. Where this
        process's own file has not, the checkpoint is deleted. Those of later steps than the run has done stay, and do
        not count: it goes on from before them because they are damaged.
        """
        past = [step for step in self.steps() if step <= done]
        counted = [step for step in past if self._has_its_sizes(step)]
        oldest = counted[-KEPT] if len(counted) >= KEPT else 0
        for step in past:
            if step < oldest or not self._has_its_size(self._path(step, self.rank)):
                self.remove(step)
        if self.rank == 0:
            kept = self.steps()
            for step, rank in list(self._parts()):
                if step not in kept and rank >= self.ranks:
                    self._remove(step, rank)

    def steps(self) -> list[int]:
        """The steps of which this process has a checkpoint, oldest first; whole or not."""
        return sorted(step for step, rank in self._parts() if rank == self.rank)

    def last_whole(self, after: int = 0) -> int | None:
        """The last step above `after` whose checkpoint is whole, of all processes; None where there is none."""
        return next((step for step in reversed(self.steps()) if step > after and self._is_whole(step)), None)

    def _parts(self) -> Iterator[tuple[int, int]]:
        """Step and process of each file that can be one of `save`; whole or not."""
        return (part for path in self.folder.glob(_LOOKS_LIKE_ONE) if (part := self._part(path)) is not None)

    def _part(self, path: Path) -> tuple[int, int] | None:
        """Step and process of a file; None for names that `save` gives none, and for what is no file."""
        if (said := _NAME.fullmatch(path.name)) is None:
            return None
        step, rank = int(said[1]), int(said[2])
        return (step, rank) if path == self._path(step, rank) and path.is_file() else None

    def load(self, everywhere: Callable[[bool], bool] = bool) -> tuple[int, dict[str, Any]] | None:
        """Step and state of the last checkpoint that is whole and finite in every process; None where there is none.

        The state is that of the first process; its part `OTHERS` lists those of the others. Checkpoints that are not
        whole and finite are passed over with a warning, and so is what only looks like a checkpoint. A first checkpoint
        amid whose writing the run was killed is none.

        Args:
            everywhere: Whether a condition holds in every process.

        Raises:
            IqsrError: If there are checkpoints but none can be used, or they are of another version.
        """
        for path in sorted(self.folder.glob(_LOOKS_LIKE_ONE)):
            if self._part(path) is None:
                logger.warning("'%s' is no checkpoint of this run: it is passed over", path)
        steps = sorted({step for step, _ in self._parts()})
        for step in reversed(steps):  # of any process, so that all of them try the same ones
            why = "damaged or incomplete"
            if everywhere(self._is_whole(step)):
                state, fault = self._read(step)
                why = fault or "not usable in another process"
                if everywhere(fault is None):
                    assert state is not None
                    return step, state
            logger.warning("the checkpoint of step %d is %s: using the one before", step, why)
        if len(steps) == 1 and everywhere(not self._is_finished(steps[0])):
            logger.warning("the run was killed amid its first checkpoint, of step %d: it starts anew", steps[0])
            return None
        if steps:
            raise IqsrError(f"{self.folder}: no checkpoint is whole and finite; remove the run's folder to start anew")
        return None

    def _read(self, step: int) -> tuple[dict[str, Any] | None, str | None]:
        """The state, or what is wrong with it. Nothing in the files is executed."""
        paths = [self._path(step, rank) for rank in range(self._ranks_of(step))]
        try:
            state = torch.load(paths[0], map_location="cpu", weights_only=True)
            # Mapped: of the others each process needs little.
            others = [torch.load(path, map_location="cpu", weights_only=True, mmap=True) for path in paths[1:]]
        except UnpicklingError:
            return None, "more than tensors and plain values, and could run code"
        except Exception as error:  # noqa: BLE001 - of what torch has not written, its reader raises almost any
            return None, f"not one that torch has written ({type(error).__name__})"
        if not all(isinstance(part, dict) for part in (state, *others)):
            return None, "not one of a training"
        name = first_learned_not_finite(state)
        return state | {OTHERS: others}, f"not finite ({name})" if name else None

    def _ranks_of(self, step: int) -> int:
        """How many processes wrote the checkpoint, as the first one notes. Raises what reading the note raises."""
        note = _read_note(self._path(step, 0))
        if note.get("format") != FORMAT:
            raise older_format(self.folder.parent)
        return int(note["ranks"])

    def _is_finished(self, step: int) -> bool:
        try:
            return all(_note(self._path(step, rank)).exists() for rank in range(self._ranks_of(step)))
        except _UNREADABLE:
            return False

    def _is_whole(self, step: int) -> bool:
        try:
            ranks = self._ranks_of(step)
            return all(self._is_whole_part(self._path(step, rank), ranks) for rank in range(ranks))
        except _UNREADABLE:
            return False

    def _is_whole_part(self, path: Path, ranks: int) -> bool:
        note = _read_note(path)
        whole = path.stat().st_size == note["size"] and _sha256(path) == note["sha256"]
        return whole and note["ranks"] == ranks and note["format"] == FORMAT

    def _has_its_sizes(self, step: int) -> bool:
        """Whether the files of all processes have their sizes; unlike `_is_whole`, their content is not read."""
        try:
            ranks = int(_read_note(self._path(step, 0))["ranks"])
        except _UNREADABLE:
            return False
        return all(self._has_its_size(self._path(step, rank)) for rank in range(ranks))

    def _has_its_size(self, path: Path) -> bool:
        try:
            return path.stat().st_size == _read_note(path)["size"]
        except _UNREADABLE:
            return False

    def _path(self, step: int, rank: int) -> Path:
        return self.folder / f"step-{step:08d}-rank{rank}.ckpt"


def check_network(folder: Path, weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """IqsrError, which names the first difference, for a checkpoint's weights that are not those of the run's network.

    Args:
        folder: The run's folder.
        weights: The checkpoint's, by name.
        own: The network's that learn, by name.
    """
    given, wanted = ({name: tuple(t.shape) for name, t in tensors.items()} for tensors in (weights, own))
    if given == wanted:
        return
    name = next(name for name in (*wanted, *given) if given.get(name) != wanted.get(name))
    there, here = (str(shapes.get(name, "not there")) for shapes in (given, wanted))
    raise IqsrError(
        f"'{folder}' holds checkpoints of another network: weights '{name}' are {there} in them, {here} in the "
        "recipe's network; give the network that the run began with, or name another folder"
    )


def first_learned_not_finite(state: dict[str, Any]) -> str | None:
    """The name of the first number that was learned and is not finite, or None."""
    return first_not_finite({part: state[part] for part in LEARNED if part in state})


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _read_note(path: Path) -> dict[str, Any]:
    """The note beside a checkpoint. Raises one of `_UNREADABLE` where there is none."""
    note = json.loads(read_whole(_note(path)))
    if not isinstance(note, dict):
        raise ValueError("no JSON object")
    return note


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
