"""Photos and a cheap recipe for the tests of `iqsr prepare`."""

from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from iqsr.preparation import (
    ModelEnhancer,
    PatchRecipe,
    PrepareRecipe,
    UnsharpEnhancer,
)

CHEAP = "realesr-animevideov3"
RECIPE = PrepareRecipe(
    patches=PatchRecipe(crop=128, step=96),
    enhancers=(
        ModelEnhancer(model=CHEAP, strength=0.5),
        ModelEnhancer(model=CHEAP),
        UnsharpEnhancer(),
    ),
)
SETTINGS = (
    "--set=patches.crop=128",
    "--set=patches.step=96",
    f'--set=enhancers=[{{kind="model",model="{CHEAP}",strength=0.5}},{{kind="model",model="{CHEAP}"}},'
    '{kind="unsharp"}]',
)
"""The same for the command."""


def save_photos(folder: Path) -> Path:
    """Five small ones, one of them under the crop and one without any detail."""
    folder.mkdir(parents=True)
    (folder / "more").mkdir()
    Image.fromarray(skimage.data.astronaut()[:300, 100:360]).save(folder / "astronaut.png")
    Image.fromarray(skimage.data.chelsea()[20:250, 60:330]).save(folder / "cat-1.jpg", quality=95)
    Image.fromarray(skimage.data.coffee()[100:350, 100:400]).save(folder / "more/coffee.png")
    Image.fromarray(skimage.data.astronaut()[:100, :300]).save(folder / "narrow.png")
    Image.fromarray(np.full((250, 250, 3), 90, np.uint8)).save(folder / "wall.png")
    return folder


def stripes(low: int, high: int, side: int = 64) -> np.ndarray:
    """Columns of two gray values in turn, (side, side, 3)."""
    row = np.where(np.arange(side) % 2 == 0, low, high).astype(np.uint8)
    return np.broadcast_to(row[None, :, None], (side, side, 3)).copy()


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
