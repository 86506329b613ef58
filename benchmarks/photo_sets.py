"""Sets of ground truths made of photos, in HGGT's layout with labels: a crop, and four sharpened versions of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from iqsr.datasets import ANNOTATORS
from iqsr.degrade import unsharp_mask
from iqsr.images import read_rgb
from iqsr.training.predictor.sources import find_photos
from measure import spread

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
"""Of scikit-image, those that are installed with it."""
STRENGTHS = {"01": 0.25, "02": 0.5, "03": 0.75, "04": 1.0}


def write_sets(folder: Path, photos: Path | None, *, count: int, side: int) -> Path:
    """Two crops of `side` px of each of `count` photos of the folder `photos`, or of scikit-image's. Returns `folder`.

    The sharpened versions are all labelled as better, so that UPos chooses among them.
    """
    for number, crop in enumerate(_crops(photos, count, side)):
        versions = {name: unsharp_mask(crop, weight=weight) for name, weight in STRENGTHS.items()}
        for variant, picture in {"original": crop, **versions}.items():
            _save(folder / variant / f"{number}.png", picture)
        said = {
            f"Picture_{place}": {"File": variant, "Label": "Positive"} for place, variant in enumerate(STRENGTHS, 2)
        }
        for annotator in ANNOTATORS:
            path = folder / "labels" / annotator / f"{number}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(said))
    return folder


def _crops(photos: Path | None, count: int, side: int) -> Iterator[Tensor]:
    """Two of each photo, at opposite corners: (1, 3, side, side). SystemExit for a photo that is too small."""
    pictures = _photos_of_skimage(count) if photos is None else map(read_rgb, spread(find_photos([photos]), count))
    for picture in pictures:
        if min(picture.shape[2:]) < side:
            raise SystemExit(f"photos need at least {side} x {side} pixels, got {tuple(picture.shape)}")
        yield picture[:, :, :side, :side]
        yield picture[:, :, -side:, -side:]


def _photos_of_skimage(count: int) -> Iterator[Tensor]:
    import skimage.data

    for name in PHOTOS[:count]:
        yield torch.from_numpy(np.array(getattr(skimage.data, name)())).permute(2, 0, 1)[None].float() / 255


def _save(path: Path, picture: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((picture[0] * 255).round().byte().permute(1, 2, 0).numpy()).save(path)
