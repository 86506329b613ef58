"""The file formats of pictures and what their files are called."""

from pathlib import PurePath
from typing import NamedTuple


class FileFormat(NamedTuple):
    """A format that is read."""

    kind: str
    """as `kind_of` tells it"""
    name: str
    """for people"""
    suffixes: tuple[str, ...]
    """what its files are called, the usual one first"""
    aliases: tuple[str, ...] = ()
    """what they are also called, but never by iqsr"""
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
"""The default output first."""

PICTURE_SUFFIXES = frozenset(suffix for known in FORMATS for suffix in known.suffixes + known.aliases)
"""Files that are taken from a folder. A file that is named is tried whatever it is called."""

WRITTEN_SUFFIXES = tuple(suffix for known in FORMATS if known.is_written for suffix in known.suffixes)
"""Names of files that can be written."""

MUST_END = "its name must end in .png, .jpg, .webp or .tif"
"""What to say of other names."""

_OTHERS = "jxl jxr wdp hdp jls tga qoi ico cur icns pcx sgi rgb dds exr hdr pfm fits svg svgz psd psb xcf eps ai djvu"
_RAW = "dng cr2 cr3 crw nef nrw arw srf sr2 raf orf rw2 pef srw 3fr fff iiq rwl x3f mrw dcr kdc erf"
OTHER_PICTURES = frozenset(f".{name}" for name in f"{_OTHERS} {_RAW}".split())
"""Formats that are not read. Such files are passed over in a folder and counted; what is no picture is not."""


def format_of_kind(kind: str) -> FileFormat:
    """The format that `kind_of` tells of a file."""
    return next(known for known in FORMATS if known.kind == kind)


def suffixes_of(kind: str) -> tuple[str, ...]:
    """What files of a format are called that iqsr writes."""
    return format_of_kind(kind).suffixes


def suffix_for(path: PurePath, kind: str | None) -> str:
    """How the result of a picture is to end where its format is kept: as the source does, or as its content asks.

    kind: of the content, None where that is not known and the name has to do. A format that is not written gives PNG.
    """
    suffix = path.suffix.lower()
    if kind is None:
        return path.suffix if suffix in WRITTEN_SUFFIXES else FORMATS[0].suffixes[0]
    known = format_of_kind(kind)
    if not known.is_written:
        return FORMATS[0].suffixes[0]
    return path.suffix if suffix in known.suffixes else known.suffixes[0]


def is_named_otherwise(path: PurePath, kind: str) -> bool:
    """Whether a file is called like a picture of another format than its content has."""
    known, suffix = format_of_kind(kind), path.suffix.lower()
    return suffix in PICTURE_SUFFIXES | OTHER_PICTURES and suffix not in known.suffixes + known.aliases


def with_article(name: str) -> str:
    """A format's name as it is spoken: a JPEG, an AVIF."""
    return f"{'an' if name[0] == 'A' else 'a'} {name}"


def is_same_format(suffix: str, other: str) -> bool:
    """Whether files that end so are written in one format."""
    return any(suffix.lower() in known.suffixes and other.lower() in known.suffixes for known in FORMATS)
