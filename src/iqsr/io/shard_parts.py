"""Finished shards, which are joined: what must hold of them together, and files that are joined without a copy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from iqsr._version import __version__
from iqsr.errors import UsageError
from iqsr.io.atomic import atomic_path, write_errors
from iqsr.io.hashes import content_hash
from iqsr.io.remote import held, is_same_object, is_there, matches
from iqsr.io.sending import copied_inside
from iqsr.io.shards import MANIFEST, Manifest, Shard, Unit, listing_hash, read_manifest
from iqsr.io.urls import url_of


@dataclass(frozen=True)
class Part:
    """The folder of one finished shard."""

    folder: Path
    manifest: Manifest

    @property
    def shard(self) -> Shard:
        """Which one it is."""
        return Shard(self.manifest.shard, self.manifest.shards)

    @property
    def units(self) -> list[Unit]:
        """All of its units, done and failed, in their order."""
        return sorted([*self.manifest.done, *(unit for unit, _ in self.manifest.failed)], key=lambda unit: unit.place)


def read_parts(paths: Iterable[Path]) -> list[Part]:
    """The shards of one result, in order.

    Args:
        paths: Their folders, or the folder `OUT.shards` that holds them.

    Raises:
        UsageError: With one line that says what to do, for shards that are missing, doubled, not finished, of another
            command, version or other settings, of another number of shards, or that saw other files.
        IqsrError: If a manifest cannot be read.
    """
    parts = [Part(folder, read_manifest(folder)) for path in paths for folder in _folders(path)]
    if not parts:
        raise UsageError("name the folders of the shards, OUT.shards/*")
    parts.sort(key=lambda part: part.manifest.shard)
    _check_alike(parts)
    _check_complete(parts)
    _check_units(parts)
    return parts


def failed_units(parts: Sequence[Part]) -> list[str]:
    """The reason of each unit that failed, in the order of the units."""
    failed = [one for part in parts for one in part.manifest.failed]
    return [reason for _, reason in sorted(failed, key=lambda one: one[0].place)]


def _folders(path: Path) -> list[Path]:
    if is_there(path / MANIFEST):
        return [path]
    found = path.glob(f"*/{MANIFEST}") if url_of(path) is None else matches(path / "*" / MANIFEST)[1]
    below = sorted(file.parent for file in found)
    if not below:
        raise UsageError(f"'{path}' has no shard that began: name the folders of the shards, OUT.shards/*")
    return below


def _check_alike(parts: Sequence[Part]) -> None:
    first = parts[0]
    for part in parts[1:]:
        if part.manifest.shards != first.manifest.shards:
            raise UsageError(
                f"'{first.folder}' is of {first.manifest.shards} shards, '{part.folder}' of {part.manifest.shards}: "
                f"name those of one run, such as OUT.shards/*-of-{first.manifest.shards}"
            )
        if other := part.manifest.other(first.manifest):
            raise UsageError(
                f"'{part.folder}' is of another {other} than '{first.folder}': run one of them again as the other"
            )
    if first.manifest.iqsr_version != __version__:
        raise UsageError(
            f"the shards are of iqsr {first.manifest.iqsr_version}, this is {__version__}: join them with theirs"
        )


def _check_complete(parts: Sequence[Part]) -> None:
    by_number: dict[int, Part] = {}
    for part in parts:
        before = by_number.setdefault(part.manifest.shard, part)
        if before is not part:
            raise UsageError(f"'{before.folder}' and '{part.folder}' are both shard {part.shard}: name one of them")
        if not part.manifest.finished:
            raise UsageError(f"shard {part.shard} has not ended ('{part.folder}'): give its command again")
    count = parts[0].manifest.shards
    missing = [number for number in range(1, count + 1) if number not in by_number]
    if missing:
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UsageError(f"shard {missing[0]}/{count} is missing{more}: run it, or name its folder too")


def _check_units(parts: Sequence[Part]) -> None:
    seen: dict[tuple[int, str], Part] = {}
    for part in parts:
        for unit in part.units:
            before = seen.setdefault((unit.place, unit.name), part)
            if before is not part:
                raise UsageError(
                    f"'{unit.name}' is in shards {before.shard} and {part.shard}: it changed between them; "
                    "run all shards again"
                )
    first = parts[0]
    for part in parts[1:]:
        if part.manifest.listing != first.manifest.listing:
            raise UsageError(
                f"shard {first.shard} saw {first.manifest.units} files, shard {part.shard} saw {part.manifest.units}, "
                "and not the same: run all shards again on the same files"
            )
    everything = sorted((unit for part in parts for unit in part.units), key=lambda unit: unit.place)
    if listing_hash(everything) != first.manifest.listing:
        raise UsageError(
            f"the manifests list {len(everything)} of {first.manifest.units} units, or others: run all shards again"
        )


def is_same(one: Path, other: Path) -> bool:
    """Whether two files have the same content."""
    if url_of(one) is None and url_of(other) is None:
        return one.samefile(other) or content_hash(one) == content_hash(other)
    return is_same_object(one, other) or content_hash(one) == content_hash(other)


def join_file(source: Path, target: Path, *, overwrite: bool = False) -> None:
    """Give a file a second place: a hard link, or a copy where the disk has none or it is another disk or a store.

    A file with the same content that is there stays. UsageError for one with other content, unless `overwrite` is set.
    """
    if is_there(target):
        if is_same(target, source):
            return
        if not overwrite:
            raise UsageError(f"'{target}' exists: use --overwrite, or name another")
    if url_of(source) or url_of(target):
        copy_file(source, target)
        return
    with write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        with suppress(OSError):
            os.link(source, target)
            return
    copy_file(source, target)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file between disks and stores. Inside of a store nothing is sent."""
    if not copied_inside(source, target):
        with held(source), atomic_path(target) as part:
            shutil.copyfile(source, part)
