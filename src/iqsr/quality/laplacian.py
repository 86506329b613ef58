"""Variance of the Laplacian (Pech-Pacheco et al., ICPR 2000, doi:10.1109/ICPR.2000.903548): sharpness, naively.

A baseline, not a judge: noise, ringing and compression blocks raise it as much as detail does.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.quality.planes import gray


def laplacian(x: Tensor) -> Tensor:
    """x: (N, 3, H, W) in [0, 1], at least 3x3. Returns (N,), the variance of its gray Laplacian; higher is sharper.

    On the scale of 0 to 255 that is usual for it (below 100 is often called blurred). Differentiable.
    """
    plane = 255 * gray(x)
    kernel = plane.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).view(1, 1, 3, 3)
    with torch.autocast(x.device.type, enabled=False):
        return F.conv2d(plane, kernel).flatten(1).var(1, correction=0)
