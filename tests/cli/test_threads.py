"""How many threads compute, and how they wait for work."""

import os
import shlex
from pathlib import Path

import pytest

from iqsr.cli.threads import bound_waiting
from support.cli_pictures import FAST, picture
from support.commands import COMMAND, Run, shell

UPSCALE = f"{COMMAND} upscale a.png -o o.png {shlex.join(FAST)}"
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    picture("a.png")


@pytest.mark.parametrize("count", ["0", "-1", "100000", str((os.cpu_count() or 1) + 1), "two"])
def test_a_number_of_threads_that_cannot_be_is_one_line(iqsr: Run, count: str) -> None:
    ended = iqsr("upscale", "a.png", f"--threads={count}")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("iqsr: Invalid value for '--threads': Input should be ")
    assert ended.err.count("\n") == 1
    if count.isdigit() and int(count) > 1:
        assert f"less than or equal to {os.cpu_count()};" in ended.err


def test_threads_wait_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)
    bound_waiting()
    assert [os.environ.pop(name, None) for name in WAITING] == [None, "1000", "1"]


@pytest.mark.parametrize("name", WAITING)
def test_how_the_user_lets_threads_wait_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in WAITING:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "7")
    bound_waiting()
    assert {other: os.environ.get(other) for other in WAITING} == dict.fromkeys(WAITING) | {name: "7"}


def test_torchs_threads_hear_of_it() -> None:
    """OpenMP reads it when torch is loaded, and tells what it has read."""
    unset = " ".join(f"-u {name}" for name in WAITING)
    ended = shell(f"env {unset} {UPSCALE}", OMP_DISPLAY_ENV="VERBOSE")
    assert ended.code == 0
    if "GOMP_SPINCOUNT" not in ended.err:
        pytest.skip("torch computes with another OpenMP here")
    assert "GOMP_SPINCOUNT = '1000'" in ended.err
