"""Folders of pictures by several methods, and a small study of them."""

from pathlib import Path

import numpy as np
from PIL import Image

from iqsr.study.create import create_study
from iqsr.study.plan import Plan
from iqsr.study.settings import Settings


def method_folders(
    root: Path, scenes: int = 4, methods: tuple[str, ...] = ("a", "b"), size: tuple[int, int] = (24, 18)
) -> dict[str, Path]:
    """Pictures of noise, another for each method and scene; name of the method -> folder."""
    folders: dict[str, Path] = {}
    for number, method in enumerate(methods):
        folders[method] = root / method
        folders[method].mkdir(parents=True)
        for scene in range(scenes):
            pixels = np.random.default_rng([number, scene]).integers(0, 256, (size[1], size[0], 3), np.uint8)
            pixels[: number * 4] = 128  # noise is as long as noise: lengths of files are to differ
            Image.fromarray(pixels).save(folders[method] / f"s{scene}.png")
    return folders


def small_study(
    root: Path, plan: Plan, scenes: int = 4, methods: tuple[str, ...] = ("a", "b"), **texts: object
) -> Path:
    """The folder of a study. texts: settings."""
    create_study(
        method_folders(root / "methods", scenes, methods), root / "study", plan, settings=Settings.model_validate(texts)
    )
    return root / "study"
