"""Which ground truth each sample learns from: the recipe's sampler, and the scores and labels that it uses."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor

from iqsr.datasets import GtSet
from iqsr.errors import UsageError
from iqsr.io.atomic import write_bytes
from iqsr.io.places import check_is_file
from iqsr.io.tensor_files import serialized
from iqsr.metrics import Precision, card, load_metric
from iqsr.metrics.dense import CELL, blankness
from iqsr.metrics.metric import Metric
from iqsr.sampling import choose, sampler
from iqsr.scoring import content_hash, metric_fingerprint, score_files, writable_default_cache
from iqsr.training.sr.data import Batch
from iqsr.training.sr.recipe import TrainRecipe
from iqsr.training.sr.sets import Sets, load_set
from iqsr.training.sr.share import Share


class Targets:
    """The recipe's choice among the ground truths of sets.

    Args:
        recipe: The settings; `sampling` names the sampler and its metric.
        sets: What is chosen from.
        device: Where the metric computes; it is loaded at once.
        precision: Of the scores of patches.

    Raises the errors of `load_metric`.
    """

    def __init__(self, recipe: TrainRecipe, sets: Sets, device: str, precision: Precision) -> None:
        self.recipe, self.sets, self.device = recipe, sets, device
        self.precision: Precision = precision
        self.sampler = sampler(recipe.sampling.sampler, recipe.sampling.tau)
        scored = self.sampler.needs not in ("nothing", "labels")
        self.metric = load_metric(recipe.sampling.metric, device=device, precision=precision) if scored else None
        self.looked_up = PatchScores(self.metric) if self.metric and recipe.sampling.grid else None

    def scores_beforehand(self, folder: Path, on_set: Callable[[int], None], share: Share) -> dict[str, Tensor] | None:
        """The scores that are made before the first step, by the sets' names, or None.

        Of whole pictures; or of the patches of a grid, kept in `folder`, unless this process draws fewer patches than
        there are. share: this process among those that do so at once.
        """
        recipe, sets = self.recipe, self.sets
        if self.metric is None:
            return None
        if self.sampler.needs != "patch scores":
            return picture_scores(sets.chosen, recipe.sampling.metric, self.device)
        patch, grid = recipe.data.patch, recipe.sampling.grid
        if not grid or recipe.steps * recipe.batch < sets.places(patch, grid):
            return None
        first = len(sets) * share.rank // share.ranks
        return grid_scores(sets.chosen, self.metric, patch, grid, folder, on_set, self.precision, first=first)

    def scored(self, batch: Batch) -> Batch:
        """The batch with the scores of its patches, where they were not made before, and without their places."""
        rest, gts = {name: value for name, value in batch.items() if name != "place"}, batch["gts"]
        if self.metric is None or "scores" in batch:
            return rest
        made = self.looked_up.scores(batch["place"], gts) if self.looked_up else patch_scores(self.metric, gts)
        return rest | {"scores": made.to(gts.device)}

    def chosen(self, batch: Batch, seed: int, before: int) -> Tensor:
        """The number of the ground truth of each sample, 0 for the original: (B,) int64 on the CPU.

        before: how many samples of the step other processes have before these.
        """
        rng = torch.Generator().manual_seed(seed)
        torch.rand(before, 1, dtype=torch.float64, generator=rng)  # as `choose` draws for them
        scores = batch["scores"].cpu() if "scores" in batch else None
        labels = batch["labels"].cpu() if self.sets.ground_truths.labelled else None
        count, variants = batch["gts"].shape[:2]
        return choose(self.sampler, scores, labels, rng, (count, variants))


_AT_ONCE = 64  # patches of 256 px that are scored in one batch, or as many pixels of other sizes
EMPTIED = 0.1
"""Share of a patch: a ground truth in which so much more is empty than in another of its set lost its content."""
_SAME_COLOUR = 2 / 255
"""Mean difference of the colours of cells, along a row or column of them, above which content was lost."""
_GRIT = 14 / 255
"""Standard deviation within a cell: where one lost a variance of more than its square, content was lost.

Gaussian grit of a deviation of 8 / 255 reaches 11 / 255. One pixel of 128 in a cell of 5 gives 15 / 255.
"""
_SCORES_VERSION = 3
"""Version of how patches are scored: grid scores that another one kept are made anew."""


def oriented(metric: Metric, x: Tensor) -> Tensor:
    """The metric's values with higher for better, (N,)."""
    return metric(x) if metric.card.higher_is_better else -metric(x)


@torch.no_grad()
def patch_scores(metric: Metric, gts: Tensor) -> Tensor:
    """AMO's scores of patches as they are cut, higher is better.

    Patches that were emptied are scored below all others of their sample: those that are blanker than another one, and
    lost content that it shows. A clean sky is blanker than its gritty copy, but lost only grit: the metric decides.

    Args:
        metric: The metric, without reference.
        gts: (B, K, 3, H, W) uint8.

    Returns:
        (B, K).

    Raises:
        UsageError: For other types than uint8.
    """
    if gts.dtype != torch.uint8:
        raise UsageError(f"expected ground truths of 0 to 255 as uint8, got {gts.dtype}")
    batch, count = gts.shape[:2]
    pictures = gts.flatten(0, 1).float() / 255
    scores, blank = oriented(metric, pictures), blankness(pictures).mean((1, 2, 3))
    pictures = pictures.unflatten(0, (batch, count))
    return _below_the_rest(scores.view(batch, count), blank.view(batch, count), pictures)


def _below_the_rest(scores: Tensor, blank: Tensor, pictures: Tensor) -> Tensor:
    """Score patches that were emptied below the others of their sample.

    Metrics that never saw bars, or a black picture, can score them highest.

    Args:
        scores: (B, K).
        blank: (B, K), the share of blank area.
        pictures: (B, K, 3, H, W) in [0, 1].
    """
    emptied = torch.zeros_like(blank, dtype=torch.bool)
    for other in range(blank.shape[1]):
        sample, variant = (blank > blank[:, other, None] + EMPTIED).nonzero(as_tuple=True)
        if len(sample):
            emptied[sample, variant] |= _lost_content(pictures[sample, variant], pictures[sample, other])
    return torch.where(emptied, scores.amin(1, keepdim=True) - 1, scores)


def _lost_content(x: Tensor, fuller: Tensor) -> Tensor:
    """Whether pictures lack more than grit of what fuller ones show, (N,). Both (N, 3, H, W) in [0, 1].

    In the colour of a line of cells, or in the variance of any cell.
    """
    colour = F.avg_pool2d(x - fuller, CELL, ceil_mode=True).abs().mean(1)
    line = torch.maximum(colour.mean(2).amax(1), colour.mean(1).amax(1))  # a bar is a row or a column
    lost = (_variance(fuller) - _variance(x)).amax((1, 2))
    return (line > _SAME_COLOUR) | (lost > _GRIT**2)


def _variance(x: Tensor) -> Tensor:
    """Of each cell, averaged over the channels: (N, h, w). Cells that the edge cuts count by their share of pixels."""
    there = F.pad(torch.ones_like(x[:1, :1]), (0, -x.shape[3] % CELL, 0, -x.shape[2] % CELL))
    variance = F.avg_pool2d(x.square(), CELL, ceil_mode=True) - F.avg_pool2d(x, CELL, ceil_mode=True).square()
    return (variance * F.avg_pool2d(there, CELL)).mean(1)


class PatchScores:
    """AMO's scores of patches at places of a grid, made when a patch is first drawn and looked up from then on."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._known: dict[tuple[int, ...], Tensor] = {}

    def scores(self, places: Tensor, gts: Tensor) -> Tensor:
        """places: (B, 3) int64, as a batch's `place`; gts: (B, K, 3, H, W) uint8. Returns (B, K) on the CPU.

        Patches that are new are scored together.
        """
        keys = [tuple(place) for place in places.tolist()]
        new = {key: row for row, key in enumerate(keys) if key not in self._known}
        if new:
            found = patch_scores(self._metric, gts[list(new.values())]).cpu()
            self._known.update(zip(new, found, strict=True))
        return torch.stack([self._known[key] for key in keys])

    def state_dict(self) -> dict[str, Tensor]:
        """All scores: a patch scored anew, beside others, can differ in its last digit."""
        scores = torch.stack(list(self._known.values())) if self._known else torch.zeros(0, 0)
        return {"places": torch.tensor(list(self._known)), "scores": scores}

    def load_state_dicts(self, states: Sequence[dict[str, Tensor]]) -> None:
        """Continue with the scores of all processes."""
        for state in states:
            found = zip(map(tuple, state["places"].tolist()), state["scores"].clone(), strict=True)
            self._known |= dict(found)


def picture_scores(sets: Iterable[GtSet], name: str, device: str) -> dict[str, Tensor]:
    """(K,) for each set by its name, on a scale of 0 to 100, higher is better: what SMA and SMP go by.

    The metric's range, which must be bounded, is spread over that scale: `tau` means the same for all. Remembered by
    content.

    UsageError for a picture that the metric has no score for, as one that is too small.
    """
    facts, sets = card(name), list(sets)
    table = score_files([p for s in sets for p in s.paths], [name], device=device, cache=writable_default_cache())
    if "error" in table:
        raise UsageError(next(str(error) for error in table["error"] if error))
    found = dict(zip(map(Path, table["path"]), table[name], strict=True))
    return {s.name: facts.on_hundred(torch.tensor([float(found[p]) for p in s.paths])) for s in sets}


def grid_scores(
    sets: Sequence[GtSet],
    metric: Metric,
    patch: int,
    grid: int,
    folder: Path,
    on_set: Callable[[int], None],
    precision: Precision = "fp32",
    *,
    first: int = 0,
) -> dict[str, Tensor]:
    """(K, rows, columns) for each set by its name: of every patch of `patch` px at multiples of `grid` px.

    What is known is kept in `folder`, a file a set, by the content of its pictures and the metric's code, weights and
    `precision`, in which it was loaded; a stopped run goes on. Several processes may work at once: files appear whole.
    first: the number of the set that this process begins with; where each begins elsewhere, they share the work.
    """
    fingerprint, found = metric_fingerprint(metric.card.name, precision=precision), dict[str, Tensor]()
    for number, gts in enumerate([*sets[first:], *sets[:first]]):
        contents = "".join(content_hash(path) for path in gts.paths)
        of = f"{fingerprint} {patch} {grid} {contents} version {_SCORES_VERSION}"
        path = folder / f"{hashlib.sha256(of.encode()).hexdigest()[:24]}.safetensors"
        scores = _kept(path)
        if scores is None:
            scores = _scored_places(load_set(gts), metric, patch, grid).contiguous()
            write_bytes(path, serialized({"scores": scores}))
        found[gts.name] = scores
        on_set(number + 1)
    return found


def _kept(path: Path) -> Tensor | None:
    """The scores in a file; None where it is not there, or damaged."""
    try:
        check_is_file(path)
        with safe_open(path, "pt") as file:
            return file.get_tensor("scores")
    except (OSError, SafetensorError):
        return None


@torch.no_grad()
def _scored_places(pictures: Tensor, metric: Metric, patch: int, grid: int) -> Tensor:
    """pictures: (K, 3, H, W) uint8. Returns (K, rows, columns)."""
    places = pictures.unfold(2, patch, grid).unfold(3, patch, grid)
    count, _, rows, columns = places.shape[:4]
    patches = places.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
    at_once = max(1, _AT_ONCE * 256**2 // patch**2)
    samples = patches.unflatten(0, (count, rows * columns)).transpose(0, 1)  # (places, K, 3, patch, patch)
    scores = [patch_scores(metric, part) for part in samples.split(max(1, at_once // count))]
    return torch.cat(scores).T.reshape(count, rows, columns)
