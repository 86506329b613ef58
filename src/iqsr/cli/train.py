"""`iqsr train`: a model from sets of ground truths."""

from pathlib import Path
from typing import Annotated

import typer

from iqsr.cli.options import AcceptData, Recipe, Resume, Run, set_option
from iqsr.errors import UsageError


def command(
    recipe: Recipe,
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            help="Data: sets of ground truths (iqsr prepare, HGGT, folders). Several times: all of them.",
            metavar="DIR",
        ),
    ],
    output: Run,
    validation: Annotated[
        Path | None,
        typer.Option("--validation", help="Photos to look at, not to learn from; the guard needs them.", metavar="DIR"),
    ] = None,
    resume: Resume = False,
    accept_data: AcceptData = False,
    changes: Annotated[list[str] | None, set_option("optimiser.lr=1e-5")] = None,
) -> None:
    """Train or fine-tune a super-resolution network, guided by predicted quality.

    Stopped by Ctrl-C or SIGTERM it writes a checkpoint first; --resume goes on as if nothing had happened. With several
    processes: accelerate launch -m iqsr train ...

    [bold]Examples[/bold]

      iqsr train ablation/cpu-first --data sets/ -o runs/cpu-first

      iqsr train ablation/cpu-first --data sets/ -o runs/cpu-first --resume

      iqsr train ablation/cpu-first --data sets/ -o a --resume --set steps=2000

      iqsr train ablation/cpu-first --data sets/ -o a --validation others/

      iqsr train ablation/cpu-amo-ft --data sets/ -o ft --set steps=200

      iqsr train ablation/cpu-first --data sets/ --data more-sets/ -o both

      iqsr train paper/swinir-l1 --data HGGT/Train -o l1 --set batch=4
    """
    from iqsr.cli.interrupt import interruptible
    from iqsr.cli.progress import StageBars
    from iqsr.memory import keep_freed_memory
    from iqsr.recipes import read_recipe
    from iqsr.training import training_packages
    from iqsr.training.sr.recipe import TrainRecipe

    with training_packages():
        from iqsr.training.sr.run import train
    if accept_data and not resume:
        raise UsageError("--accept-data goes with --resume: a new run takes the data as it is")
    settings = read_recipe(recipe, TrainRecipe, changes or [])
    keep_freed_memory()
    with interruptible("--resume goes on from here"), StageBars() as bars:
        result = train(
            settings,
            data,
            output,
            validation=validation,
            resume=resume,
            accept_data=accept_data,
            on_progress=bars.stage,
        )
    typer.echo(result)
