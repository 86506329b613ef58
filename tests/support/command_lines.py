"""Command lines taken apart without being run."""

import typer
from typer.core import TyperGroup

from iqsr.cli import app


def app_group() -> TyperGroup:
    """The program as a group of commands."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


def parse(arguments: list[str]) -> None:
    """Let typer take the arguments apart, down to the last subcommand. TyperException for wrong ones."""
    command, parent, name = typer.main.get_command(app), None, "iqsr"
    while True:
        context = command.make_context(name, list(arguments), parent=parent)
        rest = [*context._protected_args, *context.args]
        if not isinstance(command, TyperGroup) or not rest:
            return
        name, below, arguments = command.resolve_command(context, rest)
        assert below is not None
        command = below
        parent = context
