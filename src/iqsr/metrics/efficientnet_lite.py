"""EfficientNet-Lite0 and Lite2 as trunks of features (Tan & Le, ICML 2019, arXiv:1905.11946; the Lite variants are
Google's of 2020), their batch norms folded into the convolutions.

Names of layers and results are those of timm's `tf_efficientnet_lite0` and `tf_efficientnet_lite2`, which would take
seconds to import.
"""

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

# For each stage: number of blocks, kernel size, stride, expansion, channels.
_Stages = tuple[tuple[int, int, int, int, int], ...]
_LITE0: _Stages = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_LITE2: _Stages = (
    (1, 3, 1, 1, 16),
    (3, 3, 2, 6, 24),
    (3, 5, 2, 6, 48),
    (4, 3, 2, 6, 88),
    (4, 5, 1, 6, 120),
    (5, 5, 2, 6, 208),
    (1, 3, 1, 6, 352),
)
_FEATURE_STAGES = (0, 1, 2, 4, 6)
CHANNELS = tuple(_LITE0[number][4] for number in _FEATURE_STAGES)
"""Channels of Lite0's five feature maps, at 1/2, 1/4, 1/8, 1/16 and 1/32 of the picture's size."""
WIDTHS, LITE2_WIDTHS = (tuple(stage[4] for stage in stages) for stages in (_LITE0, _LITE2))
"""Channels of all seven stages, of Lite0 and of Lite2."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's mean and deviation of red, green and blue."""
_EPSILON = 1e-3


class EfficientNetLite(nn.Module):
    """Maps (N, 3, H, W), normalised by ImageNet's mean and deviation, to five feature maps, the finest first."""

    def __init__(self, plan: _Stages) -> None:
        super().__init__()
        self.conv_stem = SameConv2d(3, 32, 3, 2)
        stages: list[nn.Module] = []
        inputs = 32
        for count, kernel, stride, expansion, outputs in plan:
            blocks: list[nn.Module] = []
            for number in range(count):
                blocks.append(Block(inputs, outputs, kernel, stride if number == 0 else 1, expansion))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """x: (N, 3, H, W)."""
        x, features = F.relu6(self.conv_stem(x)), list[Tensor]()
        for number, stage in enumerate(self.blocks):
            x = stage(x)
            if number in _FEATURE_STAGES:
                features.append(x)
        return features

    def stages(self, x: Tensor) -> list[Tensor]:
        """x: (N, 3, H, W). Returns the results of all seven stages, the finest first."""
        x, features = F.relu6(self.conv_stem(x)), list[Tensor]()
        for stage in self.blocks:
            x = stage(x)
            features.append(x)
        return features

    def load_unfolded(self, values: Iterable[Tensor]) -> None:
        """Load the weights of the same network with batch norms, folding the norms into the convolutions.

        values: for each convolution in order its weight, then the weight, bias, mean, variance and batch count of its
        norm; the weights of a classifier may follow and are ignored.
        """
        following = iter(values)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                kernel, scale, shift, mean, variance, _ = (next(following) for _ in range(6))
                fused = fuse_conv_bn_weights(kernel, None, mean, variance, _EPSILON, scale, shift)
                layer.weight, layer.bias = fused


class EfficientNetLite0(EfficientNetLite):
    """The smallest of the family."""

    def __init__(self) -> None:
        super().__init__(_LITE0)


class EfficientNetLite2(EfficientNetLite):
    """Wider and deeper than Lite0."""

    def __init__(self) -> None:
        super().__init__(_LITE2)


class Block(nn.Module):
    """An inverted residual block: expansion (1x1), depthwise convolution, projection (1x1)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expands = expansion > 1
        if self.expands:
            self.conv_pw = nn.Conv2d(inputs, width, 1)
        self.conv_dw = SameConv2d(width, width, kernel, stride, groups=width)
        if self.expands:
            self.conv_pwl = nn.Conv2d(width, outputs, 1)
        else:
            self.conv_pw = nn.Conv2d(width, outputs, 1)
        self.has_shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W)."""
        inside = F.relu6(self.conv_pw(x)) if self.expands else x
        inside = F.relu6(self.conv_dw(inside))
        out = self.conv_pwl(inside) if self.expands else self.conv_pw(inside)
        return out + x if self.has_shortcut else out


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow does: the output has 1/stride of the size, rounded up.

    With a stride, the right and lower edges get more zeros than the left and upper ones.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, *, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups)

    def forward(self, input: Tensor) -> Tensor:
        """input: (N, C, H, W)."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride > 1:
            height, width = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in input.shape[2:])
            input = F.pad(input, (width // 2, width - width // 2, height // 2, height - height // 2))
        return super().forward(input)
