"""Commands killed (signal 9) at random moments and run again: what they leave is that of an undisturbed run."""

from __future__ import annotations

import signal
from pathlib import Path
from random import Random

import pytest

from support.fault_commands import COMMANDS, Inputs
from support.fault_tally import Row, times
from support.forked_processes import ForkServer

KILLS = times(25, 3)
SEED = 0


@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_that_runs_again_equals_an_undisturbed_one(
    name: str, server: ForkServer, inputs: Inputs, tmp_path: Path
) -> None:
    command, rng = COMMANDS[name], Random(f"{SEED}/{name}")
    whole = command.run(server, inputs, tmp_path / "whole")
    assert whole.code == 0, whole.err
    expected = command.results(tmp_path / "whole")
    assert expected
    tried, problems, lost = 0, list[str](), 0
    while tried < KILLS:
        place, moment = tmp_path / f"{tried:02}", rng.uniform(0, whole.cpu_seconds)
        process = command.start(server, inputs, place)
        killed = process.kill_after(moment)
        if not killed or process.wait().code != -signal.SIGKILL:  # it ended just before
            command.run(server, inputs, place, again=True)
            continue
        tried += 1
        again = command.run(server, inputs, place, again=True)
        differ = command.lost(place, expected)
        lost += len(differ)
        if again.code != 0 or differ:
            problems.append(f"{moment:.3f} CPU seconds of {whole.cpu_seconds:.3f}: {differ} {again.err}")
    Row("kill -9", f"`iqsr {name}`", tried, tried - len(problems), lost, "at a random moment").keep()
    assert not problems, "\n".join(problems)
