"""Processes that make batches ahead: their errors are one line, and they end with the one that learns."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from iqsr.errors import PictureError
from iqsr.recipes import resolved_toml
from iqsr.training.engine.prefetch import prefetched
from iqsr.training.sr.data import Batches
from iqsr.training.sr.recipe import DataRecipe
from iqsr.training.sr.sets import Sets
from support.commands import PATIENCE
from support.process_trees import children, is_alive, wait_for
from support.sets import write_sets
from support.tiny_runs import tiny


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Sets whose pictures are all cut, behind their headers."""
    folder = write_sets(tmp_path / "damaged")
    for path in folder.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:900])
    return folder


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_is_that_of_the_batch(workers: int, damaged: Path) -> None:
    recipe = DataRecipe(source=96, patch=64, workers=workers)
    made = prefetched(Batches(Sets(damaged, recipe), recipe, batch=2, seed=1), 0, 4, workers)
    with pytest.raises(PictureError) as error:
        next(made)
    assert str(error.value).startswith("cannot read '")
    assert "\n" not in str(error.value)


def test_a_run_on_a_damaged_picture_ends_with_one_line(damaged: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(resolved_toml(tiny("ablation/cpu-origins", "steps=3", "data.workers=1", "data.check=false")))
    command = [sys.executable, "-m", "iqsr", "train", recipe, "--data", damaged, "-o", tmp_path / "run"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("iqsr: cannot read '")
    assert "Traceback" not in ended.stderr


def test_processes_that_wait_can_be_ended(sets: Path) -> None:
    """As Python does when the first process ends: it signals them, and waits for them."""
    recipe = DataRecipe(source=96, patch=64, workers=2)
    before = set(multiprocessing.active_children())
    made = prefetched(Batches(Sets(sets, recipe), recipe, batch=2, seed=1), 0, 100, 2)
    next(made)
    workers = set(multiprocessing.active_children()) - before
    assert len(workers) == 2
    for worker in workers:
        worker.terminate()
        worker.join(0.5)
        assert worker.is_alive()
    made.close()
    for worker in workers:
        worker.terminate()
        worker.join(PATIENCE)
        assert not worker.is_alive()


LEARNS_SLOWLY = """
import time, torch
from iqsr.training.engine.prefetch import prefetched
class Batches:
    def __getitem__(self, step):
        return {"lr": torch.zeros(1 << 20)}  # more than a pipe holds
for batch in prefetched(Batches(), 0, 100, 2):
    time.sleep(1)  # now the workers wait for a place for the next ones
    print("ready", flush=True)
    time.sleep(1000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_they_end_within_seconds_of_a_kill_of_the_first_process() -> None:
    """Also while they wait for a place for a batch, which nobody will take."""
    run = subprocess.Popen([sys.executable, "-c", LEARNS_SLOWLY], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    workers = children(run.pid)
    assert len(workers) == 2
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    try:
        wait_for(lambda: not any(map(is_alive, workers)), 20)
    finally:
        for worker in filter(is_alive, workers):
            os.kill(worker, signal.SIGKILL)
