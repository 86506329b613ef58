"""JPEG compression without a file: colour conversion, 4:2:0 subsampling, DCT and quantisation of a batch.

ITU-T T.81; quality as the Independent JPEG Group scales it, but the tables stay unrounded, as in the batched JPEG of
Real-ESRGAN, so that quality is continuous. Gradients are those of rounding: zero.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.errors import UsageError

# T.81, tables K.1 and K.2.
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
# JFIF 1.02: R, G, B -> Y, Cb, Cr without the offset of 128, and back.
_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def jpeg(x: Tensor, quality: Tensor) -> Tensor:
    """x: (N, 3, H, W) in [0, 1]; quality: (N,) in [1, 100]. Returns (N, 3, H, W) in [0, 1], not rounded to 8 bit.

    The picture is filled up with black to multiples of 16, below and on the right. Raises UsageError for qualities
    that are not one a picture or out of range.
    """
    if quality.shape != x.shape[:1] or not ((quality >= 1) & (quality <= 100)).all():
        raise UsageError(
            f"JPEG needs one quality in [1, 100] for each of {x.shape[0]} pictures, got {quality.tolist()}"
        )
    height, width = x.shape[2:]
    padded = F.pad(x, (0, -width % 16, 0, -height % 16)) * 255
    ycbcr = _mix(padded, _TO_YCBCR)
    step = quantisation_factor(quality).to(x)[:, None]
    luma = _quantised(ycbcr[:, :1] - 128, x.new_tensor(_LUMA).flatten() * step) + 128
    chroma = _quantised(F.avg_pool2d(ycbcr[:, 1:], 2), x.new_tensor(_CHROMA).flatten() * step)
    whole = torch.cat([luma, chroma.repeat_interleave(2, 2).repeat_interleave(2, 3)], 1)
    return (_mix(whole, _TO_RGB)[:, :, :height, :width] / 255).clamp(0, 1)


def quantisation_factor(quality: Tensor) -> Tensor:
    """The factor of the standard tables: 1 at quality 50, 0.02 at 99, 50 at 1.

    At 100 the steps would be 0; they are kept a thousandth of the tables there, which is lossless to 8 bit.
    """
    return torch.where(quality < 50, 50 / quality, (200 - 2 * quality) / 100).clamp(min=1e-3)


def _quantised(planes: Tensor, steps: Tensor) -> Tensor:
    """Round the planes' 8x8 DCT to multiples of `steps` (N, 64). planes: (N, C, H, W), H and W multiples of 8."""
    n, channels, height, width = planes.shape
    transform = _dct_matrix(planes)
    blocks = planes.reshape(n, channels, height // 8, 8, width // 8, 8).transpose(3, 4).reshape(n, -1, 64)
    coefficients = blocks @ transform
    steps = steps[:, None]
    blocks = ((coefficients / steps).round() * steps) @ transform.T
    blocks = blocks.reshape(n, channels, height // 8, width // 8, 8, 8).transpose(3, 4)
    return blocks.reshape(n, channels, height, width)


def _dct_matrix(like: Tensor) -> Tensor:
    """(64, 64) orthogonal: a flattened 8x8 block times it is the block's two-dimensional DCT-II, flattened."""
    at = torch.arange(8, dtype=torch.float64)
    basis = torch.cos((2 * at + 1) * at[:, None] * math.pi / 16) / 2  # basis[frequency, place]
    basis[0] /= math.sqrt(2)
    return torch.kron(basis, basis).T.to(like)


def _mix(x: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """Each pixel's three channels times a 3x3 matrix."""
    return torch.einsum("oc,nchw->nohw", x.new_tensor(matrix), x)
