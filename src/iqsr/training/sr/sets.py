"""The sets that a training learns from: which ones the recipe takes, whether their pictures are whole, their sizes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from iqsr.datasets import GroundTruths, GtSet, every_set, has_positive, has_positive_or_negative, join, open_sets
from iqsr.degrade import pipeline
from iqsr.errors import PictureError, UsageError
from iqsr.images import open_picture, read_rgb
from iqsr.training.engine.identity import Identity, Mark, mark
from iqsr.training.engine.pictures import Pictures
from iqsr.training.sr.recipe import DataRecipe

FILTERS = {"every": every_set, "positive": has_positive, "verdict": has_positive_or_negative}


class DamagedSetError(PictureError):
    """A set, named, one of whose pictures cannot be read, and why."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, why)
        self.name = name

    def __str__(self) -> str:
        return str(self.args[1])


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
