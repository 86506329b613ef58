"""One self-contained HTML page: before/after sliders above a table of results. It loads nothing else."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torchvision.io import encode_png

from iqsr.errors import IqsrError, UsageError
from iqsr.io.atomic import write_text


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
    cannot be written, IqsrError where jinja2 is not installed.
    """
    for picture in pictures:
        _check_picture(picture)
    for row in table.rows:
        if len(row.values) != len(table.columns):
            raise UsageError(f"row '{row.name}' has {len(row.values)} values for {len(table.columns)} columns")
    html = _render(
        title=title,
        lead=lead,
        facts=facts or {},
        table=table,
        pictures=[_picture_for_page(p) for p in pictures],
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


def _picture_for_page(picture: ComparedPicture) -> dict[str, Any]:
    names = [variant.name for variant in picture.variants]
    left = names.index(picture.left) if picture.left else 0
    right = names.index(picture.right) if picture.right else max(set(range(len(names))) - {left})
    height, width = max((variant.image.shape[1:] for variant in picture.variants), key=lambda size: size.numel())
    variants = [
        {"name": v.name, "caption": v.caption, "pixelated": v.pixelated, "uri": _data_uri(v.image)}
        for v in picture.variants
    ]
    return {
        "title": picture.title,
        "variants": variants,
        "left": left,
        "right": right,
        "width": width,
        "height": height,
    }


def _data_uri(image: Tensor) -> str:
    """The image as a data URI, in PNG: compression losses would distort the comparison."""
    levels = image.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8).cpu()
    return "data:image/png;base64," + b64encode(encode_png(levels).numpy().tobytes()).decode()


def _render(**values: Any) -> str:
    try:
        import jinja2
    except ImportError:
        raise IqsrError("HTML pages need jinja2; install it with: pip install 'iqsr[demo]'") from None
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("iqsr.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("compare.html.j2").render(**values)
