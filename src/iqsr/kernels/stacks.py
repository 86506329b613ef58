"""Stacks: values that several convolutions read together, kept as neighbouring channels of one array.

In a dense block (Huang et al., 2017, arXiv:1608.06993) each convolution reads all values so far: x; x, a; x, a, b. The
inputs of all of them are fronts of one list of values. So the values are written once, one beside the other, and each
convolution reads the first channels of the array; nothing is joined anew for each reader.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Generic, TypeVar

V = TypeVar("V", bound=Hashable)
"""How a caller names a value."""


@dataclass
class Stack(Generic[V]):
    """Values that lie side by side in one array, and who reads the first few of them."""

    members: tuple[V, ...]
    """In the order of their channels."""
    readers: list[int] = field(default_factory=list)
    """Numbers of the convolutions, in the order they were given in."""


def plan_stacks(reads: Iterable[tuple[int, tuple[V, ...]]]) -> list[Stack[V]]:
    """Put convolutions that read fronts of one list of values on one stack.

    Args:
        reads: The number of each convolution and the values that it reads, each value once, in the order of channels.

    Returns:
        Stacks of which none's members are the front of another's. Every convolution is a reader of one stack.
    """
    stacks: list[Stack[V]] = []
    for reader, values in reads:
        for stack in stacks:
            common = min(len(values), len(stack.members))
            if values[:common] == stack.members[:common]:
                stack.members = max(values, stack.members, key=len)
                break
        else:
            stack = Stack(values)
            stacks.append(stack)
        stack.readers.append(reader)
    return stacks


def channel_spans(widths: Iterable[int], first: int = 0) -> list[tuple[int, int]]:
    """(first channel, one after the last) of values with so many channels each, side by side from `first` on."""
    return list(pairwise(accumulate(widths, initial=first)))
