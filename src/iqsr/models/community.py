"""Checkpoints of any super-resolution network that spandrel knows: `.pth`, `.pt`, `.ckpt`, `.safetensors`.

Pickles are read with `weights_only`: a file that asks to run code is refused.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from iqsr.device import one_thread
from iqsr.errors import ModelError, UsageError
from iqsr.finite import not_finite
from iqsr.io.model_files import pickled_class, what_it_is, wrong_checksum
from iqsr.models.adapter import is_adapter
from iqsr.models.contents import contents
from iqsr.models.model import SRModel

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

    Descriptor = ImageModelDescriptor[nn.Module]

_AGAIN = "fetch it again, or take an earlier one"


def load_checkpoint(path: Path) -> SRModel:
    """The model in a checkpoint file, named like the file.

    Raises UsageError where there is no such file; ModelError in one line: wants to run code, damaged, not RGB
    super-resolution.
    """
    found = recognise(read_checkpoint(path), path)
    sr_model = as_model(found, name=path.stem, licence="unknown")
    _check_plain_call(sr_model, found, path)
    return sr_model


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, without executing anything in it. Its content decides how, not its suffix."""
    if not path.is_file():
        told = "a folder, not a checkpoint (iqsr merge makes one of a run's)" if path.is_dir() else "no such checkpoint"
        raise UsageError(f"{told}: '{path}'")
    if is_adapter(path):
        raise ModelError(f"{path}: an adapter, which is no network by itself: iqsr merge it first")
    try:
        with path.open("rb") as file:
            is_safetensors = file.read(9)[8:] == b"{"
        state = _read_safetensors(path) if is_safetensors else _read_pickle(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    if not isinstance(state, dict):
        raise ModelError(f"{path}: holds a {type(state).__name__}, not the weights of a network")
    return cast("dict[str, Any]", state)


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ModelError(f"{path}: {what_it_is(path) or f'a damaged safetensors file ({error})'}") from error


def _read_pickle(path: Path) -> object:
    try:
        with warnings.catch_warnings(action="ignore"):  # of uncommon pickle protocols: what counts is the result
            state: object = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ModelError(f"{path}: {_why_refused(path, error)}") from error
    except Exception as error:  # of a file that is cut off, OSError, too
        told = what_it_is(path)
        if told is None and isinstance(error, OSError):
            raise
        cut = "EOF" in str(error)
        told = told or f"{'damaged, its end is missing' if cut else 'not a checkpoint, or damaged'}; {_AGAIN}"
        raise ModelError(f"{path}: {told}") from error
    if part := wrong_checksum(path):  # torch does not look
        raise ModelError(f"{path}: damaged: the checksum of its part '{part}' is wrong; {_AGAIN}")
    return state


def _why_refused(path: Path, error: UnpicklingError) -> str:
    """Of what is no plain tensors."""
    if found := pickled_class(path):
        return (
            f"holds a whole network as a Python object ({found}), which runs code when it is opened; "
            "save its weights alone, torch.save(network.state_dict(), ...), or ask its author for them"
        )
    wanted = re.search(r"(?:GLOBAL|[Gg]lobal:?) (?!GLOBAL)([\w.]+)", str(error))
    if wanted is None:
        return what_it_is(path) or "damaged, or not a checkpoint that can be read safely"
    return (
        f"refused, because it wants to run code when it is opened ({wanted[1]}); "
        "only plain tensors are read: ask its author for a .safetensors file"
    )


def recognise(state: dict[str, Any], path: Path) -> Descriptor:
    """The network that spandrel makes of what was read from `path`: for super-resolution, or a restorer (x1).

    Raises ModelError for any other, if it is not from RGB to RGB, or if its weights are no numbers.
    """
    found = read_by_spandrel(state, path)
    kind = found.architecture.id
    if found.purpose not in {"SR", "Restoration"}:
        raise ModelError(f"{path}: a {kind} network ({found.purpose}), not one for super-resolution or restoration")
    if (found.input_channels, found.output_channels) != (3, 3):
        channels = f"{found.input_channels} to {found.output_channels}"
        raise ModelError(f"{path}: a {kind} network from {channels} channels; only RGB (3 to 3) is supported")
    if found.size_requirements.square:
        raise ModelError(f"{path}: a {kind} network for square pictures only, which is not supported")
    return found


def read_by_spandrel(state: dict[str, Any], path: Path) -> Descriptor:
    """As `recognise`, for whatever purpose. spandrel and its architectures take as long to import as torch."""
    from spandrel import ImageModelDescriptor, ModelLoader, canonicalize_state_dict

    try:
        named = canonicalize_state_dict(state)
        with one_thread():  # hundreds of small tensors are copied: on a busy machine several threads took seconds
            found = ModelLoader("cpu").load_from_state_dict(named)
    except Exception as error:  # each of spandrel's many parsers fails in its own way
        raise ModelError(f"{path}: {contents(state)}") from error
    if not isinstance(found, ImageModelDescriptor):
        kind, purpose = found.architecture.id, found.purpose
        raise ModelError(f"{path}: a {kind} network ({purpose}), not one for super-resolution or restoration")
    _check_weights(named, found.model, path)
    return found


def _check_weights(named: dict[str, Any], module: nn.Module, path: Path) -> None:
    """Refuse what no picture can be computed with. Names are those of the file, where it has them alike."""
    tensors = {name: value for name, value in named.items() if isinstance(value, Tensor)}
    whole = [name for name, value in tensors.items() if name.endswith("weight") and not value.dtype.is_floating_point]
    if whole:
        raise ModelError(f"{path}: {whole[0]} is {tensors[whole[0]].dtype}: only weights of floating point are read")
    module.float()  # in which it will be used: double precision has larger numbers
    if found := not_finite(module.named_parameters()):
        told = not_finite(tensors.items()) or f"{found} in float32"
        raise ModelError(f"{path}: {told}: damaged, or its training failed; {_AGAIN}")
    broken = ((name, value) for name, value in module.named_buffers() if not _is_mask(value))
    if found := not_finite(broken):
        raise ModelError(f"{path}: {found}: damaged, or its training failed; {_AGAIN}")


def _is_mask(buffer: Tensor) -> bool:
    """Whether the only values that are no numbers are -inf, as attention has them where it must not look."""
    return buffer.is_floating_point() and bool((buffer.isfinite() | buffer.isneginf()).all())


def as_model(found: Descriptor, *, name: str, licence: str) -> SRModel:
    """spandrel's descriptor as a model, ready to run."""
    return SRModel(
        name=name,
        module=found.model.float().eval().requires_grad_(False),
        scale=found.scale,
        architecture=found.architecture.id,
        licence=licence,
        size_multiple=found.size_requirements.multiple_of,
        minimum_size=max(1, found.size_requirements.minimum),
    )


def _check_plain_call(sr_model: SRModel, found: Descriptor, path: Path) -> None:
    """Refuse the few architectures whose picture is not `module(x)`: several outputs, another range."""
    multiple = sr_model.size_multiple
    side = max(sr_model.minimum_size, -(-8 // multiple) * multiple)
    x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            expected = found(x.clone())
            torch.manual_seed(0)
            y = cast("object", sr_model.module(x))
    except Exception as error:  # a foreign network, on its first picture
        raise ModelError(f"{path}: the {sr_model.architecture} network fails on a picture: {error}") from error
    if not expected.isfinite().all():
        raise ModelError(f"{path}: the {sr_model.architecture} network gives values that are not finite")
    if not isinstance(y, Tensor) or not torch.equal(y.clamp(0, 1), expected):
        raise ModelError(f"{path}: {sr_model.architecture} networks need a special call: not supported")
