"""Sets of ground truths on disk for tests: crops of one photo, and what a blur and a sharpening make of them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from iqsr.datasets import ANNOTATORS

VARIANTS = ("01", "02", "03", "04")


def crops(count: int, side: int) -> list[Tensor]:
    """Different parts of skimage's astronaut, (3, side, side) in [0, 1]."""
    photo = torch.from_numpy(np.array(skimage.data.astronaut())).permute(2, 0, 1) / 255
    small = F.interpolate(photo[None], size=(384, 384), mode="bicubic", antialias=True)[0].clamp(0, 1)
    places = [(37 * k % (384 - side), 53 * k % (384 - side)) for k in range(count)]
    return [small[:, y : y + side, x : x + side] for y, x in places]


SHARPER_IS_BETTER = ("Negative", "Similar", "Positive", "Positive")
"""What everybody says of the versions 01 to 04."""
NONE_IS_BETTER = ("Negative", "Similar", "Negative", "Negative")


def write_sets(
    folder: Path,
    *,
    count: int = 6,
    side: int = 96,
    labelled: bool = False,
    prefix: str = "photo",
    said: Sequence[Sequence[str]] = (SHARPER_IS_BETTER,),
) -> Path:
    """HGGT's layout: originals, two blurred and two sharpened versions; labelled: sets get what was `said` in turn."""
    for number, original in enumerate(crops(count, side)):
        name = f"{prefix}{number}-0-0"
        blurred = [gaussian_blur(original, [7, 7], [s, s]) for s in (0.8, 1.6)]
        sharpened = [original + a * (original - blurred[1]) for a in (0.5, 1.0)]
        versions = {"original": original, **dict(zip(VARIANTS, blurred + sharpened, strict=True))}
        for variant, picture in versions.items():
            ending = "" if variant == "original" else f"_{variant}"
            _save(folder / "images" / "0-9" / variant / f"{name}{ending}.png", picture)
        if labelled:
            _label(folder / "labels" / "0-9", name, said[number % len(said)])
    return folder


def write_photos(folder: Path, *, count: int = 2, side: int = 96) -> Path:
    """Photos to validate on."""
    for number, photo in enumerate(crops(count + 7, side)[7:]):
        _save(folder / f"{number}.png", photo)
    return folder


def _save(path: Path, picture: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(path)


def _label(folder: Path, name: str, labels: Sequence[str]) -> None:
    """Everybody says the same."""
    said: dict[str, object] = {"Picture_1": {"Name": name, "File": "original", "Label": None}}
    for place, (variant, label) in enumerate(zip(VARIANTS, labels, strict=True), 2):
        said[f"Picture_{place}"] = {"Name": f"{name}_{variant}", "File": variant, "Label": label}
    for annotator in ANNOTATORS:
        path = folder / annotator / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(said))
