"""The settings of an evaluation, as a TOML file.

Paths in a file are relative to the file's folder; those given to `iqsr evaluate` and `iqsr.evaluate`, to the working
directory.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from iqsr.errors import UnknownNameError, UsageError
from iqsr.evaluation.contestants import BICUBIC
from iqsr.evaluation.protocols import protocol, protocol_names
from iqsr.images.find import in_home
from iqsr.recipes import Recipe, read_recipe


class DataRecipe(Recipe):
    """What is evaluated on."""

    path: str
    """folder of the set"""
    layout: Literal["auto", "hggt", "realsr", "pairs", "hr", "lr"] = "auto"
    lr: str = ""
    """folder of the inputs, where it is not where the layout has it"""
    scale: int = Field(4, ge=1, le=16)
    """how much larger outputs are than inputs"""
    cameras: tuple[str, ...] = ("Canon", "Nikon")
    """of RealSR: which of its cameras"""
    degradation: str = ""
    """of originals alone: the named degradation that makes the inputs, such as real-esrgan"""
    seed: int = 0
    """of the degradation"""


class ModelRecipe(Recipe):
    """One model."""

    model: str
    """a name, `bicubic`, a checkpoint, an adapter, a run's folder, or a folder of pictures"""
    name: str = ""
    """its row in tables; the model's own by default"""


class EvaluationRecipe(Recipe):
    """A whole evaluation."""

    data: DataRecipe
    models: tuple[ModelRecipe, ...] = ()
    protocol: str = "rgb"
    metrics: tuple[str, ...] = ()
    """the protocol's own where none is named"""
    baseline: str = ""
    """name of the model that the others are tested against; the first by default"""
    gold_standard: bool = True
    """whether the set's own ground truths get a row, in metrics that need no reference"""
    scores: tuple[str, ...] = ()
    """files of scores made elsewhere, which are joined"""
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """of the super-resolution networks; metrics are computed in fp32"""

    @model_validator(mode="after")
    def _protocol_exists(self) -> "EvaluationRecipe":
        try:
            protocol(self.protocol)
        except UnknownNameError as error:
            raise ValueError(str(error)) from None
        return self


def named(text: str) -> dict[str, str]:
    """A model as a command names it: `SOURCE`, or `NAME=SOURCE`; a path that exists is never taken apart."""
    name, equals, source = text.partition("=")
    if not equals or not name or in_home(text).exists() or "/" in name:
        return {"model": text}
    return {"name": name, "model": source}


def checked(settings: dict[str, Any]) -> EvaluationRecipe:
    """The recipe of settings given in code or on the command line. UsageError, in one line."""
    try:
        return EvaluationRecipe.model_validate(settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ").replace("Input should", "should")
        raise UsageError(f"{where} {said}".strip()) from None


def read_evaluation_recipe(path: Path) -> EvaluationRecipe:
    """The recipe in a file, its paths relative to the working directory. UsageError, in one line."""
    recipe, folder = read_recipe(path, EvaluationRecipe), path.parent

    def found(text: str) -> str:
        return text if not text or in_home(text).is_absolute() else os.path.normpath(folder / text)

    return _with_paths(recipe, found)


def relative_to(recipe: EvaluationRecipe, folder: Path) -> EvaluationRecipe:
    """The recipe as it stands in a file in `folder`: paths that are not absolute begin there."""

    def rewritten(text: str) -> str:
        return text if not text or in_home(text).is_absolute() else Path(os.path.relpath(text, folder)).as_posix()

    return _with_paths(recipe, rewritten)


def _with_paths(recipe: EvaluationRecipe, change: Callable[[str], str]) -> EvaluationRecipe:
    """Every path changed; names of models are none."""
    from iqsr.models import model_names

    names = {BICUBIC, *model_names()}
    data = recipe.data.model_copy(update={"path": change(recipe.data.path), "lr": change(recipe.data.lr)})
    models = tuple(
        one if one.model in names else one.model_copy(update={"model": change(one.model)}) for one in recipe.models
    )
    scores = tuple(change(file) for file in recipe.scores)
    return recipe.model_copy(update={"data": data, "models": models, "scores": scores})


def commented_toml(recipe: EvaluationRecipe) -> str:
    """The recipe as a file that says of each setting what it is."""
    data = recipe.data
    metrics = ", ".join(json.dumps(name) for name in recipe.metrics)
    models = [_model_toml(one) for one in recipe.models]
    return f"""# An evaluation: `iqsr evaluate FILE` runs it, and goes on where it was stopped.
# Paths begin at this file's folder.

# How scores are computed: {", ".join(protocol_names())} (docs/guides/evaluate.md).
protocol = {json.dumps(recipe.protocol)}
# Columns of the tables; where none is named, those of the protocol: {", ".join(protocol(recipe.protocol).metrics)}.
metrics = [{metrics}]
# The model that the others are tested against, by its name; the first where none is named.
baseline = {json.dumps(recipe.baseline)}
# Whether the set's own ground truths get a row, in metrics without a reference.
gold_standard = {json.dumps(recipe.gold_standard)}
# Files of scores made elsewhere (.csv, .parquet): image, model, metric, score.
scores = {json.dumps(list(recipe.scores), ensure_ascii=False)}
# Of the super-resolution networks: fp32, bf16, auto. Metrics are computed in fp32.
precision = {json.dumps(recipe.precision)}

[data]
# Folder of the set.
path = {json.dumps(data.path, ensure_ascii=False)}
# auto, hggt, realsr, pairs (inputs and originals), hr (originals alone), lr (inputs alone).
layout = {json.dumps(data.layout)}
# Folder of the inputs, where it is not where the layout has it.
lr = {json.dumps(data.lr, ensure_ascii=False)}
# How much larger outputs are than inputs.
scale = {data.scale}
# Of RealSR: which cameras.
cameras = {json.dumps(list(data.cameras))}
# Of originals alone: what makes the inputs, such as bicubic or real-esrgan, and its seed.
degradation = {json.dumps(data.degradation)}
seed = {data.seed}

# One section a model: a name (iqsr weights lists them), bicubic, a checkpoint, an adapter, the folder of a run, or a
# folder of pictures made elsewhere, which begin with the names of the set's pictures. `name` is its row in tables.
{chr(10).join(models)}"""


def _model_toml(one: ModelRecipe) -> str:
    name = f"name = {json.dumps(one.name, ensure_ascii=False)}\n" if one.name else ""
    return f"[[models]]\nmodel = {json.dumps(one.model, ensure_ascii=False)}\n{name}"
