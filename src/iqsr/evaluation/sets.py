"""Opens what `data` of a recipe names, in whatever layout; makes the inputs of sets that have originals alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from iqsr._version import __version__
from iqsr.datasets.evaluation_set import EvaluationItem, EvaluationSet, Layout
from iqsr.datasets.hggt_test import holds_sets, open_hggt_test
from iqsr.datasets.names import pictures_in
from iqsr.datasets.pairs import open_inputs, open_originals, open_pairs, pair_folders
from iqsr.datasets.realsr import is_realsr, open_realsr
from iqsr.errors import IqsrError, UnknownNameError, UsageError
from iqsr.evaluation.made_files import MadeFiles
from iqsr.evaluation.problems import Problems
from iqsr.evaluation.recipe import DataRecipe
from iqsr.images.find import in_home
from iqsr.scoring import content_hash

if TYPE_CHECKING:
    from torch import Tensor

BICUBIC_REDUCTION = "bicubic"
"""The degradation of the classical literature: bicubic with antialiasing, as MATLAB's imresize, and whole 1/255ths."""


def open_set(recipe: DataRecipe) -> EvaluationSet:
    """The set that the recipe names. Inputs of originals alone are not made yet, see `with_inputs`.

    UsageError where the folder is none of the layouts, or has nothing to evaluate on.
    """
    folder = in_home(recipe.path)
    if not folder.is_dir():
        raise UsageError(f"no such folder: '{recipe.path}'")
    lr = in_home(recipe.lr) if recipe.lr else None
    match _layout(recipe, folder):
        case "hggt":
            return open_hggt_test(folder, lr=lr)
        case "realsr":
            return open_realsr(folder, scale=recipe.scale, cameras=recipe.cameras)
        case "pairs":
            hr, inputs = pair_folders(folder) or (folder, lr)
            if lr is None and inputs is None:
                raise UsageError(f"'{folder}' has no folders HR and LR; give the inputs' with --lr")
            return open_pairs(hr, lr or inputs or folder, name=folder.absolute().name)
        case "hr":
            _check_degradation(recipe.degradation)
            return open_originals(folder, name=folder.absolute().name)
        case "lr":
            return open_inputs(folder, name=folder.absolute().name)


def _layout(recipe: DataRecipe, folder: Path) -> Layout:
    """What was asked for, or what the folders look like."""
    if recipe.layout != "auto":
        return recipe.layout
    if is_realsr(folder):
        return "realsr"
    if recipe.lr or pair_folders(folder):
        return "pairs"
    if holds_sets(folder):
        return "hggt"
    if not pictures_in(folder):
        raise UsageError(
            f"'{folder}' is no data set: it has no pictures, no HR and LR, no original with others beside it, no Canon "
            "or Nikon"
        )
    return "hr" if recipe.degradation else "lr"


def degradation_names() -> list[str]:
    """All that can make the inputs of originals alone."""
    from iqsr.degrade import pipeline_names

    return [BICUBIC_REDUCTION, *pipeline_names()]


def _check_degradation(name: str) -> None:
    known = degradation_names()
    if not name:
        raise UsageError(f"originals alone need a degradation that makes the inputs: {', '.join(known)}")
    if name not in known:
        raise UnknownNameError("degradation", name, known)


def with_inputs(
    data: EvaluationSet,
    recipe: DataRecipe,
    folder: Path,
    problems: Problems,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> EvaluationSet:
    """A set of originals alone with inputs, which are made in `folder` where they are not there yet.

    An original whose sides the scale does not divide is cut at the right and below, and the cut is the reference. Each
    item's degradation is drawn from the seed and its name alone, whichever others are in the set.
    """
    if data.layout != "hr":
        return data
    made, items = MadeFiles(folder), []
    for done, item in enumerate(data.items):
        try:
            items.append(_degraded(item, recipe, made))
        except IqsrError as error:
            problems.add(f"no input of '{item.name}': {error}", image=item.name)
            items.append(item)
        on_progress(done + 1, len(data.items))
    made.close()
    drawn = "" if recipe.degradation == BICUBIC_REDUCTION else f", seed {recipe.seed}"
    how = f"{recipe.degradation} x{recipe.scale}{drawn}"
    return replace(data, name=f"{data.name} ({how})", items=tuple(items))


def _degraded(item: EvaluationItem, recipe: DataRecipe, made: MadeFiles) -> EvaluationItem:
    from iqsr.images import open_picture, read_rgb

    (original,) = item.references
    of = f"{recipe.degradation} x{recipe.scale} seed {recipe.seed} of {content_hash(original)} by iqsr {__version__}"
    info = open_picture(original).info
    width, height = (side - side % recipe.scale for side in (info.width, info.height))
    small, cut = f"{item.name}.png", f"originals/{item.name}.png"
    is_cut = (width, height) != (info.width, info.height)
    names = [small, cut] if is_cut else [small]
    if not all(made.has(name, of) for name in names):
        x = read_rgb(original)[:, :, :height, :width]
        if is_cut:
            write_png(x, made.folder / cut)
            made.add(cut, of)
        write_png(_reduced(x, recipe, item.name), made.folder / small)
        made.add(small, of)
    reference = made.folder / cut if is_cut else original
    return replace(item, lr=made.folder / small, references=(reference,), ground_truths=(reference,))


def _reduced(x: Tensor, recipe: DataRecipe, name: str) -> Tensor:
    import torch

    from iqsr.degrade import degrade, pipeline
    from iqsr.metrics.lr_consistency import reduced

    if recipe.degradation == BICUBIC_REDUCTION:
        return reduced(x, recipe.scale)
    drawn_by = int.from_bytes(hashlib.sha256(f"{recipe.seed} {name}".encode()).digest()[:7])
    rng = torch.Generator().manual_seed(drawn_by)
    how = replace(pipeline(recipe.degradation), scale=recipe.scale)
    return degrade(x, how.draw(1, x.shape[2], x.shape[3], rng))


def write_png(x: Tensor, out: Path) -> None:
    """x: (1, 3, H, W) in [0, 1], as a PNG of 8 bits."""
    from PIL import Image

    from iqsr.io.atomic import atomic_open

    values = (x[0] * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    with atomic_open(out) as file:
        Image.fromarray(values).save(file, format="PNG")
