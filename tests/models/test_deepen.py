"""Deeper SRVGGNetCompact: the same outputs, more to learn."""

import pytest
import torch

from iqsr.errors import UsageError
from iqsr.models import load_model
from iqsr.models.deepen import deepened
from iqsr.models.untrained import new_rrdbnet


def test_layers_that_are_added_change_nothing() -> None:
    model = load_model("realesr-animevideov3")
    deeper = deepened(model, 20)
    x = torch.rand(1, 3, 13, 17, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(deeper.module(x), model.module(x), atol=1e-6)
    added = sum(p.numel() for p in deeper.module.parameters()) - sum(p.numel() for p in model.module.parameters())
    assert added == 4 * (64 * 64 * 9 + 64 + 64)


def test_what_cannot_be_deepened_is_refused() -> None:
    with pytest.raises(UsageError, match=r"has 16 inner convolutions: model\.convolutions = 8 is less"):
        deepened(load_model("realesr-animevideov3"), 8)
    with pytest.raises(UsageError, match="is for SRVGGNetCompact, 'rrdbnet' is ESRGAN"):
        deepened(new_rrdbnet(seed=0, blocks=1, features=16), 32)
