"""Rows of the table of scores: measured, joined, derived."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isnan

from iqsr._version import __version__
from iqsr.evaluation.contestants import Contestant
from iqsr.evaluation.measurements import Measurement, sha256_of
from iqsr.evaluation.protocols import Derived, Protocol
from iqsr.evaluation.scores import EvaluatedMetric, Row

_TEXTS = (
    "error",
    "metric_variant",
    "metric_fingerprint",
    "weights_sha256",
    "toolbox_version",
    "picture_sha256",
    "references_sha256",
    "model_sha256",
    "origin",
)


def empty_row(chosen: Protocol) -> Row:
    """What a row has of which nothing more is known."""
    numbers = {"n_references": 0, "crop_border": 0}
    return {**dict.fromkeys(_TEXTS, ""), **numbers, "protocol": chosen.name, "iqsr_version": __version__}


def row_of(
    measurement: Measurement, model: Contestant, facts: EvaluatedMetric, fingerprint: str, chosen: Protocol
) -> Row:
    """A row that has no score yet. PictureError where a file cannot be read."""
    return {
        **empty_row(chosen),
        "image": measurement.image,
        "model": measurement.model,
        "metric": facts.name,
        "score": float("nan"),
        "n_references": len(measurement.references),
        "metric_variant": facts.variant,
        "crop_border": facts.crop_border,
        "metric_fingerprint": fingerprint,
        "weights_sha256": facts.weights_sha256,
        "toolbox_version": facts.toolbox_version,
        "picture_sha256": sha256_of(measurement.pictures),
        "references_sha256": sha256_of(measurement.references),
        "model_sha256": model.model_sha256,
        "origin": "measured",
    }


def is_same(row: Row, before: Row | None) -> bool:
    """Whether an earlier row has the score of this one: of the same pictures, by the same metric."""
    keys = ("metric_fingerprint", "picture_sha256", "references_sha256", "n_references")
    return before is not None and not before["error"] and all(before[key] == row[key] for key in keys)


def derived(
    chosen: Protocol, models: Sequence[Contestant], rows: Sequence[Row]
) -> tuple[list[EvaluatedMetric], list[Row]]:
    """The protocol's derived scores of each model but the Gold Standard, of its means over all images."""
    metrics: list[EvaluatedMetric] = []
    found: list[Row] = []
    for one in chosen.derived:
        of_models = [_derived(one, chosen, model, rows) for model in models if model.kind != "gold"]
        lacking = {name for _, missing in of_models for name in missing}
        partial = tuple(term.metric for term in one.terms if term.metric in lacking)
        found += [row for row, _ in of_models]
        metrics.append(
            EvaluatedMetric(
                name=one.name,
                variant=one.name,
                title=one.formula,
                reference="derived",
                level="",
                higher_is_better=one.higher_is_better,
                range=(-inf, inf),
                formula=one.formula,
                partial=partial,
            )
        )
    return metrics, found


def _derived(one: Derived, chosen: Protocol, model: Contestant, rows: Sequence[Row]) -> tuple[Row, tuple[str, ...]]:
    value, missing = one.value(_means(model.name, rows))
    row = {
        **empty_row(chosen),
        "image": "",
        "model": model.name,
        "metric": one.name,
        "score": value,
        "metric_variant": f"partial, without {', '.join(missing)}" if missing else one.name,
        "error": "none of its metrics is here" if isnan(value) else "",
        "model_sha256": model.model_sha256,
        "origin": "derived",
    }
    return row, missing


def _means(model: str, rows: Sequence[Row]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for row in rows:
        if row["model"] == model and not isnan(row["score"]):
            values.setdefault(row["metric"], []).append(row["score"])
    return {name: sum(scores) / len(scores) for name, scores in values.items()}
