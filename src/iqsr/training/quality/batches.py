"""Shards in memory, split by photo, drawn as batches of several versions of several crops."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from iqsr.training.quality.dataset import Shard
from iqsr.training.quality.sources import is_held_out


@dataclass(frozen=True)
class Batch:
    """V versions of G crops, a crop's versions in a row."""

    pictures: Tensor
    """(G V, 3, S, S) in [0, 1]."""
    distance: Tensor
    """(G V,): the teachers' mean distance to the clean crop."""
    places: Tensor
    """(G V, 1, h, w): the same for each place."""
    clean: Tensor
    """(G, 3, S, S) in [0, 1]: the crops themselves."""


class Versions:
    """Crops with their versions and judgements."""

    def __init__(self, shards: Iterable[Shard]) -> None:
        rows = [
            (s.photo, s.kinds[i], s.pictures[i], s.alex[i], s.vgg[i], s.places[i])
            for s in shards
            for i in range(len(s.kinds))
        ]
        self.photos = [r[0] for r in rows]
        self.kinds = [r[1] for r in rows]
        self.pictures = [r[2] for r in rows]
        self.alex = [r[3] for r in rows]
        self.vgg = [r[4] for r in rows]
        self.places = [r[5] for r in rows]

    def __len__(self) -> int:
        return len(self.photos)

    def split(self, held_out: float) -> tuple["Versions", "Versions"]:
        """Those to learn from, and those of the photos that are held out."""
        out = [is_held_out(photo, held_out) for photo in self.photos]
        return self._of([i for i, o in enumerate(out) if not o]), self._of([i for i, o in enumerate(out) if o])

    def draw(self, crops: int, versions: int, generator: torch.Generator) -> Batch:
        """Random crops and versions, each crop turned and mirrored at random."""
        pictures, distances, places, clean = [], [], [], []
        for i in torch.randperm(len(self), generator=generator)[:crops].tolist():
            repeats = -(-versions // len(self.kinds[i]))
            chosen = torch.randperm(repeats * len(self.kinds[i]), generator=generator)[:versions] % len(self.kinds[i])
            turns, mirrored = (
                torch.randint(8, (), generator=generator).item() % 4,
                torch.rand((), generator=generator) < 0.5,
            )
            for found, into in (
                (self.pictures[i][chosen], pictures),
                (self.places[i][chosen][:, None], places),
                (self.pictures[i][:1], clean),
            ):
                turned = torch.rot90(found, int(turns), (2, 3))
                into.append(turned.flip(3) if mirrored else turned)
            distances.append((self.alex[i][chosen] + self.vgg[i][chosen]) / 2)
        return Batch(
            torch.cat(pictures).float() / 255,
            torch.cat(distances),
            torch.cat(places).float(),
            torch.cat(clean).float() / 255,
        )

    def _of(self, indices: list[int]) -> "Versions":
        part = Versions(())
        for name in ("photos", "kinds", "pictures", "alex", "vgg", "places"):
            setattr(part, name, [getattr(self, name)[i] for i in indices])
        return part
