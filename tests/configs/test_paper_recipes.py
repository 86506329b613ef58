"""The recipes of the paper's tables 7 and 8, number by number.

The numbers are those of the published settings: HGGT's (option files of the repository, b735378) for what a network
learns at first, and the paper's (CVPR 2025, sections 4.1 to 4.3 and 8.1 to 8.3) for sampling and fine-tuning.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from iqsr.configs import overlay_names, recipe_names
from iqsr.recipes import read_recipe
from iqsr.training.sr.recipe import TrainRecipe

Numbers = Mapping[str, Any]

EVERYWHERE: Numbers = {
    "seed": 0,
    "data.source": 512,
    "data.patch": 256,
    "data.flip": 0.5,
    "objective.l1": 1.0,
    "objective.perceptual_features": "vgg19",
    "objective.perceptual_on_flat": 1.0,
    "objective.ldl": 0.0,
    "objective.negative": 0.0,
    "objective.consistency": 0.0,
    "objective.flat": 0.0,
    "optimiser.betas": (0.9, 0.99),
    "optimiser.gamma": 0.5,
    "optimiser.warmup": 0,
    "optimiser.discriminator_lr": 1e-4,
    "optimiser.clip": 0.0,
    "optimiser.ema": 0.999,
}
NETWORKS: Mapping[str, Numbers] = {
    "swinir": {"batch": 8, "data.degradations": ("hggt-one-stage",), "data.pool": 160},
    "realesrgan": {"batch": 12, "data.degradations": ("hggt-two-stage",), "data.pool": 180},
}
L1: Numbers = {  # from random weights, which is ours
    "steps": 300_000,
    "lora": None,
    "objective.perceptual": 0.0,
    "objective.gan": 0.0,
    "objective.lambda_q": 0.0,
    "optimiser.lr": 2e-4,
    "optimiser.milestones": (150_000, 240_000, 270_000, 285_000),
}
TRAINED: Numbers = {
    "steps": 300_000,
    "lora": None,
    "objective.perceptual": 1.0,
    "objective.gan": 0.1,
    "objective.lambda_q": 0.0,
    "optimiser.lr": 1e-4,
}
MILESTONES = {"swinir": (200_000, 250_000, 275_000, 287_500), "realesrgan": ()}
SAMPLED: Mapping[str, Numbers] = {
    "origins-only": {"sampling.sampler": "origins-only", "data.sets": "every"},
    "upos": {"sampling.sampler": "upos", "data.sets": "positive"},
    "sma": {"sampling.sampler": "sma", "sampling.tau": 10.0, "sampling.metric": "musiq", "data.sets": "every"},
    "smp": {"sampling.sampler": "smp", "sampling.tau": 10.0, "sampling.metric": "musiq", "data.sets": "positive"},
    "amo": {"sampling.sampler": "amo", "sampling.metric": "musiq", "sampling.grid": 0, "data.sets": "every"},
}
TUNED: Numbers = {
    "steps": 20_000,
    "objective.perceptual": 1.0,
    "objective.gan": 0.0,
    "objective.lambda_q": 0.05,
    "objective.quality": {"musiq": 1.0},
    "guard.on": True,
}
TUNED_NETWORKS: Mapping[str, Numbers] = {
    "swinir": {
        "lora.rank": 48,
        "lora.targets": "swinir-mlp",
        "lora.alpha": None,
        "optimiser.lr": 5e-6,
        "optimiser.milestones": (5000,),
    },
    "realesrgan": {
        "lora.rank": 24,
        "lora.targets": "rrdb-convs",
        "lora.alpha": None,
        "optimiser.lr": 5e-5,
        "optimiser.milestones": (),
    },
}
VARIANTS: Mapping[str, Numbers] = {
    "ft": {},
    "ft-hp": {"objective.perceptual": 2.0},  # the paper gives no number
    "ft-ig": {"objective.gan": 0.1},
    "ft-nnr-ig2": {"objective.gan": 0.2, "objective.lambda_q": 0.0},
    "ft-nnr-ig5": {"objective.gan": 0.5, "objective.lambda_q": 0.0},
    "ft-paq2piq": {"objective.quality": {"musiq": 0.0, "paq2piq": 1.0}},
    "ft-naive": {"lora": None, "guard.on": False},
}


def expected() -> dict[str, Numbers]:
    """Every number of every recipe of the paper, by the file's name."""
    found: dict[str, Numbers] = {}
    for network, facts in NETWORKS.items():
        common = {**EVERYWHERE, **facts}
        found[f"{network}-l1"] = {**common, **L1, **SAMPLED["origins-only"]}
        trained = {**common, **TRAINED, "optimiser.milestones": MILESTONES[network]}
        for name, sampled in SAMPLED.items():
            start = f"run:{network}-l1"
            found[f"{network}-{name}"] = {**trained, **sampled, "model.start": start}
        for name in ("upos", "amo"):
            tuned = {**common, **SAMPLED[name], **TUNED, **TUNED_NETWORKS[network]}
            tuned["model.start"] = f"run:{network}-{name}"
            for variant, changed in VARIANTS.items():
                found[f"{network}-{name}-{variant}".replace("-ft-", "-ft+")] = _without_lora({**tuned, **changed})
    return found


def _without_lora(numbers: dict[str, Any]) -> Numbers:
    """Where every weight learns there is no rank."""
    return {k: v for k, v in numbers.items() if not (k.startswith("lora.") and "lora" in numbers)}


def value(recipe: TrainRecipe, setting: str) -> Any:
    found: Any = recipe
    for part in setting.split("."):
        found = getattr(found, part)
    return found


def test_the_paper_has_these_recipes_and_no_others() -> None:
    plain = {name.removeprefix("paper/") for name in recipe_names() if name.startswith("paper/")}
    varied = {f"{name}+{overlay}" for name in plain if name.endswith("-ft") for overlay in overlay_names("paper")}
    assert plain | varied == expected().keys()


@pytest.mark.parametrize("name", expected())
def test_a_recipe_of_the_paper_has_its_numbers(name: str) -> None:
    recipe = read_recipe(f"paper/{name}", TrainRecipe)
    wanted = expected()[name]
    assert {setting: value(recipe, setting) for setting in wanted} == wanted
