"""A clock that jumps amid a command, which is killed: files are of tomorrow or of 1980, and the result is the same."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

import pytest

from support.fault_commands import COMMANDS, Inputs
from support.fault_tally import Row, times
from support.forked_processes import ForkServer

SEED = 0
YEAR_SECONDS = 365 * 24 * 3600
JUMPS = (10 * YEAR_SECONDS, -46 * YEAR_SECONDS, 24 * 3600)[: times(3, 1)]


def set_times(folder: Path, jump: int) -> None:
    """Give every file the time that a clock which is wrong by so many seconds had given it."""
    then = time.time() + jump
    for path in folder.rglob("*"):
        os.utime(path, (then, then))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_times_of_files_decide_nothing(name: str, server: ForkServer, inputs: Inputs, tmp_path: Path) -> None:
    command, rng = COMMANDS[name], Random(f"{SEED}/{name}")
    whole = command.run(server, inputs, tmp_path / "whole")
    expected = command.results(tmp_path / "whole")
    problems, lost = list[str](), 0
    for jump in JUMPS:
        place = tmp_path / f"{jump}"
        process = command.start(server, inputs, place)
        process.kill_after(rng.uniform(0.3, 0.9) * whole.cpu_seconds)
        process.wait()
        set_times(place, jump)
        again = command.run(server, inputs, place, again=True)
        differ = command.lost(place, expected)
        lost += len(differ)
        if again.code != 0 or differ:
            problems.append(f"{jump} s: {differ} {again.err}")
    Row("clock jump", f"`iqsr {name}`", len(JUMPS), len(JUMPS) - len(problems), lost, "with a kill").keep()
    assert not problems, "\n".join(problems)
