"""The processes of a run: how they are joined, what they do together, and the precision in which they compute."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.utils import broadcast_object_list, gather_object
from torch.distributed import DistError

from iqsr.device import choose_device
from iqsr.errors import IqsrError, UsageError
from iqsr.training.engine.checkpoints import Checkpoints
from iqsr.training.engine.pictures import Pictures, decode_all
from iqsr.training.engine.precision import choose_precision

if TYPE_CHECKING:
    from accelerate.utils import KwargsHandler
    from torch import Tensor

    from iqsr.metrics import Precision

logger = logging.getLogger(__name__)
_HOW = "torchrun --nproc_per_node N -m iqsr train ..."
TIMEOUT = "IQSR_PROCESS_TIMEOUT"
"""The environment variable with the seconds that a process waits for the others; then the run ends."""
_TIMEOUT_SECONDS = 1800.0
_Item = TypeVar("_Item")
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

    Raises:
        UsageError: For a timeout that is no number of seconds above 0.
    """
    cpu = choose_device("auto").type == "cpu"  # accelerate joins processes on CPUs only on request
    timeout = InitProcessGroupKwargs(timeout=timedelta(seconds=_timeout_seconds()))
    handlers: list[KwargsHandler] = [DistributedDataParallelKwargs(broadcast_buffers=False), timeout]
    accelerator = Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=handlers)
    check_launch(accelerator.num_processes)
    return accelerator


def _timeout_seconds() -> float:
    given = os.environ.get(TIMEOUT, "")
    try:
        seconds = float(given or _TIMEOUT_SECONDS)
    except ValueError:
        seconds = 0
    if not 0 < seconds < inf:
        raise UsageError(f"{TIMEOUT} must be a number of seconds above 0, got '{given}'")
    return seconds


@contextmanager
def lost_processes(out: Path) -> Generator[None]:
    """IqsrError where the block fails because another process of the run has ended or does not answer.

    out: the run's folder, for the advice.
    """
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, DistError) or "gloo" in str(error)):
            raise
        last = Checkpoints(out / "checkpoints").last_whole()
        raise IqsrError(
            f"another process of this run has ended, or has not answered for {_timeout_seconds():g} s ({TIMEOUT}); its "
            f"own lines or the launcher's say why. Start all processes again with --resume: the run goes on from "
            f"{f'its checkpoint of step {last}' if last else 'its beginning, for it has no checkpoint yet'}"
        ) from None


def check_alone(work: str, environment: Mapping[str, str] = os.environ) -> None:
    """UsageError where a launcher started several processes for work that is done in one."""
    if (count := environment.get("WORLD_SIZE", "")).isdecimal() and int(count) > 1:
        raise UsageError(f"{work} learns in one process, and {count} were started: start it without a launcher")


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


def gathered(accelerator: Accelerator, mine: Sequence[_Item]) -> list[_Item]:
    """The items of all processes, in their order."""
    return list(mine) if accelerator.num_processes == 1 else cast("list[_Item]", gather_object(list(mine)))


def decode_together(
    paths: Sequence[Path], accelerator: Accelerator, on_picture: Callable[[int, int], None]
) -> Pictures:
    """`decode_all` by all processes, each its share; all get what all found.

    on_picture: Called with how many pictures of the share are done, of how many.
    """
    mine = paths[accelerator.process_index :: accelerator.num_processes]
    found = decode_all(mine, lambda done: on_picture(done, len(mine)))
    parts = gathered(accelerator, [found])
    return Pictures(
        {path: whole for part in parts for path, whole in part.whole.items()},
        {path: why for part in parts for path, why in part.damaged.items()},
    )
