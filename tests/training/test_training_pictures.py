"""Pictures looked at before a training: each is decoded once, and again when it has changed."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iqsr.errors import PictureError
from iqsr.io import known_files
from iqsr.scoring import content_hash
from iqsr.training.engine import pictures
from iqsr.training.engine.pictures import decode_all
from support.counting import calls


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(known_files, "SETTLED_SECONDS", 0)
    return tmp_path / "cache" / "pictures.sqlite"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    found = [tmp_path / f"{number}.png" for number in range(3)]
    for path in found:
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(path)
    return found


def test_what_was_decoded_is_not_decoded_again(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = calls(monkeypatch, pictures, "decoded_size")
    told: list[int] = []
    first = decode_all([*files, files[0]], told.append)
    assert told == [1, 2, 3]
    assert len(decoded) == 3
    assert first.whole[files[1]] == (content_hash(files[1]), 50, 40)
    assert decode_all(files) == first
    assert len(decoded) == 3
    os.utime(files[0], ns=(1, 1))
    assert decode_all(files) == first
    assert len(decoded) == 4


def test_damaged_pictures_are_looked_at_each_time(files: list[Path], tmp_path: Path) -> None:
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[:-500])
    missing = tmp_path / "missing.png"
    for _ in range(2):
        found = decode_all([*files, missing])
        assert found.damaged.keys() == {files[1], missing}
        with pytest.raises(
            PictureError, match=r"^2 of 4 pictures cannot be used: .*1\.png.*missing\.png.*; mend them$"
        ):
            found.check("mend them")
    files[1].write_bytes(whole)
    decode_all(files).check("")


def test_a_cache_that_cannot_be_used_is_done_without(
    files: list[Path], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.parent.mkdir()
    cache.write_text("no database, but longer than a header of one would be, whatever it says of itself" * 10)
    assert len(decode_all(files).whole) == 3
    assert "pictures are decoded anew" in caplog.text
    assert cache.read_text().startswith("no database")
