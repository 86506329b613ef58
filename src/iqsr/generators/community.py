"""Checkpoints of any super-resolution network that spandrel knows: `.pth`, `.pt`, `.ckpt`, `.safetensors`.

Pickles are read with `weights_only`: a file that asks to run code is refused.
"""

import re
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from spandrel import ImageModelDescriptor, ModelLoader, canonicalize_state_dict
from torch import Tensor, nn

from iqsr.device import one_thread
from iqsr.errors import ModelError, UsageError
from iqsr.generators.adapter import is_adapter
from iqsr.generators.generator import Generator

Descriptor = ImageModelDescriptor[nn.Module]


def load_checkpoint(path: Path) -> Generator:
    """The generator in a checkpoint file, named like the file.

    Raises UsageError where there is no such file; ModelError in one line: wants to run code, damaged, not RGB
    super-resolution.
    """
    found = recognise(read_checkpoint(path), path)
    generator = as_generator(found, name=path.stem, licence="unknown")
    _check_plain_call(generator, found, path)
    return generator


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, without executing anything in it. Its content decides how, not its suffix."""
    if not path.is_file():
        raise UsageError(f"{'a folder, not a checkpoint' if path.is_dir() else 'no such checkpoint'}: '{path}'")
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
        raise ModelError(f"{path}: a damaged safetensors file ({error})") from error


def _read_pickle(path: Path) -> object:
    try:
        with warnings.catch_warnings(action="ignore"):  # of uncommon pickle protocols: what counts is the result
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except UnpicklingError as error:
        wanted = re.search(r"[Gg](?:LOBAL|lobal:?) ([\w.]+)", str(error))
        if wanted is None:
            raise ModelError(f"{path}: damaged, or not a checkpoint that can be read safely") from error
        raise ModelError(
            f"{path}: refused, because it wants to run code when it is opened ({wanted[1]}); "
            "only plain tensors are read: ask its author for a .safetensors file"
        ) from error
    except Exception as error:
        raise ModelError(f"{path}: not a checkpoint, or damaged") from error


def recognise(state: dict[str, Any], path: Path) -> Descriptor:
    """The network that spandrel makes of what was read from `path`: for super-resolution, or a restorer (x1).

    Raises ModelError for any other, and if it is not from RGB to RGB.
    """
    try:
        with one_thread():  # hundreds of small tensors are copied: on a busy machine several threads took seconds
            found = ModelLoader("cpu").load_from_state_dict(canonicalize_state_dict(state))
    except Exception as error:  # each of spandrel's many parsers fails in its own way
        raise ModelError(f"{path}: not a super-resolution network that spandrel knows") from error
    kind = found.architecture.id
    if not isinstance(found, ImageModelDescriptor) or found.purpose not in {"SR", "Restoration"}:
        raise ModelError(f"{path}: a {kind} network ({found.purpose}), not one for super-resolution or restoration")
    if (found.input_channels, found.output_channels) != (3, 3):
        channels = f"{found.input_channels} to {found.output_channels}"
        raise ModelError(f"{path}: a {kind} network from {channels} channels; only RGB (3 to 3) is supported")
    if found.size_requirements.square:
        raise ModelError(f"{path}: a {kind} network for square pictures only, which is not supported")
    return found


def as_generator(found: Descriptor, *, name: str, licence: str) -> Generator:
    """spandrel's descriptor as a generator, ready to run."""
    return Generator(
        name=name,
        module=found.model.float().eval().requires_grad_(False),
        scale=found.scale,
        architecture=found.architecture.id,
        licence=licence,
        size_multiple=found.size_requirements.multiple_of,
        minimum_size=max(1, found.size_requirements.minimum),
    )


def _check_plain_call(generator: Generator, found: Descriptor, path: Path) -> None:
    """Refuse the few architectures whose picture is not `module(x)`: several outputs, another range."""
    multiple = generator.size_multiple
    side = max(generator.minimum_size, -(-8 // multiple) * multiple)
    x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            expected = found(x.clone())
            torch.manual_seed(0)
            y = cast("object", generator.module(x))
    except Exception as error:  # a foreign network, on its first picture
        raise ModelError(f"{path}: the {generator.architecture} network fails on a picture: {error}") from error
    if not isinstance(y, Tensor) or not torch.equal(y.clamp(0, 1), expected):
        raise ModelError(f"{path}: {generator.architecture} networks need a special call: not supported")
