"""From a recipe and sets of ground truths to a trained generator."""

from collections.abc import Sequence
from pathlib import Path

from iqsr.training.sr.loop import Progress, Training, silent
from iqsr.training.sr.recipe import TrainRecipe


def train(
    recipe: TrainRecipe,
    data: Path | Sequence[Path],
    out: Path,
    *,
    validation: Path | None = None,
    resume: bool = False,
    accept_data: bool = False,
    on_progress: Progress = silent,
) -> Path:
    """Train the recipe's generator on the sets in `data`; returns the adapter or the network that was written.

    data: sets of ground truths, from `iqsr prepare`, HGGT, or folders of variants; several are joined. out: the run's
    folder: recipe, log, checkpoints, pictures, result. validation: photos that are looked at and never learned from;
    without them the guard sees nothing. resume: go on from the last whole checkpoint; settings may differ where the
    result does not depend on them (`iqsr.training.resume`), and `steps`. accept_data: with `resume`, go on with the
    data as it is now.

    Started by `accelerate launch`, each process calls this and learns from its share of every batch.

    Raises UsageError for arguments that do not fit together, nothing to resume and a run of another recipe;
    PictureError for pictures that cannot be read; IqsrError where `out` holds a run, or one on other data, or a step
    fails; its child GamedError where the guard stops; KeyboardInterrupt when it was asked to stop.
    """
    training = Training(
        recipe, data, out, validation=validation, resume=resume, accept_data=accept_data, on_progress=on_progress
    )
    return training.run(on_progress)
