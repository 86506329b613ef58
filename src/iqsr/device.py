"""Which device computes, from what a user calls it, and in which precision it does so well."""

from __future__ import annotations

import re
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from iqsr.errors import UsageError

if TYPE_CHECKING:
    import torch

_WORTH_ROUNDING = 1.2
"""Times as fast."""
_FEWEST, _MOST = 6, 60
"""Rounds of a measurement. On a machine that does nothing else the fewest are enough."""


def check_device_name(name: str) -> None:
    """UsageError for what no machine calls a device. Whether it is there is not asked: that needs torch."""
    if not re.fullmatch(r"auto|(cpu|cuda|mps)(:(0|[1-9][0-9]*))?", name):
        raise UsageError(f"unknown device '{name}'; choose auto, cpu, cuda, cuda:N or mps")


def choose_device(name: str) -> torch.device:
    """`auto` takes CUDA, then Apple's MPS, then the CPU. Raises UsageError for what is not there."""
    import torch

    check_device_name(name)
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    kind = name.split(":")[0]
    if (kind == "cuda" and not cuda) or (kind == "mps" and not mps):
        raise UsageError(f"no {kind} device on this machine; use --device auto or cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device '{name}'; choose auto, cpu, cuda, cuda:N or mps") from error
    if kind == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"there is no {name}; this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def bf16_gain(device: torch.device) -> float:
    """How many times as fast in bf16 as in fp32 the device convolves; 0 where it does not compute in bf16 natively.

    Of a CPU it is measured, once a process (some 20 ms on an idle machine), for the instructions do not tell: with
    AVX512-BF16 it is 2 on one, 1/2 on another. CUDA devices that have bf16 count as twice as fast.
    """
    import torch

    if device.type == "cuda":
        return 2.0 if torch.cuda.is_bf16_supported(including_emulation=False) else 0.0
    if device.type != "cpu":
        return 0.0
    abilities = torch.cpu.get_capabilities()
    native = any(abilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return _measured_bf16_gain() if native else 0.0


@cache
def _measured_bf16_gain() -> float:
    """Each precision in turn, until the shortest times are no chance: the machine may be busy with other work.

    On one thread, for several wait for each other where others want the cores, and for a millisecond or two at a
    time, within which a thread is seldom made to wait.
    """
    import torch

    def seconds(dtype: torch.dtype) -> float:
        started = time.perf_counter()
        torch.conv2d(pictures[dtype], kernels[dtype], padding=1)
        return time.perf_counter() - started

    dtypes, layout = (torch.float32, torch.bfloat16), torch.channels_last
    pictures = {dtype: torch.ones(1, 64, 48, 48, dtype=dtype).to(memory_format=layout) for dtype in dtypes}
    kernels = {dtype: torch.ones(64, 64, 3, 3, dtype=dtype).to(memory_format=layout) for dtype in dtypes}
    times: dict[torch.dtype, list[float]] = {dtype: [] for dtype in dtypes}
    with torch.inference_mode(), one_thread():
        for number in range(_MOST):
            if number >= _FEWEST and all(map(_settled, times.values())):
                break
            for dtype in dtypes:
                times[dtype].append(seconds(dtype))
    return min(times[torch.float32]) / min(times[torch.bfloat16])


def _settled(seconds: list[float]) -> bool:
    """Whether the three shortest hardly differ."""
    shortest = sorted(seconds)[:3]
    return shortest[2] <= 1.1 * shortest[0]


@contextmanager
def one_thread() -> Generator[None]:
    """torch computes on one thread: where threads would mostly wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def bf16_pays(device: torch.device) -> bool:
    """Whether the device computes in bf16 natively, and so much faster than in fp32 that the rounding is worth it."""
    return bf16_gain(device) >= _WORTH_ROUNDING


def fastest_dtype(device: torch.device) -> torch.dtype:
    """bf16 where that pays, float32 elsewhere: for work that needs no more than 8 bits."""
    import torch

    return torch.bfloat16 if bf16_pays(device) else torch.float32
