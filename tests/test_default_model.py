"""iqsr-x4, the default: Real-ESRGAN with an adapter, and nearer to originals that it never saw."""

import pytest
import skimage.data
import torch
from torch.nn.functional import avg_pool2d

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


def damaged(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A part of a photo with mild damage, and as it was."""
    top, left = PLACES[name]
    pixels = torch.from_numpy(getattr(skimage.data, name)()[top : top + 128, left : left + 128].copy())
    original = pixels.permute(2, 0, 1)[None] / 255
    return degrade(original, pipeline("hggt-one-stage").draw(1, 128, 128, torch.Generator().manual_seed(0))), original


@pytest.mark.parametrize("name", PLACES)
@torch.inference_mode()
def test_it_is_nearer_to_the_original_for_the_eye_than_its_base(name: str) -> None:
    lr, original = damaged(name)
    distance = load_metric("stlpips")
    ours, theirs = (
        float(distance(load_generator(model).module(lr).clamp(0, 1), original)) for model in (DEFAULT_MODEL, BASE)
    )
    assert ours < 0.95 * theirs


def grain(output: torch.Tensor, original: torch.Tensor) -> float:
    """Energy of the finest detail that output and original do not share, in the flattest tenth of the original."""
    energies = []
    for x in (output - original, original):
        detail = x - avg_pool2d(x, 3, 1, 1)
        energies.append(avg_pool2d(detail.square().mean(1, keepdim=True), 16).flatten())
    shared_not, own = energies
    return float(shared_not[own.argsort()[: len(own) // 10]].mean())


@torch.inference_mode()
def test_it_draws_no_more_grain_on_flat_areas_than_its_base() -> None:
    parts = [damaged(name) for name in PLACES]
    ours, theirs = (
        sum(grain(network(lr).clamp(0, 1), original) for lr, original in parts)
        for network in (load_generator(model).module for model in (DEFAULT_MODEL, BASE))
    )
    assert ours <= theirs
