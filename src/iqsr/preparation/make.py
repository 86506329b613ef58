"""Makes sets of ground truths from photos: the whole run, and its index.

>>> prepare(["photos/"], Path("sets"), PrepareRecipe())
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqsr.configs import DEFAULT_PREPARE
from iqsr.errors import IqsrError, UsageError, WriteError
from iqsr.images.find import find_pictures, in_home
from iqsr.io.remote import is_there, mark_of
from iqsr.io.shards import parts_folder
from iqsr.metrics import card
from iqsr.preparation.folder import PhotoRecord, SetFolder, claimed, write_json
from iqsr.preparation.photo import Photo
from iqsr.preparation.recipe import ModelEnhancer, PrepareRecipe
from iqsr.preparation.workers import Outcome, outcomes
from iqsr.recipes import read_recipe, recipe_hash
from iqsr.scoring import content_hash, write_table

if TYPE_CHECKING:
    from pandas import DataFrame

OnPhoto = Callable[[Outcome, int, int], None]
"""Called with the outcome of a photo, the number of photos done, and the number of all."""


@dataclass(frozen=True)
class Summary:
    """How many sets and photos are in the folder, from this run and earlier ones."""

    sets: int
    photos: int
    """Photos that are finished."""
    too_small: int
    """Photos smaller than the crop, among these."""
    nothing_kept: int
    """Photos of which no patch was kept, among these: flat, blurred or hardly larger than the crop."""
    failed: int = 0
    """Photos of this run that could not be read or enhanced, and folders that could not be searched. The next run tries
    them again."""


def prepare(
    photos: Iterable[str | Path],
    out: str | Path,
    recipe: PrepareRecipe | str | Path = DEFAULT_PREPARE,
    *,
    workers: int = 1,
    device: str = "cpu",
    on_photo: OnPhoto | None = None,
) -> Summary:
    """Make sets of ground truths from photos, in HGGT's layout without labels, with an index of scores.

    Photos whose sets are in `out` are skipped, so that a run that was stopped goes on and photos can be added later.
    The result depends neither on stops nor on the number of workers.

    Args:
        photos: Files, folders, patterns, also as URLs (`s3://bucket/folder/`).
        out: The folder of the data set, also as a URL.
        recipe: Settings, or the file or name of a recipe (`iqsr recipes`).
        workers: Number of processes; each gets an equal share of the threads.
        device: `cpu`, `cuda`, `cuda:N`, `mps` or `auto`.
        on_photo: Called after each photo, in this process, with its outcome, the number of photos done, and of all.

    Returns:
        How many sets and photos the folder holds now, and how many photos failed.

    Raises:
        UsageError: For wrong arguments, two photos of one name, or a folder that another recipe made.
        WeightsError: If the weights of a model or metric are missing.
        IqsrError: If a worker process dies, another run uses `out`, or no patch at all was kept.
    """
    out = in_home(str(out))
    if not isinstance(recipe, PrepareRecipe):
        recipe = read_recipe(recipe, PrepareRecipe)
    found, unread = found_photos(photos, out)
    return make_sets(found, out, recipe, len(unread), workers=workers, device=device, on_photo=on_photo)


def found_photos(photos: Iterable[str | Path], out: Path) -> tuple[list[Photo], list[OSError]]:
    """The photos under their names, and the errors of folders that cannot be searched.

    What is in the folder `out` of the data set, or in that of its shards, is left out.
    """
    unread: list[OSError] = []
    found = find_pictures(photos, exclude=[out, parts_folder(out)], on_unread=unread.append)
    return _named(found), unread


def make_sets(
    found: Sequence[Photo],
    out: Path,
    recipe: PrepareRecipe,
    failed: int,
    *,
    workers: int,
    device: str,
    on_photo: OnPhoto | None,
    may_be_empty: bool = False,
) -> Summary:
    """Make the sets of named photos, as `prepare` does.

    failed: folders that could not be searched. may_be_empty: no error is raised where no patch at all was kept.
    """
    if workers < 1:
        raise UsageError(f"--workers is at least 1, got {workers}")
    _check_metrics(recipe)
    with claimed(out, recipe.variants, identity(recipe)) as folder:
        records = folder.records()
        to_do = _to_do(found, records, folder)
        if to_do:
            folder.check_unlabelled()
            begun = folder.here == folder
            if begun:  # pictures are made in it
                folder.begin(records)
            done = len(found) - len(to_do)
            for made in outcomes(to_do, recipe, folder.here, workers=workers, device=device):
                if made.record is not None and not begun:  # a store moves each picture: not for photos that all fail
                    folder.begin(records)
                    begun = True
                outcome = _sent(made, folder)
                done += 1
                if outcome.record is None:
                    failed += 1
                else:
                    records[outcome.photo.image] = outcome.record
                if on_photo is not None:
                    on_photo(outcome, done, len(found))
        return finish(folder, recipe, dict(sorted(records.items())), failed, may_be_empty=may_be_empty)


def _sent(outcome: Outcome, folder: SetFolder) -> Outcome:
    """The outcome when the sets are part of the data set, or the error of the store that they go to.

    StoreError where the store will take nothing.
    """
    if outcome.record is not None:
        try:
            folder.send(outcome.record)
        except WriteError as error:
            return Outcome(outcome.photo, None, str(error))
    return outcome


def finish(
    folder: SetFolder,
    recipe: PrepareRecipe,
    records: dict[str, PhotoRecord],
    failed: int,
    *,
    may_be_empty: bool = False,
) -> Summary:
    """Put the pictures in their place, write index and counts. IqsrError where there are none, unless they may be."""
    states = Counter(record.state for record in records.values())
    sets = sum(len(record.sets) for record in records.values())
    summary = Summary(sets, len(records), states["too small"], states["nothing kept"], failed)
    if may_be_empty and not sets:
        return summary
    if not records:
        raise IqsrError("no photo could be read or enhanced; the reasons stand above")
    if not sets:
        raise IqsrError(
            f"no patch was kept: of {summary.photos} photos {summary.too_small} are smaller than the crop of "
            f"{recipe.patches.crop} pixels, {summary.nothing_kept} too flat, too blurred or hardly larger; "
            "set patches.crop lower, or give other photos"
        )
    place = folder.end(records)
    if not is_there(folder.index):
        write_index(folder, records, recipe, place)
        counts = {key: value for key, value in asdict(summary).items() if key != "failed"}
        write_json(folder.facts, {**identity(recipe), **counts})
    return summary


def _named(found: Iterable[tuple[Path, Path]]) -> list[Photo]:
    """Names for the sets: the path below the folder that was named, joined by `_`. UsageError where two agree."""
    photos: dict[str, Photo] = {}
    for source, relative in found:
        text = "_".join(relative.with_suffix("").parts)
        image = os.fsencode(text).decode("utf-8", "replace")
        if image in photos:
            raise UsageError(f"'{photos[image].source}' and '{source}' would both be called '{image}'; rename one")
        photos[image] = Photo(image, source, mark_of(source))
    return list(photos.values())


def _to_do(found: Iterable[Photo], records: dict[str, PhotoRecord], folder: SetFolder) -> list[Photo]:
    """Photos without a record. UsageError for one that has changed since.

    Of a photo with a new mark and the same content, the record gets the mark: so it need not be read the next time,
    and agrees with the manifest of a shard.
    """
    to_do: list[Photo] = []
    for photo in found:
        known = records.get(photo.image)
        if known is None:
            to_do.append(photo)
        elif photo.mark is None or photo.mark != known.mark:
            if content_hash(photo.source) != known.sha256:
                raise UsageError(
                    f"'{photo.source}' has changed since '{folder.path}' was prepared; choose another folder"
                )
            if photo.mark is not None:
                records[photo.image] = replace(known, mark=photo.mark)
                folder.commit(records[photo.image])
    return to_do


def _check_metrics(recipe: PrepareRecipe) -> None:
    for about in map(card, recipe.metrics):
        if about.compares:
            raise UsageError(f"{about.name} compares with a reference; `metrics` takes those that need none")


def identity(recipe: PrepareRecipe) -> dict[str, Any]:
    """What tells this data set from others: settings, and the content of networks that are files."""
    models = [e.model for e in recipe.enhancers if isinstance(e, ModelEnhancer)]
    files = {model: content_hash(path) for model in models if (path := in_home(model)).is_file()}
    return {
        "recipe_hash": recipe_hash(recipe),
        "recipe": recipe.model_dump(mode="json"),
        "models": files,
        "versions": {name: version(name) for name in ("iqsr", "torch", "pillow", "pyvips")},
    }


def write_index(folder: SetFolder, records: Mapping[str, PhotoRecord], recipe: PrepareRecipe, place: Path) -> None:
    """Write `index.parquet`, for choosing among ground truths by their scores. place: the folder images/0-<n-1>."""
    write_table(index_of(folder, records.values(), recipe, place), folder.index)


def index_of(folder: SetFolder, records: Iterable[PhotoRecord], recipe: PrepareRecipe, place: Path) -> DataFrame:
    """The index: a row for each picture, sorted by set, the original first.

    Columns: `set`, `variant`, `path` (below the data set's folder), `image`, `row`, `column`, `enhancer` (empty for the
    original), and the score (float64) of each metric.
    """
    from pandas import DataFrame

    enhancers = ["", *(enhancer.describe() for enhancer in recipe.enhancers)]
    rows: list[dict[str, Any]] = []
    for record in records:
        for number, (name, (row, column)) in enumerate(zip(record.names, record.sets, strict=True)):
            for k, (variant, enhancer) in enumerate(zip(folder.variants, enhancers, strict=True)):
                path = (place / folder.picture(name, variant)).relative_to(folder.path).as_posix()
                facts = {"set": name, "variant": variant, "path": path, "image": record.image}
                facts |= {"row": row, "column": column, "enhancer": enhancer}
                rows.append(facts | {metric: scores[number][k] for metric, scores in record.scores.items()})
    return DataFrame(rows).sort_values("set", kind="stable", ignore_index=True)
