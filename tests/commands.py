"""What a command printed and how it ended; the fixture `iqsr` in conftest.py runs one."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Run = Callable[..., Ended]
