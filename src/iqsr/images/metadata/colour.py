"""The meaning of the colours: a profile, or code points and numbers that become a profile or that only PNG can store.

ITU-T H.273 (coding-independent code points); PNG, third edition, section 4.3 (which signal counts); TIFF 6.0,
section 20; DCF 2.0 (Adobe RGB by cameras). docs/reference/colour.md has the table.
"""

import struct
from dataclasses import dataclass
from typing import NamedTuple

from iqsr.images import vips
from iqsr.images.metadata import icc
from iqsr.images.metadata.icc import Curve, Point
from iqsr.images.metadata.png_chunks import Chunk, icc_chunk

_D65, _C, _E = (0.3127, 0.329), (0.31, 0.316), (1 / 3, 1 / 3)
_Gamut = tuple[tuple[Point, Point, Point], Point]
_BT709: _Gamut = ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06)), _D65
_ADOBE_RGB: _Gamut = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), _D65
_SMPTE170M: _Gamut = ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07)), _D65
_GAMUTS: dict[int, tuple[str, _Gamut]] = {
    1: ("BT.709", _BT709),
    4: ("BT.470 M", (((0.67, 0.33), (0.21, 0.71), (0.14, 0.08)), _C)),
    5: ("BT.601, 625 lines", (((0.64, 0.33), (0.29, 0.6), (0.15, 0.06)), _D65)),
    6: ("BT.601, 525 lines", _SMPTE170M),
    7: ("SMPTE 240M", _SMPTE170M),
    8: ("film", (((0.681, 0.319), (0.243, 0.692), (0.145, 0.049)), _C)),
    9: ("BT.2020", (((0.708, 0.292), (0.17, 0.797), (0.131, 0.046)), _D65)),
    10: ("CIE XYZ", (((1.0, 0.0), (0.0, 1.0), (0.0, 0.0)), _E)),
    11: ("DCI-P3", (((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)), (0.314, 0.351))),
    12: ("Display-P3", (((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)), _D65)),
    22: ("EBU 3213", (((0.63, 0.34), (0.295, 0.605), (0.155, 0.077)), _D65)),
}
_DISPLAY_P3 = 12
_UNSPECIFIED = 2
# The curves of cameras (BT.709, BT.601, BT.2020) are treated as sRGB's, as browsers do.
_SRGB_LIKE = {1, 2, 6, 13, 14, 15}
_CURVES: dict[int, Curve] = {
    **dict.fromkeys(_SRGB_LIKE, icc.SRGB_CURVE),
    4: icc.gamma(2.2),
    5: icc.gamma(2.8),
    8: icc.gamma(1.0),
    17: icc.gamma(2.6),
}
_HDR = {16: "PQ", 18: "HLG"}
_SRGB_GAMMA, _SRGB_CHROMATICITIES = 45455, (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_NARROW = "values of narrow range"


class Numbers(NamedTuple):
    """Code points of H.273 for samples of RGB or gray."""

    primaries: int
    transfer: int
    full_range: bool = True

    @property
    def only_png(self) -> str | None:
        """A name for colours that no profile describes, and so no format but PNG stores; None for others."""
        if self.transfer in _HDR:
            gamut = _GAMUTS.get(self.primaries)
            return f"HDR colours ({_HDR[self.transfer]}{', ' + gamut[0] if gamut else ''})"
        if not self.full_range:
            return _NARROW
        known = self.transfer in _CURVES and (self.primaries in _GAMUTS or self.primaries == _UNSPECIFIED)
        return None if known else f"colours of the numbers {self.primaries} and {self.transfer} (H.273)"


@dataclass(frozen=True)
class Colour:
    """The meaning of the samples of a picture; sRGB if all fields are empty."""

    icc: bytes | None = None
    """The ICC profile, for all formats but PNG."""
    png: tuple[Chunk, ...] = ()
    """The chunks for PNG; the profile alone if there are none."""
    only_png: str | None = None
    """A name for the colours if only PNG can store them, as HDR."""

    def chunks(self, *, gray: bool) -> list[Chunk]:
        """The chunks for a PNG. A gray one takes no profile of RGB, and one of RGB no profile of gray."""
        if self.png:
            return list(self.png)
        return [icc_chunk(self.icc)] if self.icc and fits(self.icc, gray=gray) else []


def fits(profile: bytes, *, gray: bool) -> bool:
    """Whether a profile is one of gray, or of RGB."""
    return profile[16:20] == (b"GRAY" if gray else b"RGB ")


def of_numbers(numbers: Numbers, light: tuple[Chunk, ...], *, gray: bool) -> Colour:
    """The colour of AVIF and HEIC from their code points. light: the PNG chunks for the light of HDR."""
    chunk = (b"cICP", bytes([numbers.primaries & 255, numbers.transfer & 255, 0, numbers.full_range]))
    profile = _profile_of_numbers(numbers, gray=gray)
    if profile is None and numbers.only_png is None:
        return Colour()  # sRGB
    return Colour(profile, (chunk, *light, *([icc_chunk(profile)] if profile else [])), numbers.only_png)


def of_png(chunks: dict[bytes, bytes], own: bytes | None, *, gray: bool) -> Colour:
    """The colour of a PNG: cICP counts most, then the profile `own`, then sRGB, then gAMA and cHRM."""
    kept = tuple(chunks.items())
    coded = chunks.get(b"cICP", b"")
    if len(coded) == 4:
        numbers = Numbers(coded[0], coded[1], coded[3] == 1)
        profile = _profile_of_numbers(numbers, gray=gray)
        fallback = () if own or profile is None else (icc_chunk(profile),)
        return Colour(profile, kept + fallback, numbers.only_png)
    if own:
        return Colour(own, kept)
    profile = None if b"sRGB" in chunks else _profile_of_gamma(chunks, gray=gray)
    return Colour(profile, kept)


def of_tiff(own: bytes | None, tags: "TiffColour", *, gray: bool) -> Colour:
    """The colour of a TIFF: its profile `own`, or its white point, primaries and transfer function."""
    if own or not (tags.curves or tags.gamut):
        return Colour(own)
    curves = tags.curves or [icc.gamma(2.2)]  # TIFF's default
    return Colour(_profile("TIFF", tags.gamut or _BT709, curves, gray=gray))


def adobe_rgb() -> Colour:
    """The colour of files without a profile whose EXIF states Adobe RGB."""
    return Colour(icc.rgb_profile("Adobe RGB (1998)", *_ADOBE_RGB, [icc.gamma(563 / 256)]))


@dataclass(frozen=True)
class TiffColour:
    """The tags WhitePoint and PrimaryChromaticities, TransferFunction."""

    gamut: _Gamut | None = None
    curves: tuple[Curve, ...] = ()


def _profile_of_numbers(numbers: Numbers, *, gray: bool) -> bytes | None:
    """The profile of code points; None for sRGB, and for colours that no profile describes."""
    if numbers.only_png or (numbers.transfer in _SRGB_LIKE and (gray or numbers.primaries in (1, _UNSPECIFIED))):
        return None
    if numbers.primaries == _DISPLAY_P3 and numbers.transfer in _SRGB_LIKE:
        return vips.builtin_profile("p3")
    name, gamut = _GAMUTS.get(numbers.primaries, _GAMUTS[1])
    return _profile(name, gamut, [_CURVES[numbers.transfer]], gray=gray)


def _profile_of_gamma(chunks: dict[bytes, bytes], *, gray: bool) -> bytes | None:
    """The profile of gAMA and cHRM; None if they are missing, invalid, or those of sRGB."""
    gamma, corners = chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b"")
    value = struct.unpack(">I", gamma)[0] if len(gamma) == 4 else 0
    numbers = struct.unpack(">8I", corners) if len(corners) == 32 else _SRGB_CHROMATICITIES
    same_gamut = gray or all(abs(a - b) <= 100 for a, b in zip(numbers, _SRGB_CHROMATICITIES, strict=True))
    if (not value or abs(value - _SRGB_GAMMA) <= 100) and same_gamut:
        return None
    curve = icc.gamma(100000 / value) if value else icc.SRGB_CURVE
    white, red, green, blue = ((x / 100000, y / 100000) for x, y in zip(numbers[::2], numbers[1::2], strict=True))
    return _profile("PNG", ((red, green, blue), white), [curve], gray=gray)


def _profile(name: str, gamut: _Gamut, curves: "list[Curve] | tuple[Curve, ...]", *, gray: bool) -> bytes | None:
    """None if the primaries are invalid."""
    try:
        return icc.gray_profile(name, curves[0]) if gray else icc.rgb_profile(name, *gamut, curves)
    except (ValueError, ArithmeticError, struct.error):
        return None
