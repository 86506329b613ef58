"""The commands of the fault campaign on small inputs, and what must be equal after a fault."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from PIL import Image

from iqsr.recipes import resolved_toml
from support.forked_processes import Finished, ForkServer, Process
from support.prepare_samples import SETTINGS, save_photos, tree
from support.sets import write_photos, write_sets
from support.tiny_runs import quick

FAST = ("--model", "realesr-animevideov3", "--threads", "1")


@dataclass(frozen=True)
class Inputs:
    """What the commands read."""

    pictures: Path
    photos: Path
    sets: Path
    validation: Path
    pairs: Path
    recipe: Path


def make_inputs(folder: Path) -> Inputs:
    """Write the inputs of every command."""
    rng = np.random.default_rng(0)
    for name in "abcdef":
        large = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).resize((96, 96), Image.Resampling.BICUBIC)
        for place, picture in {
            "pictures": large.resize((64, 64)),
            "other": large.resize((64, 64)).rotate(90),
            "pairs/HR": large,
            "pairs/LR": large.resize((24, 24)),
        }.items():
            (folder / place).mkdir(parents=True, exist_ok=True)
            picture.save(folder / place / f"{name}.png")
    save_photos(folder / "photos")
    for left_out in ("wall.png", "more/coffee.png"):
        (folder / "photos" / left_out).unlink()
    recipe = folder / "quick.toml"
    recipe.write_text(resolved_toml(quick("log_every=1", "checkpoint_every=2", "validation.every=4")))
    sets = write_sets(folder / "sets", labelled=True)
    validation = write_photos(folder / "validation")
    return Inputs(folder / "pictures", folder / "photos", sets, validation, folder / "pairs", recipe)


@dataclass(frozen=True)
class Command:
    """A command that writes into the folder `place`, where everything but what is excluded must come out the same."""

    name: str
    arguments: Callable[[Inputs, Path], list[str]]
    again: Callable[[Path], list[str]] = lambda place: []
    """What is added to the arguments to go on after a fault."""
    is_done: Callable[[Path], bool] = lambda place: False
    """Whether all is there already, so that the command would refuse to go on."""
    excluded: dict[str, str] = field(default_factory=dict)
    """Pattern of files that are not compared -> why."""
    changed: dict[str, Callable[[Path], bytes]] = field(default_factory=dict)
    """Name of a file -> what of it is compared."""

    def start(self, server: ForkServer, inputs: Inputs, place: Path, *, again: bool = False) -> Process:
        """Start it in a process; again: after a fault."""
        place.mkdir(exist_ok=True)
        if again and self.is_done(place):
            return server.start("--version", cwd=place)
        more = self.again(place) if again else []
        return server.start(*self.arguments(inputs, place), *more, cwd=place)

    def run(self, server: ForkServer, inputs: Inputs, place: Path, *, again: bool = False) -> Finished:
        """Run it to its end."""
        return self.start(server, inputs, place, again=again).wait()

    def results(self, place: Path) -> dict[str, bytes]:
        """What is compared."""
        found = tree(place)
        kept = {name: data for name, data in found.items() if not any(fnmatch(name, p) for p in self.excluded)}
        return kept | {name: of(place / name) for name, of in self.changed.items() if name in kept}

    def lost(self, place: Path, expected: dict[str, bytes]) -> list[str]:
        """Names of results that are missing or differ, or are there and should not be."""
        found = self.results(place)
        return sorted(name for name in expected.keys() | found if expected.get(name) != found.get(name))


def _scores(cache: Path) -> bytes:
    """The scores in a cache, whatever their order in the file is."""
    query = (
        "SELECT p.hash, r.hash, m.name, m.fingerprint, s.value FROM scores AS s JOIN pictures AS p ON p.id = s.picture "
        "JOIN pictures AS r ON r.id = s.reference JOIN metrics AS m ON m.id = s.metric ORDER BY 1, 2, 3, 4"
    )
    connection = sqlite3.connect(cache)
    try:
        return json.dumps(connection.execute(query).fetchall()).encode()
    finally:
        connection.close()


def _log(path: Path) -> bytes:
    """The log without what time each line took."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return json.dumps([{key: value for key, value in line.items() if key != "seconds"} for line in lines]).encode()


def _resume(place: Path) -> list[str]:
    return ["--resume"] if (place / "run" / "run.json").exists() else []


def _study(inputs: Inputs, place: Path) -> list[str]:
    folders = ["--a", f"a={inputs.pictures}", "--b", f"b={inputs.pictures.with_name('other')}"]
    return ["study", "create", *folders, "--raters", "2", "--pairs", "3", "--seed", "0", "-o", f"{place}/study"]


_METRICS = "laplacian,piqe,srq"
_CACHE = {"cache.sqlite-*": "SQLite's own journal"}
COMMANDS = {
    command.name: command
    for command in (
        Command(
            "upscale",
            lambda inputs, place: ["upscale", str(inputs.pictures), "-o", f"{place}/out", *FAST],
            lambda place: ["--skip-existing"],
        ),
        Command(
            "prepare",
            lambda inputs, place: [
                "prepare",
                str(inputs.photos),
                "-o",
                f"{place}/sets",
                "--workers",
                "1",
                "--device",
                "cpu",
                *SETTINGS,
            ],
        ),
        Command(
            "score",
            lambda inputs, place: [
                "score",
                str(inputs.pictures),
                "-m",
                _METRICS,
                "-o",
                f"{place}/scores.csv",
                "--overwrite",
                "--cache",
                f"{place}/cache.sqlite",
            ],
            excluded=_CACHE,
            changed={"cache.sqlite": _scores},
        ),
        Command(
            "train",
            lambda inputs, place: [
                "train",
                str(inputs.recipe),
                "--data",
                str(inputs.sets),
                "--validation",
                str(inputs.validation),
                "-o",
                f"{place}/run",
            ],
            _resume,
            excluded={"run/tensorboard/*": "the times of its events", "run/.lock": "who works there"},
            changed={"run/log.jsonl": _log},
        ),
        Command(
            "evaluate",
            lambda inputs, place: [
                "evaluate",
                "--data",
                str(inputs.pairs),
                "--models",
                "bicubic,realesr-animevideov3",
                "-m",
                "psnr,laplacian",
                "-o",
                f"{place}/results",
                "--cache",
                f"{place}/cache.sqlite",
            ],
            excluded=_CACHE | {"results/.lock": "who works there"},
            changed={"cache.sqlite": _scores},
        ),
        Command("study create", _study, is_done=lambda place: (place / "study").exists()),
    )
}
