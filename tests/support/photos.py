"""Photos that come with scikit-image, as tensors."""

import numpy as np
import torch
from skimage import data
from torch import Tensor


def photo(name: str = "astronaut", side: int = 192) -> Tensor:
    """(1, 3, side, side), of the upper middle."""
    found = torch.from_numpy(np.array(getattr(data, name)())).permute(2, 0, 1)[None].float() / 255
    left = (found.shape[3] - side) // 2
    return found[:, :, :side, left : left + side]
