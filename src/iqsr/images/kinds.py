"""What a file is, told from its first bytes. Its name is never asked."""

import stat
from pathlib import Path

from iqsr.errors import PictureError
from iqsr.images import png

READABLE = "PNG, JPEG, WebP, TIFF, HEIC and AVIF are read"

_KNOWN = {
    "jpeg": (b"\xff\xd8\xff",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_REFUSED = {
    b"%PDF": "a PDF",
    b"BM": "a BMP",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"8BPS": "a Photoshop document",
    b"gimp xcf": "a GIMP document",
    b"qoif": "a QOI picture",
    b"v/1\x01": "an OpenEXR picture",
    b"#?RADIANCE": "a Radiance picture",
    b"\0\0\x01\0": "a Windows icon",
    b"PK\x03\x04": "a ZIP archive",
}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_HEAD = 512
_ANIMATED = "it is animated; save one frame of it as a picture first"


def kind_of(path: Path) -> str:
    """One of jpeg, png, webp, tiff, heic, avif. PictureError for anything else, which says what it is."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise PictureError(f"cannot read '{path}': it is a folder")
        if not stat.S_ISREG(mode):
            raise PictureError(f"cannot read '{path}': it is not a file")
        with path.open("rb") as file:
            head = file.read(_HEAD)
            kind = _known_kind(head)
            animated = kind == "png" and png.chunk(file, b"acTL") is not None  # libvips would read the first frame
    except OSError as error:
        raise PictureError(f"cannot read '{path}': {error.strerror or error}") from None
    if kind is None or animated:
        raise PictureError(f"cannot read '{path}': {_ANIMATED if animated else _refusal(head)}")
    return kind


def _known_kind(head: bytes) -> str | None:
    for kind, beginnings in _KNOWN.items():
        if head.startswith(beginnings):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        length = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[at : at + 4] for at in (8, *range(16, length, 4))}
        if brands & _AVIF_BRANDS:
            return "avif"
        if brands & _HEIC_BRANDS:
            return "heic"
    return None


def _refusal(head: bytes) -> str:
    if not head:
        return "the file is empty (0 bytes)"
    if head.startswith(b"GIF8"):
        return "it is a GIF, animated or not; save one frame of it as PNG first"
    for beginning, name in _REFUSED.items():
        if head.startswith(beginning):
            return f"it is {name}; {READABLE}"
    if b"<svg" in head.lower():
        return f"it is an SVG drawing; {READABLE}"
    if head[4:8] == b"ftyp":
        return f"it is a video or an unknown kind of HEIF; {READABLE}"
    if _is_text(head):
        return f"it is a text file, not a picture; {READABLE}"
    return f"it is not a picture that iqsr knows; {READABLE}"


def _is_text(head: bytes) -> bool:
    for cut in range(4):  # the last character may have lost up to three bytes
        try:
            text = head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return all(character.isprintable() or character in "\t\n\r\f\ufeff" for character in text)
    return False
