"""What an evaluation found, in memory and in its folder.

DIR/evaluation.toml      the recipe; `iqsr evaluate DIR/evaluation.toml` runs it again
DIR/settings.json        data, degradation, seed and protocol, which all results of the folder share; written first
DIR/evaluation.json      models, metrics, protocol, items, problems: all that tables and pages say besides numbers
DIR/scores.parquet       a row an image, model and metric
DIR/pictures/MODEL/      outputs that were made here
DIR/inputs/              of sets of originals alone: the degraded inputs
DIR/features/            of metrics of sets: the features of each picture
DIR/table.csv, .md, .tex  see `iqsr.evaluation.tables`
DIR/report.html          see `iqsr.evaluation.report`
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqsr.datasets.evaluation_set import EvaluationItem, EvaluationSet
from iqsr.evaluation.contestants import Contestant
from iqsr.evaluation.problems import Problem
from iqsr.evaluation.protocols import Protocol, protocol
from iqsr.evaluation.scores import SCORES_FILE, EvaluatedMetric, write_scores
from iqsr.images.find import in_home
from iqsr.io.places import check_is_file, read_whole

if TYPE_CHECKING:
    from pandas import DataFrame

    from iqsr.evaluation.recipe import EvaluationRecipe

RECIPE_FILE, FACTS_FILE, SETTINGS_FILE = "evaluation.toml", "evaluation.json", "settings.json"
PICTURES, INPUTS, FEATURES = "pictures", "inputs", "features"


@dataclass(frozen=True)
class Evaluation:
    """Scores, and all that is needed to show and to explain them."""

    scores: DataFrame
    """see `iqsr.evaluation.scores.COLUMNS`"""
    set: EvaluationSet
    protocol: Protocol
    metrics: tuple[EvaluatedMetric, ...]
    """in the order of the taxonomy, derived ones last"""
    models: tuple[Contestant, ...]
    """in the order they were given; the Gold Standard first where there is one"""
    problems: tuple[Problem, ...]
    baseline: str | None = None
    """name of the model that the others are tested against"""
    folder: Path | None = None

    def means(self) -> DataFrame:
        """A row a model, a column a metric: the mean over the images that have a score; NaN where none has."""
        table = self.scores.pivot_table(index="model", columns="metric", values="score", aggfunc="mean", dropna=False)
        return table.reindex(index=[m.name for m in self.models], columns=[m.name for m in self.metrics])

    def counts(self) -> DataFrame:
        """As `means`: the number of images that have a score."""
        table = self.scores.pivot_table(index="model", columns="metric", values="score", aggfunc="count", dropna=False)
        ordered = table.reindex(index=[m.name for m in self.models], columns=[m.name for m in self.metrics])
        return ordered.fillna(0).astype("int64")

    def facts(self) -> dict[str, Any]:
        """All but the scores, as plain objects; paths are relative to the folder."""
        import iqsr

        base = self.folder or Path()
        return {
            "iqsr_version": iqsr.__version__,
            "protocol": {
                "name": self.protocol.name,
                "title": self.protocol.title,
                "colour": self.protocol.colour,
                "crop_border": self.protocol.crop_border,
                "documentation": self.protocol.documentation,
            },
            "baseline": self.baseline,
            "set": {
                "name": self.set.name,
                "layout": self.set.layout,
                "findings": list(self.set.findings),
                "items": [_item(item, base) for item in self.set.items],
            },
            "metrics": [_metric(metric) for metric in self.metrics],
            "models": [_model(model, base) for model in self.models],
            "problems": [asdict(problem) for problem in self.problems],
        }


def write_evaluation(found: Evaluation, recipe: EvaluationRecipe, out: Path) -> None:
    """Scores, facts and recipe, each whole or not at all. The same evaluation makes the same bytes. WriteError."""
    from iqsr.evaluation.recipe import commented_toml, relative_to
    from iqsr.io.atomic import write_text

    write_scores(found.scores, out / SCORES_FILE)
    text = json.dumps(found.facts(), indent=1, ensure_ascii=False) + "\n"
    write_text(out / FACTS_FILE, text)
    if not _is_there(recipe, out / RECIPE_FILE):
        write_text(out / RECIPE_FILE, commented_toml(relative_to(recipe, out)))


def check_same_evaluation(recipe: EvaluationRecipe, out: Path) -> None:
    """UsageError where the folder has results of other data, degradation, seed or protocol: they would be replaced.

    Also where they were stopped before their end, and where the folder's own recipe was edited since.
    """
    from iqsr.errors import UsageError

    old, new = _settings_in(out), _shared_settings(recipe, out)
    other = [f"{name} ({old[name]}; now {new[name]})" for name in new if old.get(name, new[name]) != new[name]]
    if other:
        raise UsageError(f"'{out}' has results of another {', another '.join(other)}: name another folder (-o)")


def write_settings(recipe: EvaluationRecipe, out: Path) -> None:
    """Note what all results of the folder share, before there are any. WriteError."""
    from iqsr.io.atomic import write_text

    settings = _shared_settings(recipe, out)
    if _settings_in(out) != settings:
        write_text(out / SETTINGS_FILE, json.dumps(settings, indent=1, ensure_ascii=False) + "\n")


def _settings_in(out: Path) -> dict[str, object]:
    """What `write_settings` wrote; empty where it did not."""
    try:
        return dict(json.loads(read_whole(out / SETTINGS_FILE)))
    except (OSError, ValueError, TypeError):
        return {}


def _shared_settings(recipe: EvaluationRecipe, out: Path) -> dict[str, object]:
    """The settings that all results of a folder share, by their names in messages; paths are relative to it."""
    data = recipe.data
    return {
        "data": _relative(in_home(data.path).resolve(), out.resolve()),
        "lr": _relative(in_home(data.lr).resolve(), out.resolve()) if data.lr else "none",
        "scale": data.scale,
        "cameras": ", ".join(data.cameras),
        "degradation": data.degradation or "none",
        "seed": data.seed,
        "protocol": recipe.protocol,
    }


def _is_there(recipe: EvaluationRecipe, file: Path) -> bool:
    """Whether the file has these settings: then it stays, with whatever comments it has."""
    from iqsr.errors import IqsrError
    from iqsr.evaluation.recipe import read_evaluation_recipe, relative_to

    try:
        check_is_file(file)
        return relative_to(read_evaluation_recipe(file), file.parent) == relative_to(recipe, file.parent)
    except (IqsrError, OSError):
        return False


def read_evaluation(folder: Path) -> Evaluation:
    """What `iqsr evaluate` wrote to a folder. UsageError where it did not."""
    import pandas as pd

    from iqsr.errors import UsageError

    try:
        facts = json.loads(read_whole(folder / FACTS_FILE))
        check_is_file(folder / SCORES_FILE)
        table = pd.read_parquet(folder / SCORES_FILE)
        return _evaluation_of(facts, table, folder)
    except (OSError, ValueError, RecursionError):
        raise UsageError(f"'{folder}' has no results of iqsr evaluate ({FACTS_FILE}, {SCORES_FILE})") from None
    except (KeyError, TypeError):
        raise UsageError(f"'{folder / FACTS_FILE}' is damaged: evaluate again") from None


def _evaluation_of(facts: dict[str, Any], table: DataFrame, folder: Path) -> Evaluation:
    data = facts["set"]
    items = tuple(
        EvaluationItem(
            one["name"],
            folder / one["lr"] if one["lr"] else None,
            tuple(folder / path for path in one["references"]),
            tuple(folder / path for path in one["ground_truths"]),
        )
        for one in data["items"]
    )
    return Evaluation(
        table,
        EvaluationSet(data["name"], data["layout"], items, tuple(data["findings"])),
        protocol(facts["protocol"]["name"]),
        tuple(_metric_of(one) for one in facts["metrics"]),
        tuple(_model_of(one, folder) for one in facts["models"]),
        tuple(Problem(**one) for one in facts["problems"]),
        facts["baseline"],
        folder,
    )


def _metric_of(one: dict[str, Any]) -> EvaluatedMetric:
    low, high = map(float, one["range"])
    values: dict[str, Any] = {**one, "range": (low, high), "partial": tuple(one["partial"])}
    return EvaluatedMetric(**values)


def _model_of(one: dict[str, Any], folder: Path) -> Contestant:
    pictures = {name: folder / path for name, path in one["pictures"].items()}
    values: dict[str, Any] = {**one, "trained_on": tuple(one["trained_on"]), "pictures": pictures}
    return Contestant(**values)


def _item(item: EvaluationItem, base: Path) -> dict[str, Any]:
    return {
        "name": item.name,
        "lr": _relative(item.lr, base) if item.lr else "",
        "references": [_relative(path, base) for path in item.references],
        "ground_truths": [_relative(path, base) for path in item.ground_truths],
    }


def _metric(metric: EvaluatedMetric) -> dict[str, Any]:
    return {**asdict(metric), "range": [str(end) for end in metric.range], "partial": list(metric.partial)}


def _model(model: Contestant, base: Path) -> dict[str, Any]:
    pictures = {name: _relative(path, base) for name, path in sorted(model.pictures.items())}
    return {
        "name": model.name,
        "kind": model.kind,
        "source": _relative(in_home(model.source), base) if in_home(model.source).exists() else model.source,
        "model_sha256": model.model_sha256,
        "trained_on": list(model.trained_on),
        "pictures": pictures,
    }


def _relative(path: Path, base: Path) -> str:
    return Path(os.path.relpath(path, base)).as_posix()
