"""Scores of the pictures behind pairs and sets: each measured once, however often it is compared."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from iqsr.errors import PictureError, UsageError
from iqsr.metrics import MetricCard, card
from iqsr.scoring.cache import ScoreCache
from iqsr.scoring.files import scores_of
from iqsr.scoring.pictures import MetricSet, Precision, default_metrics

Key = TypeVar("Key")

Progress = Callable[[int, int], None]
"""Called with the number of pictures that are done, and of all."""


@dataclass(frozen=True)
class Shown:
    """A picture, and the original it is compared with where there is one."""

    picture: Path
    reference: Path | None = None


@dataclass(frozen=True)
class Setting:
    """How pictures are scored; see `iqsr.scoring.score_files`."""

    device: str = "cpu"
    precision: Precision = "fp32"
    cache: Path | None = None
    """file of the scores that are remembered; None for none"""
    on_progress: Progress | None = None


def cards_of(metrics: Sequence[str] | None) -> dict[str, MetricCard]:
    """Cards by the metrics' own names, each once; None for the default. UnknownNameError, UsageError."""
    names = default_metrics() if metrics is None else metrics
    if not names:
        raise UsageError("no metric was named")
    return {about.name: about for about in map(card, names)}


def score_all(
    shown: Sequence[Shown], cards: Mapping[str, MetricCard], setting: Setting
) -> dict[str, NDArray[np.float64]]:
    """Scores by metric, in the order of `shown`, in which the same picture may stand often.

    A picture that has several originals is measured once by metrics that need none. Raises PictureError, one line
    with their number, for pictures without a score, once all others are measured, and the errors of `load_metric`.
    """
    full = [name for name, about in cards.items() if about.reference == "full"]
    both, alone = _places(shown), _places([one.picture for one in shown])
    found = {name: np.full(len(both if name in full else alone), np.nan) for name in cards}
    failed: dict[Path, str] = {}
    with ExitStack() as stack:
        cache = None if setting.cache is None else stack.enter_context(ScoreCache(setting.cache))
        for one, scores, errors in _measured(shown, list(cards), full, setting, cache):
            for name, score in scores.items():
                found[name][both[one] if name in full else alone[one.picture]] = score
            if errors:
                failed.setdefault(one.picture, errors[0])
    if failed:
        more = f" ({len(failed):,} such pictures; all other scores are there)" if len(failed) > 1 else ""
        raise PictureError(f"a picture has no score: {next(iter(failed.values()))}{more}")
    of_both, of_alone = np.array([both[one] for one in shown]), np.array([alone[one.picture] for one in shown])
    return {name: values[of_both if name in full else of_alone] for name, values in found.items()}


def _places(items: Iterable[Key]) -> dict[Key, int]:
    """A place for each, the same for equal ones."""
    return {item: place for place, item in enumerate(dict.fromkeys(items))}


Measured = tuple[Shown, Mapping[str, float], Sequence[str]]


def _measured(
    shown: Iterable[Shown], names: list[str], full: list[str], setting: Setting, cache: ScoreCache | None
) -> Iterator[Measured]:
    """Every picture with one of its originals by all metrics, then those with more by the metrics that compare."""
    distinct = list(dict.fromkeys(shown if full else (Shown(one.picture) for one in shown)))
    first = {one.picture: one for one in reversed(distinct)}
    others = [one for one in distinct if one is not first[one.picture]]
    done = 0
    for metrics, entries in ((names, list(first.values())[::-1]), (full, others)):
        if not entries:
            continue
        metric_set = MetricSet(metrics, device=setting.device, precision=setting.precision)
        listed = [(one.picture, one.reference or one.picture) for one in entries]
        for place, scored in scores_of(listed, metric_set, references=_Given() if full else None, cache=cache):
            yield entries[place], scored.scores, scored.errors
            done += 1
            if setting.on_progress is not None:
                setting.on_progress(done, len(distinct))


class _Given:
    """The original of each picture is given: it stands where other lists have the picture's relative path."""

    def of(self, relative: Path) -> Path:
        return relative
