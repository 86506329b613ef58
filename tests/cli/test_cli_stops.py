"""What survives a kill, an interrupt, a reader that stops and a full disk."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.cli_pictures import FAST, IQSR, picture, process, size_of
from support.commands import PATIENCE, Run
from support.disks import small_disk


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


# Kills and interrupts


def batch_of_four() -> list[str]:
    for name in "abcd":
        picture(f"in/{name}.png", (200, 200))
    return ["upscale", "in", "-o", "o", *FAST]


def parts() -> list[Path]:
    return list(Path("o").glob(".*"))


def results() -> list[Path]:
    return sorted(path for path in Path("o").glob("*") if not path.name.startswith("."))


INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have it ignored
runpy.run_module("iqsr", run_name="__main__", alter_sys=True)
"""


@contextmanager
def in_mid_batch(command: list[str]) -> Generator[subprocess.Popen[str]]:
    """The command, running, at a moment when a result is there and another is being written."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *command], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + PATIENCE
        while not (results() and parts()):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_after_kill_9_the_same_command_finishes_and_recomputes_nothing() -> None:
    command = batch_of_four()
    with in_mid_batch(command) as running:
        running.send_signal(signal.SIGKILL)
        running.communicate()
    assert running.returncode == -signal.SIGKILL
    (stale,) = parts()
    assert stale.name.endswith(".iqsr-part")
    finished = results()
    assert 1 <= len(finished) < 4
    assert all(size_of(path) == (800, 800) for path in finished)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in finished}

    ended = process(*command, "--skip-existing")
    assert (ended.code, ended.err) == (0, f"{4 - len(finished)} upscaled, {len(finished)} skipped\n")
    assert [path.name for path in results()] == ["a.png", "b.png", "c.png", "d.png"]
    assert all(size_of(path) == (800, 800) for path in results())
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in finished} == before
    assert parts() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_partial_and_says_how_to_go_on(number: signal.Signals) -> None:
    with in_mid_batch(batch_of_four()) as running:
        running.send_signal(number)
        out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "iqsr: stopped; the same command with --skip-existing goes on from here"
    assert len(results()) < 4
    assert all(size_of(path) == (800, 800) for path in results())
    assert parts() == []


def test_whoever_stops_reading_ends_the_command_quietly() -> None:
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run([*IQSR, "weights", "--json"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert ended.returncode == 1
    assert ended.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("command", [("metrics", "srq"), ("metrics", "--json"), ("weights",)])
def test_output_that_cannot_be_written_is_one_line(command: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*IQSR, *command], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (1, "iqsr: No space left on device\n")


# Disks


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff"])
def test_a_full_disk_fails_the_picture_that_does_not_fit(iqsr: Run, suffix: str) -> None:
    picture("in/a.png", (8, 8))
    picture("in/b.png", (96, 96))
    picture("in/c.png", (8, 8))
    finest = ("--quality", "100") if suffix in ("jpg", "webp") else ()
    with small_disk("48k") as disk:
        ended = iqsr("upscale", "in", "-o", str(disk / "o"), "--format", suffix, *finest, *FAST)
        written = sorted(path.name for path in (disk / "o").iterdir())
        sizes = [size_of(disk / "o" / name) for name in written]
    assert ended.code == 1
    big = disk / "o" / f"b.{suffix}"
    assert ended.err == f"iqsr: cannot write '{big}': No space left on device\n2 upscaled, 1 failed\n"
    assert written == [f"a.{suffix}", f"c.{suffix}"]  # and no part
    assert sizes == [(32, 32), (32, 32)]


def test_a_read_only_folder_is_one_line(iqsr: Run) -> None:
    picture("a.png")
    with small_disk("1m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for out in (disk, disk / "new", disk / "o.png"):
            ended = iqsr("upscale", "a.png", "-o", str(out), *FAST)
            place = out if out.suffix else out / "a.png"
            assert ended.code == 1
            assert ended.err == f"iqsr: cannot write '{place}': the folder '{disk}' is read-only\n"


def test_an_output_folder_that_is_a_file_is_one_line(iqsr: Run) -> None:
    picture("a.png")
    Path("taken").write_text("a file")
    ended = iqsr("upscale", "a.png", "-o", "taken", *FAST)
    assert ended.code == 1
    assert ended.err == "iqsr: cannot write 'taken/a.png': 'taken' is a file, not a folder\n"
