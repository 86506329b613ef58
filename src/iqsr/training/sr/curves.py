"""Curves for TensorBoard, each point on the disk once it is drawn: a run that is killed loses none that it logged."""

import os
import socket
import time
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from iqsr.io.atomic import append, write_bytes, write_errors

# Made by protobuf at run time: type checkers see none of it.
Event: Any = event_pb2.__dict__["Event"]
SessionLog: Any = event_pb2.__dict__["SessionLog"]
Summary: Any = summary_pb2.__dict__["Summary"]
_FILES = "events.out.tfevents.*"


class Curves:
    """The curves of a run in a folder of event files, one for each time that the run was started.

    done: steps taken before; points after them, of a run that was killed, are removed.
    """

    def __init__(self, folder: Path, done: int) -> None:
        with write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob(_FILES)):
            _cut_back(path, done)
        stamp = f"{time.time_ns() // 10**9:010d}.{socket.gethostname()}.{os.getpid()}"
        taken = len(list(folder.glob(_FILES)))
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


def _record(data: bytes) -> bytes:
    made = BytesIO()
    RecordWriter(made).write(data)
    return made.getvalue()


def _cut_back(path: Path, step: int) -> None:
    """Leave out what is of steps after `step` (0: all), and a last record that is torn."""
    kept = b"".join(_record(data) for data in _records(path) if not _is_after(data, step))
    if kept != path.read_bytes():
        write_bytes(path, kept)


def _records(path: Path) -> Iterator[bytes]:
    yield from RawEventFileLoader(str(path)).Load()


def _is_after(data: bytes, step: int) -> bool:
    event = Event.FromString(data)
    return event.HasField("summary") and (event.step > step or step == 0)
