"""Enhanced versions of a photo, of exactly its size: by super-resolution networks, or by sharpening.

A super-resolution network enlarges a reduced copy, and its output is reduced to the photo's size. The reduction removes
the photo's noise and compression blocks, and the network restores the finest detail. HGGT trained networks of its
own for that (x1 RCAN and ELAN); checkpoints of x1 restorers can be used here as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iqsr.degrade import unsharp_mask
from iqsr.engines.rows import of_tensor
from iqsr.errors import ModelError, UsageError
from iqsr.images.find import in_home
from iqsr.models import SRModel, load_model, model_names
from iqsr.models.checkpoint_reader import as_model, read_by_spandrel, read_checkpoint
from iqsr.preparation.recipe import ModelEnhancer, UnsharpEnhancer
from iqsr.upscaling.upscaler import Upscaler

if TYPE_CHECKING:
    from iqsr.models.checkpoint_reader import Descriptor

_MEMORY_GB = 2.0
"""Memory for the inside of a network, in GB. Fixed, so that results do not depend on the machine's memory."""

_STRIP = 1024
"""Rows that are sharpened at a time."""


class Enhancers:
    """The networks of a recipe, loaded once; each makes a version of any photo.

    device, precision: as in `Upscaler`. Raises the errors of `load_enhancer`, and UsageError for a network whose output
    would be smaller than the photo.
    """

    def __init__(
        self, recipes: Sequence[ModelEnhancer | UnsharpEnhancer], *, device: str = "cpu", precision: str = "fp32"
    ) -> None:
        self.recipes = tuple(recipes)
        self._networks: dict[str, SameSizeEnhancer] = {}
        for recipe in self.recipes:
            if isinstance(recipe, ModelEnhancer):
                if recipe.model not in self._networks:
                    network = load_enhancer(recipe.model)
                    self._networks[recipe.model] = SameSizeEnhancer(
                        network, precision=precision, device=device, memory_gb=_MEMORY_GB
                    )
                _check_size(recipe, self._networks[recipe.model])

    def versions(self, photo: Tensor) -> Iterator[Tensor]:
        """photo: (1, 3, H, W) in [0, 1]. Yields one of the same shape and range a recipe, in their order.

        What a network makes of the photo is computed once for all strengths. Raises ModelError.
        """
        left = Counter((r.model, r.reduce) for r in self.recipes if isinstance(r, ModelEnhancer))
        kept: dict[tuple[str, float | None], Tensor] = {}
        for recipe in self.recipes:
            if isinstance(recipe, UnsharpEnhancer):
                yield sharpened(photo, recipe)
                continue
            key = (recipe.model, recipe.reduce)
            if key not in kept:
                kept[key] = self._networks[recipe.model].enhance(photo, recipe.reduce)
            yield torch.lerp(photo, kept[key], recipe.strength)
            left[key] -= 1
            if not left[key]:
                del kept[key]


class SameSizeEnhancer(Upscaler):
    """An upscaler whose output has the size of the input."""

    def enhance(self, photo: Tensor, reduce: float | None = None) -> Tensor:
        """photo: (1, 3, H, W) in [0, 1]; reduce: as in `ModelEnhancer`. Returns the same shape and range.

        Both reductions are bicubic with antialiasing (a = -0.5). Each band of the network's output is reduced across as
        it comes: memory holds H * scale * reduce rows of W pixels, never the whole enlarged picture.
        """
        height, width = photo.shape[2:]
        share = self.share(reduce)
        small = resized(photo, (max(1, round(height * share)), max(1, round(width * share))))
        size = (small.shape[3] * self.scale, small.shape[2] * self.scale)

        def run() -> list[Tensor]:
            bands = self._enlarged(of_tensor(small), size, None).bands(1)
            return [_interpolated(band, (band.shape[2], width)) for band in bands]

        return _interpolated(torch.cat(self._persistently(run), 2), (height, width)).clamp(0, 1)

    def share(self, reduce: float | None) -> float:
        """The factor by which the copy is reduced: `reduce`, or the default for this network."""
        if reduce is not None:
            return reduce
        return 1.0 if self.scale == 1 else 0.5


def resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, 3, H, W) at size = (height, width), bicubic with antialiasing, clamped to [0, 1]; itself at equal size."""
    return picture if tuple(picture.shape[2:]) == size else _interpolated(picture, size).clamp(0, 1)


def _interpolated(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Not clamped: one axis after the other gives what both at once give."""
    return F.interpolate(picture, size, mode="bicubic", antialias=True, align_corners=False)


def sharpened(photo: Tensor, recipe: UnsharpEnhancer) -> Tensor:
    """(1, 3, H, W) in [0, 1] -> the same, by unsharp masking, strip by strip with all the rows that each depends on."""
    margin = recipe.radius + 2  # twice half the side: the mask is blurred as well
    strips: list[Tensor] = []
    for top in range(0, photo.shape[2], _STRIP):
        first, last = max(0, top - margin), min(photo.shape[2], top + _STRIP + margin)
        strip = unsharp_mask(
            photo[:, :, first:last], weight=recipe.weight, radius=recipe.radius, threshold=recipe.threshold
        )
        strips.append(strip[:, :, top - first : top - first + _STRIP])
    return torch.cat(strips, 2)


def load_enhancer(name_or_path: str) -> SRModel:
    """As `load_model`, and checkpoints of RGB restorers (x1), which are no models to it.

    Raises UnknownNameError, WeightsError, ModelError.
    """
    path = in_home(name_or_path)
    if name_or_path in model_names() or not path.is_file():
        return load_model(name_or_path)
    found = read_by_spandrel(read_checkpoint(path), path)
    if found.purpose != "Restoration":
        return load_model(path)
    if (found.input_channels, found.output_channels, found.scale) != (3, 3, 1) or found.size_requirements.square:
        raise ModelError(f"{path}: a {found.architecture.id} restorer; only those from RGB to RGB of any size are used")
    restorer = as_model(found, name=path.stem, licence="unknown")
    return replace(restorer, module=_Restorer(found).eval().requires_grad_(False))


class _Restorer(nn.Module):
    """A restorer called through spandrel: some take or return more than a picture."""

    def __init__(self, descriptor: Descriptor) -> None:
        super().__init__()
        self.network = descriptor.model
        self.descriptor = descriptor

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W) in [0, 1]. Returns the same shape and range, without gradients."""
        return self.descriptor(x)


def _check_size(recipe: ModelEnhancer, network: SameSizeEnhancer) -> None:
    if network.share(recipe.reduce) * network.scale < 1:
        raise UsageError(
            f"{recipe.model} enlarges by {network.scale}: with reduce = {recipe.reduce} its output is smaller than the "
            f"photo; set reduce to {1 / network.scale:g} or more"
        )
