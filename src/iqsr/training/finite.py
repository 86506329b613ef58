"""Whether all that a run knows is finite: a NaN that is stored would be there for ever."""

from collections.abc import Iterator, Mapping
from math import isfinite

import torch
from torch import Tensor

from iqsr.errors import IqsrError


class NotFiniteError(IqsrError):
    """A step has made something that is not finite; nothing of it is kept."""


def not_finite(state: object) -> str | None:
    """The name of the first number or tensor in nested dicts and lists that is not finite; None where all are."""
    return next((name for name, value in _leaves(state, "") if not _is_finite(value)), None)


def all_finite(state: object) -> bool:
    """Whether `not_finite` finds none. Of many tensors at once: a small part of what a training step takes."""
    tensors: list[Tensor] = []
    for _, value in _leaves(state, ""):
        if isinstance(value, Tensor):
            tensors.append(value)
        elif not isfinite(value):
            return False
    return not tensors or bool(torch.nn.utils.get_total_norm(tensors, torch.inf).isfinite())


def _leaves(state: object, name: str) -> Iterator[tuple[str, Tensor | float]]:
    """All floating-point numbers and tensors in `state`, with names as `optimizer.state.0.exp_avg`."""
    if isinstance(state, Tensor):
        if state.is_floating_point():
            yield name, state
    elif isinstance(state, float):
        yield name, state
    elif isinstance(state, Mapping | list | tuple):
        parts = state.items() if isinstance(state, Mapping) else enumerate(state)
        for key, part in parts:
            yield from _leaves(part, f"{name}.{key}" if name else str(key))


def _is_finite(value: Tensor | float) -> bool:
    return bool(value.isfinite().all()) if isinstance(value, Tensor) else isfinite(value)
