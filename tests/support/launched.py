"""Trainings in several processes, which `torchrun` starts; it chooses a free port itself."""

import os
import subprocess
import sys
import time
from pathlib import Path

from iqsr.recipes import resolved_toml
from iqsr.training.sr.recipe import TrainRecipe
from support.commands import PATIENCE, Ended

LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node")


class Launched:
    """A training in `processes` processes that runs; `wait` for its end."""

    def __init__(
        self, processes: int, recipe: TrainRecipe, data: Path, run: Path, *more: str | Path, **environment: str
    ) -> None:
        self.run = run
        settings = run.parent / f"{run.name}.toml"
        settings.write_text(resolved_toml(recipe))
        command = [*LAUNCH, str(processes), "-m", "iqsr", "train", settings, "--data", data, "-o", run, *more]
        with (run.parent / f"{run.name}.out").open("w") as out, (run.parent / f"{run.name}.err").open("w") as err:
            self._process = subprocess.Popen(
                command, stdout=out, stderr=err, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment
            )

    def wait(self) -> Ended:
        """How it ended, and what all processes and the launcher said."""
        try:
            code = self._process.wait(PATIENCE)
        finally:
            self._process.kill()
        out, err = ((self.run.parent / f"{self.run.name}.{kind}").read_text() for kind in ("out", "err"))
        return Ended(code, out, err)

    def wait_for_step(self, step: int) -> None:
        """Until the log has a line of this step."""
        log, until = self.run / "log.jsonl", time.monotonic() + PATIENCE
        while not log.exists() or f'"step": {step},' not in log.read_text():
            assert self._process.poll() is None, "it ended before"
            assert time.monotonic() < until
            time.sleep(0.01)

    def pid_of(self, rank: int) -> int:
        """The process with this number."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self._process.pid and f"RANK={rank}".encode() in (folder / "environ").read_bytes().split(
                    b"\0"
                ):
                    return int(folder.name)
            except OSError:  # ended meanwhile
                continue
        raise AssertionError(f"no process {rank}")
