"""iqsr-x4, the default: Real-ESRGAN with an adapter, and nearer to originals that it never saw."""

import pytest
import skimage.data
import torch

from iqsr.degrade import degrade, pipeline
from iqsr.generators import load_generator
from iqsr.quality import load_metric
from iqsr.upscale import DEFAULT_MODEL

BASE = "realesrgan-x4plus"
PLACES = {"coffee": (100, 150), "chelsea": (60, 120), "rocket": (150, 250), "astronaut": (20, 150)}


def test_it_is_its_base_but_for_the_convolutions_of_dense_blocks() -> None:
    ours, theirs = (load_generator(name).module.state_dict() for name in (DEFAULT_MODEL, BASE))
    changed = {name for name in ours if not torch.equal(ours[name], theirs[name])}
    assert len(changed) == 345
    assert all(".RDB" in name and name.endswith(".weight") for name in changed)


@pytest.mark.parametrize("name", PLACES)
@torch.inference_mode()
def test_it_is_nearer_to_the_original_for_the_eye_than_its_base(name: str) -> None:
    top, left = PLACES[name]
    pixels = torch.from_numpy(getattr(skimage.data, name)()[top : top + 128, left : left + 128].copy())
    original = pixels.permute(2, 0, 1)[None] / 255
    drawn = pipeline("hggt-one-stage").draw(1, 128, 128, torch.Generator().manual_seed(0))
    lr, distance = degrade(original, drawn), load_metric("stlpips")
    ours, theirs = (
        float(distance(load_generator(model).module(lr).clamp(0, 1), original)) for model in (DEFAULT_MODEL, BASE)
    )
    assert ours < 0.95 * theirs
