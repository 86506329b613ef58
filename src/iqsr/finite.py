"""Whether weights are numbers, and which are not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def not_finite(named: Iterable[tuple[str, Tensor]]) -> str | None:
    """The first tensor with NaN or infinite values, in words: `body.0.weight holds NaN (3 of 576 values)`.

    None where all are numbers. Tensors of integers are.
    """
    for name, tensor in named:
        if not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        values = tensor if tensor.element_size() > 1 else tensor.float()  # of 8 bits: not all functions know them
        broken = int((~values.isfinite()).sum())
        if broken:
            kind = "NaN" if bool(values.isnan().any()) else "infinite values"
            return f"{name} holds {kind} ({broken} of {tensor.numel()} values)"
    return None
