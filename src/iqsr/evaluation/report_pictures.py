"""The pictures of a report: each decoded once, cut, and made small enough for one page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iqsr.errors import IqsrError, UsageError
from iqsr.evaluation.report_data import ReportData, ends
from iqsr.report.crops import Box, around, largest_disagreement
from iqsr.report.encode import Pixels, bounded, pixels, png_uri, webp_uri, within
from iqsr.report.page import sides
from iqsr.report.panel import PanelCell, PanelRow

if TYPE_CHECKING:
    from iqsr.datasets.evaluation_set import EvaluationItem

LR, ORIGINAL = "low resolution", "original"
DETAIL_SIDE, INSET_SIDE, SLIDER_SIDE = 128, 96, 768
"""Of details in lists, of insets, of what lies under a divider: in pixels, all at the pictures' own resolution."""
_WHOLE_SIDE, _MAP_SIDE = 420, 320
_DETAILS_BYTES, _SLIDERS_BYTES, _MAPS_BYTES = 5_500_000, 4_500_000, 700_000
"""Of the page, as text."""
MOST_DETAILS = 120
"""Images with a detail, from both ends."""
SRQ = "srq"


@dataclass(frozen=True)
class Versions:
    """All versions of one image: of equal size, but for the input."""

    name: str
    models: Mapping[str, Pixels]
    original: Pixels | None
    lr: Pixels | None

    @property
    def whole(self) -> Pixels:
        """The original, or what stands for it."""
        return self.original if self.original is not None else next(iter(self.models.values()))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.whole.shape[0], self.whole.shape[1]

    def named(self) -> dict[str, Pixels]:
        """Everything there is, in the order of a panel's columns."""
        first = {} if self.lr is None else {LR: self.lr}
        last = {} if self.original is None else {ORIGINAL: self.original}
        return {**first, **self.models, **last}

    def disagreement(self, side: int, between: tuple[str, str] | None = None) -> Box:
        """Where all models, or two versions, differ most; one model alone is compared with the original.

        UsageError for a version that is not there.
        """
        named = self.named()
        for name in between or ():
            if name not in named or name == LR:
                raise UsageError(f"'{self.name}' has no picture of '{name}' to compare, only {', '.join(named)}")
        chosen = [named[name] for name in between] if between else list(self.models.values())
        if len(chosen) == 1 and self.original is not None:
            chosen.append(self.original)
        return largest_disagreement(chosen, side)


def read_versions(data: ReportData, image: str) -> Versions | None:
    """An image's pictures that can be read and have one size. None where no model has one."""
    item = next(item for item in data.evaluation.set.items if item.name == image)
    original = _read(item.references[:1])
    read = {model.name: _read([model.pictures[image]]) for model in data.models if image in model.pictures}
    there = {name: picture for name, picture in read.items() if picture is not None}
    if not there:
        return None
    size = (original if original is not None else next(iter(there.values()))).shape
    models = {name: picture for name, picture in there.items() if picture.shape == size}
    if not models:
        original, models = None, {name: p for name, p in there.items() if p.shape == next(iter(there.values())).shape}
    return Versions(image, models, original, _lr(item))


def _lr(item: EvaluationItem) -> Pixels | None:
    return None if item.lr is None else _read([item.lr])


def _read(paths: Iterable[Any]) -> Pixels | None:
    """None where there is no file, or none that can be read: the evaluation has reported that."""
    from iqsr.images import read_rgb

    for path in paths:
        try:
            return pixels(read_rgb(path))
        except IqsrError:
            return None
    return None


@dataclass(frozen=True)
class ReportPictures:
    """All pictures of a page, as its templates and its script take them."""

    details: Mapping[int, Mapping[str | int, str]]
    """by the image's number: a detail of each model by its number, and of the `original`"""
    sliders: Sequence[Mapping[str, Any]]
    panels: Sequence[Mapping[str, Any]]
    maps: Sequence[Mapping[str, Any]]


def report_pictures(
    data: ReportData,
    *,
    count: int,
    crops: Mapping[str, Box],
    between: tuple[str, str] | None,
    on_progress: Callable[[str, int, int], None],
) -> ReportPictures:
    """Look at each image once.

    Args:
        data: The evaluation.
        count: Images with dividers, panels and quality maps, half of them from each end of the headline's order.
        crops: By image: the inset, where it is given.
        between: Two versions; insets show where they differ most. None: all models.
        on_progress: Called with what is done, how many images are done, and of how many.
    """
    headline = data.headline()
    if headline is None:
        return ReportPictures({}, (), (), ())
    ordered = data.ordered(headline.model, headline.other, headline.metric)
    large = list(dict.fromkeys([*crops, *ends(ordered[::-1], count)]))
    listed = dict.fromkeys([*large, *ends(ordered, MOST_DETAILS)])
    numbers = {item.name: place for place, item in enumerate(data.evaluation.set.items)}
    details: list[tuple[int, str | int, Pixels]] = []
    frames: list[Frame] = []
    panels: list[Mapping[str, Any]] = []
    maps: list[tuple[str, list[MapCell]]] = []
    for done, image in enumerate(listed, 1):
        versions = read_versions(data, image)
        if versions is not None:
            details += _details(data, versions, numbers[image])
        if versions is not None and image in large:
            has_both = between and all(name in versions.named() for name in between)
            box = crops.get(image) or versions.disagreement(INSET_SIDE, between if has_both else None)
            box.check(versions.size, image)
            frames.append(_frame(data, versions, box, (headline.other, headline.model)))
            panels.append(html_panel(panel_row(data, versions, [box])))
            maps += _maps(data, versions)
        on_progress("pictures of the report", done, len(listed))
    return ReportPictures(_encoded(details), _sliders(frames), panels, _map_rows(maps))


def _details(data: ReportData, versions: Versions, number: int) -> list[tuple[int, str | int, Pixels]]:
    box = versions.disagreement(DETAIL_SIDE)
    places = {model.name: place for place, model in enumerate(data.evaluation.models)}
    of_models: list[tuple[int, str | int, Pixels]] = [
        (number, places[name], box.of(p, versions.size)) for name, p in versions.models.items()
    ]
    if versions.original is None:
        return of_models
    return [*of_models, (number, ORIGINAL, box.of(versions.original, versions.size))]


def _encoded(details: Sequence[tuple[int, str | int, Pixels]]) -> dict[int, dict[str | int, str]]:
    found: dict[int, dict[str | int, str]] = {}
    uris = within([picture for _, _, picture in details], _DETAILS_BYTES)
    for (number, version, _), uri in zip(details, uris, strict=True):
        found.setdefault(number, {})[version] = uri
    return found


@dataclass(frozen=True)
class Frame:
    """What lies under a divider, not yet encoded."""

    title: str
    pictures: Mapping[str, Pixels]
    captions: Mapping[str, str]
    first: tuple[str, str]
    """left and right at first"""


def _frame(data: ReportData, versions: Versions, box: Box, first: tuple[str, str]) -> Frame:
    """The picture, or of a large one the part around the box."""
    part = around(box, SLIDER_SIDE, versions.size)
    cut = (part.height, part.width) != versions.size
    title = f"{versions.name}, {part.width} × {part.height} of it" if cut else versions.name
    pictures = {name: part.of(picture, versions.size) for name, picture in versions.named().items()}
    captions = {name: "\n".join(data.lines(name, versions.name)) for name in versions.models}
    return Frame(title, pictures, captions, first)


def _sliders(frames: Sequence[Frame]) -> list[dict[str, Any]]:
    uris = iter(within([p for frame in frames for p in frame.pictures.values()], _SLIDERS_BYTES))
    return [_slider(frame, number, uris) for number, frame in enumerate(frames, 1)]


def _slider(frame: Frame, number: int, uris: Iterable[str]) -> dict[str, Any]:
    names, (left, right) = list(frame.pictures), frame.first
    height, width = max((picture.shape[:2] for picture in frame.pictures.values()), key=lambda size: size[0] * size[1])
    is_there = left != right and left in names and right in names
    variants = [
        {"name": name, "caption": frame.captions.get(name, ""), "pixelated": name == LR, "uri": uri}
        for name, uri in zip(names, uris, strict=False)
    ]
    where = sides(names, left, right) if is_there else sides(names, "", "") if len(names) > 1 else None
    return {
        "number": number,
        "title": frame.title,
        "variants": variants,
        "width": width,
        "height": height,
        **(where or {"left": 0, "right": 0}),
    }


def panel_row(
    data: ReportData,
    versions: Versions,
    boxes: Sequence[Box],
    *,
    models: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> PanelRow:
    """One image of a panel: input, models (all by default) and original, with their scores."""
    shown = {name: p for name, p in versions.named().items() if not models or name in (*models, LR, ORIGINAL)}
    cells = [PanelCell(name, picture, data.lines(name, versions.name, metrics)) for name, picture in shown.items()]
    return PanelRow(versions.name, versions.whole, boxes, cells)


def html_panel(row: PanelRow) -> dict[str, Any]:
    """A panel for the page: its first box, losslessly."""
    (box, *_), size = row.boxes, row.size
    return {
        "title": row.title,
        "whole": webp_uri(bounded(row.whole, _WHOLE_SIDE)),
        "width": size[1],
        "height": size[0],
        "box": box,
        "cells": [
            {"name": cell.name, "lines": cell.lines, "uri": png_uri(box.of(cell.picture, size))} for cell in row.cells
        ],
    }


MapCell = tuple[str, str, Pixels]
"""A model, its score in words, and the map."""


def _maps(data: ReportData, versions: Versions) -> list[tuple[str, list[MapCell]]]:
    """Quality maps of an image, where srq is one of the metrics and the picture is large enough for it."""
    import torch

    from iqsr.metrics.srq import MINIMUM_SIZE, load_srq
    from iqsr.scoring.quality_map import coloured, relief

    shown = [metric.name for metric in data.metrics if metric.variant == SRQ]
    if not shown or min(versions.size) < MINIMUM_SIZE:
        return []
    srq, cells = load_srq(), list[MapCell]()
    pictures = {name: p for name, p in versions.named().items() if name != LR}
    for name, picture in pictures.items():
        x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            quality = srq.quality_map(x)
        share = torch.nn.functional.interpolate((quality / 100).clamp(0, 1), size=x.shape[2:], mode="bilinear")
        drawn = (coloured(share) + 0.5 * relief(x)).clamp(0, 1)
        said = data.lines(name, versions.name, shown) or [f"mean {float(quality.mean()):.1f}"]
        cells.append((name, said[0], bounded(pixels(drawn), _MAP_SIDE)))
    return [(versions.name, cells)]


def _map_rows(maps: Sequence[tuple[str, list[MapCell]]]) -> list[dict[str, Any]]:
    uris = iter(within([picture for _, cells in maps for *_, picture in cells], _MAPS_BYTES))
    return [
        {"title": title, "cells": [{"name": name, "said": said, "uri": next(uris)} for name, said, _ in cells]}
        for title, cells in maps
    ]
