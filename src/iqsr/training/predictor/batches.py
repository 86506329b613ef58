"""Shards in memory, split by photo, drawn as batches of several versions of several crops."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from iqsr.training.predictor.dataset import GRID, Shard
from iqsr.training.predictor.sources import is_held_out


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
        return self.of([i for i, o in enumerate(out) if not o]), self.of([i for i, o in enumerate(out) if o])

    def draw(self, crops: int, versions: int, rng: torch.Generator, window: int | None = None) -> Batch:
        """Random crops and versions, each crop turned and mirrored at random.

        window: side of a random square of each crop, its versions cut alike; None: the whole crop. The distance of a
        square is the mean of its places.
        """
        pictures, places, clean = [], [], []
        for i in torch.randperm(len(self), generator=rng)[:crops].tolist():
            repeats = -(-versions // len(self.kinds[i]))
            chosen = torch.randperm(repeats * len(self.kinds[i]), generator=rng)[:versions] % len(self.kinds[i])
            cut = cut_and_turned(self.pictures[i].shape[-1], window, rng)
            pictures.append(cut(self.pictures[i][chosen], 1))
            places.append(cut(self._places(i, chosen), GRID))
            clean.append(cut(self.pictures[i][:1], 1))
        judged = torch.cat(places)
        return Batch(torch.cat(pictures).float() / 255, judged.mean((1, 2, 3)), judged, torch.cat(clean).float() / 255)

    def _places(self, i: int, chosen: Tensor) -> Tensor:
        """(V, 1, h, w): distances of places, scaled to add up to the whole pictures' where cells overlapped."""
        places, whole = self.places[i][chosen].float(), (self.alex[i][chosen] + self.vgg[i][chosen]) / 2
        share = whole / places.mean((1, 2)).clamp_min(1e-6)
        return (places * share.clamp(0.5, 2)[:, None, None])[:, None]

    def of(self, indices: Sequence[int]) -> "Versions":
        """Some of the crops, each as often as it is named."""
        part = Versions(())
        for name in ("photos", "kinds", "pictures", "alex", "vgg", "places"):
            setattr(part, name, [getattr(self, name)[i] for i in indices])
        return part


def cut_and_turned(side: int, window: int | None, rng: torch.Generator) -> Callable[[Tensor, int], Tensor]:
    """A function that cuts one random square and turns it, alike for pictures and (at 1 / `of` their size) maps."""
    size = min(side, window or side)
    room = (side - size) // GRID + 1
    top, left = (GRID * int(torch.randint(room, (), generator=rng)) for _ in range(2))
    turns, mirrored = int(torch.randint(4, (), generator=rng)), torch.rand((), generator=rng) < 0.5

    def cut(x: Tensor, of: int) -> Tensor:
        rows, columns = (slice(at // of, (at + size) // of) for at in (top, left))
        turned = torch.rot90(x[:, :, rows, columns], turns, (2, 3))
        return turned.flip(3) if mirrored else turned

    return cut
