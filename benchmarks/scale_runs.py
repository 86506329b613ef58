"""The real runs behind `scale_sim.py`: what commands cost here, and whether the simulation foretells other runs."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from PIL import Image
from scipy.optimize import nnls

from scale_sim import Costs, Measured, prediction

Point = tuple[int, int]
"""A run: how many pictures, and how many pixels their sides have."""


@dataclass(frozen=True)
class Command:
    """A command that is measured, in one thread."""

    arguments: str
    """IN and OUT stand for paths."""
    out: str
    """What OUT is called."""
    points: tuple[Point, ...]
    """The runs that the costs are fitted to: numbers and sizes of pictures, so that both show."""


_UPSCALE = "upscale IN -o OUT --precision fp32 -m "
COMMANDS = {
    "score (srq)": Command(
        "score IN -m srq --no-cache -o OUT", "scores.csv", ((2, 192), (40, 192), (8, 768), (24, 512))
    ),
    "upscale (realesr-animevideov3)": Command(
        _UPSCALE + "realesr-animevideov3", "large", ((2, 96), (40, 96), (4, 384), (12, 256))
    ),
    "upscale (realesrgan-x4plus)": Command(
        _UPSCALE + "realesrgan-x4plus", "large", ((1, 48), (16, 48), (1, 160), (4, 112))
    ),
    "prepare (prepare/cpu-small)": Command(
        "prepare IN -o OUT --recipe prepare/cpu-small --set patches.crop=128 --set patches.step=128",
        "sets",
        ((1, 256), (12, 256), (1, 384), (4, 320)),
    ),
    "evaluate (bicubic; psnr, ssim)": Command(
        "evaluate --data IN --layout hr --degradation bicubic --models bicubic -m psnr,ssim --no-cache -o OUT",
        "evaluation",
        ((2, 192), (40, 192), (8, 768), (24, 512)),
    ),
}
CHECKED = {"score (srq)": 192, "upscale (realesr-animevideov3)": 96}
"""The commands of `check`, and the side of their pictures."""
FEW, MANY, ALL = 4, 40, 96
"""Of `check`: how many pictures the runs have that measure, and how many the runs that are foretold."""
RUNS = ((1, 2), (2, 4))
"""Workers and shards of the runs that are foretold."""
_HASHED, _SMALL_BYTES, _LARGE_BYTES = 200, 10_000, 2_000_000


@dataclass(frozen=True)
class Seconds:
    """What a run took: by the clock, and of the processor."""

    clock: float
    processor: float


def measure(rounds: int, only: str) -> Iterator[tuple[str, Measured]]:
    """The costs of every command whose name has `only` in it, fitted to the runs of all rounds."""
    with TemporaryDirectory() as folder:
        for name, command in COMMANDS.items():
            if only in name:
                yield name, measured(command, Path(folder), rounds)


def measured(command: Command, folder: Path, rounds: int) -> Measured:
    """Start, picture and megapixel by least squares of relative errors, none below 0; the join from two sizes."""
    given = {point: pictures(folder, *point) for point in command.points}
    found = [(point, run(command, given[point])) for _ in range(rounds) for point in command.points]
    taken = np.array([seconds.processor for _, seconds in found])
    parts = np.array([(1, count, count * side**2 / 1e6) for (count, side), _ in found])
    (start, picture, megapixel), _ = nnls(parts / taken[:, None], np.ones(len(taken)))
    errors = parts @ [start, picture, megapixel] / taken - 1
    look, look_megabyte = hashing()
    fewest, *_, most = sorted(command.points)
    join_start, join = joining(command, fewest, most, folder)
    return Measured(
        float(start),
        float(picture),
        float(megapixel),
        look,
        look_megabyte,
        join_start,
        join,
        residual=float(np.sqrt(np.mean(errors**2))),
        clock=sum(seconds.clock for _, seconds in found) / float(taken.sum()),
    )


def hashing() -> tuple[float, float]:
    """Seconds of the processor to read and hash a file, as a shard does to find its own: of each, and of a megabyte."""
    from iqsr.io.hashes import content_hash

    def each(size: int) -> float:
        with TemporaryDirectory() as folder:
            files = [Path(folder) / str(number) for number in range(_HASHED)]
            for path in files:
                path.write_bytes(os.urandom(size))
            began = time.process_time()
            for path in files:
                content_hash(path)
            return (time.process_time() - began) / _HASHED

    small, large = each(_SMALL_BYTES), each(_LARGE_BYTES)
    megabyte = (large - small) / (_LARGE_BYTES - _SMALL_BYTES) * 1e6
    return max(0.0, small - megabyte * _SMALL_BYTES / 1e6), megabyte


def joining(
    command: Command, few: Point, many: Point, folder: Path, of: Literal["clock", "processor"] = "processor"
) -> tuple[float, float]:
    """Seconds that `iqsr merge-shards` takes: whatever it joins, and for each picture."""

    def joined(point: Point) -> float:
        with TemporaryDirectory() as place:
            out = Path(place) / command.out
            run(command, pictures(folder, *point), out)
            seconds = iqsr("merge-shards", f"{out}.shards", "-o", str(out))
            return seconds.clock if of == "clock" else seconds.processor

    of_few, of_many = joined(few), joined(many)
    picture = max(0.0, (of_many - of_few) / (many[0] - few[0]))
    return max(0.0, of_few - few[0] * picture), picture


def check(rounds: int) -> str:
    """Markdown: predicted and real seconds of one worker and of two, measured in turn."""
    lines = ["| command | workers | shards | predicted | real | predicted / real |", "|---|--:|--:|--:|--:|--:|"]
    with TemporaryDirectory() as folder:
        for name, side in CHECKED.items():
            found: dict[Point, list[tuple[float, float]]] = {one: [] for one in RUNS}
            for _ in range(rounds):
                for one, pair in foretold_and_real(COMMANDS[name], side, Path(folder)).items():
                    found[one].append(pair)
            for (workers, shards), pairs in found.items():
                foretold, real = (statistics.median(column) for column in zip(*pairs, strict=True))
                ratio = statistics.median(a / b for a, b in pairs)
                lines.append(f"| {name} | {workers} | {shards} | {foretold:.1f} s | {real:.1f} s | {ratio:.2f} |")
                print(lines[-1], file=sys.stderr)
    return "\n".join([*lines, ""])


def foretold_and_real(command: Command, side: int, folder: Path) -> dict[Point, tuple[float, float]]:
    """By workers and shards. Costs come from other runs of the same minute: with fewer pictures, each of one shard."""
    everything = pictures(folder, ALL, side)
    megabytes = statistics.mean(path.stat().st_size for path in everything.iterdir()) / 1e6
    look, look_megabyte = hashing()
    join_start, join = joining(command, (FEW, side), (MANY, side), folder, of="clock")
    pairs: dict[Point, tuple[float, float]] = {}
    for workers, shards in RUNS:
        of_few, of_many = (beside(command, pictures(folder, count, side), workers) for count in (FEW, MANY))
        picture = max(0.0, (of_many - of_few) / (MANY - FEW))
        start = max(0.0, of_few - FEW * picture)
        costs = Costs(start, look + look_megabyte * megabytes, picture, 0.0, join_start, join)
        pairs[workers, shards] = (
            prediction(costs, split(everything, shards), workers),
            sharded(command, everything, shards, workers),
        )
    return pairs


def split(folder: Path, shards: int) -> list[int]:
    """How many of the folder's pictures are in each shard."""
    from iqsr.io.hashes import content_hash
    from iqsr.io.shards import Shard

    hashes = [content_hash(path) for path in folder.iterdir()]
    return [sum(map(Shard(number, shards).holds, hashes)) for number in range(1, shards + 1)]


def beside(command: Command, given: Path, workers: int) -> float:
    """Seconds by the clock of a run beside others of its kind, so many in all: they share memory and cores."""
    with ThreadPoolExecutor(workers) as pool:
        all_of_them = [pool.submit(run, command, given) for _ in range(workers)]
        return statistics.mean(one.result().clock for one in all_of_them)


def sharded(command: Command, given: Path, shards: int, workers: int) -> float:
    """Seconds of the whole by the clock, with the join: workers take the next shard whenever they are free."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / command.out

        def one(number: int) -> None:
            run(command, given, out, shard=f"{number}/{shards}")

        return timed(lambda: _all_shards(one, shards, workers, out))


def _all_shards(one: Callable[[int], None], shards: int, workers: int, out: Path) -> None:
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, range(1, shards + 1)))
    iqsr("merge-shards", f"{out}.shards", "-o", str(out))


def run(command: Command, given: Path, out: Path | None = None, shard: str = "1/1") -> Seconds:
    """A shard in a process of its own; without OUT its result is thrown away."""
    with TemporaryDirectory() as folder:
        place = {"IN": str(given), "OUT": str(out or Path(folder) / command.out)}
        return iqsr(*(place.get(one, one) for one in command.arguments.split()), "--shard", shard)


def iqsr(*arguments: str) -> Seconds:
    """In silence, in one thread; SystemExit with its words where it fails."""
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    command: Sequence[str] = [sys.executable, "-m", "iqsr", *arguments]
    with TemporaryDirectory() as folder, (Path(folder) / "words").open("w+b") as words:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=words, stderr=words, env=one_thread)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            words.seek(0)
            raise SystemExit(f"{' '.join(command)}\n{words.read().decode(errors='replace')}")
        return Seconds(time.perf_counter() - began, used.ru_utime + used.ru_stime)


def timed(work: Callable[[], object]) -> float:
    """Seconds by the clock."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def pictures(parent: Path, count: int, side: int) -> Path:
    """A folder with so many PNG files of so many pixels a side, all different, with edges and grain."""
    folder = parent / f"{count}-of-{side}"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng((count, side))
    for number in range(count):
        if not (path := folder / f"{number:05}.png").exists():
            coarse = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
            smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.float64)
            grain = rng.normal(0, 12, (side, side, 1))
            Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(path)
    return folder
