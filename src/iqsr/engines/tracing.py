"""Traces a network for other engines, and checks that an engine gives what torch gives."""

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
"""Largest difference from torch, in fp32, of an engine that counts as equal; pictures are [0, 1]."""


@dataclass(frozen=True)
class Probe:
    """The size of a small picture with which a network is traced or tried."""

    batch: int
    height: int
    """Pixels more than the network's smallest height; `width` likewise."""
    width: int
    steps: tuple[int, int]
    """Least number of size multiples to add to each side, so that probes differ for every multiple."""

    def draw(self, model: SRModel) -> Tensor:
        """Random pictures (batch, 3, H, W) in [0, 1], always the same, of a size that the model accepts."""
        multiple = model.size_multiple
        smallest = -(-model.minimum_size // multiple) * multiple
        added = zip((self.height, self.width), self.steps, strict=True)
        sides = [smallest + multiple * max(steps, -(-side // multiple)) for side, steps in added]
        return torch.rand(self.batch, 3, *sides, generator=torch.Generator().manual_seed(0))


TRACED = Probe(2, 5, 9, steps=(1, 2))
TRIED = (Probe(1, 12, 22, steps=(2, 3)), Probe(3, 20, 5, steps=(3, 1)))


def trace(model: SRModel) -> torch.jit.ScriptModule:
    """The network as TorchScript. Numbers that Python computes from the size become constants, so use `verify`."""
    with warnings.catch_warnings(), torch.inference_mode():
        # Deprecated, but torch.export takes eight times as long (RRDBNet: 40 s).
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model.module, TRACED.draw(model), check_trace=False)
    if not isinstance(traced, torch.jit.ScriptModule):
        raise ModelError(f"{model.name}: this {model.architecture} network cannot be traced")
    return traced


@dataclass(frozen=True)
class Verified:
    """What `verify` found."""

    sizes: tuple[tuple[int, ...], ...]
    """(N, 3, H, W) of the two pictures, whose sizes differ from the traced one."""
    difference: float
    """Largest absolute difference between the engine and torch; pictures are [0, 1]."""


def verify(model: SRModel, run: Callable[[Tensor], Tensor], *, engine: str) -> Verified:
    """Compare a converted network with torch on two sizes.

    Args:
        model: The model that was converted.
        run: The converted network, in fp32.
        engine: The engine's name, for the error message.

    Raises:
        ModelError: `run` fails, gives another shape, or differs by more than `TOLERANCE`: the network's graph depends
            on the size of the picture, and tracing lost that.
    """
    message = f"{model.name}: {engine} differs from torch for this {model.architecture} network"
    difference, sizes = 0.0, list[tuple[int, ...]]()
    for probe in TRIED:
        x = probe.draw(model)
        with torch.inference_mode():
            expected = model.module(x.clone())
        try:
            y = run(x)
        except Exception as error:  # each engine has its own
            raise ModelError(f"{message}: it fails at {_size(x)} (batch x height x width)") from error
        if y.shape != expected.shape:
            raise ModelError(f"{message}: {tuple(y.shape)} instead of {tuple(expected.shape)}")
        difference = max(difference, (y - expected).abs().max().item())
        if not difference <= TOLERANCE:  # not a number, too
            raise ModelError(f"{message}: {difference:.1e} apart at {_size(x)}, allowed {TOLERANCE:.0e}")
        sizes.append(tuple(x.shape))
    return Verified(tuple(sizes), difference)


def _size(x: Tensor) -> str:
    batch, _, height, width = x.shape
    return f"{batch}x{height}x{width}"
