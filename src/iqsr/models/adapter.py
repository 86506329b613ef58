"""LoRA adapters as files, and merged into the network that they change (Hu et al., 2021, arXiv:2106.09685).

An adapter adds `alpha / rank * B A` to the weight of some layers. A is (rank, inputs) for a linear layer and
(rank, inputs, kh, kw) for a convolution, B is (outputs, rank) or (outputs, rank, 1, 1). The file is safetensors:
`<layer>.lora_A.weight` and `<layer>.lora_B.weight`, and its header names the network it belongs to. Training needs
peft (`iqsr.models.lora`); reading and merging need torch alone.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from iqsr.errors import ModelError, UsageError
from iqsr.finite import not_finite
from iqsr.io.atomic import write_bytes
from iqsr.io.model_files import identify_file
from iqsr.io.places import check_is_file
from iqsr.io.tensor_files import serialized

FORMAT = "iqsr-adapter-1"
"""Value of `iqsr_format` in the header of every adapter file."""
LORA_A, LORA_B = ".lora_A.weight", ".lora_B.weight"
_OWN_KEYS = {"iqsr_format", "format", "base", "base_sha256", "rank", "alpha", "targets"}


@dataclass(frozen=True)
class Adapter:
    """The content of an adapter file."""

    base: str
    """Name of its base, the model that it changes."""
    base_sha256: str
    """`weights_sha256` of that model."""
    rank: int
    alpha: float
    targets: tuple[str, ...]
    """Presets or patterns that selected the layers; the names of the layers are in `tensors`."""
    tensors: Mapping[str, Tensor]
    """`<layer>.lora_A.weight` and `<layer>.lora_B.weight`, in fp32 once read."""
    extra: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further entries of the header: recipe, seed, step, ..."""

    @property
    def scaling(self) -> float:
        """The factor of B A."""
        return self.alpha / self.rank

    @property
    def layers(self) -> list[str]:
        """Names of the layers that it changes."""
        return [name.removesuffix(LORA_A) for name in self.tensors if name.endswith(LORA_A)]


def base_state(module: nn.Module) -> dict[str, Tensor]:
    """The state dict of `module` without its adapters."""
    state: dict[str, Tensor] = module.state_dict()
    return {name.replace(".base_layer.", "."): v for name, v in state.items() if ".lora_" not in name}


def weights_sha256(module: nn.Module) -> str:
    """Hexadecimal SHA-256 of a network's floating-point weights: names, shapes and fp32 values, sorted by name.

    Independent of the file they came from, and of adapters on top of them.
    """
    digest = hashlib.sha256()
    for name, value in sorted(base_state(module).items()):
        if value.is_floating_point():
            digest.update(f"{name} {tuple(value.shape)}\n".encode())
            digest.update(value.detach().to("cpu", torch.float32).contiguous().view(-1).numpy().data)
    return digest.hexdigest()


def is_adapter(path: Path) -> bool:
    """Whether the file `path` is one that `write_adapter` wrote. False for what cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        check_is_file(path)
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("iqsr_format") == FORMAT
    except (OSError, SafetensorError):
        return False


def write_adapter(adapter: Adapter, path: Path, *, half: bool = True) -> None:
    """Write `adapter` to `path` whole or not at all, in fp16 (`half`) or fp32.

    Raises ModelError for values that are not finite in that precision, WriteError if it cannot be written.
    """
    dtype = torch.float16 if half else torch.float32
    # Cloned to the plain layout: a tensor that shares memory, or is channels-last, cannot be written.
    tensors = {
        k: v.detach().to("cpu", dtype).clone(memory_format=torch.contiguous_format) for k, v in adapter.tensors.items()
    }
    if found := not_finite(tensors.items()):
        raise ModelError(f"{path}: not written: {found} in {dtype}")
    header = {
        "format": "pt",
        "iqsr_format": FORMAT,
        "base": adapter.base,
        "base_sha256": adapter.base_sha256,
        "rank": str(adapter.rank),
        "alpha": repr(float(adapter.alpha)),
        "targets": json.dumps(adapter.targets),
    }
    write_bytes(path, serialized(tensors, {**adapter.extra, **header}))


def read_adapter(path: Path) -> Adapter:
    """The adapter in the file `path`, in fp32. Raises ModelError in one line: missing, damaged, not an adapter."""
    header, tensors = _read(path)
    if header.get("iqsr_format") != FORMAT:
        raise ModelError(f"{path}: not an adapter that iqsr wrote")
    try:
        adapter = Adapter(
            base=header["base"],
            base_sha256=header["base_sha256"],
            rank=int(header["rank"]),
            alpha=float(header["alpha"]),
            targets=tuple(map(str, json.loads(header["targets"]))),
            # Copied: what was read may still be the file, mapped into memory.
            tensors={name: value.to(torch.float32, copy=True) for name, value in tensors.items()},
            extra={key: value for key, value in header.items() if key not in _OWN_KEYS},
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: a damaged adapter: its header lacks something") from error
    if found := not_finite(adapter.tensors.items()):
        raise ModelError(f"{path}: {found}: damaged, or its training failed; take an earlier one")
    names = {layer + end for layer in adapter.layers for end in (LORA_A, LORA_B)}
    ranks = {value.shape[0 if name.endswith(LORA_A) else 1] for name, value in tensors.items() if value.ndim in (2, 4)}
    if not names or names != set(tensors) or ranks != {adapter.rank}:
        raise ModelError(f"{path}: a damaged adapter: its tensors are not the A and B of layers of rank {adapter.rank}")
    return adapter


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Header and tensors of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UsageError(f"no such adapter: '{path}'")
    try:
        with safe_open(path, "pt") as file:
            names: list[str] = list(file.keys())
            return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        reason = identify_file(path) or f"not a safetensors file, or damaged ({error})"
        raise ModelError(f"{path}: {reason}") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error


def check_base(module: nn.Module, adapter: Adapter, *, adapter_name: str, module_name: str) -> None:
    """Raise ModelError if the adapter was trained on other weights than those of `module`."""
    found = weights_sha256(module)
    if found != adapter.base_sha256:
        raise ModelError(
            f"{adapter_name}: belongs to '{adapter.base}' with the weights {adapter.base_sha256[:12]}, "
            f"but {module_name} has {found[:12]}; give the network that it was trained on"
        )


def merge_into(module: nn.Module, tensors: Mapping[str, Tensor], scaling: float) -> None:
    """Add `scaling * B A` to the weights of a plain network's layers, in place, each rounded once.

    tensors: as in `Adapter.tensors`; scaling: alpha / rank. Raises ModelError if a layer is not there or another, or
    becomes too large for its precision.
    """
    for name, a in tensors.items():
        if not name.endswith(LORA_A):
            continue
        layer = name.removesuffix(LORA_A)
        b = tensors[layer + LORA_B]
        try:
            weight = module.get_parameter(f"{layer}.weight")
            # A 1x1 convolution after a convolution is the product of their matrices.
            change = (b.detach().double().flatten(1) @ a.detach().double().flatten(1)).reshape(weight.shape)
        except (AttributeError, RuntimeError) as error:
            raise ModelError(f"the adapter's layer {layer} does not fit this network") from error
        merged = (weight.data.double() + scaling * change.to(weight.device)).to(weight.dtype)
        if found := not_finite([(f"{layer}.weight", merged)]):
            raise ModelError(f"merged with the adapter, {found}")
        weight.data = merged
