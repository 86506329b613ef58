"""Real-ESRGAN's U-Net discriminator with spectral norm, and the vanilla GAN loss (Wang et al., arXiv:2107.10833)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from iqsr.errors import UsageError


class UNetDiscriminator(nn.Module):
    """(N, 3, H, W) -> (N, 1, H, W) logits, above 0 for real; H and W multiples of 8. 4,376,897 parameters at 64."""

    def __init__(self, features: int = 64) -> None:
        super().__init__()
        f = features
        self.first = nn.Conv2d(3, f, 3, 1, 1)
        self.down = nn.ModuleList(_normed(a * f, b * f, 4, 2) for a, b in ((1, 2), (2, 4), (4, 8)))
        self.up = nn.ModuleList(_normed(a * f, b * f, 3, 1) for a, b in ((8, 4), (4, 2), (2, 1)))
        self.last = nn.Sequential(_normed(f, f, 3, 1), _rectifier(), _normed(f, f, 3, 1), _rectifier())
        self.out = nn.Conv2d(f, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class. UsageError for other sides: what is halved three times would not fit what is doubled again."""
        if x.shape[2] % 8 or x.shape[3] % 8:
            raise UsageError(f"the discriminator takes sides that are multiples of 8, got {x.shape[3]}x{x.shape[2]}")
        levels = [_rectified(self.first(x))]
        for layer in self.down:
            levels.append(_rectified(layer(levels[-1])))
        y = levels.pop()
        for layer in self.up:
            enlarged = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
            y = _rectified(layer(enlarged)) + levels.pop()
        return self.out(self.last(y))


def gan_loss(logits: Tensor, *, real: bool) -> Tensor:
    """Binary cross-entropy of logits against all real or all made: a scalar. The model's loss has real=True."""
    return F.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, float(real), dtype=torch.float32))


def _normed(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(inputs, outputs, kernel, stride, 1, bias=False))


def _rectifier() -> nn.Module:
    return nn.LeakyReLU(0.2)


def _rectified(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)
