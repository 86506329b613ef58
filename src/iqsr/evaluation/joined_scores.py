"""Scores that were made elsewhere: other people's tables, models that run on other machines."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import inf, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqsr.errors import UnknownNameError, UsageError
from iqsr.evaluation.problems import Problems
from iqsr.evaluation.scores import EvaluatedMetric
from iqsr.images.find import in_home
from iqsr.scoring import content_hash

if TYPE_CHECKING:
    from pandas import DataFrame

_KEYS = ("image", "model")
_FACTS = ("higher_is_better", "reference", "level", "title")


@dataclass(frozen=True)
class JoinedScores:
    """The rows of one file."""

    file: str
    rows: list[dict[str, Any]]
    metrics: list[EvaluatedMetric]


def join_scores(file: str, images: Collection[str], problems: Problems) -> JoinedScores:
    """Read a CSV or Parquet file: `image, model, metric, score`, or `image, model` and a column a metric.

    A metric that iqsr does not know needs a column `higher_is_better` (in the first form); `reference` (full, none),
    `level` (low, mid, high) and `title` may say more. Rows of images that the set does not have, and scores that are no
    numbers, are problems. UsageError for a file that cannot be read, or lacks columns.
    """
    path = in_home(file)
    table = _long(_read(path), file)
    origin = f"{path.name} {content_hash(path)[:12]}"
    metrics = [_metric(name, table.loc[table["metric"] == name], file) for name in dict.fromkeys(table["metric"])]
    unknown = sorted(set(table["image"]) - set(images))
    if unknown:
        problems.add(f"'{file}' has scores of '{unknown[0]}' ({len(unknown)} such), which the set does not have")
    rows: list[dict[str, Any]] = []
    seen: set[tuple[str, str, str]] = set()
    kept: Any = table[table["image"].isin(list(images))]
    for image, model, metric, score in kept[["image", "model", "metric", "score"]].itertuples(index=False, name=None):
        if (image, model, metric) in seen:
            raise UsageError(f"'{file}' has two scores of {metric} for image '{image}' of '{model}'; keep one")
        seen.add((image, model, metric))
        row = {"image": image, "model": model, "metric": metric, "score": score, "metric_variant": metric}
        error = f"'{file}' has no number for {metric} of image '{image}' of '{model}'" if isnan(score) else ""
        if error:
            problems.add(error, model=model, image=image, metric=metric)
        rows.append({**row, "origin": origin, "error": error})
    return JoinedScores(file, rows, metrics)


def _read(path: Path) -> DataFrame:
    import pandas as pd

    if not path.is_file():
        raise UsageError(f"no such file of scores: '{path}'")
    text: Any = {"image": str, "model": str, "metric": str}
    try:
        return pd.read_parquet(path) if path.suffix.lower() == ".parquet" else pd.read_csv(path, dtype=text)
    except (ValueError, OSError) as error:
        why = next(iter(str(error).splitlines()), "")
        raise UsageError(f"cannot read the scores in '{path}': {why}") from None


def _long(table: DataFrame, file: str) -> DataFrame:
    import pandas as pd

    missing = [name for name in _KEYS if name not in table.columns]
    if missing:
        raise UsageError(
            f"'{file}' needs the columns image, model, and metric and score, or one a metric; '{missing[0]}' is missing"
        )
    if ("metric" in table.columns) != ("score" in table.columns):
        raise UsageError(f"'{file}' has one of the columns metric and score, and needs both")
    if "metric" not in table.columns:
        names = [name for name in table.columns if name not in _KEYS]
        table = table.melt(id_vars=list(_KEYS), value_vars=names, var_name="metric", value_name="score")
        table = table.dropna(subset=["score"])
    if not len(table):
        raise UsageError(f"'{file}' has no scores")
    table = table.astype({"image": "str", "model": "str", "metric": "str"})
    numbers: Any = pd.to_numeric(table["score"], errors="coerce")
    return table.assign(score=numbers.astype("float64"))


def _metric(name: str, rows: DataFrame, file: str) -> EvaluatedMetric:
    """What the card says, or else the file's own columns."""
    from iqsr.metrics import card

    try:
        known = card(name)
    except UnknownNameError:
        return _unknown_metric(name, rows, file)
    return replace(EvaluatedMetric.of_card(known, name), provider="elsewhere")


def _unknown_metric(name: str, rows: DataFrame, file: str) -> EvaluatedMetric:
    said = {key: str(rows[key].iloc[0]) for key in _FACTS if key in rows.columns and bool(rows[key].notna().all())}
    words = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
    higher = words.get(said.get("higher_is_better", "").lower())
    if higher is None:
        raise UsageError(
            f"'{file}' has the metric '{name}', which iqsr does not know: add a column higher_is_better (true, false)"
        )
    reference, level = said.get("reference", "none"), said.get("level", "high")
    if reference not in (known := ["full", "input", "none"]):
        raise UnknownNameError(f"reference in '{file}'", reference, known)
    if level not in (known := ["low", "mid", "high"]):
        raise UnknownNameError(f"level in '{file}'", level, known)
    return EvaluatedMetric(
        name=name,
        variant=name,
        title=said.get("title", name),
        reference=reference,
        level=level,
        higher_is_better=higher,
        range=(-inf, inf),
        provider="elsewhere",
    )
