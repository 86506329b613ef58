"""Memory that is freed stays with the process, for what comes next."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from iqsr import memory
from iqsr.cli.train import command
from iqsr.errors import IqsrError
from iqsr.memory import keep_freed_memory
from support.counting import calls

HELD = """
import sys
from iqsr.memory import keep_freed_memory
def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
assert sys.argv[1] == "default" or keep_freed_memory()
before = held()
pieces = [bytearray(b"1") * (20 << 20) for _ in range(10)]
del pieces
print((held() - before) >> 20)
"""


def held(setting: str) -> int:
    """MB that a process still has after it freed ten pieces of 20 MB."""
    done = subprocess.run([sys.executable, "-c", HELD, setting], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_freed_memory_is_kept() -> None:
    """With another C library than glibc nothing is set, and that is said."""
    if platform.libc_ver()[0] != "glibc":
        assert not keep_freed_memory()
        return
    assert held("default") < 50 < 190 < held("kept")


def test_the_command_keeps_it_before_it_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = calls(monkeypatch, memory, "keep_freed_memory")
    recipe = "ablation/cpu-first"
    with pytest.raises(IqsrError, match="nowhere"):
        command(recipe, [tmp_path / "nowhere"], tmp_path / "run")
    assert len(kept) == 1
