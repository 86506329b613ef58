"""The default network, and the withdrawn one, whose adapter is kept outside the package."""

from pathlib import Path

import pytest
import torch

import iqsr
from iqsr.degrade import degrade, pipeline
from iqsr.models import load_model, model_names
from iqsr.models.merge import merge
from iqsr.models.registry import FAST_MODEL
from iqsr.upscaling.upscaler import DEFAULT_MODEL

WITHDRAWN = Path(__file__).parents[2] / "evaluation" / "iqsr-x4" / "adapter.safetensors"


def test_default_is_what_blind_raters_preferred() -> None:
    assert iqsr.Upscaler().model.name == DEFAULT_MODEL == "realesrgan-x4plus-crisp"
    assert "iqsr-x4" not in model_names()


def test_package_holds_no_other_networks() -> None:
    shipped = {path.name for path in Path(iqsr.__file__).parent.rglob("*.safetensors")}
    predictors = {f"{name}.safetensors" for name in ("srq", "srq-2", "srq-defects", "srq-holdout", "biq-lite2")}
    assert shipped == predictors | {"niqe.safetensors", "brisque.safetensors", f"{FAST_MODEL}.safetensors"}


def test_withdrawn_adapter_still_merges_into_its_base(tmp_path: Path) -> None:
    merged = merge(WITHDRAWN, tmp_path / "iqsr-x4.safetensors")
    assert merged.base == "realesrgan-x4plus"
    ours, base = (load_model(model).module.state_dict() for model in (merged.path, merged.base))
    changed = {name for name in ours if not torch.equal(ours[name], base[name])}
    assert len(changed) == 345
    assert all(".RDB" in name and name.endswith(".weight") for name in changed)


def test_the_small_network_draws_what_the_large_one_draws() -> None:
    skimage = pytest.importorskip("skimage.data")
    photo = torch.from_numpy(skimage.astronaut()[:256, 128:384].copy()).permute(2, 0, 1)[None] / 255
    degraded = degrade(photo, pipeline("hggt-one-stage").draw(1, 256, 256, torch.Generator().manual_seed(0)))
    large, small, other = (
        iqsr.Upscaler(name, precision="fp32").upscale(degraded)
        for name in ("realesrgan-x4plus", FAST_MODEL, "realesr-animevideov3")
    )
    near, far = ((output - large).abs().mean().item() for output in (small, other))
    assert near < 0.9 * far
