"""Panels, as in papers: a row a picture, a column a version, the same details enlarged and framed, scores below.

The figures 4, 6 and 8 of arXiv:2504.18524 are such panels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqsr.errors import UsageError
from iqsr.report.crops import Box
from iqsr.report.encode import Pixels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = (".png", ".pdf", ".svg")
_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7")
"""Colours of frames, one for each box, distinct for any colour vision (Okabe & Ito, 2008)."""
_GAP_MM, _HEAD_MM, _FOOT_MM = 1.5, 4.0, 1.0
_LINE_MM, _POINTS = 2.7, 6.5
"""Height of a line of text, and its size."""
_MM_PER_INCH = 25.4
_WHOLE = 1.5
"""Width of the whole picture's column, in columns of details."""
_EDGE_MM = 0.4
"""At the right, for the last frame's outer half."""


@dataclass(frozen=True)
class PanelCell:
    """One version of a picture."""

    name: str
    picture: Pixels
    """whole; of any size: a low resolution is enlarged without smoothing"""
    lines: Sequence[str] = ()
    """what stands below it, such as scores"""


@dataclass(frozen=True)
class PanelRow:
    """One picture in several versions."""

    title: str
    whole: Pixels
    """what shows where the details are"""
    boxes: Sequence[Box]
    """the details, in pixels of `whole`"""
    cells: Sequence[PanelCell]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the whole picture."""
        return self.whole.shape[0], self.whole.shape[1]


def write_panel(out: Path, rows: Sequence[PanelRow], *, width_mm: float = 180.0, dpi: int = 300) -> None:
    """Draw a panel; it appears whole or not at all, and equal content makes equal bytes.

    Args:
        out: `.png`, `.pdf` or `.svg`; text and frames of the last two are vectors.
        rows: A picture each, with the same versions in the same order.
        width_mm: Width on paper; 180 is two columns of most journals.
        dpi: Resolution of a PNG.

    Raises:
        UsageError: For another kind of file, rows that do not fit together, a box outside its picture.
        WriteError: Where the file cannot be written.
    """
    import matplotlib as mpl

    from iqsr.io.atomic import atomic_open

    kind = check_kind(out)
    _check(rows)
    fonts: Any = {"svg.hashsalt": "iqsr", "font.size": _POINTS, "pdf.fonttype": 42}
    no_time = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    with mpl.rc_context(fonts):
        figure = _figure(rows, width_mm)
        with atomic_open(out) as file:
            figure.savefig(file, format=kind[1:], dpi=dpi, metadata=no_time[kind])


def check_kind(out: Path) -> str:
    """The kind of file that a panel's name asks for. UsageError for one that is none of `KINDS`."""
    kind = out.suffix.lower()
    if kind not in KINDS:
        raise UsageError(f"a panel is {', '.join(KINDS)}; got '{out}'")
    return kind


def _check(rows: Sequence[PanelRow]) -> None:
    if not rows:
        raise UsageError("a panel needs a picture")
    names = [cell.name for cell in rows[0].cells]
    for row in rows:
        other = [cell.name for cell in row.cells]
        if other != names:
            raise UsageError(f"'{row.title}' has {', '.join(other)}, the panel's columns are {', '.join(names)}")
        for box in row.boxes:
            box.check(row.size, row.title)


@dataclass(frozen=True)
class _Place:
    """A rectangle on the paper in mm, from its top left corner."""

    left: float
    top: float
    width: float
    height: float


def _figure(rows: Sequence[PanelRow], width_mm: float) -> Figure:
    from matplotlib.figure import Figure

    columns = len(rows[0].cells)
    unit = (width_mm - _GAP_MM * columns - _EDGE_MM) / (columns + _WHOLE)
    heights = [_row_height(row, unit) for row in rows]
    height_mm = _HEAD_MM + sum(heights) + _GAP_MM * (len(rows) - 1)
    figure = Figure(figsize=(width_mm / _MM_PER_INCH, height_mm / _MM_PER_INCH), facecolor="white")
    paper = (width_mm, height_mm)
    for column, cell in enumerate(rows[0].cells):
        left = _WHOLE * unit + _GAP_MM + column * (unit + _GAP_MM)
        _write(figure, paper, left + unit / 2, _HEAD_MM - 0.8, cell.name, bold=True)
    top = _HEAD_MM
    for row, height in zip(rows, heights, strict=True):
        _draw_row(figure, paper, row, top, unit)
        top += height + _GAP_MM
    return figure


def _row_height(row: PanelRow, unit: float) -> float:
    lines = max(len(cell.lines) for cell in row.cells)
    details = sum(unit * box.height / box.width + _FOOT_MM / 2 for box in row.boxes) + lines * _LINE_MM
    whole = _WHOLE * unit * row.size[0] / row.size[1] + _LINE_MM
    return max(details, whole) + _FOOT_MM


def _draw_row(figure: Figure, paper: tuple[float, float], row: PanelRow, top: float, unit: float) -> None:
    height = _WHOLE * unit * row.size[0] / row.size[1]
    _draw_whole(figure, paper, row, _Place(0, top, _WHOLE * unit, height))
    _write(figure, paper, _WHOLE * unit / 2, top + height + _LINE_MM, row.title)
    for column, cell in enumerate(row.cells):
        left, at = _WHOLE * unit + _GAP_MM + column * (unit + _GAP_MM), top
        for number, box in enumerate(row.boxes):
            place = _Place(left, at, unit, unit * box.height / box.width)
            _draw(figure, paper, box.of(cell.picture, row.size), place, _COLOURS[number % len(_COLOURS)])
            at += place.height + _FOOT_MM / 2
        for line in cell.lines:
            at += _LINE_MM
            _write(figure, paper, left + unit / 2, at, line)


def _draw_whole(figure: Figure, paper: tuple[float, float], row: PanelRow, place: _Place) -> None:
    """The whole picture with a frame around each detail."""
    from matplotlib.patches import Rectangle

    axes = _axes(figure, paper, place)
    axes.imshow(row.whole, interpolation="antialiased", aspect="auto", extent=(0, row.size[1], row.size[0], 0))
    for number, box in enumerate(row.boxes):
        colour = _COLOURS[number % len(_COLOURS)]
        frame = Rectangle((box.left, box.top), box.width, box.height, fill=False, edgecolor=colour, linewidth=1.2)
        axes.add_patch(frame)


def _draw(figure: Figure, paper: tuple[float, float], picture: Pixels, place: _Place, colour: str) -> None:
    """A detail without smoothing: a pixel is a square."""
    axes = _axes(figure, paper, place)
    axes.imshow(picture, interpolation="nearest", aspect="auto")
    axes.spines[:].set(visible=True, color=colour, linewidth=1.2)


def _axes(figure: Figure, paper: tuple[float, float], place: _Place) -> Axes:
    width, height = paper
    bottom = height - place.top - place.height
    axes = figure.add_axes((place.left / width, bottom / height, place.width / width, place.height / height))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return axes


def _write(figure: Figure, paper: tuple[float, float], x: float, y: float, text: str, *, bold: bool = False) -> None:
    """A line of text whose middle is at x and whose foot is at y, in mm from the top left."""
    figure.text(
        x / paper[0],
        1 - y / paper[1],
        text,
        ha="center",
        va="bottom",
        weight="bold" if bold else "normal",
        parse_math=False,
    )
