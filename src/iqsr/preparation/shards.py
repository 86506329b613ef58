"""Sets of ground truths in shards: the sets of one shard's photos, and the data set of all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from iqsr.errors import IqsrError, UsageError
from iqsr.io.places import check_leads_inside
from iqsr.io.shard_parts import Part, copy_file, join_file
from iqsr.io.shards import Shard, ShardPart, shard_part
from iqsr.io.threads import in_threads
from iqsr.io.urls import url_of
from iqsr.preparation.folder import PhotoRecord, SetFolder, claimed
from iqsr.preparation.make import OnPhoto, Summary, finish, found_photos, identity, make_sets
from iqsr.preparation.recipe import PrepareRecipe
from iqsr.preparation.workers import Outcome

FOLDER = "sets"


def prepare_shard(
    photos: Iterable[str | Path],
    out: Path,
    recipe: PrepareRecipe,
    shard: Shard,
    *,
    workers: int = 1,
    device: str = "cpu",
    on_photo: OnPhoto | None = None,
) -> tuple[ShardPart, Summary]:
    """Make the sets of one shard's photos in `OUT.shards/I-of-N/sets`, and the manifest.

    The content of a photo decides its shard. A shard without photos, or of whose photos nothing is kept, is no error.
    out: the folder of the whole data set. Other arguments, and errors, as for `prepare`; UsageError also for a folder
    that holds a shard of another recipe.
    """
    found, unread = found_photos(photos, out)
    about = identity(recipe)
    settings = {name: about[name] for name in ("recipe", "recipe_hash", "models")}
    failed: dict[str, str] = {}

    def note(outcome: Outcome, done: int, total: int) -> None:
        if outcome.error is not None:
            failed[outcome.photo.image] = outcome.error
        if on_photo is not None:
            on_photo(outcome, done, total)

    with shard_part(out, shard, command="prepare", settings=settings, name=FOLDER) as part:
        units = part.choose((photo.image, photo.source) for photo in found)
        mine = [found[unit.place] for unit in units]
        summary = make_sets(
            mine, part.output, recipe, len(unread), workers=workers, device=device, on_photo=note, may_be_empty=True
        )
        part.finish(
            {unit.place: failed[found[unit.place].image] for unit in units if found[unit.place].image in failed}
        )
    return part, summary


def merge_sets(parts: Sequence[Part], out: Path) -> tuple[Summary, PrepareRecipe]:
    """The data set of all shards in the folder `out`, the same as without shards; and the recipe.

    Pictures get a second place there, see `join_file`: the shards stay whole, and a merge that was stopped goes on.
    Raises what `prepare` raises for the folder `out`.
    """
    settings = parts[0].manifest.settings
    recipe = PrepareRecipe.model_validate(settings["recipe"])
    failed = sum(len(part.manifest.failed) for part in parts)
    with claimed(out, recipe.variants, {**identity(recipe), "models": settings["models"]}) as folder:
        records = folder.records()
        made_of = [(SetFolder(part.folder / FOLDER, recipe.variants), part) for part in parts]
        found = [(made, one) for made, part in made_of for one in _records(made, part)]
        to_do = [(made, one) for made, one in found if _is_new(one, records, out)]
        if to_do:
            folder.begin(records)
            records |= {one.image: one for _, one in to_do}
            target = folder.begin_joining(sum(len(one.sets) for one in records.values()))
            sources = {made: made.finished or made.work for made, _ in made_of}
            _join([(one, made.path, sources[made]) for made, one in to_do], folder, target)
        return finish(folder, recipe, dict(sorted(records.items())), failed), recipe


def _records(made: SetFolder, part: Part) -> list[PhotoRecord]:
    """The photos that the manifest lists as done. IqsrError where one has no record."""
    known = made.records()
    found = [known.get(unit.name) for unit in part.manifest.done]
    for unit, record in zip(part.manifest.done, found, strict=True):
        if record is None or unit.sha256 not in (record.sha256, record.mark):
            raise IqsrError(f"'{made.path}' has no sets of '{unit.name}': run shard {part.shard} again")
    return [record for record in found if record is not None]


def _is_new(record: PhotoRecord, known: dict[str, PhotoRecord], out: Path) -> bool:
    """Whether the photo is not in `out` yet. UsageError where another one of its name is."""
    before = known.get(record.image)
    if before is not None and before.sha256 != record.sha256:
        raise UsageError(f"'{record.image}' is another photo in '{out}': choose another folder")
    return before is None


def _join(to_do: Sequence[tuple[PhotoRecord, Path, Path]], folder: SetFolder, target: Path) -> None:
    """Join the pictures of each photo, then its record.

    to_do: each record, the folder of the data set that it is in, and the folder of its pictures.
    target: the folder for the pictures.
    """
    in_store = any(url_of(path) for path in (target, *(source for _, _, source in to_do)))
    put = copy_file if in_store else join_file  # no picture is there: `begin` has removed those without a record

    def join(one: tuple[PhotoRecord, Path, Path]) -> None:
        record, top, source = one
        for name in record.names:
            for variant in folder.variants:
                picture = folder.picture(name, variant)
                check_leads_inside(source / picture, top)
                put(source / picture, target / picture)
        folder.commit(record)

    if in_store:
        in_threads(join, to_do)
        return
    for one in to_do:
        join(one)
