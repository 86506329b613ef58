"""Two commands on one folder at once: one does the work, and the other waits, is refused, or does the same."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest

from support.fault_commands import COMMANDS, Inputs
from support.fault_tally import Row, times
from support.forked_processes import ForkServer

TIMES = times(5, 1)
SEED = 0
REFUSALS = ("is at work in", "holds a run", "is not empty", "exists", "--overwrite", "not made by")
"""What the one that came too late is told."""


@pytest.mark.parametrize("name", COMMANDS)
def test_of_two_at_once_at_least_one_ends_well(name: str, server: ForkServer, inputs: Inputs, tmp_path: Path) -> None:
    command, rng = COMMANDS[name], Random(f"{SEED}/{name}")
    whole = command.run(server, inputs, tmp_path / "whole")
    expected = command.results(tmp_path / "whole")
    problems, lost, both = list[str](), 0, 0
    for number in range(TIMES):
        place = tmp_path / f"{number}"
        one = command.start(server, inputs, place)
        time.sleep(rng.choice((0, rng.uniform(0, whole.cpu_seconds))))
        two = command.start(server, inputs, place)
        ends = [one.wait(), two.wait()]
        both += all(end.code == 0 for end in ends)
        differ = command.lost(place, expected)
        lost += len(differ)
        refused = [end for end in ends if end.code]
        clear = all(end.code in (1, 2) and any(text in end.err for text in REFUSALS) for end in refused)
        if len(refused) == 2 or not clear or differ:
            problems.append(f"{number}: {differ} {[(end.code, end.err[-600:]) for end in ends]}")
    note = f"{both} times both ended well" if both else "one was refused"
    Row("two at once", f"`iqsr {name}`", TIMES, TIMES - len(problems), lost, note).keep()
    assert not problems, "\n".join(problems)
