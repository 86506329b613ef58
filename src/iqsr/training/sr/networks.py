"""The network that a run trains: loaded or new, with or without adapters; and what is kept of it."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from torch import nn

from iqsr.errors import UnknownNameError
from iqsr.generators import Generator, load_generator
from iqsr.generators.adapter import LORA_B, check_base, read_adapter
from iqsr.generators.fresh import new_rrdbnet, new_swinir
from iqsr.generators.lora import add_lora, load_lora_state, save_adapter
from iqsr.generators.merge import ADAPTER_FILE, WEIGHTS_FILE
from iqsr.generators.plain import save_plain
from iqsr.training.sr.recipe import LoraRecipe, TrainRecipe

_NEW: dict[str, Callable[..., Generator]] = {
    "new:swinir": new_swinir,
    "new:swinir-tiny": partial(new_swinir, depths=(2,), dim=12, heads=(2,)),
    "new:rrdbnet": new_rrdbnet,
    "new:rrdbnet-tiny": partial(new_rrdbnet, blocks=1, features=16),
}


def start(recipe: TrainRecipe) -> Generator:
    """The recipe's generator, ready to learn: what is trained requires gradients, all else is frozen.

    Raises the errors of `load_generator` and `add_lora`, ModelError for an adapter that does not fit.
    """
    name = recipe.generator.start
    if name.startswith("new:"):
        if name not in _NEW:
            raise UnknownNameError("network", name, list(_NEW))
        generator = _NEW[name](seed=recipe.seed)
    else:
        generator = load_generator(name)
    if recipe.lora is None:
        generator.module.requires_grad_(True)
    else:
        _adapt(generator.module, recipe.lora, recipe.seed)
    generator.module.train()
    return generator


def _adapt(module: nn.Module, lora: LoraRecipe, seed: int) -> None:
    """Put adapters on the network: new ones, or those of the recipe's file."""
    given = read_adapter(Path(lora.start)) if lora.start else None
    if given:
        check_base(module, given, adapter_name=f"lora.start = '{lora.start}'", module_name="the recipe's network")
    add_lora(module, lora.rank, targets=lora.targets, alpha=lora.alpha, seed=seed)
    if given:
        scale = given.alpha * lora.rank / ((lora.alpha or lora.rank) * given.rank)
        rescaled = {n: t * scale if n.endswith(LORA_B) else t for n, t in given.tensors.items()}
        load_lora_state(module, rescaled)


def keep(generator: Generator, lora: LoraRecipe | None, folder: Path, extra: Mapping[str, str]) -> Path:
    """Write the adapter alone, or the whole network, to the run's folder, whole or not at all; returns the file."""
    module: nn.Module = generator.module
    if lora is not None:
        path = folder / ADAPTER_FILE
        save_adapter(module, path, base=generator.name, targets=lora.targets, extra=extra)
        return path
    path = folder / WEIGHTS_FILE
    save_plain(module, generator.architecture, path, metadata=extra)
    return path
