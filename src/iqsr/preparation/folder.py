"""The folder of a data set while it is made: its lock, the finished photos, and the change to HGGT's layout.

    DIR/prepare.json               the recipe, its hash, versions; counts once a run has ended
    DIR/.prepare/photos/*.json     a record a finished photo, written after its pictures
    DIR/.prepare/sets/<variant>/   pictures while photos are left to do
    DIR/images/0-<n-1>/<variant>/  the same folder at the end of a run
    DIR/index.parquet              a row a picture

A picture belongs to the data set when its photo has a record. What a killed run left without one is removed.

The folder may be in a store, which cannot rename folders. Pictures are then made on this disk and sent, before the
record of their photo, and each is moved inside the store at the end: after a stop, some may be in either folder.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast
from unicodedata import normalize

from iqsr.datasets import SetName
from iqsr.errors import IqsrError, UsageError
from iqsr.io.atomic import remove_stale_parts, write_text
from iqsr.io.locks import locked
from iqsr.io.places import read_whole
from iqsr.io.remote import fetch, fetch_all, files_below, is_there, kind_of, names_in, refresh
from iqsr.io.sending import is_part_in_store, move_folder, remove, remove_folder
from iqsr.io.sending import send as send_file
from iqsr.io.stores import check_writable
from iqsr.io.threads import in_threads
from iqsr.io.urls import place_here, url_of

State = Literal["kept", "too small", "nothing kept"]
_JOINING = "joining"
"""Marks that a merge into a store is not over: a file beside the pictures that are left to do."""


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
    mark: str | None = None
    """what a store says of the photo's content, see `mark_of`; None for one on a disk"""

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
        ended = self._ended()
        return ended[0] if ended and not names_in(self.work) else None

    def _ended(self) -> list[Path]:
        """The folders of pictures of runs that have ended; in a store, also of one that was stopped at the end."""
        folder = self.path / "images"
        return [folder / name for name in sorted(names_in(folder)) if name.startswith("0-")]

    @property
    def here(self) -> SetFolder:
        """The folder on this disk in which pictures and records are made: this one, unless it is in a store."""
        return self if url_of(self.path) is None else SetFolder(place_here(self.path), self.variants)

    def picture(self, name: str, variant: str) -> Path:
        """Path of one picture below the folder of the variants."""
        return Path(variant) / (f"{name}.png" if variant == self.variants[0] else f"{name}_{variant}.png")

    def records(self) -> dict[str, PhotoRecord]:
        """All photos that are finished, by image. IqsrError for a record that cannot be read, or is not its photo's."""
        found: dict[str, PhotoRecord] = {}
        for path in self._record_files():
            fetch(path)
            data = _json(path, "remove it and run again")
            try:
                sets = [(int(row), int(column)) for row, column in data.pop("sets")]
                record = PhotoRecord(**data, sets=sets)
                is_named_so = normalize("NFC", record.image) == normalize("NFC", path.stem)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise IqsrError(f"cannot read '{path}' ({error}); remove it and run again") from None
            if not is_named_so:  # its pictures would be written under names that lead anywhere
                raise IqsrError(f"'{path}' is of another photo, '{record.image}'; remove it and run again")
            found[record.image] = record
        return found

    def _record_files(self) -> list[Path]:
        if url_of(self.path) is None:
            return sorted(self._records.glob("*.json"))
        files = [path for path in files_below(self._records) if path.suffix == ".json"]
        fetch_all(files)
        return files

    def commit(self, record: PhotoRecord) -> None:
        """Make the photo's pictures part of the data set."""
        facts = asdict(record)
        if record.mark is None:
            del facts["mark"]
        write_json(self._record_of(record), facts)

    def _record_of(self, record: PhotoRecord) -> Path:
        return self._records / f"{record.image}.json"

    def send(self, record: PhotoRecord) -> None:
        """Send what was made of a photo in `here` to the store, the record last. Nothing on a disk, where it is."""
        here = self.here
        if here.path == self.path:
            return
        pictures = [self.picture(name, variant) for name in record.names for variant in self.variants]
        in_threads(lambda picture: send_file(here.work / picture, self.work / picture), pictures)
        self.commit(record)
        for file in (*(here.work / picture for picture in pictures), here._record_of(record)):
            file.unlink()

    def begin(self, records: Mapping[str, PhotoRecord]) -> None:
        """Get ready for more photos. Pictures of photos without a record are removed. Raises as `check_unlabelled`."""
        self.check_unlabelled()
        remove(self.index)
        for ended in self._ended():
            move_folder(ended, self.work)
        self._remove_unfinished(records)

    def check_unlabelled(self) -> None:
        """UsageError where people have labelled the sets: no photos can be added."""
        if self._ended() and is_there(self.path / "labels"):
            raise UsageError(f"'{self.path}' has labels of people; give more photos a folder of their own")

    def _remove_unfinished(self, records: Mapping[str, PhotoRecord]) -> None:
        """Remove the pictures of photos without a record, and what was left of files that were not written whole."""
        for variant in self.variants:
            folder = self.work / variant
            folder.mkdir(parents=True, exist_ok=True)
            remove_stale_parts(folder)
            for name in names_in(folder):
                image = _image_of(Path(name), variant)
                if image is not None and image not in records:
                    remove(self._records / f"{image}.json")  # a store may have it and say that it failed
                    remove(folder / name)
                elif is_part_in_store(folder / name):
                    remove(folder / name)

    def begin_joining(self, sets: int) -> Path:
        """Where the pictures of shards are put, with so many sets in the end: where pictures are written, or in a
        store, in which to move them takes long, where they stay. To be called after `begin`.
        """
        if url_of(self.path) is None:
            return self.work
        write_text(self.work / _JOINING, "")  # so that the place does not count as finished
        return self._place_of(sets)

    def end(self, records: Mapping[str, PhotoRecord]) -> Path:
        """Give the pictures their place as images/0-<n-1>. Those of photos without a record are removed."""
        if self.finished is not None:
            return self.finished
        self._remove_unfinished(records)
        place = self._place_of(sum(len(record.sets) for record in records.values()))
        if url_of(self.path) is None:
            move_folder(self.work, place)
            return place
        remove(self.work / _JOINING)
        for folder in {self.work, *self._ended()} - {place}:
            move_folder(folder, place)
        return place

    def _place_of(self, sets: int) -> Path:
        return self.path / "images" / f"0-{sets - 1}"

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
        if not is_there(folder.facts) or _is_of_another_recipe(folder, identity):
            for leftovers in (hidden / "photos", folder.work):
                remove_folder(leftovers)
            (hidden / "photos").mkdir(exist_ok=True)
            write_json(folder.facts, identity)
        yield folder


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    write_text(path, json.dumps(data, indent=1) + "\n")


def _check_kind(folder: SetFolder) -> None:
    path = folder.path
    if url_of(path) is not None:
        check_writable(path)
    is_file = path.exists() and not path.is_dir() if url_of(path) is None else kind_of(path) == "file"
    if is_file:
        raise UsageError(f"'{path}' is a file; name a folder")
    if not is_there(folder.facts) and any(not name.startswith(".") for name in names_in(path)):
        raise UsageError(f"'{path}' has files that `iqsr prepare` did not make; choose another folder")


def _is_of_another_recipe(folder: SetFolder, identity: Mapping[str, Any]) -> bool:
    """UsageError where that recipe has made sets."""
    refresh(folder.facts)
    known = _json(folder.facts, "put it back as it was, or name another folder")
    if all(known.get(key) == identity[key] for key in ("recipe_hash", "models")):
        return False
    if folder.finished is not None or any(record.sets for record in folder.records().values()):
        raise UsageError(f"'{folder.path}' was prepared with another recipe; choose another folder, or remove it")
    return True


def _json(path: Path, advice: str) -> dict[str, Any]:
    """The object in a file. IqsrError, with the advice, for a file that cannot be read or holds something else."""
    try:
        data: Any = json.loads(read_whole(path))
    except (OSError, ValueError, RecursionError) as error:
        raise IqsrError(f"cannot read '{path}' ({error}); {advice}") from None
    if not isinstance(data, dict):
        raise IqsrError(f"cannot read '{path}' (it is no JSON object); {advice}")
    return cast("dict[str, Any]", data)


def _image_of(file: Path, variant: str) -> str | None:
    """The photo a picture is of; None for files of other names, which are left alone."""
    try:
        return SetName.parse(file.stem.removesuffix(f"_{variant}")).image
    except UsageError:
        return None
