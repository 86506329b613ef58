"""`iqsr study serve`: what it prints, and what it refuses in one line."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from support.commands import PATIENCE, Run
from support.served_studies import write_study

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
LINK = r"http://127\.0\.0\.1:\d+/s/[\w-]{32}"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_study(tmp_path / "study", raters=2)
    return tmp_path / "study"


@contextmanager
def started(study: Path, *options: str) -> Iterator[tuple[list[str], subprocess.Popen[str]]]:
    """What the command prints before it serves, and the process."""
    command = [sys.executable, "-m", "iqsr", "study", "serve", str(study), "--port", "0", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            lines: list[str] = []
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.rstrip())
                if line.startswith("token"):
                    break
            yield lines, process
        finally:
            process.kill()


@POSIX
def test_it_prints_the_links_and_serves_them_until_it_is_stopped(study: Path) -> None:
    with started(study) as (lines, process):
        assert [line.split()[0] for line in lines] == ["r00", "r01", "admin", "token"]
        links = [line.split()[1] for line in lines]
        assert all(re.fullmatch(LINK, link) for link in links[:2])
        assert httpx.get(links[0], timeout=PATIENCE).status_code == 200
        page = httpx.post(
            links[2], data={"token": links[3]}, headers={"Sec-Fetch-Site": "same-origin"}, timeout=PATIENCE
        )
        assert page.status_code == 303
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert said.splitlines()[0] == "0 of 8 answers · raters at work: 0, done: 0"
    assert (
        said.splitlines()[-1] == "iqsr: stopped; every answer is stored; the same command goes on, with the same links"
    )
    with started(study) as (again, _):
        assert [line.split("/s/")[1] for line in again[:2]] == [line.split("/s/")[1] for line in lines[:2]]
        assert again[-1] == lines[-1]


@POSIX
def test_the_open_link_stands_for_all_and_other_hosts_are_warned_of(study: Path) -> None:
    with started(study, "--open", "--host", "0.0.0.0", "--admin-token", "sixteen-characters") as (lines, process):
        assert [line.split()[0] for line in lines] == ["open", "admin", "token"]
        assert lines[-1].split()[1] == "sixteen-characters"
        port = re.findall(r":(\d+)/", lines[0])[0]
        assert "Take part" in httpx.get(f"http://127.0.0.1:{port}/", timeout=PATIENCE).text
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE)
    assert said.startswith("iqsr: warning: other machines reach this server")


def test_a_port_in_use_is_one_line(study: Path, iqsr: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = iqsr("study", "serve", str(study), "--port", str(port))
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == f"iqsr: port {port} of 127.0.0.1 is in use: name another with --port\n"


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("nowhere",), 2, "'nowhere' is no study: it has no design.json; make one: iqsr study create"),
        (("study", "--admin-token", "short"), 2, "the admin token needs 16 characters or more"),
        (
            ("study", "--database", "mysql://h/d"),
            2,
            "--database takes postgresql://USER@HOST/NAME",
        ),
        (("study", "--host", "no.such.host.invalid"), 1, "cannot listen on no.such.host.invalid: "),
        (("study", "--port", "70000"), 2, "Invalid value for '--port'"),
        (("study", "--database", "postgresql://u:secret@127.0.0.1:1/d"), 1, "the database postgresql"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    study: Path, iqsr: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, reason: str
) -> None:
    monkeypatch.chdir(study.parent)
    ended = iqsr("study", "serve", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith(f"iqsr: {reason}")
    assert ended.err.count("\n") == 1
    assert "secret" not in ended.err


def test_without_the_extra_it_says_how_to_install_it(study: Path, iqsr: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("iqsr.study.server.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    ended = iqsr("study", "serve", str(study))
    assert ended.code == 1
    assert ended.err == "iqsr: serving a study needs fastapi: pip install 'iqsr[study]'\n"
