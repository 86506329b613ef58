"""How soon commands start: what they import, and the CPU time that takes."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from support.cli_pictures import FAST, IQSR, picture


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def cpu_seconds(*commands: tuple[str, ...], rounds: int = 5) -> list[float]:
    """What each command costs: the least of some rounds, the commands in turn.

    Not by the clock, which counts what others do on the machine; and only the ratio of two commands means something,
    since machines differ.
    """

    def once(command: tuple[str, ...]) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return [min(costs) for costs in zip(*([once(command) for command in commands] for _ in range(rounds)), strict=True)]


def test_import_and_help_are_fast() -> None:
    printer = (sys.executable, "-c", "import typer.rich_utils")  # what prints the help
    package, help_page, least = cpu_seconds((sys.executable, "-c", "import iqsr"), (*IQSR, "--help"), printer)
    assert package < least / 2
    assert help_page < 3 * least


def imported(*command: str) -> set[str]:
    ended = subprocess.run([sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True)
    return {line.rsplit("|", 1)[1].strip() for line in ended.stderr.splitlines() if line.startswith("import time")}


@pytest.mark.parametrize(
    "command",
    [["-c", "import iqsr"], ["-m", "iqsr", "--help"], ["-m", "iqsr", "upscale", "--help"], ["-m", "iqsr", "weights"]],
    ids=" ".join,
)
def test_what_computes_nothing_imports_nothing_heavy(command: list[str]) -> None:
    modules = imported(*command)
    assert "iqsr" in modules
    assert not modules & {"torch", "numpy", "pyvips", "spandrel", "torchvision"}


def test_a_batch_with_nothing_left_to_do_imports_no_torch() -> None:
    picture("in/a.png")
    picture("o/a.png")
    command = ["-m", "iqsr", "upscale", "in", "-o", "o"]
    assert "torch" not in imported(*command, "--skip-existing")
    assert "torch" in imported(*command, "--overwrite", *FAST)


HEAVY = {
    *{
        "spandrel",
        "torchvision",
        "timm",
        "torchmetrics",
        "pandas",
        "pyarrow",
        "scipy",
        "matplotlib",
        "accelerate",
        "peft",
    },
    *{"onnx", "onnxruntime", "openvino", "pyiqa", "sympy", "triton", "PIL", "torch._dynamo", "torch._inductor"},
}
"""Packages that take long to import, and that neither plain networks nor plain metrics need."""
UPSCALE = ["upscale", "a.png", "-o", "o.png", "--overwrite", "--threads", "1"]
SCORE = ["score", "a.png", "--no-cache"]


@pytest.mark.parametrize(
    "command",
    [
        [*UPSCALE, "-m", "realesr-animevideov3"],
        [*UPSCALE, "-m", "realesr-animevideov3-x3"],
        [*UPSCALE, "-m", "realesrgan-x4plus-anime"],
        [*SCORE, "-m", "laplacian,srq,srq-holdout"],
        [*SCORE, "-m", "psnr,ssim,stlpips", "-r", "a.png", "--json"],
    ],
    ids=" ".join,
)
def test_plain_work_imports_little_beside_torch(command: list[str]) -> None:
    picture("a.png", (64, 64))
    modules = imported("-m", "iqsr", *command)
    assert "torch" in modules
    assert not modules & HEAVY


@pytest.mark.parametrize("command", [[*UPSCALE, "-m", "realesr-animevideov3"], [*SCORE, "-m", "srq"]], ids=" ".join)
@pytest.mark.slow
def test_a_small_picture_takes_little_more_than_importing_torch(command: list[str]) -> None:
    """A second more, or 60 % more on machines that need over 1.7 seconds for torch: those are slow at the rest too.

    In the best of five rounds, in each of which both run in turn: a machine's speed changes with what else it does.
    """
    picture("a.png", (64, 64))

    def is_quick() -> bool:
        torch_alone, whole = cpu_seconds((sys.executable, "-c", "import torch"), (*IQSR, *command), rounds=1)
        return whole < torch_alone + max(1, 0.6 * torch_alone)

    assert any(is_quick() for _ in range(5))
