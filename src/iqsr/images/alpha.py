"""The colour of transparent pixels.

Under a transparent pixel a file may hold any colour, mostly black. A network, or any resampling, would mix
it into the visible edge: a dark fringe. So the colour of (nearly) transparent pixels is replaced by that of
their visible neighbours, through a pyramid of alpha-weighted means that is first pulled together and then
pushed back (Gortler et al., "The Lumigraph", 1996, section 3.4): near an edge the mean is narrow, far from
it wide, and everywhere smooth.
"""

import pyvips

from iqsr.images.resample import enlarged

ALPHAS = ("transparency", "straight")
"""What alpha may mean, the default first. straight: a channel of its own, such as the gloss of a texture."""

# Rows that one request to libvips asks for. The line buffers below are made for it.
FETCH_ROWS = 32
# 2 ** 6 = 64 pixels: farther away the colour of a pixel no longer changes what a network makes of an edge.
_LEVELS = 6
# Rows that may lie between the one being finished and the lowest that its pyramid needs (about 130).
_LOOK_AHEAD = 256
# A mean alpha below this counts as zero.
_NOTHING = 1e-6
# From this alpha upwards a pixel keeps its colour to the last bit; below, the neighbours' is blended in.
_KEPT_FROM = 1 / 16


def largest(image: pyvips.Image) -> int:
    """The value that stands for 1.0: 255 or 65535."""
    return 65535 if image.format == "ushort" else 255


def fill_hidden(image: pyvips.Image) -> pyvips.Image:
    """Replace the colour of transparent pixels by that of their visible neighbours.

    Args:
        image: Upright, uchar or ushort: the colour bands, then alpha. It may be a sequential source if the result is
            fetched from top to bottom, at most FETCH_ROWS rows at a time; a window of rows is kept.

    Returns:
        The colour bands as float, in the range of the image (0..255 or 0..65535).
    """
    image = _buffered(image, 0).copy()
    # The shrinking below would add buffers of its own, ten rows at each level: 640 rows of look-ahead.
    image.remove("vips-sequential")
    colour, opacity = _parts(image.cast("float"))
    opacity = opacity / largest(image)
    weighted = (colour * opacity).bandjoin(opacity)
    unit = 2**_LEVELS
    padded = weighted.embed(0, 0, -(-image.width // unit) * unit, -(-image.height // unit) * unit)
    around = _neighbours(padded, 1).crop(0, 0, image.width, image.height)
    nearby, known = _colour_and_weight(around)
    far, seen = largest(image) / 2, (known * 2).clamp()
    behind = nearby * seen + seen.linear([-far], [far])
    return _blend(behind, colour, opacity / _KEPT_FROM)


def _neighbours(weighted: pyvips.Image, level: int) -> pyvips.Image:
    """Estimate the colour at each pixel of one pyramid level from the levels at and above `level`.

    weighted: bands of colour x weight, then the weight; the result has the same bands. The weights are interpolated,
    too, so that cells without any visible pixel do not contribute.
    """
    mean = _buffered(weighted.shrink(2, 2), level)
    colour, opacity = _colour_and_weight(mean)
    # A quarter of the surroundings visible is enough to trust them; less, and wider ones have a say.
    trust = (opacity * 4 if level < _LEVELS else opacity / _NOTHING).clamp()
    if level < _LEVELS:
        wider, known = _colour_and_weight(_neighbours(mean, level + 1))
        colour = _blend(wider, colour, trust)
        trust = (trust + known).clamp()
    neighbours = enlarged((colour * trust).bandjoin(trust), (weighted.width, weighted.height), "bilinear")
    # libvips computes an image once for each use of it: without a buffer, four times more at every level.
    return _buffered(neighbours, level - 1)


def _blend(behind: pyvips.Image, front: pyvips.Image, weight: pyvips.Image) -> pyvips.Image:
    # Not behind + w * (front - behind): where w is 1 the front must come out exactly.
    weight = weight.clamp()
    return (behind * weight.linear([-1.0], [1.0]) + front * weight).cast("float")


def _parts(image: pyvips.Image) -> tuple[pyvips.Image, pyvips.Image]:
    return image[: image.bands - 1], image[image.bands - 1]


def _colour_and_weight(weighted: pyvips.Image) -> tuple[pyvips.Image, pyvips.Image]:
    colour, weight = _parts(weighted)
    return colour / (weight + 1e-12), weight


def _buffered(image: pyvips.Image, level: int) -> pyvips.Image:
    """Cache a window of computed rows, so that a branch that reads them later does not compute them again."""
    height = max(1, 8 >> level)  # a tile of 8 rows at level 6 would ask for 512 rows of the picture
    tiles = (_LOOK_AHEAD >> level) // height + 8
    return image.tilecache(
        tile_width=image.width, tile_height=height, max_tiles=tiles, access="sequential", persistent=True
    )
