"""The plan of a batch: which picture becomes which file, and where two would become one."""

from __future__ import annotations

import logging
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from iqsr.errors import PictureError, UsageError
from iqsr.images.find import OnUnread, exists, find_pictures, in_home, is_folder
from iqsr.images.formats import (
    MUST_END,
    OTHER_PICTURES,
    PICTURE_SUFFIXES,
    WRITTEN_SUFFIXES,
    detect_format,
    format_by_id,
    is_named_otherwise,
    is_same_format,
    suffix_for,
    with_article,
)
from iqsr.io.stores import check_writable
from iqsr.io.urls import url_of
from iqsr.upscaling.jobs import Job, UpscaleOptions

FORMATS = ("auto", "png", "jpg", "webp", "tiff")
_FILE_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}")
_KNOWN_SUFFIXES = PICTURE_SUFFIXES | OTHER_PICTURES | {".pdf", ".mp4", ".zip"}

logger = logging.getLogger(__name__)


def plan(
    inputs: Iterable[str],
    out: str | None,
    options: UpscaleOptions | None = None,
    *,
    exclude: Sequence[Path] = (),
    on_unread: OnUnread | None = None,
) -> list[Job]:
    """Find the pictures and name their results. Of each file only the first bytes are read.

    Results of one name get the suffixes of their sources (`a_png.webp`, `a_jpg.webp`). A job that would still replace a
    source or another job's result is refused (`Job.refused`), and the others stay. Warnings tell of both, of files
    whose names contradict their content, and of a quality that lossless formats do not have.

    Args:
        inputs: Files, folders (searched with their subfolders), glob patterns, and URLs of those. The
            tree below a folder, or below the part of a pattern without wildcards, is mirrored in `out`.
        out: A file for one input file, else a folder. None puts results beside their sources, with a suffix.
        options: What is asked for every picture. With a suffix, or without `out`, pictures that are by their names
            results of others are left out; with `existing="skip"`, so is `a.webp` beside `a.png` if that becomes WebP.
        exclude: Folders of results besides `out`: pictures in them are not taken.
        on_unread: Called with the error for each folder that cannot be searched.

    Returns:
        A job for each picture, in the order in which they were found.

    Raises:
        UsageError: For inputs that do not exist, empty names, options that cannot be right, an `out` that cannot be
            written, results that exist where these are refused, and where every job is refused.
    """
    inputs, options = list(inputs), options or UpscaleOptions()
    _check_arguments(inputs, out, options)
    place = None if out is None else in_home(out)
    if place is not None and url_of(place) is not None:
        check_writable(place)
    results = [*exclude] if place is None else [place, *exclude]
    found = find_pictures(inputs, exclude=results, on_unread=on_unread)
    if place is not None and out is not None and _is_file_name(place, out, found, inputs):
        _check_file_name(place, options)
        _kind(found[0][0])
        jobs = [Job(found[0][0], place, options)]
    else:
        jobs = _without_repeats([_job(source, relative, place, options) for source, relative in found])
        jobs = _with_distinct_names(jobs)
        if out is None or options.suffix:
            jobs = _without_named_results(jobs)
        elif options.existing == "skip":
            jobs = _without_results_beside(jobs)
    jobs = _with_clashes(jobs)
    if options.existing == "refuse":
        _refuse_existing(jobs)
    if options.quality is not None:
        _warn_of_lossless(jobs)
    return jobs


# Arguments


def _check_arguments(inputs: list[str], out: str | None, options: UpscaleOptions) -> None:
    if options.format not in FORMATS:
        raise UsageError(f"unknown format '{options.format}'; choose {', '.join(FORMATS)}")
    if options.suffix and Path(options.suffix).name != options.suffix:
        raise UsageError(f"a suffix is a part of a file's name, not a path: '{options.suffix}'")
    if out == "-":
        raise UsageError("cannot write to standard output ('-'): name a file, or write './-' for a folder called '-'")
    if "" in (out, *inputs):
        raise UsageError("a name is empty: a variable of the shell that was not set?")
    if out is None and (folders := [text for text in inputs if exists(path := in_home(text)) and is_folder(path)]):
        raise UsageError(f"'{folders[0]}' is a folder: say with -o where the results go")


def _is_file_name(place: Path, out: str, found: list[tuple[Path, Path]], inputs: list[str]) -> bool:
    """Whether the output `place`, which the user wrote as `out`, is to be a file."""
    if out.endswith(os.sep) or (exists(place) and is_folder(place)):
        return False
    suffix = place.suffix.lower()
    is_one_file = len(found) == 1 and len(inputs) == 1 and found[0][0] == in_home(inputs[0])
    if suffix not in _KNOWN_SUFFIXES and not (is_one_file and _FILE_SUFFIX.fullmatch(suffix)):
        return False
    if len(found) > 1:
        raise UsageError(f"{len(found)} pictures cannot go into the one file '{out}': give a folder")
    if suffix not in WRITTEN_SUFFIXES:
        raise UsageError(f"cannot write '{out}': {MUST_END}; for a folder of this name write '{out}{os.sep}'")
    return True


def _check_file_name(place: Path, options: UpscaleOptions) -> None:
    if options.format != "auto" and not is_same_format(place.suffix, f".{options.format}"):
        raise UsageError(f"'{place}' is not the name of a {options.format} file: leave --format out, or give a folder")
    if options.suffix:
        raise UsageError(f"'{place}' is a whole name: leave --suffix out, or give a folder")


# Names


def _job(source: Path, relative: Path, place: Path | None, options: UpscaleOptions) -> Job:
    kind = _kind(source)
    ending = suffix_for(source, kind) if options.format == "auto" else f".{options.format}"
    if place is None:
        out = source.with_name(f"{source.stem}{options.suffix or '_upscaled'}{ending}")
    else:
        out = place / relative.with_name(f"{relative.stem}{options.suffix or ''}{ending}")
    return Job(source, out, options)


def _kind(source: Path) -> str | None:
    """The kind of the content, None where it is not read. Warns where the name says something else.

    Of a file in a store, its name counts: a plan copies no files.
    """
    if url_of(source) is not None and source.suffix.lower() in PICTURE_SUFFIXES:
        return None
    try:
        kind = detect_format(source)
    except PictureError:
        return None  # opening it will say why
    if is_named_otherwise(source, kind):
        logger.warning("'%s' is %s file, not what its name says", source, with_article(format_by_id(kind).name))
    return kind


def _with_distinct_names(jobs: list[Job]) -> list[Job]:
    """The jobs, with results of one name called after the suffixes of their sources, too: `a_png.webp`, `a_jpg.webp`.

    All of them are renamed, whatever exists already, and a warning says so. Sources with equal suffixes keep the name,
    and so do those that would become themselves.
    """
    renamed: dict[int, Job] = {}
    for place, same in _by_place(jobs).items():
        numbers = [i for i in same if jobs[i].source.resolve() != place]
        endings = {jobs[i].source.suffix.lower() for i in numbers}
        if len(numbers) < 2 or len(endings) < len(numbers) or "" in endings:
            continue
        for i in numbers:
            job = jobs[i]
            stem = f"{job.source.stem}_{job.source.suffix.lower()[1:]}"
            renamed[i] = replace(job, out=job.out.with_name(stem + job.out.name[len(job.source.stem) :]))
        sources = " and ".join(f"'{jobs[i].source}'" for i in numbers)
        results = " and ".join(f"'{renamed[i].out.name}'" for i in numbers)
        every = "both" if len(numbers) == 2 else "all"
        logger.warning("%s would %s become '%s': they become %s", sources, every, jobs[numbers[0]].out, results)
    return [renamed.get(i, job) for i, job in enumerate(jobs)]


# Pictures to leave out


def _without_repeats(jobs: list[Job]) -> list[Job]:
    """Leave out what links would do again: the same source to the same place."""
    different: dict[tuple[Path, Path], Job] = {}
    for job in jobs:
        different.setdefault((job.source.resolve(), job.out.resolve()), job)
    return list(different.values())


def _without_named_results(jobs: list[Job]) -> list[Job]:
    """Leave out pictures that are, by their names, the results of others."""
    results = {job.out.resolve() for job in jobs}
    return [job for job in jobs if job.source.resolve() not in results]


def _without_results_beside(jobs: list[Job]) -> list[Job]:
    """Leave out pictures that would become themselves and have the name of the result of a source beside them.

    Only where nothing that exists is replaced: such a picture may be a source of its own that no run has made.
    """
    results = {
        job.out.resolve()
        for job in jobs
        if job.source.parent.resolve() == job.out.parent.resolve() and job.source.name != job.out.name
    }
    return [job for job in jobs if not (job.source.resolve() == job.out.resolve() and job.out.resolve() in results)]


# What would be replaced


def _with_clashes(jobs: list[Job]) -> list[Job]:
    """The jobs, refused where they would replace a source or another's result, and with their `name_clashes`.

    UsageError where every job is refused.
    """
    sources = {job.source.resolve(): job.source for job in jobs}
    alike: dict[str, set[Path]] = defaultdict(set)
    for path in [*sources, *(job.out.resolve() for job in jobs)]:
        alike[_folded(path)].add(path)
    checked = list(jobs)
    for place, numbers in _by_place(jobs).items():
        clashes = tuple(sorted(alike[_folded(place)] - {place}))
        for i in numbers:
            others = [jobs[j].source for j in numbers if j != i]
            refused = _reason_to_refuse(jobs[i], place, sources, others)
            checked[i] = replace(jobs[i], refused=refused, name_clashes=clashes)
    if checked and all(job.refused for job in checked):
        raise UsageError(checked[0].refused or "")
    return checked


def _reason_to_refuse(job: Job, place: Path, sources: dict[Path, Path], others: list[Path]) -> str | None:
    if place in sources:
        return f"'{job.source}' would become '{job.out}', which would replace a source; choose another -o or a --suffix"
    if others:
        first, second = sorted((job.source, others[0]))
        return f"'{first}' and '{second}' would both become '{job.out}'; run them apart, each with its own -o"
    return None


def _by_place(jobs: list[Job]) -> dict[Path, list[int]]:
    """The numbers of the jobs by where their results go."""
    places: dict[Path, list[int]] = defaultdict(list)
    for i, job in enumerate(jobs):
        places[job.out.resolve()].append(i)
    return places


def _folded(path: Path) -> str:
    """The path as a disk sees it that ignores case and composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())


def _refuse_existing(jobs: list[Job]) -> None:
    existing = [job.out for job in jobs if not job.refused and exists(job.out)]
    if existing:
        others = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        verb = "exist" if others else "exists"
        raise UsageError(f"'{existing[0]}'{others} {verb}: use --skip-existing or --overwrite")


def _warn_of_lossless(jobs: list[Job]) -> None:
    """Warn that a quality was asked for where there is none to choose."""
    lossless = sum(job.is_lossless for job in jobs)
    if lossless:
        of = "" if lossless == len(jobs) else f" for {lossless} of {len(jobs)} results"
        logger.warning("--quality changes nothing%s: PNG and TIFF are lossless", of)
