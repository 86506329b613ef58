"""What a report shows of an evaluation's scores: by model, metric and image, and which of them are its headline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any

from iqsr.errors import UnknownNameError
from iqsr.evaluation.contestants import GOLD_STANDARD, Contestant
from iqsr.evaluation.scores import ALL_IMAGES
from iqsr.evaluation.summary import Cell, summarise_evaluation
from iqsr.evaluation.table_text import decimals

if TYPE_CHECKING:
    from iqsr.evaluation.result import Evaluation
    from iqsr.evaluation.scores import EvaluatedMetric

LEVELS = ("mid", "high", "low", "")
"""Which level of a metric the headline is taken from, the first choice first: pixels agree least with people."""
_PRINTED = 4
"""Scores that stand under a picture."""


@dataclass(frozen=True)
class Headline:
    """The comparison that a report begins with; the reader may choose others."""

    model: str
    other: str
    """the baseline; the model itself where there is no second one"""
    metric: EvaluatedMetric


@dataclass(frozen=True)
class ReportData:
    """An evaluation, with its figures by model and metric."""

    evaluation: Evaluation

    @cached_property
    def cells(self) -> Mapping[tuple[str, str], Cell]:
        """The tables' figures."""
        return summarise_evaluation(self.evaluation)

    @cached_property
    def scores(self) -> Mapping[tuple[str, str], Mapping[str, float]]:
        """By model and metric: the score of each image that has one."""
        found: dict[tuple[str, str], dict[str, float]] = {}
        columns = (self.evaluation.scores[name].tolist() for name in ("model", "metric", "image", "score"))
        for model, metric, image, score in zip(*columns, strict=True):
            if image != ALL_IMAGES and isfinite(score):
                found.setdefault((model, metric), {})[image] = score
        return found

    @property
    def models(self) -> list[Contestant]:
        """All but the Gold Standard."""
        return [model for model in self.evaluation.models if model.name != GOLD_STANDARD]

    @property
    def metrics(self) -> list[EvaluatedMetric]:
        """Those that have a score an image."""
        scored = {metric for _, metric in self.scores}
        return [metric for metric in self.evaluation.metrics if metric.name in scored]

    @cached_property
    def printed(self) -> list[str]:
        """The metrics under a picture: the headline's, and the first of each group of the taxonomy, up to four."""
        headline = self.headline()
        first = {(metric.reference, metric.level): metric.name for metric in reversed(self.metrics)}
        names = [headline.metric.name] if headline else []
        names += [metric.name for metric in self.metrics if metric.name in first.values()]
        return list(dict.fromkeys(names))[:_PRINTED]

    def headline(self) -> Headline | None:
        """The model with most best means against the baseline, by a metric that it was not trained on.

        None where no image has a score.
        """
        if not self.metrics or not self.models:
            return None
        names = [model.name for model in self.models]
        baseline = self.evaluation.baseline or names[0]
        others = [name for name in names if name != baseline] or [baseline]
        best = max(others, key=lambda name: sum(self.cells[name, m.name].rank == 1 for m in self.evaluation.metrics))

        def place(metric: EvaluatedMetric) -> tuple[bool, bool, int]:
            of_both = all((name, metric.name) in self.scores for name in (best, baseline))
            return not of_both, self.cells[best, metric.name].trained_on, LEVELS.index(metric.level)

        return Headline(best, baseline, min(self.metrics, key=place))

    def ordered(self, model: str, other: str, metric: EvaluatedMetric) -> list[str]:
        """Images from the worst for `model` to the best, by its difference to `other`, or its own score."""
        mine, theirs = self.scores.get((model, metric.name), {}), self.scores.get((other, metric.name), {})
        sign = 1 if metric.higher_is_better else -1
        if model == other:
            return sorted(mine, key=lambda image: sign * mine[image])
        return sorted(mine.keys() & theirs.keys(), key=lambda image: (sign * (mine[image] - theirs[image]), image))

    def lines(self, model: str, image: str, metrics: Sequence[str] = ()) -> list[str]:
        """A model's scores of an image, a line each. metrics: `printed` by default."""
        shown = [m for m in self.metrics if m.name in (metrics or self.printed)]
        return [
            f"{metric.name} {value:.{decimals(metric)}f}"
            for metric in shown
            if (value := self.scores.get((model, metric.name), {}).get(image)) is not None
        ]

    def plain(self) -> dict[str, Any]:
        """For the page's script: names, means and scores; null where there is none."""
        images = [item.name for item in self.evaluation.set.items]
        return {
            "models": [model.name for model in self.evaluation.models],
            "images": images,
            "metrics": [
                {"name": m.name, "higher": m.higher_is_better, "decimals": decimals(m)} for m in self.evaluation.metrics
            ],
            "means": [[self._mean(model.name, m) for model in self.evaluation.models] for m in self.evaluation.metrics],
            "scores": [
                [self._row(model.name, m.name, images) for model in self.evaluation.models]
                for m in self.evaluation.metrics
            ],
        }

    def _mean(self, model: str, metric: EvaluatedMetric) -> list[float | None]:
        summary = self.cells[model, metric.name].summary
        return [_rounded(value) for value in (summary.mean, *summary.interval)]

    def _row(self, model: str, metric: str, images: Sequence[str]) -> list[float | None]:
        scores = self.scores.get((model, metric), {})
        return [_rounded(scores[image]) if image in scores else None for image in images]


def ends(ordered: Sequence[str], count: int) -> list[str]:
    """`count` of them, half from each end: as many of the worst as of the best."""
    if len(ordered) <= count:
        return list(ordered)
    half = count // 2
    return [*ordered[:half], *ordered[len(ordered) - (count - half) :]]


def check_known(kind: str, names: Sequence[str], known: Sequence[str]) -> None:
    """UnknownNameError for the first name that is not known. kind: what the names are of."""
    for name in names:
        if name not in known:
            raise UnknownNameError(kind, name, list(known))


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if isfinite(value) else None
