"""A run's folder: who may begin there or go on, what is noted of the run, and what was changed on the way."""

import logging
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iqsr.errors import IqsrError, UsageError
from iqsr.io.atomic import write_text
from iqsr.recipes import resolved_toml
from iqsr.training.identity import Difference, Identity
from iqsr.training.note import NOTE, read_note, write_note
from iqsr.training.resume import Change, changes, check_changes
from iqsr.training.sr.checkpoint import Checkpoints
from iqsr.training.sr.data import Sets
from iqsr.training.sr.log import origin
from iqsr.training.sr.recipe import TrainRecipe

logger = logging.getLogger(__name__)

_RECIPE, _DATA = "recipe.toml", "data.json"


def check_free(folder: Path, recipe: TrainRecipe, *, resume: bool) -> list[Change]:
    """See that a run can begin in the folder, or that the same run goes on there; nothing is written.

    Returns the settings that are not as they were. IqsrError where the folder has a run and `resume` is not asked for;
    UsageError where `resume` is asked for and there is none, or the run is of another recipe.
    """
    if not (folder / NOTE).exists():
        if resume:
            raise UsageError(f"'{folder}' holds no run to go on with: leave --resume out to start one there")
        return []
    if not resume:
        raise IqsrError(f"'{folder}' holds a run: add --resume to go on with it, or name another folder")
    found = changes(_settings(folder), recipe)
    check_changes(found, folder)
    return found


def at_least(recipe: TrainRecipe, folder: Path) -> TrainRecipe:
    """With as many steps as the folder's run has taken, where the recipe has fewer."""
    reached = max(Checkpoints(folder / "checkpoints").steps(), default=0)
    if reached <= recipe.steps:
        return recipe
    logger.warning("the run has taken %d steps already, not %d: its result is that of all", reached, recipe.steps)
    return recipe.model_copy(update={"steps": reached})


def left_out(folder: Path) -> dict[str, str]:
    """The sets that the folder's run leaves out, and why."""
    return dict(read_note(folder).get("left out", {}))


def check_data(folder: Path, sets: Sets, *, accept: bool) -> Difference:
    """What the folder's run learned from that is not as it was: nothing, where `accept` does not ask for it.

    Of a set whose picture could not be read, and was not read before, any repair will do. IqsrError where there is a
    difference.
    """
    if not (folder / _DATA).exists():  # older runs do not say
        return Difference()
    before = Identity.read(folder / _DATA)
    for name in read_note(folder).get("unreadable", []):
        if name in before and name in sets.identity and before[name].content is None:
            before[name] = sets.identity[name]
    found = sets.identity.since(before)
    if found and not accept:
        raise IqsrError(
            f"'{folder}' holds a run on other data: {found} of {len(before)} sets; give --data as it was, or add "
            "--accept-data to go on with it as it is"
        )
    return found


def check_processes(folder: Path, processes: int) -> None:
    """IqsrError where another number of processes than the folder's run has is to go on with it."""
    began = read_note(folder).get("processes", processes)  # older runs do not say
    if began != processes:
        raise IqsrError(
            f"'{folder}' holds a run of {began} processes, now there are {processes}: start as many "
            f"(torchrun --nproc_per_node {began} -m iqsr train ...)"
        )


def check_base(folder: Path, base: str | None, name: str) -> None:
    """IqsrError where the folder's run has adapters on other weights. base: hash of those now; name: what they are."""
    began = read_note(folder).get("base", base)  # older runs do not say
    if began != base:
        raise IqsrError(
            f"'{folder}' holds a run of adapters on other weights: model.start = '{name}' is not what it was; "
            "give the network that the run began with, or name another folder"
        )


def begin(folder: Path, recipe: TrainRecipe, sets: Sets, processes: int, base: str | None) -> None:
    """Make a new run of the folder. processes: how many learn together; base: hash of the weights below adapters."""
    check_free(folder, recipe, resume=False)  # again: now that nobody else works there
    note = origin(recipe) | {"processes": processes} | ({"base": base} if base else {})
    _write(folder, recipe, sets, note, [])


def go_on(
    folder: Path, recipe: TrainRecipe, sets: Sets, step: int, settings: Sequence[Change], data: Difference, looks: bool
) -> None:
    """Note what a run goes on with from `step` on. looks: validations are of other photos than before."""
    note = read_note(folder)
    entry: dict[str, Any] = {"settings": {c.key: [c.before, c.now] for c in settings}} if settings else {}
    entry |= {"data": data.note()} if data else {}
    entry |= {"validation": "other photos, or measured otherwise"} if looks else {}
    history = [*note.get("changes", []), *([{"step": step} | entry] if entry else [])]
    _write(folder, recipe, sets, note | {"recipe": origin(recipe)["recipe"]}, history)


def note_unreadable(folder: Path, name: str) -> None:
    """Note that a set's picture could not be read when it was to be learned from."""
    note = read_note(folder)
    note |= {"unreadable": sorted({*note.get("unreadable", []), name})}
    write_note(folder, note)


def _write(
    folder: Path, recipe: TrainRecipe, sets: Sets, note: Mapping[str, Any], history: Sequence[dict[str, Any]]
) -> None:
    identity = sets.identity
    if read_note(folder) and (folder / _DATA).exists():
        identity = identity.knowing(Identity.read(folder / _DATA))
    about: dict[str, Any] = {"data": identity.fingerprint, "settings": recipe.model_dump(mode="json")}
    about |= {"left out": sets.left_out, "changes": history}
    write_text(folder / _RECIPE, resolved_toml(recipe))
    write_text(folder / _DATA, identity.to_json() + "\n")
    write_note(folder, dict(note) | about)  # last: it makes the folder a run's


def _settings(folder: Path) -> dict[str, Any]:
    """Those of the folder's run, as they were last."""
    return read_note(folder).get("settings") or tomllib.loads((folder / _RECIPE).read_text())  # older runs: the file
