"""What a step asks of the model: the recipe's terms, weighted, each by its name."""

from functools import cached_property

import torch
from torch import Tensor, nn

from iqsr.training.sr.data import Batch
from iqsr.training.sr.discriminator import gan_loss
from iqsr.training.sr.losses import consistency_loss, flat_loss, flatness, l1, ldl_loss, negative_loss
from iqsr.training.sr.perceptual import Perceptual
from iqsr.training.sr.quality_term import QualityTerm
from iqsr.training.sr.recipe import ObjectiveRecipe


class Objective:
    """The model's objective. `quality` is the Q of `-lambda_q * Q`."""

    def __init__(self, recipe: ObjectiveRecipe, scale: int, device: str) -> None:
        self.recipe, self.scale = recipe, scale
        self.perceptual = Perceptual(recipe.perceptual_features).to(device) if recipe.perceptual else None
        self._device = device
        if recipe.lambda_q:
            self.quality.eval()  # loaded now, so that one that cannot be used is told before anything is written

    @cached_property
    def quality(self) -> QualityTerm:
        """Loaded when it is first used: by its term, or by validations, which measure it in any case."""
        return QualityTerm(self.recipe.quality, device=self._device)

    def terms(
        self,
        output: Tensor,
        target: Tensor,
        batch: Batch,
        *,
        discriminator: nn.Module | None = None,
        averaged: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Weighted terms whose sum is minimised. output: (B, 3, H, W), not clamped; target: the same, in [0, 1].

        discriminator: frozen, where the recipe has a GAN term; averaged: the averaged model's output, for LDL.
        """
        recipe, found = self.recipe, dict[str, Tensor]()
        if recipe.l1:
            found["l1"] = recipe.l1 * l1(output, target)
        if self.perceptual is not None:
            found["perceptual"] = recipe.perceptual * self.perceptual(output, target, self._weight(batch))
        if discriminator is not None:
            found["gan"] = recipe.gan * gan_loss(discriminator(output), real=True)
        if averaged is not None:
            found["ldl"] = recipe.ldl * ldl_loss(output, averaged, target)
        if recipe.negative:
            found["negative"] = recipe.negative * self._negative(output, batch)
        if recipe.consistency:
            found["consistency"] = recipe.consistency * consistency_loss(output, batch["lr"], self.scale)
        if recipe.flat:
            original = batch["gts"][:, 0].float() / 255
            term = flat_loss(output, original, square=recipe.flat_square, allowed=recipe.flat_detail)
            found["flat"] = recipe.flat * term
        if recipe.lambda_q:
            found["quality"] = -recipe.lambda_q * self.quality(output).mean()
        return found

    def _weight(self, batch: Batch) -> Tensor | None:
        """How much each place counts for the perceptual term."""
        on_flat = self.recipe.perceptual_on_flat
        if on_flat == 1:
            return None
        return 1 - (1 - on_flat) * flatness(batch["gts"][:, 0].float() / 255, self.recipe.flat_detail)

    def _negative(self, output: Tensor, batch: Batch) -> Tensor:
        gts = batch["gts"].float() / 255
        return negative_loss(output, gts, batch["labels"], batch["votes"], rng=_drawing())


def _drawing() -> torch.Generator:
    """A random source that follows the step's global seed."""
    return torch.Generator().manual_seed(int(torch.randint(1 << 62, ())))
