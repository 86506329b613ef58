"""The real runs behind `scale_sim.py`: what commands cost here, and whether the simulation foretells other runs."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from scale_sim import Costs, prediction

SIDE = 192
COMMANDS: dict[str, tuple[list[str], str]] = {
    "score (srq)": (["score", "IN", "-m", "srq", "--no-cache", "-o", "OUT"], "scores.csv"),
    "upscale (realesr-animevideov3)": (["upscale", "IN", "-o", "OUT", "-m", "realesr-animevideov3"], "large"),
}
"""By name: the arguments, one thread each, and what OUT is called."""
FEW, MANY, LOOKED_AT = 8, 40, 400
CHECKED = 96
"""Pictures of the runs that measure, of the folder that a shard of few looks through, and of the runs that check."""


def measure(rounds: int) -> dict[str, Costs]:
    """The costs of every command, medians of some rounds."""
    with TemporaryDirectory() as folder:
        return {name: costs_of(name, Path(folder), rounds) for name in COMMANDS}


def costs_of(name: str, folder: Path, rounds: int) -> Costs:
    """From runs on few and on many pictures: the slope is a picture's cost, the rest the start's."""
    few, many = pictures(folder / "few", FEW), pictures(folder / "many", MANY)
    seconds = [[timed(lambda given=given: run(name, given)) for given in (few, many)] for _ in range(rounds)]
    a_picture = statistics.median((many_s - few_s) / (MANY - FEW) for few_s, many_s in seconds)
    start = max(0.0, statistics.median(few_s for few_s, _ in seconds) - FEW * a_picture)
    return Costs(start, hashing(pictures(folder / "looked-at", LOOKED_AT)), a_picture, join=joining(name, few, many))


def hashing(folder: Path) -> float:
    """Seconds to read and hash one file of the folder, as a shard does to find its own."""
    from iqsr.io.hashes import content_hash

    files = list(folder.iterdir())
    return timed(lambda: [content_hash(path) for path in files]) / len(files)


def joining(name: str, few: Path, many: Path) -> float:
    """Seconds a picture of `iqsr merge-shards`."""

    def joined(given: Path) -> float:
        with TemporaryDirectory() as folder:
            out = Path(folder) / COMMANDS[name][1]
            run(name, given, out, shard="1/1")
            return timed(lambda: iqsr("merge-shards", f"{out}.shards", "-o", str(out)))

    return max(0.0, (joined(many) - joined(few)) / (MANY - FEW))


def check(rounds: int) -> str:
    """Markdown: predicted and real seconds of one worker and of two, in alternating rounds."""
    lines = ["| command | workers | shards | predicted | real | predicted / real |", "|---|--:|--:|--:|--:|--:|"]
    with TemporaryDirectory() as folder:
        given = pictures(Path(folder) / "checked", CHECKED)
        for name in COMMANDS:
            found: dict[tuple[int, int], list[tuple[float, float]]] = {(1, 1): [], (2, 4): []}
            for number in range(rounds):
                costs = costs_of(name, Path(folder) / f"{name}-{number}", 1)
                slower = contention(name, Path(folder) / f"{name}-{number}")
                for workers, shards in found:
                    foretold = prediction(costs, CHECKED, shards, workers, slower if workers > 1 else 1)
                    found[workers, shards].append((foretold, sharded(name, given, shards, workers)))
            for (workers, shards), pairs in found.items():
                foretold, real = (statistics.median(column) for column in zip(*pairs, strict=True))
                ratio = statistics.median(a / b for a, b in pairs)
                lines.append(f"| {name} | {workers} | {shards} | {foretold:.1f} s | {real:.1f} s | {ratio:.2f} |")
                print(lines[-1], file=sys.stderr)
    return "\n".join([*lines, ""])


def contention(name: str, folder: Path) -> float:
    """How many times as long a run takes beside another of its kind."""
    few = pictures(folder / "few", FEW)
    alone = timed(lambda: run(name, few))
    with ThreadPoolExecutor(2) as pool:
        together = timed(lambda: list(pool.map(lambda _: run(name, few), range(2))))
    return max(1.0, together / alone)


def sharded(name: str, given: Path, shards: int, workers: int) -> float:
    """Seconds of the whole, with the join: workers take the next shard whenever they are free."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / COMMANDS[name][1]

        def whole() -> None:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(lambda number: run(name, given, out, shard=f"{number}/{shards}"), range(1, shards + 1)))
            iqsr("merge-shards", f"{out}.shards", "-o", str(out))

        return timed(whole)


def run(name: str, given: Path, out: Path | None = None, shard: str | None = None) -> None:
    """The command in a process of its own; without OUT its result is thrown away."""
    arguments, called = COMMANDS[name]
    with TemporaryDirectory() as folder:
        place = {"IN": str(given), "OUT": str(out or Path(folder) / called)}
        iqsr(*(place.get(one, one) for one in arguments), *(["--shard", shard] if shard else []))


def iqsr(*arguments: str) -> None:
    """Without a word; CalledProcessError where it fails."""
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    command: Sequence[str] = [sys.executable, "-m", "iqsr", *arguments]
    subprocess.run(command, check=True, capture_output=True, env=one_thread)


def timed(work: Callable[[], object]) -> float:
    """Seconds by the clock."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def pictures(folder: Path, count: int) -> Path:
    """A folder with so many PNG files of SIDE x SIDE, all different."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(count)
    for number in range(count):
        if not (path := folder / f"{number:05}.png").exists():
            coarse = Image.fromarray(rng.integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8))
            coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)
    return folder
