"""The processes of a run: how they are joined, and the precision in which all of them compute."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import broadcast_object_list

from iqsr.device import bf16_pays, choose_device
from iqsr.errors import IqsrError
from iqsr.training.sr.launch import check_launch

if TYPE_CHECKING:
    from accelerate.utils import KwargsHandler
    from torch import Tensor

    from iqsr.metrics import Precision
    from iqsr.training.sr.recipe import TrainRecipe


def join() -> Accelerator:
    """Joins the processes and nothing else: its precision would be the whole process's, but a run has its own.

    Buffers are every process's own, for spectral norms change theirs. It warns as `check_launch` does.
    """
    cpu = choose_device("auto").type == "cpu"  # accelerate joins processes on CPUs only when it is told so
    handlers: list[KwargsHandler] = [DistributedDataParallelKwargs(broadcast_buffers=False)]
    accelerator = Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=handlers)
    check_launch(accelerator.num_processes)
    return accelerator


def choose_precision(recipe: TrainRecipe, accelerator: Accelerator) -> Precision:
    """bf16 where the recipe allows it and the device is faster in it; as the first process finds, for all of them."""
    (bf16,) = broadcast_object_list([recipe.bf16 and bf16_pays(accelerator.device)])
    return "bf16" if bf16 else "fp32"


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The context in which a network of fp32 weights computes in a precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def together(accelerator: Accelerator) -> Generator[None]:
    """What one process cannot do in the block ends it for all: none is left waiting for another that has stopped.

    The IqsrError of a process is raised there, and in the others one that says so.
    """
    error: IqsrError | None = None
    try:
        yield
    except IqsrError as failure:
        error = failure
    if not any_of(accelerator, error is not None):
        return
    raise error or IqsrError("another process of this run failed; its own line says why")


def any_of(accelerator: Accelerator, mine: bool) -> bool:
    """Whether it is true in any process."""
    if accelerator.num_processes == 1:
        return mine
    found = accelerator.gather(torch.tensor([float(mine)], device=accelerator.device))
    return bool(cast("Tensor", found).sum() > 0)


def mean_of(accelerator: Accelerator, figures: Mapping[str, float]) -> dict[str, float]:
    """The mean over all processes, which have the same figures by name."""
    if accelerator.num_processes == 1:
        return dict(figures)
    names = sorted(figures)
    mine = torch.tensor([figures[name] for name in names], dtype=torch.float64, device=accelerator.device)
    found = cast("Tensor", accelerator.reduce(mine, reduction="mean"))
    return dict(zip(names, found.tolist(), strict=True))
