"""Ladders of defects: clean crops of photos and the same under one defect of rising strength.

    python evaluation/srq2/ladders.py PHOTOS OUT            # to learn from: three defects a crop, two strengths each
    python evaluation/srq2/ladders.py PHOTOS OUT --judge    # held-out photos: twelve defects, five strengths each

Pictures are OUT/CROP/clean.png and OUT/CROP/DEFECT-STRENGTH.png. A crop's photo and place follow from a fixed seed.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.io import write_png
from torchvision.transforms.v2.functional import gaussian_blur

from iqsr.training.predictor import defects

sys.path.insert(0, str(Path(__file__).parents[1] / "rated"))
import scenes

Defect = Callable[[Tensor, float, torch.Generator], Tensor]


def gaussian(x: Tensor, sigma: float) -> Tensor:
    side = 2 * round(3 * sigma) + 1
    return gaussian_blur(x, [side, side], [sigma, sigma])


def grit(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Fine noise, the same in all channels."""
    fine = torch.randn(1, 1, *x.shape[2:], generator=rng)
    return x + (fine - gaussian(fine, 1.2)) * 0.008 * 12**strength


def hairs(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Noise drawn out along directions that change slowly."""
    angle = F.interpolate(torch.randn(1, 1, 6, 6, generator=rng), x.shape[2:], mode="bicubic") * 1.2
    noise = torch.randn(1, 1, *x.shape[2:], generator=rng)
    places = F.affine_grid(torch.eye(2, 3)[None], [1, 1, *x.shape[2:]], align_corners=False)
    step = torch.stack([angle.cos(), angle.sin()], -1)[:, 0] * (2 / x.shape[3])
    drawn = torch.zeros_like(noise)
    for number in range(-4, 5):
        drawn += F.grid_sample(noise, places + number * step, padding_mode="reflection", align_corners=False) / 3
    return x + (drawn - gaussian(drawn, 2.0)) * 0.01 * 12**strength


def haze(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Blur around edges, as if painted over."""
    gray = x.mean(1, keepdim=True)
    near = gaussian(((gray - gaussian(gray, 3.0)).abs() * 12).clamp(0, 1), 3.0)
    return x + (0.3 + 0.9 * strength) * (gaussian(x, 4.0) - x) * near


def painted(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Noise of a middle band where detail is: painted texture."""
    noise = torch.randn(1, 1, *x.shape[2:], generator=rng)
    noise = gaussian(noise, 0.7) - gaussian(noise, 2.0)
    detail = gaussian((x - gaussian(x, 2.0)).abs().mean(1, keepdim=True), 3.0)
    return x + noise / noise.std() * detail / (detail.mean() + 1e-6) * (1.5 * 20**strength / 255)


DEFECTS: dict[str, Defect] = {
    "blur": defects.blur,
    "noise": defects.noise,
    "jpeg": defects.jpeg,
    "ringing": defects.ringing,
    "oversharpen": defects.oversharpen,
    "checkerboard": defects.checkerboard,
    "fringe": defects.colour_fringe,
    "grit": grit,
    "hairs": hairs,
    "haze": haze,
    "painted": painted,
    "oversmooth": defects.oversmooth,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--judge", action="store_true")
    options = parser.parse_args()
    names = sorted(path.name for path in options.photos.glob("*.jpg"))
    if options.judge:
        judge([name for name in names if scenes.is_held_out(name)], options.photos, options.out)
    else:
        learn([name for name in names if not scenes.is_held_out(name)], options.photos, options.out)


def judge(names: list[str], photos: Path, out: Path) -> None:
    for number, name in enumerate(names[::4][:12]):
        clean, folder = scenes.crop(photos / name, 5000 + number), out / f"t{number:02}"
        save(clean, folder / "clean.png")
        for defect, spoil in DEFECTS.items():
            for step in range(5):
                rng = torch.Generator().manual_seed(100 * number)
                save(spoil(clean, step / 4, rng), folder / f"{defect}-{step}.png")


def learn(names: list[str], photos: Path, out: Path) -> None:
    rng = torch.Generator().manual_seed(7)
    for number, name in enumerate(names[::2]):
        clean, folder = scenes.crop(photos / name, 9000 + number), out / f"l{number:03}"
        save(clean, folder / "clean.png")
        for chosen in torch.randperm(len(DEFECTS), generator=rng)[:3]:
            defect = list(DEFECTS)[int(chosen)]
            low = float(torch.rand((), generator=rng)) * 0.5
            seed = int(torch.randint(1 << 30, (), generator=rng))
            high = min(1.0, low + 0.25 + 0.25 * float(torch.rand((), generator=rng)))
            for step, strength in enumerate((low, high)):
                picture = DEFECTS[defect](clean, strength, torch.Generator().manual_seed(seed))
                save(picture, folder / f"{defect}-{step}.png")


def save(x: Tensor, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png((x[0].clamp(0, 1) * 255).round().byte(), str(path))


if __name__ == "__main__":
    main()
