"""The log of a run: JSON lines and curves for TensorBoard, only ever of steps that its checkpoint includes."""

import os
import socket
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from iqsr.io.atomic import append, write_bytes, write_errors
from iqsr.io.journals import add_entry, entry_of
from iqsr.io.places import read_whole

# Made by protobuf at run time: type checkers see none of it.
Event: Any = event_pb2.__dict__["Event"]
SessionLog: Any = event_pb2.__dict__["SessionLog"]
Summary: Any = summary_pb2.__dict__["Summary"]
_EVENT_FILES = "events.out.tfevents.*"


class Log:
    """`log.jsonl` and `tensorboard/` in a run's folder.

    done: steps that were taken before. What a killed run logged after them is removed.
    """

    def __init__(self, folder: Path, done: int) -> None:
        self._lines = LogFile(folder / "log.jsonl")
        self._lines.cut_back(done)
        self._curves = Curves(folder / "tensorboard", done)

    def write(self, step: int, group: str, figures: Mapping[str, float]) -> None:
        """Add one line, and a point to each curve. group: `train` or `validation`. WriteError."""
        self._lines.write({"step": step, "group": group}, figures)
        self._curves.draw(step, {f"{group}/{name}": value for name, value in figures.items()})


class LogFile:
    """A log in JSON lines. Each line is added whole; a figure that is not finite, which JSON cannot hold, is null."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, facts: Mapping[str, object], figures: Mapping[str, float]) -> None:
        """Add one line: facts as they are, then figures with six significant digits. WriteError."""
        rounded = {name: float(f"{value:.6g}") if isfinite(value) else None for name, value in figures.items()}
        add_entry(self.path, {**facts, **rounded}, allow_nan=False)

    def cut_back(self, step: int) -> None:
        """Remove the lines of steps after `step`, and a last line that is incomplete after a kill or a power cut.

        0 removes all lines: a run without a checkpoint starts anew.
        """
        if not self.path.exists():
            return
        with write_errors(self.path):
            before = read_whole(self.path)
        kept = b"".join(line for line in before.splitlines(keepends=True) if step and _is_of(line, step))
        if kept != before:  # steps that will be taken again
            write_bytes(self.path, kept)


class Curves:
    """The curves of a run for TensorBoard: a folder of event files, one for each time that the run was started.

    Each point is on the disk once it is drawn, so a run that is killed loses none that it logged.

    done: steps that were taken before. Points after them, of a run that was killed, are removed.
    """

    def __init__(self, folder: Path, done: int) -> None:
        with write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(path for path in folder.glob(_EVENT_FILES) if path.is_file()):
            _cut_back(path, done)
        stamp = f"{time.time_ns() // 10**9:010d}.{socket.gethostname()}.{os.getpid()}"
        taken = len(list(folder.glob(_EVENT_FILES)))
        self._path = folder / f"events.out.tfevents.{stamp}.{taken}"
        self._add(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if done:  # for a TensorBoard that is running and has read what is removed
            session = SessionLog(status=SessionLog.START)
            self._add(Event(wall_time=time.time(), step=done + 1, session_log=session))

    def draw(self, step: int, figures: Mapping[str, float]) -> None:
        """One point of each curve. WriteError."""
        values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        self._add(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def _add(self, event: Any) -> None:
        append(self._path, _record(event.SerializeToString()))


class Figures:
    """Sums of the figures of the steps since the last line of the log."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = defaultdict(float)
        self._steps = 0

    def add(self, figures: Mapping[str, float], *, steps: int = 0) -> None:
        """Add figures of a step. steps: 1 in one call for each step, 0 in further calls for the same step."""
        for name, value in figures.items():
            self._sums[name] += value
        self._steps += steps

    def means(self) -> dict[str, float]:
        """The means over all steps since the last call, for figures that only some of them have, too."""
        means = {name: value / self._steps for name, value in self._sums.items()}
        self._sums.clear()
        self._steps = 0
        return means

    def state_dict(self) -> dict[str, Any]:
        """All that the next means depend on."""
        return {"sums": dict(self._sums), "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        self._sums.update(state["sums"])
        self._steps = state["steps"]


def mean_figures(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The state of `Figures` that is the mean of those of all processes."""
    first = states[0]
    sums = {name: sum(state["sums"][name] for state in states) / len(states) for name in first["sums"]}
    return {"sums": sums, "steps": first["steps"]}


def _is_of(line: bytes, step: int) -> bool:
    """Whether a line is whole and of a step up to `step`."""
    try:
        return line.endswith(b"\n") and int(entry_of(line)["step"]) <= step
    except (ValueError, KeyError, TypeError, OverflowError):
        return False


def _record(data: bytes) -> bytes:
    made = BytesIO()
    RecordWriter(made).write(data)
    return made.getvalue()


def _cut_back(path: Path, step: int) -> None:
    """Remove the points of steps after `step` (0: all), and a last record that is incomplete."""
    kept = b"".join(_record(data) for data in _records(path) if not _is_after(data, step))
    if kept != path.read_bytes():
        write_bytes(path, kept)


def _records(path: Path) -> Iterator[bytes]:
    yield from RawEventFileLoader(str(path)).Load()


def _is_after(data: bytes, step: int) -> bool:
    event = Event.FromString(data)
    return event.HasField("summary") and (event.step > step or step == 0)
