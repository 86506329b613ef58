"""Pictures for the comparisons of x4plus with sharpening, without halos and fine, and with softening.

    python evaluation/sharpened/variants.py PHOTOS_OUT OUT

PHOTOS_OUT is the folder that `evaluation/photos/run.py` wrote. OUT gets 80 pictures in each of `x4plus`, `limited`,
`softer`, `default`, `fine`, `stronger` and `finer`.
"""

import argparse
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur
from torchvision.utils import save_image

from iqsr.images import read_rgb

sys.path.insert(0, str(Path(__file__).parents[1] / "rated"))  # unsharp masking

from methods import unsharp

AMOUNT, SIGMA, WINDOW, SLACK, NOISE = 1.0, 2.0, 7, 0.02, 0.006
LUMA = (0.299, 0.587, 0.114)
BLURRED, BLUR = 0.45, ImageFilter.GaussianBlur(1.0)
"""Share of the blurred picture in the softer one."""
FINE = {"default": (1.0, 0.3), "fine": (1.0, 0.5), "stronger": (1.0, 1.0), "finer": (0.7, 1.0)}
"""Sigma in pixels and amount of plain unsharp masking."""


def limited(x: Tensor) -> Tensor:
    """Unsharp masking of the luma that goes hardly beyond the least and the most around a pixel. x: (1, 3, H, W)."""
    luma = (x * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    detail = luma - gaussian_blur(luma, [13, 13], [SIGMA, SIGMA])
    detail = detail.sign() * (detail.abs() - NOISE).clamp(min=0)
    most = F.max_pool2d(luma, WINDOW, 1, WINDOW // 2) + SLACK
    least = -F.max_pool2d(-luma, WINDOW, 1, WINDOW // 2) - SLACK
    sharper = torch.minimum(torch.maximum(luma + AMOUNT * detail, least), most)
    return (x + sharper - luma).clamp(0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos_out", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    for method in ("x4plus", "limited", "softer", *FINE):
        (options.out / method).mkdir(parents=True, exist_ok=True)
    for damage in ("mild", "hard"):
        for path in sorted((options.photos_out / damage / "pictures" / "realesrgan-x4plus").glob("*.png")):
            base = read_rgb(path)
            save_image(base, options.out / "x4plus" / f"{damage}-{path.name}")
            save_image(limited(base), options.out / "limited" / f"{damage}-{path.name}")
            for method, (sigma, amount) in FINE.items():
                sharper = unsharp(base, sigma, amount).clamp(0, 1)
                save_image(sharper, options.out / method / f"{damage}-{path.name}")
            with Image.open(path) as picture:
                softer = Image.blend(picture, picture.filter(BLUR), BLURRED)
            softer.save(options.out / "softer" / f"{damage}-{path.name}")


if __name__ == "__main__":
    main()
