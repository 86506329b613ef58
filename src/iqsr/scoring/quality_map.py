"""A quality map as an image: colours for the quality, the picture's detail as relief, and a legend."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from iqsr.errors import IqsrError, UsageError
from iqsr.images import Picture, open_picture, write_picture
from iqsr.images.metadata import Colour, Metadata
from iqsr.io.atomic import check_output_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import torch
    from torch import Tensor

    from iqsr.scoring.tasks import PictureScores

_COLOURS = "viridis"  # lightness rises with the value: read in gray, and with any colour vision
_RELIEF = 0.5
"""How strongly the picture's own detail shows in the colours."""
_CELLS = 16
"""Lightness over areas of a 16th of the shorter side is left out: it would be read as quality."""
_FONT_OF_WIDTH = 28  # characters of the legend's font that fit beside each other


def draw_map(picture: Tensor, quality: Tensor, title: str, *, scale: tuple[float, float] = (0.0, 100.0)) -> Tensor:
    """A quality map in colours with the picture's detail as relief; below it the title and a colour bar with its ends.

    The picture's own light and dark areas do not show, so that over each area colours are those of the bar.

    picture: (1, 3, H, W) in [0, 1]; quality: (1, 1, h, w) of any size, enlarged smoothly. scale: the values at the dark
    (blue) and at the light (yellow) end; beyond them the colour stays. Returns (1, 3, H + legend, W) in [0, 1].
    UsageError for other shapes.
    """
    import torch
    import torch.nn.functional as F

    from iqsr.picture_checks import check_values

    if picture.ndim != 4 or picture.shape[:2] != (1, 3) or quality.ndim != 4 or quality.shape[:2] != (1, 1):
        raise UsageError(
            "expected a picture (1, 3, H, W) and a map (1, 1, h, w), "
            f"got {tuple(picture.shape)} and {tuple(quality.shape)}"
        )
    check_values("the picture under a map", picture)
    low, high = scale
    share = ((quality.float() - low) / (high - low)).clamp(0, 1)
    fitted = F.interpolate(share, size=picture.shape[2:], mode="bicubic", align_corners=False).clamp(0, 1)
    drawn = (coloured(fitted) + _RELIEF * relief(picture)).clamp(0, 1)
    return torch.cat([drawn, legend(picture.shape[3], title, scale)], 2)


def relief(picture: Tensor) -> Tensor:
    """(1, 3, H, W) in [0, 1] -> (1, 1, H, W) in [-1, 1]: luma (BT.601) less its local mean; 0 where nothing changes."""
    import torch.nn.functional as F

    size = picture.shape[2:]
    gray = (picture * picture.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    rows, columns = (round(side * _CELLS / min(size)) for side in size)
    mean = F.interpolate(F.adaptive_avg_pool2d(gray, (rows, columns)), size=size, mode="bicubic", align_corners=False)
    return (gray - mean).clamp(-1, 1)


def coloured(share: Tensor) -> Tensor:
    """(N, 1, H, W) in [0, 1] -> its colours, (N, 3, H, W) in [0, 1]: viridis, perceptually uniform."""
    import numpy as np
    import torch
    from matplotlib import colormaps

    table = torch.from_numpy(colormaps[_COLOURS](np.arange(256))[:, :3].astype(np.float32))
    return table[(share * 255).round().long().squeeze(1)].permute(0, 3, 1, 2)


def legend(width: int, title: str, scale: tuple[float, float]) -> Tensor:
    """(1, 3, height, width) in [0, 1]: the title over a colour bar, whose ends say what they mean."""
    import numpy as np
    import torch
    from PIL import Image, ImageDraw, ImageFont

    size = min(max(width // _FONT_OF_WIDTH, 10), 36)
    line, gap = size + size // 2, size // 3
    page = Image.new("RGB", (width, 2 * line + size + 2 * gap), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size)
    draw.text((gap, gap), title, "black", font)
    ends = f"{scale[0]:g} bad", f"{scale[1]:g} good"
    if sum(map(font.getlength, ends)) + 4 * gap > width:  # hardly more than a thumbnail
        ends = f"{scale[0]:g}", f"{scale[1]:g}"
    draw.text((gap, line + size + gap), ends[0], "black", font)
    draw.text((width - gap, line + size + gap), ends[1], "black", font, anchor="ra")
    strip = torch.from_numpy(np.asarray(page, np.float32) / 255).permute(2, 0, 1).unsqueeze(0)
    inside = max(width - 2 * gap, 1)
    bar = coloured(torch.linspace(0, 1, inside).expand(1, 1, size, inside))
    strip[:, :, line + gap // 2 : line + gap // 2 + size, gap : gap + inside] = bar
    return strip


def write_map(source: Path, out: Path, quality_map: Callable[[Tensor], Tensor], title: str) -> None:
    """Write the `draw_map` of a picture file. `quality_map`: (1, 3, H, W) -> (1, 1, h, w) in 0 to 100, as srq's.

    The map is written as 8-bit sRGB, whatever the source is. PictureError where one of
    the files cannot be read or written.
    """
    import torch

    picture = open_picture(source)
    (x,) = picture.rows(picture.info.height)
    with torch.no_grad():
        drawn = draw_map(x, quality_map(x).cpu(), title)
    size = (drawn.shape[3], drawn.shape[2])
    info = replace(picture.info, gray=False, depth=8, has_alpha=False, colour=Colour(), metadata=Metadata())
    write_picture(out, [drawn], source=Picture(info), upscaled=size, size=size)


def check_map_metric() -> None:
    """UsageError where srq, which maps show, is not here."""
    from iqsr.metrics import availability

    srq = availability("srq")
    if not srq.available:
        raise UsageError(f"--map shows what srq sees, and srq is not here: {srq.remedy}")


def write_maps(
    scored: Iterable[PictureScores],
    maps: Mapping[Path, Path],
    *,
    device: torch.device | str = "cpu",
    on_error: Callable[[IqsrError], None],
) -> int:
    """Write the map of each picture that has a score of srq.

    Args:
        scored: Pictures with their scores, from `score_found`.
        maps: Where each picture's map goes, from `plan_maps`.
        device: Where srq computes.
        on_error: Called for each map that cannot be written; the rest goes on.

    Returns:
        How many failed.
    """
    from iqsr.metrics.srq import load_srq

    srq, failed = load_srq().to(device), 0
    for one in scored:
        if "srq" not in one.scores:
            continue
        try:
            title = f"srq {one.scores['srq']:.1f}"
            write_map(one.path, maps[one.path], lambda x: srq.quality_map(x.to(device)), title)
        except IqsrError as error:
            on_error(error)
            failed += 1
    return failed


def plan_maps(found: list[tuple[Path, Path]], folder: Path) -> dict[Path, Path]:
    """Where each picture's map goes: the tree below the inputs, mirrored in `folder`, `photo.jpg` as `photo_map.png`.

    Where several would have that name, all of them are called like `photo_jpg_map.png`. UsageError where that is not
    enough; the errors of `check_output_path` where one cannot be written.
    """
    names = Counter(_map_name(relative) for _, relative in found)
    sources: dict[Path, Path] = {}
    for source, relative in found:
        name = _map_name(relative)
        if names[name] > 1:
            name = name.with_name(f"{relative.stem}_{relative.suffix[1:].lower()}_map.png")
        out = folder / name
        if out in sources:
            raise UsageError(f"the maps of '{sources[out]}' and '{source}' would both be '{out}'; score them apart")
        check_output_path(out)
        sources[out] = source
    return {source: out for out, source in sources.items()}


def _map_name(relative: Path) -> Path:
    return relative.with_name(f"{relative.stem}_map.png")
