"""The figures of an evaluation's tables: a cell for each model and metric, and which cells are best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from typing import TYPE_CHECKING

import numpy as np

from iqsr.evaluation.contestants import GOLD_STANDARD
from iqsr.evaluation.scores import ALL_IMAGES
from iqsr.evaluation.statistics import Comparison, Summary, compare, holm, summarise

if TYPE_CHECKING:
    from iqsr.evaluation.result import Evaluation
    from iqsr.evaluation.scores import EvaluatedMetric

SIGNIFICANT = 0.05
"""Holm-corrected p values below it are marked."""


@dataclass(frozen=True)
class Cell:
    """One model by one metric."""

    model: str
    metric: str
    summary: Summary
    comparison: Comparison | None = None
    """against the baseline; None for the baseline itself, the Gold Standard, and scores of all images together"""
    rank: int | None = None
    """1 for the best mean, 2 for the second; equal means share a rank. None for the Gold Standard, and where there is
    no score"""
    trained_on: bool = False
    """whether the model's training optimised this metric"""
    of_all_images: bool = False
    """whether it is one score of all images together, as FID, and no mean over images"""

    @property
    def is_significant(self) -> bool:
        """Whether the difference to the baseline would be a rare chance: Holm-corrected p below 0.05."""
        return self.comparison is not None and self.comparison.p_holm < SIGNIFICANT


def summarise_evaluation(evaluation: Evaluation) -> dict[tuple[str, str], Cell]:
    """A cell for each model and metric, in the order of models, then metrics.

    Comparisons are with the evaluation's baseline and corrected together, all models and metrics of the evaluation.
    """
    cells: dict[tuple[str, str], Cell] = {}
    names = [model.name for model in evaluation.models]
    scores = _scores(evaluation)
    for metric in evaluation.metrics:
        for model in evaluation.models:
            baseline = scores.get((evaluation.baseline or "", metric.name), {})
            compared = {} if model.name in {evaluation.baseline, GOLD_STANDARD} else baseline
            cell = _cell(model.name, metric, scores.get((model.name, metric.name), {}), compared)
            trained_on = bool({metric.name, metric.variant} & set(model.trained_on))
            cells[model.name, metric.name] = replace(cell, trained_on=trained_on)
        _rank(cells, [name for name in names if name != GOLD_STANDARD], metric)
    _correct(cells)
    return {(model, metric.name): cells[model, metric.name] for model in names for metric in evaluation.metrics}


def _scores(evaluation: Evaluation) -> dict[tuple[str, str], dict[str, float]]:
    """By model and metric: the score of each image; `""` stands for all images together, as of FID."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    columns = (evaluation.scores[name].tolist() for name in ("model", "metric", "image", "score"))
    for model, metric, image, score in zip(*columns, strict=True):
        found.setdefault((model, metric), {})[image] = score
    return found


def _cell(model: str, metric: EvaluatedMetric, scores: Mapping[str, float], baseline: Mapping[str, float]) -> Cell:
    """Without rank and correction.

    A score of all images together has no interval. Of a sum of means there are no images to vary; a Fréchet distance
    depends more on the number of different images, which resampling lowers, than it varies.
    """
    if ALL_IMAGES in scores:
        score = scores[ALL_IMAGES]
        summary = Summary(n=metric.samples or 1, mean=score, median=nan, interval=(nan, nan), worst=nan)
        return Cell(model, metric.name, summary, of_all_images=True)
    summary = summarise(np.array(list(scores.values())), higher_is_better=metric.higher_is_better)
    both = sorted(scores.keys() & baseline.keys())
    if not both:
        return Cell(model, metric.name, summary)
    mine, other = np.array([scores[image] for image in both]), np.array([baseline[image] for image in both])
    return Cell(model, metric.name, summary, compare(mine, other))


def _rank(cells: dict[tuple[str, str], Cell], models: Iterable[str], metric: EvaluatedMetric) -> None:
    sign = -1 if metric.higher_is_better else 1
    known = [model for model in models if not isnan(cells[model, metric.name].summary.mean)]
    means = sorted({sign * cells[model, metric.name].summary.mean for model in known})
    for model in known:
        cell = cells[model, metric.name]
        cells[model, metric.name] = replace(cell, rank=means.index(sign * cell.summary.mean) + 1)


def _correct(cells: dict[tuple[str, str], Cell]) -> None:
    """Holm's correction over all comparisons."""
    compared = [(key, cell.comparison) for key, cell in cells.items() if cell.comparison is not None]
    for (key, comparison), p in zip(compared, holm([c.p_value for _, c in compared]), strict=True):
        cells[key] = replace(cells[key], comparison=replace(comparison, p_holm=p))


def groups(metrics: Sequence[EvaluatedMetric]) -> list[tuple[str, list[EvaluatedMetric]]]:
    """The metrics under the titles of the taxonomy (arXiv:2504.18524, section 13), in their order."""
    found: dict[str, list[EvaluatedMetric]] = {}
    for metric in metrics:
        title = "derived" if metric.formula else f"{_REFERENCES[metric.reference]}, {metric.level}"
        found.setdefault(title, []).append(metric)
    return list(found.items())


_REFERENCES = {"full": "full reference", "input": "input", "set": "set of originals", "none": "no reference"}
