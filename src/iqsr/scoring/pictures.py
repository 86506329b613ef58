"""Scores of pictures in memory: several metrics, pictures of equal size together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Literal

from iqsr.device import check_device_name
from iqsr.errors import IqsrError, UsageError
from iqsr.metrics import MetricCard, availability, card, load_metric, metric_names
from iqsr.scoring.cache import metric_fingerprint

if TYPE_CHECKING:
    import numpy as np
    import torch
    from pandas import DataFrame
    from torch import Tensor

    from iqsr.metrics.metric import Metric

Precision = Literal["fp32", "bf16"]
BATCH_PIXELS = 1 << 20
"""Pixels that are measured together, unless one picture has more: 16 of 256 x 256. Networks need memory for each."""


def default_metrics() -> list[str]:
    """srq. UsageError where it is not here, with the line that makes it available and the metrics that are here."""
    srq = availability("srq")
    if srq.here:
        return ["srq"]
    here = [name for name in metric_names() if availability(name).here]
    raise UsageError(f"srq, the default metric, is not here ({srq.how}); name others, of these: {', '.join(here)}")


class MetricSet:
    """Metrics by name, each loaded when it first has something to measure.

    names: as `iqsr metrics` lists them, or aliases; None for the default. A name that comes twice counts once. device:
    `cpu`, `cuda`, `cuda:N`, `mps` or `auto`. precision: of networks, see `load_metric`. crop_border: pixels that those
    which compare leave out on each side, as papers do for PSNR and SSIM; the others see whole pictures.
    Raises UnknownNameError for a name, UsageError for a device's name that is none or a border that cannot be; `device`
    raises it for one that is not there.
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
        """Those that compare with an original."""
        return [name for name, about in self.cards.items() if about.reference == "full"]

    def border(self, name: str) -> int:
        """Pixels that this metric leaves out on each side."""
        return self._crop_border if self.cards[name].reference == "full" else 0

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
        """Where metrics are computed. Asked for only when there is something to compute: that needs torch."""
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
        """Get these ready. Raises what `load_metric` raises where one of them is not here."""
        for name in names:
            if name not in self._loaded:
                self._loaded[name] = load_metric(name, device=str(self.device), precision=self.precision)

    def measure(self, name: str, x: Tensor, reference: Tensor | None = None) -> list[float | str]:
        """One metric on pictures of one size; for each the value, or one line on why there is none.

        x: (N, 3, H, W) in [0, 1]; reference: the same shape, used only by metrics that compare. Where the batch fails,
        for lack of memory or for one bad picture, its pictures are measured one by one.
        """
        self.load([name])
        original = reference if self.cards[name].reference == "full" else None
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

        from iqsr.metrics.planes import without_border

        with torch.no_grad():
            x = without_border(x, self.border(name)).to(self.device)
            original = None if reference is None else without_border(reference, self.border(name)).to(self.device)
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
    """Scores of pictures in memory: a row a picture, a column a metric.

    pictures: (3, H, W) in [0, 1] each, of any sizes, or a batch (N, 3, H, W); those of equal size are measured
    together. references: as many, of the same sizes, for metrics that compare. metrics, device, precision,
    crop_border: as in `MetricSet`.

    Raises UsageError for input that cannot be right (shape, size, a reference that is missing), IqsrError for a
    picture that a metric has no finite score for, and the errors of `load_metric`.
    """
    from pandas import DataFrame

    metric_set = MetricSet(metrics, device=device, precision=precision, crop_border=crop_border)
    found, originals = list(pictures), None if references is None else list(references)
    _check(metric_set, found, originals)
    metric_set.load(metric_set.names)
    columns: dict[str, list[float]] = {name: [0.0] * len(found) for name in metric_set.names}
    for places in batches([(int(x.shape[2]), int(x.shape[1])) for x in found]):
        x = _stacked(found, places)
        original = None if originals is None else _stacked(originals, places)
        for name in metric_set.names:
            for place, score in zip(places, metric_set.measure(name, x, original), strict=True):
                if isinstance(score, str):
                    raise IqsrError(f"picture {place}: {score}")
                columns[name][place] = score
    return DataFrame(columns)


def batches(sizes: Sequence[tuple[int, int]], *, pixels: int = BATCH_PIXELS) -> Iterator[list[int]]:
    """Places of equal sizes (width, height) together, in order of appearance; at most `pixels`, or one picture."""
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, size in enumerate(sizes):
        alike[size].append(place)
    for (width, height), places in alike.items():
        most = max(1, pixels // (width * height))
        yield from (places[start : start + most] for start in range(0, len(places), most))


def _stacked(pictures: Sequence[Tensor], places: Sequence[int]) -> Tensor:
    import torch

    return torch.stack([pictures[place] for place in places])


def _check(metric_set: MetricSet, pictures: Sequence[Tensor], references: Sequence[Tensor] | None) -> None:
    if references is None and metric_set.with_reference:
        raise UsageError(f"{metric_set.with_reference[0]} compares with a reference; give references")
    for place, picture in enumerate(pictures):
        _check_picture(f"picture {place}", picture)
        for name in metric_set.names:
            if why := metric_set.too_small(name, picture.shape[2], picture.shape[1]):
                raise UsageError(f"picture {place}: {why}")
    if references is None:
        return
    if len(references) != len(pictures):
        raise UsageError(f"{len(pictures)} pictures need as many references, got {len(references)}")
    for place, (picture, reference) in enumerate(zip(pictures, references, strict=True)):
        if picture.shape != reference.shape:
            raise UsageError(
                f"picture {place} is {tuple(picture.shape)}, its reference {tuple(reference.shape)}; "
                "both must have the same size"
            )
        _check_picture(f"reference {place}", reference)


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
