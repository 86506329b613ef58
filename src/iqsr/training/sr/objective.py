"""What a step asks of the model: the recipe's terms, weighted, each by its name; and the quality among them."""

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor, nn

from iqsr.errors import UsageError
from iqsr.metrics import card, load_metric, metric_names
from iqsr.metrics.metric import Metric
from iqsr.training.sr.data import Batch
from iqsr.training.sr.discriminator import gan_loss
from iqsr.training.sr.losses import consistency_loss, flat_loss, flatness, l1, ldl_loss, negative_loss
from iqsr.training.sr.perceptual import Perceptual
from iqsr.training.sr.recipe import ObjectiveRecipe


class QualityTerm(nn.Module):
    """(N, 3, H, W), not clamped -> (N,), higher is better, on a scale of 0 to 100.

    Each metric is mapped so that more is better and its card's range becomes 0 to 100; srq and MUSIQ stay as they are,
    so that the paper's lambda_q of 0.05 means the same. Pictures are clamped to [0, 1] first, as in a file: values
    outside gain nothing and get no gradient.

    Args:
        shares: Weights by name, of differentiable metrics without reference and of bounded range. Those of 0 are left
            out, the rest is scaled to add up to 1.
        device: Where the metrics compute.

    Raises:
        UsageError: For a metric that cannot be used.
    """

    def __init__(self, shares: Mapping[str, float], *, device: str = "cpu") -> None:
        super().__init__()
        used = {name: share for name, share in shares.items() if share != 0}
        if not used or min(used.values()) < 0:
            raise UsageError(f"the quality needs shares above 0, got {dict(shares)}")
        for name in used:
            _check_usable(name)
        self.metrics = nn.ModuleDict({name: load_metric(name, device=device) for name in used})
        self.shares = {name: share / sum(used.values()) for name, share in used.items()}

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = x.float().clamp(0, 1)
        terms = [self.shares[name] * _on_hundred(metric, x) for name, metric in self.metrics.items()]  # pyright: ignore[reportArgumentType]
        return sum(terms, x.new_zeros(len(x)))


def _on_hundred(metric: Metric, x: Tensor) -> Tensor:
    return metric.card.on_hundred(metric.unchecked(x))


def _check_usable(name: str) -> None:
    if _is_usable(name):
        return
    raise UsageError(
        f"'{name}' cannot be optimised for: it takes a differentiable metric without reference, of bounded range: "
        + ", ".join(n for n in metric_names() if _is_usable(n))
    )


def _is_usable(name: str) -> bool:
    facts = card(name)
    return facts.reference == "none" and facts.differentiable and facts.is_bounded


class Objective:
    """The model's objective. `quality` is the Q of `-lambda_q * Q`.

    before: how many samples of each step other processes have before those of this one.
    """

    def __init__(self, recipe: ObjectiveRecipe, scale: int, device: str, *, before: int = 0) -> None:
        self.recipe, self.scale, self._before = recipe, scale, before
        self.perceptual = Perceptual(recipe.perceptual_features).to(device) if recipe.perceptual else None
        self._device = device
        if recipe.lambda_q:
            self.quality.eval()  # loaded now: one that cannot be used fails before anything is written

    @cached_property
    def quality(self) -> QualityTerm:
        """The quality; it is loaded when it is first used, by its term or by validations, which always measure it."""
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
        return negative_loss(output, gts, batch["labels"], batch["votes"], rng=_drawing(self._before))


def _drawing(before: int) -> torch.Generator:
    """A random source that follows the step's global seed, as `negative_loss` leaves it after `before` samples."""
    rng = torch.Generator().manual_seed(int(torch.randint(1 << 62, ())))
    torch.rand(before, 2, dtype=torch.float64, generator=rng)
    return rng
