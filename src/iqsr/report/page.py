"""One self-contained HTML page: before/after sliders above a table of results. It loads nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from iqsr.errors import UsageError
from iqsr.io.atomic import write_text
from iqsr.report.encode import pixels, png_uri, webp_uri
from iqsr.report.html import render


@dataclass(frozen=True)
class Variant:
    """One version of a picture. All versions are displayed in the same frame, whatever their size."""

    name: str
    image: Tensor
    """(3, H, W) in [0, 1]; values outside are clamped."""
    caption: str = ""
    """The text under the frame while this variant is displayed; line breaks are kept."""
    pixelated: bool = False
    """Whether it is enlarged with hard pixel edges, as suits a low-resolution input."""
    quality: int | None = None
    """Of WebP, 1 to 100, for overviews; None: lossless, because compression would distort the comparison."""


@dataclass(frozen=True)
class ComparedPicture:
    """A picture in two or more variants of different names; the frame has the largest one's proportions."""

    title: str
    variants: Sequence[Variant]
    left: str = ""
    """Name of the variant that is on the left at first; the first one if empty."""
    right: str = ""
    """Name of the variant that is on the right at first; the last other one if empty."""


@dataclass(frozen=True)
class Column:
    """A column of numbers."""

    name: str
    decimals: int = 3
    better: Literal["higher", "lower"] | None = None
    """Displayed as an arrow; the best value of each group is set in bold. None: no direction, no bold."""


@dataclass(frozen=True)
class Row:
    """A row of the table. Consecutive rows of the same `group` are compared with one another."""

    group: str
    name: str
    values: Sequence[float | None]
    """One per column; None is shown as a dash."""


@dataclass(frozen=True)
class Cell:
    """A value as it is printed."""

    text: str
    best: bool
    """The best of its column within its group."""


@dataclass(frozen=True)
class Table:
    """A table of results."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    caption: str = ""

    def groups(self) -> list[tuple[str, list[tuple[str, list[Cell]]]]]:
        """Name of each group and its rows, each a name and a cell per column."""
        grouped: list[tuple[str, list[tuple[str, list[Cell]]]]] = []
        for group, members in groupby(self.rows, key=lambda row: row.group):
            rows = list(members)
            columns = [_cells(column, [r.values[i] for r in rows]) for i, column in enumerate(self.columns)]
            grouped.append((group, [(row.name, [cells[i] for cells in columns]) for i, row in enumerate(rows)]))
        return grouped


def write_comparison(
    out: Path,
    title: str,
    pictures: Sequence[ComparedPicture],
    table: Table,
    *,
    lead: str = "",
    facts: Mapping[str, str] | None = None,
) -> None:
    """Write the page to `out`, atomically; folders are made where they are missing.

    lead: a paragraph under the title. facts: how the results came about (model, seed, versions, time), shown
    at the foot. Raises UsageError for pictures or rows that do not fit together, WriteError where the page
    cannot be written.
    """
    for picture in pictures:
        _check_picture(picture)
    for row in table.rows:
        if len(row.values) != len(table.columns):
            raise UsageError(f"row '{row.name}' has {len(row.values)} values for {len(table.columns)} columns")
    frames = [frame(picture, number) for number, picture in enumerate(pictures, 1)]
    html = render(
        "compare.html.j2",
        styles=["base.css", "before_after.css", "compare.css"],
        scripts=["before_after.js"],
        rules=frame_rules(frames),
        title=title,
        lead=lead,
        facts=facts or {},
        table=table,
        pictures=frames,
    )
    write_text(out, html)


def _cells(column: Column, values: Sequence[float | None]) -> list[Cell]:
    """A group's values in one column. Values that print alike are equally good; if all do, none is best."""
    shown = [None if v is None or v != v else round(v, column.decimals) for v in values]
    present = [v for v in shown if v is not None]
    best = None
    if column.better is not None and len(set(present)) > 1:
        best = max(present) if column.better == "higher" else min(present)
    return [
        Cell("–", False) if v is None else Cell("∞" if v == inf else f"{v:.{column.decimals}f}", v == best)
        for v in shown
    ]


def _check_picture(picture: ComparedPicture) -> None:
    names = [variant.name for variant in picture.variants]
    if len(names) < 2 or len(set(names)) < len(names):
        raise UsageError(f"'{picture.title}' needs two or more variants with different names, got {names}")
    for wanted in filter(None, (picture.left, picture.right)):
        if wanted not in names:
            raise UsageError(f"'{picture.title}' has no variant '{wanted}', only {names}")
    for variant in picture.variants:
        if variant.image.ndim != 3 or variant.image.shape[0] != 3:
            raise UsageError(f"variant '{variant.name}' should be (3, H, W), got {tuple(variant.image.shape)}")


def frame(picture: ComparedPicture, number: int) -> dict[str, Any]:
    """What the macro `before_after` draws; number: tells it from the page's other frames."""
    variants = [
        {"name": v.name, "caption": v.caption, "pixelated": v.pixelated, "uri": _uri(v)} for v in picture.variants
    ]
    names = [variant.name for variant in picture.variants]
    height, width = max((variant.image.shape[1:] for variant in picture.variants), key=lambda size: size.numel())
    return {
        "number": number,
        "title": picture.title,
        "variants": variants,
        **sides(names, picture.left, picture.right),
        "width": width,
        "height": height,
    }


def _uri(variant: Variant) -> str:
    image = pixels(variant.image)
    return png_uri(image) if variant.quality is None else webp_uri(image, variant.quality)


def sides(names: Sequence[str], left: str, right: str) -> dict[str, int]:
    """Which variants are seen at first: the named ones, else the first, and the last other one."""
    first = names.index(left) if left else 0
    return {"left": first, "right": names.index(right) if right else max(set(range(len(names))) - {first})}


def frame_rules(frames: Sequence[Mapping[str, Any]]) -> str:
    """CSS: the proportions of each frame."""
    return "\n".join(
        f"#frame-{one['number']} {{ --width: {one['width']}; --height: {one['height']}; }}" for one in frames
    )
