"""Many pictures with one upscaler: which file becomes which, and one after the other without losing any."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from iqsr.errors import IqsrError, PictureError, UsageError
from iqsr.images.find import OnUnread, exists, find_pictures, in_home
from iqsr.images.formats import (
    MUST_END,
    OTHER_PICTURES,
    PICTURE_SUFFIXES,
    WRITTEN_SUFFIXES,
    format_of_kind,
    is_named_otherwise,
    is_same_format,
    suffix_for,
    with_article,
)
from iqsr.images.kinds import kind_of
from iqsr.upscaling.jobs import Job, checked, in_the_way, told_apart
from iqsr.upscaling.target_size import TargetSize

if TYPE_CHECKING:
    from iqsr.upscaling.upscaler import Upscaled, Upscaler

FORMATS = ("auto", "png", "jpg", "webp", "tiff")
_LIKE_A_FILE = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}")
_NAMES_OF_FILES = PICTURE_SUFFIXES | OTHER_PICTURES | {".pdf", ".mp4", ".zip"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Done:
    """What became of a job."""

    job: Job
    state: Literal["done", "skipped", "failed"]
    result: Upscaled | None = None
    error: str | None = None


def plan(
    inputs: Iterable[str],
    out: str | None,
    *,
    format: str = "auto",
    suffix: str | None = None,
    skip_existing: bool = False,
    on_unread: OnUnread | None = None,
) -> list[Job]:
    """Match inputs with outputs.

    inputs: files, folders (searched with their subfolders), glob patterns. The tree below a folder, or below the
    part of a pattern without wildcards, is mirrored in `out`.
    out: a file for one input file, else a folder; None puts results beside their sources, with a suffix.
    format: `auto` keeps that of the source's content where it can be written, PNG otherwise; a line tells of names
    that say something else. suffix: added to every name. Pictures that are by their names the results of others (of an
    earlier run) are left out then.
    skip_existing: nothing that exists will be replaced, so `a.webp` beside `a.png` is left out as its result, too.
    on_unread: see `find_pictures`.

    Results of the same name get the suffixes of their sources in their names. What would replace a source or another's
    result all the same is refused, and the rest goes on.

    Raises UsageError for inputs that do not exist, empty names, an output that is no file to be written, and where all
    is refused.
    """
    inputs = list(inputs)
    _check_arguments(inputs, out, format, suffix)
    place = None if out is None else in_home(out)
    found = find_pictures(inputs, leave_out=place, on_unread=on_unread)
    if place is not None and out is not None and _is_file_name(place, out, found, inputs):
        _check_file_name(place, format, suffix)
        _kind(found[0][0])
        jobs = [Job(found[0][0], place)]
    else:
        jobs = told_apart(_once([_job(source, relative, place, format, suffix) for source, relative in found]))
        if out is None or suffix:
            jobs = _without_named_results(jobs)
        elif skip_existing:
            jobs = _without_results_beside(jobs)
    return checked(jobs)


def upscale_batch(
    upscaler: Callable[[], Upscaler],
    jobs: list[Job],
    *,
    target: TargetSize | None = None,
    quality: int | None = None,
    alpha: str = "transparency",
    skip_existing: bool = False,
    on_progress: Callable[[Job, float], None] | None = None,
) -> Iterator[Done]:
    """Enlarge one after the other, with `target`, `quality` and `alpha` as `Upscaler.upscale_file` has them.

    A picture that fails or is refused is told and the rest goes on.

    `upscaler` is called when the first picture needs it, so that a batch with nothing left to do loads no network.
    A network that cannot be loaded or made ready ends the batch. Parts that a killed run left in the output folders
    are removed first.
    """
    _remove_stale_parts(jobs)
    target = target or TargetSize()
    ready: Upscaler | None = None
    for job in jobs:
        if refused := job.refused or in_the_way(job):
            yield Done(job, "failed", error=refused)
            continue
        if skip_existing and exists(job.out):
            yield Done(job, "skipped")
            continue
        if ready is None:
            ready = upscaler()
            ready.prepare()
        try:
            result = ready.upscale_file(
                job.source,
                job.out,
                scale=target.scale,
                width=target.width,
                height=target.height,
                quality=quality,
                alpha=alpha,
                on_progress=None if on_progress is None else lambda done, j=job: on_progress(j, done),
            )
        except (IqsrError, OSError) as error:
            yield Done(job, "failed", error=failure_message(job, error))
        else:
            yield Done(job, "done", result)


def failure_message(job: Job, error: IqsrError | OSError) -> str:
    """One line on a job that failed. It names the picture, which errors of the network or of sizes do not."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    named = any(f"'{path}'" in text for path in (job.source, job.out))
    return text if named else f"'{job.source}': {text}"


def _check_arguments(inputs: list[str], out: str | None, format: str, suffix: str | None) -> None:
    if format not in FORMATS:
        raise UsageError(f"unknown format '{format}'; choose {', '.join(FORMATS)}")
    if suffix and Path(suffix).name != suffix:
        raise UsageError(f"a suffix is a part of a file's name, not a path: '{suffix}'")
    if out == "-":
        raise UsageError("cannot write to standard output ('-'): name a file, or write './-' for a folder called '-'")
    if "" in (out, *inputs):
        raise UsageError("a name is empty: a variable of the shell that was not set?")
    if out is None and (folders := [text for text in inputs if exists(path := in_home(text)) and path.is_dir()]):
        raise UsageError(f"'{folders[0]}' is a folder: say with -o where the results go")


def _is_file_name(place: Path, out: str, found: list[tuple[Path, Path]], inputs: list[str]) -> bool:
    """Whether the output `place`, which the user wrote as `out`, is to be a file."""
    if out.endswith(os.sep) or (exists(place) and place.is_dir()):
        return False
    suffix = place.suffix.lower()
    one_file = len(found) == 1 and len(inputs) == 1 and found[0][0] == in_home(inputs[0])
    if suffix not in _NAMES_OF_FILES and not (one_file and _LIKE_A_FILE.fullmatch(suffix)):
        return False
    if len(found) > 1:
        raise UsageError(f"{len(found)} pictures cannot go into the one file '{out}': give a folder")
    if suffix not in WRITTEN_SUFFIXES:
        raise UsageError(f"cannot write '{out}': {MUST_END}; for a folder of this name write '{out}{os.sep}'")
    return True


def _check_file_name(place: Path, format: str, suffix: str | None) -> None:
    if format != "auto" and not is_same_format(place.suffix, f".{format}"):
        raise UsageError(f"'{place}' is not the name of a {format} file: leave --format out, or give a folder")
    if suffix:
        raise UsageError(f"'{place}' is a whole name: leave --suffix out, or give a folder")


def _job(source: Path, relative: Path, place: Path | None, format: str, suffix: str | None) -> Job:
    kind = _kind(source)
    ending = suffix_for(source, kind) if format == "auto" else f".{format}"
    if place is None:
        return Job(source, source.with_name(f"{source.stem}{suffix or '_upscaled'}{ending}"))
    return Job(source, place / relative.with_name(f"{relative.stem}{suffix or ''}{ending}"))


def _kind(source: Path) -> str | None:
    """What the content is, None where it is not read. A line tells where the name says something else."""
    try:
        kind = kind_of(source)
    except PictureError:
        return None  # told when its turn comes
    if is_named_otherwise(source, kind):
        logger.warning("'%s' is %s file, not what its name says", source, with_article(format_of_kind(kind).name))
    return kind


def _once(jobs: list[Job]) -> list[Job]:
    """Leave out what links would do again: the same source to the same place."""
    different: dict[tuple[Path, Path], Job] = {}
    for job in jobs:
        different.setdefault((job.source.resolve(), job.out.resolve()), job)
    return list(different.values())


def _without_named_results(jobs: list[Job]) -> list[Job]:
    results = {job.out.resolve() for job in jobs}
    return [job for job in jobs if job.source.resolve() not in results]


def _without_results_beside(jobs: list[Job]) -> list[Job]:
    """Leave out pictures that would become themselves and are, beside a source, what its result is called.

    Only where nothing that exists is replaced: such a picture may be a source of its own that no run has made.
    """
    results = {
        job.out.resolve()
        for job in jobs
        if job.source.parent.resolve() == job.out.parent.resolve() and job.source.name != job.out.name
    }
    return [job for job in jobs if not (job.source.resolve() == job.out.resolve() and job.out.resolve() in results)]


def _remove_stale_parts(jobs: list[Job]) -> None:
    from iqsr.io.atomic import remove_stale_parts

    for folder in {job.out.parent for job in jobs}:
        with suppress(OSError):  # no folder yet, or one that does not show what is in it
            remove_stale_parts(folder)
