"""Pictures of noise, as files to score."""

from pathlib import Path

import numpy as np
from PIL import Image


def noise(size: tuple[int, int] = (48, 40), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)


def picture(path: str, size: tuple[int, int] = (48, 40), seed: int = 0, mode: str = "RGB") -> Path:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(size, seed)).convert(mode).save(place)
    return place


def some_pictures(sizes: list[tuple[int, int]], folder: str = "sr") -> None:
    for i, size in enumerate(sizes):
        picture(f"{folder}/{i:02}.png", size, seed=100 * len(folder) + i)
