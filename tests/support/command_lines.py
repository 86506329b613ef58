"""Command lines taken apart without being run."""

import typer

from iqsr.cli import app


def parse(arguments: list[str]) -> None:
    """Let typer take the arguments apart, down to the last subcommand. TyperException for wrong ones."""
    command, parent, name = typer.main.get_command(app), None, "iqsr"
    while True:
        context = command.make_context(name, list(arguments), parent=parent)
        rest = [*context._protected_args, *context.args]
        if not hasattr(command, "commands") or not rest:
            return
        name, command, arguments = command.resolve_command(context, rest)
        parent = context
