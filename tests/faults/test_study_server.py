"""The server of a study killed at random moments, with raters at work: each vote that it acknowledged is there."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from importlib import import_module
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

from support.commands import PATIENCE
from support.fault_tally import Row, times

KILLS = times(25, 3)
RATERS, PAIRS = 3, 100
SEED = 0
BETWEEN_SECONDS = 0.5
"""The longest time from the first votes after a start to the kill."""


@pytest.fixture
def study_load(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("study_load")


def test_no_vote_is_lost_or_doubled_by_any_kill(tmp_path: Path, study_load: ModuleType) -> None:
    """One study, whose server is killed again and again while the same raters go on."""
    study, rng, problems, tried, lost = tmp_path / "study", Random(SEED), list[str](), 0, 0
    study_load.make_study(study, RATERS, PAIRS)
    load, port, raters = study_load.Load(), 0, None
    while tried < KILLS:
        with study_load.serving(study, None, port) as server:
            port = server.port
            if raters is None:
                rating = study_load.rate_at_once(port, server.paths, look_seconds=0.2, load=load)
                raters = threading.Thread(target=asyncio.run, args=[rating])
                raters.start()
            before = len(load.acknowledged)
            until = time.monotonic() + PATIENCE
            while len(load.acknowledged) <= before:
                assert raters.is_alive()
                assert time.monotonic() < until
                time.sleep(0.001)
            time.sleep(rng.uniform(0, BETWEEN_SECONDS))
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
        tried += 1
        time.sleep(0.1)  # for what the raters had received when the server died
        if (found := study_load.lost_or_doubled(study, load)) != (0, 0):
            problems.append(f"kill {tried}: {found[0]} lost, {found[1]} doubled")
            lost += sum(found)
    with study_load.serving(study, None, port):
        assert raters is not None
        raters.join(PATIENCE)
    note = f"{len(load.acknowledged)} votes acknowledged, all there"
    Row("kill -9", "`iqsr study serve`", tried, tried - len(problems), lost, note).keep()
    assert not problems, "\n".join(problems)
    assert len(load.acknowledged) == RATERS * PAIRS
    assert study_load.lost_or_doubled(study, load) == (0, 0)
