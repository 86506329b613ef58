"""What a file is, told from its first bytes. Its name is never asked."""

import re
import stat
from pathlib import Path

from iqsr.errors import PictureError
from iqsr.images import heif, png

READABLE = "PNG, JPEG, WebP, TIFF, HEIC, AVIF, BMP, GIF, PPM and JPEG 2000 are read"

_JPEG_LS = b"\xff\xd8\xff\xf7"
_KNOWN = {
    "jpeg": (b"\xff\xd8\xff",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "gif": (b"GIF87a", b"GIF89a"),
    "jp2": (b"\xff\x4f\xff\x51",),
}
_REFUSED = {
    b"%PDF": "a PDF",
    b"%!PS": "a PostScript file",
    b"\xc5\xd0\xd3\xc6": "a PostScript file",
    _JPEG_LS: "a JPEG-LS picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"II\xbc": "a JPEG XR picture",
    b"8BPS": "a Photoshop document",
    b"gimp xcf": "a GIMP document",
    b"qoif": "a QOI picture",
    b"v/1\x01": "an OpenEXR picture",
    b"#?R": "a Radiance picture",
    b"PF\n": "a map of floating-point numbers (PFM)",
    b"Pf\n": "a map of floating-point numbers (PFM)",
    b"DDS ": "a DirectDraw surface",
    b"SIMPLE  =": "a FITS file",
    b"\x01\xda": "an SGI picture",
    b"\0\0\x01\0": "a Windows icon",
    b"icns": "an icon of macOS",
    b"AT&TFORM": "a DjVu document",
    b"FUJIFILMCCD-RAW": "a camera's raw file",
    b"IIRO": "a camera's raw file",
    b"IIRS": "a camera's raw file",
    b"IIU\0": "a camera's raw file",
    b"II\x1a\0\0\0HEAPCCDR": "a camera's raw file",
    b"FOVb": "a camera's raw file",
    b"\0MRM": "a camera's raw file",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive (an SVGZ drawing?)",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself: run `git lfs pull`",
}
_JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_PNM = re.compile(rb"P[1-6]\s+(#|\d)|P7\n")
_HEAD = 512
_ANIMATED = "it is animated; save one frame of it as a picture first"


def kind_of(path: Path) -> str:
    """One of jpeg, png, webp, tiff, heic, avif, bmp, gif, pnm, jp2.

    PictureError for anything else, which says what it is.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise PictureError(f"cannot read '{path}': it is a folder")
        if not stat.S_ISREG(mode):
            raise PictureError(f"cannot read '{path}': it is not a file")
        with path.open("rb") as file:
            head = file.read(_HEAD)
            kind = _known_kind(head)
            animated = kind == "png" and png.is_animated(file)  # libvips would read the first frame
    except OSError as error:
        raise PictureError(f"cannot read '{path}': {error.strerror or error}") from None
    if kind is None or animated:
        raise PictureError(f"cannot read '{path}': {_ANIMATED if animated else _refusal(head)}")
    return kind


def _known_kind(head: bytes) -> str | None:
    for kind, beginnings in _KNOWN.items():
        if head.startswith(beginnings) and not head.startswith(_JPEG_LS):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        return heif.kind_of_brands(head)
    if head.startswith(_JP2_SIGNATURE) and head[20:24] not in (b"mjp2", b"jpm "):
        return "jp2"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "bmp"
    return "pnm" if _PNM.match(head) else None


def _refusal(head: bytes) -> str:
    if not head:
        return "the file is empty (0 bytes)"
    if head.startswith(_JP2_SIGNATURE):
        return "it is a video or a document of JPEG 2000; save one picture of it first"
    for beginning, name in _REFUSED.items():
        if head.startswith(beginning):
            return f"it is {name}; {READABLE}"
    if head.startswith(b"\0\0\2\0") and head[4:6] != b"\0\0":  # TGA begins alike and goes on with zeros
        return f"it is a Windows cursor; {READABLE}"
    if b"<svg" in head.lower():
        return f"it is an SVG drawing; {READABLE}"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "it is a web page (HTML), not a picture: was it a link to one that was downloaded?"
    if head[128:132] == b"DICM":
        return f"it is a DICOM file; {READABLE}"
    if head[4:12] == b"ftypcrx ":
        return f"it is a camera's raw file; {READABLE}"
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
