"""Timing what alternates, judging what comes out, and the speed limit that matrix products set."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from iqsr.device import bf16_gain

Work = Callable[[], Tensor]
Seconds = dict[str, list[float]]

_PAUSE = 0.05
"""Seconds between two measurements: several engines let their threads spin for some milliseconds after a call."""

_WRONG = 35.0
"""dB to torch's fp32 below which an output counts as another picture."""


@dataclass(frozen=True)
class Spread:
    """A figure over the rounds."""

    median: float
    min: float
    max: float

    @staticmethod
    def of(values: Iterable[float]) -> Spread:
        """Of one value or more."""
        known = list(values)
        return Spread(statistics.median(known), min(known), max(known))

    @staticmethod
    def of_ratios(above: list[float], below: list[float]) -> Spread:
        """Of what was measured in the same round; a list may end earlier than the other."""
        return Spread.of(a / b for a, b in zip(above, below, strict=False))

    def plain(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def alternate(
    works: Mapping[str, Work],
    rounds: int,
    *,
    once: Collection[str] = (),
    on_output: Callable[[str, Tensor], None] | None = None,
) -> Seconds:
    """Do every work once a round, in turn, every other round backwards; the seconds of each, by round.

    once: works that only the first round does. on_output: is given what each work makes in the first round.
    """
    seconds: Seconds = {name: [] for name in works}
    for number in range(rounds):
        names = [name for name in works if number == 0 or name not in once]
        for name in names if number % 2 == 0 else reversed(names):
            time.sleep(_PAUSE)
            with torch.inference_mode():
                start = time.perf_counter()
                out = works[name]()
                seconds[name].append(time.perf_counter() - start)
            if number == 0 and on_output is not None:
                on_output(name, out)
            del out
    return seconds


class Judge:
    """Compares outputs with the first one, which is torch's in fp32. Both are clamped to [0, 1], as a file would be."""

    def __init__(self) -> None:
        self.decibels: dict[str, float] = {}
        self.largest: dict[str, float] = {}
        self._reference: Tensor | None = None

    def __call__(self, name: str, out: Tensor) -> None:
        """Note how far `out` is from the reference. Raises SystemExit where it is another picture."""
        if name in GEMMS:
            return
        values = out.float().clamp(0, 1)
        if self._reference is None:
            self._reference = values
        if values.shape != self._reference.shape:
            raise SystemExit(f"{name}: {tuple(values.shape)} instead of {tuple(self._reference.shape)}")
        error = (values - self._reference).double()
        self.decibels[name] = float(-10 * error.square().mean().clamp_min(1e-15).log10())
        self.largest[name] = float(error.abs().max())
        if not self.decibels[name] >= _WRONG:  # not a number, too
            raise SystemExit(f"{name}: not what torch gives in fp32 ({self.decibels[name]:.1f} dB)")


GEMMS = {"GEMM fp32": torch.float32} | ({"GEMM bf16": torch.bfloat16} if bf16_gain(torch.device("cpu")) else {})
"""Matrix products that take their turn among the contenders, since a machine's speed drifts; in what the CPU has."""

_PRODUCTS = 2


def gemm(name: str, side: int) -> Work:
    """A few products of two square matrices of `side`."""
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.rand(side, side, generator=rng).to(GEMMS[name]) for _ in range(2))
    out = torch.empty_like(a)

    def work() -> Tensor:
        for _ in range(_PRODUCTS):
            torch.mm(a, b, out=out)
        return out

    return work


def gemm_rates(seconds: Seconds, side: int) -> dict[str, list[float]]:
    """FLOP/s of each kind of product, by round; takes them out of `seconds`."""
    flops = _PRODUCTS * 2 * side**3
    return {name.removeprefix("GEMM "): [flops / s for s in seconds.pop(name)] for name in GEMMS}


def untiled_flops(module: nn.Module, height: int, width: int) -> int:
    """What the plain forward pass of one picture takes; nothing is computed."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        copy.deepcopy(module).to("meta")(torch.empty(1, 3, height, width, device="meta"))
    return counter.get_total_flops()


def flops_of(work: Work) -> int:
    """What `work` takes; it is done."""
    private = {torch.ops.mkldnn._convolution_pointwise: _fused_flops}
    with FlopCounterMode(display=False, custom_mapping=private) as counter:
        work()
    return counter.get_total_flops()


def _fused_flops(x: torch.Size, *shapes: Any, out_shape: torch.Size, **_: Any) -> int:
    """Of torch's private convolution with an activation or an addition, which its own counter does not know."""
    weight = shapes[1] if shapes[0] == out_shape else shapes[0]  # what is added comes first
    return conv_flop_count(list(x), list(weight), list(out_shape))


def spread(paths: Sequence[Path], count: int) -> list[Path]:
    """`count` of the paths, spread evenly over them."""
    return [paths[i * len(paths) // count] for i in range(min(count, len(paths)))]
