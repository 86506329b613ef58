"""Checkpoints of many architectures, random ones: what iqsr makes of a picture is what their own forward pass does."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from spandrel import ImageModelDescriptor, ModelLoader
from spandrel.architectures.ESRGAN import ESRGAN
from torch import nn

from iqsr import Upscaler
from iqsr.engines.streaming import NotStreamableError, compile_rows
from iqsr.engines.tiling import probe
from iqsr.models import load_model
from support.commands import PATIENCE

pytestmark = pytest.mark.usefixtures("inference_mode")

SWIN: dict[str, Any] = {"img_size": 16, "embed_dim": 24, "num_heads": (2, 2), "depths": (2, 2), "upscale": 2}
ONE: dict[str, Any] = SWIN | {"num_heads": (2,), "depths": (2,)}
DIRECT: dict[str, Any] = {"window_size": 8, "upsampler": "pixelshuffledirect"}
SPLIT: dict[str, Any] = {"img_size": 16, "embed_dim": 24, "num_heads": [2], "depth": [2], "upscale": 2}
OPTIONS: dict[str, dict[str, Any]] = {
    "SPAN": {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 24, "upscale": 2, "norm": True},
    "SeemoRe": {"scale": 2},
    "SAFMN": {"dim": 16, "n_blocks": 2, "upscaling_factor": 2},
    "PLKSR": {"dim": 16, "n_blocks": 2, "upscaling_factor": 2},
    "RCAN": {"scale": 2, "n_resgroups": 1, "n_resblocks": 2, "n_feats": 16},
    "OmniSR": {"num_feat": 16, "res_num": 1, "up_scale": 2},
    "SwinIR": SWIN | DIRECT,
    "Swin2SR": SWIN | DIRECT,
    "HAT": SWIN | {"window_size": 8, "upsampler": "pixelshuffle", "squeeze_factor": 8},
    "DRCT": ONE | {"upsampler": "pixelshuffle"},
    "ATD": ONE | DIRECT,
    "DAT": SPLIT | {"split_size": [2, 4]},
    "RGT": SPLIT | {"split_size": [8, 8]},
}
"""Of the class that is named like spandrel's package."""


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    found: Callable[..., nn.Module] = getattr(importlib.import_module(f"spandrel.architectures.{name}"), name)
    return found(**OPTIONS[name]).eval()


def saved(module: nn.Module, folder: Path) -> Path:
    save_file(
        {name: value.contiguous().clone() for name, value in module.state_dict().items()}, folder / "n.safetensors"
    )
    return folder / "n.safetensors"


@pytest.mark.parametrize("name", OPTIONS)
def test_the_output_is_that_of_the_forward_pass(name: str, tmp_path: Path) -> None:
    file = saved(network(name), tmp_path)
    plain = ModelLoader("cpu").load_from_file(file)
    assert isinstance(plain, ImageModelDescriptor)
    upscaler = Upscaler(file, precision="fp32", device="cpu")
    for size in ((40, 48), (37, 50)):
        picture = probe(*size)
        out, expected = upscaler.upscale(picture), plain(picture.clone()).clamp(0, 1)
        assert out.shape == expected.shape
        assert (out - expected).abs().max() <= 1e-4


@pytest.mark.parametrize("name", ["SPAN", "DAT"])
def test_the_command_says_nothing_that_torch_tells_authors(name: str, tmp_path: Path) -> None:
    file, source, out = saved(network(name), tmp_path), tmp_path / "in.png", tmp_path / "out.png"
    Image.new("RGB", (40, 30), "teal").save(source)
    command = [sys.executable, "-m", "iqsr", "upscale", source, "-o", out, "--model", file, "--tile", "16"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert "Warning" not in done.stderr
    assert out.exists()


class Remembering(nn.Module):
    """Writes to itself in each forward pass, as many published networks do with their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.conv, self.seen = torch.full((1, 3, 1, 1), 0.5), nn.Conv2d(3, 3, 3, padding=1), []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.mean = self.mean.type_as(x)
        self.seen.append(x)
        return self.conv(x - self.mean) + self.mean


def test_looking_at_a_network_leaves_no_trace_in_it() -> None:
    module = Remembering()
    with pytest.raises(NotStreamableError):
        compile_rows(module)
    assert isinstance(module.mean, torch.Tensor)
    assert module.seen == []


UNSHUFFLED: dict[int, dict[str, Any]] = {
    1: {},
    2: {"in_nc": 12, "shuffle_factor": 2},
    4: {"in_nc": 48, "shuffle_factor": 4},
}


@pytest.mark.parametrize(("factor", "least"), [(1, (1, 1)), (2, (2, 3)), (4, (3, 5))])
@pytest.mark.parametrize("size", [None, (17, 33), (50, 37)])
def test_no_more_is_added_to_a_picture_than_the_network_needs(
    factor: int, least: tuple[int, int], size: tuple[int, int] | None, tmp_path: Path
) -> None:
    """spandrel asks for more: sides of two pixels, multiples of four behind a pixel-unshuffle of two."""
    torch.manual_seed(0)
    module = ESRGAN(num_filters=16, num_blocks=1, scale=4, **UNSHUFFLED[factor]).eval()
    model = load_model(saved(module, tmp_path))
    picture = probe(*(size or least))
    out, expected = Upscaler(model, precision="fp32").upscale(picture), module(picture).clamp(0, 1)
    assert out.shape == expected.shape
    assert (out - expected).abs().max() <= 1e-5
