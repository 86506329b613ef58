"""What has to be done for picture files: which scores are missing, which pictures go together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from iqsr.errors import IqsrError, PictureError
from iqsr.images import open_as_srgb
from iqsr.scoring.cache import CacheKey, ScoreCache, content_hash
from iqsr.scoring.pictures import MetricSet, batches
from iqsr.scoring.references import Originals

_CHUNK = 256
"""Pictures whose headers are read, and whose scores are looked up, before they are sorted by size."""


@dataclass
class Scored:
    """What is known of one picture file."""

    path: Path
    width: int | None = None
    """in pixels, as seen; None where the file cannot be read"""
    height: int | None = None
    scores: dict[str, float] = field(default_factory=dict[str, float])
    """finite, by metric"""
    errors: list[str] = field(default_factory=list[str])
    """one line each, with the picture's name: why scores are missing"""
    reference: Path | None = None
    """the original it is compared with, where it is"""

    def failed(self, why: object) -> None:
        """Note why a score is missing; the line names the picture."""
        text = str(why)
        self.errors.append(text if f"'{self.path}'" in text else f"'{self.path}': {text}")


@dataclass
class Task:
    """One picture on its way."""

    place: int
    scored: Scored
    wanted: list[str]
    """metrics that are still to be computed"""
    original: Path | None = None
    keys: dict[str, CacheKey] = field(default_factory=dict[str, CacheKey])


def planned(
    found: Sequence[tuple[Path, Path]],
    metric_set: MetricSet,
    references: Originals | None,
    cache: ScoreCache | None,
    pixels: int,
) -> Iterator[list[Task]]:
    """Batches of equal size; pictures that need no decoding, for they are remembered or cannot be read, come first."""
    for start in range(0, len(found), _CHUNK):
        chunk = enumerate(found[start : start + _CHUNK], start)
        tasks = [_task(place, path, relative, metric_set, references) for place, (path, relative) in chunk]
        if cache is not None:
            _recall(tasks, metric_set, cache)
        settled = [task for task in tasks if not task.wanted]
        open_ones = [task for task in tasks if task.wanted]
        for task in open_ones:
            if not any(metric_set.cards[name].reference == "full" for name in task.wanted):
                task.original = None
        if settled:
            yield settled
        for places in batches([(t.scored.width or 1, t.scored.height or 1) for t in open_ones], pixels=pixels):
            yield [open_ones[place] for place in places]


def _task(place: int, path: Path, relative: Path, metric_set: MetricSet, references: Originals | None) -> Task:
    """Open a picture, and its original; note what of it can be measured."""
    task = Task(place, Scored(path), [])
    try:
        info = open_as_srgb(path).info
    except IqsrError as error:
        task.scored.failed(error)
        return task
    task.scored.width, task.scored.height = info.width, info.height
    task.wanted = [name for name in metric_set.names if _large_enough(task.scored, metric_set, name)]
    if references is not None:
        try:
            task.original = task.scored.reference = references.of(relative)
            _check_same_size(task.scored, task.original)
        except IqsrError as error:
            task.scored.failed(error)
            task.wanted = [name for name in task.wanted if name not in metric_set.with_reference]
    return task


def _large_enough(scored: Scored, metric_set: MetricSet, name: str) -> bool:
    why = metric_set.too_small(name, scored.width or 0, scored.height or 0)
    if why is not None:
        scored.failed(why)
    return why is None


def _check_same_size(scored: Scored, original: Path) -> None:
    info = open_as_srgb(original).info
    if (info.width, info.height) != (scored.width, scored.height):
        raise PictureError(
            f"has {scored.width} x {scored.height} pixels, its reference '{original}' {info.width} x {info.height}; "
            "crop or resize one of them"
        )


def _recall(tasks: Sequence[Task], metric_set: MetricSet, cache: ScoreCache) -> None:
    """Take what is remembered."""
    for task in tasks:
        try:
            task.keys = {name: _key(task, name, metric_set) for name in task.wanted}
        except IqsrError as error:  # the file has vanished
            task.scored.failed(error)
            task.wanted = []
    known = cache.get([key for task in tasks for key in task.keys.values()])
    for task in tasks:
        task.scored.scores = {name: known[key] for name, key in task.keys.items() if key in known}
        task.wanted = [name for name in task.wanted if name not in task.scored.scores]


def _key(task: Task, name: str, metric_set: MetricSet) -> CacheKey:
    compares = metric_set.cards[name].reference == "full" and task.original is not None
    original = content_hash(task.original) if compares and task.original else ""
    return CacheKey(content_hash(task.scored.path), original, name, metric_set.fingerprint(name))
