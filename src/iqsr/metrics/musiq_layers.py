"""MUSIQ's layers: a small residual network for the patches, a transformer for the picture.

Ke et al., ICCV 2021, arXiv:2108.05997, section 3.4 and supplement. Every layer computes in the precision of its own
weights: in bf16 those of convolutions and matrix products, while normalisations and residual sums stay float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH = 32
"""Side of a patch in pixels; patches do not overlap."""
WIDTH = 384
HEADS = 6
LAYERS = 14
MLP_WIDTH = 1152
STEM_WIDTH = 64
FEATURES = 4 * STEM_WIDTH * (PATCH // 4) ** 2
"""Number of features that the stem computes for a patch."""


class Linear(nn.Linear):
    """A linear layer that takes its input in any precision."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., ins) -> (..., outs) in the precision of the weights."""
        return super().forward(input.to(self.weight.dtype))


class Convolution(nn.Conv2d):
    """A convolution without bias that takes its input in any precision.

    Its weights are standardised (Qiao et al., arXiv:1903.10520) once, when they are loaded: they never change.
    """

    def __init__(self, ins: int, outs: int, size: int, *, stride: int = 1, padding: int = 0) -> None:
        super().__init__(ins, outs, size, stride=stride, padding=padding, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """(N, ins, H, W) -> (N, outs, h, w) in the precision of the weights."""
        return super().forward(input.to(self.weight.dtype))


class GroupNorm(nn.GroupNorm):
    """Group normalisation of channels-last maps.

    PyTorch's own does not use vector instructions there when groups are narrow (64 channels in 32 groups), and takes
    three times as long.
    """

    _NARROW = 2

    def __init__(self, channels: int, *, eps: float = 1e-4) -> None:
        super().__init__(32, channels, eps=eps)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape, in the precision of the weights."""
        x = input.to(self.weight.dtype)
        width = self.num_channels // self.num_groups
        if width > self._NARROW:
            return super().forward(x)
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # (N, H * W, C)
        mean = pixels.mean(1).unflatten(1, (-1, width)).mean(2).repeat_interleave(width, 1)
        centred = pixels - mean[:, None]
        variance = centred.square().mean(1).unflatten(1, (-1, width)).mean(2).repeat_interleave(width, 1)
        gain = (variance + self.eps).rsqrt() * self.weight
        normalised = torch.addcmul(self.bias, centred, gain[:, None])
        return normalised.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


class Stem(nn.Module):
    """Computes `FEATURES` features of a patch: the root and one bottleneck of a ResNet with group normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Convolution(3, STEM_WIDTH, 7, stride=2)
        self.root_norm = GroupNorm(STEM_WIDTH, eps=1e-6)
        self.reduce = Convolution(STEM_WIDTH, STEM_WIDTH, 1)
        self.reduce_norm = GroupNorm(STEM_WIDTH)
        self.spread = Convolution(STEM_WIDTH, STEM_WIDTH, 3, padding=1)
        self.spread_norm = GroupNorm(STEM_WIDTH)
        self.expand = Convolution(STEM_WIDTH, 4 * STEM_WIDTH, 1)
        self.expand_norm = GroupNorm(4 * STEM_WIDTH)
        self.shortcut = Convolution(STEM_WIDTH, 4 * STEM_WIDTH, 1)
        self.shortcut_norm = GroupNorm(4 * STEM_WIDTH)

    def forward(self, patches: Tensor) -> Tensor:
        """patches: (M, 3, 32, 32) in [-1, 1]. Returns (M, FEATURES), ordered by position, then by channel."""
        x = F.pad(patches.contiguous(memory_format=torch.channels_last), (2, 3, 2, 3))  # TensorFlow's SAME
        x = self.root_norm(self.root(x))
        x = F.max_pool2d(x, 3, stride=2, ceil_mode=True).relu()  # commutes, and there is less left
        y = self.reduce_norm(self.reduce(x)).relu()
        y = self.spread_norm(self.spread(y)).relu()
        y = self.expand_norm(self.expand(y))
        x = (y + self.shortcut_norm(self.shortcut(x))).relu()
        return x.permute(0, 2, 3, 1).flatten(1)


class EncoderBlock(nn.Module):
    """One layer of the transformer, normalising first (Xiong et al., arXiv:2002.04745)."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(WIDTH, eps=1e-6)
        self.query = Linear(WIDTH, WIDTH)
        self.key_value = Linear(WIDTH, 2 * WIDTH)
        self.out = Linear(WIDTH, WIDTH)
        self.mlp_norm = nn.LayerNorm(WIDTH, eps=1e-6)
        self.mlp_in = Linear(WIDTH, MLP_WIDTH)
        self.mlp_out = Linear(MLP_WIDTH, WIDTH)

    def forward(self, x: Tensor, mask: Tensor | None, only_first: int | None = None) -> Tensor:
        """x: (N, T, WIDTH) float32. mask: (N, 1, 1, T), True for tokens that are attended to; None for all.

        only_first: how many tokens are computed (each attends to all); None for all.

        Returns (N, T or only_first, WIDTH).
        """
        normal = self.attention_norm(x)
        x = x[:, :only_first]
        query = _heads(self.query(normal[:, :only_first]))
        key, value = (_heads(part) for part in self.key_value(normal).chunk(2, dim=-1))
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x))))


def _heads(x: Tensor) -> Tensor:
    """(N, T, WIDTH) -> (N, HEADS, T, WIDTH / HEADS)."""
    return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)
