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
        ((1, 256), (4, 256), (1, 384), (2, 320)),
    ),
    "evaluate (bicubic; psnr, ssim)": Command(
        "evaluate --data IN --layout hr --degradation bicubic --models bicubic -m psnr,ssim --no-cache -o OUT",
        "evaluation",
        ((2, 192), (40, 192), (8, 768), (24, 512)),
    ),
}
CHECKED = {name: COMMANDS[name] for name in ("score (srq)", "upscale (realesr-animevideov3)")}
SIDE, FEW, MANY, ALL = 192, 4, 40, 96
"""Of `check`: the pictures' side, how many the runs have that measure, and how many the runs that are foretold."""
RUNS = ((1, 1), (1, 4), (2, 4))
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


def joining(command: Command, few: Point, many: Point, folder: Path) -> tuple[float, float]:
    """Seconds of the processor that `iqsr merge-shards` takes: whatever it joins, and for each picture."""

    def joined(point: Point) -> float:
        with TemporaryDirectory() as place:
            out = Path(place) / command.out
            run(command, pictures(folder, *point), out, shard="1/1")
            return iqsr("merge-shards", f"{out}.shards", "-o", str(out)).processor

    of_few, of_many = joined(few), joined(many)
    picture = max(0.0, (of_many - of_few) / (many[0] - few[0]))
    return max(0.0, of_few - few[0] * picture), picture


def check(rounds: int) -> str:
    """Markdown: predicted and real seconds of one worker and of two, measured in turn."""
    lines = ["| command | workers | shards | predicted | real | predicted / real |", "|---|--:|--:|--:|--:|--:|"]
    with TemporaryDirectory() as folder:
        for name, command in CHECKED.items():
            found: dict[Point, list[tuple[float, float]]] = {one: [] for one in RUNS}
            for _ in range(rounds):
                for one, pair in foretold_and_real(command, Path(folder)).items():
                    found[one].append(pair)
            for (workers, shards), pairs in found.items():
                foretold, real = (statistics.median(column) for column in zip(*pairs, strict=True))
                ratio = statistics.median(a / b for a, b in pairs)
                lines.append(f"| {name} | {workers} | {shards} | {foretold:.1f} s | {real:.1f} s | {ratio:.2f} |")
                print(lines[-1], file=sys.stderr)
    return "\n".join([*lines, ""])


def foretold_and_real(command: Command, folder: Path) -> dict[Point, tuple[float, float]]:
    """By workers and shards. Costs come from other runs of the same minute, without shards and with fewer pictures."""
    few, many, everything = (pictures(folder, count, SIDE) for count in (FEW, MANY, ALL))
    of_few, of_many = run(command, few), run(command, many)
    clocks = {1: of_many.clock / of_many.processor, 2: beside_itself(command, many) / of_many.processor}
    picture = (of_many.processor - of_few.processor) / (MANY - FEW)
    look, look_megabyte = hashing()
    megabytes = statistics.mean(path.stat().st_size for path in everything.iterdir()) / 1e6
    costs = Costs(
        max(0.0, of_few.processor - FEW * picture),
        look + look_megabyte * megabytes,
        picture,
        0.0,
        *joining(command, (FEW, SIDE), (MANY, SIDE), folder),
    )
    return {
        (workers, shards): (
            prediction(costs, ALL, shards, workers, clocks[workers], clocks[1]),
            sharded(command, everything, shards, workers),
        )
        for workers, shards in RUNS
    }


def beside_itself(command: Command, given: Path) -> float:
    """Seconds by the clock of a run beside another of its kind, which shares the memory and the processor's clock."""
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(run, command, given) for _ in range(2)]
        return statistics.mean(one.result().clock for one in both)


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


def run(command: Command, given: Path, out: Path | None = None, shard: str | None = None) -> Seconds:
    """The command in a process of its own; without OUT its result is thrown away."""
    with TemporaryDirectory() as folder:
        place = {"IN": str(given), "OUT": str(out or Path(folder) / command.out)}
        arguments = [place.get(one, one) for one in command.arguments.split()]
        return iqsr(*arguments, *(["--shard", shard] if shard else []))


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
