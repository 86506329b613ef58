"""Progress and results: bars on a terminal, lines elsewhere, JSON lines for programs."""

from __future__ import annotations

import json
import sys
import time
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

import typer

from iqsr.io.urls import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from iqsr.upscaling.jobs import JobResult, OpenJob

_SUMMARY = {"done": "upscaled", "skipped": "skipped", "failed": "failed"}


def printable(text: str) -> str:
    """The text as one line that no file's name can break: control characters and lone bytes are escaped.

    Places of URLs become the URLs.
    """

    def escaped(character: str) -> str:
        is_control = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        return character.encode("unicode_escape").decode() if is_control else character

    text = shown(text)
    return text if text.isprintable() else "".join(map(escaped, text))


class Reporter:
    """What `iqsr upscale` calls while it works; each method may print. A context, from the first job to the last."""

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *ending: object) -> None:
        return

    def unread_folders(self, errors: list[OSError]) -> None:
        """Folders could not be searched. A warning has said so already."""

    def progress(self, opened: OpenJob, done: float) -> None:
        """The share `done` (0 to 1) of the picture at hand is computed."""

    def finished(self, result: JobResult) -> None:
        """A job has ended."""


class Lines(Reporter):
    """Failures as they come, and a line at the end (one picture's result, or counts), to standard error."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._last: JobResult | None = None

    def __exit__(self, *ending: object) -> None:
        last = self._last
        if self._counts.total() == 1 and last is not None and last.size is not None and last.seconds is not None:
            self._print(f"{last.job.out}: {last.size[0]} x {last.size[1]} in {last.seconds:.1f} s")
        elif self._counts.total() > 1 or self._counts["skipped"]:
            counted = [(self._counts[state], word) for state, word in _SUMMARY.items()]
            self._print(", ".join(f"{count} {word}" for count, word in counted if count))

    def finished(self, result: JobResult) -> None:
        """Count the job, and print why it failed."""
        self._counts[result.state] += 1
        self._last = result
        if result.error is not None:
            self._print(f"iqsr: {result.error}")

    def _print(self, text: str) -> None:
        print(printable(text), file=sys.stderr)


class DryRunLines(Reporter):
    """A line for each job to standard output, failures to standard error."""

    def finished(self, result: JobResult) -> None:
        """Print what would be done with a picture."""
        if result.error is not None:
            typer.echo(printable(f"iqsr: {result.error}"), err=True)
            return
        source = _with_size(result.job.source, result.size_in)
        out = _with_size(result.job.out, result.size)
        typer.echo(printable(f"{source} -> {out} [{result.how or result.state}]"))


class JsonLines(Reporter):
    """A JSON object for each job and line, to standard output, and nothing else."""

    def unread_folders(self, errors: list[OSError]) -> None:
        """Print each folder like a picture that failed."""
        for error in errors:
            message = f"cannot read '{error.filename}': {error.strerror}"
            facts = {"source": str(error.filename), "output": None, "state": "failed", "error": message}
            typer.echo(json.dumps(facts))

    def finished(self, result: JobResult) -> None:
        """Print what is known of the job."""
        facts = {
            "source": shown(str(result.job.source)),
            "output": shown(str(result.job.out)),
            "state": result.state,
            "error": None if result.error is None else shown(result.error),
            "size_in": result.size_in,
            "size": result.size,
            "seconds": None if result.seconds is None else round(result.seconds, 3),
            "how": result.how,
        }
        typer.echo(json.dumps({key: value for key, value in facts.items() if value is not None}))


class Bars(Lines):
    """A bar for the picture at hand (megapixels done, speed, time left) and one for the batch."""

    def __init__(self, pictures: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        super().__init__()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._batch = self._progress.add_task(f"0 of {pictures} pictures", total=pictures, speed="")
        self._pictures = pictures
        self._finished = 0
        self._picture = self._progress.add_task("", total=1, speed="", visible=False)
        self._opened: OpenJob | None = None
        self._started = 0.0

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *ending: object) -> None:
        self._progress.stop()
        super().__exit__()

    def progress(self, opened: OpenJob, done: float) -> None:
        """Move both bars."""
        if opened is not self._opened:
            self._opened, self._started = opened, time.perf_counter()
            self._progress.reset(self._picture, description=printable(opened.job.source.name), visible=True)
        seconds = max(time.perf_counter() - self._started, 1e-6)
        width, height = opened.size_in
        megapixels = width * height / 1e6
        speed = f"{megapixels * done:.2g} of {megapixels:.2g} MP, {megapixels * done / seconds:.2g} MP/s"
        self._progress.update(self._picture, completed=done, speed=speed)
        self._progress.update(self._batch, completed=self._finished + done)

    def finished(self, result: JobResult) -> None:
        """Hide the bar of the picture and move that of the batch."""
        self._finished += 1
        text = f"{self._finished} of {self._pictures} pictures"
        self._progress.update(self._batch, completed=self._finished, description=text)
        self._progress.update(self._picture, visible=False)
        super().finished(result)

    def _print(self, text: str) -> None:
        self._progress.console.print(printable(text), markup=False, emoji=False, highlight=False, soft_wrap=True)


class StageBars:
    """One bar for the current stage of long work, with its latest figures; without a terminal, a line a minute."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        figures = TextColumn("{task.fields[figures]}", markup=False)
        self._progress = Progress(*columns, TimeRemainingColumn(), figures, console=self._console)
        self._task = self._progress.add_task("", figures="", visible=False)
        self._stage = ""
        self._printed_at = 0.0

    def __enter__(self) -> StageBars:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *ending: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def stage(self, name: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        """Report that `done` of the `total` steps of a stage are done, with the figures to show beside the bar."""
        text = "  ".join(f"{key} {value:.3g}" for key, value in figures.items() if key != "seconds")
        if self._console.is_terminal:
            if name != self._stage:
                self._progress.reset(self._task, description=name, total=total, visible=True)
            self._progress.update(self._task, completed=done, figures=text)
        elif name != self._stage or done == total or time.perf_counter() - self._printed_at > 60:
            print(f"{name} {done}/{total}  {text}".rstrip(), file=sys.stderr, flush=True)
            self._printed_at = time.perf_counter()
        self._stage = name


def _with_size(path: Path, size: tuple[int, int] | None) -> str:
    return str(path) if size is None else f"{path} ({size[0]} x {size[1]})"
