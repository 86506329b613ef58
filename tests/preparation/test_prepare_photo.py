"""What `iqsr prepare` does with one photo: where patches are cut, which are kept, how it is enhanced."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from spandrel import ImageModelDescriptor, ModelLoader
from spandrel.architectures.Compact import Compact
from spandrel.architectures.DnCNN import DnCNN

from iqsr.degrade import unsharp_mask
from iqsr.errors import ModelError, UsageError
from iqsr.models import load_model
from iqsr.preparation import (
    Enhancers,
    ModelEnhancer,
    PatchRecipe,
    SameSizeEnhancer,
    UnsharpEnhancer,
    is_textured,
    load_enhancer,
    patch_positions,
)
from iqsr.preparation.enhance import resized, sharpened
from iqsr.preparation.patches import gray, laplacian
from support.prepare_samples import CHEAP, RECIPE, stripes

# Patches


def test_gray_is_that_of_pillow() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 201, 3), np.uint8)
    assert np.array_equal(gray(pixels), np.asarray(Image.fromarray(pixels).convert("L")))


def test_the_laplacian_is_that_of_the_definition() -> None:
    values = np.zeros((4, 5), np.uint8)
    values[1, 2] = 10
    assert laplacian(values).tolist() == [
        [0, 0, 20, 0, 0],  # the row above the border is row 1 again
        [0, 10, 0, 10, 0],  # the peak itself is -40, cut to 0
        [0, 0, 10, 0, 0],
        [0, 0, 0, 0, 0],
    ]
    hole = np.full((3, 3), 200, np.uint8)
    hole[1, 1] = 0
    assert laplacian(hole)[1, 1] == 255  # 800, cut


def test_the_laplacian_is_that_of_opencv() -> None:
    cv2 = pytest.importorskip("cv2")
    values = np.random.default_rng(1).integers(0, 256, (61, 47), np.uint8)
    assert np.array_equal(laplacian(values), cv2.Laplacian(values, cv2.CV_8U))


def test_a_patch_needs_contrast_and_detail() -> None:
    recipe = PatchRecipe()
    assert gray(stripes(100, 160)).std() == 30.0  # half of the values 30 below the mean, half 30 above
    assert laplacian(gray(stripes(100, 160))).var() == 3600.0  # half 120, half (-120, cut to) 0
    assert is_textured(stripes(100, 160), recipe)
    assert not is_textured(stripes(100, 159), recipe)
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None] * 4, (64, 64, 3)).copy()
    assert gray(ramp).std() > 70
    assert not is_textured(ramp, recipe)
    lightened = PatchRecipe(detail=0)
    assert is_textured(ramp, lightened)


@pytest.mark.parametrize(("side", "latest"), [(1199, 32), (1200, 64), (2399, 64), (2400, 128)])
def test_a_grid_starts_at_random_within_what_the_side_allows(side: int, latest: int) -> None:
    recipe = PatchRecipe(jitter=0)
    rng = torch.Generator().manual_seed(0)
    grids = [patch_positions(side, 600, recipe, rng) for _ in range(600)]
    starts = {grid[0][0] for grid in grids}
    assert (min(starts), max(starts)) == (0, latest)
    rows = sorted({row for row, _ in grids[0]})
    assert all(b - a == 288 for a, b in itertools.pairwise(rows))
    assert side - 512 - 288 < rows[-1] <= side - 512


def test_every_place_is_jittered_on_both_axes_and_fits() -> None:
    recipe, rng = PatchRecipe(), torch.Generator().manual_seed(1)
    plain = PatchRecipe(jitter=0)
    shifts: set[int] = set()
    for seed in range(60):
        found = patch_positions(2000, 1400, recipe, torch.Generator().manual_seed(seed))
        assert all(0 <= row <= 2000 - 512 and 0 <= column <= 1400 - 512 for row, column in found)
        start = patch_positions(2000, 1400, plain, torch.Generator().manual_seed(seed))[0]
        shifts |= {found[0][0] - start[0], found[0][1] - start[1]}
    assert min(shifts) >= -16
    assert max(shifts) <= 16
    assert len(shifts) > 20
    assert patch_positions(511, 4000, recipe, rng) == []
    assert patch_positions(2000, 1400, recipe, torch.Generator().manual_seed(7)) == patch_positions(
        2000, 1400, recipe, torch.Generator().manual_seed(7)
    )


# Enhancers


def photo_tensor(height: int = 91, width: int = 118) -> torch.Tensor:
    return torch.from_numpy(skimage.data.astronaut()[:height, 150 : 150 + width].copy()).permute(2, 0, 1)[None] / 255


@torch.inference_mode()
def test_versions_have_the_size_of_the_photo_and_strength_is_a_blend() -> None:
    photo = photo_tensor()
    half, full, sharp = Enhancers(RECIPE.enhancers).versions(photo)
    assert half.shape == full.shape == sharp.shape == photo.shape
    assert all(x.min() >= 0 and x.max() <= 1 for x in (half, full, sharp))
    assert torch.allclose(half, (photo + full) / 2, atol=1e-6)
    assert (full - photo).abs().mean() > 0.005
    assert torch.equal(sharp, sharpened(photo, UnsharpEnhancer()))


@torch.inference_mode()
def test_a_photo_is_drawn_again_from_its_reduced_copy() -> None:
    """Against the network on the whole copy and one reduction of the whole output: band by band is the same."""
    photo, rng = photo_tensor(240, 330), load_model(CHEAP)
    small = resized(photo, (180, 248))
    plain = resized(rng.module(small).clamp(0, 1), (240, 330))
    assert torch.allclose(SameSizeEnhancer(rng, precision="fp32", device="cpu").enhance(photo, 0.75), plain, atol=2e-5)


def test_what_networks_make_is_computed_once_for_all_strengths(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float | None] = []
    original = SameSizeEnhancer.enhance

    def counted(self: SameSizeEnhancer, photo: torch.Tensor, reduce: float | None = None) -> torch.Tensor:
        calls.append(reduce)
        return original(self, photo, reduce)

    monkeypatch.setattr(SameSizeEnhancer, "enhance", counted)
    recipes = [ModelEnhancer(model=CHEAP, reduce=r, strength=s) for r, s in ((0.5, 1), (0.25, 1), (0.5, 0.2))]
    assert len(list(Enhancers(recipes).versions(photo_tensor()))) == 3
    assert calls == [0.5, 0.25]


@torch.inference_mode()
def test_restorers_of_scale_one_work_on_the_photo_itself(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(Compact(num_feat=8, num_conv=1, upscale=1).state_dict(), tmp_path / "compact.pth")
    torch.save(DnCNN(in_nc=3, out_nc=3, nc=8, nb=4, mode="DnCNN").state_dict(), tmp_path / "dncnn.pth")
    photo = photo_tensor()
    for name in ("compact.pth", "dncnn.pth"):
        rng = load_enhancer(str(tmp_path / name))
        assert rng.scale == 1
        (version,) = Enhancers([ModelEnhancer(model=str(tmp_path / name))]).versions(photo)
        plain = ModelLoader("cpu").load_from_file(tmp_path / name)
        assert isinstance(plain, ImageModelDescriptor)
        expected = plain(photo)
        assert torch.allclose(version, expected, atol=1e-4)
        assert not torch.equal(version, photo)


def test_networks_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"set reduce to 0.25 or more"):
        Enhancers([ModelEnhancer(model=CHEAP, reduce=0.2)])
    with pytest.raises(UsageError, match="unknown model 'realesrgan-x4pluss'"):
        Enhancers([ModelEnhancer(model="realesrgan-x4pluss")])
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(
        ModelError, match="not a super-resolution network that spandrel knows: its tensors are called 'a'"
    ):
        load_enhancer(str(tmp_path / "other.pth"))
    torch.save(DnCNN(in_nc=1, out_nc=1, nc=8, nb=4, mode="DnCNN").state_dict(), tmp_path / "gray.pth")
    with pytest.raises(ModelError, match="only those from RGB to RGB"):
        load_enhancer(str(tmp_path / "gray.pth"))


def test_sharpening_in_strips_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, recipe = photo_tensor(200, 90), UnsharpEnhancer(radius=30, threshold=4)
    monkeypatch.setattr("iqsr.preparation.enhance._STRIP", 48)
    whole = unsharp_mask(photo, weight=recipe.weight, radius=30, threshold=4)
    assert torch.allclose(sharpened(photo, recipe), whole, atol=1e-6)
    assert not torch.allclose(whole, photo, atol=1e-2)
