"""A set of metrics, and scores of pictures in memory: pictures of equal size are measured together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING

from iqsr.device import check_device_name
from iqsr.errors import IqsrError, UnknownNameError, UsageError
from iqsr.metrics import MetricCard, Precision, availability, card, load_metric, metric_names
from iqsr.scoring.cache import metric_fingerprint

if TYPE_CHECKING:
    import numpy as np
    import torch
    from pandas import DataFrame
    from torch import Tensor

    from iqsr.metrics.metric import Metric

BATCH_PIXELS = 1 << 20
"""The most pixels in a batch of several pictures: 16 of 256 x 256. Networks need memory in proportion."""


def check_precision(name: str) -> Precision:
    """The precision called `name`. UnknownNameError where there is none."""
    if name == "fp32" or name == "bf16":
        return name
    raise UnknownNameError("precision", name, ["fp32", "bf16"])


def default_metrics() -> list[str]:
    """srq. UsageError where it is not here, with the line that makes it available and the metrics that are here."""
    srq = availability("srq")
    if srq.available:
        return ["srq"]
    here = [name for name in metric_names() if availability(name).available]
    raise UsageError(f"srq, the default metric, is not here ({srq.remedy}); name others, of these: {', '.join(here)}")


class MetricSet:
    """Metrics by name; each is loaded when it first measures a picture.

    Args:
        names: As `iqsr metrics` lists them, or aliases; None for the default. A name that comes twice counts once.
        device: `cpu`, `cuda`, `cuda:N`, `mps` or `auto`.
        precision: Of networks, see `load_metric`.
        crop_border: Pixels that full-reference metrics crop on each side, as papers do for PSNR and SSIM.

    Raises:
        UnknownNameError: For a metric that does not exist.
        UsageError: For a device's name that does not exist, or a wrong border. The property `device` raises it for a
            device that is not there.
    """

    def __init__(
        self,
        names: Sequence[str] | None = None,
        *,
        device: str = "cpu",
        precision: Precision = "fp32",
        crop_border: int = 0,
    ) -> None:
        check_device_name(device)
        if crop_border < 0:
            raise UsageError(f"the border to leave out must be 0 px or more, got {crop_border}")
        chosen = default_metrics() if names is None else names
        if not chosen:
            raise UsageError("no metric was named")
        self.cards: dict[str, MetricCard] = {about.name: about for about in map(card, chosen)}
        self.precision: Precision = precision
        self._crop_border = crop_border
        if crop_border and not self.with_reference:
            raise UsageError("a border is left out by metrics that compare; add one, e.g. psnr,ssim, or leave out none")
        self._device = device
        self._loaded: dict[str, Metric] = {}
        self._fingerprints: dict[str, str] = {}

    @property
    def names(self) -> list[str]:
        """The metrics' own names, in the order they were asked for."""
        return list(self.cards)

    @property
    def with_reference(self) -> list[str]:
        """The full-reference metrics among them."""
        return [name for name, about in self.cards.items() if about.compares]

    def border(self, name: str) -> int:
        """Pixels that this metric crops on each side."""
        return self._crop_border if self.cards[name].compares else 0

    def too_small(self, name: str, width: int, height: int) -> str | None:
        """Why a picture is too small for this metric; None where it is not."""
        border = self.border(name)
        least = self.cards[name].minimum_size + 2 * border
        if min(width, height) >= least:
            return None
        but = f" with {border} left out on each side" if border else ""
        return f"{name} needs at least {least} x {least} pixels{but}, this has {width} x {height}"

    @cached_property
    def device(self) -> torch.device:
        """Where metrics are computed. Imports torch, so it is used only when there is something to compute."""
        from iqsr.device import choose_device

        return choose_device(self._device)

    def fingerprint(self, name: str) -> str:
        """`metric_fingerprint` of one of them, as it was when first asked for: weights are loaded once, too.

        With a border it is another one: such scores are others.
        """
        if name not in self._fingerprints:
            found, border = metric_fingerprint(name, precision=self.precision), self.border(name)
            self._fingerprints[name] = f"{found} without {border} px" if border else found
        return self._fingerprints[name]

    def load(self, names: Iterable[str]) -> None:
        """Load these metrics. Raises the errors of `load_metric`."""
        for name in names:
            if name not in self._loaded:
                self._loaded[name] = load_metric(name, device=str(self.device), precision=self.precision)

    def measure(self, name: str, x: Tensor, reference: Tensor | None = None) -> list[float | str]:
        """Measure pictures of one size by one metric: for each the score, or one line on why there is none.

        x: (N, 3, H, W) in [0, 1]; reference: the same shape, used only by full-reference metrics. If the batch fails
        (out of memory, or one bad picture), its pictures are measured one by one.
        """
        self.load([name])
        original = reference if self.cards[name].compares else None
        try:
            return [_score(name, value) for value in self._values(name, x, original)]
        # What other people's networks raise for a picture they cannot digest, and torch without memory.
        except (IqsrError, RuntimeError, ValueError, AssertionError) as error:
            if len(x) == 1:
                return [_one_line(name, error)]
        ones = [(x[i : i + 1], None if original is None else original[i : i + 1]) for i in range(len(x))]
        return [score for one in ones for score in self.measure(name, *one)]

    def _values(self, name: str, x: Tensor, reference: Tensor | None) -> list[np.float32]:
        import torch

        from iqsr.metrics.pixels import cropped

        with torch.no_grad():
            x = cropped(x, self.border(name)).to(self.device)
            original = None if reference is None else cropped(reference, self.border(name)).to(self.device)
            return list(self._loaded[name](x, original).cpu().numpy())


def score_pictures(
    pictures: Tensor | Sequence[Tensor],
    metrics: Sequence[str] | None = None,
    *,
    references: Tensor | Sequence[Tensor] | None = None,
    device: str = "cpu",
    precision: Precision = "fp32",
    crop_border: int = 0,
) -> DataFrame:
    """Score pictures in memory.

    Args:
        pictures: (3, H, W) in [0, 1] each, of any sizes, or a batch (N, 3, H, W).
        metrics: Names, see `list_metrics`; srq by default.
        references: The originals, as many and of the same sizes; for full-reference metrics.
        device, precision, crop_border: As for `MetricSet`.

    Returns:
        A table with a row for each picture and a column for each metric.

    Raises:
        UsageError: For wrong shapes, sizes or ranges, and for a reference that is missing.
        WeightsError: If a metric's weights are missing.
        IqsrError: If a metric gives a picture no finite score.
    """
    from pandas import DataFrame

    metric_set = MetricSet(metrics, device=device, precision=precision, crop_border=crop_border)
    found, originals = list(pictures), None if references is None else list(references)
    _check(metric_set, found, originals)
    metric_set.load(metric_set.names)
    columns: dict[str, list[float]] = {name: [0.0] * len(found) for name in metric_set.names}
    for indices in batches([(int(x.shape[2]), int(x.shape[1])) for x in found]):
        x = _stacked(found, indices)
        original = None if originals is None else _stacked(originals, indices)
        for name in metric_set.names:
            for index, score in zip(indices, metric_set.measure(name, x, original), strict=True):
                if isinstance(score, str):
                    raise IqsrError(f"picture {index}: {score}")
                columns[name][index] = score
    return DataFrame(columns)


def batches(sizes: Sequence[tuple[int, int]], *, pixels: int = BATCH_PIXELS) -> Iterator[list[int]]:
    """Yield batches of indices of equal sizes (width, height), each of at most `pixels` pixels, or one picture."""
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, size in enumerate(sizes):
        alike[size].append(index)
    for (width, height), indices in alike.items():
        most = max(1, pixels // (width * height))
        yield from (indices[start : start + most] for start in range(0, len(indices), most))


def _stacked(pictures: Sequence[Tensor], indices: Sequence[int]) -> Tensor:
    import torch

    return torch.stack([pictures[index] for index in indices])


def _check(metric_set: MetricSet, pictures: Sequence[Tensor], references: Sequence[Tensor] | None) -> None:
    if references is None and metric_set.with_reference:
        raise UsageError(f"{metric_set.with_reference[0]} compares with a reference; give references")
    for index, picture in enumerate(pictures):
        _check_picture(f"picture {index}", picture)
        for name in metric_set.names:
            if why := metric_set.too_small(name, picture.shape[2], picture.shape[1]):
                raise UsageError(f"picture {index}: {why}")
    if references is None:
        return
    if len(references) != len(pictures):
        raise UsageError(f"{len(pictures)} pictures need as many references, got {len(references)}")
    for index, (picture, reference) in enumerate(zip(pictures, references, strict=True)):
        if picture.shape != reference.shape:
            raise UsageError(
                f"picture {index} is {tuple(picture.shape)}, its reference {tuple(reference.shape)}; "
                "both must have the same size"
            )
        _check_picture(f"reference {index}", reference)


def _check_picture(which: str, picture: Tensor) -> None:
    from iqsr.picture_checks import check_floats

    if picture.ndim != 3 or picture.shape[0] != 3 or 0 in picture.shape:
        last = "; channels come first" if picture.ndim == 3 and picture.shape[2] == 3 else ""
        raise UsageError(f"{which}: expected shape (3, H, W), got {tuple(picture.shape)}{last}")
    check_floats(f"{which}:", picture)


def _score(name: str, value: np.float32) -> float | str:
    if not isfinite(value):
        return f"{name} gave {value}, which is no score"
    return float(str(value))  # the shortest decimal that names the float32: 27.31, not 27.309999465942383


def _one_line(name: str, error: Exception) -> str:
    said = next(iter(str(error).splitlines()), "") or type(error).__name__
    return said if said.startswith(name) else f"{name} failed: {said}"
