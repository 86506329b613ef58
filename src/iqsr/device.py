"""Which device computes, from what a user calls it, and in which precision it does so well."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from iqsr.errors import UsageError

if TYPE_CHECKING:
    import torch


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


def computes_bf16(device: torch.device) -> bool:
    """Whether the device multiplies in bf16 natively; a CPU that does not is far slower in it than in fp32."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    abilities = torch.cpu.get_capabilities()
    return any(abilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def fastest_dtype(device: torch.device) -> torch.dtype:
    """bf16 where the device computes in it natively, float32 elsewhere: for work that needs no more than 8 bits."""
    import torch

    return torch.bfloat16 if computes_bf16(device) else torch.float32
