"""`iqsr train-quality`: a quality predictor from photos, or from people's preferences."""

from pathlib import Path
from typing import Annotated

import typer

from iqsr.cli.options import AcceptData, Recipe, Resume, Run, set_option


def command(
    recipe: Recipe,
    photos: Annotated[
        list[Path] | None, typer.Option("--photos", help="Folder of clean photos; may be given again.", metavar="DIR")
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs", help="CSV of pairs: first, second, share_first (share who prefer the first).", metavar="CSV"
        ),
    ] = None,
    output: Run = Path("run-quality"),
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="With --pairs: weights to start from (safetensors), not the shipped srq.",
            metavar="FILE",
        ),
    ] = None,
    scratch: Annotated[
        bool, typer.Option("--scratch", help="With --pairs: start from ImageNet's features, not srq.")
    ] = False,
    resume: Resume = False,
    accept_data: AcceptData = False,
    changes: Annotated[list[str] | None, set_option("training.steps=100 (with --pairs: steps=100)")] = None,
) -> None:
    """Train a predictor of picture quality: from photos, without labels, or from people's preferences.

    Stopped by Ctrl-C or SIGTERM it writes a checkpoint first; --resume goes on as if nothing had happened.

    [bold]Examples[/bold]

      iqsr train-quality predictor/srq --photos photos/ -o runs/srq

      iqsr train-quality predictor/srq --photos photos/ -o runs/srq --resume

      iqsr train-quality predictor/srq --photos a/ --set held_out=0.2

      iqsr train-quality preferences/people --pairs pairs.csv -o people
    """
    from iqsr.cli.interrupt import interruptible
    from iqsr.cli.progress import StageBars
    from iqsr.recipes import read_recipe
    from iqsr.training import training_packages
    from iqsr.training.predictor.recipe import PredictorRecipe, PreferenceRecipe

    _check(photos, pairs, start, scratch=scratch, resume=resume, accept_data=accept_data)
    with training_packages():
        from iqsr.training.engine.processes import check_alone
        from iqsr.training.predictor.preferences import train_on_pairs
        from iqsr.training.predictor.train import train_quality
    check_alone("iqsr train-quality")
    with interruptible("--resume goes on from here"), StageBars() as bars:
        if pairs is not None:
            weights = train_on_pairs(
                read_recipe(recipe, PreferenceRecipe, changes or []),
                pairs,
                output,
                start=start,
                scratch=scratch,
                resume=resume,
                accept_data=accept_data,
                on_progress=bars.stage,
            )
        else:
            weights = train_quality(
                read_recipe(recipe, PredictorRecipe, changes or []),
                photos or [],
                output,
                resume=resume,
                accept_data=accept_data,
                on_progress=bars.stage,
            )
    typer.echo(weights)


def _check(
    photos: list[Path] | None, pairs: Path | None, start: Path | None, *, scratch: bool, resume: bool, accept_data: bool
) -> None:
    """UsageError for options that exclude each other, or that go with another one."""
    from iqsr.errors import UsageError

    if (pairs is None) == (not photos):
        raise UsageError("give either --photos DIR or --pairs CSV")
    if photos and (start is not None or scratch):
        raise UsageError(
            f"{'--scratch' if start is None else '--from'} goes with --pairs: with --photos all is learned"
        )
    if start is not None and scratch:
        raise UsageError("--from and --scratch exclude each other")
    if accept_data and not resume:
        raise UsageError("--accept-data goes with --resume: a new run takes the data as it is")
