"""How long many machines take, by a simulation of `--shard`, from costs measured on this one.

    python benchmarks/scale_sim.py measure            # costs of the commands here: benchmarks/results/scale.json
    python benchmarks/scale_sim.py table              # 1e4 to 1e8 pictures on 1 to 512 workers: .../scale.md
    python benchmarks/scale_sim.py check              # against real runs of one and of two workers, .../scale-check.md

`measure` counts the processor's seconds, which other programs change little. `check` needs a machine that does nothing
else, for some minutes.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from setting import RESULTS

PICTURES = (10_000, 1_000_000, 100_000_000)
WORKERS = (1, 8, 64, 512)
HOUR = 3600
SEEDS = 5
"""Simulations of each line of the table, of which it shows the one with the median time."""
TYPICAL_MEGAPIXELS, TYPICAL_SPREAD, TYPICAL_MEGABYTES = 0.25, 0.5, 0.1
"""Of the table's pictures: 512 x 512 on average, the deviation of their sizes over the mean, the size of a file."""


@dataclass(frozen=True)
class Costs:
    """Of one command on one machine, in seconds."""

    start: float
    """Of a process, until it reads the first file."""
    look: float
    """Of each file that a shard looks at to find its own: all files, in every shard."""
    picture: float
    """Of each picture of its own."""
    spread: float = 0.0
    """Standard deviation of the time of one picture, over its mean."""
    join_start: float = 0.0
    """Of `iqsr merge-shards`, whatever it joins."""
    join: float = 0.0
    """Of each picture, in `iqsr merge-shards`."""
    megabytes: float = 0.0
    """Of the file of a picture, for the cluster's `bandwidth`."""


@dataclass(frozen=True)
class Measured:
    """Costs of one command on one machine, in seconds of its processor."""

    start: float
    picture: float
    """Of a picture, whatever its size."""
    megapixel: float
    """More, of a megapixel of the input."""
    look: float
    """Of a file that is hashed, whatever its size."""
    look_megabyte: float
    """More, of a megabyte of it."""
    join_start: float
    join: float
    residual: float
    """Of the fit: root of the mean square of its relative errors."""
    clock: float
    """Seconds by the clock over those of the processor, of all runs together; 1 on an idle machine."""

    def costs(self, megapixels: float, spread: float, megabytes: float = 0.0) -> Costs:
        """Of pictures of so many megapixels and megabytes. spread: standard deviation of their sizes over the mean."""
        by_size = self.megapixel * megapixels
        picture = self.picture + by_size
        return Costs(
            self.start,
            self.look + self.look_megabyte * megabytes,
            picture,
            spread * by_size / picture if picture else 0.0,
            self.join_start,
            self.join,
            megabytes,
        )


@dataclass(frozen=True)
class Cluster:
    """The machines."""

    workers: int
    straggling: float = 0.2
    """Standard deviation of the logarithm of a worker's speed: with .2, one in twenty takes 1.4 times as long."""
    restarts_an_hour: float = 0.05
    """How often a worker is killed and started again: .05 is once in twenty hours."""
    away: float = 120.0
    """Seconds until a killed worker is back."""
    lost: float = 0.5
    """Of a picture's time, what a kill loses: the picture at hand is begun again."""
    bandwidth: float = float("inf")
    """Megabytes a second of the storage that all read from, as if all of them always did."""


@dataclass(frozen=True)
class Outcome:
    """What a simulation gives."""

    seconds: float
    """From the start to the joined result."""
    worker_seconds: float
    """That workers computed, of which `useful_seconds` for pictures."""
    useful_seconds: float
    kills: int
    join_seconds: float
    """At the end, by one process."""

    @property
    def waste(self) -> float:
        """Seconds of workers that went into starts, looks and what kills lost."""
        return self.worker_seconds - self.useful_seconds

    @property
    def efficiency(self) -> float:
        """The share of the workers' time that went into pictures."""
        return self.useful_seconds / self.worker_seconds


def simulate(
    pictures: int, shards: int, costs: Costs, cluster: Cluster, seed: int = 0, sizes: Sequence[int] | None = None
) -> Outcome:
    """Workers take the next shard whenever they are free; a killed one goes on with its shard.

    A shard holds the pictures whose hash falls there: their number is drawn from a normal distribution that stands for
    the binomial one, and so is the time that they take. sizes: their numbers where they are known, shard by shard.
    """
    rng, fate = random.Random(f"work {seed}"), random.Random(f"workers {seed}")  # so that more workers do the same work
    speeds = [fate.lognormvariate(0, cluster.straggling) for _ in range(cluster.workers)]
    free = [(0.0, number) for number in range(cluster.workers)]
    reading = costs.megabytes * min(cluster.workers, shards) / cluster.bandwidth
    costs = replace(costs, look=costs.look + reading, picture=costs.picture + reading)
    overhead = costs.start + costs.look * pictures
    useful, kills, spent = 0.0, 0, 0.0
    for size in sizes or shard_sizes(pictures, shards, rng):
        began, worker = heapq.heappop(free)
        work = max(0.0, size * costs.picture + rng.gauss(0, 1) * size**0.5 * costs.spread * costs.picture)
        lives = list(attempts(work, overhead, costs, cluster, speeds[worker], fate))
        spent += sum(lives)
        kills += len(lives) - 1
        useful += work / speeds[worker]
        heapq.heappush(free, (began + sum(lives) + (len(lives) - 1) * cluster.away, worker))
    join = costs.join_start + costs.join * pictures
    return Outcome(max(ended for ended, _ in free) + join, spent, useful, kills, join)


def shard_sizes(pictures: int, shards: int, rng: random.Random) -> list[int]:
    """How many pictures each shard has: all together `pictures`."""
    sizes, left = list[int](), pictures
    for shard in range(shards, 1, -1):
        mean, deviation = left / shard, (left / shard * (1 - 1 / shard)) ** 0.5
        sizes.append(min(left, max(0, round(rng.gauss(mean, deviation)))))
        left -= sizes[-1]
    return [*sizes, left]


def attempts(
    work: float, overhead: float, costs: Costs, cluster: Cluster, speed: float, rng: random.Random
) -> Iterator[float]:
    """Seconds of each life of a worker in one shard, all but the last ended by a kill."""
    rate = cluster.restarts_an_hour / HOUR
    while True:
        life = rng.expovariate(rate) if rate else float("inf")
        needed = (overhead + work) / speed
        if life >= needed:
            yield needed
            return
        yield life
        done = max(0.0, life * speed - overhead)
        work -= max(0.0, done - cluster.lost * costs.picture)


def typical(pictures: int, shards: int, costs: Costs, cluster: Cluster) -> Outcome:
    """Of `SEEDS` simulations the one with the median time."""
    found = [simulate(pictures, shards, costs, cluster, seed) for seed in range(SEEDS)]
    return sorted(found, key=lambda outcome: outcome.seconds)[SEEDS // 2]


def best(pictures: int, costs: Costs, cluster: Cluster) -> tuple[int, Outcome]:
    """The number of shards, 1 to 64 for each worker, with the shortest typical time, and its outcome."""
    found = {n: typical(pictures, n, costs, cluster) for n in (cluster.workers * 2**power for power in range(7))}
    shards = min(found, key=lambda n: found[n].seconds)
    return shards, found[shards]


def table(costs: dict[str, Costs]) -> str:
    """The grid as Markdown, for every command."""
    lines = list[str]()
    for command, of_command in costs.items():
        lines += [f"### {command}", ""]
        lines += ["| pictures | workers | shards | time | the join | speed-up | wasted |"]
        lines += ["|--:|--:|--:|--:|--:|--:|--:|"]
        for pictures in PICTURES:
            alone = simulate(pictures, 1, of_command, Cluster(1, straggling=0, restarts_an_hour=0)).seconds
            for workers in WORKERS:
                shards, found = best(pictures, of_command, Cluster(workers))
                lines.append(
                    f"| {pictures:,} | {workers} | {shards:,} | {duration(found.seconds)} "
                    f"| {duration(found.join_seconds)} | {alone / found.seconds:.1f} | {1 - found.efficiency:.0%} |"
                )
        lines.append("")
    return "\n".join(lines)


def units(measured: dict[str, Measured]) -> str:
    """What was measured, as Markdown."""
    names = ("start", "picture", "megapixel", "look", "look_megabyte", "join_start", "join")
    lines = [
        f"| command | {' | '.join(name.replace('_', ' a ').replace('a start', 'start') for name in names)} | fit |"
    ]
    lines += ["|---|" + "--:|" * (len(names) + 1)]
    for command, found in measured.items():
        values = [f"{getattr(found, name):.3g}" for name in names]
        lines.append(f"| {command} | {' | '.join(values)} | ± {found.residual:.0%} |")
    return "\n".join([*lines, ""])


def duration(seconds: float) -> str:
    """`12 s`, `3.4 min`, `5.6 h`, `7.8 d`, `9.0 y`."""
    for unit, length in (("y", 365 * 24 * HOUR), ("d", 24 * HOUR), ("h", HOUR), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("measure", "table", "check"))
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default="", help="measure the commands that have this in their name, such as prepare")
    parser.add_argument(
        "--megapixels", type=float, default=TYPICAL_MEGAPIXELS, help="mean size of the table's pictures"
    )
    parser.add_argument("--spread", type=float, default=TYPICAL_SPREAD, help="of their sizes, over the mean")
    parser.add_argument("--megabytes", type=float, default=TYPICAL_MEGABYTES, help="mean size of their files")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    stored = args.out / "scale.json"
    if args.what == "table":
        measured = {name: Measured(**found) for name, found in json.loads(stored.read_text()).items()}
        costs = {name: found.costs(args.megapixels, args.spread, args.megabytes) for name, found in measured.items()}
        (args.out / "scale.md").write_text(table(costs))
        (args.out / "scale-units.md").write_text(units(measured))
        return
    from scale_runs import check, measure  # the real runs

    if args.what == "measure":
        known = json.loads(stored.read_text()) if args.only and stored.exists() else {}
        for name, found in measure(args.rounds, args.only):
            known[name] = asdict(found)
            stored.write_text(json.dumps(known, indent=1) + "\n")
    else:
        (args.out / "scale-check.md").write_text(check(args.rounds))


def prediction(costs: Costs, sizes: Sequence[int], workers: int) -> float:
    """Seconds of real runs: nobody is slower than others, and nobody is killed. sizes: pictures of each shard."""
    calm = Cluster(workers, straggling=0, restarts_an_hour=0)
    return simulate(sum(sizes), len(sizes), costs, calm, sizes=sizes).seconds


if __name__ == "__main__":
    main()
