"""One process at a time in a folder, whatever became of the one before."""

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from iqsr.errors import IqsrError
from iqsr.io.locks import LOCK_FILE, FolderLock, locked
from support.disks import full, small_disk

HOLDER = """
import os, sys, time
from pathlib import Path
from iqsr.io.locks import FolderLock
lock = FolderLock(Path(sys.argv[1]), "the work")
if "fork" in sys.argv:
    read, write = os.pipe()
    if not os.fork():
        os.write(write, b"here")
        time.sleep(600)  # as a process that makes batches, which outlives its parent for a while
    os.read(read, 4)
print("held", flush=True)
sys.stdin.read()
"""


def holder(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """A process that works in the folder."""
    command = [sys.executable, "-c", HOLDER, str(folder), *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_second_process_is_told_who_is_at_work_and_where(tmp_path: Path) -> None:
    process = holder(tmp_path)
    said = (
        rf"^`the work` \(process {process.pid} on {socket.gethostname()}, since .*\) is at work in '{tmp_path}': wait"
    )
    for _ in range(2):  # being refused takes nothing from the one that is there
        with pytest.raises(IqsrError, match=said):
            FolderLock(tmp_path, "more work")
    process.communicate()
    with locked(tmp_path, "more work"):
        assert json.loads((tmp_path / LOCK_FILE).read_text())["pid"] == os.getpid()
    assert (tmp_path / LOCK_FILE).read_bytes() == b""


@pytest.mark.parametrize("options", [(), ("fork",)])
def test_a_killed_process_leaves_no_block(options: tuple[str, ...], tmp_path: Path) -> None:
    process = holder(tmp_path, *options)
    process.kill()
    process.wait()
    with locked(tmp_path, "more work"):
        pass
    if options:
        os.killpg(process.pid, 9)


def test_a_process_refuses_itself_until_it_lets_go(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "new", "the work")
    with pytest.raises(IqsrError, match=r"^this process itself \(since .*\) is at work in '.*new'"):
        FolderLock(tmp_path / "new", "the work")
    lock.release()
    lock.release()
    FolderLock(tmp_path / "new", "the work")  # nobody holds this one
    with locked(tmp_path / "new", "the work"):
        pass


def test_what_an_error_ends_is_let_go(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="work"), locked(tmp_path, "the work"):
        raise ValueError("work")
    with locked(tmp_path, "the work"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="flock(2)")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_told(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import fcntl

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path, "the work"):
        assert f"the disk of '{tmp_path}' has no locks: see that nobody else works in that folder" in caplog.text


def test_a_full_disk_is_locked_all_the_same(tmp_path: Path) -> None:
    with (
        small_disk("1m", tmp_path / "disk") as disk,
        full(disk),
        locked(disk, "the work"),
        pytest.raises(IqsrError, match="is at work in"),
    ):
        FolderLock(disk, "more work")
