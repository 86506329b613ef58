"""The result of a training, an adapter or a whole model, as one checkpoint that spandrel reads."""

import tomllib
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from iqsr.errors import ModelError, UsageError
from iqsr.io.places import read_whole
from iqsr.models import load_model, model_names
from iqsr.models.adapter import Adapter, read_adapter
from iqsr.models.checkpoint_reader import load_checkpoint
from iqsr.models.checkpoint_writer import write_checkpoint
from iqsr.models.lora import load_adapter, merge_adapter
from iqsr.models.model import SRModel

ADAPTER_FILE, WEIGHTS_FILE = "adapter.safetensors", "weights.safetensors"
"""The result in a run's folder: an adapter, or the weights of the whole model."""
BASE_FILE, RECIPE_FILE = "base.safetensors", "recipe.toml"
"""Beside an adapter: its base, where no other file has it (it started from random weights), and the run's recipe."""
RUN_PREFIX = "run:"
"""How the `start` of a recipe begins that goes on from the result of another run."""
TOLERANCE = 1e-5
"""The largest difference allowed between merged and unmerged output, on the scale of [0, 1]."""


@dataclass(frozen=True)
class Merged:
    """The file that `merge` wrote."""

    path: Path
    base: str | None
    """Name of the adapter's base; None where the run held a whole model."""
    difference: float
    """Largest difference to the unmerged network's output on a test picture."""


def merge(source: Path, out: Path, *, model: str | None = None) -> Merged:
    """Write the adapter or run `source`, merged, to `out` (.safetensors), whole or not at all.

    The file is read back, and appears only if it gives the unmerged network's output within `TOLERANCE`.

    Args:
        source: An adapter's file, or a run's folder with `adapter.safetensors` or `weights.safetensors` in it.
        out: The file to write.
        model: The adapter's base, a name or a file. None: the one that its run started from, else the named model
            that the adapter says.

    Returns:
        The file, its base, and the difference that was measured.

    Raises:
        UsageError: For a name that does not end in .safetensors, an `out` that is the source, a base not found.
        ModelError: For a source that is damaged or of another base.
    """
    if out.suffix.lower() != ".safetensors":
        raise UsageError(f"{out}: expected a name that ends in .safetensors")
    path = result_file(source)
    if out.resolve() == path.resolve():
        raise UsageError(f"{out}: would replace what it is made of; give another name")
    if path.name == WEIGHTS_FILE and source.is_dir():
        if model is not None:
            raise UsageError(f"{source}: holds a whole generator, which needs no --model")
        return _write(load_checkpoint(path), None, out)
    adapter = read_adapter(path)
    sr_model = load_model(model or base_of(adapter, path, advice="give --model FILE"))
    load_adapter(sr_model.module, path)
    return _write(sr_model, adapter, out)


def result_file(source: Path) -> Path:
    """The adapter or weights in a run's folder; any other path is returned as it is. ModelError if it has neither."""
    if not source.is_dir():
        return source
    for name in (ADAPTER_FILE, WEIGHTS_FILE):
        if (source / name).is_file():
            return source / name
    raise ModelError(f"{source}: neither {ADAPTER_FILE} nor {WEIGHTS_FILE} is in this folder")


def resolved_start(start: str, run: Path) -> str:
    """The model's name or file that a recipe's `start` means for the run in the folder `run`.

    `run:NAME` is the result of the run NAME beside it, `run:NAME/FILE` a file there. Anything else is returned as it
    is. Raises the errors of `result_file`.
    """
    if not start.startswith(RUN_PREFIX):
        return start
    return str(result_file(run.absolute().parent / start.removeprefix(RUN_PREFIX)))


def base_of(adapter: Adapter, path: Path, *, advice: str) -> str | Path:
    """The adapter's base: the file beside it, what its run started from, or the named model. It is not compared yet.

    Raises UsageError, with the advice, where it cannot be found.
    """
    beside = path.with_name(BASE_FILE)
    if beside.is_file():
        return beside
    started = resolved_start(_start(path.with_name(RECIPE_FILE)), path.parent)
    if started in model_names() or Path(started).is_file():
        return started
    if adapter.base in model_names():
        return adapter.base
    where = f" (its run started from '{started}', which is not here)" if started else ""
    raise UsageError(f"{path}: was trained on '{adapter.base}', which is no packaged network{where}; {advice}")


def _start(recipe: Path) -> str:
    """`model.start` of a run's recipe; empty where there is none."""
    try:
        return str(tomllib.loads(read_whole(recipe).decode())["model"]["start"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _write(sr_model: SRModel, adapter: Adapter | None, out: Path) -> Merged:
    """Merge, write, read back and compare."""
    merged = merge_adapter(sr_model.module) if adapter else sr_model.module
    differences: list[float] = []

    def check(read_back: nn.Module) -> None:
        differences.append(_largest_difference(sr_model, read_back, out))

    facts = {"architecture": sr_model.architecture, "scale": str(sr_model.scale), "licence": sr_model.licence}
    if adapter:
        facts |= {**adapter.extra, "base": adapter.base, "base_sha256": adapter.base_sha256}
    write_checkpoint(merged, sr_model.architecture, out, metadata=facts, check=check)
    return Merged(out, adapter.base if adapter else None, differences[0])


def _largest_difference(unmerged: SRModel, merged: nn.Module, out: Path) -> float:
    """Largest difference of the outputs for noise. Raises ModelError where it is above `TOLERANCE`.

    In fp64: in fp32 the rounding of two orders of computing, through hundreds of layers, alone comes to some 1e-6.
    """
    multiple = unmerged.size_multiple
    side = max(-(-unmerged.minimum_size // multiple), -(-32 // multiple)) * multiple
    x = torch.rand(1, 3, side, side + multiple, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    try:
        difference = _difference(unmerged.module, merged, x)
    except RuntimeError:  # a network that makes fp32 tensors of its own
        difference = _difference(unmerged.module, merged, x.float())
    if not difference <= TOLERANCE:
        raise ModelError(f"{out}: not written: the merged network's output differs by {difference:.1e}")
    return difference


def _difference(unmerged: nn.Module, merged: nn.Module, x: Tensor) -> float:
    """Largest difference of the outputs for x: (1, 3, H, W), in the precision of x."""
    with torch.inference_mode():
        y, other = (deepcopy(module).eval().to(x.dtype)(x) for module in (unmerged, merged))
    return float((y - other).abs().max())
