"""Files that appear whole or not at all, and what is told where they cannot."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torchvision.utils import save_image

from iqsr.errors import WeightsError, WriteError
from iqsr.io.atomic import (
    append,
    atomic_open,
    atomic_path,
    disk_of,
    remove_stale_parts,
    write_bytes,
    write_errors,
    write_text,
)
from iqsr.io.tensor_files import serialized
from support.disks import full, read_only, small_disk

LARGE = torch.rand(400, 1000)


def torch_saved(out: Path) -> None:
    with atomic_open(out) as file:
        torch.save({"a": LARGE}, file)


def image_saved(out: Path) -> None:
    with atomic_open(out) as file:
        save_image(LARGE, file, format="png")


def path_written(out: Path) -> None:
    with atomic_path(out) as part:
        part.write_bytes(LARGE.numpy().tobytes())


def tensors_written(out: Path) -> None:
    write_bytes(out, serialized({"a": LARGE}))


def text_written(out: Path) -> None:
    write_text(out, "a line\n" * 100_000)


WRITERS = [torch_saved, image_saved, path_written, tensors_written, text_written]


@pytest.mark.parametrize("write", WRITERS)
def test_a_full_disk_is_one_line_that_names_file_and_disk(write: Callable[[Path], None], tmp_path: Path) -> None:
    with small_disk("1m", tmp_path / "disk") as disk:
        out = disk / "new" / "out"
        write_text(out, "what was there")
        with full(disk, left=100_000), pytest.raises(WriteError) as error:
            write(out)
        assert str(error.value) == (
            f"cannot write '{out}': no space is left on the disk '{disk}' (tmpfs): make room there"
        )
        assert [path.name for path in out.parent.iterdir()] == ["out"]
        assert out.read_text() == "what was there"


def test_a_disk_on_which_no_more_files_fit_is_told(tmp_path: Path) -> None:
    with small_disk("1m,nr_inodes=4", tmp_path / "disk") as disk:
        for name in "abc":
            write_text(disk / name, name)
        with pytest.raises(WriteError, match=r"no file more fits on the disk '.*disk' \(tmpfs\)"):
            write_text(disk / "d", "d")


def test_a_read_only_disk_is_told(tmp_path: Path) -> None:
    with small_disk("1m", tmp_path / "disk") as disk, read_only(disk):
        for out in (disk / "out", disk / "new" / "out"):
            with pytest.raises(WriteError, match=r"out': the disk '.*disk' \(tmpfs\) is read-only: choose another"):
                write_text(out, "")
        with pytest.raises(WriteError, match=r"is read-only"):
            append(disk / "log", b"")


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (errno.EDQUOT, "your quota of the disk '.*' .*is used up: make room there"),
        (errno.EACCES, "the folder '.*' is read-only for you"),
        (errno.EIO, "the disk '.*' .*fails"),
        (errno.EFBIG, "File too large$"),
    ],
)
def test_other_refusals_are_told(number: int, line: str, tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=rf"^cannot write '.*out': .*{line}"), write_errors(tmp_path / "out"):
        raise OSError(number, os.strerror(number))
    with pytest.raises(WeightsError, match=line), write_errors(tmp_path / "out", WeightsError):
        raise OSError(number, os.strerror(number))


def test_a_file_that_grows_beyond_what_its_process_may_write_is_told(tmp_path: Path) -> None:
    """As a limit of the shell (`ulimit -f`) or a file system's largest size does it."""
    resource = pytest.importorskip("resource")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(WriteError, match=r"out': File too large$"):
            torch_saved(tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    write_text(tmp_path / "file", "")
    for out in (tmp_path / "folder", tmp_path / "file" / "out"):
        with pytest.raises(WriteError, match=rf"^cannot write '{out}': "):
            write_text(out, "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def fails_half_way(out: Path, failure: BaseException, *, by_path: bool) -> None:
    if by_path:
        with atomic_path(out) as part:
            part.write_bytes(b"half")
            raise failure
    with atomic_open(out) as file:
        file.write(b"half")
        raise failure


@pytest.mark.parametrize("by_path", [True, False])
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ValueError("no number"), WeightsError("another file")])
def test_what_fails_for_other_reasons_leaves_what_was_there(
    failure: BaseException, by_path: bool, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.write_text("old")
    with pytest.raises(type(failure)):
        fails_half_way(out, failure, by_path=by_path)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert out.read_text() == "old"


def test_a_file_that_cannot_be_read_is_not_blamed_on_the_one_that_is_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"), atomic_path(tmp_path / "out") as part:
        shutil.copyfile(tmp_path / "gone", part)


def test_what_is_appended_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with small_disk("64k", tmp_path / "disk") as disk:
        log = disk / "log"
        append(log, b"a" * 3000)
        with full(disk), pytest.raises(WriteError, match="no space is left"):
            append(log, b"b" * 3000)  # a part of it fits into the file's last block
        assert log.read_bytes() == b"a" * 3000
        append(log, b"c")
        assert log.read_bytes() == b"a" * 3000 + b"c"


HALF = """
import sys, time
from pathlib import Path
from iqsr.io.atomic import atomic_open
with atomic_open(Path(sys.argv[1])) as file:
    file.write(b"half")
    print("now", flush=True)
    time.sleep(600)
"""


def test_parts_of_killed_processes_are_removed_and_those_of_others_stay(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HALF, str(tmp_path / "out")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    parts = {process.pid: next(tmp_path.glob(f".out.{process.pid}-*")) for process in processes}
    killed, alive = processes
    killed.kill()
    killed.communicate()
    assert remove_stale_parts(tmp_path) == [parts[killed.pid]]
    assert list(tmp_path.iterdir()) == [parts[alive.pid]]
    alive.kill()
    alive.communicate()


def test_the_disk_of_a_path_is_the_innermost(tmp_path: Path) -> None:
    with small_disk("1m", tmp_path / "a disk") as disk:
        assert disk_of(disk / "not" / "there") == f"'{disk}' (tmpfs)"
    assert disk_of(tmp_path / "a disk" / "x") != f"'{disk}' (tmpfs)"


SAVED = """
import sys, torch
from iqsr.io.tensor_files import serialized
facts = {f"fact {number}": "\\u00e4" * number for number in range(20)}
sys.stdout.buffer.write(serialized({"b": torch.arange(3.0), "a": torch.ones(2, dtype=torch.float16)}, facts))
"""


def test_equal_tensors_and_facts_are_equal_files_in_every_process(tmp_path: Path) -> None:
    first, second = (subprocess.run([sys.executable, "-c", SAVED], capture_output=True, check=True) for _ in range(2))
    assert first.stdout == second.stdout
    path = tmp_path / "a.safetensors"
    write_bytes(path, first.stdout)
    with safe_open(path, "pt") as file:
        assert file.metadata() == {f"fact {number}": "ä" * number for number in range(20)}
        assert torch.equal(file.get_tensor("b"), torch.arange(3.0))
        assert torch.equal(file.get_tensor("a"), torch.ones(2, dtype=torch.float16))
    length = int.from_bytes(first.stdout[:8], "little")
    assert length % 8 == 0
    assert "__metadata__" in json.loads(first.stdout[8 : 8 + length])
