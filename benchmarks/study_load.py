"""How fast the server of a study answers many raters at once, and whether every vote is there afterwards.

    python benchmarks/study_load.py
    python benchmarks/study_load.py --database postgresql://iqsr@localhost/empty

Starts `iqsr study serve` as a process of its own. Each rater has one connection, fetches the pictures of each pair,
looks at them for a while, votes, and sends again what is not answered. Prints the time from a vote to its
acknowledgement, and compares what was acknowledged with what the database holds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from iqsr.study.create import create_study
from iqsr.study.plan import Plan
from iqsr.study.records import read_served_votes
from iqsr.study.settings import Settings

METHODS = ("a", "b")
_RETRY_SECONDS = 0.2
_HEAD = "Host: study\r\nSec-Fetch-Site: same-origin\r\nX-Study: 1\r\nContent-Type: application/json\r\n"


@dataclass
class Load:
    """What the raters saw."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    """Trial -> choice of each vote that was acknowledged."""
    seconds: list[float] = field(default_factory=list)
    """From each vote to its acknowledgement."""
    wall: float = 0.0

    def percentile(self, percent: int) -> float:
        """Seconds within which so many votes were acknowledged."""
        return statistics.quantiles(self.seconds, n=100)[percent - 1]

    def line(self) -> str:
        """In one line."""
        figures = ", ".join(f"p{percent} {self.percentile(percent) * 1e3:.0f} ms" for percent in (50, 95, 99))
        return f"{len(self.seconds)} votes in {self.wall:.1f} s: {figures}, most {max(self.seconds) * 1e3:.0f} ms"


class Rater:
    """One person at one link, on one connection, who sends again what is not answered.

    Args:
        port: Of the server, on this machine.
        path: /s/TOKEN.
        rng: What chooses, and how long the rater looks.
    """

    def __init__(self, port: int, path: str, rng: random.Random) -> None:
        self._port = port
        self._path = path
        self._rng = rng
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def rate(self, load: Load, look_seconds: float) -> None:
        """All pairs, from consent to the last."""
        state = await self._post("/consent", {"agreed": True})
        while state["step"] == "rating":
            trial = state["trial"]
            for url in trial["pictures"]:
                await self._ask("GET", url)
            await asyncio.sleep(self._rng.uniform(0, 2 * look_seconds))
            choice, key = self._rng.randrange(2), f"{self._rng.getrandbits(128):032x}"
            vote = {"trial": trial["id"], "choice": choice, "key": key}
            started = time.perf_counter()
            state = await self._post("/votes", vote)
            load.seconds.append(time.perf_counter() - started)
            load.acknowledged[trial["id"]] = choice
        if self._streams is not None:
            self._streams[1].close()

    async def _post(self, what: str, body: object) -> Any:
        return json.loads(await self._ask("POST", self._path + what, json.dumps(body).encode()))

    async def _ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        head = f"{method} {path} HTTP/1.1\r\n{_HEAD}Content-Length: {len(body)}\r\n\r\n"
        while True:
            try:
                return await self._asked(head.encode() + body)
            except (OSError, asyncio.IncompleteReadError):
                self._streams = None
                await asyncio.sleep(_RETRY_SECONDS)

    async def _asked(self, request: bytes) -> bytes:
        reader, writer = self._streams = self._streams or await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        body = await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
        if head[9:12] not in ("200", "201"):
            raise RuntimeError(f"{request[:80]!r}: {head[9:12]} {body.decode()}")
        return body


async def rate_at_once(port: int, paths: list[str], look_seconds: float, load: Load | None = None) -> Load:
    """All raters at once, each to the end.

    Args:
        port: Of the server.
        paths: /s/TOKEN of each rater.
        look_seconds: Mean time from pictures to vote.
        load: Filled while they rate.
    """
    load = load or Load()
    started = time.perf_counter()
    raters = [Rater(port, path, random.Random(place)) for place, path in enumerate(paths)]
    await asyncio.gather(*(rater.rate(load, look_seconds) for rater in raters))
    load.wall = time.perf_counter() - started
    return load


@dataclass(frozen=True)
class Server:
    """`iqsr study serve` as a process."""

    process: subprocess.Popen[str]
    port: int
    paths: list[str]
    """/s/TOKEN of each rater."""


@contextmanager
def serving(study: Path, database: str | None = None, port: int = 0) -> Generator[Server]:
    """A server, which is killed at the end."""
    command = [sys.executable, "-m", "iqsr", "study", "serve", str(study), "--port", str(port)]
    command += ["--database", database] if database else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            links: list[str] = []
            for line in process.stdout:
                if line.startswith("admin"):
                    break
                links.append(line.split()[-1])
            if not links:
                raise RuntimeError(f"the server did not start: exit code {process.wait()}")
            address, _, _ = links[0].removeprefix("http://").partition("/")
            yield Server(process, int(address.rpartition(":")[2]), [link[link.index("/s/") :] for link in links])
        finally:
            process.kill()


def make_study(folder: Path, raters: int, pairs: int) -> None:
    """A study of pictures of noise in a folder that does not exist."""
    rng = np.random.default_rng(0)
    for method in METHODS:
        (folder.parent / method).mkdir()
        for scene in range(pairs):
            pixels = rng.integers(0, 256, (96, 128, 3), np.uint8)
            Image.fromarray(pixels).save(folder.parent / method / f"{scene:03}.png")
    folders = {method: folder.parent / method for method in METHODS}
    create_study(folders, folder, Plan(raters, pairs), settings=Settings(title="Load"))


def lost_or_doubled(study: Path, load: Load, database: str | None = None) -> tuple[int, int]:
    """How many acknowledged votes the database does not hold as they were sent, and how many trials it holds twice."""
    votes = read_served_votes(study, database)
    kept = {vote.trial: vote.shown.index(vote.chosen) for vote in votes}
    lost = sum(kept.get(trial) != choice for trial, choice in load.acknowledged.items())
    return lost, sum(count - 1 for count in Counter(vote.trial for vote in votes).values())


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description="Many raters at once.")
    parser.add_argument("--raters", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=25, help="for each rater")
    parser.add_argument("--look", type=float, default=1.0, help="mean seconds from pictures to vote")
    parser.add_argument("--database", help="URL of an empty database; SQLite in the study's folder by default")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        make_study(study, args.raters, args.pairs)
        with serving(study, args.database) as server:
            load = asyncio.run(rate_at_once(server.port, server.paths, args.look))
        lost, doubled = lost_or_doubled(study, load, args.database)
    print(f"{args.raters} raters at once, {load.line()}; lost {lost}, doubled {doubled}")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
