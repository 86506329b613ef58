"""What a run tells: JSON lines, TensorBoard, and a note of where its results come from."""

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from iqsr.recipes import Recipe, recipe_hash
from iqsr.training.log_file import LogFile
from iqsr.training.sr.curves import Curves

_PACKAGES = ("iqsr", "torch", "torchvision", "spandrel", "peft", "accelerate", "numpy")


class Log:
    """The log of one run in its folder; only the first process has one.

    done: steps that were taken before; what a killed run logged after them is removed.
    """

    def __init__(self, folder: Path, done: int) -> None:
        self._lines = LogFile(folder / "log.jsonl")
        self._lines.cut_back(done)
        self._curves = Curves(folder / "tensorboard", done)

    def write(self, step: int, group: str, figures: Mapping[str, float]) -> None:
        """One line, and a point of each curve. group: `train`, `validation`. WriteError."""
        self._lines.write({"step": step, "group": group}, figures)
        self._curves.draw(step, {f"{group}/{name}": value for name, value in figures.items()})


def origin(recipe: Recipe) -> dict[str, str]:
    """What a result comes from: hash of the recipe, versions of packages, commit of the code if it is in a clone."""
    found = {"recipe": recipe_hash(recipe), "python": platform.python_version()}
    return found | {name: version(name) for name in _PACKAGES} | {"commit": _commit()}


def _commit() -> str:
    root = Path(__file__).parents[4]
    if not (root / ".git").exists():  # installed, perhaps inside of somebody else's repository
        return "unknown"
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
