"""What `iqsr upscale` says: dry runs, JSON, errors and warnings, progress."""

import json
import os
import re
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.cli_pictures import ESCAPE, FAST, IQSR, everything, picture
from support.commands import Run


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def test_a_dry_run_tells_all_and_writes_nothing(iqsr: Run) -> None:
    picture("in/a.png")
    Path("in/b.png").write_text("no picture")
    before = everything()
    ended = iqsr("upscale", "in", "-o", "o", "--scale", "2", "--dry-run", "--precision", "fp32", *FAST)
    assert ended.code == 1  # as the run itself would end
    assert ended.out == "in/a.png (32 x 24) -> o/a.png (64 x 48) [exact streaming, fp32, cpu]\n"
    assert ended.err.startswith("iqsr: cannot read 'in/b.png': it is a text file")
    assert everything() == before
    assert not Path("o").exists()


def test_a_dry_run_as_json_tells_what_will_be_skipped(iqsr: Run) -> None:
    picture("in/a.png")
    picture("in/b.png")
    picture("o/b.png")
    ended = iqsr("upscale", "in", "-o", "o", "--dry-run", "--json", "--skip-existing", *FAST)
    states = {facts["source"]: facts["state"] for facts in map(json.loads, ended.out.splitlines())}
    assert states == {"in/a.png": "planned", "in/b.png": "skipped"}
    assert (ended.code, ended.err) == (0, "")


def test_a_dry_run_skips_what_the_run_skips_and_opens_none_of_it(iqsr: Run) -> None:
    picture("in/a.png")
    Path("in/b.png").write_text("no picture")
    picture("o/a.png")
    picture("o/b.png")
    command = ("upscale", "in", "-o", "o", "--skip-existing", *FAST)
    ended = iqsr(*command, "--dry-run")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "in/a.png -> o/a.png [skipped]\nin/b.png -> o/b.png [skipped]\n"
    assert iqsr(*command, "--dry-run", "--json").out == iqsr(*command, "--json").out


def test_json_lines_hold_the_facts(iqsr: Run) -> None:
    picture("in/a.png")
    Path("in/b.png").write_bytes(b"")
    picture("in/c.png")
    picture("o/c.png")
    command = ("upscale", "in", "-o", "o", "--json", "--skip-existing", "--precision", "fp32", *FAST)
    ended = iqsr(*command)
    assert (ended.code, ended.err) == (1, "")
    a, b, c = map(json.loads, ended.out.splitlines())
    assert 0 < a.pop("seconds") < 60
    assert a == {
        "source": "in/a.png",
        "output": "o/a.png",
        "state": "done",
        "size_in": [32, 24],
        "size": [128, 96],
        "how": "exact streaming, fp32, cpu",
    }
    assert b == {
        "source": "in/b.png",
        "output": "o/b.png",
        "state": "failed",
        "error": "cannot read 'in/b.png': the file is empty (0 bytes)",
    }
    assert c == {"source": "in/c.png", "output": "o/c.png", "state": "skipped"}


def test_a_bad_picture_is_one_line_and_the_rest_goes_on(iqsr: Run) -> None:
    picture("in/a.png")
    Path("in/b.png").write_text("no picture")
    picture("in/c.png")
    ended = iqsr("upscale", "in", "-o", "o", *FAST)
    assert ended.code == 1
    failure, counts = ended.err.splitlines()
    assert failure.startswith("iqsr: cannot read 'in/b.png': it is a text file")
    assert counts == "2 upscaled, 1 failed"
    assert sorted(everything("o")) == ["o/a.png", "o/c.png"]


@pytest.mark.usefixtures("locked_folder")
def test_a_warning_is_a_line_like_an_error(iqsr: Run) -> None:
    picture("in/a.png")
    for _ in range(2):  # and once a command
        ended = iqsr("upscale", "in", "-o", "o", "--dry-run", *FAST)
        assert ended.err == "iqsr: left out 'in/locked\\n': Permission denied\n"


@pytest.mark.usefixtures("locked_folder")
def test_a_folder_that_cannot_be_searched_is_work_that_failed(iqsr: Run) -> None:
    picture("in/a.png")
    for more in (["--dry-run"], []):
        ended = iqsr("upscale", "in", "-o", "o", "--json", *FAST, *more)
        folder, done = map(json.loads, ended.out.splitlines())
        assert ended.code == 1
        assert folder == {
            "source": "in/locked\n",
            "output": None,
            "state": "failed",
            "error": "cannot read 'in/locked\n': Permission denied",
        }
        assert done["state"] in ("planned", "done")
    assert sorted(everything("o")) == ["o/a.png"]


def test_pictures_passed_over_are_a_line_and_no_failure(iqsr: Run) -> None:
    picture("in/a.png")
    picture("in/b.tga")
    picture("in/c.ico")
    Path("in/notes.txt").touch()
    ended = iqsr("upscale", "in", "-o", "o", "--dry-run", *FAST)
    assert (ended.code, ended.err) == (0, "iqsr: 2 files passed over: .ico, .tga are not read\n")


def test_no_file_name_breaks_a_line(iqsr: Run) -> None:
    odd = os.fsdecode(b"in/a\xff\n\x1b[31m:smile:[bold].png")
    Path("in").mkdir()
    Path(odd).write_text("no picture")
    for more in ([], ["--dry-run"]):
        ended = iqsr("upscale", "in", "-o", "o", *FAST, *more)
        assert ended.code == 1
        assert r"'in/a\udcff\n\x1b[31m:smile:[bold].png'" in ended.err.splitlines()[0]
        assert ESCAPE not in ended.err
    ended = iqsr("upscale", "in", "-o", "o", *FAST, "--json")
    assert json.loads(ended.out)["source"] == odd


@contextmanager
def on_a_terminal(*arguments: str) -> Generator[tuple[subprocess.Popen[bytes], Iterator[str]]]:
    """The command with a pseudo-terminal for its standard error: the process, and what comes as it comes."""
    import pty

    mine, its = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen([*IQSR, *arguments], stderr=its, stdout=subprocess.PIPE, env=environment)
    os.close(its)

    def pieces() -> Iterator[str]:
        while True:
            try:
                piece = os.read(mine, 1 << 16)
            except OSError:  # how Linux says that the other side is closed
                return
            if not piece:
                return
            yield piece.decode(errors="replace")

    try:
        yield process, pieces()
    finally:
        process.kill()
        process.wait()
        os.close(mine)


def test_a_terminal_gets_bars_which_vanish(tmp_path: Path) -> None:
    picture("in/a.png", (480, 640))
    Path("in/b :smile: [bold].png").write_text("no picture")
    with on_a_terminal("upscale", "in", "-o", "o", *FAST) as (process, pieces):
        said = "".join(pieces)
        assert process.wait(60) == 1
        assert process.stdout is not None
        assert process.stdout.read() == b""
    assert re.search("━━━━", said)
    assert "of 2 pictures" in said
    assert re.search(r"a\.png.* of 0\.\d+ MP, [\d.e-]+ MP/s", said)
    assert re.search(r"\d+ %", said)
    assert re.search(r"\d:\d\d:\d\d", said)  # time left
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)
    assert "iqsr: cannot read 'in/b :smile: [bold].png': it is a text file" in " ".join(text.split())
    assert text.rstrip().endswith("1 upscaled, 1 failed")
