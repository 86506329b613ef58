"""Pictures for NIQE and BRISQUE: gray ones without plain areas, and the calibration pictures of IQA-PyTorch."""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from support.reference_pictures import picture

CALIBRATION_PICTURES = ("I03", "I04", "I06", "I08", "I19")
"""Of TID2013, distorted; they come with the pyiqa package. Large parts of I03, I08 and I19 are plain."""


def calibration_picture(name: str) -> Tensor:
    """(1, 3, 384, 512)."""
    spec = importlib.util.find_spec("ResultsCalibra")
    folder = Path(next(iter(spec.submodule_search_locations)))  # type: ignore[union-attr,arg-type]
    pixels = torch.from_numpy(np.array(Image.open(folder / "dist_dir" / f"{name}.bmp")))
    return pixels.permute(2, 0, 1)[None] / 255


def gray(height: int, width: int, *, seed: int = 0, count: int = 1) -> Tensor:
    """Texture in whole gray levels, R = G = B, no pixel like all its neighbours: (count, 3, height, width)."""
    levels = (255 * picture(height, width, seed=seed, count=count)[:, :1]).round() / 255
    return levels.expand(-1, 3, -1, -1).contiguous()


def photo(name: str, height: int, width: int) -> Tensor:
    """The upper left part of one of scikit-image's photos: (1, 3, height, width)."""
    from skimage import data

    pixels = torch.from_numpy(np.array(getattr(data, name)()))
    return pixels.permute(2, 0, 1)[None, :, :height, :width].float() / 255
