"""Validation on photos that are not learned from, and the guard that stops a run whose quality is gamed."""

import hashlib
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
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
from iqsr.metrics.lr_consistency import lr_consistency
from iqsr.training.sr.recipe import GuardRecipe, ValidationRecipe

logger = logging.getLogger(__name__)

Restore = Callable[[Tensor], Tensor]
"""(N, 3, h, w) in [0, 1] -> (N, 3, 4h, 4w), not clamped."""


@dataclass(frozen=True)
class ValidationResult:
    """What one validation found."""

    quality: list[float]
    """Of each photo's output, by the objective's Q; higher is better."""
    of_originals: list[float]
    """The same of the originals."""
    held_out: dict[str, float]
    """Means of metrics that are not part of the objective."""
    consistency: float
    """PSNR in dB of the reduced outputs against the inputs, their mean."""

    @property
    def mean(self) -> float:
        """The mean quality of the outputs."""
        return _mean(self.quality)


Row = dict[str, float]
"""All figures of one photo: `quality`, `original` (its quality), `consistency`, and the metrics by their names."""
_OWN = ("quality", "original", "consistency")


class Validation:
    """Originals and their degraded versions, in memory; the same ones every time. Each process measures its share.

    Args:
        folder: Photos; those too small for the recipe's square are passed over.
        recipe: How many photos, how large a square, which metrics.
        degradation: The pipeline, if the recipe names none.
        quality: (N, 3, H, W) -> (N,), the objective's Q, higher is better.
        device: Where the metrics compute.
        skip_damaged: Leave out photos that cannot be read, with a warning.
        rank: The number of this process.
        ranks: How many processes there are.

    Raises:
        PictureError: For a photo that cannot be read.
        UsageError: If no photo is large enough.
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
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.recipe, self.quality = recipe, quality
        names = dict.fromkeys(card(name).name for name in recipe.metrics)
        self.metrics = {name: load_metric(name, device=device) for name in names}
        squares = _squares(folder, recipe, skip_damaged)
        self.fingerprint = self._fingerprint(recipe.degradation or degradation, squares)
        drawn, side = pipeline(recipe.degradation or degradation), recipe.side
        self.numbers = range(rank, len(squares), ranks)
        """Of the photos that this process measures."""
        self.originals = [squares[number] for number in self.numbers]
        generators = [torch.Generator().manual_seed(number) for number in self.numbers]
        pairs = zip(self.originals, generators, strict=True)
        self.inputs = [degrade(original, drawn.draw(1, side, side, g)) for original, g in pairs]
        self.of_originals = [float(quality(x)) for x in self.originals]

    @torch.inference_mode()
    def measure(self, restore: Restore, pictures: Path | None) -> list[tuple[int, Row]]:
        """Restore the degraded photos of this process and measure the outputs.

        Args:
            restore: The model.
            pictures: A folder for comparisons, if any.

        Returns:
            The number and the figures of each photo.
        """
        outputs = [restore(lr).float().clamp(0, 1) for lr in self.inputs]
        outputs = [(y * 255).round() / 255 for y in outputs]
        columns = {name: [float(value) for value in self._measured(name, outputs)] for name in self.metrics}
        columns["consistency"] = [float(lr_consistency(y, lr)) for y, lr in zip(outputs, self.inputs, strict=True)]
        columns |= {"quality": [float(self.quality(y)) for y in outputs], "original": self.of_originals}
        if pictures is not None:
            self._write_comparisons(outputs, pictures)
        rows = ({name: column[i] for name, column in columns.items()} for i in range(len(outputs)))
        return list(zip(self.numbers, rows, strict=True))

    def _fingerprint(self, degradation: str, originals: Sequence[Tensor]) -> str:
        """16 hexadecimal digits: results of the same fingerprint can be compared."""
        digest = hashlib.sha256(f"{degradation} {self.recipe.side} {sorted(self.metrics)}".encode())
        for original in originals:
            digest.update((original * 255).round().byte().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _measured(self, name: str, outputs: Sequence[Tensor]) -> list[Tensor]:
        metric = self.metrics[name]
        if metric.card.reference == "full":
            return [metric(y, x) for y, x in zip(outputs, self.originals, strict=True)]
        if metric.card.reference == "input":
            return [metric(y, lr) for y, lr in zip(outputs, self.inputs, strict=True)]
        return [metric(y) for y in outputs]

    def _write_comparisons(self, outputs: Sequence[Tensor], folder: Path) -> None:
        """Input enlarged by bicubic, output, original: a PNG each for the first few photos."""
        for number, output, original, lr in zip(self.numbers, outputs, self.originals, self.inputs, strict=True):
            if number >= self.recipe.pictures:
                break
            bicubic = F.interpolate(lr, original.shape[2:], mode="bicubic").clamp(0, 1)
            row = torch.cat([bicubic, output, original], 3)
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


def summary(
    measured: Sequence[tuple[int, Row]], trained_on: Collection[str]
) -> tuple[ValidationResult, dict[str, float]]:
    """Sum up what all processes have measured.

    Args:
        measured: As of `Validation.measure`, in any order.
        trained_on: Metrics, by their own names, that are not held out.

    Returns:
        What the guard judges, and all figures for the log.
    """
    rows = [row for _, row in sorted(measured, key=lambda found: found[0])]
    means = {name: float(torch.tensor([row[name] for row in rows]).mean()) for name in rows[0]}
    consistency, of_originals = means["consistency"], [row["original"] for row in rows]
    values = {name: value for name, value in means.items() if name not in _OWN}
    held_out = {name: value for name, value in values.items() if name not in trained_on}
    result = ValidationResult([row["quality"] for row in rows], of_originals, held_out, consistency)
    marked = {f"{name} (trained on)" if name in trained_on else name: value for name, value in values.items()}
    figures = {"quality": result.mean, "quality of originals": _mean(of_originals), "LR-consistency": consistency}
    return result, marked | figures


class Guard:
    """Finds that the quality is gamed: the optimiser found pictures that the predictor overrates.

    A picture that a predictor rates above its own clean original is a cheap alarm. Any clean output of a noisy photo
    scores higher, though, before a step is taken: there only what is added since the run's start counts. The other
    alarm is a score that rises while metrics that nothing is optimised for, or the agreement with the input, fall.

    The first result that it judges is its baseline: that of the model before it has learned anything.
    """

    def __init__(self, recipe: GuardRecipe) -> None:
        self.recipe = recipe
        self.first: ValidationResult | None = None
        self.last: ValidationResult | None = None
        self.suspicions = 0

    def restart(self, baseline: ValidationResult) -> None:
        """Continue as if the run had had this baseline from its start."""
        self.first = self.last = baseline
        self.suspicions = 0

    def judge(self, result: ValidationResult) -> str | None:
        """The reason to stop the run, in one line; None where there is none."""
        first, last, self.last = self.first, self.last, result
        self.first = first or result
        if not first or not last:
            return None
        limits = [max(pair) for pair in zip(result.of_originals, first.quality, strict=True)]
        above = result.mean - _mean(limits)
        if above > self.recipe.margin:
            return (
                f"outputs score {above:.1f} points above their clean originals, or where they did so before the first "
                f"step, above that ({result.mean:.1f} against {_mean(limits):.1f}): the quality is being gamed"
            )
        falls = self._falls(first, result)
        self.suspicions = self.suspicions + 1 if falls and result.mean > last.mean else 0
        if self.suspicions >= self.recipe.patience:
            return (
                f"the quality rose {self.suspicions} times in a row while {' and '.join(falls)} fell behind the start"
            )
        return None

    def _falls(self, first: ValidationResult, result: ValidationResult) -> list[str]:
        """The names of what is worse than at the start by more than the tolerance."""
        worse: list[str] = []
        for name, value in result.held_out.items():
            change = (value - first.held_out[name]) / max(abs(first.held_out[name]), 1e-6)
            if (change if card(name).higher_is_better else -change) < -self.recipe.tolerance:
                worse.append(name)
        if result.consistency < first.consistency - self.recipe.consistency_db:
            worse.append("LR-consistency")
        return worse

    def state_dict(self) -> dict[str, object]:
        """All that the next judgement depends on."""
        return {"first": _plain(self.first), "last": _plain(self.last), "suspicions": self.suspicions}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Continue from a state."""
        self.first, self.last = _result(state["first"]), _result(state["last"])
        self.suspicions = int(str(state["suspicions"]))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _plain(result: ValidationResult | None) -> dict[str, object] | None:
    return None if result is None else dict(vars(result))


def _result(state: object) -> ValidationResult | None:
    return ValidationResult(**state) if isinstance(state, dict) else None  # pyright: ignore[reportUnknownArgumentType]
