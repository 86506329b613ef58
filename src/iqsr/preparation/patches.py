"""The positions of patches in a photo, and which patches are kept: the rules of HGGT's patch selection.

Chen et al., "Human Guided Ground-truth Generation for Realistic Image Super-resolution", CVPR 2023, arXiv:2303.13069,
and its published code. Patches lie on a grid with a random start, each jittered; flat and blurred ones are dropped.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from iqsr.preparation.recipe import PatchRecipe

Pixels = NDArray[np.uint8]
"""(H, W, 3) RGB."""

_START = ((2400, 128), (1200, 64), (0, 32))
"""(minimum side, latest start of the grid) in pixels."""


def patch_positions(height: int, width: int, recipe: PatchRecipe, rng: torch.Generator) -> list[tuple[int, int]]:
    """(row, column) of the first pixel of every patch, in reading order of the grid.

    An axis starts at U{0..k}, k = 128 for sides of 2400 pixels and more, 64 from 1200 on, else 32; then every `step`.
    Each position is moved by U{-jitter..jitter} on each axis, but not below 0. Patches that do not fit then are
    dropped, so that a photo hardly larger than the crop may have no patch.
    """
    rows = range(_whole(0, _latest_start(height), rng), height, recipe.step)
    columns = range(_whole(0, _latest_start(width), rng), width, recipe.step)
    found: list[tuple[int, int]] = []
    for row in rows:
        for column in columns:
            moved = [max(0, at + _whole(-recipe.jitter, recipe.jitter, rng)) for at in (row, column)]
            if moved[0] + recipe.crop <= height and moved[1] + recipe.crop <= width:
                found.append((moved[0], moved[1]))
    return found


def is_textured(patch: Pixels, recipe: PatchRecipe) -> bool:
    """Whether a patch has contrast and detail enough. A set is kept if any of its versions has."""
    values = gray(patch)
    return bool(values.std() >= recipe.contrast and laplacian(values).var() >= recipe.detail)


def gray(pixels: Pixels) -> Pixels:
    """(H, W, 3) -> (H, W): BT.601 luma as Pillow's `convert("L")` rounds it."""
    weights = np.array([19595, 38470, 7471], np.uint32)  # 0.299, 0.587, 0.114 of 2^16
    return ((pixels.astype(np.uint32) @ weights + 0x8000) >> 16).astype(np.uint8)


def laplacian(values: Pixels) -> Pixels:
    """Sum of the four neighbours minus four times the pixel, cut to [0, 255]; the border is mirrored.

    (H, W) -> (H, W), as OpenCV's `Laplacian(values, CV_8U)` with its default kernel: negatives become 0, which halves
    what an edge counts.
    """
    x = np.pad(values.astype(np.int32), 1, mode="reflect")
    sums = x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - 4 * x[1:-1, 1:-1]
    return sums.clip(0, 255).astype(np.uint8)


def _latest_start(side: int) -> int:
    return next(latest for least, latest in _START if side >= least)


def _whole(low: int, high: int, rng: torch.Generator) -> int:
    """A whole number in [low, high]."""
    return int(torch.randint(low, high + 1, (), generator=rng))
