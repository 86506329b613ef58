"""The training of a model on sets of ground truths, in one process or (`accelerate launch`) several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from iqsr.recipes import read_recipe
from iqsr.training.engine.loop import Progress, silent
from iqsr.training.engine.processes import lost_processes
from iqsr.training.sr.loop import Training
from iqsr.training.sr.recipe import TrainRecipe


def train(
    recipe: TrainRecipe | str | Path,
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    validation: str | Path | None = None,
    resume: bool = False,
    accept_data: bool = False,
    on_progress: Progress = silent,
) -> Path:
    """Train or fine-tune a super-resolution model on sets of ground truths.

    Started by `torchrun` or `accelerate launch`, each process calls this and learns from its share of every step's
    samples. Where one ends, the others end with an IqsrError.

    Args:
        recipe: Settings, or the file or name of a recipe (`iqsr recipes`).
        data: Sets of ground truths from `prepare`, HGGT, or folders of variants; several are joined.
        out: The run's folder: recipe, log, checkpoints, pictures, result.
        validation: Photos that the model is measured on and never learns from; the guard against gaming needs them.
        resume: Continue from the last whole checkpoint. Settings that the result does not depend on may differ, and
            `steps` may grow.
        accept_data: With `resume`: continue with the data as it is now, and note what changed.
        on_progress: Called at each line of the log.

    Returns:
        The file that was written: `adapter.safetensors` or `weights.safetensors`.

    Raises:
        UsageError: For arguments that do not fit together, and where there is no run to continue.
        PictureError: For pictures that cannot be read.
        IqsrError: If `out` holds a run already, or one on other data; if a step fails or the guard stops the run.
        KeyboardInterrupt: When it was asked to stop; a checkpoint is written first.
    """
    if not isinstance(recipe, TrainRecipe):
        recipe = read_recipe(recipe, TrainRecipe)
    folders = [Path(data)] if isinstance(data, str | Path) else [Path(folder) for folder in data]
    with lost_processes(Path(out)):
        training = Training(
            recipe,
            folders,
            Path(out),
            validation=None if validation is None else Path(validation),
            resume=resume,
            accept_data=accept_data,
            on_progress=on_progress,
        )
        return training.run(on_progress)
