"""Plans the scoring of picture files: which scores are missing, and which pictures are measured in one batch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from iqsr.errors import IqsrError, StoreError
from iqsr.images import open_as_srgb
from iqsr.io.remote import fetch_all
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
    wanted: Sequence[Collection[str]] | None = None,
) -> Iterator[list[Task]]:
    """Yield batches of pictures of equal size. Pictures that need no decoding (cached, or unreadable) come first.

    wanted: the metrics that measure each of `found`; all of them by default.
    """
    for start in range(0, len(found), _CHUNK):
        fetch_all(path for path, _ in found[start : start + _CHUNK])
        tasks: list[Task] = []
        for index, (path, relative) in enumerate(found[start : start + _CHUNK], start):
            names = [name for name in metric_set.names if wanted is None or name in wanted[index]]
            tasks.append(_task(index, path, relative, metric_set, references, names))
        if cache is not None:
            _fill_from_cache(tasks, metric_set, cache)
        complete = [task for task in tasks if not task.wanted]
        missing = [task for task in tasks if task.wanted]
        for task in missing:
            if not any(metric_set.cards[name].compares for name in task.wanted):
                task.original = None
        if complete:
            yield complete
        for indices in batches([(t.scored.width or 1, t.scored.height or 1) for t in missing], pixels=pixels):
            yield [missing[index] for index in indices]


def _task(
    index: int,
    path: Path,
    relative: Path,
    metric_set: MetricSet,
    references: OriginalLookup | None,
    names: Sequence[str],
) -> Task:
    """Read the headers of a picture and its original, and find which metrics can measure it."""
    task = Task(index, PictureScores(path), [])
    try:
        info = open_as_srgb(path).info
    except StoreError:
        raise
    except IqsrError as error:
        task.scored.add_error(error)
        return task
    task.scored.width, task.scored.height = info.width, info.height
    task.wanted = [name for name in names if _large_enough(task.scored, metric_set, name)]
    if references is not None and any(metric_set.cards[name].compares for name in names):
        try:
            task.original = task.scored.reference = references.original_of(relative)
            other = open_as_srgb(task.original).info
        except StoreError:
            raise
        except IqsrError as error:
            task.scored.add_error(error)
            task.wanted = [name for name in task.wanted if not metric_set.cards[name].compares]
        else:
            task.wanted = _comparable(task, names, metric_set, (other.width, other.height))
    return task


def _large_enough(scored: PictureScores, metric_set: MetricSet, name: str) -> bool:
    why = metric_set.too_small(name, scored.width or 0, scored.height or 0)
    if why is not None:
        scored.add_error(why)
    return why is None


def _comparable(task: Task, names: Sequence[str], metric_set: MetricSet, other: tuple[int, int]) -> list[str]:
    """The wanted metrics that accept a reference of that (width, height). Adds an error if any of `names` does not."""
    size = (task.scored.width or 0, task.scored.height or 0)
    cards = {name: metric_set.cards[name] for name in names}
    unfit = [card for card in cards.values() if card.compares and not card.fits(size, other)]
    if unfit:
        inputs = ", ".join(card.name for card in unfit if card.reference == "input")
        advice = f"{inputs} takes the input, smaller by a whole factor" if inputs else "crop or resize one of them"
        task.scored.add_error(
            f"has {size[0]} x {size[1]} pixels, its reference '{task.original}' {other[0]} x {other[1]}; {advice}"
        )
    return [name for name in task.wanted if cards[name] not in unfit]


def _fill_from_cache(tasks: Sequence[Task], metric_set: MetricSet, cache: ScoreCache) -> None:
    """Fill in the scores that are in the cache."""
    for task in tasks:
        try:
            task.keys = {name: _key(task, name, metric_set) for name in task.wanted}
        except StoreError:
            raise
        except IqsrError as error:  # the file has vanished
            task.scored.add_error(error)
            task.wanted = []
    known = cache.get([key for task in tasks for key in task.keys.values()])
    for task in tasks:
        task.scored.scores = {name: known[key] for name, key in task.keys.items() if key in known}
        task.wanted = [name for name in task.wanted if name not in task.scored.scores]


def _key(task: Task, name: str, metric_set: MetricSet) -> CacheKey:
    compares = metric_set.cards[name].compares and task.original is not None
    original = content_hash(task.original) if compares and task.original else ""
    return CacheKey(content_hash(task.scored.path), original, name, metric_set.fingerprint(name))
