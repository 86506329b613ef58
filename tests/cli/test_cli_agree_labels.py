"""`iqsr agree-labels`: what it prints and writes, exit codes."""

import csv
import json
import shlex
from pathlib import Path

import pytest

from iqsr.cli.agree_labels import HELP
from support.agreement_samples import save_noise
from support.commands import Run
from support.hggt_samples import N, P, S, add_set


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path / "cache"))


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open() as file:
        return list(csv.DictReader(file))


def test_misalignment_of_labelled_sets(iqsr: Run) -> None:
    add_set(Path("Train"), "1-0-0", ((P, S, S, N),) * 3)
    add_set(Path("Train"), "2-0-0", ((S, S, S, S),) * 3)
    images = "Train/images/0-20193"
    for i, name in enumerate(("original/1-0-0", "01/1-0-0_01", "02/1-0-0_02", "03/1-0-0_03", "04/1-0-0_04")):
        save_noise(f"{images}/{name}.png", 5 + 5 * i)  # the positive second to last, the negative first
    ended = iqsr("agree-labels", "Train", "--metrics", "laplacian", "-o", "out")
    assert ended.code == 0
    assert "2 sets: 1 (50.00 %) with a positive, 1 (50.00 %) with a negative" in ended.out
    assert Path("out/misalignment.md").read_text() == ended.out
    shares = {row["figure"]: float(row["share"]) for row in rows("out/misalignment.csv")}
    # One set of two has a negative, and it is ranked highest: half of all draws.
    assert shares == {"positive": 1, "negative": 1, "negative_highest": 1, "negative_drawn": 0.5}
    said = json.loads(iqsr("agree-labels", "Train", "--metrics", "laplacian", "--json").out)
    assert said == json.loads(Path("out/misalignment.json").read_text())
    assert said["with_negative"]["share"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing argument 'SETS'"),
        (("nowhere", "-m", "laplacian"), "no such folder: 'nowhere'"),
        (("Train", "--cache", "c.sqlite", "--no-cache"), "--cache and --no-cache exclude each other"),
        (("Train", "--precision", "fp16"), "unknown precision 'fp16'"),
        (("Train", "-m", "psnr"), "the original is among the judged here: leave out what compares with it (psnr)"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(iqsr: Run, arguments: tuple[str, ...], message: str) -> None:
    ended = iqsr("agree-labels", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"iqsr: {message}")
    assert ended.err.count("\n") == 1


def test_the_examples_of_the_help_run(iqsr: Run) -> None:
    examples = [shlex.split(line)[1:] for line in HELP.splitlines() if line.startswith("  iqsr agree-labels")]
    assert len(examples) == 2
    for folder in ("HGGT/Train", "HGGT/Test-100"):
        add_set(Path(folder), "1-0-0", ((P, S, S, N),) * 3)
        for file in Path(folder, "images/0-20193").rglob("*.png"):
            save_noise(str(file), 9, 96)
    for example in examples:
        ended = iqsr(*example)
        assert ended.code == 0, ended.err
