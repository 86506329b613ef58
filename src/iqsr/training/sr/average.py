"""The running average of the weights that learn: what is validated and kept."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average of a module's trainable parameters; the others do not change."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {n: p.detach().clone() for n, p in module.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take a step of `1 - decay` towards the module's weights."""
        for name, parameter in module.named_parameters():
            if name in self.values:
                self.values[name].lerp_(parameter, 1 - self.decay)

    @contextmanager
    def applied_to(self, module: nn.Module) -> Generator[None]:
        """Inside the block the module has the averaged weights; afterwards its own again."""
        own = {n: p.detach().clone() for n, p in module.named_parameters() if n in self.values}
        _fill(module, self.values)
        try:
            yield
        finally:
            _fill(module, own)


@torch.no_grad()
def _fill(module: nn.Module, values: dict[str, Tensor]) -> None:
    for name, parameter in module.named_parameters():
        if name in values:
            parameter.copy_(values[name])
