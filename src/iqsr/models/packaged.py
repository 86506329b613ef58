"""The models of `registry.toml`, loaded: Real-ESRGAN's (Wang et al., 2021, arXiv:2107.10833).

Those whose weights come in a Python package, as ncnn arrays, and our own are built here; spandrel builds the
downloaded ones.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iqsr.errors import UsageError
from iqsr.io.weights import known_weight, locate
from iqsr.models.model import SRModel
from iqsr.models.ncnn import Shapes, read_ncnn
from iqsr.models.real_esrgan import RRDBNet, SRVGGNetCompact, real_esrgan_names
from iqsr.models.registry import SHARPENED_MODEL, ModelEntry, registry


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


class FineSharpening(nn.Module):
    """Unsharp masking of fine detail: a Gaussian of one pixel is taken away from the picture, the rest added to it.

    (N, 3, H, W) -> (N, 3, H, W), not clamped. One convolution of 7 x 7 for each channel, the edge repeated around.

    Args:
        amount: How much of the fine detail is added; 0 changes nothing.
    """

    RADIUS = 3

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.taps: Tensor
        self.register_buffer("taps", _sharpening_taps(amount, self.RADIUS), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W)."""
        return F.conv2d(F.pad(x, (self.RADIUS,) * 4, mode="replicate"), self.taps, groups=3)


def _sharpening_taps(amount: float, radius: int) -> Tensor:
    """Convolution weight (3, 1, 2 * radius + 1, 2 * radius + 1): the same filter for each channel."""
    line = torch.exp(-(torch.arange(-radius, radius + 1, dtype=torch.float64) ** 2) / 2)
    line /= line.sum()
    plane = -amount * torch.outer(line, line)
    plane[radius, radius] += 1 + amount
    return plane.repeat(3, 1, 1, 1).float()


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


def load_packaged(name: str, strength: float | None = None) -> SRModel:
    """The model of a name in the registry, sharpened so much; by its own strength where none is given.

    Raises WeightsError, with the command that fetches its weights, and UsageError for a strength that is not from 0
    to 1, or where nothing is sharpened.
    """
    entry = registry()[name]
    strength = _checked_strength(entry, strength)
    model = _own(entry) if entry.file else _from_ncnn(entry) if entry.network else _from_checkpoint(entry)
    if strength:
        model = replace(model, module=nn.Sequential(model.module, FineSharpening(strength)).eval())
    if entry.reduce is None:
        return model
    kept, of = entry.reduce
    reduced = nn.Sequential(model.module, BicubicReduce(kept, of)).eval()
    return replace(model, module=reduced, scale=model.scale * kept // of)


def _checked_strength(entry: ModelEntry, strength: float | None) -> float:
    if strength is None:
        return entry.strength or 0.0
    if not 0 <= strength <= 1:
        raise UsageError(f"the strength goes from 0 to 1, got {strength:g}")
    if entry.strength is None:
        raise UsageError(f"'{entry.name}' sharpens nothing, so it has no strength; {SHARPENED_MODEL} has one")
    return strength


def ncnn_shapes(entry: ModelEntry) -> Shapes:
    """The arrays of the entry's ncnn `.bin`, in file order."""
    return rrdbnet_shapes(entry.depth) if entry.network == "rrdbnet" else compact_shapes(entry.depth)


def _from_ncnn(entry: ModelEntry) -> SRModel:
    module = _empty(entry)
    arrays = read_ncnn(locate(entry.weights), ncnn_shapes(entry))
    names = list(module.state_dict())
    upstream = real_esrgan_names(names) if entry.network == "rrdbnet" else {own: own for own in names}
    module.load_state_dict({own: arrays[theirs] for own, theirs in upstream.items()}, assign=True)
    return _as_model(entry, module, known_weight(entry.weights).licence)


def _own(entry: ModelEntry) -> SRModel:
    """A model of our own, whose weights (fp16) are in this package under spandrel's names."""
    from safetensors.torch import load_file

    module = _empty(entry)
    arrays = load_file(entry.path)
    module.load_state_dict({name: array.float() for name, array in arrays.items()}, assign=True)
    return _as_model(entry, module, entry.licence)


def _empty(entry: ModelEntry) -> RRDBNet | SRVGGNetCompact:
    """The entry's network. Its weights hold no memory: random ones would only be replaced."""
    with torch.device("meta"):
        if entry.network == "rrdbnet":
            return RRDBNet(blocks=entry.depth)
        return SRVGGNetCompact(convolutions=entry.depth)


def _as_model(entry: ModelEntry, module: RRDBNet | SRVGGNetCompact, licence: str) -> SRModel:
    return SRModel(
        name=entry.name,
        module=module.eval().requires_grad_(False),
        scale=4,
        architecture=module.architecture,
        licence=licence,
    )


def _from_checkpoint(entry: ModelEntry) -> SRModel:
    from iqsr.models.checkpoint_reader import as_model, read_checkpoint, recognise

    path = locate(entry.weights)
    descriptor = recognise(read_checkpoint(path), path)
    return as_model(descriptor, name=entry.name, licence=known_weight(entry.weights).licence)
