"""Scenes of the rated set: what is shown, how it was damaged, and which pairs of methods are compared.

Everything follows from the photos' names and one seed, so the pictures can be made anew.
"""

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

from iqsr.degrade import degrade, pipeline

SIDE, SCALE = 320, 4
LONGEST = 1200  # photos are reduced to this before a crop is taken: less noise, more in the picture
DRAWINGS = 24
DAMAGES = ("none", "mild", "mild", "hard")
PIPELINES = {"mild": "hggt-one-stage", "hard": "real-esrgan"}
WORDS = (
    "river", "stone", "1984", "exit", "north", "light", "table", "37.5", "kg", "museum", "open",
    "daily", "coffee", "page", "map", "of", "the", "old", "town",
)  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """One crop and its damage."""

    name: str
    photo: str | None
    """File name; None for a drawing."""
    damage: str
    seed: int


def is_held_out(photo: str) -> bool:
    """Whether a photo is kept for judging models: a quarter of them, by name. No rating and no training sees it."""
    return hashlib.sha256(photo.encode()).digest()[0] % 4 == 0


def scenes(photos: Path, seed: int = 0) -> list[Scene]:
    """All scenes: one crop of each photo that is not held out, and the drawings."""
    rng = random.Random(seed)
    names = sorted(path.name for path in photos.glob("*.jpg") if not is_held_out(path.name))
    found = [Scene(f"p{n:03}", name, rng.choice(DAMAGES), rng.getrandbits(31)) for n, name in enumerate(names)]
    return found + [Scene(f"d{n:03}", None, rng.choice(DAMAGES), rng.getrandbits(31)) for n in range(DRAWINGS)]


def original(scene: Scene, photos: Path) -> Tensor:
    """(1, 3, SIDE, SIDE) in [0, 1]."""
    return drawing(scene.seed) if scene.photo is None else crop(photos / scene.photo, scene.seed)


def crop(path: Path, seed: int, longest: int = LONGEST) -> Tensor:
    """Of eight crops of the reduced photo the one with the third most detail: rarely blank, not always the busiest.

    The photo's longer side is reduced to `longest` pixels, or less where its shorter one would be too small for a crop.
    """
    photo = decode_image(str(path), ImageReadMode.RGB)[None] / 255
    ratio = min(1.0, max(longest / max(photo.shape[2:]), SIDE / min(photo.shape[2:])))
    photo = F.interpolate(photo, scale_factor=ratio, mode="bicubic", antialias=True).clamp(0, 1)
    rng = random.Random(seed)
    crops = []
    for _ in range(8):
        top, left = (rng.randint(0, n - SIDE) for n in photo.shape[2:])
        part = photo[:, :, top : top + SIDE, left : left + SIDE]
        crops.append((float(part.mean(1).diff(dim=1).abs().mean()), top, left, part))
    return sorted(crops, key=lambda c: c[:3], reverse=True)[2][3]


def drawing(seed: int) -> Tensor:
    """Flat shapes with outlines, lines and lettering, drawn at three times the size and reduced."""
    rng, side = random.Random(seed), SIDE * 3

    def colour(low: int = 0, high: int = 255) -> tuple[int, ...]:
        return tuple(rng.randint(low, high) for _ in range(3))

    image = Image.new("RGB", (side, side), colour(170, 255))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.randint(4, 9)):
        x, y, w, h = (rng.randint(0, side) for _ in range(4))
        box, outline = (x - w // 3, y - h // 3, x + w // 3 + 9, y + h // 3 + 9), colour(0, 60)
        rng.choice([draw.ellipse, draw.rectangle])(box, fill=colour(40), outline=outline, width=rng.randint(2, 14))
    for _ in range(rng.randint(6, 20)):
        points = [(rng.randint(0, side), rng.randint(0, side)) for _ in range(rng.randint(2, 4))]
        draw.line(points, fill=colour(0, 120), width=rng.randint(2, 12), joint="curve")
    for _ in range(rng.randint(3, 8)):
        font = ImageFont.load_default(rng.choice([36, 48, 66, 90, 130]))
        text = " ".join(rng.sample(WORDS, 3))
        draw.text((rng.randint(-90, side // 2), rng.randint(0, side - 100)), text, fill=colour(0, 90), font=font)
    image = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(SIDE, SIDE, 3).permute(2, 0, 1)[None] / 255


def low_resolution(scene: Scene, hr: Tensor) -> Tensor:
    """(1, 3, SIDE / 4, SIDE / 4), whole 1/255ths."""
    if scene.damage == "none":
        lr = F.interpolate(hr, scale_factor=1 / SCALE, mode="bicubic", antialias=True)
        return lr.clamp(0, 1).mul(255).round() / 255
    drawn = pipeline(PIPELINES[scene.damage]).draw(1, SIDE, SIDE, torch.Generator().manual_seed(scene.seed))
    return degrade(hr, drawn)
