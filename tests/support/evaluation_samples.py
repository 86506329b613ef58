"""Tiny sets to evaluate on, in every layout."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from support.hggt_samples import ENHANCED, label_json

SIDE = 32
"""Of originals; inputs have a quarter."""


def smooth(seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    """A picture with structure, (H, W, 3) uint8: enlarged noise."""
    small = np.random.default_rng(seed).integers(40, 216, (size[1] // 4 + 1, size[0] // 4 + 1, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))


def moved(picture: np.ndarray, by: int) -> np.ndarray:
    """Every value changed by the same amount; none of `smooth`'s comes to an end of the range."""
    return np.clip(picture.astype(int) + by, 0, 255).astype(np.uint8)


def save(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def reduced(picture: np.ndarray, scale: int = 4) -> np.ndarray:
    size = (picture.shape[1] // scale, picture.shape[0] // scale)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def pairs(root: Path, names: tuple[str, ...] = ("a", "b"), *, hr: str = "HR", lr: str = "LR", suffix: str = "") -> Path:
    for seed, name in enumerate(names):
        original = smooth(seed)
        save(root / hr / f"{name}.png", original)
        save(root / lr / f"{name}{suffix}.png", reduced(original))
    return root


def outputs(folder: Path, changes: dict[str, int], *, suffix: str = "") -> Path:
    """A model's pictures, made elsewhere: those of `pairs`, in order, moved by so much."""
    for seed, (name, by) in enumerate(changes.items()):
        save(folder / f"{name}{suffix}.png", moved(smooth(seed), by))
    return folder


def psnr_of(by: float) -> float:
    """Of a picture whose every value is off by so much."""
    return float(20 * np.log10(255 / abs(by)))


def hggt(root: Path, sets: dict[str, tuple[str, str, str, str]], changes: tuple[int, ...] = (0, 2, 4, 6, 8)) -> Path:
    """Test-100 with the labels that all three people give; version i is the original moved by `changes[i]`."""
    test = root / "Test" / "GT" / "Test-100"
    inputs = root / "Test" / "Blind_Degradation_Benchmark_LQ" / "Test-100" / "Blind_LR"
    for seed, (name, labels) in enumerate(sets.items()):
        original = smooth(seed)
        save(test / "images" / "original" / f"{name}.png", moved(original, changes[0]))
        save(inputs / f"{name}.png", reduced(original))
        for variant, by in zip(ENHANCED, changes[1:], strict=True):
            save(test / "images" / variant / f"{name}_{variant}.png", moved(original, by))
        for annotator in "ABC":
            file = test / "labels" / annotator / f"{name}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(label_json(labels, name), encoding="utf-8")
    return test


def realsr(root: Path, scale: int = 4, cameras: tuple[str, ...] = ("Canon", "Nikon"), count: int = 2) -> Path:
    for camera in cameras:
        for number in range(1, count + 1):
            original = smooth(number + 10 * len(camera), (24, 36))
            place = root / camera / "Test" / str(scale)
            save(place / f"{camera}_{number:03}_HR.png", original)
            save(place / f"{camera}_{number:03}_LR{scale}.png", reduced(original, scale))
    return root


def facts_of(folder: Path) -> dict[str, object]:
    return json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
