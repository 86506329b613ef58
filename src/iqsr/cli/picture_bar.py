"""Progress over pictures: a bar on a terminal, nothing elsewhere. Failures are printed as they come."""

from __future__ import annotations

import sys

from iqsr.cli.progress import printable


class PictureBar:
    """How many pictures are done, of how many, on standard error."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TextColumn("pictures"))
        self._progress = Progress(
            *columns,
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> PictureBar:
        self._progress.start()
        return self

    def __exit__(self, *ending: object) -> None:
        self._progress.stop()

    def update(self, done: int, total: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=done, total=total)

    def error(self, message: str) -> None:
        """Print a failure as a line of its own."""
        line = printable(f"iqsr: {message}")
        if self._console.is_terminal:
            self._console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr)
