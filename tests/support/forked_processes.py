"""Commands and functions as processes that are forked from one with torch in memory.

A start costs milliseconds and not seconds, and a kill falls into the work and not into an import.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from support.commands import PATIENCE

POLL_SECONDS = 0.002
TRACEBACK = 99
"""The exit code of a process that ended with an exception that nobody caught."""
_PRELOADED = (
    "torch", "torchvision", "pandas", "pyarrow.parquet", "matplotlib", "iqsr.cli", "iqsr.upscaling.upscaler",
    "iqsr.preparation", "iqsr.scoring.files", "iqsr.evaluation.run", "iqsr.training.sr.run", "iqsr.study.create",
    "iqsr.models.checkpoint_reader", "pi_heif", "support.fault_readers",
)  # fmt: skip


@dataclass(frozen=True)
class Finished:
    """How a process ended, and what it took."""

    code: int
    """Minus the signal that ended it, else its exit code."""
    cpu_seconds: float
    peak_bytes: int
    """The most memory that it held at a time."""
    out: str
    err: str


class Process:
    """A process that runs."""

    def __init__(self, server: ForkServer, pid: int, said: Path) -> None:
        self.pid = pid
        self._server, self._said = server, said
        self._clock = (~pid << 3) | 2  # Linux' number of the CPU clock of a process: MAKE_PROCESS_CPUCLOCK

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._state() != "Z"

    @property
    def cpu_seconds(self) -> float:
        """What it has used so far."""
        return time.clock_gettime(self._clock)

    def kill_after(self, cpu_seconds: float) -> bool:
        """Kill it (signal 9) when it has used so much; returns False if it ended before."""
        while self.is_running:
            if self.cpu_seconds >= cpu_seconds:
                os.kill(self.pid, signal.SIGKILL)
                return True
            time.sleep(POLL_SECONDS)
        return False

    def wait(self, seconds: float = PATIENCE) -> Finished:
        """Wait for its end. A process that takes longer is killed, which its exit code tells."""
        end = self._server.ask({"wait": self.pid, "seconds": seconds})
        out, err = (self._said.with_suffix(suffix).read_text(errors="replace") for suffix in (".out", ".err"))
        return Finished(end["code"], end["cpu_seconds"], end["peak_bytes"], out, err)

    def _state(self) -> str:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]


class ForkServer:
    """Starts processes. Made by `fork_server`."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._folder, self._started = process, folder, 0

    def ask(self, request: dict[str, Any]) -> Any:
        """Send a request and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(
        self, *arguments: str, function: str = "", cwd: Path | None = None, memory: int = 0, cpu_seconds: int = 0
    ) -> Process:
        """Start `iqsr` with these arguments, or `function`, named as `module:name`.

        Args:
            arguments: Of the command or of the function.
            function: What is called; its result is the exit code.
            cwd: The working folder.
            memory: Bytes that the process may have beyond those of the server; 0 is no limit.
            cpu_seconds: After so many the process is ended by a signal; 0 is no limit.
        """
        self._started += 1
        said = self._folder / f"{self._started:05}"
        request = {"arguments": arguments, "function": function, "cwd": str(cwd or self._folder), "said": str(said)}
        return Process(self, self.ask(request | {"memory": memory, "cpu_seconds": cpu_seconds}), said)


@contextmanager
def fork_server(folder: Path) -> Iterator[ForkServer]:
    """A server, whose processes write what they say into `folder`."""
    tests = Path(__file__).parents[1]
    paths = os.pathsep.join([str(tests), str(tests.parent / "src"), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "support.forked_processes"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield ForkServer(process, folder)
        finally:
            process.kill()


def _serve() -> None:
    for name in _PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # a collection in a forked process would copy every page
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer: object = _ended(request["wait"], request["seconds"])
        elif answer := os.fork():
            pass
        else:
            _become(request)
        print(json.dumps(answer), flush=True)


def _ended(pid: int, seconds: float) -> dict[str, float]:
    until = time.monotonic() + seconds
    found = (0, 0, None)
    while found[0] == 0:
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
        found = os.wait4(pid, os.WNOHANG)
    _, status, usage = found
    assert usage is not None
    return {
        "code": os.waitstatus_to_exitcode(status),
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss << 10,
    }


def _become(request: dict[str, Any]) -> NoReturn:
    os.setsid()
    os.chdir(request["cwd"])
    said = Path(request["said"])
    places = ("/dev/null", said.with_suffix(".out"), said.with_suffix(".err"))
    for descriptor, place in enumerate(places):
        os.dup2(os.open(place, os.O_RDWR | os.O_CREAT, 0o666), descriptor)
    if request["memory"]:
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + request["memory"],) * 2)
    if request["cpu_seconds"]:
        resource.setrlimit(resource.RLIMIT_CPU, (request["cpu_seconds"],) * 2)
    try:
        code = _called(request)
    except SystemExit as ending:
        code = int(ending.code or 0)
    except Exception:  # noqa: BLE001
        traceback.print_exc()
        code = TRACEBACK
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # to take down what was loaded before the fork takes seconds


def _called(request: dict[str, Any]) -> int:
    if request["function"]:
        module, _, name = request["function"].partition(":")
        return getattr(importlib.import_module(module), name)(*request["arguments"])
    from iqsr.cli import main

    sys.argv = ["iqsr", *request["arguments"]]
    main()
    return 0


if __name__ == "__main__":
    _serve()
