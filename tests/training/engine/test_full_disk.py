"""The loop's checkpoints where the disk has no room: what was there stays, and the error is one line."""

from pathlib import Path

import pytest
import torch

from iqsr.errors import WriteError
from iqsr.training.engine.checkpoints import Checkpoints
from support.disks import small_disk


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path: Path) -> None:
    small, large = ({"average": {"weight": torch.rand(n)}} for n in (10_000, 1_000_000))
    with small_disk("1m", tmp_path / "disk") as disk:
        checkpoints = Checkpoints(disk)
        checkpoints.save(1, small)
        before = sorted(path.name for path in disk.iterdir())
        with pytest.raises(
            WriteError,
            match=r"^cannot write '.*step-00000002-rank0\.ckpt': no space is left on the disk '.*disk' \(tmpfs\): make",
        ) as error:
            checkpoints.save(2, large)
        assert "\n" not in str(error.value)
        assert sorted(path.name for path in disk.iterdir()) == before
        found = checkpoints.load()
    assert found is not None
    assert found[0] == 1
    assert torch.equal(found[1]["average"]["weight"], small["average"]["weight"])
