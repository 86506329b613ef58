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
from iqsr.io.tensor_files import serialized
from iqsr.scoring.cache import content_hash
from iqsr.training.engine.folder import other_data
from iqsr.training.engine.identity import Difference, read_json
from iqsr.training.engine.settings import changes, check_changes
from iqsr.training.predictor.recipe import DataRecipe
from iqsr.training.predictor.sources import Source, crops_by_area, photos_within
from iqsr.training.predictor.teachers import Teachers
from iqsr.training.predictor.versions import Upscalers, versions_of

GRID = 8  # pixels of a picture to a place of its map, a side
_ADVICE = "remove it to go on without a check that the work is as it was"


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

    part: (i, n) makes every n-th photo, from the i-th: n processes share the work. Every photo has a random source of
    its own, so the data depends on the recipe alone.

    Returns which photos are not as they were. IqsrError where there are any, unless `accept` says that their shards are
    to be made anew; of a photo that has no shard yet any repair will do. UsageError where `out` holds data of another
    recipe.
    """
    chosen = photos_within(photos, recipe.photos)
    names = shard_names(chosen)
    changed = _claim(out, recipe, {names[photo]: content_hash(photo) for photo in chosen}, accept=accept)
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
            with safe_open(path, "pt") as file:
                meta = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
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


def _claim(out: Path, recipe: DataRecipe, photos: Mapping[str, str], *, accept: bool) -> Difference:
    """Note recipe and photos (hashes by shard) in the folder; what is not as noted.

    The trainings that follow go on from their checkpoints, so data that grew or shrank would be another run's.
    """
    with write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    recipe_note, photos_note = out / "data.json", out / "photos.json"
    if recipe_note.exists():
        check_changes(changes(read_json(recipe_note, _ADVICE), recipe), out)
    shards = {path.name for path in out.glob("*.safetensors")}
    noted: dict[str, str] = read_json(photos_note, _ADVICE) if photos_note.exists() else dict(photos)
    changed = [name for name in photos if name in noted and noted[name] != photos[name]]
    found = Difference(
        added=[name for name in photos if name not in noted],
        removed=[name for name in {**noted, **dict.fromkeys(sorted(shards))} if name not in photos],
        changed=[name for name in changed if name in shards],  # of the others nothing was made
    )
    if found and not accept:
        raise IqsrError(other_data(out, found, f"{len(noted)} photos"))
    for name in {*found.removed, *found.changed} & shards:
        (out / name).unlink()
    write_text(recipe_note, recipe.model_dump_json())
    write_text(photos_note, json.dumps(dict(photos)))
    return found
