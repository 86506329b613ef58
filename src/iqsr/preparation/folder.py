"""The folder of a data set while it is made: its lock, the finished photos, and the change to HGGT's layout.

    DIR/prepare.json               the recipe, its hash, versions; counts once a run has ended
    DIR/.prepare/photos/*.json     a record a finished photo, written after its pictures
    DIR/.prepare/sets/<variant>/   pictures while photos are left to do
    DIR/images/0-<n-1>/<variant>/  the same folder at the end of a run
    DIR/index.parquet              a row a picture

A picture belongs to the data set when its photo has a record. What a killed run left without one is removed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

from iqsr.datasets import SetName
from iqsr.errors import IqsrError, UsageError
from iqsr.io.atomic import remove_stale_parts, write_text
from iqsr.io.locks import locked
from iqsr.io.places import read_whole

State = Literal["kept", "too small", "nothing kept"]


@dataclass(frozen=True)
class PhotoRecord:
    """A finished photo."""

    image: str
    """its name in the names of its sets"""
    sha256: str
    """of the photo's file"""
    width: int
    """in pixels, as it was cut: after `longest`"""
    height: int
    state: State
    """`nothing kept`: no place for a patch, or none with contrast and detail"""
    sets: list[tuple[int, int]]
    """row and column of each"""
    scores: dict[str, list[list[float]]]
    """metric -> one list a set, one score a variant"""

    @property
    def names(self) -> list[str]:
        """Names of its sets."""
        return [str(SetName(self.image, row, column)) for row, column in self.sets]


@dataclass(frozen=True)
class SetFolder:
    """One data set's folder. Made by `claimed`."""

    path: Path
    variants: tuple[str, ...]

    @property
    def facts(self) -> Path:
        """Recipe, versions, counts."""
        return self.path / "prepare.json"

    @property
    def index(self) -> Path:
        """The table of all pictures."""
        return self.path / "index.parquet"

    @property
    def work(self) -> Path:
        """Where pictures are written."""
        return self.path / ".prepare" / "sets"

    @property
    def finished(self) -> Path | None:
        """Where pictures are after a run, None while there is work or where there are none."""
        found = sorted((self.path / "images").glob("0-*"))
        return found[0] if found else None

    def picture(self, name: str, variant: str) -> Path:
        """Path of one picture below the folder of the variants."""
        return Path(variant) / (f"{name}.png" if variant == self.variants[0] else f"{name}_{variant}.png")

    def records(self) -> dict[str, PhotoRecord]:
        """All photos that are finished, by image. IqsrError for a record that cannot be read, or is not its photo's."""
        found: dict[str, PhotoRecord] = {}
        for path in sorted(self._records.glob("*.json")):
            data = _json(path)
            try:
                sets = [(int(row), int(column)) for row, column in data.pop("sets")]
                record = PhotoRecord(**data, sets=sets)
                is_named_so = normalize("NFC", record.image) == normalize("NFC", path.stem)
            except (KeyError, TypeError, ValueError) as error:
                raise IqsrError(f"cannot read '{path}' ({error}); remove it and run again") from None
            if not is_named_so:  # its pictures would be written under names that lead anywhere
                raise IqsrError(f"'{path}' is of another photo, '{record.image}'; remove it and run again")
            found[record.image] = record
        return found

    def commit(self, record: PhotoRecord) -> None:
        """Make the photo's pictures part of the data set."""
        write_json(self._records / f"{record.image}.json", asdict(record))

    def begin(self, records: Mapping[str, PhotoRecord]) -> None:
        """Get ready for more photos. Pictures of photos without a record are removed."""
        self.index.unlink(missing_ok=True)
        if self.finished is not None:
            if (self.path / "labels").exists():
                raise UsageError(f"'{self.path}' has labels of people; give more photos a folder of their own")
            self.finished.rename(self.work)
        for variant in self.variants:
            folder = self.work / variant
            folder.mkdir(parents=True, exist_ok=True)
            remove_stale_parts(folder)
            for file in folder.iterdir():
                image = _image_of(file, variant)
                if image is not None and image not in records:
                    file.unlink()

    def end(self, sets: int) -> Path:
        """Give the pictures their place as images/0-<n-1>."""
        if self.finished is not None:
            return self.finished
        place = self.path / "images" / f"0-{sets - 1}"
        place.parent.mkdir(exist_ok=True)
        self.work.rename(place)
        return place

    @property
    def _records(self) -> Path:
        return self.path / ".prepare" / "photos"


@contextmanager
def claimed(path: Path, variants: tuple[str, ...], identity: Mapping[str, Any]) -> Generator[SetFolder]:
    """The folder for one run at a time. identity: what `prepare.json` says of the recipe; `recipe_hash` and
    `models` (the content of those that are files) must agree with what is there.

    UsageError where the folder holds something else or another recipe's sets; IqsrError where another run is in it.
    A recipe that gave no set, for it failed or kept no patch, leaves the folder to the next.
    """
    folder = SetFolder(path, variants)
    _check_kind(folder)
    hidden = path / ".prepare"
    (hidden / "photos").mkdir(parents=True, exist_ok=True)
    with locked(path, "iqsr prepare", ".prepare/lock"):
        for place in (path, hidden / "photos"):
            remove_stale_parts(place)
        if not folder.facts.exists() or _is_of_another_recipe(folder, identity):
            for leftovers in (hidden / "photos", folder.work):
                shutil.rmtree(leftovers, ignore_errors=True)
            (hidden / "photos").mkdir()
            write_json(folder.facts, identity)
        yield folder


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    write_text(path, json.dumps(data, indent=1) + "\n")


def _check_kind(folder: SetFolder) -> None:
    path = folder.path
    if path.exists() and not path.is_dir():
        raise UsageError(f"'{path}' is a file; name a folder")
    if not folder.facts.exists() and path.exists() and any(not p.name.startswith(".") for p in path.iterdir()):
        raise UsageError(f"'{path}' has files that `iqsr prepare` did not make; choose another folder")


def _is_of_another_recipe(folder: SetFolder, identity: Mapping[str, Any]) -> bool:
    """UsageError where that recipe has made sets."""
    known = _json(folder.facts)
    if all(known.get(key) == identity[key] for key in ("recipe_hash", "models")):
        return False
    if folder.finished is not None or any(record.sets for record in folder.records().values()):
        raise UsageError(f"'{folder.path}' was prepared with another recipe; choose another folder, or remove it")
    return True


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(read_whole(path))
    except (OSError, ValueError) as error:
        raise IqsrError(f"cannot read '{path}' ({error}); remove it and run again") from None


def _image_of(file: Path, variant: str) -> str | None:
    """The photo a picture is of; None for files of other names, which are left alone."""
    try:
        return SetName.parse(file.stem.removesuffix(f"_{variant}")).image
    except UsageError:
        return None
