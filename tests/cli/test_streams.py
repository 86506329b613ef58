"""Commands in shells that close streams, on full disks, without a home folder, in encodings that lack letters."""

import shlex
import sys
from pathlib import Path

import pytest

from support.cli_pictures import FAST, picture, size_of
from support.commands import COMMAND, Run, shell

UPSCALE = f"{COMMAND} upscale a.png -o o.png {shlex.join(FAST)}"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    picture("a.png")


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
    code = "import os; from iqsr.cli.streams import safe_streams\nwith safe_streams(): print(os.open('f', 65))"
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
