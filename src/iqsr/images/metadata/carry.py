"""Carry the metadata of a source into a result, in the places that the format of the result has, and write it."""

from dataclasses import replace
from pathlib import Path

from iqsr.images.metadata import exif_block, jpeg_segments, png_chunks, tiff_tags, webp_chunks, xmp
from iqsr.images.metadata.blocks import Metadata, Text
from iqsr.images.metadata.colour import Colour, fits

PNG, JPEG, WEBP, TIFF = "PNG", "JPEG", "WebP", "TIFF"
_ASCII, _UNDEFINED = 2, 7
_FIELDS = {  # of the main directory
    "description": 270,
    "make": 271,
    "model": 272,
    "software": 305,
    "author": 315,
    "artist": 315,
    "copyright": 33432,
}
_USER_COMMENT = 0x9286
_COMMENT = "comment"
# Stable Diffusion's web interfaces write `parameters`, in JPEG and WebP into the user comment.
_COMMENTS = ("parameters", _COMMENT)


def carry(source: Metadata, format: str, before: tuple[int, int], size: tuple[int, int]) -> tuple[Metadata, list[str]]:
    """Make the metadata of a result: upright, with new dimensions, without a thumbnail.

    Texts of a PNG, and the resolution, go into EXIF if the format has no other place for them.

    Args:
        source: The metadata of the source.
        format: The format of the result: PNG, JPEG, WebP or TIFF.
        before: (width, height) of the source, upright, in pixels.
        size: (width, height) of the result in pixels.

    Returns:
        The blocks to write, and the names of the blocks that the result cannot keep.
    """
    dropped = list(source.dropped)
    exif = exif_block.updated(source.exif, before, size) if source.exif else None
    texts, unplaced = source.texts, list[str]()
    if format != PNG:
        exif, texts, unplaced = _texts_into_exif(exif, source.texts, with_comment=format != JPEG)
    if unplaced:
        dropped.append(f"{'the text' if len(unplaced) == 1 else 'the texts'} {', '.join(map(repr, unplaced))}")
    own, in_exif = source.resolution, exif_block.resolution(exif)
    resolution = (in_exif or own) if format == TIFF else (own or in_exif)
    if format == WEBP:
        if own and not in_exif:
            exif = exif_block.with_tags(exif, exif_block.resolution_tags(own), {})
        dropped += ["its IPTC (WebP has no place for it)"] if source.iptc else []
        dropped += ["Photoshop's resources (WebP has no place for them)"] if source.resources else []
    result = replace(
        source,
        exif=exif,
        xmp=xmp.updated(source.xmp, size) if source.xmp else None,
        resolution=resolution,
        texts=texts,
        dropped=(),
    )
    return result, dropped


def write_metadata(
    part: Path, format: str, blocks: Metadata, colour: Colour, *, size: tuple[int, int], gray: bool
) -> list[str]:
    """Write metadata and colour into a file that holds the pixels alone.

    Returns:
        The names of what the format cannot keep.

    Raises:
        OSError: The file cannot be written.
    """
    if format == PNG:
        png_chunks.write(part, blocks, colour.chunks(gray=gray))
        dropped = bool(colour.icc) and not colour.png and not fits(colour.icc or b"", gray=gray)
        return ["its colour profile (which is not one of " + ("gray)" if gray else "RGB)")] if dropped else []
    if format == JPEG:
        return jpeg_segments.write(part, blocks, colour.icc)
    if format == TIFF:
        return tiff_tags.write(part, blocks, colour.icc)
    webp_chunks.write(part, blocks, colour.icc, size)
    return []


def _texts_into_exif(
    exif: bytes | None, texts: tuple[Text, ...], *, with_comment: bool
) -> tuple[bytes | None, tuple[Text, ...], list[str]]:
    """Add texts to the EXIF fields of their meaning; fields that EXIF has already stay as they are.

    with_comment: whether the comment goes into EXIF, too, and not into a place of its own (JPEG).
    Returns the EXIF, the texts that stay texts, and the keywords of the texts that have no field.
    """
    main: dict[int, tuple[int, bytes]] = {}
    detail: dict[int, tuple[int, bytes]] = {}
    kept: list[Text] = []
    dropped: list[str] = []
    present = exif_block.texts(exif)
    for text in sorted(texts, key=lambda text: text.keyword.lower() == _COMMENT):  # parameters go first
        name = text.keyword.lower()
        tag = _FIELDS.get(name)
        if tag and tag not in main and present.get(tag, text.text) == text.text:
            main[tag] = (_ASCII, text.text.encode() + b"\0")
        elif name == _COMMENT and not with_comment:
            kept.append(text)
        elif name in _COMMENTS and _USER_COMMENT not in present and not detail:
            detail[_USER_COMMENT] = (_UNDEFINED, _user_comment(text.text))
        else:
            dropped.append(text.keyword)
    if main or detail:
        exif = exif_block.with_tags(exif, main, detail)
    return exif, tuple(kept), list(dict.fromkeys(dropped))


def _user_comment(text: str) -> bytes:
    """The value of UserComment: the name of the encoding, then the text (CIPA DC-008)."""
    return b"ASCII\0\0\0" + text.encode() if text.isascii() else b"UNICODE\0" + text.encode("utf-16-be")
