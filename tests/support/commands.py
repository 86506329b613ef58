"""What a command printed and how it ended; the fixture `iqsr` in conftest.py runs one."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

PATIENCE = 300
"""Seconds after which a process hangs: far more than any takes, for the machine may be busy with other things."""


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Run = Callable[..., Ended]

COMMAND = shlex.join([sys.executable, "-m", "iqsr"])
"""The command as a shell takes it."""


def shell(line: str, **environment: str) -> Ended:
    """The line in a shell, where `set -o pipefail` tells of every part of a pipe."""
    command = ["bash", "-c", f"set -o pipefail; {line}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=os.environ | environment)
    return Ended(ended.returncode, ended.stdout, ended.stderr)
