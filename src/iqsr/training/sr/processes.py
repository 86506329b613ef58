"""The processes of a run: how they are joined, and the precision in which all of them compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import broadcast_object_list

from iqsr.device import bf16_pays, choose_device

if TYPE_CHECKING:
    from accelerate.utils import KwargsHandler

    from iqsr.quality import Precision
    from iqsr.training.sr.recipe import TrainRecipe


def join() -> Accelerator:
    """Joins the processes and nothing else: its precision would be the whole process's, but a run has its own.

    Buffers are every process's own, for spectral norms change theirs.
    """
    cpu = choose_device("auto").type == "cpu"  # accelerate joins processes on CPUs only when it is told so
    handlers: list[KwargsHandler] = [DistributedDataParallelKwargs(broadcast_buffers=False)]
    return Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=handlers)


def choose_precision(recipe: TrainRecipe, accelerator: Accelerator) -> Precision:
    """bf16 where the recipe allows it and the device is faster in it; as the first process finds, for all of them."""
    (bf16,) = broadcast_object_list([recipe.bf16 and bf16_pays(accelerator.device)])
    return "bf16" if bf16 else "fp32"


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The context in which a network of fp32 weights computes in a precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
