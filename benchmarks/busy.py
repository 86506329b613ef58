"""How long threads wait for each other: one picture on an idle machine and beside two neighbours that want the cores.

OpenMP reads how its threads wait when torch is loaded, so that each contender is a process of its own. All are kept
through the run and take turns; those whose turn it is not are asleep.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager

from iqsr.cli.threads import SPIN_COUNT
from measure import Seconds, Spread
from setting import Result

WAITING: dict[str, tuple[dict[str, str], str]] = {
    "bounded": ({"GOMP_SPINCOUNT": SPIN_COUNT}, f"what `iqsr` sets: {int(SPIN_COUNT):,} looks, then asleep"),
    "longer": ({"GOMP_SPINCOUNT": "10000"}, "10,000 looks"),
    "default": ({}, "OpenMP's own: 300,000 looks"),
    "passive": ({"OMP_WAIT_POLICY": "PASSIVE"}, "asleep at once"),
}
"""How threads wait, by name: the environment, and what it means."""
NEIGHBOURS = 2
_READ_BY_OPENMP = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_PAUSE = 0.05

_WORKER = """
import sys, time, torch
from iqsr import Upscaler
model, height, width, threads = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(threads)
upscaler = Upscaler(model, device="cpu")
picture = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
upscaler.upscale(picture)
print("ready", flush=True)
for _ in sys.stdin:
    started = time.perf_counter()
    upscaler.upscale(picture)
    print(time.perf_counter() - started, flush=True)
"""


def busy(model: str, size: tuple[int, int], rounds: int, *, threads: int) -> Result:
    """Seconds of every way to wait, by round, and their ratios to the bounded one. size: height and width."""
    arguments = [model, *map(str, size), str(threads)]
    with ExitStack() as stack:
        workers = {name: stack.enter_context(_worker(arguments, how)) for name, (how, _) in WAITING.items()}
        idle = _in_turn(workers, rounds)
        for _ in range(NEIGHBOURS):
            stack.enter_context(_process([sys.executable, "-c", "while True: pass"], {}))
        found = {"idle": idle, "busy": _in_turn(workers, rounds)}
    return {
        "model": model,
        "picture": size,
        "neighbours": NEIGHBOURS,
        **{kind: [_row(name, seconds) for name in WAITING] for kind, seconds in found.items()},
    }


def _row(name: str, seconds: Seconds) -> Result:
    ratio = Spread.of_ratios(seconds[name], seconds["bounded"]).plain()
    return {"name": name, "about": WAITING[name][1], "seconds": seconds[name], "times_bounded": ratio}


def _in_turn(workers: Mapping[str, subprocess.Popen[str]], rounds: int) -> Seconds:
    """Every other round backwards, as `measure.alternate`."""
    seconds: Seconds = {name: [] for name in workers}
    for number in range(rounds):
        for name in workers if number % 2 == 0 else reversed(workers):
            time.sleep(_PAUSE)
            seconds[name].append(float(_ask(workers[name])))
    return seconds


def _ask(worker: subprocess.Popen[str]) -> str:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("\n")
    worker.stdin.flush()
    return _answer(worker)


def _answer(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line:
        raise SystemExit("a process of the part `busy` ended early")
    return line


@contextmanager
def _worker(arguments: list[str], how: Mapping[str, str]) -> Generator[subprocess.Popen[str]]:
    with _process([sys.executable, "-c", _WORKER, *arguments], how) as worker:
        _answer(worker)  # ready, and warm
        yield worker


@contextmanager
def _process(command: list[str], how: Mapping[str, str]) -> Generator[subprocess.Popen[str]]:
    plain = {name: value for name, value in os.environ.items() if name not in _READ_BY_OPENMP}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=plain | dict(how))
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
