"""How long many machines take, by a simulation of `--shard`, from costs measured on this one.

    python benchmarks/scale_sim.py measure            # costs of the commands here: benchmarks/results/scale.json
    python benchmarks/scale_sim.py table              # 1e4 to 1e8 pictures on 1 to 512 workers: .../scale.md
    python benchmarks/scale_sim.py check              # against real runs of one and of two workers, .../scale-check.md

`measure` and `check` need a machine that does nothing else, for some minutes each.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from setting import RESULTS

PICTURES = (10_000, 1_000_000, 100_000_000)
WORKERS = (1, 8, 64, 512)
HOUR = 3600


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
    join: float = 0.0
    """Of each picture, in `iqsr merge-shards`."""


@dataclass(frozen=True)
class Cluster:
    """The machines."""

    workers: int
    straggling: float = 0.2
    """Standard deviation of the logarithm of a worker's speed: .2 makes one in twenty a third slower or more."""
    restarts_an_hour: float = 0.05
    """How often a worker is killed and started again: .05 is once in twenty hours."""
    away: float = 120.0
    """Seconds until a killed worker is back."""
    lost: float = 0.5
    """Of a picture's time, what a kill loses: the picture at hand is begun again."""


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

    @property
    def efficiency(self) -> float:
        """The share of the workers' time that went into pictures."""
        return self.useful_seconds / self.worker_seconds


def simulate(pictures: int, shards: int, costs: Costs, cluster: Cluster, seed: int = 0) -> Outcome:
    """Workers take the next shard whenever they are free; a killed one goes on with its shard.

    A shard holds the pictures whose hash falls there: their number is drawn from a normal distribution that stands for
    the binomial one, and so is the time that they take.
    """
    rng, fate = random.Random(f"work {seed}"), random.Random(f"workers {seed}")  # so that more workers do the same work
    speeds = [fate.lognormvariate(0, cluster.straggling) for _ in range(cluster.workers)]
    free = [(0.0, number) for number in range(cluster.workers)]
    overhead = costs.start + costs.look * pictures
    useful, kills, spent = 0.0, 0, 0.0
    for size in shard_sizes(pictures, shards, rng):
        began, worker = heapq.heappop(free)
        work = max(0.0, size * costs.picture + rng.gauss(0, 1) * size**0.5 * costs.spread * costs.picture)
        lives = list(attempts(work, overhead, costs, cluster, speeds[worker], fate))
        spent += sum(lives)
        kills += len(lives) - 1
        useful += work / speeds[worker]
        heapq.heappush(free, (began + sum(lives) + (len(lives) - 1) * cluster.away, worker))
    join = costs.start + costs.join * pictures
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


def best_shards(pictures: int, costs: Costs, cluster: Cluster) -> int:
    """The number of shards, 1 to 64 for each worker, with the shortest simulated time."""
    numbers = [cluster.workers * times for times in (1, 2, 4, 8, 16, 32, 64)]
    return min(numbers, key=lambda shards: simulate(pictures, shards, costs, cluster).seconds)


def table(costs: dict[str, Costs]) -> str:
    """The grid as Markdown, for every command."""
    lines = list[str]()
    for command, of_command in costs.items():
        lines += [f"### {command}", "", "| pictures | workers | shards | time | speed-up | efficiency | kills |"]
        lines += ["|--:|--:|--:|--:|--:|--:|--:|"]
        for pictures in PICTURES:
            alone = simulate(pictures, 1, of_command, Cluster(1, straggling=0, restarts_an_hour=0)).seconds
            for workers in WORKERS:
                cluster = Cluster(workers)
                shards = best_shards(pictures, of_command, cluster)
                found = simulate(pictures, shards, of_command, cluster)
                lines.append(
                    f"| {pictures:,} | {workers} | {shards} | {duration(found.seconds)} | {alone / found.seconds:.1f} "
                    f"| {found.efficiency:.0%} | {found.kills} |"
                )
        lines.append("")
    return "\n".join(lines)


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
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    stored = args.out / "scale.json"
    if args.what == "table":
        costs = {name: Costs(**found) for name, found in json.loads(stored.read_text()).items()}
        (args.out / "scale.md").write_text(table(costs))
        return
    from scale_runs import check, measure  # the real runs

    if args.what == "measure":
        stored.write_text(json.dumps({name: asdict(found) for name, found in measure(args.rounds).items()}, indent=1))
    else:
        (args.out / "scale-check.md").write_text(check(args.rounds))


def prediction(costs: Costs, pictures: int, shards: int, workers: int, slower: float) -> float:
    """Seconds of real runs: no stragglers, no kills; several workers on one machine are each `slower` times as slow."""
    together = replace(costs, **{name: getattr(costs, name) * slower for name in ("start", "look", "picture")})
    plain = Cluster(workers, straggling=0, restarts_an_hour=0)
    found = simulate(pictures, shards, together, plain)
    return found.seconds - found.join_seconds + costs.start + costs.join * pictures


if __name__ == "__main__":
    main()
