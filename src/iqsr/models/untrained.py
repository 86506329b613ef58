"""Untrained models, for training from scratch and, tiny, for tests.

Each equals what `load_model` returns for a checkpoint of it. Weights come from `seed` alone; torch's own random
state is left as it was.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.SwinIR import SwinIR
from torch import Tensor, nn

from iqsr.errors import UsageError
from iqsr.models.checkpoint_reader import as_model, recognise
from iqsr.models.model import SRModel


def new_swinir(
    *, seed: int, depths: Sequence[int] = (6,) * 6, dim: int = 180, heads: Sequence[int] = (6,) * 6
) -> SRModel:
    """An untrained SwinIR x4 (Liang et al., 2021, arXiv:2108.10257); by default the official one: 11,900,199 weights.

    Window 8, mlp_ratio 2, pixel shuffle; it pads pictures to multiples of 8 itself. In train mode residual
    branches are dropped at random, up to one in ten (stochastic depth), as in the official training.
    depths: blocks of each layer; dim: channels; heads: attention heads of each layer, divisors of `dim`.
    """
    if len(depths) != len(heads) or not depths or any(dim % n for n in heads):
        raise UsageError(f"SwinIR: heads {tuple(heads)} must be one a layer of depths {tuple(depths)} and divide {dim}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = SwinIR(
            img_size=64,
            window_size=8,
            img_range=1.0,
            depths=list(depths),
            embed_dim=dim,
            num_heads=list(heads),
            mlp_ratio=2.0,
            upscale=4,
            upsampler="pixelshuffle",
            resi_connection="1conv",
        )
        return _as_loaded("swinir", network.state_dict())


def new_rrdbnet(*, seed: int, blocks: int = 23, features: int = 64, upscale: int = 4) -> SRModel:
    """An untrained RRDBNet (Wang et al., 2018, arXiv:1809.00219); by default Real-ESRGAN's: 16,697,987 weights.

    The convolutions inside the blocks start at a tenth of He's normal initialisation, as upstream's do.
    Dense layers have 32 channels: spandrel, which rebuilds it from its weights, knows no other.
    upscale: a power of two from 2.
    """
    if blocks < 1 or features < 1 or upscale < 2 or upscale & (upscale - 1):
        raise UsageError(f"RRDBNet: {blocks} blocks, {features} features, x{upscale} is not possible")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = ESRGAN(num_filters=features, num_blocks=blocks, scale=upscale)
        for name, part in network.named_modules():
            if isinstance(part, nn.Conv2d) and ".RDB" in name:
                nn.init.kaiming_normal_(part.weight)
                part.weight.data.mul_(0.1)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
        return _as_loaded("rrdbnet", network.state_dict())


def _as_loaded(name: str, state: dict[str, Tensor]) -> SRModel:
    return as_model(recognise(state, Path(name)), name=name, licence="unknown")
