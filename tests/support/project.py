"""What pyproject.toml and constraints.txt say, and the tree of everything that iqsr's extras pull in."""

import tomllib
from collections import deque
from collections.abc import Collection, Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
CONSTRAINTS = [
    line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")
]


def pins() -> dict[NormalizedName, Requirement]:
    """The constraints for this system and version of Python."""
    lines = [line for line in map(Requirement, CONSTRAINTS) if _applies(line)]
    found = {canonicalize_name(line.name): line for line in lines}
    assert len(found) == len(lines)
    return found


def requirements(extras: Collection[str] = EXTRAS, leaves: Collection[str] = ()) -> Iterator[Requirement]:
    """Every requirement of iqsr with these extras, and of what it requires, as far as that is installed.

    leaves: packages whose own requirements are left out.
    """
    waiting = deque(("iqsr", extra) for extra in ("", *extras))
    seen = set(waiting)
    while waiting:
        for requirement in _direct(*waiting.popleft()):
            name = canonicalize_name(requirement.name)
            if name != "iqsr":
                yield requirement
            found = {(name, extra) for extra in ("", *requirement.extras)} - seen
            seen |= found
            waiting.extend(sorted(found) if name not in leaves else ())


def _direct(name: str, extra: str) -> list[Requirement]:
    if name == "iqsr":
        return [Requirement(line) for line in PROJECT["dependencies"] + EXTRAS.get(extra, [])]
    try:
        lines = [Requirement(line) for line in requires(name) or []]
    except PackageNotFoundError:
        return []
    return [line for line in lines if _applies(line, extra)]


def _applies(requirement: Requirement, extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})
