"""The processes of a run: how they are joined, what they do together, and the precision in which they compute."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import broadcast_object_list, gather_object

from iqsr.device import choose_device
from iqsr.errors import IqsrError
from iqsr.training.engine.pictures import Pictures, decode_all
from iqsr.training.engine.precision import choose_precision

if TYPE_CHECKING:
    from accelerate.utils import KwargsHandler
    from torch import Tensor

    from iqsr.metrics import Precision

logger = logging.getLogger(__name__)
_HOW = "torchrun --nproc_per_node N -m iqsr train ..."
_LAUNCHERS = (
    "WORLD_SIZE",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_NTASKS",
    "OMPI_COMM_WORLD_SIZE",
    "PMI_SIZE",
    "MV2_COMM_WORLD_SIZE",
)
"""Where torchrun, Slurm and MPI say how many processes they have started."""


def join() -> Accelerator:
    """Join the processes of a run. Warns as `check_launch` does.

    The precision stays fp32 here: accelerate's would be that of the whole process, and each run has its own. Buffers
    are not shared, because spectral norms change theirs in every process.
    """
    cpu = choose_device("auto").type == "cpu"  # accelerate joins processes on CPUs only on request
    handlers: list[KwargsHandler] = [DistributedDataParallelKwargs(broadcast_buffers=False)]
    accelerator = Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=handlers)
    check_launch(accelerator.num_processes)
    return accelerator


def check_launch(processes: int, environment: Mapping[str, str] = os.environ) -> None:
    """Warn where fewer processes learn together than a launcher was asked for.

    `accelerate launch` starts one process on CPUs, however many it is asked for, and does not say how many; Slurm and
    MPI start all of them, and each trains alone unless they join.

    Args:
        processes: How many have joined.
        environment: Where launchers say how many they have started.
    """
    if processes > 1:
        return
    counts = {name: environment.get(name, "") for name in _LAUNCHERS}
    asked = next((f"{name}={count}" for name, count in counts.items() if count.isdecimal() and int(count) > 1), None)
    if "ACCELERATE_MIXED_PRECISION" in environment and "MASTER_PORT" in environment and "RANK" not in environment:
        asked = "accelerate launch was asked for several processes"  # for one it would name no port
    if asked:
        logger.warning("%s, but this one learns alone: to learn together, %s", asked, _HOW)


def common_precision(bf16: bool, accelerator: Accelerator) -> Precision:
    """`choose_precision` of the first process, for all of them."""
    (chosen,) = broadcast_object_list([choose_precision(bf16, accelerator.device)])
    return cast("Precision", chosen)


@contextmanager
def together(accelerator: Accelerator) -> Generator[None]:
    """If one process fails in the block, all of them fail: none waits for another that has stopped.

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
    """Whether a condition holds in any process."""
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


def decode_together(
    paths: Sequence[Path], accelerator: Accelerator, on_picture: Callable[[int, int], None]
) -> Pictures:
    """`decode_all` by all processes, each its share; all get what all found.

    on_picture: Called with how many pictures of the share are done, of how many.
    """
    mine = paths[accelerator.process_index :: accelerator.num_processes]
    found = decode_all(mine, lambda done: on_picture(done, len(mine)))
    if accelerator.num_processes == 1:
        return found
    parts = cast("list[Pictures]", gather_object([found]))
    return Pictures(
        {path: whole for part in parts for path, whole in part.whole.items()},
        {path: why for part in parts for path, why in part.damaged.items()},
    )
