"""`iqsr check-sets`: what it prints, and its exit code."""

from pathlib import Path

import pytest

from iqsr.datasets import open_sets
from iqsr.preparation import prepare
from support.commands import Run
from support.prepare_samples import RECIPE


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_check_has_a_line_for_everything_wrong(iqsr: Run, five_photos: Path) -> None:
    prepare([five_photos / "cat-1.jpg"], Path("sets"), RECIPE)
    first, second, *_ = open_sets(Path("sets"))
    first.paths[2].unlink()
    second.paths[1].write_bytes(second.paths[1].read_bytes()[:-50])
    ended = iqsr("check-sets", "sets", "--headers")
    assert (ended.code, ended.out) == (1, f"{first.paths[2]}: the picture is missing\n")
    ended = iqsr("check-sets", "sets")
    assert ended.code == 1
    assert len(ended.out.splitlines()) == 2
    assert f"{second.paths[1]}: the file is damaged or cut short" in ended.out


def test_a_folder_that_is_not_there_is_one_line(iqsr: Run) -> None:
    ended = iqsr("check-sets", "nowhere")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("iqsr: no such folder: 'nowhere'")
    assert ended.err.count("\n") == 1
