"""Memory that is freed stays for what comes next; counted by the pages that the system has to hand out."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from iqsr.memory import keep_freed_memory
assert sys.argv[1] == "default" or keep_freed_memory()
def work():
    kept = [torch.ones(6_000_000) for _ in range(6)]  # 24 MB each
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    work()
before = faults()
for _ in range(4):
    work()
print(faults() - before)
"""


def faults(setting: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, setting], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_memory_is_used_again() -> None:
    assert faults("kept") < 500 < 10_000 < faults("default")
