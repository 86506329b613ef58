"""What a command printed and how it ended; the fixture `iqsr` in conftest.py runs one."""

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
