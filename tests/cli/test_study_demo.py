"""`iqsr study demo`: a study made by one command, served by the same."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from iqsr.study.demo import demo_pictures
from iqsr.study.design import ATTENTION, read_design
from iqsr.study.votes import read_votes
from support.commands import PATIENCE, Run


def test_the_pictures_are_small_and_all_different() -> None:
    pictures = demo_pictures()
    assert len(pictures) == 8
    assert {pixels.shape for pixels in pictures.values()} == {(192, 256, 3)}
    assert len({pixels.tobytes() for pixels in pictures.values()}) == 8


@pytest.mark.slow
def test_a_demo_is_made_and_served(iqsr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = iqsr("study", "demo", "-o", "demo", "--synthetic-raters", "6", "--no-serve")
    assert (made.code, made.err) == (0, "")
    assert made.out.splitlines() == [
        "demo: 8 pictures, 2 methods, 10 seats, 6 with synthetic votes in votes.csv",
        "iqsr study analyze demo --expected realesrgan-x4plus",
        "iqsr study serve demo --open",
    ]
    design = read_design(Path("demo"))
    assert design.methods == ("bicubic", "realesrgan-x4plus")
    votes = read_votes(Path("demo/votes.csv"))
    expected = [(seat.name, trial.id) for seat in design.seats[4:] for trial in seat.trials]
    assert [(vote.rater, vote.trial) for vote in votes] == expected
    counted = Counter(vote.chosen for vote in votes if vote.kind == "vote")
    assert counted["realesrgan-x4plus"] > counted["bicubic"] > 0
    assert not any(vote.chosen == ATTENTION for vote in votes)

    refused = iqsr("study", "demo", "-o", "demo", "--synthetic-raters", "6")
    assert (refused.code, refused.err.count("\n")) == (2, 1)

    command = [sys.executable, "-m", "iqsr", "study", "demo", "-o", "demo", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as served:
        assert served.stdout is not None
        link = served.stdout.readline().split()[-1]
        with urllib.request.urlopen(link, timeout=PATIENCE) as page:
            assert "A demo" in page.read().decode()
        served.send_signal(signal.SIGINT)
        assert served.wait(PATIENCE) == 130
