"""`iqsr recipes`: the recipes that ship."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from iqsr.cli.options import set_option
from iqsr.cli.parsing import Command

if TYPE_CHECKING:
    from iqsr.recipes import Recipe

_KINDS = {
    "ablation": "iqsr.training.sr.recipe:TrainRecipe",
    "compact": "iqsr.training.sr.recipe:TrainRecipe",
    "paper": "iqsr.training.sr.recipe:TrainRecipe",
    "predictor": "iqsr.training.predictor.recipe:PredictorRecipe",
    "preferences": "iqsr.training.predictor.recipe:PreferenceRecipe",
    "prepare": "iqsr.preparation.recipe:PrepareRecipe",
}
"""What the recipes of a folder are."""

HELP = """List the recipes that ship, with a line each, or print one.

A name goes wherever a recipe's file does. Variants are made by adding overlays: NAME+OVERLAY.

[bold]Examples[/bold]

  iqsr recipes

  iqsr recipes show paper/swinir-amo-ft+ig
"""

app = typer.Typer(rich_markup_mode="rich")


@app.callback(invoke_without_command=True, help=HELP)
def listing(context: typer.Context) -> None:
    """Print a line a recipe."""
    if context.invoked_subcommand is not None:
        return
    from iqsr.configs import overlay_names, overlay_summary, recipe_names, summary

    rows = [(name, summary(name)) for name in recipe_names()]
    for folder in _KINDS:
        rows += [(f"{folder}/NAME+{overlay}", overlay_summary(folder, overlay)) for overlay in overlay_names(folder)]
    width = max(len(name) for name, _ in rows)
    for name, line in rows:
        typer.echo(f"{name:<{width}}  {line}")


@app.command(cls=Command)
def show(
    name: Annotated[str, typer.Argument(help="A recipe's name, with or without overlays.", metavar="NAME")],
    changes: Annotated[list[str] | None, set_option("optimiser.lr=1e-5")] = None,
) -> None:
    """Print a recipe resolved: every setting, inherited ones and defaults included, as TOML.

    [bold]Example[/bold]

      iqsr recipes show paper/swinir-amo-ft+ig > mine.toml
    """
    from iqsr.configs import recipe_files
    from iqsr.recipes import read_recipe, resolved_toml

    recipe_files(name)
    typer.echo(resolved_toml(read_recipe(name, _kind(name), changes or [])), nl=False)


def _kind(name: str) -> type[Recipe]:
    module, _, cls = _KINDS[name.partition("/")[0]].partition(":")
    return getattr(import_module(module), cls)
