"""Whether weights, and all that a training knows, are finite numbers; and which are not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import TYPE_CHECKING

from iqsr.errors import IqsrError

if TYPE_CHECKING:
    from torch import Tensor


class NotFiniteError(IqsrError):
    """A training step has made something that is not finite; nothing of it is kept."""


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


def first_not_finite(state: object) -> str | None:
    """The name of the first number or tensor in nested dicts and lists that is not finite; None where all are."""
    return next((name for name, value in _leaves(state, "") if not _is_finite(value)), None)


def all_finite(state: object) -> bool:
    """Whether `first_not_finite` finds none, in about a hundredth of what a training step takes: sums tell first."""
    import torch

    sums: dict[torch.device, list[Tensor]] = {}
    for _, value in _leaves(state, ""):
        if isinstance(value, torch.Tensor):
            sums.setdefault(value.device, []).append(value.detach().sum(dtype=torch.float32))
        elif not isfinite(value):
            return False
    # A sum of large numbers may overflow where each of them is finite.
    return all(bool(torch.stack(found).sum().isfinite()) for found in sums.values()) or first_not_finite(state) is None


def _leaves(state: object, name: str) -> Iterator[tuple[str, Tensor | float]]:
    """All floating-point numbers and tensors in `state`, with names as `optimizer.state.0.exp_avg`."""
    import torch

    if isinstance(state, torch.Tensor):
        if state.is_floating_point():
            yield name, state
    elif isinstance(state, float):
        yield name, state
    elif isinstance(state, Mapping | list | tuple):
        parts = state.items() if isinstance(state, Mapping) else enumerate(state)
        for key, part in parts:
            yield from _leaves(part, f"{name}.{key}" if name else str(key))


def _is_finite(value: Tensor | float) -> bool:
    return isfinite(value) if isinstance(value, float | int) else bool(value.isfinite().all())
