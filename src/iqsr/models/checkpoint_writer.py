"""Models as checkpoint files in the official layouts, for chaiNNer, ComfyUI and other programs that use spandrel."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from iqsr.errors import ModelError, UsageError
from iqsr.io.atomic import atomic_path
from iqsr.io.tensor_files import serialized
from iqsr.models.checkpoint_reader import load_checkpoint
from iqsr.models.real_esrgan import real_esrgan_names


def official_state(module: nn.Module, architecture: str) -> dict[str, Tensor]:
    """The weights of `module` under the names of the official checkpoints: Real-ESRGAN's, SwinIR's, SRVGGNetCompact's.

    architecture: spandrel's identifier, as in `SRModel.architecture`. Others keep the names that spandrel gave.
    fp32, on the CPU, sharing no memory with the module. Raises UsageError if there are adapters on it.
    """
    state: dict[str, Tensor] = module.state_dict()
    if any(".lora_" in name for name in state):
        raise UsageError("this network has adapters: merge them first (merge_adapter)")
    rename = {"ESRGAN": _real_esrgan_names, "SwinIR": _swinir_names}.get(architecture, _same_names)
    names = rename(module, list(state))
    return {
        new: state[old].detach().cpu().clone(memory_format=torch.contiguous_format)
        if not state[old].is_floating_point()
        else state[old].detach().to("cpu", torch.float32, copy=True, memory_format=torch.contiguous_format)
        for old, new in names.items()
    }


def write_checkpoint(
    module: nn.Module,
    architecture: str,
    path: Path,
    *,
    metadata: Mapping[str, str] | None = None,
    check: Callable[[nn.Module], None] | None = None,
) -> None:
    """Write `module` to `path` as safetensors, whole or not at all, after reading it back.

    architecture: as in `official_state`. metadata: texts for the file's header.
    check: called with the network that was read back before the file appears; what it raises leaves no file.

    Raises ModelError if spandrel does not make the same network of the file, WriteError if it cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(serialized(official_state(module, architecture), {**(metadata or {}), "format": "pt"}))
        try:
            read_back = load_checkpoint(temporary).module
        except ModelError as error:
            raise ModelError(
                f"{path}: spandrel does not know this {architecture} network by its weights alone"
            ) from error
        _check_equal(read_back, module, path)
        if check is not None:
            check(read_back)


def _check_equal(read_back: nn.Module, module: nn.Module, path: Path) -> None:
    """Raise ModelError if the network that was read back has other names or other values."""
    found: dict[str, Tensor] = read_back.state_dict()
    wanted: dict[str, Tensor] = module.state_dict()
    if found.keys() != wanted.keys() or not all(torch.equal(found[k], v.cpu().to(found[k])) for k, v in wanted.items()):
        raise ModelError(f"{path}: spandrel makes another network of it than was written")


def _same_names(module: nn.Module, names: list[str]) -> dict[str, str]:
    return {name: name for name in names}


def _swinir_names(module: nn.Module, names: list[str]) -> dict[str, str]:
    """spandrel recognises networks that begin with a pixel-unshuffle by the name of their first layer."""
    first = "conv_first.1." if getattr(module, "start_unshuffle", 1) > 1 else "conv_first."
    return {name: re.sub(r"^conv_first\.", first, name) for name in names}


def _real_esrgan_names(module: nn.Module, names: list[str]) -> dict[str, str]:
    if not all(name.startswith("model.") for name in names) or any(".conv1x1." in name for name in names):
        return _same_names(module, names)  # ESRGAN+ has layers that Real-ESRGAN has no name for
    return real_esrgan_names(names)
