"""Pictures to enlarge and the files they become, where two would become one."""

from __future__ import annotations

import logging
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from iqsr.errors import UsageError
from iqsr.images.find import exists

_LOSSLESS = frozenset({".png", ".apng", ".tif", ".tiff"})

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One picture to enlarge, and where the result goes."""

    source: Path
    out: Path
    refused: str | None = None
    """Why it cannot be done, where that is known beforehand: what the result would replace."""
    twins: tuple[Path, ...] = ()
    """Sources and other results that some disks take for `out`: they differ in case or in how accents are composed."""

    @property
    def lossless(self) -> bool:
        """Whether the result is a PNG or TIFF, which have no quality to choose."""
        return self.out.suffix.lower() in _LOSSLESS


def told_apart(jobs: list[Job]) -> list[Job]:
    """The jobs with results of one name called after the suffixes of their sources, too: `a_png.webp`, `a_jpg.webp`.

    So all of them are, whatever else exists already. A line tells of it. Sources with equal suffixes keep the name, and
    so do those that would become themselves.
    """
    renamed: dict[int, Job] = {}
    for place, same in _by_place(jobs).items():
        places = [i for i in same if jobs[i].source.resolve() != place]
        endings = {jobs[i].source.suffix.lower() for i in places}
        if len(places) < 2 or len(endings) < len(places) or "" in endings:
            continue
        for i in places:
            job = jobs[i]
            stem = f"{job.source.stem}_{job.source.suffix.lower()[1:]}"
            renamed[i] = replace(job, out=job.out.with_name(stem + job.out.name[len(job.source.stem) :]))
        first = jobs[places[0]]
        sources = " and ".join(f"'{jobs[i].source}'" for i in places)
        results = " and ".join(f"'{renamed[i].out.name}'" for i in places)
        every = "both" if len(places) == 2 else "all"
        logger.warning("%s would %s become '%s': they become %s", sources, every, first.out, results)
    return [renamed.get(i, job) for i, job in enumerate(jobs)]


def checked(jobs: list[Job]) -> list[Job]:
    """The jobs, each that would replace a source or another's result refused. UsageError where none is left."""
    sources = {job.source.resolve(): job.source for job in jobs}
    alike: dict[str, set[Path]] = defaultdict(set)
    for path in [*sources, *(job.out.resolve() for job in jobs)]:
        alike[_folded(path)].add(path)
    done: list[Job] = []
    for place, places in _by_place(jobs).items():
        twins = tuple(sorted(alike[_folded(place)] - {place}))
        for i in places:
            others = [jobs[j].source for j in places if j != i]
            done.append(replace(jobs[i], refused=_refusal(jobs[i], place, sources, others), twins=twins))
    order = {job.source: number for number, job in enumerate(jobs)}
    done.sort(key=lambda job: order[job.source])
    if done and all(job.refused for job in done):
        raise UsageError(done[0].refused or "")
    return done


def in_the_way(job: Job) -> str | None:
    """Why the result cannot be written: on this disk its name is that of another picture."""
    if not job.twins or not exists(job.out):
        return None
    try:
        if any(path.name == job.out.name for path in job.out.parent.iterdir()):
            return None
    except OSError:
        return None  # told when it is written
    return (
        f"'{job.source}' would become '{job.out}', which on this disk is the name of another picture; "
        "run it apart, with its own -o"
    )


def _refusal(job: Job, place: Path, sources: dict[Path, Path], others: list[Path]) -> str | None:
    if place in sources:
        return f"'{job.source}' would become '{job.out}', which would replace a source; choose another -o or a --suffix"
    if others:
        first, second = sorted((job.source, others[0]))
        return f"'{first}' and '{second}' would both become '{job.out}'; run them apart, each with its own -o"
    return None


def _by_place(jobs: list[Job]) -> dict[Path, list[int]]:
    """The jobs by where their results go."""
    places: dict[Path, list[int]] = defaultdict(list)
    for i, job in enumerate(jobs):
        places[job.out.resolve()].append(i)
    return places


def _folded(path: Path) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())
