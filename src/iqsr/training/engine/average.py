"""The running average of the weights that learn: what is validated and kept."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class Average:
    """Exponential moving average of tensors: after each step it moves a share of `1 - decay` towards them.

    Args:
        tensors: The weights by name. They are read where they are: they must stay the module's own.
        decay: The largest decay.
        warmup: None for the same decay in every step. A number w makes the decay grow with the step, so that the
            average soon forgets the weights before the first step: min(decay, (w + step) / (10 + step)).
    """

    def __init__(self, tensors: Mapping[str, Tensor], decay: float, *, warmup: int | None = None) -> None:
        self.tensors, self.decay, self.warmup = tensors, decay, warmup
        self.values = {name: tensor.detach().clone() for name, tensor in tensors.items()}

    def decay_at(self, step: int) -> float:
        """The decay after a step; steps count from 1."""
        return self.decay if self.warmup is None else min(self.decay, (self.warmup + step) / (10 + step))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights that the step numbered `step`, from 1, has made."""
        decay = self.decay_at(step)
        for name, tensor in self.tensors.items():
            self.values[name].lerp_(tensor, 1 - decay)

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Continue with the values of a checkpoint."""
        self.values = {name: value.to(self.tensors[name].device) for name, value in values.items()}

    @contextmanager
    def applied(self, values: Mapping[str, Tensor] | None = None) -> Generator[None]:
        """Inside the block the module has the averaged weights, or those given; afterwards its own again."""
        own = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}
        self._fill(self.values if values is None else values)
        try:
            yield
        finally:
            self._fill(own)

    @torch.no_grad()
    def _fill(self, values: Mapping[str, Tensor]) -> None:
        for name, tensor in self.tensors.items():
            tensor.copy_(values[name])
