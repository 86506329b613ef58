"""LoRA on a network in training, through peft (Hu et al., 2021, arXiv:2106.09685): add, save, load, merge.

>>> model = load_model("realesrgan-x4plus")
>>> layers = add_lora(model.module, 24, targets="rrdb-convs", seed=0)  # changes nothing yet
>>> ...  # train the parameters that require gradients
>>> save_adapter(model.module, path, base=model.name, targets="rrdb-convs")
>>> merged = merge_adapter(model.module)

The module keeps its class and how it is called. peft, which takes seconds to import, is imported only here.
"""

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from iqsr.errors import ModelError, UsageError
from iqsr.kernels import composed_layer
from iqsr.kernels.adapted_layer import AdaptedLayer
from iqsr.kernels.dense_block import DenseBlock
from iqsr.models.adapter import (
    Adapter,
    check_base,
    merge_into,
    read_adapter,
    weights_sha256,
    write_adapter,
)

if TYPE_CHECKING:
    from peft import LoraConfig

_ADAPTER = "default"

PRESETS = {
    # The 72 linear layers of SwinIR's MLPs.
    "swinir-mlp": r"layers\.\d+\.residual_group\.blocks\.\d+\.mlp\.fc[12]",
    # The 345 convolutions inside RRDBNet's 23 blocks, as spandrel names them and as Real-ESRGAN does.
    "rrdb-convs": r"(?:model\.1\.sub\.\d+\.RDB|(?:RRDB_trunk|body)\.\d+\.(?:rdb|RDB))[123]\.conv[1-5](?:\.0)?",
}
"""Layers of known architectures, as patterns; `all-convs` and `all-linears` go by the kind of layer."""
_KINDS: dict[str, type[nn.Module]] = {"all-convs": nn.Conv2d, "all-linears": nn.Linear}


def add_lora(
    module: nn.Module, rank: int, *, targets: str | Sequence[str], alpha: float | None = None, seed: int
) -> list[str]:
    """Put adapters of `rank` on layers of `module`, in place, and freeze all else. Returns the layers' names.

    The output stays the same bit for bit: B starts as zeros. A is drawn from `seed` alone; torch's own random
    state is left as it was. A convolution gets a convolution of its kernel's size to `rank` channels, then a 1x1.

    targets: one or several of `swinir-mlp`, `rrdb-convs`, `all-convs`, `all-linears`, or regular expressions that
        match whole names of layers. Only plain linear layers and plain convolutions (no groups, no dilation, zero
        padding) can be adapted.
    alpha: the adapter's output is multiplied by alpha / rank; `rank` by default.

    Raises UsageError: nothing matches (with the nearest layers), a rank below 1, adapters already there.
    """
    if rank < 1:
        raise UsageError(f"the rank of LoRA must be at least 1, got {rank}")
    if hasattr(module, "peft_config"):
        raise UsageError("this network has adapters already: merge them first")
    layers = matching_layers(module, targets)
    config = _peft().LoraConfig(
        r=rank,
        lora_alpha=cast("int", rank if alpha is None else alpha),  # peft divides it: any number will do
        target_modules="|".join(map(re.escape, layers)),
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        _peft().inject_adapter_in_model(config, module, _ADAPTER)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(".lora_" in name)
    return layers


def matching_layers(module: nn.Module, targets: str | Sequence[str]) -> list[str]:
    """Names of the layers that `targets` (see `add_lora`) choose, in the network's order. Raises UsageError."""
    possible = {name: part for name, part in module.named_modules() if _can_adapt(part)}
    chosen: set[str] = set()
    for target in [targets] if isinstance(targets, str) else targets:
        if target in _KINDS:
            found = {name for name, part in possible.items() if type(part) is _KINDS[target]}
        else:
            pattern = _compiled(PRESETS.get(target, target))
            found = {name for name in possible if pattern.fullmatch(name)}
        if not found:
            nearest = get_close_matches(PRESETS.get(target, target), list(possible), n=3, cutoff=0.0)
            presets = ", ".join([*PRESETS, *_KINDS])
            layers = f"nearest: {', '.join(nearest)}" if nearest else "it has none that can be adapted"
            raise UsageError(f"LoRA: no layer of this network matches '{target}' (presets: {presets}); {layers}")
        chosen |= found
    if not chosen:
        raise UsageError("LoRA: no targets were given")
    return [name for name in possible if name in chosen]


def _can_adapt(part: nn.Module) -> bool:
    """True for layers whose adapter peft can merge; subclasses may compute something else."""
    if type(part) is nn.Conv2d:
        return part.groups == 1 and part.dilation == (1, 1) and part.padding_mode == "zeros"
    return type(part) is nn.Linear


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(f"LoRA: '{pattern}' is not a regular expression: {error}") from None


def lora_state(module: nn.Module) -> dict[str, Tensor]:
    """The adapters' tensors, `<layer>.lora_A.weight` and `<layer>.lora_B.weight`; they share the module's memory."""
    state: dict[str, Tensor] = module.state_dict()
    return {name.replace(f".{_ADAPTER}.", "."): value for name, value in state.items() if ".lora_" in name}


def load_lora_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy `state`, made by `lora_state`, into the adapters of `module`. Raises ModelError if they are others."""
    own = lora_state(module)
    if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in state.items()}:
        raise ModelError("the adapter's layers or its rank are not those of the network's adapters")
    for name, value in own.items():
        value.copy_(state[name])


def save_adapter(
    module: nn.Module,
    path: Path,
    *,
    base: str,
    targets: str | Sequence[str],
    half: bool = True,
    extra: Mapping[str, str] | None = None,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the adapters of `module` alone, with all facts that `load_adapter` needs, whole or not at all.

    base: name of the model below them. half: in fp16. extra: more for the file's header.
    state: these tensors instead of the module's own (an average over steps, say), named as in `lora_state`.
    """
    config = _config(module)
    adapter = Adapter(
        base=base,
        base_sha256=weights_sha256(module),
        rank=config.r,
        alpha=config.lora_alpha,
        targets=(targets,) if isinstance(targets, str) else tuple(targets),
        tensors=lora_state(module) if state is None else state,
        extra=extra or {},
    )
    write_adapter(adapter, path, half=half)


def load_adapter(module: nn.Module, path: Path) -> Adapter:
    """Put the adapter of a file on `module`, which has none, in place and trainable; returns what the file said.

    Raises ModelError if the file is damaged or belongs to other weights than the module's.
    """
    adapter = read_adapter(path)
    check_base(module, adapter, adapter_name=str(path), module_name="this network")
    add_lora(module, adapter.rank, targets=[re.escape(layer) for layer in adapter.layers], alpha=adapter.alpha, seed=0)
    load_lora_state(module, adapter.tensors)
    return adapter


def merge_adapter(module: nn.Module, state: Mapping[str, Tensor] | None = None) -> nn.Module:
    """A copy of `module` with its adapters in its weights: a plain network in eval mode, names as before `add_lora`.

    state: these adapter tensors instead of the module's own, named as in `lora_state`. `module` is not changed.
    """
    config = _config(module)
    tensors = lora_state(module) if state is None else state
    merged = deepcopy(module)
    for parent, name, wrapper in list(_wrappers(merged)):
        setattr(parent, name, wrapper.base_layer)
    del merged.peft_config
    merge_into(merged, tensors, config.lora_alpha / config.r)
    return merged.eval().requires_grad_(False)


def without_adapter(module: nn.Module) -> nn.Module:
    """A copy of `module` as it was before `add_lora`, in eval mode."""
    return merge_adapter(module, {name: torch.zeros_like(value) for name, value in lora_state(module).items()})


def adapted_layers(module: nn.Module) -> list[AdaptedLayer]:
    """The layers that `add_lora` put adapters on, in the network's order."""
    return [
        AdaptedLayer(w, w.base_layer, w.lora_A[_ADAPTER].weight, w.lora_B[_ADAPTER].weight, w.scaling[_ADAPTER])
        for w in (cast("Any", wrapper) for _, _, wrapper in _wrappers(module))
    ]


class LoraAsOneConvolution:
    """A faster forward and backward pass through a network with adapters, of the same function and gradients.

    peft computes three layers for one, W x + s * B (A x). Inside `applied` it is one layer with the weight W + s * B A
    (`kernels.composed_layer`), and RRDBNet's dense blocks are computed in tiles (`kernels.dense_block`). A and B stay
    peft's parameters; outside `applied` the network is unchanged, for evaluating, copying, merging and saving.

    It is used only with gradients and in full precision. A small change by an adapter is lost in a bf16 weight, so
    peft's sum is better under autocast; and without gradients an untrained adapter must not change a bit of the output,
    which tiles with their other rounding cannot promise.

    >>> fused = LoraAsOneConvolution(module)  # after add_lora
    >>> with fused.applied():
    ...     y = module(x)
    >>> y.square().mean().backward()  # once: dense blocks reuse their memory
    """

    def __init__(self, module: nn.Module) -> None:
        layers = adapted_layers(module)
        self._forwards: list[tuple[nn.Module, Callable[[Tensor], Tensor]]] = [
            *((layer.wrapper, partial(composed_layer.composed_forward, layer)) for layer in layers),
            *((block.module, block.forward) for block in DenseBlock.found_in(module, layers)),
        ]

    @contextmanager
    def applied(self) -> Generator[None]:
        """Use the faster pass for calls inside the `with` block; gradients may be computed after it."""
        for part, faster in self._forwards:
            part.forward = faster
        try:
            yield
        finally:
            for part, _ in self._forwards:
                del part.forward


def _wrappers(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Every layer that peft has wrapped: its parent, its name there, the wrapper."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for parent in module.modules():
        for name, child in parent.named_children():
            if isinstance(child, BaseTunerLayer):
                yield parent, name, child


def _config(module: nn.Module) -> "LoraConfig":
    """peft's configuration of the adapters on `module`. Raises UsageError if it has none."""
    configs = cast("dict[str, LoraConfig] | None", getattr(module, "peft_config", None))
    if configs is None:
        raise UsageError("this network has no adapters: add_lora comes first")
    return configs[_ADAPTER]


def _peft():
    """The package peft. Raises ModelError, with the command that installs it, if it is missing."""
    try:
        import peft
    except ImportError as error:
        raise ModelError("LoRA needs the package peft: pip install 'iqsr[train]'") from error
    return peft
