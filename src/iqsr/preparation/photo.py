"""One photo: read, enhanced, cut, the good patches written and scored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from iqsr.errors import IqsrError, PictureError
from iqsr.images import read_rgb
from iqsr.io.atomic import atomic_path
from iqsr.preparation.enhance import Enhancers, resized
from iqsr.preparation.folder import PhotoRecord, SetFolder
from iqsr.preparation.patches import Pixels, is_textured, patch_positions
from iqsr.preparation.recipe import PrepareRecipe
from iqsr.scoring import MetricSet, content_hash
from iqsr.scoring.metric_set import batches


@dataclass(frozen=True)
class Photo:
    """A photo to prepare."""

    image: str
    """its name in the names of its sets"""
    source: Path
    mark: str | None = None
    """what a store says of its content, see `mark_of`; None for one on a disk"""


class SetMaker:
    """Makes the sets of photos. Holds the networks and metrics of a recipe, which are loaded once in each process."""

    def __init__(self, recipe: PrepareRecipe, folder: SetFolder, *, device: str = "cpu") -> None:
        self.recipe, self.folder = recipe, folder
        self._enhancers = Enhancers(recipe.enhancers, device=device, precision=recipe.precision)
        self._metrics = MetricSet(recipe.metrics, device=device)
        self._metrics.load(self._metrics.names)

    def make(self, photo: Photo) -> PhotoRecord:
        """Make all sets of a photo; its record is written last. Raises PictureError, ModelError, IqsrError."""
        with torch.inference_mode():
            sha256 = content_hash(photo.source)
            picture = read_photo(photo.source, self.recipe.longest)
            height, width = picture.shape[2:]
            found = patch_positions(height, width, self.recipe.patches, rng_of(self.recipe.seed, photo.image))
            versions = self._versions(picture) if found else []
            kept = [place for place in found if any(self._is_textured(version, place) for version in versions)]
            too_small = min(height, width) < self.recipe.patches.crop
            state = "kept" if kept else "too small" if too_small else "nothing kept"
            patches = [[self._patch(version, place) for version in versions] for place in kept]
            record = PhotoRecord(photo.image, sha256, width, height, state, kept, self._scores(patches), photo.mark)
        for name, variants in zip(record.names, patches, strict=True):
            for variant, patch in zip(self.recipe.variants, variants, strict=True):
                write_png(patch, self.folder.work / self.folder.picture(name, variant))
        self.folder.commit(record)
        return record

    def _versions(self, picture: Tensor) -> list[Pixels]:
        """The original and the enhanced ones, as they will be in files."""
        return [pixels_of(picture), *map(pixels_of, self._enhancers.versions(picture))]

    def _patch(self, version: Pixels, place: tuple[int, int]) -> Pixels:
        crop = self.recipe.patches.crop
        return version[place[0] : place[0] + crop, place[1] : place[1] + crop]

    def _is_textured(self, version: Pixels, place: tuple[int, int]) -> bool:
        return is_textured(self._patch(version, place), self.recipe.patches)

    def _scores(self, patches: Sequence[Sequence[Pixels]]) -> dict[str, list[list[float]]]:
        """By metric: one list a set, one score a variant; measured several patches at a time."""
        flat, crop = [patch for variants in patches for patch in variants], self.recipe.patches.crop
        scores: dict[str, list[float]] = {name: [] for name in self._metrics.names}
        for some in batches([(crop, crop)] * len(flat)):
            x = torch.from_numpy(np.stack([flat[i] for i in some])).permute(0, 3, 1, 2).float() / 255
            for name, values in scores.items():
                for score in self._metrics.measure(name, x):
                    if isinstance(score, str):
                        raise IqsrError(score)
                    values.append(score)
        k = len(self.recipe.variants)
        return {name: [values[i : i + k] for i in range(0, len(values), k)] for name, values in scores.items()}


def read_photo(path: Path, longest: int | None = None) -> Tensor:
    """(1, 3, H, W) in [0, 1], reduced where its longer side is more than `longest`. PictureError."""
    picture = read_rgb(path)
    height, width = picture.shape[2:]
    if longest is None or max(height, width) <= longest:
        return picture
    share = longest / max(height, width)
    return resized(picture, (max(1, round(height * share)), max(1, round(width * share))))


def rng_of(seed: int, image: str) -> torch.Generator:
    """The photo's own random source, which depends neither on other photos nor on the worker."""
    digest = hashlib.sha256(f"{seed}:{image}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def pixels_of(picture: Tensor) -> Pixels:
    """(1, 3, H, W) in [0, 1] -> (H, W, 3) of 8 bits."""
    return (picture[0].permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).contiguous().numpy()


def write_png(pixels: Pixels, out: Path) -> None:
    """Write an 8-bit PNG without metadata. Raises PictureError."""
    try:
        with atomic_path(out, PictureError) as part:
            Image.fromarray(pixels).save(part, "PNG", compress_level=4)
    except OSError as error:
        raise PictureError(f"cannot write '{out}': {error.strerror or error}") from None
