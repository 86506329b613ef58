"""The command as a process: killed in the middle, ended by Ctrl-C, with the links of the first start at the second."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import func, select

from iqsr.study.store import EventRow, database_url, open_database
from iqsr.study.votes import read_votes
from support.commands import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")

RATERS, PAIRS = 6, 12
CPU_SECONDS_A_VOTE = 0.03
"""Of the server, with the pictures and the start: twice what PostgreSQL and three times what SQLite needs on a plain
machine, for slower ones. How long raters wait is told by benchmarks/study_load.py."""


def events(study: Path, database: str | None) -> int:
    opened = open_database(database_url(database, study))
    with opened.reading() as session:
        count = session.scalars(select(func.count(EventRow.id))).one()
    opened.close()
    return count


def test_no_acknowledged_vote_is_lost_or_doubled_when_the_server_is_killed(
    tmp_path: Path, database: str | None, study_load: ModuleType
) -> None:
    study = tmp_path / "study"
    study_load.make_study(study, RATERS, PAIRS)
    load = study_load.Load()
    with study_load.serving(study, database) as server:
        rating = study_load.rate_at_once(server.port, server.paths, look_seconds=0.05, load=load)
        raters = threading.Thread(target=asyncio.run, args=[rating])
        raters.start()
        while len(load.acknowledged) < RATERS * PAIRS // 3:
            assert raters.is_alive()
            time.sleep(0.001)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    assert len(load.acknowledged) < RATERS * PAIRS
    assert study_load.lost_or_doubled(study, load, database) == (0, 0)
    with study_load.serving(study, database, server.port) as again:
        assert again.paths == server.paths
        raters.join(PATIENCE)
    assert len(load.acknowledged) == RATERS * PAIRS
    assert study_load.lost_or_doubled(study, load, database) == (0, 0)
    assert events(study, database) == RATERS * PAIRS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_cleanly(tmp_path: Path, study_load: ModuleType, number: signal.Signals) -> None:
    study_load.make_study(tmp_path / "study", 2, 2)
    load = study_load.Load()
    with study_load.serving(tmp_path / "study") as server:
        asyncio.run(study_load.rate_at_once(server.port, server.paths, look_seconds=0, load=load))
        server.process.send_signal(number)
        assert server.process.wait(PATIENCE) == 130
    assert len(read_votes(tmp_path / "study" / "votes.csv")) == len(load.acknowledged) == 4
    assert sorted(path.name for path in (tmp_path / "study").glob("votes.sqlite*")) == ["votes.sqlite"]


@pytest.mark.slow
def test_sixty_raters_at_once_lose_no_vote_and_cost_little(
    tmp_path: Path, database: str | None, study_load: ModuleType
) -> None:
    raters, pairs = 60, 25
    study = tmp_path / "study"
    study_load.make_study(study, raters, pairs)
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with study_load.serving(study, database) as server:
        load = asyncio.run(study_load.rate_at_once(server.port, server.paths, look_seconds=1.0))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert len(load.acknowledged) == len(load.seconds) == raters * pairs
    assert study_load.lost_or_doubled(study, load, database) == (0, 0)
    assert events(study, database) == raters * pairs
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert cpu_seconds / (raters * pairs) < CPU_SECONDS_A_VOTE, load.line()
