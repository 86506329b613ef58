"""Plans the scoring of picture files: which scores are missing, and which pictures are measured in one batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from iqsr.errors import IqsrError, PictureError
from iqsr.images import open_as_srgb
from iqsr.scoring.cache import CacheKey, ScoreCache, content_hash
from iqsr.scoring.metric_set import MetricSet, batches
from iqsr.scoring.references import OriginalLookup

_CHUNK = 256
"""How many pictures' headers are read, and cached scores looked up, before they are grouped by size."""


@dataclass
class PictureScores:
    """The size and the scores of one picture file."""

    path: Path
    width: int | None = None
    """In pixels, upright; None if the file cannot be read."""
    height: int | None = None
    scores: dict[str, float] = field(default_factory=dict[str, float])
    """By metric; all are finite."""
    errors: list[str] = field(default_factory=list[str])
    """Why scores are missing: one line each, with the picture's name."""
    reference: Path | None = None
    """The original that it is compared with, if any."""

    def add_error(self, why: object) -> None:
        """Add the reason of a missing score, as a line that names the picture."""
        text = str(why)
        self.errors.append(text if f"'{self.path}'" in text else f"'{self.path}': {text}")


@dataclass
class Task:
    """One picture to score."""

    index: int
    """Its index in the list of pictures."""
    scored: PictureScores
    wanted: list[str]
    """Metrics that are still to be computed."""
    original: Path | None = None
    keys: dict[str, CacheKey] = field(default_factory=dict[str, CacheKey])


def planned(
    found: Sequence[tuple[Path, Path]],
    metric_set: MetricSet,
    references: OriginalLookup | None,
    cache: ScoreCache | None,
    pixels: int,
) -> Iterator[list[Task]]:
    """Yield batches of pictures of equal size. Pictures that need no decoding (cached, or unreadable) come first."""
    for start in range(0, len(found), _CHUNK):
        chunk = enumerate(found[start : start + _CHUNK], start)
        tasks = [_task(index, path, relative, metric_set, references) for index, (path, relative) in chunk]
        if cache is not None:
            _fill_from_cache(tasks, metric_set, cache)
        complete = [task for task in tasks if not task.wanted]
        missing = [task for task in tasks if task.wanted]
        for task in missing:
            if not any(metric_set.cards[name].reference == "full" for name in task.wanted):
                task.original = None
        if complete:
            yield complete
        for indices in batches([(t.scored.width or 1, t.scored.height or 1) for t in missing], pixels=pixels):
            yield [missing[index] for index in indices]


def _task(index: int, path: Path, relative: Path, metric_set: MetricSet, references: OriginalLookup | None) -> Task:
    """Read the headers of a picture and its original, and find which metrics can measure it."""
    task = Task(index, PictureScores(path), [])
    try:
        info = open_as_srgb(path).info
    except IqsrError as error:
        task.scored.add_error(error)
        return task
    task.scored.width, task.scored.height = info.width, info.height
    task.wanted = [name for name in metric_set.names if _large_enough(task.scored, metric_set, name)]
    if references is not None:
        try:
            task.original = task.scored.reference = references.original_of(relative)
            _check_same_size(task.scored, task.original)
        except IqsrError as error:
            task.scored.add_error(error)
            task.wanted = [name for name in task.wanted if name not in metric_set.with_reference]
    return task


def _large_enough(scored: PictureScores, metric_set: MetricSet, name: str) -> bool:
    why = metric_set.too_small(name, scored.width or 0, scored.height or 0)
    if why is not None:
        scored.add_error(why)
    return why is None


def _check_same_size(scored: PictureScores, original: Path) -> None:
    info = open_as_srgb(original).info
    if (info.width, info.height) != (scored.width, scored.height):
        raise PictureError(
            f"has {scored.width} x {scored.height} pixels, its reference '{original}' {info.width} x {info.height}; "
            "crop or resize one of them"
        )


def _fill_from_cache(tasks: Sequence[Task], metric_set: MetricSet, cache: ScoreCache) -> None:
    """Fill in the scores that are in the cache."""
    for task in tasks:
        try:
            task.keys = {name: _key(task, name, metric_set) for name in task.wanted}
        except IqsrError as error:  # the file has vanished
            task.scored.add_error(error)
            task.wanted = []
    known = cache.get([key for task in tasks for key in task.keys.values()])
    for task in tasks:
        task.scored.scores = {name: known[key] for name, key in task.keys.items() if key in known}
        task.wanted = [name for name in task.wanted if name not in task.scored.scores]


def _key(task: Task, name: str, metric_set: MetricSet) -> CacheKey:
    compares = metric_set.cards[name].reference == "full" and task.original is not None
    original = content_hash(task.original) if compares and task.original else ""
    return CacheKey(content_hash(task.scored.path), original, name, metric_set.fingerprint(name))
