"""The rows of a panel: from an evaluation's folder, or from pictures that are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from iqsr.errors import UsageError
from iqsr.evaluation.report_data import ReportData, check_known, ends
from iqsr.evaluation.report_pictures import INSET_SIDE, panel_row, read_versions
from iqsr.report.crops import Box, largest_disagreement
from iqsr.report.encode import Pixels, pixels
from iqsr.report.panel import PanelCell, PanelRow

if TYPE_CHECKING:
    from torch import Tensor

    from iqsr.evaluation.result import Evaluation

ALL_PICTURES = ""
"""In `crops`: boxes of every picture that has none of its own."""


def rows_of_evaluation(
    evaluation: Evaluation,
    *,
    images: Sequence[str] = (),
    count: int = 4,
    models: Sequence[str] = (),
    metrics: Sequence[str] = (),
    crops: Mapping[str, Sequence[Box]] | None = None,
    between: tuple[str, str] | None = None,
    side: int = INSET_SIDE,
) -> list[PanelRow]:
    """Input, models and original of some images.

    Args:
        evaluation: What `iqsr evaluate` made.
        images: Their names; by default those with a crop, else the best and the worst of the report.
        count: How many images where none is named.
        models: Columns; all by default.
        metrics: Scores below each; a few by default.
        crops: By image: its details. Those of `""` are of all others.
        between: Two versions; details show where they differ most. None: all models.
        side: Of a detail that is found so, in pixels.

    Returns:
        The rows.

    Raises:
        UnknownNameError: For an image, model or metric that the evaluation does not have.
        UsageError: For an image without a picture.
    """
    data, given = ReportData(evaluation), crops or {}
    names = [item.name for item in evaluation.set.items]
    own = [image for image in given if image != ALL_PICTURES]
    check_known("image", [*images, *own], names)
    check_known("model", models, [model.name for model in data.models])
    check_known("metric", metrics, [metric.name for metric in evaluation.metrics])
    rows: list[PanelRow] = []
    for image in images or own or _ends(data, count):
        versions = read_versions(data, image)
        if versions is None:
            raise UsageError(f"no model has a picture of '{image}' that can be read")
        boxes = given.get(image) or given.get(ALL_PICTURES) or [versions.disagreement(side, between)]
        rows.append(panel_row(data, versions, boxes, models=models, metrics=metrics))
    return rows


def row_of_pictures(
    pictures: Mapping[str, Path],
    *,
    metrics: Sequence[str] = (),
    original: str = "",
    boxes: Sequence[Box] = (),
    between: tuple[str, str] | None = None,
    side: int = INSET_SIDE,
) -> PanelRow:
    """Versions of one picture, each from a file.

    Args:
        pictures: By name; a smaller one is a low resolution.
        metrics: Scores below each that has the largest size.
        original: Name of the one that metrics compare with.
        boxes: Details; where versions differ most by default.
        between: Two versions that count for that. None: all of the largest size.
        side: Of such a detail, in pixels.

    Returns:
        The row.

    Raises:
        UnknownNameError: For a name that is not there.
        UsageError: For a metric that compares, without an original.
        PictureError: For a file that cannot be read.
    """
    from iqsr.images import read_rgb

    check_known("picture", [*filter(None, [original]), *(between or ())], list(pictures))
    read = {name: read_rgb(path) for name, path in pictures.items()}
    versions = {name: pixels(x) for name, x in read.items()}
    size = max((version.shape for version in versions.values()), key=lambda shape: shape[0] * shape[1])
    full = {name: version for name, version in versions.items() if version.shape == size}
    found = list(boxes) or [largest_disagreement(_chosen(full, between), side)]
    lines = _measured({name: read[name] for name in full}, metrics, original)
    cells = [PanelCell(name, version, lines.get(name, ())) for name, version in versions.items()]
    return PanelRow("", full.get(original, next(reversed(full.values()))), found, cells)


def _chosen(full: Mapping[str, Pixels], between: tuple[str, str] | None) -> list[Pixels]:
    for name in between or ():
        if name not in full:
            raise UsageError(f"'{name}' is smaller than the others: it cannot be compared with them")
    return [full[name] for name in between or full]


def _measured(pictures: Mapping[str, Tensor], metrics: Sequence[str], original: str) -> dict[str, list[str]]:
    """Scores by name of the picture, a line each; the original has those that compare with nothing."""
    import torch

    from iqsr.metrics import load_metric

    lines: dict[str, list[str]] = {name: [] for name in pictures}
    for wanted in metrics:
        metric = load_metric(wanted)
        compares = metric.card.compares
        if metric.card.reference == "input" or (compares and original not in pictures):
            raise UsageError(f"{metric.card.name} compares pictures: say which is the original, --original NAME")
        for name, x in pictures.items():
            if compares and name == original:
                continue
            with torch.inference_mode():
                value = metric(x, pictures[original]) if compares else metric(x)
            lines[name].append(f"{metric.card.name} {float(value):.4g}")
    return lines


def _ends(data: ReportData, count: int) -> list[str]:
    headline = data.headline()
    if headline is None:
        raise UsageError("the evaluation has no scores of images")
    return ends(data.ordered(headline.model, headline.other, headline.metric)[::-1], count)
