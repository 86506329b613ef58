"""Where shards of a command run: processes of this machine, or of a Ray cluster's machines.

Ray's tasks are used, not Ray Data: a shard is a process that goes on by itself where it was stopped, so all that is
needed is to start it anew when its worker has died. No result passes through Ray; shards write files.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

from iqsr.errors import IqsrError, UsageError
from iqsr.io.shards import Shard

_GPUS = "CUDA_VISIBLE_DEVICES"
_RAY_ATTEMPTS = 3
_ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Ended:
    """How the process of a shard ended."""

    shard: Shard
    code: int | None
    """The exit code; negative: the signal that killed it; None: it was lost with the worker that it ran on."""
    said: str
    """The last line on standard error, or what Ray says of the worker's end."""


class Engine(Protocol):
    """Runs several shards at once."""

    workers: int
    """How many shards can run at once."""

    def start(self, arguments: Sequence[str], shard: Shard) -> Any:
        """Start a shard; what is returned stands for it."""
        ...

    def first(self, running: Collection[Any]) -> tuple[Any, Ended]:
        """Wait until one of the shards that run has ended, however it ended."""
        ...

    def close(self) -> None:
        """End what still runs, and let go of the workers."""
        ...


def run_shard(
    arguments: Sequence[str],
    shard: Shard,
    folder: str,
    on_start: Callable[[subprocess.Popen[str]], object] = lambda process: None,
    gpu: str | None = None,
) -> Ended:
    """`iqsr ARGUMENTS --shard SHARD` in a process of its own, which ends with this one, even by `kill -9`.

    Not on Windows. Else the shard of a killed worker would keep its lock.

    Ctrl-C does not reach it: whoever started it ends it. on_start: gets the process.
    folder: the working directory; no module is imported from there.
    gpu: the only one that the process sees; None: those that this process sees.
    """
    program = [sys.executable, "-P", "-m", "iqsr.cli.shard_process", str(os.getpid())]
    process = subprocess.Popen(
        [*program, *arguments, "--shard", str(shard)],
        cwd=folder,
        env=None if gpu is None else {**os.environ, _GPUS: gpu},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    on_start(process)
    said = process.communicate()[1]
    return Ended(shard, process.returncode, _last_line(said).removeprefix("iqsr: "))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def visible_gpus(count: int, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The first `count` GPUs that a process of this environment sees, as CUDA_VISIBLE_DEVICES names them."""
    given = environment.get(_GPUS)
    gpus = [str(number) for number in range(count)] if given is None else [n.strip() for n in given.split(",") if n]
    if len(gpus) < count:
        raise UsageError(f"--gpus {count}, but {_GPUS} is '{given}'")
    return gpus[:count]


class LocalEngine:
    """Processes of this machine.

    gpus: of this machine, each for one of the shards that run at once, or for several where there are more workers.
    None: every shard sees all GPUs.
    """

    def __init__(self, workers: int, gpus: int | None = None) -> None:
        self.workers = workers
        self._pool = ThreadPoolExecutor(workers)
        self._processes: list[subprocess.Popen[str]] = []
        names = [None] if gpus is None else visible_gpus(gpus)
        self._free = SimpleQueue[str | None]()
        for worker in range(workers):
            self._free.put(names[worker % len(names)])

    def start(self, arguments: Sequence[str], shard: Shard) -> Future[Ended]:
        """See `Engine`."""
        return self._pool.submit(self._run, arguments, shard, str(Path.cwd()))

    def _run(self, arguments: Sequence[str], shard: Shard, folder: str) -> Ended:
        gpu = self._free.get()
        try:
            return run_shard(arguments, shard, folder, self._processes.append, gpu)
        finally:
            self._free.put(gpu)

    def first(self, running: Collection[Future[Ended]]) -> tuple[Future[Ended], Ended]:
        """See `Engine`."""
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        future = done.pop()
        return future, future.result()

    def close(self) -> None:
        """End the shards that still run; they note what is done."""
        for process in self._processes:
            process.terminate()  # does nothing to one that has ended
        self._pool.shutdown()


def _check_answers(address: str) -> None:
    """IqsrError where nothing answers at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise IqsrError(
            f"no Ray cluster at '{address}' ({error}): `ray status` on its machine says the address"
        ) from None


class RayEngine:
    """Tasks of a Ray cluster, or of one that is started here for as long as the engine lives.

    address: of the cluster, as `ray.init` takes it (auto, HOST:6379). Empty: a cluster of `workers` on this machine.
    gpus: of the cluster; each shard takes one, or a part of one where there are more workers. None: shards see none.
    UsageError where Ray is not installed, IqsrError where the cluster cannot be reached.
    """

    def __init__(self, workers: int, address: str, gpus: int | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # says nothing to anybody
        try:
            import ray
        except ImportError:
            raise UsageError("--engine ray needs Ray: pip install 'iqsr[scale]'") from None
        self._ray: Any = ray
        self._join(address, {"num_cpus": workers, "num_gpus": gpus or 0, "include_dashboard": False})
        self.workers = workers
        each = 1 / ceil(workers / gpus) if gpus else 0
        self._remote: Callable[..., Any] = ray.remote(num_cpus=1, num_gpus=each, max_retries=0)(run_shard).remote
        self._shards: dict[Any, Shard] = {}

    def _join(self, address: str, own: dict[str, Any]) -> None:
        """Join the cluster, or start one with the options `own`.

        On a busy machine Ray may not wait for its own parts: it is asked again.
        """
        options: dict[str, Any] = {"address": address} if address else own
        _check_answers(address)
        for attempt in range(_RAY_ATTEMPTS):
            try:
                self._ray.init(log_to_driver=False, configure_logging=False, **options)
                return
            except Exception as error:  # noqa: BLE001 - a plain one where Ray's node does not start in time
                self._ray.shutdown()
                if address or attempt == _RAY_ATTEMPTS - 1:
                    where = f"no Ray cluster at '{address}'" if address else "Ray does not start here"
                    raise IqsrError(f"{where}: {str(error).splitlines()[0]}") from None

    def start(self, arguments: Sequence[str], shard: Shard) -> Any:
        """See `Engine`."""
        reference = self._remote(list(arguments), shard, str(Path.cwd()))
        self._shards[reference] = shard
        return reference

    def first(self, running: Collection[Any]) -> tuple[Any, Ended]:
        """See `Engine`."""
        (reference, *_), _ = self._ray.wait(list(running), num_returns=1)
        shard = self._shards.pop(reference)
        try:
            return reference, self._ray.get(reference)
        except self._ray.exceptions.RayError as error:  # the worker or its machine has died
            return reference, Ended(shard, None, _last_line(str(error)))

    def close(self) -> None:
        """See `Engine`."""
        self._ray.shutdown()
