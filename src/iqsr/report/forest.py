"""Charts of a study as SVG inside a page: figures with their intervals, one a row, and shares as bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

from iqsr.report.charts import WIDTH, Tick, round_ticks

_MARGIN, _AXIS = 12, 26
_ROW, _COMPACT_ROW = 42, 22
_NAMES, _VALUES, _LETTER = 124, 46, 7
"""Widths of the columns of a compact chart, where names and values stand beside the marks, and of a letter."""
_LONGEST_NAME = 16
_BARS_HEIGHT, _BARS_LEFT = 180, 44


@dataclass(frozen=True)
class Figure:
    """A figure with its interval; ends that are not finite are not drawn."""

    name: str
    value: float
    low: float
    high: float
    text: str
    """The figure in words."""
    is_faint: bool = False


@dataclass(frozen=True)
class Mark:
    """Where a figure is drawn."""

    figure: Figure
    label: str
    """Its name, cut to what fits."""
    at: float
    low: float
    high: float
    middle: float
    text_y: float


@dataclass(frozen=True)
class ForestChart:
    """Figures one below the other, on one axis."""

    title: str
    marks: Sequence[Mark]
    ticks: Sequence[Tick]
    reference: float | None
    """Where the line of no difference is."""
    name_x: float
    text_x: float
    height: float
    description: str
    """What it shows, for those who do not see it."""
    width: float = WIDTH


@dataclass(frozen=True)
class Bar:
    """One share, as a bar from one half."""

    name: str
    x: float
    y: float
    width: float
    height: float
    is_above: bool


@dataclass(frozen=True)
class BarChart:
    """Shares in descending order."""

    title: str
    bars: Sequence[Bar]
    ticks: Sequence[Tick]
    half: float
    left: float
    description: str
    width: float = WIDTH
    height: float = _BARS_HEIGHT


def forest_chart(
    title: str,
    figures: Sequence[Figure],
    *,
    reference: float,
    show: Callable[[float], str],
    bounds: tuple[float, float] | None = None,
    is_compact: bool = False,
) -> ForestChart:
    """Place figures.

    Args:
        title: Of the chart.
        figures: At least one; in the order of the rows.
        reference: The value that means no difference; a line is drawn there.
        show: A value of the axis in words.
        bounds: Of the axis; None: as the figures need.
        is_compact: Names beside the marks and not above them, for many rows.
    """
    needed = [reference, *(v for f in figures for v in (f.value, f.low, f.high) if isfinite(v)), *(bounds or ())]
    ticks = round_ticks(needed)
    names = min(_NAMES, 16 + _LETTER * max(len(figure.name) for figure in figures))
    left, right = (names, WIDTH - _VALUES) if is_compact else (_MARGIN, WIDTH - _MARGIN)
    row = _COMPACT_ROW if is_compact else _ROW
    low, high = bounds or (ticks[0], ticks[-1])
    ticks = [tick for tick in ticks if low <= tick <= high]

    def at(value: float) -> float:
        return round(left + (min(max(value, low), high) - low) / (high - low) * (right - left), 1)

    marks = [_mark(figure, number, row, at, is_compact) for number, figure in enumerate(figures)]
    return ForestChart(
        title,
        marks,
        [Tick(at(tick), show(tick)) for tick in ticks],
        at(reference),
        0 if is_compact else _MARGIN,
        WIDTH - (0 if is_compact else _MARGIN),
        row * len(marks) + _AXIS,
        f"{title}: " + "; ".join(f"{figure.name} {figure.text}" for figure in figures),
    )


def _mark(figure: Figure, number: int, row: int, at: Callable[[float], float], is_compact: bool) -> Mark:
    middle = number * row + (row / 2 if is_compact else 28)
    longest = _LONGEST_NAME if is_compact else 2 * _LONGEST_NAME
    label = figure.name if len(figure.name) <= longest else f"{figure.name[: longest - 1]}…"
    low, high = (at(end if isfinite(end) else figure.value) for end in (figure.low, figure.high))
    return Mark(figure, label, at(figure.value), low, high, middle, middle + 4 if is_compact else middle - 14)


def bar_chart(title: str, shares: Sequence[tuple[str, float]], show: Callable[[float], str]) -> BarChart:
    """Shares as bars that begin at one half. shares: name and share in [0, 1], at least one, in order."""
    top, bottom = _MARGIN, _BARS_HEIGHT - _MARGIN
    step = (WIDTH - _MARGIN - _BARS_LEFT) / len(shares)

    def at(share: float) -> float:
        return bottom - share * (bottom - top)

    bars = [
        Bar(
            f"{name}: {show(share)}",
            round(_BARS_LEFT + number * step, 2),
            round(min(at(share), at(0.5)) - (1 if share == 0.5 else 0), 2),
            round(step * 0.8, 2),
            round(max(abs(at(share) - at(0.5)), 2), 2),
            share >= 0.5,
        )
        for number, (name, share) in enumerate(shares)
    ]
    above, below = sum(share > 0.5 for _, share in shares), sum(share < 0.5 for _, share in shares)
    said = f"{title}: above one half on {above}, below on {below}, equal on {len(shares) - above - below}"
    ticks = [Tick(at(share), show(share)) for share in (0, 0.25, 0.5, 0.75, 1)]
    return BarChart(title, bars, ticks, at(0.5), _BARS_LEFT, said)
