"""Batches by their number: a pure function of sets, recipe, seed and share; a stopped run needs nothing of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from iqsr.datasets import GroundTruths, GtSet, every_set, has_positive, has_positive_or_negative, join, open_sets
from iqsr.degrade import degrade, pipeline
from iqsr.errors import PictureError, UsageError
from iqsr.images import open_picture, read_rgb
from iqsr.training.engine.identity import Identity, Mark, mark
from iqsr.training.engine.pictures import Pictures
from iqsr.training.sr.recipe import DataRecipe
from iqsr.training.sr.share import Share

Batch = dict[str, Tensor]
"""`lr` (B, 3, h, w) in [0, 1]; `gts` (B, K, 3, H, W) uint8, the original first; `labels` and `votes` (B, K), zeros
where nobody was asked; `scores` (B, K), of the whole pictures or of the patches, if there are any; `place` (B, 3)
int64: number of the set, row and column of the patch in the grid; `flip` (B,) bool: to be mirrored left to right before
it is learned from."""

FILTERS = {"every": every_set, "positive": has_positive, "verdict": has_positive_or_negative}


class DamagedSetError(PictureError):
    """A set, named, one of whose pictures cannot be read, and why."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, why)
        self.name = name

    def __str__(self) -> str:
        return str(self.args[1])


class Place(NamedTuple):
    """Where a square lies in the pictures of its set, in pixels or in steps of a grid."""

    top: int
    left: int


class Sets:
    """The sets that a recipe takes, of one data set or of several, read and checked once.

    Headers of originals are read; a damaged picture raises PictureError when it is learned from, or in `check`.
    without: names of sets that are left out, and why.

    UsageError where none is left, the data sets do not fit together, an original is smaller than `data.source`, or a
    degradation has no such name or needs larger ones. PictureError where pictures are missing; with
    `data.damaged = "skip"` their sets are left out instead.
    """

    left_out: dict[str, str]
    """Why each set is left out that the recipe would take, by its name."""

    def __init__(
        self,
        data: Path | Sequence[Path],
        recipe: DataRecipe,
        *,
        without: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        folders = [Path(data)] if isinstance(data, str | Path) else list(data)
        self.ground_truths: GroundTruths = join([open_sets(folder) for folder in folders])
        named = ", ".join(f"'{folder}'" for folder in folders)
        if recipe.sets != "every" and not self.ground_truths.labelled:
            raise UsageError(f"{named} has no labels of people: data.sets must be 'every'")
        self.recipe, self.pictures = recipe, Pictures({}, {})
        self.left_out = {name: why for name, why in without.items() if name in self.ground_truths.folders_of}
        self._named = named
        self._take([s for s in self._loaded(recipe) if FILTERS[recipe.sets](s)])
        if recipe.inputs == "stored" and (without_input := [s.name for s in self.chosen if s.input is None]):
            raise UsageError(
                f"data.inputs = 'stored' needs a picture of each set in the folder 'inputs' of {named}; "
                f"{len(without_input)} have none, '{without_input[0]}' among them"
            )
        self.pipelines = [pipeline(name) for name in recipe.degradations]
        for name, used in zip(recipe.degradations, self.pipelines, strict=True):
            if recipe.source < used.minimum_size:
                raise UsageError(
                    f"data.source = {recipe.source} is too small for the degradation '{name}', which needs at least "
                    f"{used.minimum_size}"
                )

    def check(self, decode: Callable[[Sequence[Path]], Pictures]) -> None:
        """Decode all pictures, as `decode_all` does. PictureError where they are damaged, or of several sizes in a set.

        With `data.damaged = "skip"` their sets are left out instead.
        """
        self.pictures = decode([path for gts in self.chosen for path in self._files(gts)])
        self._take(self._whole(self.chosen, self.recipe))

    def _take(self, sets: Sequence[GtSet]) -> None:
        self.chosen: Sequence[GtSet] = sets
        if not sets:
            why = f"; {len(self.left_out)} are left out for their pictures" if self.left_out else ""
            raise UsageError(f"{self._named} has no set that data.sets = '{self.recipe.sets}' takes{why}")
        sizes = [_checked_size(gts, self.pictures, self.recipe) for gts in sets]
        self.sizes = [size for size in sizes if size]

    def __len__(self) -> int:
        return len(self.chosen)

    def places(self, patch: int, grid: int) -> int:
        """How many patches of `patch` px there are at multiples of `grid` px, in all sets together."""
        return sum(((height - patch) // grid + 1) * ((width - patch) // grid + 1) for height, width in self.sizes)

    @cached_property
    def identity(self) -> Identity:
        """What tells these sets from others, wherever they lie: by all files' bytes, where they were read."""
        return Identity({gts.name: self._mark(gts) for gts in self.chosen})

    def _sizes_differ(self, gts: GtSet) -> str | None:
        whole = self.pictures.whole
        sizes = [whole[path][1:] for path in gts.paths if path in whole]
        if len(set(sizes)) > 1:
            listed = ", ".join(f"{width}x{height}" for width, height in dict.fromkeys(sizes))
            return f"the ground truths of the set '{gts.name}' differ in size ({listed})"
        if self.recipe.inputs == "stored" and sizes and gts.input in whole:
            width, height = whole[gts.input][1:]
            scale = self.pipelines[0].scale
            if (width * scale, height * scale) != sizes[0]:
                return f"the input of the set '{gts.name}' is {width}x{height}, not a {scale}th of its ground truths"
        return None

    def _files(self, gts: GtSet) -> tuple[Path, ...]:
        """The pictures of a set that are learned from."""
        return (*gts.paths, gts.input) if gts.input and self.recipe.inputs == "stored" else gts.paths

    def _mark(self, gts: GtSet) -> Mark:
        files = self._files(gts)
        found = [self.pictures.whole[path].sha256 for path in files if path in self.pictures.whole]
        sizes = [path.stat().st_size for path in files]
        labels = None if gts.labels is None else [label.name for label in gts.labels]
        return mark(sizes, found if len(found) == len(sizes) else None, (gts.variants, labels, gts.votes))

    def _loaded(self, recipe: DataRecipe) -> Iterator[GtSet]:
        for name in self.ground_truths.names:
            if name in self.left_out:
                continue
            try:
                yield self.ground_truths.load(name)
            except PictureError as error:
                if recipe.damaged == "stop":
                    raise
                self.left_out[name] = str(error)

    def _whole(self, sets: Sequence[GtSet], recipe: DataRecipe) -> list[GtSet]:
        """Those whose pictures are whole and of one size."""
        wrong = self.pictures.damaged | {gts.paths[0]: why for gts in sets if (why := self._sizes_differ(gts))}
        if recipe.damaged == "stop":
            replace(self.pictures, damaged=wrong).check(
                "put them right (iqsr check-sets lists them all), or leave their sets out: --set data.damaged=skip"
            )
        for gts in sets:
            if bad := [wrong[path] for path in self._files(gts) if path in wrong]:
                self.left_out[gts.name] = bad[0]
        return [gts for gts in sets if gts.name not in self.left_out]


def _checked_size(gts: GtSet, pictures: Pictures, recipe: DataRecipe) -> tuple[int, int] | None:
    """Height and width of the original; None where its header is damaged, and all pictures are yet to be decoded."""
    side = recipe.source
    try:
        original = pictures.whole.get(gts.paths[0]) or open_picture(gts.paths[0]).info
    except PictureError:
        if not recipe.check:
            raise
        return None
    if min(original.width, original.height) < side:
        size = f"{original.width}x{original.height}"
        raise UsageError(f"the set '{gts.name}' is {size}, data.source is {side}: --set data.source=...")
    return original.height, original.width


def load_set(gts: GtSet) -> Tensor:
    """All ground truths of a set as (K, 3, H, W) uint8. UsageError where their sizes differ, DamagedSetError."""
    try:
        pictures = [(read_rgb(path) * 255).round_().byte() for path in gts.paths]
    except PictureError as error:
        raise DamagedSetError(gts.name, str(error)) from None
    if len({p.shape for p in pictures}) > 1:
        raise UsageError(f"the ground truths of the set '{gts.name}' differ in size: iqsr check-sets says which")
    return torch.cat(pictures)


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
