"""What a run tells: JSON lines, TensorBoard, and a note of where its results come from."""

import json
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from iqsr.errors import IqsrError, UsageError
from iqsr.recipes import Recipe, recipe_hash, resolved_toml

_PACKAGES = ("iqsr", "torch", "torchvision", "spandrel", "peft", "accelerate", "numpy")
_NOTE = "run.json"


class Log:
    """The log of one run in its folder; only the first process has one. Appends, also when a run goes on."""

    def __init__(self, folder: Path) -> None:
        self._lines = folder / "log.jsonl"
        self._board = SummaryWriter(str(folder / "tensorboard"))

    def write(self, step: int, group: str, figures: Mapping[str, float]) -> None:
        """One line, and a point of each curve. group: `train`, `validation`."""
        with self._lines.open("a") as file:
            rounded = {name: float(f"{value:.6g}") for name, value in figures.items()}
            file.write(json.dumps({"step": step, "group": group} | rounded) + "\n")
        for name, value in figures.items():
            self._board.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        """Write what is left to TensorBoard."""
        self._board.close()


def origin(recipe: Recipe) -> dict[str, str]:
    """What a result comes from: hash of the recipe, versions of packages, commit of the code if it is in a clone."""
    found = {"recipe": recipe_hash(recipe), "python": platform.python_version()}
    return found | {name: version(name) for name in _PACKAGES} | {"commit": _commit()}


def claim(folder: Path, recipe: Recipe, data: str, *, resume: bool) -> None:
    """Make the run's folder with recipe and origin in it; nothing where the run goes on.

    data: `Sets.fingerprint` of what is learned from. Errors: `check_free`'s, IqsrError where the run has other data.
    """
    check_free(folder, recipe, resume=resume)
    if resume:
        there = json.loads((folder / _NOTE).read_text()).get("data", data)  # older runs do not say
        if there != data:
            raise IqsrError(f"'{folder}' holds a run on other data ({there}): give --data as it was")
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.toml").write_text(resolved_toml(recipe))
    (folder / _NOTE).write_text(json.dumps(origin(recipe) | {"data": data}, indent=1) + "\n")


def check_free(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    """See that a run can begin in the folder, or that the same run goes on there; nothing is written.

    IqsrError where the folder has a run and `resume` is not asked for, or has the run of another recipe; UsageError
    where `resume` is asked for and there is none.
    """
    note = folder / _NOTE
    if not note.exists():
        if resume:
            raise UsageError(f"'{folder}' holds no run to go on with: leave --resume out to start one there")
        return
    if not resume:
        raise IqsrError(f"'{folder}' holds a run: add --resume to go on with it, or name another folder")
    there = json.loads(note.read_text())["recipe"]
    if there != recipe_hash(recipe):
        raise IqsrError(f"'{folder}' holds a run of another recipe ({there}): name another folder")


def _commit() -> str:
    root = Path(__file__).parents[4]
    if not (root / ".git").exists():  # installed, perhaps inside of somebody else's repository
        return "unknown"
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
