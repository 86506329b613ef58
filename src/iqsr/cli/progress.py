"""What `iqsr upscale` says while it works: bars on a terminal, one line at the end elsewhere, or JSON lines."""

from __future__ import annotations

import json
import sys
import time
import unicodedata
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iqsr.upscaling.batch import Done, Job
    from iqsr.upscaling.upscaler import Upscaled


def printable(text: str) -> str:
    """The text as one line that no file's name can break: control characters and lone bytes are escaped."""

    def shown(character: str) -> str:
        odd = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        return character.encode("unicode_escape").decode() if odd else character

    return text if text.isprintable() else "".join(map(shown, text))


class Reporter:
    """Prints failures as they come and a line at the end (one picture's result, or counts), to standard error."""

    def __init__(self) -> None:
        self._counts = {"done": 0, "skipped": 0, "failed": 0}
        self._result: Upscaled | None = None

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *ending: object) -> None:
        names = {"done": "upscaled", "skipped": "skipped", "failed": "failed"}
        counts = [f"{count} {names[state]}" for state, count in self._counts.items() if count]
        if self._result and sum(self._counts.values()) == 1:
            width, height = self._result.size
            self._line(f"{self._result.out}: {width} x {height} in {self._result.seconds:.1f} s")
        elif sum(self._counts.values()) > 1 or self._counts["skipped"]:
            self._line(", ".join(counts))

    def share(self, job: Job, done: float) -> None:
        """Take note that the share `done` (0 to 1) of a picture is computed."""

    def finished(self, done: Done) -> str:
        """Take note of a picture's end; returns its state."""
        self._counts[done.state] += 1
        self._result = done.result
        if done.error is not None:
            self._line(f"iqsr: {done.error}")
        return done.state

    def _line(self, text: str) -> None:
        print(printable(text), file=sys.stderr)


class JsonLines(Reporter):
    """One JSON object a picture and line, to standard output, and nothing else."""

    def __exit__(self, *ending: object) -> None:
        return

    def finished(self, done: Done) -> str:
        """Print the picture's facts."""
        facts: dict[str, object] = {"source": str(done.job.source), "output": str(done.job.out)}
        facts["state"] = done.state
        if done.error is not None:
            facts["error"] = done.error
        if done.result is not None:
            facts |= {"size_in": done.result.size_in, "size": done.result.size}
            facts |= {"seconds": round(done.result.seconds, 3), "how": done.result.how}
        typer.echo(json.dumps(facts))
        return done.state


class Bars(Reporter):
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
        self._now = self._progress.add_task("", total=1, speed="", visible=False)
        self._job: Job | None = None
        self._started = 0.0
        self._megapixels = 0.0

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *ending: object) -> None:
        self._progress.stop()
        super().__exit__()

    def share(self, job: Job, done: float) -> None:
        """Move both bars."""
        if job is not self._job:
            self._begin(job)
        seconds = max(time.perf_counter() - self._started, 1e-6)
        made = self._megapixels * done
        text = f"{made:.2g} of {self._megapixels:.2g} MP, {made / seconds:.2g} MP/s"
        self._progress.update(self._now, completed=done, speed=text)
        self._progress.update(self._batch, completed=self._finished + done)

    def finished(self, done: Done) -> str:
        """Close the picture's bar, count it."""
        self._finished += 1
        text = f"{self._finished} of {self._pictures} pictures"
        self._progress.update(self._batch, completed=self._finished, description=text)
        self._progress.update(self._now, visible=False)
        return super().finished(done)

    def _begin(self, job: Job) -> None:
        from iqsr.images import open_picture

        self._job, self._started = job, time.perf_counter()
        info = open_picture(job.source).info
        self._megapixels = info.width * info.height / 1e6
        self._progress.reset(self._now, description=printable(job.source.name), visible=True)

    def _line(self, text: str) -> None:
        self._progress.console.print(printable(text), markup=False, emoji=False, highlight=False, soft_wrap=True)


class StageBars:
    """One bar for the stage at hand of long work, with its last figures; on no terminal, a line a minute."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        figures = TextColumn("{task.fields[figures]}", markup=False)
        self._progress = Progress(*columns, TimeRemainingColumn(), figures, console=self._console)
        self._task = self._progress.add_task("", figures="", visible=False)
        self._stage = ""
        self._said = 0.0

    def __enter__(self) -> StageBars:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *ending: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def stage(self, name: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        """Take note that `done` of `total` of a stage is done; the stage's figures are shown beside."""
        text = "  ".join(f"{key} {value:.3g}" for key, value in figures.items() if key != "seconds")
        if self._console.is_terminal:
            if name != self._stage:
                self._progress.reset(self._task, description=name, total=total, visible=True)
            self._progress.update(self._task, completed=done, figures=text)
        elif name != self._stage or done == total or time.perf_counter() - self._said > 60:
            print(f"{name} {done}/{total}  {text}".rstrip(), file=sys.stderr, flush=True)
            self._said = time.perf_counter()
        self._stage = name
