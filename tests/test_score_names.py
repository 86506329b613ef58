"""Names of files that are no text: their scores are told all the same."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import Run

NAME = os.fsdecode(b"sr/caf\xe9.png")


@pytest.fixture(autouse=True)
def _pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose name is no UTF-8, and one of that name that is damaged."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path / "cache"))
    Path("sr").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)).save(NAME)
    Path(os.fsdecode(b"sr/\xe9.png")).write_bytes(Path(NAME).read_bytes()[:900])


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_a_name_that_is_no_text_is_escaped(iqsr: Run, suffix: str) -> None:
    ended = iqsr("score", "sr", "-m", "laplacian", "-o", f"table.{suffix}")
    assert ended.code == 1  # of the damaged one
    assert r"caf\xe9.png" in ended.out
    from pandas import read_csv, read_json, read_parquet

    table = {"csv": read_csv, "json": read_json, "parquet": read_parquet}[suffix](f"table.{suffix}")
    assert list(table["path"]) == [r"sr/caf\xe9.png", r"sr/\xe9.png"]
    assert list(table["laplacian"].isna()) == [False, True]
    assert r"\xe9.png" in table["error"][1]
