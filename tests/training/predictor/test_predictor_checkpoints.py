"""What a predictor's training leaves where the disk has no room for it: what was there, and one line."""

from pathlib import Path

import pytest
import torch

from iqsr.errors import IqsrError
from iqsr.training.predictor.checkpoints import read_checkpoint, write_checkpoint
from iqsr.training.predictor.recipe import PreferenceRecipe
from support.disks import small_disk


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path: Path) -> None:
    recipe = PreferenceRecipe()
    small, large = ({"weight": torch.rand(n)} for n in (10_000, 1_000_000))
    with small_disk("1m", tmp_path / "disk") as disk:
        write_checkpoint(disk, {"recipe": recipe.model_dump_json()}, small)
        before = sorted(path.name for path in disk.iterdir())
        with pytest.raises(
            IqsrError,
            match=r"^cannot write '.*weights.safetensors': no space is left on the disk '.*disk' \(tmpfs\): make room",
        ) as error:
            write_checkpoint(disk, {"recipe": recipe.model_dump_json()}, large)
        assert "\n" not in str(error.value)
        assert sorted(path.name for path in disk.iterdir()) == before
        found = read_checkpoint(disk, recipe)
    assert found is not None
    assert torch.equal(found["average"]["weight"], small["weight"])
