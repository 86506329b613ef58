"""Outputs of models that were tuned to please a predictor and nothing else: what it must learn to see through.

Without a brake a model finds what a predictor overrates: stripes in skies, coloured grids at edges ("Augmenting
Perceptual Super-Resolution via Image Quality Predictors", CVPR 2025, section 4.3 and figure 5). Their outputs, judged
against the clean originals, become training data for the predictor's next version.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iqsr.device import fastest_dtype
from iqsr.metrics.dense import Predictor
from iqsr.models import load_model
from iqsr.training.engine.precision import autocast, choose_precision
from iqsr.training.predictor.dataset import GRID, Shard, write_shard
from iqsr.training.predictor.recipe import GamingRecipe
from iqsr.training.predictor.sources import Source, crops_of
from iqsr.training.predictor.teachers import Teachers
from iqsr.training.predictor.versions import reduced

CPU = torch.device("cpu")


def make_gamed(
    photos: Sequence[Path], out: Path, predictor: Predictor, recipe: GamingRecipe, on_run: Callable[[int, int], None]
) -> None:
    """Tune models against `predictor` and write what they make of the photos' crops, judged, one shard a photo."""
    rng = torch.Generator().manual_seed(recipe.seed)
    sources = _sources(photos, recipe, rng)
    originals = torch.stack([s.crop for s in sources])
    lrs = torch.cat([reduced(x[None], "hggt-one-stage", rng) for x in originals])
    pictures = [originals]
    for number, name in enumerate(recipe.generators):
        module = load_model(name).module.to(memory_format=torch.channels_last)
        pictures += tuned_outputs(module, lrs, originals, predictor, recipe, rng)
        on_run(number + 1, len(recipe.generators))
    stored = torch.stack([(p.clamp(0, 1) * 255).round().byte() for p in pictures], 1)
    teachers = Teachers(fastest_dtype(CPU))
    for photo in sorted({s.photo for s in sources}):
        rows = [i for i, s in enumerate(sources) if s.photo == photo]
        judged = [teachers.judge(stored[i] / 255, originals[i][None], recipe.crop // GRID) for i in rows]
        alex, vgg, places = (torch.stack(list(t)) for t in zip(*judged, strict=True))
        kinds = [["original"] + ["gamed"] * (stored.shape[1] - 1)] * len(rows)
        shard = Shard(photo, kinds, stored[rows], alex, vgg, places[:, :, 0].half())
        write_shard(out / f"{photo}.safetensors", shard)  # the whole name: a.jpg may lie beside a.png


def tuned_outputs(
    module: nn.Module,
    lrs: Tensor,
    originals: Tensor,
    predictor: Predictor,
    recipe: GamingRecipe,
    rng: torch.Generator,
) -> list[Tensor]:
    """What `module` makes of `lrs` at each of the recipe's moments while it is tuned to raise the predictor's score.

    lrs: (N, 3, H, W); originals: (N, 3, 4H, 4W) for the L1 term, whose weight is drawn once. Returns (N, 3, 4H, 4W)s.
    """
    module = copy.deepcopy(module).requires_grad_(True)
    optimizer = torch.optim.Adam(module.parameters(), lr=recipe.lr)
    l1_weight = recipe.l1_weight * float(torch.rand((), generator=rng)) ** 2
    outputs: list[Tensor] = []
    for step in range(1, max(recipe.moments) + 1):
        chosen = torch.randperm(len(lrs), generator=rng)[: recipe.batch]
        with autocast(choose_precision(True, CPU), CPU):
            made = module(lrs[chosen]).float()
            loss = l1_weight * F.l1_loss(made, originals[chosen]) - predictor.predict(made).score.mean() / 100
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step in recipe.moments:
            with torch.inference_mode(), autocast(choose_precision(True, CPU), CPU):
                outputs.append(torch.cat([module(part).float() for part in lrs.split(8)]))
    return outputs


def _sources(photos: Sequence[Path], recipe: GamingRecipe, rng: torch.Generator) -> list[Source]:
    """As many crops as the recipe wants, one of a photo."""
    order = torch.randperm(len(photos), generator=rng).tolist()
    sources: list[Source] = []
    for number in order:
        sources += crops_of(photos[number], recipe.crop, 1, rng)
        if len(sources) == recipe.crops:
            break
    return sources
