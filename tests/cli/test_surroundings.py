"""Commands in shells that close streams, on full disks, without a home folder, in encodings that lack letters."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from iqsr.cli.surroundings import bound_waiting
from support.cli_pictures import FAST, picture, size_of
from support.commands import PATIENCE, Ended, Run

COMMAND = shlex.join([sys.executable, "-m", "iqsr"])
UPSCALE = f"{COMMAND} upscale a.png -o o.png {shlex.join(FAST)}"
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    picture("a.png")


def shell(line: str, **environment: str) -> Ended:
    """The line in a shell, where `set -o pipefail` tells of every part of a pipe."""
    command = ["bash", "-c", f"set -o pipefail; {line}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=os.environ | environment)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


# Streams


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_stop_the_work(closed: str) -> None:
    assert shell(f"{UPSCALE} {closed}").code == 0
    assert size_of("o.png") == (128, 96)


def test_a_full_disk_behind_standard_error_does_not_stop_the_work() -> None:
    Path("in").mkdir()
    Path("a.png").rename("in/a.png")
    Path("in/b.png").write_bytes(b"no picture")
    ended = shell(f"{COMMAND} upscale in -o o {shlex.join(FAST)} 2>/dev/full")
    assert (ended.code, ended.out, ended.err) == (1, "", "")  # for b.png
    assert size_of("o/a.png") == (128, 96)


@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full"])
def test_errors_that_nobody_can_read_have_their_exit_code(stream: str) -> None:
    ended = shell(f"{COMMAND} upscale gone.png {stream}")
    assert (ended.code, ended.out, ended.err) == (2, "", "")


@pytest.mark.parametrize("command", ["--version", "--help", "metrics", "weights --json"])
def test_a_full_disk_behind_standard_output_is_one_line(command: str) -> None:
    ended = shell(f"{COMMAND} {command} >/dev/full")
    assert (ended.code, ended.err) == (1, "iqsr: No space left on device\n")


@pytest.mark.parametrize("command", ["metrics", "weights --json", "--help"])
@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_a_reader_that_stops_hears_no_complaint(command: str, reader: str) -> None:
    ended = shell(f"{COMMAND} {command} | {reader}")
    assert ended.code in (0, 1)  # by whether all was written before
    assert ended.err == ""


def test_what_a_closed_stream_leaves_free_is_no_pictures_place() -> None:
    """A file that takes the place of standard error would get what C libraries write there."""
    code = "import os; from iqsr.cli.surroundings import whole_streams\nwith whole_streams(): print(os.open('f', 65))"
    ended = shell(f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} 2>&- <&-")
    assert (ended.code, int(ended.out) > 2) == (0, True)


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"TERM": "dumb"}],
    ids=lambda environment: " ".join(environment),
)
@pytest.mark.slow
def test_names_that_the_terminal_cannot_show(environment: dict[str, str]) -> None:
    Path("a.png").rename("é.png")
    ended = shell(f"{COMMAND} score é.png -m laplacian --no-cache", **environment)
    assert (ended.code, ended.err) == (0, "")
    assert ".png" in ended.out
    assert shell(f"{COMMAND} upscale é.png -o ü.png {shlex.join(FAST)}", **environment).code == 0
    assert size_of("ü.png") == (128, 96)


# Folders

HOMELESS = """
import os, pwd
del os.environ["HOME"]
pwd.getpwuid = {}.__getitem__  # nobody is known, as where a container runs under a number
from iqsr.cli import main
main()
"""


@pytest.mark.parametrize("command", [f"upscale a.png -o o.png {shlex.join(FAST)}", "weights", "metrics"])
def test_without_a_home_folder(command: str, tmp_path: Path) -> None:
    line = f"env -u IQSR_CACHE -u IQSR_WEIGHTS {shlex.join([sys.executable, '-c', HOMELESS])} {command}"
    ended = shell(line, TMPDIR=str(tmp_path))
    assert ended.code == 0, ended.err


def test_a_path_in_a_home_folder_that_is_not_there_is_one_line() -> None:
    ended = shell(f"{shlex.join([sys.executable, '-c', HOMELESS])} upscale a.png '--output=~/o.png'")
    line = "iqsr: '~/o.png' is in your home folder, but there is none: give another path\n"
    assert (ended.code, ended.out, ended.err) == (2, "", line)


def test_scores_that_cannot_be_remembered_are_told(iqsr: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IQSR_CACHE", "/dev/null/cache")
    ended = iqsr("score", "a.png", "-m", "laplacian", "--json")
    assert ended.code == 0
    assert '"laplacian": ' in ended.out
    assert ended.err.startswith(
        "iqsr: scores are not remembered, for '/dev/null/cache/scores.sqlite' cannot be written: "
    )
    assert ended.err.count("\n") == 1
    named = iqsr("score", "a.png", "-m", "laplacian", "--cache", "/dev/null/c.sqlite")
    assert (named.code, named.err.count("\n")) == (1, 1)


# Threads


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
