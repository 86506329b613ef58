"""Many pictures with one upscaler: which file becomes which, and one after the other without losing any."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from iqsr.errors import IqsrError, UsageError
from iqsr.sizes import Wish

if TYPE_CHECKING:
    from iqsr.upscale import Upscaled, Upscaler

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".heic", ".heif", ".avif"})
"""Files that are taken from a folder. A file that is named is tried whatever it is called."""

_WRITABLE = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"})
_PICTURES_OF_OTHERS = frozenset({".bmp", ".gif", ".jxl", ".jp2", ".ppm", ".svg", ".pdf", ".psd", ".tga"})
FORMATS = ("auto", "png", "jpg", "webp", "tiff")


@dataclass(frozen=True)
class Job:
    """One picture to enlarge, and where the result goes."""

    source: Path
    out: Path


@dataclass(frozen=True)
class Done:
    """What became of a job."""

    job: Job
    state: Literal["done", "skipped", "failed"]
    result: Upscaled | None = None
    error: str | None = None


def plan(inputs: Iterable[str], out: str | None, *, format: str = "auto", suffix: str | None = None) -> list[Job]:
    """Match inputs with outputs.

    inputs: files, glob patterns, folders (searched with their subfolders, whose tree is mirrored in `out`).
    out: a file for one input file, else a folder; None puts results beside their sources, with a suffix.
    format: `auto` keeps the source's where it can be written, PNG otherwise. suffix: added to every name.

    Raises UsageError for inputs that do not exist, two results of the same name, a result that would replace
    a source.
    """
    if format not in FORMATS:
        raise UsageError(f"unknown format '{format}'; choose {', '.join(FORMATS)}")
    found = _found(list(inputs), out)
    if out is not None and _is_file_name(out, found):
        jobs = [Job(found[0][0], Path(out))]
    else:
        jobs = [_job(source, relative, out, format, suffix) for source, relative in found]
    _check(jobs)
    return jobs


def upscale_batch(
    upscaler: Callable[[], Upscaler],
    jobs: list[Job],
    *,
    wish: Wish | None = None,
    quality: int | None = None,
    skip_existing: bool = False,
    on_progress: Callable[[Job, float], None] | None = None,
) -> Iterator[Done]:
    """Enlarge one after the other; a picture that fails is told and the rest goes on.

    `upscaler` is called when the first picture needs it, so that a batch with nothing left to do loads no network.
    Parts that a killed run left in the output folders are removed first.
    """
    _remove_stale_parts(jobs)
    wish = wish or Wish()
    ready: Upscaler | None = None
    for job in jobs:
        if skip_existing and job.out.exists():
            yield Done(job, "skipped")
            continue
        ready = ready or upscaler()
        try:
            result = ready.upscale_file(
                job.source,
                job.out,
                scale=wish.scale,
                width=wish.width,
                height=wish.height,
                quality=quality,
                on_progress=None if on_progress is None else lambda done, j=job: on_progress(j, done),
            )
        except (IqsrError, OSError) as error:
            yield Done(job, "failed", error=str(error))
        else:
            yield Done(job, "done", result)


def _found(inputs: list[str], out: str | None) -> list[tuple[Path, Path]]:
    """Every source, with its path relative to the input that named it."""
    found: dict[Path, Path] = {}
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            if out is None:
                raise UsageError(f"'{text}' is a folder: say with -o where the results go")
            for source in _pictures_below(path, Path(out)):
                found.setdefault(source, source.relative_to(path))
        elif path.exists():
            found.setdefault(path, Path(path.name))
        else:
            matches = sorted(Path(match) for match in glob.glob(text, recursive=True))  # noqa: PTH207
            files = [match for match in matches if match.is_file()]
            if not files:
                raise UsageError(f"no such picture, folder or pattern: '{text}'")
            for match in files:
                found.setdefault(match, Path(match.name))
    if not found:
        raise UsageError(f"no pictures in {', '.join(repr(text) for text in inputs)}")
    return list(found.items())


def _pictures_below(folder: Path, out: Path) -> Iterator[Path]:
    """Pictures of the tree in order of their names; hidden files and the output folder itself are left out."""
    for root, folders, files in os.walk(folder):
        here = Path(root)
        kept = [f for f in folders if not f.startswith(".") and (here / f).resolve() != out.resolve()]
        folders[:] = sorted(kept)
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES:
                yield here / name


def _is_file_name(out: str, found: list[tuple[Path, Path]]) -> bool:
    path = Path(out)
    suffixes = PICTURE_SUFFIXES | _PICTURES_OF_OTHERS
    named_as_file = path.suffix.lower() in suffixes and not path.is_dir() and not out.endswith(os.sep)
    if named_as_file and len(found) > 1:
        raise UsageError(f"{len(found)} pictures cannot go into the one file '{out}': give a folder")
    if named_as_file and path.suffix.lower() not in _WRITABLE:
        raise UsageError(f"cannot write '{out}': its name must end in {', '.join(sorted(_WRITABLE))}")
    return named_as_file


def _job(source: Path, relative: Path, out: str | None, format: str, suffix: str | None) -> Job:
    kept = source.suffix if source.suffix.lower() in _WRITABLE else ".png"
    ending = kept if format == "auto" else f".{format}"
    if out is None:
        return Job(source, source.with_name(f"{source.stem}{suffix or '_upscaled'}{ending}"))
    return Job(source, Path(out) / relative.with_name(f"{relative.stem}{suffix or ''}{ending}"))


def _check(jobs: list[Job]) -> None:
    taken: dict[Path, Path] = {}
    sources = {job.source.resolve() for job in jobs}
    for job in jobs:
        place = job.out.resolve()
        if place in sources:
            raise UsageError(f"'{job.out}' would replace a source; choose another -o or a --suffix")
        if place in taken:
            raise UsageError(
                f"'{taken[place]}' and '{job.source}' would both become '{job.out}'; "
                "run them apart, or keep their formats with --format auto"
            )
        taken[place] = job.source


def _remove_stale_parts(jobs: list[Job]) -> None:
    from iqsr.images import remove_stale_parts

    for folder in {job.out.parent for job in jobs}:
        if folder.is_dir():
            remove_stale_parts(folder)
