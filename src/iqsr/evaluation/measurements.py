"""Measures the outputs of all models: each picture is decoded once, for all metrics and all of its references."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from iqsr.datasets.evaluation_set import EvaluationItem
from iqsr.evaluation.contestants import GOLD_STANDARD, Contestant
from iqsr.metrics import MetricCard
from iqsr.scoring import MetricSet, ScoreCache, content_hash
from iqsr.scoring.files import scores_of
from iqsr.scoring.metric_set import BATCH_PIXELS

_KEPT_PIXELS = 24_000_000
"""Of pictures that are kept in memory while all models are compared with them: 288 MB."""
Part = tuple[Path, Path | None]
"""A picture, and what it is compared with."""
OnProgress = Callable[[str, int, int], None]
"""Called with what is done, how many pictures are done, and of how many."""


@dataclass(frozen=True)
class Measurement:
    """One image of one model by one metric."""

    image: str
    model: str
    card: MetricCard
    pictures: tuple[Path, ...]
    """the output; of the Gold Standard all ground truths, of which the best counts"""
    references: tuple[Path, ...] = ()
    """what it is compared with; the mean over them counts"""

    @property
    def parts(self) -> list[Part]:
        """Each picture with each reference."""
        return [(picture, reference) for picture in self.pictures for reference in self.references or (None,)]


@dataclass
class Outcome:
    """What was found for a measurement."""

    score: float = float("nan")
    errors: list[str] = field(default_factory=list[str])
    """why there is no score, one line each"""


def measurements(
    items: Sequence[EvaluationItem], models: Sequence[Contestant], cards: Iterable[MetricCard]
) -> list[Measurement]:
    """All that can be measured of single images: one after another, so that its models are together."""
    found: list[Measurement] = []
    listed = [card for card in cards if not card.of_sets]
    for item in items:
        for model in models:
            for card in listed:
                measurement = _measurement(item, model, card)
                if measurement is not None:
                    found.append(measurement)
    return found


def _measurement(item: EvaluationItem, model: Contestant, card: MetricCard) -> Measurement | None:
    """None where there is nothing to compare, or to compare with."""
    if model.kind == "gold":
        gold = item.ground_truths if card.reference == "none" else ()
        return Measurement(item.name, GOLD_STANDARD, card, gold) if gold else None
    picture = model.pictures.get(item.name)
    if picture is None:
        return None
    references = {"full": item.references, "input": (item.lr,) if item.lr else ()}.get(card.reference, ())
    if card.compares and not references:
        return None
    return Measurement(item.name, model.name, card, (picture,), references)


def measure(
    wanted: Sequence[Measurement],
    metric_set: MetricSet,
    *,
    cache: Path | None = None,
    pixels: int = BATCH_PIXELS,
    on_progress: OnProgress = lambda what, done, total: None,
) -> Iterator[tuple[Measurement, Outcome]]:
    """The score of each measurement, in their order: the mean over its references, the best over its pictures.

    One that lacks a part has no score, and the reasons. cache: a file that remembers the parts, so that what was
    stopped goes on. pixels: of pictures that are measured together.
    """
    shown, first = _parts(wanted)
    order = list(shown)
    found = [(picture, reference or picture) for picture, reference in order]
    parts: dict[Part, tuple[Mapping[str, float], Sequence[str]]] = {}
    with ExitStack() as stack:
        opened = None if cache is None else stack.enter_context(ScoreCache(cache))
        scored = scores_of(
            found,
            metric_set,
            references=_Given(),
            cache=opened,
            pixels=pixels,
            kept_pixels=_KEPT_PIXELS,
            wanted=list(shown.values()),
        )
        for done, (place, one) in enumerate(scored, 1):
            parts[order[place]] = (one.scores, one.errors)
            on_progress("pictures scored", done, len(order))
    yield from ((measurement, _outcome(measurement, parts, first)) for measurement in wanted)


def _parts(wanted: Sequence[Measurement]) -> tuple[dict[Part, set[str]], dict[Path, Part]]:
    """What is to be scored and by which metrics, an image after another; and of each picture its first part.

    Metrics that compare with nothing are measured together with the picture's first comparison where it has one.
    """
    first: dict[Path, Part] = {}
    metrics: dict[Part, set[str]] = {}
    image: dict[Part, int] = {}
    images = {name: place for place, name in enumerate(dict.fromkeys(measurement.image for measurement in wanted))}
    for measurement in sorted(wanted, key=lambda measurement: not measurement.card.compares):
        for part in measurement.parts:
            at = first.setdefault(part[0], part) if part[1] is None else part
            first.setdefault(part[0], part)
            metrics.setdefault(at, set()).add(measurement.card.name)
            image.setdefault(at, images[measurement.image])
    return {part: metrics[part] for part in sorted(metrics, key=lambda part: image[part])}, first


def _outcome(
    measurement: Measurement,
    found: Mapping[Part, tuple[Mapping[str, float], Sequence[str]]],
    first: Mapping[Path, Part],
) -> Outcome:
    """The mean over references, the best over pictures."""
    name, of_pictures, errors = measurement.card.name, list[float](), list[str]()
    for picture in measurement.pictures:
        values: list[float] = []
        for reference in measurement.references or (None,):
            scores, said = found[(picture, reference) if reference else first[picture]]
            if name in scores:
                values.append(scores[name])
            else:
                errors += [line for line in said if line not in errors]
        if len(values) == max(1, len(measurement.references)):
            of_pictures.append(sum(values) / len(values))
    if errors or not of_pictures:
        return Outcome(errors=errors or [f"{name} gave no score"])
    return Outcome((max if measurement.card.higher_is_better else min)(of_pictures))


def sha256_of(paths: Sequence[Path]) -> str:
    """One file's own; of several, one that stands for all of them in their order. PictureError."""
    own = [content_hash(path) for path in paths]
    return own[0] if len(own) == 1 else hashlib.sha256("\n".join(own).encode()).hexdigest() if own else ""


class _Given:
    """The original of each picture is given: it stands where other lists have the picture's relative path."""

    def original_of(self, relative: Path) -> Path:
        return relative
