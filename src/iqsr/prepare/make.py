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

from iqsr.errors import IqsrError, UsageError
from iqsr.images.find import find_pictures, in_home
from iqsr.prepare.folder import PhotoRecord, SetFolder, taken, write_json
from iqsr.prepare.index import write_index
from iqsr.prepare.photo import Photo
from iqsr.prepare.recipe import GeneratorEnhancer, PrepareRecipe
from iqsr.prepare.workers import Outcome, outcomes
from iqsr.quality import card
from iqsr.recipes import recipe_hash
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
    out: Path,
    recipe: PrepareRecipe,
    *,
    workers: int = 1,
    device: str = "cpu",
    on_photo: OnPhoto | None = None,
) -> Summary:
    """Make a data set of the photos in `out`, in HGGT's layout without labels, with an index of scores.

    photos: files, folders, patterns. Photos that `out` has already are not done again, so a run that was stopped goes
    on, and more photos can be added later; the result does not depend on stops, or on the number of `workers`
    (processes, each with its share of the threads). on_photo: called in this process, after each photo.

    Raises UsageError for wrong arguments, photos of the same name, and a folder that is not this recipe's; the errors
    of networks and metrics that are not here; IqsrError where a worker dies, another run is at work in `out`, or no
    patch at all was kept.
    """
    if workers < 1:
        raise UsageError(f"--workers is at least 1, got {workers}")
    out = Path(out)
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
    models = [e.model for e in recipe.enhancers if isinstance(e, GeneratorEnhancer)]
    files = {model: content_hash(path) for model in models if (path := in_home(model)).is_file()}
    return {
        "recipe_hash": recipe_hash(recipe),
        "recipe": recipe.model_dump(mode="json"),
        "models": files,
        "versions": {name: version(name) for name in ("iqsr", "torch", "pillow", "pyvips")},
    }
