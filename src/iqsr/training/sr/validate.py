"""A look at photos that are not learned from: degraded by a seed, restored, measured, and a few of them shown."""

import hashlib
import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.utils import save_image

from iqsr.degrade import degrade, pipeline
from iqsr.errors import PictureError, UsageError
from iqsr.images import read_rgb
from iqsr.images.find import find_pictures
from iqsr.io.atomic import atomic_open
from iqsr.metrics import card, load_metric
from iqsr.training.sr.guard import ValidationResult
from iqsr.training.sr.losses import lr_consistency
from iqsr.training.sr.recipe import ValidationRecipe

logger = logging.getLogger(__name__)

Restore = Callable[[Tensor], Tensor]
"""(N, 3, h, w) in [0, 1] -> (N, 3, 4h, 4w), not clamped."""


class Validation:
    """Originals and their degraded versions, in memory; the same ones every time.

    folder: photos; those too small for the recipe's square are passed over, and where `skip_damaged` is set, with a
    warning, those that cannot be read: else they raise PictureError. quality: (N, 3, H, W) -> (N,), the
    objective's Q, higher is better. trained_on: metrics by their own names that are measured, but not as held out.
    """

    def __init__(
        self,
        folder: Path,
        recipe: ValidationRecipe,
        degradation: str,
        quality: Callable[[Tensor], Tensor],
        device: str,
        *,
        skip_damaged: bool = False,
    ) -> None:
        self.recipe, self.quality = recipe, quality
        names = dict.fromkeys(card(name).name for name in recipe.metrics)
        self.metrics = {name: load_metric(name, device=device) for name in names}
        self.originals = _squares(folder, recipe, skip_damaged)
        drawn = pipeline(recipe.degradation or degradation)
        side = recipe.side
        generators = [torch.Generator().manual_seed(number) for number in range(len(self.originals))]
        pairs = zip(self.originals, generators, strict=True)
        self.inputs = [degrade(original, drawn.draw(1, side, side, g)) for original, g in pairs]
        self.of_originals = [float(quality(x)) for x in self.originals]
        self.fingerprint = self._fingerprint(recipe.degradation or degradation)

    @torch.inference_mode()
    def look(
        self, restore: Restore, trained_on: Collection[str], pictures: Path | None
    ) -> tuple[ValidationResult, dict[str, float]]:
        """What the guard goes by, and all figures for the log. pictures: a folder for comparisons, if any."""
        outputs = [restore(lr).float().clamp(0, 1) for lr in self.inputs]
        outputs = [(y * 255).round() / 255 for y in outputs]
        values = {name: _mean(self._measured(name, outputs)) for name in self.metrics}
        consistency = _mean([lr_consistency(y, lr) for y, lr in zip(outputs, self.inputs, strict=True)])
        quality = [float(self.quality(y)) for y in outputs]
        if pictures is not None:
            self._show(outputs, pictures)
        held_out = {name: value for name, value in values.items() if name not in trained_on}
        look = ValidationResult(quality, self.of_originals, held_out, consistency)
        marked = {f"{name} (trained on)" if name in trained_on else name: value for name, value in values.items()}
        of_originals = sum(self.of_originals) / len(self.of_originals)
        figures = {"quality": look.mean, "quality of originals": of_originals, "LR-consistency": consistency}
        return look, marked | figures

    def _fingerprint(self, degradation: str) -> str:
        """16 hexadecimal digits; looks can be compared where they are the same."""
        digest = hashlib.sha256(f"{degradation} {self.recipe.side} {sorted(self.metrics)}".encode())
        for original in self.originals:
            digest.update((original * 255).round().byte().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _measured(self, name: str, outputs: Sequence[Tensor]) -> list[Tensor]:
        metric = self.metrics[name]
        if metric.card.reference == "full":
            return [metric(y, x) for y, x in zip(outputs, self.originals, strict=True)]
        return [metric(y) for y in outputs]

    def _show(self, outputs: Sequence[Tensor], folder: Path) -> None:
        """Input enlarged by bicubic, output, original: a PNG each for the first few photos."""
        for number in range(min(self.recipe.pictures, len(outputs))):
            original = self.originals[number]
            bicubic = F.interpolate(self.inputs[number], original.shape[2:], mode="bicubic").clamp(0, 1)
            row = torch.cat([bicubic, outputs[number], original], 3)
            with atomic_open(folder / f"{number:02d}.png") as file:
                save_image(row[0], file, format="png")


def _squares(folder: Path, recipe: ValidationRecipe, skip_damaged: bool) -> list[Tensor]:
    """The middle of photos spread evenly over the folder, (1, 3, side, side) each."""
    found: list[Tensor] = []
    paths = [path for path, _ in find_pictures([folder])]
    chosen = [paths[i * len(paths) // recipe.photos] for i in range(recipe.photos)] if paths else []
    for path in dict.fromkeys(chosen):
        try:
            picture, side = read_rgb(path), recipe.side
        except PictureError as error:
            if not skip_damaged:
                raise
            logger.warning("left out of validation: %s", error)
            continue
        top, left = ((n - side) // 2 for n in picture.shape[2:])
        if min(top, left) >= 0:
            found.append(picture[:, :, top : top + side, left : left + side])
    if not found:
        raise UsageError(f"'{folder}' has no photo of at least {recipe.side}x{recipe.side} to validate on")
    return found


def _mean(values: Sequence[Tensor]) -> float:
    return float(torch.cat([v.flatten().float() for v in values]).mean())
