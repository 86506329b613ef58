"""Low-resolution crops of photos, and what a large network makes of them, for a small one to learn from.

    python evaluation/fast/pairs.py PHOTOS SETS [--count 1000]

SETS gets inputs (80 px), the model's outputs (320 px) and the photos, as `data.inputs = "stored"` of `iqsr train` reads
them. Photos that `is_held_out` keeps for judging are left out. One crop in twelve is a drawing. Pairs that are there
are kept: give the command again to go on, or with a larger count to add some.
"""

import argparse
import random
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image, write_png

from iqsr import Upscaler
from iqsr.degrade import degrade, pipeline

sys.path.insert(0, str(Path(__file__).parents[1] / "rated"))  # what is held out, and drawings

from scenes import drawing, is_held_out

SIDE, SCALE = 320, 4
MODEL = "realesrgan-x4plus"
DAMAGES = ("none", "hggt-one-stage", "hggt-one-stage", "hggt-two-stage", "real-esrgan", "real-esrgan")
LONGEST_PIXELS = (480, 480, 640, 800, 1200)
"""Photos are reduced to one of these first: from much in a picture to large smooth areas."""
DRAWINGS = 0.08


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("sets", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    photos = sorted(path for path in options.photos.glob("*.jpg") if not is_held_out(path.name))
    model = Upscaler(MODEL)
    for number in range(options.count):
        rng = random.Random(number * 7919 + 1)
        photo, hr = original(rng, photos)
        damage, seed = rng.choice(DAMAGES), rng.getrandbits(31)
        name = f"{number:05}-{photo}-{damage}.png"
        last = options.sets / "images/original" / name  # an original is what makes a set
        if last.exists():
            continue
        lr = low_resolution(hr, damage, seed)
        write(lr, options.sets / "inputs" / name)
        write(model.upscale(lr), options.sets / "images" / MODEL / name)
        write(hr, last)


def original(rng: random.Random, photos: list[Path]) -> tuple[str, Tensor]:
    """A crop of a reduced photo, often the busiest of three, or a drawing: its name, (1, 3, SIDE, SIDE) in [0, 1]."""
    if rng.random() < DRAWINGS:
        return "drawing", drawing(rng.getrandbits(31))
    path = rng.choice(photos)
    photo = decode_image(str(path), ImageReadMode.RGB)[None] / 255
    ratio = max(rng.choice(LONGEST_PIXELS) / max(photo.shape[2:]), (SIDE + 1) / min(photo.shape[2:]))
    if ratio < 1:
        photo = F.interpolate(photo, scale_factor=ratio, mode="bicubic", antialias=True).clamp(0, 1)
    crops: list[tuple[float, Tensor]] = []
    for _ in range(3):
        top, left = (rng.randint(0, n - SIDE) for n in photo.shape[2:])
        part = photo[:, :, top : top + SIDE, left : left + SIDE]
        crops.append((float(part.mean(1).diff(dim=1).abs().mean()), part))
    chosen = max(crops, key=lambda crop: crop[0]) if rng.random() < 0.6 else crops[0]
    return path.stem, chosen[1]


def low_resolution(hr: Tensor, damage: str, seed: int) -> Tensor:
    """(1, 3, SIDE / 4, SIDE / 4), whole 1/255ths."""
    if damage == "none":
        lr = F.interpolate(hr, scale_factor=1 / SCALE, mode="bicubic", antialias=True)
        return lr.clamp(0, 1).mul(255).round() / 255
    return degrade(hr, pipeline(damage).draw(1, SIDE, SIDE, torch.Generator().manual_seed(seed)))


def write(x: Tensor, path: Path) -> None:
    """Write a PNG that appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    write_png(x[0].clamp(0, 1).mul(255).round().byte(), str(part))
    part.rename(path)


if __name__ == "__main__":
    main()
