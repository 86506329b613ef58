"""`iqsr train-quality`: a quality predictor from photos, or from people's preferences."""

from pathlib import Path
from typing import Annotated

import typer

from iqsr.cli.options import AcceptData, Recipe, Run, set_option


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
    accept_data: AcceptData = False,
    changes: Annotated[list[str] | None, set_option("training.steps=100 (with --pairs: steps=100)")] = None,
) -> None:
    """Train a predictor of picture quality: from photos, without labels, or from people's preferences.

    A run that was stopped goes on where it was when the same command is given again.

    [bold]Examples[/bold]

      iqsr train-quality predictor/srq --photos photos/ -o runs/srq

      iqsr train-quality predictor/srq --photos a/ --set held_out=0.2

      iqsr train-quality preferences/people --pairs pairs.csv -o people
    """
    from iqsr.cli.interrupt import interruptible
    from iqsr.cli.progress import StageBars
    from iqsr.errors import UsageError
    from iqsr.recipes import read_recipe
    from iqsr.training.predictor.recipe import PredictorRecipe, PreferenceRecipe

    if (pairs is None) == (not photos):
        raise UsageError("give either --photos DIR or --pairs CSV")
    if photos and (start is not None or scratch):
        raise UsageError(
            f"{'--scratch' if start is None else '--from'} goes with --pairs: with --photos all is learned"
        )
    if start is not None and scratch:
        raise UsageError("--from and --scratch exclude each other")
    with interruptible("the same command goes on from here"), StageBars() as bars:
        if pairs is not None:
            from iqsr.training.predictor.preferences import train_on_pairs

            settings = read_recipe(recipe, PreferenceRecipe, changes or [])
            weights = train_on_pairs(
                settings, pairs, output, bars.stage, start=start, scratch=scratch, accept_data=accept_data
            )
        else:
            from iqsr.training.predictor.train import train_quality

            settings = read_recipe(recipe, PredictorRecipe, changes or [])
            weights = train_quality(settings, photos or [], output, bars.stage, accept_data=accept_data)
    typer.echo(weights)
