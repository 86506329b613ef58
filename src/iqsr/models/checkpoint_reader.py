"""Checkpoints of any super-resolution network that spandrel knows: `.pth`, `.pt`, `.ckpt`, `.safetensors`.

Pickles are read with `weights_only`: a file that asks to run code is refused.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from iqsr.device import one_thread
from iqsr.errors import ModelError, UsageError
from iqsr.finite import not_finite
from iqsr.io.model_files import damaged_zip_member, identify_file, pickled_class
from iqsr.models.adapter import is_adapter
from iqsr.models.model import SRModel

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

    Descriptor = ImageModelDescriptor[nn.Module]

_AGAIN = "fetch it again, or take an earlier one"
_SPANDREL = "not a super-resolution network that spandrel knows"

_IQSR_CHECKPOINTS: tuple[tuple[set[str], str], ...] = (
    (
        {"weights", "average", "optimizer", "guard"},
        "a checkpoint to go on training from, not a network: give its run's folder to `iqsr merge`",
    ),
    (
        {"model", "average", "optimizer", "schedule", "recipe"},
        "a checkpoint of `iqsr train-quality`, whose network scores pictures and enlarges none",
    ),
)
"""Keys that only iqsr's own checkpoints of trainings hold together, and what to say of them."""

_SIGNS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("weight_orig", "weight_u"), "a discriminator, by its spectral norms; give the generator (often net_g_*.pth)"),
    (("conv0_0.weight", "linear1.weight"), "a discriminator; give the generator (often net_g_*.pth)"),
    (("lora_",), "an adapter that another program wrote; merge it there into its network first"),
    (("diffusion_model.",), "a diffusion model, which is no network that enlarges pictures in one pass"),
    (("trunk.", "head.project."), "a predictor of quality, which scores pictures and enlarges none"),
)
"""What to say where each of these texts occurs in the name of some tensor."""

_WEIGHT_KEYS = ("generator", "gen", "g", "g_ema", "ema", "netg", "net_g", "model_ema", "network", "weights", "module")
_OPTIMISER_KEYS = {"optimizer", "optimizers", "optimizer_state_dict", "schedulers", "param_groups"}


def load_checkpoint(path: Path) -> SRModel:
    """The model in a checkpoint file, named like the file.

    Raises UsageError where there is no such file; ModelError in one line: wants to run code, damaged, not RGB
    super-resolution.
    """
    descriptor = recognise(read_checkpoint(path), path)
    sr_model = as_model(descriptor, name=path.stem, licence="unknown")
    _check_plain_call(sr_model, descriptor, path)
    return sr_model


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint file without executing anything in it. Its content, not its suffix, decides the format."""
    if not path.is_file():
        reason = (
            "a folder, not a checkpoint (iqsr merge makes one of a run's)" if path.is_dir() else "no such checkpoint"
        )
        raise UsageError(f"{reason}: '{path}'")
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
        raise ModelError(f"{path}: {identify_file(path) or f'a damaged safetensors file ({error})'}") from error


def _read_pickle(path: Path) -> object:
    try:
        with warnings.catch_warnings(action="ignore"):  # of uncommon pickle protocols: what counts is the result
            state: object = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ModelError(f"{path}: {_why_refused(path, error)}") from error
    except Exception as error:  # of a file that is cut off, OSError, too
        reason = identify_file(path)
        if reason is None and isinstance(error, OSError):
            raise
        cut = "EOF" in str(error)
        reason = reason or f"{'damaged, its end is missing' if cut else 'not a checkpoint, or damaged'}; {_AGAIN}"
        raise ModelError(f"{path}: {reason}") from error
    if part := damaged_zip_member(path):  # torch does not look
        raise ModelError(f"{path}: damaged: the checksum of its part '{part}' is wrong; {_AGAIN}")
    return state


def _why_refused(path: Path, error: UnpicklingError) -> str:
    """What to say of a pickle that holds more than plain tensors."""
    if class_name := pickled_class(path):
        return (
            f"holds a whole network as a Python object ({class_name}), which runs code when it is opened; "
            "save its weights alone, torch.save(network.state_dict(), ...), or ask its author for them"
        )
    wanted = re.search(r"(?:GLOBAL|[Gg]lobal:?) (?!GLOBAL)([\w.]+)", str(error))
    if wanted is None:
        return identify_file(path) or "damaged, or not a checkpoint that can be read safely"
    return (
        f"refused, because it wants to run code when it is opened ({wanted[1]}); "
        "only plain tensors are read: ask its author for a .safetensors file"
    )


def recognise(state: dict[str, Any], path: Path) -> Descriptor:
    """The super-resolution or restoration (x1) network that spandrel builds from the state read from `path`.

    Raises ModelError for any other, if it is not from RGB to RGB, or if its weights are not finite.
    """
    descriptor = read_by_spandrel(state, path)
    kind = descriptor.architecture.id
    if descriptor.purpose not in {"SR", "Restoration"}:
        raise ModelError(
            f"{path}: a {kind} network ({descriptor.purpose}), not one for super-resolution or restoration"
        )
    if (descriptor.input_channels, descriptor.output_channels) != (3, 3):
        channels = f"{descriptor.input_channels} to {descriptor.output_channels}"
        raise ModelError(f"{path}: a {kind} network from {channels} channels; only RGB (3 to 3) is supported")
    if descriptor.size_requirements.square:
        raise ModelError(f"{path}: a {kind} network for square pictures only, which is not supported")
    return descriptor


def read_by_spandrel(state: dict[str, Any], path: Path) -> Descriptor:
    """As `recognise`, for a network of any purpose. spandrel and its architectures take as long to import as torch."""
    from spandrel import ImageModelDescriptor, ModelLoader, canonicalize_state_dict

    try:
        named = canonicalize_state_dict(state)
        with one_thread():  # hundreds of small tensors are copied: on a busy machine several threads took seconds
            descriptor = ModelLoader("cpu").load_from_state_dict(named)
    except Exception as error:  # each of spandrel's many parsers fails in its own way
        raise ModelError(f"{path}: {describe_unusable(state)}") from error
    if not isinstance(descriptor, ImageModelDescriptor):
        kind, purpose = descriptor.architecture.id, descriptor.purpose
        raise ModelError(f"{path}: a {kind} network ({purpose}), not one for super-resolution or restoration")
    _check_weights(named, descriptor.model, path)
    return descriptor


def _check_weights(named: dict[str, Any], module: nn.Module, path: Path) -> None:
    """Raise ModelError for weights that are integers or not finite, naming them as the file does where possible."""
    tensors = {name: value for name, value in named.items() if isinstance(value, Tensor)}
    whole = [name for name, value in tensors.items() if name.endswith("weight") and not value.dtype.is_floating_point]
    if whole:
        raise ModelError(f"{path}: {whole[0]} is {tensors[whole[0]].dtype}: only weights of floating point are read")
    module.float()  # in which it will be used: double precision has larger numbers
    if problem := not_finite(module.named_parameters()):
        reason = not_finite(tensors.items()) or f"{problem} in float32"
        raise ModelError(f"{path}: {reason}: damaged, or its training failed; {_AGAIN}")
    broken = ((name, value) for name, value in module.named_buffers() if not _is_mask(value))
    if problem := not_finite(broken):
        raise ModelError(f"{path}: {problem}: damaged, or its training failed; {_AGAIN}")


def _is_mask(buffer: Tensor) -> bool:
    """Whether the only values that are not finite are -inf, as in the masks of attention."""
    return buffer.is_floating_point() and bool((buffer.isfinite() | buffer.isneginf()).all())


def as_model(descriptor: Descriptor, *, name: str, licence: str) -> SRModel:
    """spandrel's descriptor as a model, ready to run."""
    return SRModel(
        name=name,
        module=descriptor.model.float().eval().requires_grad_(False),
        scale=descriptor.scale,
        architecture=descriptor.architecture.id,
        licence=licence,
        size_multiple=descriptor.size_requirements.multiple_of,
        minimum_size=max(1, descriptor.size_requirements.minimum),
    )


def _check_plain_call(sr_model: SRModel, descriptor: Descriptor, path: Path) -> None:
    """Raise ModelError for architectures whose output is not `module(x)`: several outputs, another range."""
    multiple = sr_model.size_multiple
    side = max(sr_model.minimum_size, -(-8 // multiple) * multiple)
    x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            expected = descriptor(x.clone())
            torch.manual_seed(0)
            y = cast("object", sr_model.module(x))
    except Exception as error:  # a foreign network, on its first picture
        raise ModelError(f"{path}: the {sr_model.architecture} network fails on a picture: {error}") from error
    if not expected.isfinite().all():
        raise ModelError(f"{path}: the {sr_model.architecture} network gives values that are not finite")
    if not isinstance(y, Tensor) or not torch.equal(y.clamp(0, 1), expected):
        raise ModelError(f"{path}: {sr_model.architecture} networks need a special call: not supported")


def describe_unusable(state: Mapping[Any, Any]) -> str:
    """Why a checkpoint is no super-resolution network, and what to do: one phrase to follow `FILE: `."""
    for keys, message in _IQSR_CHECKPOINTS:
        if keys <= state.keys():
            return message
    inside = {str(key): cast("dict[object, object]", value) for key, value in state.items() if isinstance(value, dict)}
    networks = [key for key, value in inside.items() if any(isinstance(v, Tensor) for v in value.values())]
    names = [str(key) for part in (state, *inside.values()) for key, value in part.items() if isinstance(value, Tensor)]
    sr_model = [key for key in networks if key.lower() in _WEIGHT_KEYS]
    if sr_model:
        return f"{_SPANDREL}: its weights may be those under '{sr_model[0]}'; save that part alone, by torch.save"
    for texts, message in _SIGNS:
        if all(any(text in name for name in names) for text in texts):
            return message
    if not names:
        said = "the state of an optimiser without a network" if _OPTIMISER_KEYS & set(map(str, state)) else "no tensors"
        return f"{_SPANDREL}: it holds {said}; give the file of the network itself"
    shown = ", ".join(f"'{name}'" for name in names[:3])
    return f"{_SPANDREL}: its tensors are called {shown}{', ...' if len(names) > 3 else ''}"
