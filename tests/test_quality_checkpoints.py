"""What a predictor's training leaves where the disk has no room for it: what was there, and one line."""

from pathlib import Path

import pytest
import torch

from disks import small_disk
from iqsr.errors import IqsrError
from iqsr.training.quality.checkpoints import read_checkpoint, write_checkpoint


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path: Path) -> None:
    small, large = ({"weight": torch.rand(n)} for n in (10_000, 1_000_000))
    with small_disk("1m", tmp_path / "disk") as disk:
        write_checkpoint(disk, {"recipe": "r"}, small)
        before = sorted(path.name for path in disk.iterdir())
        with pytest.raises(IqsrError, match=r"cannot write '.*checkpoint.pt'.*disk") as error:
            write_checkpoint(disk, {"recipe": "r"}, large)
        assert "\n" not in str(error.value)
        assert sorted(path.name for path in disk.iterdir()) == before
        found = read_checkpoint(disk, "r")
    assert found is not None
    assert torch.equal(found["average"]["weight"], small["weight"])
