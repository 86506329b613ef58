"""Which ground truth each sample learns from: the recipe's sampler, and the scores and labels that it goes by."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from iqsr.metrics import Precision, load_metric
from iqsr.sampling import choose, sampler
from iqsr.training.sr.data import Batch, Sets
from iqsr.training.sr.recipe import TrainRecipe
from iqsr.training.sr.scores import SeenPatches, grid_scores, patch_scores, picture_scores


class Targets:
    """The recipe's choice among the ground truths of `sets`; its metric is loaded at once, on `device`.

    precision: of the scores of patches. Raises the errors of `load_metric`.
    """

    def __init__(self, recipe: TrainRecipe, sets: Sets, device: str, precision: Precision) -> None:
        self.recipe, self.sets, self.device = recipe, sets, device
        self.precision: Precision = precision
        self.sampler = sampler(recipe.sampling.sampler, recipe.sampling.tau)
        scored = self.sampler.needs not in ("nothing", "labels")
        self.metric = load_metric(recipe.sampling.metric, device=device, precision=precision) if scored else None
        self.seen = SeenPatches(self.metric) if self.metric and recipe.sampling.grid else None

    def known(self, folder: Path, on_set: Callable[[int], None]) -> dict[str, Tensor] | None:
        """Scores made beforehand, by the sets' names: of whole pictures, or of a grid's patches, kept in `folder`.

        Not of a grid's where this process draws fewer patches than there are.
        """
        recipe, sets = self.recipe, self.sets
        if self.metric is None:
            return None
        if self.sampler.needs != "patch scores":
            return picture_scores(sets.chosen, recipe.sampling.metric, self.device)
        patch, grid = recipe.data.patch, recipe.sampling.grid
        if not grid or recipe.steps * recipe.batch < sets.places(patch, grid):
            return None
        return grid_scores(sets.chosen, self.metric, patch, grid, folder, on_set, self.precision)

    def scored(self, batch: Batch) -> Batch:
        """With the scores of its patches, where they are not made beforehand, and without their places."""
        rest, gts = {name: value for name, value in batch.items() if name != "place"}, batch["gts"]
        if self.metric is None or "scores" in batch:
            return rest
        made = self.seen.scores(batch["place"], gts) if self.seen else patch_scores(self.metric, gts)
        return rest | {"scores": made.to(gts.device)}

    def chosen(self, batch: Batch, seed: int) -> Tensor:
        """(B,) int64 on the CPU: for each sample the number of its ground truth, 0 for the original."""
        scores = batch["scores"].cpu() if "scores" in batch else None
        labels = batch["labels"].cpu() if self.sets.ground_truths.labelled else None
        count, variants = batch["gts"].shape[:2]
        return choose(self.sampler, scores, labels, torch.Generator().manual_seed(seed), (count, variants))
