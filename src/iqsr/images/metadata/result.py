"""The metadata of a result: what of a source's is still true, in the places that the result's format has."""

from dataclasses import replace
from pathlib import Path

from iqsr.images.metadata import exif_block, jpeg_segments, png_chunks, texts, tiff_tags, webp_chunks, xmp
from iqsr.images.metadata.blocks import Metadata
from iqsr.images.metadata.colour import Colour, fits

PNG, JPEG, WEBP, TIFF = "PNG", "JPEG", "WebP", "TIFF"


def for_result(
    source: Metadata, format: str, before: tuple[int, int], size: tuple[int, int]
) -> tuple[Metadata, list[str]]:
    """Blocks for a result of `size` = (width, height) in PNG, JPEG, WebP or TIFF, and what is lost on the way.

    before: the source's size as seen.

    Upright, new dimensions, no thumbnail. A text of a PNG, and a resolution, go into EXIF where the format has
    no other place for them.
    """
    lost = list(source.left_out)
    exif = exif_block.updated(source.exif, before, size) if source.exif else None
    kept, missing = source.texts, list[str]()
    if format != PNG:
        exif, kept, missing = texts.into_exif(exif, source.texts, with_comment=format != JPEG)
    if missing:
        lost.append(f"{'the text' if len(missing) == 1 else 'the texts'} {', '.join(map(repr, missing))}")
    said, in_exif = source.resolution, exif_block.resolution(exif)
    resolution = (in_exif or said) if format == TIFF else (said or in_exif)
    if format == WEBP:
        if said and not in_exif:
            exif = exif_block.with_tags(exif, exif_block.resolution_tags(said), {})
        lost += ["its IPTC (WebP has no place for it)"] if source.iptc else []
        lost += ["Photoshop's resources (WebP has no place for them)"] if source.resources else []
    result = replace(
        source,
        exif=exif,
        xmp=xmp.updated(source.xmp, size) if source.xmp else None,
        resolution=resolution,
        texts=kept,
        left_out=(),
    )
    return result, lost


def write(part: Path, format: str, blocks: Metadata, colour: Colour, *, size: tuple[int, int], gray: bool) -> list[str]:
    """Put blocks and colour into a file that holds the pixels alone. Returns what is lost. OSError."""
    if format == PNG:
        png_chunks.write(part, blocks, colour.chunks(gray=gray))
        lost = bool(colour.icc) and not colour.png and not fits(colour.icc or b"", gray=gray)
        return ["its colour profile (which is not one of " + ("gray)" if gray else "RGB)")] if lost else []
    if format == JPEG:
        return jpeg_segments.write(part, blocks, colour.icc)
    if format == TIFF:
        return tiff_tags.write(part, blocks, colour.icc)
    webp_chunks.write(part, blocks, colour.icc, size)
    return []
