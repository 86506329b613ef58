"""`iqsr agree`: what it prints and writes, exit codes, what survives an interrupt."""

import csv
import json
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from iqsr.agreement import Rate
from iqsr.cli.agree import HELP
from iqsr.scoring import metric_fingerprint
from support.agreement_samples import save_noise
from support.commands import PATIENCE, Ended, Run


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def agree(iqsr: Run) -> Run:
    return partial(iqsr, "agree")


@pytest.fixture
def pairs() -> Path:
    """People agree with laplacian on two of three pairs, and are evenly split over a fourth."""
    for i in range(4):
        save_noise(f"{i}.png", 5 + 10 * i)
    path = Path("pairs.csv")
    path.write_text("first,second,share_first\n0.png,1.png,0.1\n2.png,1.png,0.8\n3.png,0.png,0.3\n1.png,3.png,0.5\n")
    return path


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open() as file:
        return list(csv.DictReader(file))


def test_it_prints_and_writes_the_figures(agree: Run, pairs: Path) -> None:
    ended = agree(str(pairs), "--metrics", "laplacian, piqe", "-o", "out")
    assert ended.code == 0
    assert "4 pairs, 3 with a majority of people, 1 evenly split" in ended.out
    (line,) = [line for line in ended.out.splitlines() if line.startswith("| laplacian  |") or "66.67" in line][:1]
    assert "66.67" in line
    names = ["accuracy.csv", "agreement.json", "agreement.md", "complementarity.csv", "complementarity.png"]
    assert sorted(path.name for path in Path("out").iterdir()) == names
    assert sorted(ended.err.split("wrote ")[1:]) == [f"out/{name}\n" for name in names]
    assert Path("out/agreement.md").read_text() == ended.out
    by_metric = {row["metric"]: row for row in rows("out/accuracy.csv")}
    low, high = Rate(3, 2).interval
    assert by_metric["laplacian"] == {
        "metric": "laplacian",
        "n": "3",
        "hits": "2",
        "ties": "0",
        "share": str(2 / 3),
        "low": str(low),
        "high": str(high),
    }
    assert {(row["wrong"], row["asked"]) for row in rows("out/complementarity.csv")} == {
        ("laplacian", "piqe"),
        ("piqe", "laplacian"),
    }
    assert Image.open("out/complementarity.png").format == "PNG"


def test_json_says_what_made_the_figures(agree: Run, pairs: Path) -> None:
    ended = agree(str(pairs), "--metrics", "laplacian", "--json", "-o", "out")
    assert ended.code == 0
    said = json.loads(ended.out)
    assert said == json.loads(Path("out/agreement.json").read_text())
    assert said["accuracy"][0]["hits"] == 2
    assert said["origin"]["metrics"] == {"laplacian": metric_fingerprint("laplacian")}
    assert len(said["origin"]["sha256"]) == 64
    assert not Path("out/complementarity.png").exists()  # of one metric there is no matrix


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("pairs.csv", "--cache", "c.sqlite", "--no-cache"), "--cache and --no-cache exclude each other"),
        (("pairs.csv", "--precision", "fp16"), "unknown precision 'fp16'"),
        ((), "Missing argument 'PAIRS'"),
        (("nowhere.csv", "-m", "laplacian"), "cannot read 'nowhere.csv'"),
        (("pairs.csv", "-m", "laplacain"), "unknown metric 'laplacain'; known: laplacian"),
        (("pairs.csv", "-m", "psnr"), "(psnr), the pairs need a column 'reference'"),
        (("pairs.csv", "-m", " , "), "no metric was named"),
        (("pairs.csv", "-m", "laplacian", "--device", "tpu"), "unknown device 'tpu'"),
        (("wrong.csv", "-m", "laplacian"), "first is not a file: line 2 ('x.png')"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(agree: Run, pairs: Path, arguments: tuple[str, ...], says: str) -> None:
    Path("wrong.csv").write_text("first,second,share_first\nx.png,0.png,1\n")
    ended = agree(*arguments)
    assert ended.code == 2
    assert says in ended.err
    assert ended.err.startswith("iqsr: ")
    assert ended.err.count("\n") == 1
    assert ended.out == ""


def test_an_output_folder_that_is_a_file_is_told_before_anything_is_scored(agree: Run, pairs: Path) -> None:
    ended = agree("pairs.csv", "-m", "laplacian", "-o", "pairs.csv")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "iqsr: cannot write 'pairs.csv/accuracy.csv': 'pairs.csv' is a file, not a folder\n"
    assert not Path("cache/scores.sqlite").exists()


def test_without_a_cache_nothing_is_remembered_and_the_precision_is_told(agree: Run, pairs: Path) -> None:
    given = (str(pairs), "-m", "laplacian", "--json")
    ended = agree(*given, "--no-cache", "--precision", "bf16")
    assert ended.code == 0, ended.err
    assert not Path("cache").exists()
    said = json.loads(ended.out)
    assert said["origin"]["precision"] == "bf16"
    assert said["origin"]["metrics"] == {"laplacian": metric_fingerprint("laplacian", precision="bf16")}
    assert said["accuracy"] == json.loads(agree(*given).out)["accuracy"]


def test_a_picture_without_a_score_fails_the_work(agree: Run, pairs: Path) -> None:
    Path("3.png").write_bytes(b"not a picture")
    ended = agree(str(pairs), "-m", "laplacian", "-o", "out")
    assert ended.code == 1
    assert "a picture has no score" in ended.err
    assert "3.png" in ended.err
    assert ended.err.count("\n") == 1
    assert not Path("out").exists()


def test_a_matrix_too_wide_for_a_terminal_is_left_to_the_files(agree: Run, pairs: Path) -> None:
    refer_to_original(pairs)
    eight = "laplacian,psnr,psnr-y,ssim,ssim-y,stlpips,stlpips-vgg,piqe"
    printed = agree("pairs.csv", "-m", eight)
    assert printed.code == 0
    assert "the row's metric gets wrong" in printed.out
    for i in range(4):
        save_noise(f"{i}.png", 5 + 10 * i, 176)
    save_noise("original.png", 20.5, 176)
    wide = agree("pairs.csv", "-m", f"{eight},ms_ssim")
    assert "the row's metric gets wrong" not in wide.out
    assert "too wide for here: see -o DIR" in wide.out
    wide = agree("pairs.csv", "-m", f"{eight},ms_ssim", "-o", "out")
    assert "the row's metric gets wrong" in Path("out/agreement.md").read_text()
    assert "agreement.md" in wide.err


def refer_to_original(pairs: Path) -> None:
    """Give every pair an original that is none of its pictures: PSNR of equal pictures is infinite, no score."""
    save_noise("original.png", 20.5)
    lines = pairs.read_text().splitlines()
    pairs.write_text("\n".join([f"{lines[0]},reference", *(f"{line},original.png" for line in lines[1:])]) + "\n")


def test_the_examples_of_the_help_run(agree: Run, pairs: Path) -> None:
    examples = [shlex.split(line)[2:] for line in HELP.splitlines() if line.startswith("  iqsr agree")]
    assert len(examples) == 2
    refer_to_original(pairs)
    for example in examples:
        ended = agree(*example)
        assert ended.code == 0, ended.err


def test_an_interrupt_loses_nothing(agree: Run) -> None:
    """The first run ends early; the second measures what is left and gives what one run would have given."""
    names = [f"n{i}.png" for i in range(20)]
    for i, name in enumerate(names):  # pairs of different sizes: no two in one batch
        save_noise(name, 5 + i, 200 + 2 * i)
        save_noise(f"other-{name}", 6 + i, 200 + 2 * i)
        save_noise(f"original-{name}", 4, 200 + 2 * i)
    lines = [f"{name},other-{name},1,original-{name}" for name in names]
    Path("long.csv").write_text("\n".join(["first,second,share_first,reference", *lines]) + "\n")
    arguments = ("long.csv", "-m", "ms_ssim,ssim", "--device", "cpu", "--json")
    interrupted = interrupt(*arguments)
    remembered = scores()
    assert interrupted.code == 130
    assert interrupted.err == "iqsr: stopped; the same command goes on from here\n"
    assert interrupted.out == ""
    assert 0 < remembered < 80
    ended = agree(*arguments)
    assert ended.code == 0
    afresh = agree(*arguments, "--cache", "other")
    assert afresh.code == 0, afresh.err
    assert json.loads(ended.out)["accuracy"] == json.loads(afresh.out)["accuracy"]
    assert scores() == 80


def interrupt(*arguments: str) -> Ended:
    """The command, asked to end as soon as it has remembered a score."""
    command = [sys.executable, "-m", "iqsr", "agree", *arguments]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while not scores() and running.poll() is None:
            time.sleep(0.02)
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=PATIENCE)
    finally:
        running.kill()
    return Ended(running.returncode, out, err)


def scores() -> int:
    """How many are remembered, by a look that waits for nobody and locks nothing for long."""
    try:
        with closing(sqlite3.connect("file:cache/scores.sqlite?mode=ro", uri=True, timeout=0.1)) as connection:
            return connection.execute("SELECT COUNT(*) FROM scores").fetchone()[0]
    except sqlite3.OperationalError:  # not there yet, or being written
        return 0
