"""Scores of picture files: each decoded once whatever the number of metrics, remembered, resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from iqsr.errors import IqsrError, PictureError, UsageError
from iqsr.images import open_picture
from iqsr.images.find import OnUnread, find_pictures
from iqsr.scoring.cache import CacheKey, ScoreCache, content_hash
from iqsr.scoring.pictures import BATCH_PIXELS, MetricSet, Precision
from iqsr.scoring.references import Originals, References
from iqsr.scoring.tasks import Scored, Task, planned

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor

In = TypeVar("In")
Out = TypeVar("Out")


def score_files(
    paths: Iterable[str | Path],
    metrics: Sequence[str] | None = None,
    *,
    reference: str | Path | None = None,
    device: str = "cpu",
    precision: Precision = "fp32",
    crop_border: int = 0,
    cache: Path | None = None,
    on_progress: Callable[[Scored, int, int], None] | None = None,
) -> DataFrame:
    """Score picture files.

    Pictures are measured as they look: upright, gray as three equal channels, 16 bit with all bits, CMYK and Lab
    converted to sRGB. Transparency is ignored; colour that it hides is filled from its neighbours.

    A score that cannot be had does not stop the rest: it is missing (NaN), and the column `error` says why.

    Args:
        paths: Files, folders, patterns.
        metrics: Names, see `list_metrics`; srq by default.
        reference: The original's file, or the folder of originals, for metrics that compare. An original of another
            name than the picture's is told in a warning.
        device: `cpu`, `cuda`, `cuda:N`, `mps` or `auto`.
        precision: Of networks, `fp32` or `bf16`.
        crop_border: Pixels that metrics which compare leave out on each side.
        cache: A file that remembers scores, so that a run that was stopped goes on; None for none.
        on_progress: Called after each picture with it, the number of pictures done, and of all.

    Returns:
        A row a picture, in the order they were found: `path`, `width`, `height`, `reference` where pictures are
        compared, a column a metric, and `error` where a score is missing.

    Raises:
        UsageError: For arguments that cannot be right.
        WeightsError: If a metric's weights are not here.
        IqsrError: If the cache is damaged.
    """
    from iqsr.scoring.table import to_table

    metric_set = MetricSet(metrics, device=device, precision=precision, crop_border=crop_border)
    references = references_for(metric_set, None if reference is None else Path(reference))
    found = find_pictures(paths)
    scored = score_found(found, metric_set, references=references, cache=cache, on_progress=on_progress)
    return to_table(scored, metric_set.names)


def score_found(
    found: Sequence[tuple[Path, Path]],
    metric_set: MetricSet,
    *,
    references: References | None = None,
    cache: Path | None = None,
    on_progress: Callable[[Scored, int, int], None] | None = None,
) -> list[Scored]:
    """`score_files` for what `find_pictures` found, with metrics that may be loaded already, without a table of it."""
    scored: dict[int, Scored] = {}
    with ExitStack() as stack:
        opened = None if cache is None else stack.enter_context(ScoreCache(cache))
        for place, one in scores_of(found, metric_set, references=references, cache=opened):
            scored[place] = one
            if on_progress is not None:
                on_progress(one, len(scored), len(found))
    if references is not None:
        references.tell_other_names()
    return [scored[place] for place in sorted(scored)]


def references_for(metric_set: MetricSet, path: Path | None, *, on_unread: OnUnread | None = None) -> References | None:
    """The originals at `path`; on_unread as in `find_pictures`.

    UsageError where metrics need some and there are none, or the other way round.
    """
    names = metric_set.with_reference
    if path is None and names:
        verb = "compares" if len(names) == 1 else "compare"
        raise UsageError(f"{', '.join(names)} {verb} with a reference: give --reference FOLDER or FILE")
    if path is not None and not names:
        raise UsageError("none of the metrics compares with a reference: add one, e.g. psnr,ssim,stlpips, or give none")
    return None if path is None else References(path, on_unread=on_unread)


def scores_of(
    found: Sequence[tuple[Path, Path]],
    metric_set: MetricSet,
    *,
    references: Originals | None = None,
    cache: ScoreCache | None = None,
    pixels: int = BATCH_PIXELS,
) -> Iterator[tuple[int, Scored]]:
    """Score what `find_pictures` found, as `score_files` does; yields each picture's place when it is done.

    A thread decodes the next batch while one is measured. No more than three batches of `pixels` (a larger picture is
    a batch of its own), with their originals, are in memory at once.
    """
    for batch in ahead(_Decoder(), planned(found, metric_set, references, cache, pixels)):
        fresh = _measured(batch, metric_set)
        if cache is not None and fresh:
            cache.put(fresh)
        yield from ((task.place, task.scored) for task in batch.tasks)


def ahead(work: Callable[[In], Out], items: Iterable[In]) -> Iterator[Out]:
    """`map(work, items)` with the next item at work in a thread while the caller uses the last result."""
    with ThreadPoolExecutor(1, thread_name_prefix="iqsr-ahead") as thread:
        last = None
        for item in items:
            upcoming = thread.submit(work, item)
            if last is not None:
                yield last.result()
            last = upcoming
        if last is not None:
            yield last.result()


@dataclass
class _Batch:
    """Pictures of one size in memory, (1, 3, H, W) each; a None was not needed, or could not be read."""

    tasks: list[Task]
    pictures: list[Tensor | None]
    originals: list[Tensor | None]


class _Decoder:
    """Reads batches. Originals of the last batch are kept, for pictures that share theirs."""

    def __init__(self) -> None:
        self._originals: dict[Path, Tensor | IqsrError] = {}

    def __call__(self, tasks: list[Task]) -> _Batch:
        known, self._originals = self._originals, {}
        pictures = [self._picture(task) for task in tasks]
        originals = [self._original(task, known) for task in tasks]
        return _Batch(tasks, pictures, originals)

    def _picture(self, task: Task) -> Tensor | None:
        if not task.wanted:
            return None
        picture = _read(task.scored.path, {key.picture for key in task.keys.values()})
        if isinstance(picture, IqsrError):
            task.scored.failed(picture)
            task.wanted, task.original = [], None
            return None
        return picture

    def _original(self, task: Task, known: dict[Path, Tensor | IqsrError]) -> Tensor | None:
        path = task.original
        if path is None:
            return None
        if path not in self._originals:
            hashes = {key.reference for key in task.keys.values()} - {""}
            self._originals[path] = known[path] if path in known else _read(path, hashes)
        original = self._originals[path]
        if isinstance(original, IqsrError):
            task.scored.failed(original)
            return None
        return original


def _read(path: Path, hashes: set[str]) -> Tensor | IqsrError:
    """A whole picture, (1, 3, H, W) in [0, 1], or what is wrong. `hashes`: what its content must have, if anything."""
    try:
        picture = open_picture(path)
        (whole,) = picture.rows(picture.info.height)
        if hashes - {content_hash(path)}:
            raise PictureError(f"cannot score '{path}': it has changed since it was opened; run again")
    except IqsrError as error:
        return error
    return whole


def _measured(batch: _Batch, metric_set: MetricSet) -> dict[CacheKey, float]:
    """Measure a batch; the scores go to its tasks. Returns those to be remembered."""
    fresh: dict[CacheKey, float] = {}
    for name in metric_set.names:
        compares = metric_set.cards[name].reference == "full"
        places = [i for i, task in enumerate(batch.tasks) if name in task.wanted]
        places = [i for i in places if batch.originals[i] is not None or not compares]
        if not places:
            continue
        x = _joined(batch.pictures, places)
        reference = _joined(batch.originals, places) if compares else None
        for i, score in zip(places, metric_set.measure(name, x, reference), strict=True):
            task = batch.tasks[i]
            if isinstance(score, str):
                task.scored.failed(score)
                continue
            task.scored.scores[name] = score
            if name in task.keys:
                fresh[task.keys[name]] = score
    return fresh


def _joined(pictures: Sequence[Tensor | None], places: Sequence[int]) -> Tensor:
    import torch

    chosen = [picture for place in places if (picture := pictures[place]) is not None]
    return chosen[0] if len(chosen) == 1 else torch.cat(chosen)
