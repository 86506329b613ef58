"""What a training leaves behind, an adapter or a whole model, as one plain checkpoint."""

import tomllib
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from iqsr.errors import ModelError, UsageError
from iqsr.models import load_model, model_names
from iqsr.models.adapter import Adapter, read_adapter
from iqsr.models.community import load_checkpoint
from iqsr.models.lora import load_adapter, merge_adapter
from iqsr.models.model import SRModel
from iqsr.models.plain import save_plain

ADAPTER_FILE, WEIGHTS_FILE = "adapter.safetensors", "weights.safetensors"
"""What a run's folder holds: an adapter, or the whole model."""
BASE_FILE, RECIPE_FILE = "base.safetensors", "recipe.toml"
"""Beside an adapter: the network below it, where it is nowhere else (random weights), and the run's settings."""
RUN = "run:"
"""What begins the `start` of a recipe that goes on from another run's result."""
TOLERANCE = 1e-5
"""Largest difference between merged and unmerged output, of pictures in [0, 1]."""


@dataclass(frozen=True)
class Merged:
    """What was written."""

    path: Path
    base: str | None
    """Name of the model below the adapter; None where the run held a whole model."""
    difference: float
    """Largest difference to the unmerged network's output on a test picture."""


def merge(source: Path, out: Path, *, model: str | None = None) -> Merged:
    """Write the adapter or run `source`, merged, to `out` (.safetensors), whole or not at all.

    source: an adapter's file, or a run's folder with `adapter.safetensors` or `weights.safetensors` in it.
    model: the model below the adapter, a name or a file; None: the one that its run started from, or else the
    packaged one that it names.

    The file is read back, and appears only if it gives the unmerged network's output within `TOLERANCE`.
    Raises UsageError for arguments that cannot be right, ModelError for what does not fit together.
    """
    if out.suffix.lower() != ".safetensors":
        raise UsageError(f"{out}: expected a name that ends in .safetensors")
    path = artifact(source)
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


def artifact(source: Path) -> Path:
    """The file that a run's folder holds; any other path is itself. ModelError where neither kind is there."""
    if not source.is_dir():
        return source
    for name in (ADAPTER_FILE, WEIGHTS_FILE):
        if (source / name).is_file():
            return source / name
    raise ModelError(f"{source}: neither {ADAPTER_FILE} nor {WEIGHTS_FILE} is in this folder")


def located(start: str, run: Path) -> str:
    """What a recipe's `start` means for the run in the folder `run`.

    `run:NAME` is the result of the run NAME beside it, `run:NAME/FILE` a file there. Anything else stays: the name of a
    model, or a file. Errors of `artifact`.
    """
    if not start.startswith(RUN):
        return start
    return str(artifact(run.absolute().parent / start.removeprefix(RUN)))


def base_of(adapter: Adapter, path: Path, *, advice: str) -> str | Path:
    """The network below the adapter, by what lies beside it or by its name. `load_adapter` checks that it is that.

    UsageError, with the advice, where it cannot be found.
    """
    kept = path.with_name(BASE_FILE)
    if kept.is_file():
        return kept
    started = located(_start(path.with_name(RECIPE_FILE)), path.parent)
    if started in model_names() or Path(started).is_file():
        return started
    if adapter.base in model_names():
        return adapter.base
    where = f" (its run started from '{started}', which is not here)" if started else ""
    raise UsageError(f"{path}: was trained on '{adapter.base}', which is no packaged network{where}; {advice}")


def _start(recipe: Path) -> str:
    """`model.start` of a run's recipe; empty where there is none."""
    try:
        return str(tomllib.loads(recipe.read_text(encoding="utf-8"))["model"]["start"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _write(sr_model: SRModel, adapter: Adapter | None, out: Path) -> Merged:
    """Merge, write, read back and compare."""
    plain = merge_adapter(sr_model.module) if adapter else sr_model.module
    differences: list[float] = []

    def check(read_back: nn.Module) -> None:
        differences.append(_largest_difference(sr_model, read_back, out))

    facts = {"architecture": sr_model.architecture, "scale": str(sr_model.scale), "licence": sr_model.licence}
    if adapter:
        facts |= {**adapter.extra, "base": adapter.base, "base_sha256": adapter.base_sha256}
    save_plain(plain, sr_model.architecture, out, metadata=facts, check=check)
    return Merged(out, adapter.base if adapter else None, differences[0])


def _largest_difference(unmerged: SRModel, merged: nn.Module, out: Path) -> float:
    """On noise, the hardest of pictures. Raises ModelError where it is above `TOLERANCE`.

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
