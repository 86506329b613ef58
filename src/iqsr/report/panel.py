"""Panels as in papers: the same detail of a picture by several methods, enlarged, side by side, with names."""

from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torchvision.transforms.v2.functional import to_pil_image

from iqsr.report.page import ComparedPicture, Variant

Box = tuple[int, int, int, int]
"""Top, left, height, width, in pixels of the largest variant."""

_GAP, _LINE = 6, 22


def write_panel(out: Path, rows: list[tuple[ComparedPicture, Box]], *, zoom: int = 2) -> None:
    """Write a PNG with a row for each picture and a column for each variant, named above; all have the same variants.

    Variants smaller than the largest (the low resolution) are enlarged without smoothing. `zoom` multiplies the
    detail's size, smoothly for none: one pixel stays one square.
    """
    drawn = [[_detail(variant, picture, box, zoom) for variant in picture.variants] for picture, box in rows]
    names = [variant.name for variant in rows[0][0].variants]
    widths = [max(row[column].width for row in drawn) for column in range(len(names))]
    heights = [max(image.height for image in row) for row in drawn]
    total = (sum(widths) + _GAP * (len(widths) - 1), _LINE + sum(heights) + _GAP * (len(heights) - 1))
    panel = Image.new("RGB", total, "white")
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(15)
    x = 0
    for column, name in enumerate(names):
        draw.text((x, 1), name, fill="black", font=font)
        y = _LINE
        for row, height in zip(drawn, heights, strict=True):
            panel.paste(row[column], (x, y))
            y += height + _GAP
        x += widths[column] + _GAP
    data = BytesIO()
    panel.save(data, "PNG", optimize=True)
    out.write_bytes(data.getvalue())


def _detail(variant: Variant, picture: ComparedPicture, box: Box, zoom: int) -> Image.Image:
    full = max(other.image.shape[2] for other in picture.variants)
    ratio = variant.image.shape[2] / full
    top, left, height, width = box
    image: Image.Image = to_pil_image(variant.image.float().clamp(0, 1))
    part = image.crop(
        (round(left * ratio), round(top * ratio), round((left + width) * ratio), round((top + height) * ratio))
    )
    return part.resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
