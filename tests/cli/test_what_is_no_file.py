"""A pipe, a device or a folder in the place of any file that a command made: it ends, without a traceback."""

import os
import resource
import shutil
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iqsr.recipes import resolved_toml
from iqsr.study.plan import Plan
from support.cli_pictures import picture
from support.commands import Run
from support.evaluation_samples import pairs
from support.hanging import HANGS, no_hanging
from support.study_samples import small_study
from support.tiny_runs import quick

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]
MADE = Path("made")
_MOST_BYTES = 4 << 30
CHEAP = ("-m", "laplacian", "--no-cache")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path / "cache"))


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@contextmanager
def _little_memory() -> Generator[None]:
    """MemoryError where a device is read to its end, which never comes."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + _MOST_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _fault(iqsr: Run, command: tuple[str, ...]) -> str | None:
    """What a command that ends with a code of its own does not do."""
    try:
        with no_hanging(), _little_memory():
            ended = iqsr(*command)
    except Exception as error:  # noqa: BLE001 - anything that would be a traceback
        return f"{type(error).__name__}: {error}"
    return None if ended.code in (0, 1, 2) and HANGS not in ended.err else ended.err


def check(iqsr: Run, *commands: tuple[str, ...]) -> None:
    """Put each kind of what is no file in the place of each file of MADE, and run the commands."""
    shutil.copytree(MADE, "whole")
    makers: dict[str, Callable[[Path], object]] = {"pipe": os.mkfifo, "device": _device, "folder": Path.mkdir}
    wrong = list[str]()
    for file in sorted(path.relative_to(MADE) for path in MADE.rglob("*") if path.is_file()):
        for kind, make in makers.items():
            for command in commands:
                shutil.rmtree(MADE)
                shutil.copytree("whole", MADE)
                (MADE / file).unlink()
                make(MADE / file)
                if fault := _fault(iqsr, command):
                    wrong.append(f"{command[0]}, {file} as a {kind}: {fault}")
    assert not wrong, "\n".join(wrong)


def test_files_of_an_evaluation(iqsr: Run) -> None:
    pairs(Path("set"), ("a",))
    evaluate = ("evaluate", "--data", "set", "--models", "bicubic", "-m", "psnr", "--device", "cpu", "--no-cache")
    assert iqsr(*evaluate, "-o", str(MADE)).code == 0
    check(iqsr, (*evaluate, "-o", str(MADE)))


def test_files_of_a_run(iqsr: Run, sets: Path) -> None:
    Path("recipe.toml").write_text(resolved_toml(quick("steps=2")))
    train = ("train", "recipe.toml", "--data", str(sets), "-o", str(MADE))
    assert iqsr(*train).code == 0
    check(iqsr, (*train, "--resume"), ("compare", str(MADE), str(MADE)))


@pytest.mark.parametrize("command", ["score", "evaluate"])
def test_files_of_a_shard(iqsr: Run, command: str) -> None:
    pairs(Path("set"), ("a",))
    picture("in/a.png")
    work = {
        "score": ("score", "in", *CHEAP, "-o", "all.csv"),
        "evaluate": ("evaluate", "--data", "set", "--models", "bicubic", "-m", "psnr", "--no-cache", "-o", "all"),
    }[command]
    shard = (*work, "--shard", "1/1")
    assert iqsr(*shard).code == 0
    next(Path().glob("all*.shards")).rename(MADE)
    merge = ("merge-shards", str(MADE), "-o", work[-1], *(("--overwrite",) if command == "score" else ()))
    check(iqsr, merge)


def test_files_of_a_study(iqsr: Run) -> None:
    small_study(Path(), Plan(raters=1, trials=1), scenes=1).rename(MADE)
    Path("sheet.csv").write_text("rater,trial,chosen\n")
    (MADE / "votes.csv").write_text("")
    check(iqsr, ("study", "sheets", str(MADE), "-o", "sheets"), ("study", "analyze", str(MADE)))
