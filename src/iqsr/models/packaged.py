"""The Real-ESRGAN networks whose weights iqsr knows by name (Wang et al., 2021, arXiv:2107.10833).

Those that a package brings are built here (`real_esrgan`), the downloaded ones by spandrel.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iqsr.io.weights import known_weight, locate
from iqsr.models.model import SRModel
from iqsr.models.ncnn import Shapes, read_ncnn
from iqsr.models.real_esrgan import RRDBNet, SRVGGNetCompact, real_esrgan_names


def rrdbnet_shapes(blocks: int, features: int = 64, growth: int = 32) -> Shapes:
    """RRDBNet x4's arrays in file order: head, `blocks` of 3 x 5 layers, trunk, two upsamplings, tail."""
    layers = {"conv_first": (features, 3)}
    for block in range(blocks):
        for dense in (1, 2, 3):
            for conv in range(1, 6):
                outputs = growth if conv < 5 else features
                layers[f"body.{block}.rdb{dense}.conv{conv}"] = (outputs, features + (conv - 1) * growth)
    layers |= dict.fromkeys(["conv_body", "conv_up1", "conv_up2", "conv_hr"], (features, features))
    layers["conv_last"] = (3, features)
    return {
        f"{name}.{kind}": shape
        for name, (outputs, inputs) in layers.items()
        for kind, shape in (("weight", (outputs, inputs, 3, 3)), ("bias", (outputs,)))
    }


def compact_shapes(convolutions: int, features: int = 64, scale: int = 4) -> Shapes:
    """SRVGGNetCompact's arrays in file order: convolution, PReLU, ..., the pixel shuffle's convolution."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(convolutions + 1):
        shapes[f"body.{2 * layer}.weight"] = (features, features if layer else 3, 3, 3)
        shapes[f"body.{2 * layer}.bias"] = (features,)
        shapes[f"body.{2 * layer + 1}.weight"] = (features,)
    last = 2 * convolutions + 2
    return shapes | {
        f"body.{last}.weight": (3 * scale**2, features, 3, 3),
        f"body.{last}.bias": (3 * scale**2,),
    }


class BicubicReduce(nn.Module):
    """Fixed bicubic resampling by `kept`/`of`, e.g. 3/4, as ncnn's `Interp` does it (type 3, a = -0.75).

    (N, 3, H, W) -> (N, 3, H * kept / of, W * kept / of); H and W are multiples of `of`. Every `of` rows
    give `kept` rows with the same taps wherever they stand: one convolution with stride `of`, the edge
    repeated once around, then a pixel shuffle. Equals `interpolate(mode="bicubic")` without its rounding of
    coordinates, which grows with the picture.
    """

    def __init__(self, kept: int, of: int) -> None:
        super().__init__()
        self.kept, self.of = kept, of
        self.taps: Tensor
        self.register_buffer("taps", _bicubic_taps(kept, of), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W)."""
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.pixel_shuffle(F.conv2d(x, self.taps, stride=self.of, groups=3), self.kept)


def _bicubic_taps(kept: int, of: int) -> Tensor:
    """Convolution weight (3 * kept^2, 1, of + 2, of + 2), one filter per channel and output phase."""
    a = -0.75
    line = torch.zeros(kept, of + 2, dtype=torch.float64)
    for phase in range(kept):
        centre = (phase + 0.5) * of / kept - 0.5
        for position in range(int(centre) - 1, int(centre) + 3):
            d = abs(position - centre)  # Keys (1981), eq. 4
            near = (a + 2) * d**3 - (a + 3) * d**2 + 1
            far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
            line[phase, position + 1] = near if d <= 1 else far
    plane = torch.einsum("ik,jl->ijkl", line, line).reshape(kept * kept, 1, of + 2, of + 2)
    return plane.repeat(3, 1, 1, 1).float()


@dataclass(frozen=True)
class Network:
    """How a named model is made."""

    weights: str
    """Name in `weights.toml`."""
    shapes: Callable[[], Shapes] | None = None
    """The arrays of an ncnn `.bin`; None for an ordinary checkpoint."""
    build: Callable[[], RRDBNet | SRVGGNetCompact] | None = None
    """Makes the network that these arrays are for."""
    reduce: tuple[int, int] | None = None
    """Resampling at the end, as (kept, of)."""


_X4PLUS = Network("realesrgan-x4plus", partial(rrdbnet_shapes, 23), partial(RRDBNet, blocks=23))
_ANIME = Network("realesrgan-x4plus-anime", partial(rrdbnet_shapes, 6), partial(RRDBNet, blocks=6))
_ANIMEVIDEO = Network("realesr-animevideov3", partial(compact_shapes, 16), partial(SRVGGNetCompact, convolutions=16))
NETWORKS = {
    "realesrgan-x4plus": _X4PLUS,
    "realesrgan-x4plus-anime": _ANIME,
    "realesr-animevideov3-x2": replace(_ANIMEVIDEO, reduce=(1, 2)),
    "realesr-animevideov3-x3": replace(_ANIMEVIDEO, reduce=(3, 4)),
    "realesr-animevideov3-x4": _ANIMEVIDEO,
    "realesr-animevideov3": _ANIMEVIDEO,
    "realesrgan-x2plus": Network("realesrgan-x2plus"),
    "realesr-general-x4v3": Network("realesr-general-x4v3"),
}
"""Every named model, the default first. `realesr-animevideov3` is its x4; x2 and x3 reduce that output,
as upstream's own ncnn models do."""


def load_packaged(name: str) -> SRModel:
    """The model called `name`, one of `NETWORKS`.

    Raises WeightsError, with the command that brings the weights, if they are not here.
    """
    network = NETWORKS[name]
    model = _built(network, name) if network.build else _recognised(network, name)
    if network.reduce is None:
        return model
    kept, of = network.reduce
    reduced = nn.Sequential(model.module, BicubicReduce(kept, of)).eval()
    return replace(model, module=reduced, scale=model.scale * kept // of)


def _built(network: Network, name: str) -> SRModel:
    assert network.build is not None
    assert network.shapes is not None
    with torch.device("meta"):  # random weights would only be replaced
        module = network.build()
    arrays = read_ncnn(locate(network.weights), network.shapes())
    names = list(module.state_dict())
    upstream = real_esrgan_names(names) if isinstance(module, RRDBNet) else {own: own for own in names}
    module.load_state_dict({own: arrays[theirs] for own, theirs in upstream.items()}, assign=True)
    return SRModel(
        name=name,
        module=module.eval().requires_grad_(False),
        scale=4,
        architecture=module.architecture,
        licence=known_weight(network.weights).licence,
    )


def _recognised(network: Network, name: str) -> SRModel:
    from iqsr.models.community import as_model, read_checkpoint, recognise

    path = locate(network.weights)
    found = recognise(read_checkpoint(path), path)
    return as_model(found, name=name, licence=known_weight(network.weights).licence)
