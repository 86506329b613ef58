"""`iqsr study`: ask people which pictures they prefer. Each command has a file of its own, `study_NAME.py`."""

from __future__ import annotations

import typer

from iqsr.cli import study_analyze, study_create, study_demo, study_import, study_power, study_serve, study_sheets
from iqsr.cli.parsing import Command

HELP = """Ask people which pictures they prefer, without telling them which method made what.

[bold]Examples[/bold]

  iqsr study create --a bicubic/ --b mine/ --raters 12 --pairs 25 -o study/

  iqsr study serve study/

  iqsr study sheets study/ -o sheets/

  iqsr study power --effect 0.6 --raters 12 --pairs 25

  iqsr study demo
"""

app = typer.Typer(rich_markup_mode="rich")


@app.callback(invoke_without_command=True, help=HELP)
def listing(context: typer.Context) -> None:
    """Print the help where no command is named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command("create", cls=Command, help=study_create.HELP)(study_create.command)
app.command("serve", cls=Command, help=study_serve.HELP)(study_serve.command)
app.command("sheets", cls=Command, help=study_sheets.HELP)(study_sheets.command)
app.command("power", cls=Command, help=study_power.HELP)(study_power.command)
app.command("demo", cls=Command, help=study_demo.HELP)(study_demo.command)
app.command("import", cls=Command, help=study_import.HELP)(study_import.command)
app.command("analyze", cls=Command, help=study_analyze.HELP)(study_analyze.command)
