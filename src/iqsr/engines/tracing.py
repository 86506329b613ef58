"""From a torch module to a graph for another engine, and the check that both do the same."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from iqsr.errors import ModelError
from iqsr.models import SRModel

INPUT, OUTPUT = "input", "output"
"""Names of a converted network's tensors."""

TOLERANCE = 1e-4
"""Largest difference from torch, in fp32, of an engine that counts as equal."""


@dataclass(frozen=True)
class Probe:
    """The shape of a small picture to trace or try a network with."""

    batch: int
    height: int
    """Added to the smallest height that the network takes; `width` likewise."""
    width: int
    steps: tuple[int, int]
    """At least this many size multiples are added, so that probes differ whatever the multiple is."""

    def draw(self, model: SRModel) -> Tensor:
        """Seeded random (batch, 3, H, W) in [0, 1], of a size that the model takes."""
        multiple = model.size_multiple
        smallest = -(-model.minimum_size // multiple) * multiple
        added = zip((self.height, self.width), self.steps, strict=True)
        sides = [smallest + multiple * max(steps, -(-side // multiple)) for side, steps in added]
        return torch.rand(self.batch, 3, *sides, generator=torch.Generator().manual_seed(0))


TRACED = Probe(2, 5, 9, steps=(1, 2))
TRIED = (Probe(1, 12, 22, steps=(2, 3)), Probe(3, 20, 5, steps=(3, 1)))


def trace(model: SRModel) -> torch.jit.ScriptModule:
    """The network as TorchScript. What Python computes from the size becomes constant: hence `verify`."""
    with warnings.catch_warnings(), torch.inference_mode():
        # Deprecated, but torch.export takes eight times as long (RRDBNet: 40 s).
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model.module, TRACED.draw(model), check_trace=False)
    if not isinstance(traced, torch.jit.ScriptModule):
        raise ModelError(f"{model.name}: this {model.architecture} network cannot be traced")
    return traced


@dataclass(frozen=True)
class Verified:
    """Two sizes, other than the traced one, and how far the engine was from torch."""

    sizes: tuple[tuple[int, ...], ...]
    """(N, 3, H, W) of each."""
    difference: float
    """Largest absolute difference of a value; pictures are [0, 1]."""


def verify(model: SRModel, run: Callable[[Tensor], Tensor], *, engine: str) -> Verified:
    """Compare `run`, a converted network computing in fp32, with torch.

    Raises ModelError if it fails, gives another shape or is more than `TOLERANCE` away: the network's graph
    depends on the size of the picture in a way that was lost.
    """
    lost = f"{model.name}: {engine} differs from torch for this {model.architecture} network"
    difference, sizes = 0.0, list[tuple[int, ...]]()
    for probe in TRIED:
        x = probe.draw(model)
        with torch.inference_mode():
            expected = model.module(x.clone())
        try:
            y = run(x)
        except Exception as error:  # each engine has its own
            raise ModelError(f"{lost}: it fails at {_size(x)} (batch x height x width)") from error
        if y.shape != expected.shape:
            raise ModelError(f"{lost}: {tuple(y.shape)} instead of {tuple(expected.shape)}")
        difference = max(difference, (y - expected).abs().max().item())
        if not difference <= TOLERANCE:  # not a number, too
            raise ModelError(f"{lost}: {difference:.1e} apart at {_size(x)}, allowed {TOLERANCE:.0e}")
        sizes.append(tuple(x.shape))
    return Verified(tuple(sizes), difference)


def _size(x: Tensor) -> str:
    batch, _, height, width = x.shape
    return f"{batch}x{height}x{width}"
