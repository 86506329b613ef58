"""From photos to sets of ground truths: the run as a whole.

>>> prepare(["photos/"], Path("sets"), PrepareRecipe())
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from iqsr.configs import DEFAULT_PREPARE
from iqsr.errors import IqsrError, UsageError
from iqsr.images.find import find_pictures, in_home
from iqsr.metrics import card
from iqsr.preparation.folder import PhotoRecord, SetFolder, taken, write_json
from iqsr.preparation.index import write_index
from iqsr.preparation.photo import Photo
from iqsr.preparation.recipe import ModelEnhancer, PrepareRecipe
from iqsr.preparation.workers import Outcome, outcomes
from iqsr.recipes import read_recipe, recipe_hash
from iqsr.scoring import content_hash

OnPhoto = Callable[[Outcome, int, int], None]
"""Told what became of a photo, and how many of how many are finished."""


@dataclass(frozen=True)
class Summary:
    """What is in the folder, from this run and those before it."""

    sets: int
    photos: int
    """that are finished"""
    too_small: int
    """of them, smaller than the crop"""
    nothing_kept: int
    """of them, without a patch that has contrast and detail, or hardly larger than the crop"""
    failed: int = 0
    """photos of this run that could not be read or enhanced, and folders that could not be searched; the next run
    tries them again"""


def prepare(
    photos: Iterable[str | Path],
    out: str | Path,
    recipe: PrepareRecipe | str | Path = DEFAULT_PREPARE,
    *,
    workers: int = 1,
    device: str = "cpu",
    on_photo: OnPhoto | None = None,
) -> Summary:
    """Make sets of ground truths of photos, in HGGT's layout without labels, with an index of scores.

    Photos that `out` has already are not done again, so a run that was stopped goes on, and more photos can be added
    later. The result does not depend on stops or on the number of workers.

    Args:
        photos: Files, folders, patterns.
        out: The folder of the data set.
        recipe: Settings, or the file or name of a recipe (`iqsr recipes`).
        workers: Processes, each with its share of the threads.
        device: `cpu`, `cuda`, `cuda:N`, `mps` or `auto`.
        on_photo: Called after each photo, in this process.

    Returns:
        How many sets and photos the folder holds now, and how many failed.

    Raises:
        UsageError: For wrong arguments, photos of the same name, and a folder that is not this recipe's.
        WeightsError: If the weights of a model or metric are not here.
        IqsrError: If a worker dies, another run is at work in `out`, or no patch at all was kept.
    """
    if workers < 1:
        raise UsageError(f"--workers is at least 1, got {workers}")
    out = Path(out)
    if not isinstance(recipe, PrepareRecipe):
        recipe = read_recipe(recipe, PrepareRecipe)
    _check_metrics(recipe)
    unread: list[OSError] = []
    found = _named(find_pictures(photos, leave_out=out, on_unread=unread.append))
    with taken(out, recipe.variants, _identity(recipe)) as folder:
        records = folder.records()
        to_do = _to_do(found, records, out)
        failed = len(unread)
        if to_do:
            folder.begin(records)
            done = len(found) - len(to_do)
            for outcome in outcomes(to_do, recipe, folder, workers=workers, device=device):
                done += 1
                if outcome.record is None:
                    failed += 1
                else:
                    records[outcome.photo.image] = outcome.record
                if on_photo is not None:
                    on_photo(outcome, done, len(found))
        return _ended(folder, recipe, dict(sorted(records.items())), failed)


def _ended(folder: SetFolder, recipe: PrepareRecipe, records: dict[str, PhotoRecord], failed: int) -> Summary:
    """Put the pictures in their place, write index and counts."""
    states = Counter(record.state for record in records.values())
    sets = sum(len(record.sets) for record in records.values())
    summary = Summary(sets, len(records), states["too small"], states["nothing kept"], failed)
    if not records:
        raise IqsrError("no photo could be read or enhanced; what is wrong with each is told above")
    if not sets:
        raise IqsrError(
            f"no patch was kept: of {summary.photos} photos {summary.too_small} are smaller than the crop of "
            f"{recipe.patches.crop} pixels, {summary.nothing_kept} too flat, too blurred or hardly larger; "
            "set patches.crop lower, or give other photos"
        )
    place = folder.end(sets)
    if not folder.index.exists():
        write_index(folder, records, recipe, place)
        counts = {key: value for key, value in asdict(summary).items() if key != "failed"}
        write_json(folder.facts, {**_identity(recipe), **counts})
    return summary


def _named(found: Iterable[tuple[Path, Path]]) -> list[Photo]:
    """Names for the sets: the path below the folder that was named, joined by `_`. UsageError where two agree."""
    photos: dict[str, Photo] = {}
    for source, relative in found:
        text = "_".join(relative.with_suffix("").parts)
        image = os.fsencode(text).decode("utf-8", "replace")
        if image in photos:
            raise UsageError(f"'{photos[image].source}' and '{source}' would both be called '{image}'; rename one")
        photos[image] = Photo(image, source)
    return list(photos.values())


def _to_do(found: Iterable[Photo], records: Mapping[str, PhotoRecord], out: Path) -> list[Photo]:
    """Photos without a record. UsageError for one that has changed since."""
    to_do: list[Photo] = []
    for photo in found:
        known = records.get(photo.image)
        if known is None:
            to_do.append(photo)
        elif content_hash(photo.source) != known.sha256:
            raise UsageError(f"'{photo.source}' has changed since '{out}' was prepared; choose another folder")
    return to_do


def _check_metrics(recipe: PrepareRecipe) -> None:
    for about in map(card, recipe.metrics):
        if about.reference == "full":
            raise UsageError(f"{about.name} compares with a reference; `metrics` takes those that need none")


def _identity(recipe: PrepareRecipe) -> dict[str, Any]:
    """What tells this data set from others: settings, and the content of networks that are files."""
    models = [e.model for e in recipe.enhancers if isinstance(e, ModelEnhancer)]
    files = {model: content_hash(path) for model in models if (path := in_home(model)).is_file()}
    return {
        "recipe_hash": recipe_hash(recipe),
        "recipe": recipe.model_dump(mode="json"),
        "models": files,
        "versions": {name: version(name) for name in ("iqsr", "torch", "pillow", "pyvips")},
    }
