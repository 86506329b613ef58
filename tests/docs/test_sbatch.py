"""The sbatch file of the docs does a task of an array, and tasks join to one result."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.cli_pictures import picture
from support.commands import PATIENCE
from support.docs import ROOT

FILE = ROOT / "docs" / "guides" / "iqsr.sbatch"


def test_each_task_of_the_array_does_its_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    picture("in/0.png")
    program = tmp_path / "bin" / "iqsr"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m iqsr "$@"\n')
    program.chmod(0o755)
    for task in ("1", "2"):
        slurm = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "2"}
        path = {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "IQSR_CACHE": str(tmp_path / "cache")}
        arguments = ("score", "in", "-m", "laplacian", "-o", "t.csv", "--device", "cpu")
        command = ["bash", str(FILE), *arguments]
        ended = subprocess.run(command, env=os.environ | slurm | path, timeout=PATIENCE, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
    assert {folder.name for folder in Path("t.csv.shards").iterdir()} == {"1-of-2", "2-of-2"}


def test_what_slurm_reads_stands_before_the_first_command() -> None:
    lines = FILE.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    first = next(k for k, line in enumerate(lines) if line and not line.startswith("#"))
    options = [k for k, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert max(options) < first
