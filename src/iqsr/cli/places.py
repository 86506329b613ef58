"""Where commands write: the paths of their options."""

from pathlib import Path


def place(text: str | Path) -> Path:
    """The path that an option names, as a parser for typer. A `~/` that the shell left alone is the home folder."""
    from iqsr.images.find import in_home

    return in_home(str(text))
