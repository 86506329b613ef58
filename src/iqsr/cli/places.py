"""Where commands write: the paths of their options."""

from pathlib import Path

from iqsr.errors import UsageError


def place(text: str | Path) -> Path:
    """The path that an option names, as a parser for typer. A `~/` that the shell left alone is the home folder.

    UsageError for `-`, which elsewhere is standard output.
    """
    from iqsr.images.find import in_home

    if str(text) == "-":
        raise UsageError("cannot write to standard output ('-'): name a file or folder")
    return in_home(str(text))
