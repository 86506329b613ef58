"""The running average of the weights that learn: what is validated and kept."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average of a module's trainable parameters; the others do not change."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self._learning = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.values = {n: p.detach().clone() for n, p in self._learning.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take a step of `1 - decay` towards the module's weights."""
        for name, parameter in self._learning.items():
            self.values[name].lerp_(parameter, 1 - self.decay)

    @contextmanager
    def applied(self) -> Generator[None]:
        """Inside the block the module has the averaged weights; afterwards its own again."""
        own = {name: parameter.detach().clone() for name, parameter in self._learning.items()}
        self._fill(self.values)
        try:
            yield
        finally:
            self._fill(own)

    @torch.no_grad()
    def _fill(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self._learning.items():
            parameter.copy_(values[name])
