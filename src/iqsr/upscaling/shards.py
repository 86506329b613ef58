"""Upscaling in shards: the jobs of one shard, and the results of all in one folder."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from iqsr.errors import IqsrError, UsageError
from iqsr.images.find import OnUnread, in_home
from iqsr.io.hashes import content_hash
from iqsr.io.places import check_leads_inside, place_below
from iqsr.io.remote import is_there
from iqsr.io.shard_parts import Part, is_same, join_file
from iqsr.io.shards import Shard, ShardPart, Unit, parts_folder, shard_part
from iqsr.upscaling.jobs import Job, JobResult, UpscaleOptions
from iqsr.upscaling.plan import plan

FOLDER = "pictures"


@dataclass
class ShardJobs:
    """The jobs of one shard while a batch does them."""

    part: ShardPart
    jobs: list[Job]
    _units: dict[int, Unit]
    """By the id of the job."""
    _failed: dict[int, str] = field(default_factory=dict[int, str])

    def finished(self, result: JobResult) -> None:
        """Note what became of a job. To be called with each result of `upscale_batch`."""
        unit = self._units[id(result.job)]
        if result.state == "failed":
            self._failed[unit.place] = result.error or "failed"
        elif result.state == "done":
            self.part.note_done(unit)

    def end(self) -> None:
        """Write the manifest."""
        self.part.finish(self._failed)


@contextmanager
def shard_jobs(
    inputs: Iterable[str],
    out: Path,
    options: UpscaleOptions,
    shard: Shard,
    *,
    model: str,
    how: Mapping[str, Any],
    on_unread: OnUnread | None = None,
) -> Generator[ShardJobs]:
    """The jobs of one shard, whose results go to `OUT.shards/I-of-N/pictures`; the manifest is written at the end.

    The content of a picture decides its shard. Pictures that are done are skipped when the shard is run again.

    Args:
        inputs: As for `plan`.
        out: The folder that all shards together will fill.
        options: As for `plan`; with `existing="replace"` a shard of other settings is replaced.
        shard: Which one.
        model: Its name or file.
        how: What else the results depend on, such as the precision, as plain objects.
        on_unread: As for `plan`.

    Raises:
        UsageError: As `plan`, and for a folder that holds a shard of other settings.
    """
    settings = _settings(model, options, how)
    overwrite = options.existing == "replace"
    with shard_part(out, shard, command="upscale", settings=settings, name=FOLDER, overwrite=overwrite) as part:
        planned = replace(options, existing="replace" if options.existing == "refuse" else options.existing)
        excluded = [out, parts_folder(out)]
        jobs = plan(inputs, f"{part.output}{os.sep}", planned, exclude=excluded, on_unread=on_unread)
        units = part.choose((job.out.relative_to(part.output).as_posix(), job.source) for job in jobs)
        noted = part.noted()
        mine = [_going_on(jobs[unit.place], unit, noted) for unit in units]
        work = ShardJobs(part, mine, {id(job): unit for job, unit in zip(mine, units, strict=True)})
        yield work
        work.end()


def _settings(model: str, options: UpscaleOptions, how: Mapping[str, Any]) -> dict[str, Any]:
    """What results depend on; of a model that is a file, its content."""
    facts = asdict(options)
    del facts["existing"]
    file = in_home(model)
    return {"model": content_hash(file) if file.is_file() else model, **how, **facts}


def _going_on(job: Job, unit: Unit, noted: set[tuple[str, str]]) -> Job:
    """The job, skipped where its result is there and is of this very picture."""
    is_there = (unit.name, unit.sha256) in noted
    return replace(job, options=replace(job.options, existing="skip" if is_there else "replace"))


def merge_pictures(parts: Sequence[Part], out: Path, *, overwrite: bool = False) -> int:
    """Give the results of all shards a second place in the folder `out`, see `join_file`. Returns their number.

    Raises:
        UsageError: Before anything is joined, where another picture of a name is there and `overwrite` is not set.
        IqsrError: Where a shard lacks a result that its manifest lists, or a name or a link in it leads elsewhere.
    """
    files = [
        (place_below(part.folder / FOLDER, unit.name), place_below(out, unit.name), part)
        for part in parts
        for unit in part.manifest.done
    ]
    for source, target, part in files:
        if not is_there(source):
            raise IqsrError(f"'{source}' is gone: run shard {part.shard} again")
        check_leads_inside(source, part.folder)
        if is_there(target) and not overwrite and not is_same(target, source):
            raise UsageError(f"'{target}' exists: use --overwrite, or name another")
    for source, target, _ in files:
        join_file(source, target, overwrite=overwrite)
    return len(files)
