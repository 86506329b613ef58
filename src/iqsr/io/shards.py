"""Shards: a command's work in n parts that need not know of each other, and the folder of one part.

    OUT.shards/1-of-3/shard.json   the manifest: what was asked, which units are done, which failed and why
    OUT.shards/1-of-3/NAME         what the command made of the units of this shard

A unit (a picture, a pair, an item of a set) is in the shard that the SHA-256 of its file decides: a file that is
renamed or moved stays in its shard, and equal files are together. The shards of a machine read each file once for that.
Of a file in a store, what the store says of its content (size and ETag) decides: each shard copies its own files only.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from iqsr._version import __version__
from iqsr.errors import IqsrError, UsageError
from iqsr.io.atomic import remove_stale_parts, write_text
from iqsr.io.hashes import content_hash
from iqsr.io.journals import add_entry, entries
from iqsr.io.known_files import File, KnownFiles
from iqsr.io.locks import locked
from iqsr.io.places import read_whole
from iqsr.io.remote import is_there, mark_of, refresh
from iqsr.io.sending import remove, send_at_times
from iqsr.io.urls import shown, url_of

MANIFEST = "shard.json"
JOURNAL = "done.jsonl"
_AT_ONCE = 64  # files between two writes to what is remembered
_FORM = re.compile(r"(-?\d+)/(-?\d+)", re.ASCII)
_SLURM = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT")


@dataclass(frozen=True)
class Shard:
    """Shard `number` (from 1) of `count`. UsageError for numbers that cannot be right."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"--shard {self}: there is at least 1 shard")
        if not 1 <= self.number <= self.count:
            raise UsageError(f"--shard {self}: the first number goes from 1 to {self.count}")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def holds(self, sha256: str) -> bool:
        """Whether a unit whose file has this hash is in the shard. sha256: hexadecimal."""
        return int(sha256, 16) % self.count == self.number - 1


def shard_of(text: str | Shard) -> Shard:
    """The shard that a user names: `1/3`, or `slurm` for the task of a SLURM array. UsageError."""
    if isinstance(text, Shard):
        return text
    if text == "slurm":
        return _slurm_shard()
    form = _FORM.fullmatch(text)
    if form is None:
        raise UsageError(f"--shard is I/N, such as 1/3, or slurm; got '{text}'")
    return Shard(int(form[1]), int(form[2]))


def _slurm_shard() -> Shard:
    missing = [name for name in _SLURM if not os.environ.get(name, "").isdecimal()]
    if missing:
        raise UsageError(f"--shard slurm: {missing[0]} is no number; start it with `sbatch --array=1-N`, or give I/N")
    task, first, count = (int(os.environ[name]) for name in _SLURM)
    if not 0 <= task - first < count:
        raise UsageError("--shard slurm: the tasks do not follow one another; use `sbatch --array=1-N`, or give I/N")
    return Shard(task - first + 1, count)


@dataclass(frozen=True)
class Unit:
    """One piece of a command's work."""

    place: int
    """In the order of the command without shards, from 0."""
    name: str
    sha256: str
    """Of its file, or of its size and ETag in a store; of its name where it cannot be read or there is none."""


def units_of(named: Iterable[tuple[str, Path | None]]) -> list[Unit]:
    """The units of all shards. named: the name of each and the file that decides its shard."""
    listed = list(named)
    known = _hashes([file for _, file in listed if file is not None])
    return [
        Unit(place, _text(name), known.get(file) or hashlib.sha256(os.fsencode(name)).hexdigest())
        for place, (name, file) in enumerate(listed)
    ]


def _hashes(files: Sequence[Path]) -> dict[Path | None, str]:
    """What decides the shard of each file: the `content_hash` of those here that can be read, remembered for the
    other shards, or what a store says of the content.

    Shards that begin at the same time take the files in orders of their own, so that they share the work.
    """
    found: dict[Path | None, str] = {file: mark for file in files if (mark := mark_of(file))}
    here = [file for file in files if file not in found]
    starts = list(range(0, len(here), _AT_ONCE))
    random.shuffle(starts)
    with closing(KnownFiles("hashes.sqlite", "sha256", "files are read anew")) as known:
        for part in (here[start : start + _AT_ONCE] for start in starts):
            new: dict[File, tuple[str]] = {}
            for path, (file, facts) in zip(part, known.of(part), strict=True):
                if file and facts:
                    found[path] = facts[0]
                elif file or url_of(path):  # a store that says nothing of the content is read
                    with suppress(IqsrError):  # the command that opens it says why
                        found[path] = content_hash(path)
                        new |= {file: (found[path],)} if file else {}
            known.add(new)
    return found


def _text(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def listing_hash(units: Iterable[Unit]) -> str:
    """One hash for all units of all shards: their order, names and content."""
    digest = hashlib.sha256()
    for unit in units:
        digest.update(json.dumps([unit.place, unit.name, unit.sha256]).encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Manifest:
    """What `shard.json` says."""

    command: str
    iqsr_version: str
    settings_hash: str
    settings: dict[str, Any]
    """All that the results depend on besides the units."""
    shard: int
    shards: int
    finished: bool
    """False while the shard is at work, and where it was stopped."""
    units: int = 0
    """In all shards together."""
    listing: str = ""
    """See `listing_hash`."""
    done: list[Unit] = field(default_factory=list[Unit])
    failed: list[tuple[Unit, str]] = field(default_factory=list[tuple[Unit, str]])
    """Units and the reason of each, one line."""

    def text(self) -> str:
        """As JSON; the same content makes the same bytes."""
        facts = asdict(self)
        facts["failed"] = [asdict(unit) | {"reason": reason} for unit, reason in self.failed]
        return json.dumps(facts, indent=1) + "\n"

    def other(self, than: Manifest) -> str:
        """What of command, version and settings differs; empty where nothing does."""
        for name in ("command", "iqsr_version"):
            if getattr(self, name) != getattr(than, name):
                return f"{name.replace('_', ' ')} ({getattr(self, name)}, not {getattr(than, name)})"
        if self.settings_hash == than.settings_hash:
            return ""
        names = [name for name in self.settings if self.settings[name] != than.settings.get(name)]
        return f"settings ({', '.join(names) or 'other ones'})"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a shard's folder. IqsrError where it cannot be read."""
    file = folder / MANIFEST
    refresh(file)
    try:
        facts = json.loads(read_whole(file))
        done = [Unit(**unit) for unit in facts.pop("done")]
        failed = [(Unit(one["place"], one["name"], one["sha256"]), str(one["reason"])) for one in facts.pop("failed")]
        return Manifest(**facts, done=done, failed=failed)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IqsrError(f"cannot read '{file}' ({error}); remove '{folder}' and run that shard again") from None


class ShardPart:
    """The folder of one shard while a command works in it. Made by `shard_part`."""

    def __init__(self, folder: Path, shard: Shard, manifest: Manifest, name: str, *, forget: bool) -> None:
        self.folder = folder
        self.shard = shard
        self.output = folder / name
        """What the command writes: a file or a folder."""
        self.units: list[Unit] = []
        """Those of this shard."""
        self.total = 0
        """Units of all shards."""
        self.failed: dict[int, str] = {}
        """The reason of each unit that failed, by its place."""
        self._manifest = manifest
        self._forget = forget

    def choose(self, named: Iterable[tuple[str, Path | None]]) -> list[Unit]:
        """The units of this shard. named: those of all shards in their order, each with the file that decides."""
        everything = units_of(named)
        self.units = [unit for unit in everything if self.shard.holds(unit.sha256)]
        self.total = len(everything)
        if self._forget:
            remove(self.folder / JOURNAL)
        self._write(finished=False, units=self.total, listing=listing_hash(everything))
        return self.units

    def finish(self, failed: Mapping[int, str]) -> None:
        """Write the manifest of the finished shard. failed: the reason of each unit that failed, by its place."""
        failed = {place: shown(reason) for place, reason in failed.items()}
        self.failed = failed
        self._write(
            finished=True,
            done=[unit for unit in self.units if unit.place not in failed],
            failed=[(unit, failed[unit.place]) for unit in self.units if unit.place in failed],
        )

    def note_done(self, unit: Unit) -> None:
        """Note at once that a unit is done, for a run that is killed."""
        add_entry(self.folder / JOURNAL, [unit.name, unit.sha256])
        send_at_times(self.folder / JOURNAL)

    def noted(self) -> set[tuple[str, str]]:
        """Name and hash of the units that are noted as done."""
        found: set[tuple[str, str]] = set()
        for entry in entries(self.folder / JOURNAL):
            match entry:
                case [str(name), str(sha256)]:
                    found.add((name, sha256))
                case _:  # damaged: the unit is done again
                    pass
        return found

    def _write(self, **facts: Any) -> None:
        self._manifest = replace(self._manifest, **facts)
        write_text(self.folder / MANIFEST, self._manifest.text())


def parts_folder(out: Path) -> Path:
    """`OUT.shards`, where the folders of all shards of a result are."""
    out = out if out.name not in ("", "..") else out.resolve()
    return out.with_name(f"{out.name}.shards")


@contextmanager
def shard_part(
    out: Path, shard: Shard, *, command: str, settings: Mapping[str, Any], name: str, overwrite: bool = False
) -> Generator[ShardPart]:
    """The folder of a shard, for one process at a time. The same shard goes on with what is there.

    Args:
        out: The result that all shards together will make.
        shard: Which one.
        command: Such as `score`.
        settings: All that results depend on besides the units, as plain objects.
        name: Of the file or folder that the command writes in the folder of the shard.
        overwrite: Whether a shard of other settings is replaced. What is there stays until something takes its place.

    Raises:
        UsageError: For a folder that holds a shard of another command, version or other settings.
        IqsrError: If another process is at work there.
    """
    folder = parts_folder(out) / f"{shard.number}-of-{shard.count}"
    plain = json.loads(json.dumps(settings))
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
    manifest = Manifest(command, __version__, digest, plain, shard.number, shard.count, finished=False)
    with locked(folder, f"iqsr {command} --shard {shard}"):
        remove_stale_parts(folder)
        if is_there(folder / MANIFEST) and not overwrite:
            other = read_manifest(folder).other(manifest)
            if other:
                raise UsageError(f"'{folder}' is of another {other}: remove it, or name another -o")
        refresh(folder / JOURNAL)
        try:
            yield ShardPart(folder, shard, manifest, name, forget=overwrite)
        finally:
            with suppress(IqsrError):  # without the last lines, some units are done again
                send_at_times(folder / JOURNAL, seconds=0)
