"""The table of scores: a row an image, model and metric, with where each number comes from.

>>> evaluation.scores[["image", "model", "metric", "score"]]
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

    from iqsr.metrics import MetricCard
    from iqsr.scoring import MetricSet

Row = dict[str, Any]
"""One row of the table, by column."""

COLUMNS = {
    "image": "str",  # the item's name; empty for a score of all images together: fid, and what is derived of means
    "model": "str",
    "metric": "str",  # as the protocol calls it: psnr
    "score": "float64",  # raw, in the metric's own units and direction; NaN where there is none, see `error`
    "n_references": "int64",  # originals that the mean is over; 0 for metrics without a reference
    "error": "str",  # one line: why there is no score; empty where there is
    "protocol": "str",
    "metric_variant": "str",  # the card: psnr-y; of a partial derived score, what it lacks
    "crop_border": "int64",
    "metric_fingerprint": "str",  # all that the value depends on besides the pictures
    "weights_sha256": "str",  # of the metric's weights; several are separated by spaces
    "toolbox_version": "str",  # `pyiqa 0.1.16`; empty where iqsr computes it
    "iqsr_version": "str",
    "picture_sha256": "str",
    "references_sha256": "str",  # of the originals', in their order; one: its own
    "model_sha256": "str",
    "origin": "str",  # measured, derived, or the file that it was joined from
}
"""Columns of `scores.parquet` and their types."""
ALL_IMAGES = ""
"""In the column `image`: a score of all images together."""
SORTED_BY = ("image", "model", "metric")
SCORES_FILE = "scores.parquet"


@dataclass(frozen=True)
class EvaluatedMetric:
    """What a column of the tables is: enough to group, to order and to explain it."""

    name: str
    """as the protocol calls it"""
    variant: str
    """the card that was measured; the same as the name in most cases"""
    title: str
    reference: str
    """`full`, `input`, `set` or `none`; `derived`"""
    level: str
    """`low`, `mid` or `high`"""
    higher_is_better: bool
    range: tuple[float, float]
    crop_border: int = 0
    provider: str = "iqsr"
    toolbox_version: str = ""
    weights_sha256: str = ""
    formula: str = ""
    """of a derived score"""
    partial: tuple[str, ...] = ()
    """of a derived score: the metrics that it lacks"""
    samples: int = 0
    """of a metric of sets: pictures or patches of the smallest set, outputs or originals"""
    patch: int = 0
    """of a metric of sets: side of the patches; 0 for whole pictures"""
    stride: int = 0
    """of a metric of sets: pixels from a patch to the next"""

    @classmethod
    def of_card(cls, card: MetricCard, name: str) -> EvaluatedMetric:
        """What the card says; where and with what it was computed is left open."""
        return cls(
            name=name,
            variant=card.name,
            title=card.title,
            reference=card.reference,
            level=card.level,
            higher_is_better=card.higher_is_better,
            range=card.range,
            patch=card.patch,
            stride=card.stride,
        )

    @property
    def sample_note(self) -> str:
        """Of a metric of sets, what it is over: `n = 100`, `n = 4,900 patches of 256 px, stride 128`; else empty."""
        if self.reference != "set" or not self.samples:
            return ""
        return f"n = {self.samples:,}" + (f" patches of {self.patch} px, stride {self.stride}" if self.patch else "")


def sorted_scores(table: DataFrame) -> DataFrame:
    """The table with `COLUMNS`, their types, and its rows in the one order: equal content makes equal files."""
    ordered = table.reindex(columns=list(COLUMNS)).astype(dict[str, Any](COLUMNS))
    return ordered.sort_values(list(SORTED_BY), kind="stable", ignore_index=True)


def evaluated(metric_set: MetricSet, variant: str, name: str) -> EvaluatedMetric:
    """What is known of one of the set's metrics. name: what the protocol calls it."""
    card = metric_set.cards[variant]
    return replace(
        EvaluatedMetric.of_card(card, name),
        crop_border=metric_set.border(variant),
        provider=card.provider,
        toolbox_version=_toolbox_version(card),
        weights_sha256=" ".join(weights_sha256(card)),
    )


def weights_sha256(card: MetricCard) -> list[str]:
    """The hashes of the files of a metric's weights, as far as they are here."""
    from iqsr import metrics
    from iqsr.io.weights import known_weights
    from iqsr.metrics.requirements import torch_hub
    from iqsr.scoring import content_hash

    listed = [known_weights()[name].sha256 for name in card.weights if name in known_weights()]
    files = [Path(metrics.__file__).parent / card.package_data] if card.package_data else []
    files += [Path(card.weights_file)] if card.weights_file else []
    files += [torch_hub() / file for file in card.downloads if not file.startswith("hf:")]
    return listed + [content_hash(file) for file in files if file.is_file()]


def known_rows(file: Path) -> dict[tuple[str, str, str], Row]:
    """The rows of an earlier table, by image, model and metric; none where there is no table that can be read."""
    import pandas as pd

    if not file.is_file():
        return {}
    try:
        table = pd.read_parquet(file)
    except (ValueError, OSError):
        return {}
    if set(COLUMNS) - set(table.columns):
        return {}
    measured = table[table["origin"] == "measured"]
    columns: list[list[Any]] = [measured[name].tolist() for name in COLUMNS]
    rows: list[Row] = [dict(zip(COLUMNS, values, strict=True)) for values in zip(*columns, strict=True)]
    return {(row["image"], row["model"], row["metric"]): row for row in rows}


def write_scores(table: DataFrame, out: Path) -> None:
    """As Parquet, whole or not at all. Equal tables make equal bytes. WriteError."""
    from iqsr.io.atomic import atomic_path

    with atomic_path(out) as part:
        table.to_parquet(part, index=False)


def _toolbox_version(card: MetricCard) -> str:
    from importlib.metadata import PackageNotFoundError, version

    package = "" if card.provider == "iqsr" else card.provider
    try:
        return f"{package} {version(package)}" if package else ""
    except PackageNotFoundError:
        return ""
