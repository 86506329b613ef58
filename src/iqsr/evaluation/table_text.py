"""What tables say in every format: rows of means, marks and their legend, where the numbers come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING, Protocol

from iqsr.evaluation.contestants import GOLD_STANDARD
from iqsr.evaluation.published import PublishedRow
from iqsr.evaluation.statistics import RESAMPLES, SEED, smallest_p
from iqsr.evaluation.summary import Cell

if TYPE_CHECKING:
    from iqsr.evaluation.result import Evaluation
    from iqsr.evaluation.scores import EvaluatedMetric

Cells = Mapping[tuple[str, str], Cell]
"""Figures by model and metric."""
MISSING = "–"
"""Stands where there is no value."""
DAGGER = "†"
FEW_SAMPLES = 2_048
"""Pictures or patches below which tables warn of a Fréchet distance: as many as FID has features."""
_HASH_DIGITS = 12
_FEW_IMAGES = 8
"""Below it tables say how small p can be."""


class Marks(Protocol):
    """How a format writes names and marks."""

    dagger: str

    def plain(self, text: str) -> str:
        """The text with the format's own signs escaped."""
        ...

    def best(self, text: str) -> str:
        """The best mean of a column."""
        ...

    def second(self, text: str) -> str:
        """The second mean of a column."""
        ...


def legend(evaluation: Evaluation, cells: Cells) -> list[str]:
    """What the marks of the means mean, in a line each."""
    lines = ["Means over images; the best is bold, the second underlined. The arrow is the direction of better."]
    images = len(evaluation.set.items)
    if any(0 < cell.summary.n < images for cell in cells.values() if not cell.of_all_images):
        lines.append(
            f"Some means are over fewer than the set's {images} images: compare with care, `n` is in table.csv."
        )
    if of_sets := [metric.name for metric in evaluation.metrics if metric.reference == "set"]:
        verb = "is one value" if len(of_sets) == 1 else "are one value each"
        lines.append(
            f"{', '.join(of_sets)} {verb} of the whole set, without an interval: resampling pictures would raise it "
            "by more than it varies. Compare only values over as many pictures or patches."
        )
    few = [metric for metric in evaluation.metrics if metric.reference == "set" and metric.samples < FEW_SAMPLES]
    lines += [few_samples(metric) for metric in few]
    if any(cell.trained_on for cell in cells.values()):
        lines.append(f"{DAGGER} The model's training optimised this metric: it is no judge of this model.")
    if any(model.name == GOLD_STANDARD for model in evaluation.models):
        lines.append("Gold Standard: of each image the best value over its own ground truths; it has no rank.")
    return lines


def few_samples(metric: EvaluatedMetric) -> str:
    """The warning for a metric of sets that is over few pictures."""
    return (
        f"{metric.name}: {metric.sample_note}, fewer than {FEW_SAMPLES:,}: too few for a value that others can compare "
        "with."
    )


def smallest_p_note(cells: Cells) -> list[str]:
    """What p can be at the least, where there are so few images that few or no differences can be significant."""
    n = max((cell.comparison.n for cell in cells.values() if cell.comparison is not None), default=0)
    if not 0 < n < _FEW_IMAGES:
        return []
    images = "1 image" if n == 1 else f"{n} images"
    return [f"With {images}, p before the correction is never below {smallest_p(n):.3g}."]


def provenance(evaluation: Evaluation) -> list[str]:
    """Data, protocol, statistics and metrics with their versions and weights, a line each."""
    from iqsr._version import __version__

    protocol = evaluation.protocol
    lines = [
        f"Data: {evaluation.set.name}, {len(evaluation.set.items)} images, layout {evaluation.set.layout}. "
        f"iqsr {__version__}.",
        f"Protocol {protocol.name}: {protocol.title}. {protocol.documentation}",
        f"Intervals: 95 %, percentile bootstrap over images, {RESAMPLES:,} resamples, seed {SEED}. Tests: Wilcoxon's "
        "signed-rank test over images, two-sided, Holm-corrected over all models and metrics of this table.",
    ]
    for metric in evaluation.metrics:
        by = metric.toolbox_version or metric.provider
        facts = [metric.formula or metric.title]
        if metric.sample_note:
            facts.append(metric.sample_note)
        if metric.crop_border:
            facts.append(f"crop border {metric.crop_border}")
        if metric.weights_sha256:
            facts.append(f"weights {' '.join(w[:_HASH_DIGITS] for w in metric.weights_sha256.split())}")
        if metric.partial:
            facts.append(f"partial: without {', '.join(metric.partial)}")
        variant = "" if metric.variant == metric.name else f" = {metric.variant}"
        lines.append(f"{metric.name}{variant} ({by}): {'; '.join(facts)}.")
    if evaluation.problems:
        lines.append(f"{len(evaluation.problems)} problems, the first: {evaluation.problems[0].text}.")
    return lines


def decimals(metric: EvaluatedMetric) -> int:
    """Digits behind the point, as papers print them: 3 for ranges up to 2 wide (SSIM, LPIPS), 2 for wider ones."""
    low, high = metric.range
    return 3 if high - low <= 2 else 2


def mean_rows(text: Marks, evaluation: Evaluation, cells: Cells) -> list[list[str]]:
    """A row a model: its name, and its mean by each metric with its marks."""

    def shown(model: str, metric: EvaluatedMetric) -> str:
        cell = cells[model, metric.name]
        if isnan(cell.summary.mean):
            return MISSING
        number = f"{cell.summary.mean:.{decimals(metric)}f}"
        number = text.best(number) if cell.rank == 1 else text.second(number) if cell.rank == 2 else number
        return number + text.dagger * cell.trained_on

    return [
        [text.plain(model.name), *(shown(model.name, metric) for metric in evaluation.metrics)]
        for model in evaluation.models
    ]


def by_origin(published: Sequence[PublishedRow]) -> dict[str, list[PublishedRow]]:
    """Rows of one table together."""
    found: dict[str, list[PublishedRow]] = {}
    for row in published:
        found.setdefault(row.origin, []).append(row)
    return found


def published_row(text: Marks, row: PublishedRow, metrics: Sequence[EvaluatedMetric]) -> list[str]:
    """A published row: its name, and its value by each metric, as the paper printed it."""
    values = [row.values.get(metric.name, row.values.get(metric.variant)) for metric in metrics]
    return [text.plain(row.model), *(MISSING if value is None else value for value in values)]
