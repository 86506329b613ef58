"""Devices by name, and the precision in which each is fastest."""

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

_LEAST_BF16_GAIN = 1.2
"""How many times as fast as fp32 bf16 must be to be chosen, since it rounds more coarsely."""
_FEWEST_ROUNDS, _MOST_ROUNDS = 6, 60
"""Rounds of a measurement. On an idle machine the fewest are enough."""


def check_device_name(name: str) -> None:
    """Raise UsageError for a name that is no device's. Whether this machine has the device needs torch to find out."""
    if not re.fullmatch(r"auto|(cpu|cuda|mps)(:(0|[1-9][0-9]*))?", name):
        raise UsageError(f"unknown device '{name}'; choose auto, cpu, cuda, cuda:N or mps")


def choose_device(name: str) -> torch.device:
    """The device of this name.

    Args:
        name: auto, cpu, cuda, cuda:N or mps. auto is CUDA if there is one, else Apple's MPS, else the CPU.

    Raises:
        UsageError: The name is no device's, or this machine has no such device.
    """
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
    """How many times as fast as in fp32 the device convolves in bf16; 0 where it has no bf16 instructions.

    For a CPU this is measured, once per process (in 20 ms on an idle machine). The instructions it has do not tell:
    with AVX512-BF16 one CPU is twice as fast, another half as fast. For CUDA devices that have bf16 it is 2.
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
    """Time both precisions in turn until the shortest times agree, since the machine may be busy with other work.

    It uses one thread, because several threads wait for each other on a busy machine. Each timing takes a millisecond
    or two, within which a thread is seldom interrupted.
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
        for number in range(_MOST_ROUNDS):
            if number >= _FEWEST_ROUNDS and all(map(_settled, times.values())):
                break
            for dtype in dtypes:
                times[dtype].append(seconds(dtype))
    return min(times[torch.float32]) / min(times[torch.bfloat16])


def _settled(seconds: list[float]) -> bool:
    """Whether the three shortest times differ by 10 % at most."""
    shortest = sorted(seconds)[:3]
    return shortest[2] <= 1.1 * shortest[0]


@contextmanager
def one_thread() -> Generator[None]:
    """Inside the block, torch computes on one thread: for work where threads would mostly wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def bf16_pays(device: torch.device) -> bool:
    """Whether bf16 is at least 1.2 times as fast as fp32, so that the coarser rounding is worth it."""
    return bf16_gain(device) >= _LEAST_BF16_GAIN


def fastest_dtype(device: torch.device) -> torch.dtype:
    """bf16 where `bf16_pays`, else float32: for work that needs no more than bf16's 8 bits."""
    import torch

    return torch.bfloat16 if bf16_pays(device) else torch.float32
