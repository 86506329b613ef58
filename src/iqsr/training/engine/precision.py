"""The precision in which a training computes: bf16 where the recipe allows it and it is faster, else fp32."""

import logging

import torch

from iqsr.device import bf16_pays
from iqsr.metrics import Precision

logger = logging.getLogger(__name__)


def choose_precision(bf16: bool, device: torch.device) -> Precision:
    """bf16 where it is allowed and the device is faster in it."""
    return "bf16" if bf16 and bf16_pays(device) else "fp32"


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The context in which a network of fp32 weights computes in a precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def warn_of_another(precision: Precision, before: Precision) -> None:
    """Warn where a run that computed in another precision before continues in this one."""
    if precision != before:
        logger.warning("this run began elsewhere, in another precision: its result will not be the same to the bit")
