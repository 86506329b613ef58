"""Consistency with the low-resolution input: what an output invents must not contradict what it was made of.

The output is reduced to the input's size and compared with it: "LR-PSNR" in the literature on generative
super-resolution (Lugmayr et al., "SRFlow", ECCV 2020, arXiv:2006.14200).
"""

import torch.nn.functional as F
from torch import Tensor

_LEAST_ERROR = 1e-10
"""Of 100 dB."""


def reduced(x: Tensor, scale: int) -> Tensor:
    """x: (N, 3, H, W) reduced by `scale`, bicubic with antialiasing; not clamped."""
    return F.interpolate(x, scale_factor=1 / scale, mode="bicubic", antialias=True, align_corners=False)


def lr_consistency(output: Tensor, lr: Tensor) -> Tensor:
    """(N,): PSNR in dB of the reduced output against the input; higher is better, at most 100.

    output: (N, 3, H, W) in [0, 1]; lr: (N, 3, h, w), both sides smaller by the same whole factor. Differentiable.
    """
    small = reduced(output, output.shape[2] // lr.shape[2]).clamp(0, 1)
    error = (small - lr).square().flatten(1).mean(1)
    return -10 * error.clamp_min(_LEAST_ERROR).log10()
