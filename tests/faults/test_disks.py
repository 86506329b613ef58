"""Disks that are full or read-only amid a command: one line tells it, and with room the command goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from support.disks import full, read_only, small_disk
from support.fault_commands import COMMANDS, Inputs
from support.fault_tally import Row, times
from support.forked_processes import Finished, ForkServer

TIMES = times(5, 1)
SEED = 0
LEAST_BYTES = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk("64m", tmp_path / "disk") as place:
        yield place


def told(ended: Finished) -> bool:
    """Whether a command that failed says so in one line for each thing that failed, and nothing else."""
    lines = [line for line in ended.err.splitlines() if line.startswith("iqsr: ")]
    return ended.code == 1 and bool(lines) and "Traceback" not in ended.err


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_told_and_costs_nothing(name: str, server: ForkServer, inputs: Inputs, disk: Path) -> None:
    command, rng = COMMANDS[name], Random(f"{SEED}/{name}")
    whole = disk / "whole"
    assert command.run(server, inputs, whole).code == 0
    expected = command.results(whole)
    size = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    problems, lost, fitted = list[str](), 0, 0
    for number in range(TIMES):
        place, room = disk / f"{number}", rng.randrange(LEAST_BYTES, size)
        with full(disk, room):
            ended = command.run(server, inputs, place)
        fitted += ended.code == 0
        again = command.run(server, inputs, place, again=True)
        differ = command.lost(place, expected)
        lost += len(differ)
        shutil.rmtree(place)
        if not (ended.code == 0 or told(ended)) or again.code != 0 or differ:
            problems.append(f"{room} of {size} bytes: {ended.code} {ended.err}; again {differ} {again.err}")
    note = f"for all but {fitted} the room was too small" if fitted else ""
    Row("full disk", f"`iqsr {name}`", TIMES, TIMES - len(problems), lost, note).keep()
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_read_only_disk_is_told_and_nothing_is_there(
    name: str, server: ForkServer, inputs: Inputs, disk: Path
) -> None:
    command, place = COMMANDS[name], disk / "place"
    assert command.run(server, inputs, disk / "whole").code == 0
    expected = command.results(disk / "whole")
    place.mkdir()
    with read_only(disk):
        refused = command.run(server, inputs, place)
        left = command.results(place)
    again = command.run(server, inputs, place, again=True)
    differ = command.lost(place, expected)
    fine = told(refused) and not left and again.code == 0 and not differ
    Row("read-only disk", f"`iqsr {name}`", 1, int(fine), len(differ)).keep()
    assert fine, (refused, left, again, differ)
