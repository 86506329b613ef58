"""The network that a run trains: loaded or new, with or without adapters; and what is kept of it."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from torch import nn

from iqsr.degrade import pipeline
from iqsr.errors import UnknownNameError, UsageError
from iqsr.models import SRModel, load_model
from iqsr.models.adapter import LORA_B, check_base, read_adapter
from iqsr.models.checkpoint_writer import write_checkpoint
from iqsr.models.deepen import deepened
from iqsr.models.lora import add_lora, load_lora_state, save_adapter, without_adapter
from iqsr.models.merge import ADAPTER_FILE, BASE_FILE, WEIGHTS_FILE, resolved_start
from iqsr.models.untrained import new_rrdbnet, new_swinir
from iqsr.training.sr.recipe import LoraRecipe, TrainRecipe

_NEW: dict[str, Callable[..., SRModel]] = {
    "new:swinir": new_swinir,
    "new:swinir-tiny": partial(new_swinir, depths=(2,), dim=12, heads=(2,)),
    "new:rrdbnet": new_rrdbnet,
    "new:rrdbnet-tiny": partial(new_rrdbnet, blocks=1, features=16),
}


def start(recipe: TrainRecipe, run: Path) -> SRModel:
    """The recipe's model, ready to learn: what is trained requires gradients, all else is frozen.

    run: the folder of the run, beside which others lie (`run:NAME`).

    Raises the errors of `load_model` and `add_lora`, ModelError for an adapter that does not fit, UsageError for a
    network of another scale than the degradations'.
    """
    name = recipe.model.start
    if name.startswith("new:"):
        if name not in _NEW:
            raise UnknownNameError("network", name, list(_NEW))
        model = _NEW[name](seed=recipe.seed)
    else:
        model = load_model(resolved_start(name, run))
    if recipe.model.convolutions:
        model = deepened(model, recipe.model.convolutions)
    _check_scale(model, recipe)
    if recipe.lora is None:
        model.module.requires_grad_(True)
    else:
        _adapt(model.module, recipe.lora, recipe.seed, run)
    model.module.train()
    return model


def _check_scale(model: SRModel, recipe: TrainRecipe) -> None:
    named = (*recipe.data.degradations, recipe.validation.degradation)
    for degradation in filter(None, named):
        if (scale := pipeline(degradation).scale) != model.scale:
            start = recipe.model.start
            raise UsageError(
                f"model.start = '{start}' enlarges x{model.scale}, '{degradation}' reduces by {scale}: "
                f"choose a network of x{scale}"
            )


def _adapt(module: nn.Module, lora: LoraRecipe, seed: int, run: Path) -> None:
    """Put adapters on the network: new ones, or those of the recipe's file."""
    given = read_adapter(Path(resolved_start(lora.start, run))) if lora.start else None
    if given:
        check_base(module, given, adapter_name=f"lora.start = '{lora.start}'", module_name="the recipe's network")
    add_lora(module, lora.rank, targets=lora.targets, alpha=lora.alpha, seed=seed)
    if given:
        scale = given.alpha * lora.rank / ((lora.alpha or lora.rank) * given.rank)
        rescaled = {n: t * scale if n.endswith(LORA_B) else t for n, t in given.tensors.items()}
        load_lora_state(module, rescaled)


def keep(model: SRModel, recipe: TrainRecipe, folder: Path, extra: Mapping[str, str]) -> Path:
    """Write the adapter alone, or the whole network, to the run's folder, whole or not at all; returns the file.

    Beside an adapter on random weights these are written, too: nowhere else are they to be had.
    """
    module, lora = model.module, recipe.lora
    if lora is not None:
        path = folder / ADAPTER_FILE
        if recipe.model.start in _NEW:
            write_checkpoint(without_adapter(module), model.architecture, folder / BASE_FILE)
        save_adapter(module, path, base=model.name, targets=lora.targets, extra=extra)
        return path
    path = folder / WEIGHTS_FILE
    write_checkpoint(module, model.architecture, path, metadata=extra)
    return path
