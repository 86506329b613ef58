"""Batches by their number: a pure function of sets, recipe, seed and share; a stopped run needs nothing of them."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from iqsr.datasets import GtSet
from iqsr.degrade import degrade
from iqsr.errors import PictureError
from iqsr.images import read_rgb
from iqsr.training.sr.recipe import DataRecipe
from iqsr.training.sr.sets import DamagedSetError, Sets, load_set
from iqsr.training.sr.share import Share

Batch = dict[str, Tensor]
"""`lr` (B, 3, h, w) in [0, 1]; `gts` (B, K, 3, H, W) uint8, the original first; `labels` and `votes` (B, K), zeros
where nobody was asked; `scores` (B, K), of the whole pictures or of the patches, if there are any; `place` (B, 3)
int64: number of the set, row and column of the patch in the grid; `flip` (B,) bool: to be mirrored left to right before
it is learned from."""


class Place(NamedTuple):
    """Where a square lies in the pictures of its set, in pixels or in steps of a grid."""

    top: int
    left: int


def _stored_input(gts: GtSet, at: Place, side: int, scale: int) -> Tensor:
    """The square of the set's stored input that belongs to a square of its ground truths: (1, 3, side / scale, ...)."""
    assert gts.input is not None
    try:
        picture = read_rgb(gts.input)
    except PictureError as error:
        raise DamagedSetError(gts.name, str(error)) from None
    top, left, small = at.top // scale, at.left // scale, side // scale
    square = picture[:, :, top : top + small, left : left + small]
    if square.shape[2:] != (small, small):
        size = f"{picture.shape[3]}x{picture.shape[2]}"
        raise DamagedSetError(gts.name, f"{gts.input}: {size} is not the size of its ground truths over {scale}")
    return square


class Batches:
    """The batches of one process: its rows of the batches that one process would have if it had all samples.

    batch: samples of this process. rank, ranks: this process and how many there are; together they see every set once
    an epoch. scores: (K,) of the whole pictures of each set, by name. grid: pixels that patches' positions are
    multiples of (1: any).
    """

    def __init__(
        self,
        sets: Sets,
        recipe: DataRecipe,
        *,
        batch: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        scores: Mapping[str, Tensor] | None = None,
        grid: int = 1,
    ) -> None:
        self.sets, self.recipe, self.pipelines = sets, recipe, sets.pipelines
        self.share, self.seed = Share(batch, rank, ranks), seed
        self.scores, self.grid = scores, max(grid, self.pipelines[0].scale)
        self._order: tuple[int, list[int]] = (-1, [])

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step, before the pool and before mirroring."""
        share, rng = self.share, torch.Generator().manual_seed(seed_of(self.seed, step, 0, 0))
        first = step * share.whole + share.first
        numbers = [self._set(first + i) for i in range(share.size)]
        chosen = [self.sets.chosen[number] for number in numbers]
        _pass_over(share.first, rng)
        cut = [self._source(gts, rng) for gts in chosen]
        _pass_over(share.whole - share.first - share.size, rng)
        gts = torch.stack([pictures for pictures, _ in cut])
        side = self.recipe.source
        drawn = self.pipelines[int(torch.randint(len(self.pipelines), (), generator=rng))]
        patch, scale = self.recipe.patch, drawn.scale
        if self.recipe.inputs == "stored":
            lr = torch.cat([_stored_input(one, at, side, scale) for one, (_, at) in zip(chosen, cut, strict=True)])
        else:
            lr = degrade(gts[:, 0].float() / 255, drawn.draw(share.whole, side, side, rng)[share.rows])
        top, left = (self._offset(side - patch, rng) for _ in range(2))
        small = [t // scale for t in (top, left, patch)]
        made: Batch = {
            "lr": lr[:, :, small[0] : small[0] + small[2], small[1] : small[1] + small[2]].contiguous(),
            "gts": gts[:, :, :, top : top + patch, left : left + patch].contiguous(),
            "flip": torch.rand(share.whole, generator=rng)[share.rows] < self.recipe.flip,
            "labels": torch.tensor([[int(x) for x in s.labels or [0] * len(s.paths)] for s in chosen]),
            "votes": torch.tensor([list(s.votes or [0] * len(s.paths)) for s in chosen]),
        }
        places = [Place((top + at.top) // self.grid, (left + at.left) // self.grid) for _, at in cut]
        made["place"] = torch.tensor([(number, *place) for number, place in zip(numbers, places, strict=True)])
        if self.scores is not None:
            made["scores"] = torch.stack([self._score(s, p) for s, p in zip(chosen, places, strict=True)])
        return made

    def _set(self, number: int) -> int:
        """The number of the set in a place of the endless row of shuffled epochs."""
        epoch, place = divmod(number, len(self.sets))
        if self._order[0] != epoch:
            rng = torch.Generator().manual_seed(seed_of(self.seed, epoch, 0, 1))
            self._order = (epoch, torch.randperm(len(self.sets), generator=rng).tolist())
        return self._order[1][place]

    def _source(self, gts: GtSet, rng: torch.Generator) -> tuple[Tensor, Place]:
        """The square that is degraded, of all ground truths: (K, 3, S, S) uint8, and where it lies."""
        pictures, side = load_set(gts), self.recipe.source
        height, width = pictures.shape[2:]
        at = Place(self._offset(height - side, rng), self._offset(width - side, rng))
        return pictures[:, :, at.top : at.top + side, at.left : at.left + side], at

    def _offset(self, room: int, rng: torch.Generator) -> int:
        """A uniform multiple of the grid in [0, room]."""
        return self.grid * int(torch.randint(room // self.grid + 1, (), generator=rng))

    def _score(self, gts: GtSet, at: Place) -> Tensor:
        """(K,): of the pictures, or, where there is one for each place of the grid, of the patches."""
        assert self.scores is not None
        found = self.scores[gts.name]
        return found if found.ndim == 1 else found[:, at.top, at.left]


def _pass_over(samples: int, rng: torch.Generator) -> None:
    """Draw as much as `Batches._source` does for so many samples: whatever its range, a number takes as much."""
    torch.randint(1 << 16, (2 * samples,), generator=rng)


def seed_of(*parts: int) -> int:
    """A seed that differs for every combination of numbers: FNV-1a over them."""
    value = 0xCBF29CE484222325
    for part in parts:
        for byte in part.to_bytes(8, "little", signed=True):
            value = ((value ^ byte) * 0x100000001B3) % 2**64
    return value >> 1


def mirrored(batch: Batch) -> Batch:
    """Inputs and ground truths, mirrored where the batch says so."""
    flip = batch["flip"]
    lr, gts = batch["lr"].clone(), batch["gts"].clone()
    lr[flip], gts[flip] = lr[flip].flip(3), gts[flip].flip(4)
    return {name: value for name, value in batch.items() if name != "flip"} | {"lr": lr, "gts": gts}
