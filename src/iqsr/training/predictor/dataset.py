"""Versions of crops with their teachers' judgements, made once and kept in shards: `iqsr train-quality` reads these."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from iqsr.device import fastest_dtype
from iqsr.errors import IqsrError
from iqsr.io.atomic import write_bytes, write_errors, write_text
from iqsr.io.places import check_is_file
from iqsr.io.tensor_files import serialized
from iqsr.scoring.cache import content_hash
from iqsr.training.engine.folder import other_data
from iqsr.training.engine.identity import Difference, read_json, renamed
from iqsr.training.engine.settings import changes, check_changes
from iqsr.training.predictor.recipe import DataRecipe
from iqsr.training.predictor.sources import Source, crops_by_area, photos_within
from iqsr.training.predictor.teachers import Teachers
from iqsr.training.predictor.versions import Upscalers, versions_of

GRID = 8  # pixels of a picture to a place of its map, a side
_ADVICE = "remove the folder to make the data anew"


@dataclass(frozen=True)
class Shard:
    """All versions of the crops of one photo."""

    photo: str
    kinds: list[list[str]]
    """[N][K]: how each version was made."""
    pictures: Tensor
    """(N, K, 3, S, S) uint8."""
    alex: Tensor
    """(N, K): LPIPS-ST (AlexNet) to the clean crop."""
    vgg: Tensor
    """(N, K): LPIPS-ST (VGG16) to the clean crop."""
    places: Tensor
    """(N, K, S / 8, S / 8) fp16: the mean of both, for each place."""


def make_data(
    photos: Sequence[Path],
    out: Path,
    recipe: DataRecipe,
    *,
    part: tuple[int, int] = (0, 1),
    accept: bool = False,
    on_photo: Callable[[int, int], None],
) -> Difference:
    """Write one shard a photo into `out`; those that are there are kept, so a stopped run goes on where it was.

    A photo's crops depend on the recipe, its content and its name, not on the other photos.

    Args:
        photos: Files.
        out: The folder of the data.
        recipe: How versions are made.
        part: (i, n) makes every n-th photo, from the i-th: n processes share the work.
        accept: Whether shards of photos that changed, or that are gone, are deleted and made anew.
        on_photo: Called with how many photos are done, and of how many.

    Returns:
        Which photos differ from those that `out` was made from.

    Raises:
        IqsrError: If any differ and `accept` is false. A photo that has no shard yet may have changed.
        UsageError: If `out` holds data of another recipe.
    """
    chosen = photos_within(photos, recipe.photos)
    names = shard_names(chosen)
    changed = _check_and_note(out, recipe, {names[photo]: content_hash(photo) for photo in chosen}, accept=accept)
    photos = chosen[part[0] :: part[1]]
    upscalers, teachers = Upscalers(recipe.generators), Teachers(fastest_dtype(torch.device("cpu")))
    for done, photo in enumerate(photos):
        path = out / names[photo]
        if not path.exists():
            seed = recipe.seed * 1_000_003 + int.from_bytes(photo.name.encode()[-7:], "big") % 1_000_003
            rng = torch.Generator().manual_seed(seed)
            crops = list(crops_by_area(photo, recipe.crop, recipe.per_megapixel, rng))
            write_shard(path, _judged(photo.name, crops, recipe, upscalers, teachers, rng))
        on_photo(done + 1, len(photos))
    return changed


def shard_names(photos: Sequence[Path]) -> dict[Path, str]:
    """The name of each photo's shard: the photo's, and where several are called alike a part of its content's hash.

    So it does not depend on where the photos lie. Of equal photos of one name there is one shard.
    """
    alike: dict[str, list[Path]] = defaultdict(list)
    for photo in dict.fromkeys(photos):
        alike[photo.stem.casefold()].append(photo)  # some file systems do not tell A.png from a.png
    alone = {group[0] for group in alike.values() if len(group) == 1}
    return {
        photo: f"{photo.stem}.safetensors" if photo in alone else f"{photo.stem}-{content_hash(photo)[:12]}.safetensors"
        for photo in photos
    }


def read_shards(folder: Path) -> Iterator[Shard]:
    """All shards of a folder, by name. IqsrError where there is none, or one is damaged."""
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise IqsrError(f"{folder}: no data there; make it first")
    for path in paths:
        try:
            check_is_file(path)
            with safe_open(path, "pt") as file:
                meta = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise IqsrError(f"'{path}' is damaged ({error}): remove it to have it made anew") from None
        yield Shard(meta["photo"], json.loads(meta["kinds"]), **tensors)


def _judged(
    photo: str,
    crops: Sequence[Source],
    recipe: DataRecipe,
    upscalers: Upscalers,
    teachers: Teachers,
    rng: torch.Generator,
) -> Shard:
    kinds, pictures, judgements = [], [], []
    for source in crops:
        versions = versions_of(source.crop[None], upscalers, recipe.defects, rng)
        stored = torch.cat([(v.picture * 255).round().byte() for v in versions])
        kinds.append([v.kind for v in versions])
        pictures.append(stored)
        judgements.append(teachers.judge(stored / 255, source.crop[None], recipe.crop // GRID))
    alex, vgg, places = (torch.stack(list(t)) for t in zip(*judgements, strict=True))
    return Shard(photo, kinds, torch.stack(pictures), alex, vgg, places[:, :, 0].half())


def write_shard(path: Path, shard: Shard) -> None:
    """Write one shard, whole or not at all."""
    tensors = {name: getattr(shard, name).contiguous() for name in ("pictures", "alex", "vgg", "places")}
    write_bytes(path, serialized(tensors, {"photo": shard.photo, "kinds": json.dumps(shard.kinds)}))


def _check_and_note(out: Path, recipe: DataRecipe, photos: Mapping[str, str], *, accept: bool) -> Difference:
    """Compare recipe and photos with those that the folder was made from, then note them. Deletes outdated shards.

    Trainings continue from checkpoints that depend on all photos, so photos that came or went make another run.
    photos: the SHA-256 of each by the name of its shard. Raises IqsrError for a difference that is not accepted.
    """
    with write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    recipe_note, photos_note = out / "data.json", out / "photos.json"
    if recipe_note.exists():
        check_changes(changes(read_json(recipe_note, _ADVICE), recipe), out)
    shards = {path.name for path in out.glob("*.safetensors")}
    noted: dict[str, str] = read_json(photos_note, _ADVICE) if photos_note.exists() else dict(photos)
    changed = [name for name in photos if name in noted and noted[name] != photos[name]]
    added = [name for name in photos if name not in noted]
    removed = [name for name in {**noted, **dict.fromkeys(sorted(shards))} if name not in photos]
    found = Difference(
        added=added,
        removed=removed,
        changed=[name for name in changed if name in shards],  # of the others nothing was made
        renamed=renamed({name: photos[name] for name in added}, {name: noted.get(name) for name in removed}),
    )
    if found and not accept:
        raise IqsrError(other_data(out.parent, _of_photos(found), f"{len(noted)} photos"))
    for name in {*found.removed, *found.changed} & shards:
        (out / name).unlink()
    write_text(recipe_note, recipe.model_dump_json())
    write_text(photos_note, json.dumps(dict(photos)))
    return found


def _of_photos(found: Difference) -> Difference:
    """The same with the photos' names in the place of their shards'."""
    added, removed, changed = (
        [Path(name).stem for name in names] for names in (found.added, found.removed, found.changed)
    )
    pairs = [(Path(before).stem, Path(now).stem) for before, now in found.renamed]
    return Difference(added, removed, changed, renamed=pairs)
