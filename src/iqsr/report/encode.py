"""Pictures as text inside a page: lossless where pixels are compared, else within a number of bytes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

Pixels = NDArray[np.uint8]
"""(H, W, 3), as files have them."""

_LADDER = ((1.0, 92), (1.0, 85), (1.0, 75), (1.0, 60), (0.75, 75), (0.5, 75), (0.5, 50), (0.25, 50))
"""Share of each side and WebP quality, the best first."""


def pixels(image: Tensor) -> Pixels:
    """(3, H, W) or (1, 3, H, W) in [0, 1]; values outside are clamped."""
    levels = image.detach().float().reshape(3, *image.shape[-2:]).clamp(0, 1).mul(255).round().byte()
    return levels.permute(1, 2, 0).contiguous().cpu().numpy()


def png_uri(picture: Pixels) -> str:
    """Lossless, because compression would be part of what is compared."""
    return _uri(picture, "PNG", 0)


def webp_uri(picture: Pixels, quality: int = 80) -> str:
    """Small, for overviews."""
    return _uri(picture, "WEBP", quality)


def within(pictures: Sequence[Pixels], most_bytes: int) -> list[str]:
    """All pictures as WebP of one quality, the best at which they fit into so many bytes of page together.

    Where the least quality does not fit, it is taken all the same.
    """
    for share, quality in _LADDER[:-1]:
        made: list[str] = []
        for picture in pictures:
            made.append(webp_uri(reduced(picture, share), quality))
            if sum(map(len, made)) > most_bytes:
                break
        else:
            return made
    share, quality = _LADDER[-1]
    return [webp_uri(reduced(picture, share), quality) for picture in pictures]


def bounded(picture: Pixels, longest: int) -> Pixels:
    """Reduced, where it is larger, to `longest` pixels on its longer side."""
    return reduced(picture, min(1.0, longest / max(picture.shape[:2])))


def reduced(picture: Pixels, share: float) -> Pixels:
    """Both sides times `share`, by area and at least a pixel."""
    if share == 1:
        return picture
    height, width = (max(1, round(side * share)) for side in picture.shape[:2])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))


def _uri(picture: Pixels, kind: Literal["PNG", "WEBP"], quality: int) -> str:
    data = BytesIO()
    if kind == "PNG":
        Image.fromarray(picture).save(data, kind, optimize=True)
    else:
        Image.fromarray(picture).save(data, kind, quality=quality, method=4)
    return f"data:image/{kind.lower()};base64,{b64encode(data.getvalue()).decode()}"
