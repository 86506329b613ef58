"""Deeper SRVGGNetCompact: layers that change nothing at first, for a training to use."""

from dataclasses import replace

import torch
from torch import nn

from iqsr.errors import UsageError
from iqsr.models.model import SRModel
from iqsr.models.real_esrgan import SRVGGNetCompact


def deepened(model: SRModel, convolutions: int) -> SRModel:
    """A copy of an SRVGGNetCompact with more inner convolutions and, to rounding, the same outputs.

    Identity convolutions with a PReLU of slope 1 are added before the last layer (Chen et al., "Net2Net", ICLR 2016,
    arXiv:1511.05641).

    Raises UsageError for another network, and for fewer convolutions than it has.
    """
    old = getattr(model.module, "body", None)
    first = old[0] if isinstance(old, nn.ModuleList) else None
    if model.architecture != "Compact" or not isinstance(old, nn.ModuleList) or not isinstance(first, nn.Conv2d):
        raise UsageError(f"model.convolutions is for SRVGGNetCompact, '{model.name}' is {model.architecture}")
    present, features = len(old) // 2 - 1, first.out_channels
    if convolutions < present:
        raise UsageError(
            f"'{model.name}' has {present} inner convolutions: model.convolutions = {convolutions} is less"
        )
    module = SRVGGNetCompact(convolutions=convolutions, features=features, scale=model.scale)
    for number, layer in enumerate(old[:-1]):
        module.body[number].load_state_dict(layer.state_dict())
    for number in range(len(old) - 1, len(module.body) - 1, 2):
        _as_identity(module.body[number], module.body[number + 1])
    module.body[-1].load_state_dict(old[-1].state_dict())
    return replace(model, module=module.eval().requires_grad_(False))


@torch.no_grad()
def _as_identity(conv: nn.Module, rectifier: nn.Module) -> None:
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    assert isinstance(rectifier, nn.PReLU)
    nn.init.dirac_(conv.weight)
    nn.init.zeros_(conv.bias)
    nn.init.ones_(rectifier.weight)
