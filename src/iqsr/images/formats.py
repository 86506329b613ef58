"""The file formats of pictures: what their files are called, and which one a file has by its first bytes."""

import re
import stat
from pathlib import Path, PurePath
from typing import BinaryIO, NamedTuple

from iqsr.errors import PictureError
from iqsr.images.containers import find_png_chunk
from iqsr.io.remote import fetch


class FileFormat(NamedTuple):
    """A format that is read."""

    id: str
    """The name in code: what `detect_format` returns."""
    name: str
    """The name in messages."""
    suffixes: tuple[str, ...]
    """The suffixes that iqsr may write, the usual one first."""
    aliases: tuple[str, ...] = ()
    """Further suffixes, which are read but never written."""
    is_written: bool = False


FORMATS = (
    FileFormat("png", "PNG", (".png", ".apng"), is_written=True),
    FileFormat("jpeg", "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi"), (".mpo",), is_written=True),
    FileFormat("webp", "WebP", (".webp",), is_written=True),
    FileFormat("tiff", "TIFF", (".tif", ".tiff"), (".btf", ".tf8"), is_written=True),
    FileFormat("heic", "HEIC", (".heic", ".heif", ".hif"), (".heics", ".heifs")),
    FileFormat("avif", "AVIF", (".avif", ".avifs"), (".heif", ".hif", ".heifs")),
    FileFormat("bmp", "BMP", (".bmp", ".dib")),
    FileFormat("gif", "GIF", (".gif",)),
    FileFormat("pnm", "PPM or PGM", (".ppm", ".pgm", ".pbm", ".pnm", ".pam")),
    FileFormat("jp2", "JPEG 2000", (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".jph", ".jhc")),
)
"""Every format that is read; the default output comes first."""

PICTURE_SUFFIXES = frozenset(suffix for known in FORMATS for suffix in known.suffixes + known.aliases)
"""Suffixes of the files that are taken from a folder. A file that the user names may have any suffix."""

WRITTEN_SUFFIXES = tuple(suffix for known in FORMATS if known.is_written for suffix in known.suffixes)
"""Suffixes of the files that can be written."""

MUST_END = "its name must end in .png, .jpg, .webp or .tif"
"""The end of the message for another suffix."""

_OTHERS = "jxl jxr wdp hdp jls tga qoi ico cur icns pcx sgi rgb dds exr hdr pfm fits svg svgz psd psb xcf eps ai djvu"
_RAW = "dng cr2 cr3 crw nef nrw arw srf sr2 raf orf rw2 pef srw 3fr fff iiq rwl x3f mrw dcr kdc erf"
OTHER_PICTURES = frozenset(f".{name}" for name in f"{_OTHERS} {_RAW}".split())
"""Suffixes of pictures in formats that are not read. Such files in a folder are skipped and counted."""

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
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"}


def detect_format(path: Path) -> str:
    """Detect the format of a file by its first bytes; its name does not count.

    Returns:
        The id of one of `FORMATS`: jpeg, png, webp, tiff, heic, avif, bmp, gif, pnm or jp2.

    Raises:
        PictureError: The file has another format, which the message names, or cannot be read.
    """
    fetch(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise PictureError(f"cannot read '{path}': it is a folder")
        if not stat.S_ISREG(mode):
            raise PictureError(f"cannot read '{path}': it is not a file")
        with path.open("rb") as file:
            head = file.read(_HEAD)
            format = _matching_format(head)
            animated = format == "png" and _is_animated_png(file)  # libvips would read the first frame
    except OSError as error:
        raise PictureError(f"cannot read '{path}': {error.strerror or error}") from None
    if format is None or animated:
        raise PictureError(f"cannot read '{path}': {_ANIMATED if animated else _refusal(head)}")
    return format


def format_by_id(format: str) -> FileFormat:
    """The format with this id."""
    return next(known for known in FORMATS if known.id == format)


def suffixes_of(format: str) -> tuple[str, ...]:
    """The suffixes that iqsr may give files of a format."""
    return format_by_id(format).suffixes


def suffix_for(path: PurePath, format: str | None) -> str:
    """The suffix of a result in the format of its source: the source's own suffix if it fits the content.

    format: the id of the content's format; None if it is unknown, so that the name alone counts.
    A format that is not written gives .png.
    """
    suffix = path.suffix.lower()
    if format is None:
        return path.suffix if suffix in WRITTEN_SUFFIXES else FORMATS[0].suffixes[0]
    known = format_by_id(format)
    if not known.is_written:
        return FORMATS[0].suffixes[0]
    return path.suffix if suffix in known.suffixes else known.suffixes[0]


def is_named_otherwise(path: PurePath, format: str) -> bool:
    """Whether the suffix of a file belongs to another picture format than its content."""
    known, suffix = format_by_id(format), path.suffix.lower()
    return suffix in PICTURE_SUFFIXES | OTHER_PICTURES and suffix not in known.suffixes + known.aliases


def with_article(name: str) -> str:
    """The name of a format with its article: a JPEG, an AVIF."""
    return f"{'an' if name[0] == 'A' else 'a'} {name}"


def is_same_format(suffix: str, other: str) -> bool:
    """Whether two suffixes are written in the same format."""
    return any(suffix.lower() in known.suffixes and other.lower() in known.suffixes for known in FORMATS)


def _matching_format(head: bytes) -> str | None:
    for format, beginnings in _KNOWN.items():
        if head.startswith(beginnings) and not head.startswith(_JPEG_LS):
            return format
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        return _heif_format(head)
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


def _heif_format(head: bytes) -> str | None:
    """avif, heic or None, by the brands in the first box of a HEIF file."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[at : at + 4] for at in (8, *range(16, length, 4))}
    if brands & _AVIF_BRANDS:
        return "avif"
    return "heic" if brands & _HEIC_BRANDS else None


def _is_animated_png(file: BinaryIO) -> bool:
    """Whether a PNG has frames besides its still picture (APNG)."""
    control = find_png_chunk(file, b"acTL")
    if control is None:
        return False
    return int.from_bytes(control[:4], "big") != 1 or find_png_chunk(file, b"fcTL") is None
