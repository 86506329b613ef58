"""The sbatch file for trainings starts one launcher on each node, and goes on with a run that is there."""

import os
import subprocess
from pathlib import Path

import pytest

from support.commands import PATIENCE
from support.docs import ROOT

FILE = ROOT / "docs" / "guides" / "train.sbatch"
SLURM = {"SLURM_JOB_NODELIST": "node-[1-2]", "SLURM_NNODES": "2", "SLURM_JOB_ID": "77"}


@pytest.mark.parametrize("exists", [False, True])
def test_the_launcher_of_each_node_is_started_alike(exists: bool, tmp_path: Path) -> None:
    programs = {"scontrol": "printf 'node-1\\nnode-2\\n'", "srun": 'printf "%s\\n" "$@"'}
    for name, line in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    run = tmp_path / "runs" / "amo"
    run.mkdir(parents=True)
    if exists:
        (run / "run.json").write_text("{}")
    script = FILE.read_text().replace("/shared/", f"{tmp_path}/")
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    ended = subprocess.run(
        ["bash", "-c", script], env=os.environ | SLURM | path, timeout=PATIENCE, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    arguments = ended.stdout.splitlines()
    assert arguments[1:12] == [
        "torchrun", "--nnodes", "2", "--nproc_per_node", "4", "--rdzv-backend", "c10d", "--rdzv-endpoint",
        "node-1:29500", "--rdzv-id", "77",
    ]  # fmt: skip
    assert arguments[12:15] == ["-m", "iqsr", "train"]
    assert ("--resume" in arguments) == exists
    assert "" not in arguments


def test_what_slurm_reads_stands_before_the_first_command() -> None:
    lines = FILE.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    first = next(k for k, line in enumerate(lines) if line and not line.startswith("#"))
    assert max(k for k, line in enumerate(lines) if line.startswith("#SBATCH")) < first
