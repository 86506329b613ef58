"""Whether as many processes learn together as a launcher was asked for."""

import logging
import os
from collections.abc import Mapping

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


def check_launch(processes: int, environment: Mapping[str, str] = os.environ) -> None:
    """Warn where fewer processes learn together than were asked for.

    processes: how many have joined. `accelerate launch` starts one on CPUs, however many it is asked for, and does not
    say how many; Slurm and MPI start all, and unless they join each would train by itself.
    """
    if processes > 1:
        return
    counts = {name: environment.get(name, "") for name in _LAUNCHERS}
    said = next((f"{name}={count}" for name, count in counts.items() if count.isdecimal() and int(count) > 1), None)
    if "ACCELERATE_MIXED_PRECISION" in environment and "MASTER_PORT" in environment and "RANK" not in environment:
        said = "accelerate launch was asked for several processes"  # for one it would name no port
    if said:
        logger.warning("%s, but this one learns alone: to learn together, %s", said, _HOW)
