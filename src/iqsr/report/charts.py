"""Charts as SVG inside a page: the positions that its templates draw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

WIDTH = 360
"""Of a chart, in units that are pixels on a phone."""
_MARGIN, _ROW, _AXIS = 12, 42, 26
_LINES_HEIGHT, _LEFT = 190, 52
STYLES = 8
"""Colours and marks that differ; after them they repeat."""


@dataclass(frozen=True)
class Tick:
    """A place on an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Strip:
    """The scores of one model by one metric."""

    name: str
    style: int
    """number of its colour"""
    middle: float
    """height of the line that the dots scatter around"""
    dots: str
    """path of a dot an image"""
    worst: float
    """5th percentile"""
    quartile: float
    median: float
    upper_quartile: float
    best: float
    """95th percentile"""
    median_text: str


@dataclass(frozen=True)
class StripChart:
    """A row of dots and a box for each model, by one metric."""

    title: str
    strips: Sequence[Strip]
    ticks: Sequence[Tick]
    height: float
    description: str
    """what it shows, for those who do not see it"""
    width: float = WIDTH


@dataclass(frozen=True)
class Line:
    """One curve."""

    name: str
    style: int
    path: str
    last: Tick
    """height and text of its last point"""


@dataclass(frozen=True)
class LineChart:
    """Curves of one figure over steps."""

    title: str
    lines: Sequence[Line]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    description: str
    width: float = WIDTH
    height: float = _LINES_HEIGHT
    left: float = _LEFT


Curve = Sequence[tuple[float, float]]
"""Steps and values."""


def strip_chart(
    title: str, values: Mapping[str, Sequence[float]], styles: Mapping[str, int], decimals: int
) -> StripChart:
    """The distributions of one metric.

    Args:
        title: Of the metric, with its direction.
        values: By model: a score an image, all finite, and at least one.
        styles: By model: number of its colour.
        decimals: Digits behind the point.

    Returns:
        The chart.
    """
    ticks = round_ticks([value for scores in values.values() for value in scores])
    low, high = ticks[0], ticks[-1]

    def at(value: float) -> float:
        return round(_MARGIN + (value - low) / (high - low) * (WIDTH - 2 * _MARGIN), 1)

    strips = [
        _strip(
            name, styles[name], _ROW * row + 28, np.array([at(v) for v in scores]), f"{np.median(scores):.{decimals}f}"
        )
        for row, (name, scores) in enumerate(values.items())
    ]
    said = "; ".join(f"{strip.name}: median {strip.median_text}" for strip in strips)
    return StripChart(
        title,
        strips,
        [Tick(at(tick), _number(tick)) for tick in ticks],
        _ROW * len(strips) + _AXIS,
        f"{title}: {said}",
    )


def _strip(name: str, style: int, middle: float, places: np.ndarray, text: str) -> Strip:
    spread = (np.arange(len(places)) * 0.618034 % 1 - 0.5) * 12  # even, without a pattern, and the same each time
    dots = "".join(f"M{x:g} {middle + y:.1f}h0" for x, y in zip(places, spread, strict=True))
    worst, quartile, median, upper, best = (round(float(p), 1) for p in np.percentile(places, (5, 25, 50, 75, 95)))
    return Strip(name, style % STYLES, middle, dots, worst, quartile, median, upper, best, text)


def line_chart(title: str, curves: Mapping[str, Curve], styles: Mapping[str, int]) -> LineChart:
    """Curves of several runs by one figure. curves: by run, each of at least one finite point."""
    points = [point for curve in curves.values() for point in curve]
    x_ticks, y_ticks = round_ticks([x for x, _ in points], whole=True), round_ticks([y for _, y in points])
    right, bottom = WIDTH - _MARGIN, _LINES_HEIGHT - _AXIS

    def x_at(x: float) -> float:
        return round(_LEFT + (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (right - _LEFT), 1)

    def y_at(y: float) -> float:
        return round(bottom - (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (bottom - _MARGIN), 1)

    lines = [
        Line(
            name,
            styles[name] % STYLES,
            "M" + "L".join(f"{x_at(x):g} {y_at(y):g}" for x, y in curve) + "h0" * (len(curve) == 1),
            Tick(y_at(curve[-1][1]), _number(curve[-1][1])),
        )
        for name, curve in curves.items()
    ]
    said = "; ".join(f"{name} from {_number(c[0][1])} to {_number(c[-1][1])}" for name, c in curves.items())
    return LineChart(
        title,
        lines,
        [Tick(x_at(x), _number(x)) for x in x_ticks],
        [Tick(y_at(y), _number(y)) for y in y_ticks],
        f"{title} over steps: {said}",
    )


def finite(points: Iterable[tuple[float, float | None]]) -> list[tuple[float, float]]:
    """Those points of a curve that can be drawn."""
    return [(x, y) for x, y in points if y is not None and isfinite(y)]


def round_ticks(values: Sequence[float], *, whole: bool = False) -> list[float]:
    """Round numbers around all values, at least two."""
    from matplotlib.ticker import MaxNLocator

    low, high = min(values), max(values)
    if low == high:
        low, high = low - (abs(low) / 10 or 1), high + (abs(high) / 10 or 1)
    return [float(tick) for tick in MaxNLocator(nbins=4, integer=whole, min_n_ticks=2).tick_values(low, high)]


def _number(value: float) -> str:
    if 0 < abs(value) < 0.001:
        return f"{value:.2g}".replace("e-0", "e-")
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
