"""Checkpoints that hold everything, appear whole, and are known to be whole before they are used."""

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from iqsr.errors import IqsrError

KEPT = 2
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run: a file a step and process, each with its SHA-256 in a file beside it."""

    folder: Path
    rank: int = 0
    ranks: int = 1

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write this process's state after `step` steps, and forget all but the last two of its checkpoints."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(step, self.rank)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        torch.save(state, part)
        note = json.dumps({"sha256": _sha256(part), "size": part.stat().st_size, "ranks": self.ranks})
        part.replace(path)
        note_part = path.with_name(f".{path.name}.{os.getpid()}.note")
        note_part.write_text(note)
        note_part.replace(_note(path))  # last: without its note a checkpoint does not count
        for old in self.steps()[:-KEPT]:
            for file in (_note(self._path(old, self.rank)), self._path(old, self.rank)):
                file.unlink(missing_ok=True)

    def steps(self) -> list[int]:
        """The steps of which this process has a checkpoint, oldest first; whole or not."""
        return sorted(int(p.name.split("-")[1]) for p in self.folder.glob(f"step-*-rank{self.rank}.ckpt"))

    def load(self) -> tuple[int, dict[str, Any]] | None:
        """Step and state of the last checkpoint that is whole for every process; None where there is none at all.

        Those that are not are passed over with a warning. IqsrError where there are some but none is whole.
        """
        steps = self.steps()
        for step in reversed(steps):
            if all(self._is_whole(step, rank) for rank in range(self.ranks)):
                return step, torch.load(self._path(step, self.rank), map_location="cpu", weights_only=True)
            logger.warning("the checkpoint of step %d is damaged or incomplete: using the one before", step)
        if steps:
            raise IqsrError(f"{self.folder}: no checkpoint is whole; remove the folder to start anew")
        return None

    def _is_whole(self, step: int, rank: int) -> bool:
        path = self._path(step, rank)
        try:
            note = json.loads(_note(path).read_text())
            if note["ranks"] != self.ranks:
                raise IqsrError(f"{self.folder}: the run had {note['ranks']} processes, now there are {self.ranks}")
            return path.stat().st_size == note["size"] and _sha256(path) == note["sha256"]
        except (OSError, ValueError, KeyError):
            return False

    def _path(self, step: int, rank: int) -> Path:
        return self.folder / f"step-{step:08d}-rank{rank}.ckpt"


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
