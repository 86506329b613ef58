"""The default model: Real-ESRGAN with fine sharpening, and how much of it is taken."""

from pathlib import Path

import pytest
import torch
from torchvision.transforms.v2.functional import gaussian_blur

from iqsr import Upscaler, load_model
from iqsr.engines.int8 import _fingerprint
from iqsr.errors import ModelError, UsageError
from iqsr.evaluation.contestants import _named_sha256
from iqsr.export import export
from iqsr.models.packaged import FineSharpening
from iqsr.models.registry import SHARPENED_MODEL, registry

BASE = "realesrgan-x4plus"


def picture(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("amount", [0.0, 0.25, 0.5])
def test_sharpening_is_unsharp_masking_by_a_gaussian_of_one_pixel(amount: float) -> None:
    x = picture(20, 25)
    inside = (..., slice(3, -3), slice(3, -3))
    expected = x + amount * (x - gaussian_blur(x, [7, 7], [1.0, 1.0]))
    torch.testing.assert_close(FineSharpening(amount)(x)[inside], expected[inside], rtol=0, atol=1e-6)


def test_sharpening_leaves_flat_pictures_as_they_are_up_to_the_edge() -> None:
    flat = torch.full((1, 3, 9, 5), 0.3)
    torch.testing.assert_close(FineSharpening(1.0)(flat), flat, rtol=0, atol=1e-6)


def test_the_default_is_its_base_sharpened() -> None:
    x = picture(6, 9)
    base = load_model(BASE).module(x)
    assert registry()[SHARPENED_MODEL].strength == 0.3
    for strength in (None, 0.5, 1.0):
        ours = load_model(SHARPENED_MODEL, strength=strength).module(x)
        torch.testing.assert_close(ours, FineSharpening(strength or 0.3)(base), rtol=0, atol=1e-6)


def test_no_strength_is_the_base() -> None:
    x = picture(6, 9)
    none, base = (Upscaler(name, strength=s, precision="fp32") for name, s in ((SHARPENED_MODEL, 0.0), (BASE, None)))
    assert torch.equal(none.upscale(x), base.upscale(x))


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_strength_goes_from_0_to_1(strength: float) -> None:
    with pytest.raises(UsageError, match=r"^the strength goes from 0 to 1, got"):
        load_model(SHARPENED_MODEL, strength=strength)


def test_other_models_have_no_strength(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=rf"^'{BASE}' sharpens nothing, so it has no strength; {SHARPENED_MODEL} has one$"
    ):
        load_model(BASE, strength=0.5)
    with pytest.raises(UsageError, match=r"^an SRModel has its strength already"):
        Upscaler(load_model(SHARPENED_MODEL), strength=0.5)
    with pytest.raises(UsageError, match=r"is a file, which has no strength: mix files with `iqsr interpolate`$"):
        load_model(tmp_path / "some.safetensors", strength=0.5)


def test_networks_in_8_bits_are_kept_apart_by_strength() -> None:
    kept = {_fingerprint(load_model(SHARPENED_MODEL, strength=strength)) for strength in (0.0, 0.3, 1.0)}
    assert len(kept) == 3


def test_evaluations_tell_the_sharpened_model_from_its_base() -> None:
    assert _named_sha256(SHARPENED_MODEL) != _named_sha256(BASE)


def test_weights_alone_cannot_hold_the_sharpening(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"its last step is a fixed sharpening"):
        export(load_model(SHARPENED_MODEL), tmp_path / "crisp.safetensors")
    assert not list(tmp_path.iterdir())
