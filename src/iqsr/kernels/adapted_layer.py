"""A layer with a LoRA adapter (Hu et al., 2021, arXiv:2106.09685), as the kernels see it."""

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class AdaptedLayer:
    """A layer with its adapter: y = base(x) + scaling * B(A(x))."""

    wrapper: nn.Module
    """peft's layer, which stands in the network in the place of `base`."""
    base: nn.Conv2d | nn.Linear
    a: Tensor
    """(rank, inputs) or (rank, inputs, kh, kw)."""
    b: Tensor
    """(outputs, rank) or (outputs, rank, 1, 1)."""
    scaling: float
