"""The folder of a run: one process at a time works in it, and it continues with the same recipe and data.

`recipe.toml` has every setting, `run.json` the run's origin and every change on the way, `data.json` names and digests
of its data. `train-quality --photos` makes data of its own, and notes its photos there: `data/photos.json`.
"""

import json
import logging
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from iqsr.errors import IqsrError, UsageError
from iqsr.io.atomic import remove_stale_parts_below, write_errors, write_text
from iqsr.io.locks import LOCK_FILE, FolderLock
from iqsr.recipes import Recipe, recipe_hash, resolved_toml
from iqsr.training.engine.checkpoints import FORMAT, Checkpoints, older_format
from iqsr.training.engine.identity import Difference, Identity, read_json
from iqsr.training.engine.settings import Change, LoopRecipe, changes, check_changes

_NOTE, _RECIPE, _DATA = "run.json", "recipe.toml", "data.json"
_PACKAGES = ("iqsr", "torch", "torchvision", "spandrel", "peft", "accelerate", "numpy")
_R = TypeVar("_R", bound=LoopRecipe)
logger = logging.getLogger(__name__)


class RunFolder:
    """A run's folder, of one process. Nothing is written before `take`.

    Args:
        path: The folder; it need not exist.
        work: `iqsr train` or another command, for the message that other processes get.
        recipe: The settings of the run.
        resume: Whether to continue the run that the folder holds.

    Raises:
        IqsrError: If another process works in the folder, or it has a run and `resume` is not set.
        UsageError: If `resume` is set and there is no run, or it is one of another recipe.
    """

    changed: Sequence[Change]
    """The settings that are not as they were."""

    def __init__(self, path: Path, work: str, recipe: Recipe, *, resume: bool) -> None:
        self.path, self.work, self.recipe, self.resume = path, work, recipe, resume
        self._lock = _lock(path, work) if (path / LOCK_FILE).exists() else None
        try:
            self.changed = _check_start(path, recipe, resume=resume)
        except BaseException:
            self.release()
            raise

    def take(self) -> None:
        """Let no other process work in the folder until `release`; the folder is made if it is missing. WriteError."""
        self._lock = self._lock or _lock(self.path, self.work)
        if not self.resume:
            _check_start(self.path, self.recipe, resume=False)  # again: now nobody else can begin there

    def release(self) -> None:
        """Let other processes work in the folder."""
        if self._lock:
            self._lock.release()

    def check_fact(
        self, name: str, now: object, problem: Callable[[Any], str], error: type[IqsrError] = IqsrError
    ) -> None:
        """Raise `error` where `run.json` notes another value of a fact. problem: makes the message of that value."""
        before = read_note(self.path).get(name)
        if self.resume and before != now:
            raise error(f"'{self.path}' holds a run {problem(before)}")

    def check_data(self, data: Identity, things: str, *, accept: bool) -> Difference:
        """Compare the run's data with `data.json`. Photos of `train-quality --photos` are compared in `make_data`.

        An item that could not be read, and was not read before, may have been repaired in any way.

        Args:
            data: The data as it is now.
            things: What its items are: `sets`.
            accept: Whether a difference is accepted.

        Raises:
            IqsrError: If there is a difference and it is not accepted.
        """
        if not self.resume or not (self.path / _DATA).exists():
            return Difference()
        before = Identity.read(self.path / _DATA)
        for name in read_note(self.path).get("unreadable", []):
            if name in before and name in data and before[name].content is None:
                before[name] = data[name]
        found = data.since(before)
        if found and not accept:
            raise IqsrError(other_data(self.path, found, f"{len(before)} {things}"))
        return found

    def write(
        self,
        *,
        left_out: Mapping[str, str],
        data: Identity | None = None,
        facts: Mapping[str, object] | None = None,
        step: int | None = None,
        changed: Mapping[str, object] | None = None,
    ) -> None:
        """Note what the run begins, or continues, with.

        Args:
            left_out: The pictures or sets that are left out, and why.
            data: Names and digests of the data; None for `train-quality --photos` (`data/photos.json` has them).
            facts: What must stay the same, for `check_fact`.
            step: How many steps were taken before.
            changed: What is changed from here on, beside settings, by name; what is empty is left out.
        """
        before = read_note(self.path)
        note: dict[str, Any] = dict(before) or {"format": FORMAT, **origin(self.recipe), **(facts or {})}
        note |= {"recipe": recipe_hash(self.recipe), "settings": self.recipe.model_dump(mode="json")}
        settings = {change.key: [change.before, change.now] for change in self.changed}
        entry = {name: what for name, what in {"settings": settings, **(changed or {})}.items() if what}
        history = [*before.get("changes", []), *([({} if step is None else {"step": step}) | entry] if entry else [])]
        note |= {"left out": dict(left_out), "changes": history}
        write_text(self.path / _RECIPE, resolved_toml(self.recipe))
        if data is not None:
            if before and (self.path / _DATA).exists():
                data = data.with_contents_of(Identity.read(self.path / _DATA))
            note["data"] = data.fingerprint
            write_text(self.path / _DATA, data.to_json() + "\n")
        _write_note(self.path, note)  # last: it makes the folder a run's

    def note_unreadable(self, name: str) -> None:
        """Note that an item of the data could not be read when it was to be learned from."""
        note = read_note(self.path)
        _write_note(self.path, note | {"unreadable": sorted({*note.get("unreadable", []), name})})


def left_out(folder: Path) -> dict[str, str]:
    """The pictures or sets that the folder's run leaves out, and why."""
    return dict(read_note(folder).get("left out", {}))


def at_least(recipe: _R, folder: Path) -> _R:
    """The recipe with as many steps as the run in `folder` has taken, where it has fewer."""
    reached = Checkpoints(folder / "checkpoints").last_whole(after=recipe.steps)
    if reached is None:
        return recipe
    logger.warning("the run has taken %d steps already, not %d: its result is that of all", reached, recipe.steps)
    return recipe.model_copy(update={"steps": reached})


def other_data(folder: Path, found: Difference, of: str) -> str:
    """The message for data that is not the run's. of: how many items the run's data has, as `12 photos`."""
    return (
        f"'{folder}' holds a run on other data: {found} of {of}; give the data as it was, names too, or add "
        "--accept-data to go on with it as it is"
    )


def origin(recipe: Recipe) -> dict[str, str]:
    """What a result comes from: hash of the recipe, versions of packages, commit of the code if it is in a clone."""
    found = {"recipe": recipe_hash(recipe), "python": platform.python_version()}
    return found | {name: _version(name) for name in _PACKAGES} | {"commit": _commit()}


def read_note(folder: Path) -> dict[str, Any]:
    """What `run.json` says, nothing where there is no run. IqsrError for a file that is damaged."""
    path = folder / _NOTE
    return read_json(path, "name another folder, or remove this one") if path.exists() else {}


def _lock(folder: Path, work: str) -> FolderLock:
    """Lock the folder, and remove what a killed process left half-written."""
    with write_errors(folder):
        lock = FolderLock(folder, work)
        remove_stale_parts_below(folder)
    return lock


def _check_start(folder: Path, recipe: Recipe, *, resume: bool) -> list[Change]:
    """Check that a run can begin in the folder, or continue there; returns the settings that are not as they were."""
    if not (folder / _NOTE).exists():
        if resume:
            raise UsageError(f"'{folder}' holds no run to go on with: leave --resume out to start one there")
        return []
    if not resume:
        raise IqsrError(f"'{folder}' holds a run: add --resume to go on with it, or name another folder")
    note = read_note(folder)
    if note.get("format") != FORMAT:
        raise older_format(folder)
    found = changes(note["settings"], recipe)
    check_changes(found, folder)
    return found


def _write_note(folder: Path, note: dict[str, Any]) -> None:
    write_text(folder / _NOTE, json.dumps(note, indent=1) + "\n")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _commit() -> str:
    root = Path(__file__).parents[4]
    if not (root / ".git").exists():  # installed, perhaps inside of somebody else's repository
        return "unknown"
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
