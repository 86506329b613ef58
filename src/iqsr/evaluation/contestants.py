"""Who is evaluated: networks by name or file, runs, adapters, `bicubic`, folders of pictures made elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from iqsr.datasets.names import match, pictures_in
from iqsr.errors import IqsrError, UnknownNameError, UsageError
from iqsr.evaluation.problems import Problems
from iqsr.images.find import in_home
from iqsr.io.places import check_is_file, is_file_name
from iqsr.scoring import content_hash

if TYPE_CHECKING:
    from iqsr.evaluation.recipe import ModelRecipe
    from iqsr.models import SRModel

Kind = Literal["bicubic", "network", "pictures", "gold", "scores"]

BICUBIC = "bicubic"
"""Name of the model that enlarges by bicubic interpolation (a = -0.5, as Pillow and MATLAB)."""
GOLD_STANDARD = "Gold Standard"
"""Name of the pseudo-model of a set's own ground truths: for each item the best value of each metric over them."""


@dataclass(frozen=True)
class Contestant:
    """One model of an evaluation."""

    name: str
    """its row in tables"""
    kind: Kind
    """`scores`: known only from a file of scores made elsewhere"""
    source: str
    """what was given: a name, a file, a folder"""
    model_sha256: str = ""
    """of its weights' file; of an adapter with that of the network below it; empty where there are only pictures"""
    trained_on: tuple[str, ...] = ()
    """metrics that its training optimised, as far as its run tells: marked in tables"""
    pictures: Mapping[str, Path] = field(default_factory=dict[str, Path])
    """its output for each item that has one, by the item's name"""


def contestants(recipes: Sequence[ModelRecipe], items: Sequence[str], problems: Problems) -> list[Contestant]:
    """The models that are named, in their order. Networks have no pictures yet; those made elsewhere are matched.

    items: names of the set's items. An empty folder is a problem, and its model is left out. UsageError,
    UnknownNameError for what is no model, and for two models of one name.
    """
    found: list[Contestant] = []
    for recipe in recipes:
        one = _contestant(recipe, items, problems)
        if one is None:
            continue
        if not is_file_name(one.name):
            raise UsageError(f"'{one.name}' is no name for a model: a folder is called so, write no '/'")
        if one.name == GOLD_STANDARD or one.name in {other.name for other in found}:
            raise UsageError(f"two models would be called '{one.name}': give one another name, NAME={one.source}")
        found.append(one)
    return found


def _contestant(recipe: ModelRecipe, items: Sequence[str], problems: Problems) -> Contestant | None:
    """UnknownNameError where there is no such model, file or folder."""
    from iqsr.models import model_names

    text = recipe.model
    if text == BICUBIC:
        return Contestant(recipe.name or BICUBIC, "bicubic", text)
    if text in model_names():
        return Contestant(recipe.name or text, "network", text, _named_sha256(text))
    path = in_home(text)
    if not path.exists():
        if not _looks_like_path(text):
            raise UnknownNameError("model", text, [BICUBIC, *model_names()])
        raise UsageError(f"no such model, run or folder of pictures: '{text}'")
    name = recipe.name or (path.absolute().name if path.is_dir() else path.stem)
    if path.is_file():
        return Contestant(name, "network", text, _file_sha256(path))
    if (held := _held(path)) is not None:
        return Contestant(name, "network", text, _file_sha256(held), _trained_on(path))
    return _pictures(name, text, path, items, problems)


def _pictures(name: str, text: str, path: Path, items: Sequence[str], problems: Problems) -> Contestant | None:
    pictures = pictures_in(path)
    if not pictures:
        problems.add(f"'{path}' holds neither a run's result nor pictures: the model '{name}' is left out", model=name)
        return None
    matched = match(items, pictures)
    for line in matched.findings(path):
        problems.add(line, model=name)
    for item in items:
        if item not in matched.found and item not in matched.several:
            problems.add(f"'{path}' has no picture for '{item}'", model=name, image=item)
    return Contestant(name, "pictures", text, pictures=matched.found)


def load_network(source: str) -> SRModel:
    """The network of a name, a checkpoint, an adapter (merged into its base) or a run's folder.

    Raises the errors of `load_model` and `read_adapter`.
    """
    from iqsr.models import load_model, model_names
    from iqsr.models.adapter import check_base, is_adapter, merge_into, read_adapter
    from iqsr.models.merge import base_of, result_file

    if source in model_names():
        return load_model(source)
    path = result_file(in_home(source))
    if not is_adapter(path):
        return load_model(path)
    adapter = read_adapter(path)
    base = load_model(base_of(adapter, path, advice="merge it first: iqsr merge --model FILE"))
    check_base(base.module, adapter, adapter_name=str(path), module_name=base.name)
    merge_into(base.module, adapter.tensors, adapter.scaling)
    return base


def _looks_like_path(text: str) -> bool:
    return len(Path(text).parts) > 1 or Path(text).suffix.lower() in {".pth", ".pt", ".ckpt", ".safetensors"}


def _held(folder: Path) -> Path | None:
    """The result of the run in that folder, None where there is none."""
    from iqsr.models.merge import result_file

    try:
        return result_file(folder)
    except IqsrError:
        return None


def _named_sha256(name: str) -> str:
    from iqsr.io.weights import known_weight
    from iqsr.models.registry import registry

    entry = registry()[name]
    weights = content_hash(entry.path) if entry.file else known_weight(entry.weights).sha256
    if entry.strength is None:
        return weights
    return hashlib.sha256(f"{weights} sharpened {entry.strength}".encode()).hexdigest()


def _file_sha256(path: Path) -> str:
    """Of a checkpoint its own; of an adapter one that stands for it and for the network below."""
    from iqsr.models import model_names
    from iqsr.models.adapter import is_adapter, read_adapter
    from iqsr.models.merge import base_of

    own = content_hash(path)
    if not is_adapter(path):
        return own
    base = str(base_of(read_adapter(path), path, advice="merge it first: iqsr merge --model FILE"))
    below = _named_sha256(base) if base in model_names() else content_hash(Path(base))
    return hashlib.sha256(f"{own} on {below}".encode()).hexdigest()


def _trained_on(run: Path) -> tuple[str, ...]:
    """What its recipe says; nothing where there is none that can be read."""
    from iqsr.models.merge import RECIPE_FILE
    from iqsr.recipes import read_recipe
    from iqsr.training.sr.recipe import TrainRecipe

    try:
        check_is_file(run / RECIPE_FILE)
        return tuple(sorted(read_recipe(run / RECIPE_FILE, TrainRecipe).trained_on))
    except (IqsrError, OSError):
        return ()
