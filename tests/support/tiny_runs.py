"""Recipes made small, and what their runs leave behind, for tests."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from iqsr.configs import overlay_names, recipe_names
from iqsr.models.merge import ADAPTER_FILE, WEIGHTS_FILE
from iqsr.recipes import read_recipe
from iqsr.training.sr.recipe import TrainRecipe

TINY = (
    "steps=4", "batch=2", "log_every=1", "checkpoint_every=2", "model.start=new:rrdbnet-tiny", "data.source=96",
    "data.patch=64", "data.pool=4", "data.workers=0", "sampling.metric=srq", 
    "objective.quality={srq=1.0, musiq=0.0, paq2piq=0.0}",
    "objective.perceptual_features=lpips-st-alex", "validation.every=2", "validation.photos=2", "validation.side=64",
    "validation.metrics=['psnr', 'stlpips']", "validation.pictures=1", "guard.on=false",
)  # fmt: skip


def tiny(name: str = "ablation/cpu-amo-ft", *changes: str) -> TrainRecipe:
    """A recipe as it stands, but for sizes."""
    recipe = read_recipe(name, TrainRecipe)
    sizes = [c for c in TINY if "quality=" not in c or recipe.objective.lambda_q]
    sizes += ["lora.start=''"] if recipe.lora else []
    return read_recipe(name, TrainRecipe, [*sizes, *changes])


def sr_recipes() -> list[str]:
    """Every recipe that trains a model, with each overlay where it belongs."""
    plain = [name for name in recipe_names() if name.startswith(("paper/", "ablation/"))]
    tuned = [name for name in plain if name.startswith("paper/") and name.endswith("-ft")]
    return plain + [f"{name}+{overlay}" for name in tuned for overlay in overlay_names("paper")]


def lines(run: Path) -> list[dict[str, Any]]:
    """The log without what time it took."""
    found = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in found]


def weights(run: Path) -> dict[str, torch.Tensor]:
    kept = next(path for name in (ADAPTER_FILE, WEIGHTS_FILE) if (path := run / name).exists())
    return load_file(kept)


def equal(a: Path, b: Path) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights(a).values(), weights(b).values(), strict=True))


def quick(*changes: str) -> TrainRecipe:
    """A recipe whose steps take a tenth of a second: L1 alone, on small patches."""
    sizes = (
        "steps=8", "bf16=false", "data.source=64", "data.patch=32", "validation.metrics=['psnr']",
        "objective.perceptual=0.0", "objective.gan=0.0", "objective.l1=1.0",
    )  # fmt: skip
    return tiny("paper/realesrgan-origins-only", *sizes, *changes)


def curve(run: Path, name: str) -> list[int]:
    """The steps of a curve, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return [point.step for point in events.Scalars(name)]
