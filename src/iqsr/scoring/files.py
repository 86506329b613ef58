"""Scores of picture files: each file is decoded once for all metrics; scores are cached, so that a run can resume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from iqsr.errors import IqsrError, PictureError, StoreError, UsageError
from iqsr.images import open_picture
from iqsr.images.find import OnUnread, find_pictures, in_home
from iqsr.io.remote import held
from iqsr.metrics import Precision
from iqsr.scoring.cache import CacheKey, ScoreCache, content_hash
from iqsr.scoring.metric_set import BATCH_PIXELS, MetricSet
from iqsr.scoring.references import OriginalLookup, References
from iqsr.scoring.tasks import PictureScores, Task, planned

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
    on_progress: Callable[[PictureScores, int, int], None] | None = None,
) -> DataFrame:
    """Score picture files.

    Pictures are measured as they are displayed: upright, gray as three equal channels, 16 bits in full precision, CMYK
    and Lab converted to sRGB. Transparency is ignored; hidden colours are filled from their neighbours.

    A picture that cannot be scored does not stop the others: its score is NaN, and the column `error` says why.

    Args:
        paths: Files, folders, patterns, also as URLs (`s3://bucket/folder/`).
        metrics: Names, see `list_metrics`; srq by default.
        reference: The original's file, or the folder of originals, for metrics that compare. A warning names
            pictures whose original has another name.
        device: `cpu`, `cuda`, `cuda:N`, `mps` or `auto`.
        precision: `fp32` or `bf16`; that of networks.
        crop_border: Pixels that full-reference metrics crop on each side.
        cache: A file in which scores are kept, so that a run that was stopped goes on; None for none.
        on_progress: Called after each picture with its scores, the number of pictures done, and the number of all.

    Returns:
        A table with a row for each picture, in the order in which they were found. Its columns are `path`, `width`,
        `height`, `reference` if there is one, one for each metric, and `error` if a score is missing.

    Raises:
        UsageError: For wrong arguments, such as a reference that is missing or not used.
        WeightsError: If a metric's weights are not here.
        IqsrError: If the cache is damaged.
    """
    from iqsr.scoring.table import to_table

    metric_set = MetricSet(metrics, device=device, precision=precision, crop_border=crop_border)
    references = references_for(metric_set, None if reference is None else in_home(str(reference)))
    found = find_pictures(paths)
    scored = score_found(found, metric_set, references=references, cache=cache, on_progress=on_progress)
    return to_table(scored, metric_set.names)


def score_found(
    found: Sequence[tuple[Path, Path]],
    metric_set: MetricSet,
    *,
    references: References | None = None,
    cache: Path | None = None,
    on_progress: Callable[[PictureScores, int, int], None] | None = None,
) -> list[PictureScores]:
    """`score_files` for the result of `find_pictures`, with a metric set that may be loaded; returns no table."""
    scored: dict[int, PictureScores] = {}
    with ExitStack() as stack:
        opened = None if cache is None else stack.enter_context(ScoreCache(cache))
        for index, one in scores_of(found, metric_set, references=references, cache=opened):
            scored[index] = one
            if on_progress is not None:
                on_progress(one, len(scored), len(found))
    if references is not None:
        references.warn_of_other_names()
    return [scored[index] for index in sorted(scored)]


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
    references: OriginalLookup | None = None,
    cache: ScoreCache | None = None,
    pixels: int = BATCH_PIXELS,
    kept_pixels: int = 0,
    wanted: Sequence[Collection[str]] | None = None,
) -> Iterator[tuple[int, PictureScores]]:
    """Score what `find_pictures` found, as `score_files` does; yields each picture's index in `found` with its scores.

    wanted: the metrics that measure each of `found`; all of them by default. A picture may stand in `found` several
    times in a row, with several originals: it is decoded once. kept_pixels: how many pixels of decoded pictures stay in
    memory for later batches.

    A thread decodes the next batch while one is measured. No more than three batches of `pixels` (a larger picture is
    a batch of its own), with their originals, are in memory at once.
    """
    for batch in prefetched(_Decoder(kept_pixels), planned(found, metric_set, references, cache, pixels, wanted)):
        new_scores = _measured(batch, metric_set)
        if cache is not None and new_scores:
            cache.put(new_scores)
        yield from ((task.index, task.scored) for task in batch.tasks)


def prefetched(work: Callable[[In], Out], items: Iterable[In]) -> Iterator[Out]:
    """`map(work, items)`, with the next item computed in a thread while the caller uses the last result."""
    with ThreadPoolExecutor(1, thread_name_prefix="iqsr-prefetch") as thread:
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
    """Decoded pictures of one size, (1, 3, H, W) each; None where one is not needed or cannot be read."""

    tasks: list[Task]
    pictures: list[Tensor | None]
    originals: list[Tensor | None]


class _Decoder:
    """Decodes batches. The pictures of the last batch are kept, for those that share an original or have several.

    kept_pixels: how many pixels of earlier batches are kept as well, the latest first.
    """

    def __init__(self, kept_pixels: int) -> None:
        self._kept_pixels = kept_pixels
        self._known: dict[Path, Tensor | IqsrError] = {}
        """The one used last is last."""

    def __call__(self, tasks: list[Task]) -> _Batch:
        pictures = [self._picture(task) for task in tasks]
        originals = [self._original(task) for task in tasks]
        self._forget({task.scored.path for task in tasks} | {task.original for task in tasks if task.original})
        return _Batch(tasks, pictures, originals)

    def _decoded(self, path: Path, hashes: set[str]) -> Tensor | IqsrError:
        known = self._known.pop(path, None)
        self._known[path] = _read(path, hashes) if known is None else known
        return self._known[path]

    def _forget(self, of_this_batch: set[Path]) -> None:
        pixels = 0
        for path in [path for path in reversed(self._known) if path not in of_this_batch]:
            picture = self._known[path]
            pixels += 0 if isinstance(picture, IqsrError) else picture.shape[2] * picture.shape[3]
            if pixels > self._kept_pixels:
                del self._known[path]

    def _picture(self, task: Task) -> Tensor | None:
        if not task.wanted:
            return None
        picture = self._decoded(task.scored.path, {key.picture for key in task.keys.values()})
        if isinstance(picture, IqsrError):
            task.scored.add_error(picture)
            task.wanted, task.original = [], None
            return None
        return picture

    def _original(self, task: Task) -> Tensor | None:
        if task.original is None:
            return None
        original = self._decoded(task.original, {key.reference for key in task.keys.values()} - {""})
        if isinstance(original, IqsrError):
            task.scored.add_error(original)
            return None
        return original


def _read(path: Path, hashes: set[str]) -> Tensor | IqsrError:
    """A whole picture, (1, 3, H, W) in [0, 1], or the error. hashes: the expected `content_hash`, if any."""
    try:
        with held(path):
            picture = open_picture(path)
            (whole,) = picture.rows(picture.info.height)
            if hashes - {content_hash(path)}:
                raise PictureError(f"cannot score '{path}': it has changed since it was opened; run again")
    except StoreError:
        raise
    except IqsrError as error:
        return error
    return whole


def _measured(batch: _Batch, metric_set: MetricSet) -> dict[CacheKey, float]:
    """Measure a batch and put the scores into its tasks. Returns the scores to cache."""
    new_scores: dict[CacheKey, float] = {}
    for name in metric_set.names:
        compares = metric_set.cards[name].compares
        indices = [i for i, task in enumerate(batch.tasks) if name in task.wanted]
        for alike in _by_reference(batch, indices) if compares else [indices] if indices else []:
            x = _joined(batch.pictures, alike)
            reference = _joined(batch.originals, alike) if compares else None
            for i, score in zip(alike, metric_set.measure(name, x, reference), strict=True):
                task = batch.tasks[i]
                if isinstance(score, str):
                    task.scored.add_error(score)
                    continue
                task.scored.scores[name] = score
                if name in task.keys:
                    new_scores[task.keys[name]] = score
    return new_scores


def _by_reference(batch: _Batch, indices: Sequence[int]) -> list[list[int]]:
    """The indices of tasks that have a reference: those of one original together, the rest by its size.

    Inputs of one batch may differ in size. Networks compute the features of an original once for all its pictures.
    """
    known = {index: original for index in indices if (original := batch.originals[index]) is not None}
    uses = Counter(id(original) for original in known.values())
    found: dict[tuple[int, ...], list[int]] = {}
    for index, original in known.items():
        own = id(original) if uses[id(original)] > 1 else 0
        found.setdefault((own, *original.shape), []).append(index)
    return list(found.values())


def _joined(pictures: Sequence[Tensor | None], indices: Sequence[int]) -> Tensor:
    """As one batch. A picture that stands for all of them is a view with a stride of 0, and not copied."""
    import torch

    chosen = [picture for place in indices if (picture := pictures[place]) is not None]
    if all(picture is chosen[0] for picture in chosen):
        return chosen[0].expand(len(chosen), -1, -1, -1)
    return torch.cat(chosen)
