"""XMP in detail: longer than a segment of JPEG, compressed, with a size and an orientation of its own."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import tifffile
from PIL import Image

from support.exiftool import ExifTool
from support.picture_files import copy, smooth
from support.png_samples import write_png

pytestmark = pytest.mark.exiftool

RESULTS = ["jpg", "png", "webp", "tif"]
HEAD = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    b'xmlns:xmp="http://ns.adobe.com/xap/1.0/">'
)
TAIL = b"</rdf:RDF></x:xmpmeta>"


def description(**properties: str) -> bytes:
    inside = "".join(f"<dc:{name}>{value}</dc:{name}>" for name, value in properties.items())
    text = f'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">{inside}</rdf:Description>'
    return text.encode()


def png_with_xmp(path: Path, xmp: bytes, *, compressed: bool = False) -> Path:
    head = b"XML:com.adobe.xmp\0" + (b"\1\0" if compressed else b"\0\0") + b"\0\0"
    return write_png(path, smooth(), [(b"iTXt", head + (zlib.compress(xmp) if compressed else xmp))])


@pytest.mark.parametrize("length", [60_100, 65_000, 66_000, 200_000])
def test_long_xmp_goes_into_every_format_and_back(exiftool: ExifTool, tmp_path: Path, length: int) -> None:
    source = "ä" * (length // 2)
    xmp = HEAD + description(source=source, format="one") + description(identifier="two") + TAIL
    png_with_xmp(tmp_path / "in.png", xmp)
    first = [copy(tmp_path / "in.png", tmp_path / f"out.{result}") for result in RESULTS]
    second = [copy(first[0], tmp_path / f"again.{result}") for result in RESULTS]
    third = copy(second[0], tmp_path / "third.jpg")
    for tags in exiftool.read(*first, *second, third):
        assert tags["XMP-dc:Source"] == source
        assert (tags["XMP-dc:Format"], tags["XMP-dc:Identifier"]) == ("one", "two")
        assert not any("Warning" in tag for tag in tags)
    assert third.stat().st_size < first[0].stat().st_size + 500


def test_what_fits_stays_in_the_segment_that_all_programs_read(tmp_path: Path) -> None:
    xmp = HEAD + description(source="a" * 70_000) + description(identifier="two") + TAIL
    out = copy(png_with_xmp(tmp_path / "in.png", xmp), tmp_path / "out.jpg")
    packet = Image.open(out).info["xmp"]
    assert b"two" in packet
    assert b"HasExtendedXMP" in packet
    assert b"aaaa" not in packet


def test_extended_xmp_of_others_is_read(exiftool: ExifTool, tmp_path: Path) -> None:
    Image.fromarray(smooth()).save(tmp_path / "in.jpg")
    (tmp_path / "long.txt").write_text("x" * 150_000)
    exiftool.write(
        tmp_path / "in.jpg", f"-XMP-dc:Source<={tmp_path / 'long.txt'}", "-XMP-dc:Title=Titel", "-XMP-xmp:Rating=3"
    )
    assert b"http://ns.adobe.com/xmp/extension/" in (tmp_path / "in.jpg").read_bytes()
    for tags in exiftool.read(*(copy(tmp_path / "in.jpg", tmp_path / f"out.{result}") for result in RESULTS)):
        assert len(str(tags["XMP-dc:Source"])) == 150_000
        assert (tags["XMP-dc:Title"], tags["XMP-xmp:Rating"]) == ("Titel", 3)
        assert "XMP-xmpNote:HasExtendedXMP" not in tags or tags["XMP-xmpNote:HasExtendedXMP"]


def test_an_extension_that_is_incomplete_is_told(
    exiftool: ExifTool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(smooth()).save(tmp_path / "in.jpg")
    (tmp_path / "long.txt").write_text("x" * 150_000)
    exiftool.write(tmp_path / "in.jpg", f"-XMP-dc:Source<={tmp_path / 'long.txt'}", "-XMP-dc:Title=Titel")
    data = bytearray((tmp_path / "in.jpg").read_bytes())
    at = data.rindex(b"http://ns.adobe.com/xmp/extension/")
    data[at : at + 4] = b"gone"  # the last segment of the extension
    (tmp_path / "in.jpg").write_bytes(data)
    (tags,) = exiftool.read(copy(tmp_path / "in.jpg", tmp_path / "out.png"))
    assert tags["XMP-dc:Title"] == "Titel"
    assert "the damaged extension of its XMP" in caplog.text


def test_xmp_that_cannot_be_divided_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    png_with_xmp(tmp_path / "in.png", HEAD + b"<not closed>" + b"a" * 70_000)
    out = copy(tmp_path / "in.png", tmp_path / "out.jpg")
    assert "xmp" not in Image.open(out).info
    assert "not kept" in caplog.text
    assert "its XMP (JPEG holds 65,502 bytes of what cannot be divided)" in caplog.text


@pytest.mark.parametrize("result", RESULTS)
def test_compressed_xmp_is_read(exiftool: ExifTool, tmp_path: Path, result: str) -> None:
    png_with_xmp(tmp_path / "in.png", HEAD + description(source="here") + TAIL, compressed=True)
    (tags,) = exiftool.read(copy(tmp_path / "in.png", tmp_path / f"out.{result}"))
    assert tags["XMP-dc:Source"] == "here"


def test_a_bomb_of_compressed_text_is_passed_over(exiftool: ExifTool, tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(80 << 20), 9)
    write_png(tmp_path / "in.png", smooth(), [(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb)])
    (tags,) = exiftool.read(copy(tmp_path / "in.png", tmp_path / "out.jpg"))
    assert not any(tag.startswith("XMP") for tag in tags)


@pytest.mark.parametrize("attributes", [False, True])
@pytest.mark.parametrize("result", RESULTS)
def test_size_and_orientation_are_those_of_the_result(
    exiftool: ExifTool, tmp_path: Path, result: str, attributes: bool
) -> None:
    names = {"tiff:Orientation": 6, "tiff:ImageWidth": 67, "tiff:ImageLength": 41}
    names |= {"exif:PixelXDimension": 67, "exif:PixelYDimension": 41}
    spaces = 'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
    said = "".join(f' {name}="{value}"' for name, value in names.items()) if attributes else ""
    inside = "" if attributes else "".join(f"<{name}>{value}</{name}>" for name, value in names.items())
    text = f'<rdf:Description rdf:about="" {spaces}{said}>{inside}</rdf:Description>'
    png_with_xmp(tmp_path / "in.png", HEAD + text.encode() + TAIL)
    (tags,) = exiftool.read(copy(tmp_path / "in.png", tmp_path / f"out.{result}", scale=2))
    assert (tags["XMP-tiff:Orientation"], tags["XMP-tiff:ImageWidth"], tags["XMP-tiff:ImageHeight"]) == (1, 134, 82)
    assert (tags["XMP-exif:ExifImageWidth"], tags["XMP-exif:ExifImageHeight"]) == (134, 82)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "size"), [("B", 1), ("s", 1), ("H", 2), ("I", 4)])
@pytest.mark.parametrize("result", ["webp", "tif"])
def test_a_tiffs_xmp_is_read_whatever_type_its_tag_has(
    exiftool: ExifTool, tmp_path: Path, order: Literal["<", ">"], kind: str, size: int, result: str
) -> None:
    xmp = HEAD + description(source="a label") + TAIL
    xmp += bytes(-len(xmp) % 4)
    value = xmp if size == 1 else np.frombuffer(xmp, f"{order}u{size}").tolist()
    tag = (700, kind, len(xmp) // size, value, True)
    tifffile.imwrite(tmp_path / "in.tif", smooth(), photometric="rgb", byteorder=order, extratags=[tag])
    assert exiftool.read(copy(tmp_path / "in.tif", tmp_path / f"out.{result}"))[0]["XMP-dc:Source"] == "a label"


# Where XMP may stand alone


PACKET = HEAD + description(source="alone") + TAIL


def resource(number: int, data: bytes) -> bytes:
    """One of Photoshop's image resources, without a name."""
    return b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + bytes(len(data) % 2)


def jpeg_with_resources(path: Path, resources: bytes) -> None:
    Image.fromarray(smooth()).save(path, "JPEG")
    body, data = b"Photoshop 3.0\0" + resources, path.read_bytes()
    path.write_bytes(data[:2] + struct.pack(">BBH", 0xFF, 0xED, 2 + len(body)) + body + data[2:])


def tiff_with_resources(path: Path, resources: bytes) -> None:
    tifffile.imwrite(path, smooth(), extratags=[(34377, 1, len(resources), resources, True)])


def png_with_resources(path: Path, resources: bytes) -> None:
    text = f"\n8bim\n{len(resources):8}\n{resources.hex()}\n".encode()
    write_png(path, smooth(), [(b"zTXt", b"Raw profile type 8bim\0\0" + zlib.compress(text))])


WITH_RESOURCES: dict[str, Callable[[Path, bytes], None]] = {
    "jpeg": jpeg_with_resources,
    "tiff": tiff_with_resources,
    "png": png_with_resources,
}


@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("format", WITH_RESOURCES)
def test_xmp_that_only_photoshops_resources_have_is_kept(
    exiftool: ExifTool, tmp_path: Path, format: str, result: str
) -> None:
    WITH_RESOURCES[format](tmp_path / "in", resource(0x0424, PACKET))
    (tags,) = exiftool.read(copy(tmp_path / "in", tmp_path / f"out.{result}"))
    assert tags["XMP-dc:Source"] == "alone"


@pytest.mark.parametrize("format", WITH_RESOURCES)
def test_exif_that_only_photoshops_resources_have_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, format: str
) -> None:
    source, out = tmp_path / "in", tmp_path / "out.png"
    other = resource(0x0BB7, bytes(80))
    WITH_RESOURCES[format](source, other + resource(0x0422, b"MM\0*\0\0\0\x08\0\0\0\0\0\0"))
    copy(source, out)
    if format == "tiff":  # whose own tags become EXIF
        assert not caplog.messages
    else:
        assert caplog.messages == [f"'{source}': not kept in '{out}': the EXIF in its Photoshop resources"]


@pytest.mark.parametrize("subfiletype", [1, 4])  # a thumbnail, a mask
@pytest.mark.parametrize("result", RESULTS)
def test_xmp_that_only_a_later_page_of_a_tiff_has_is_kept(
    exiftool: ExifTool, tmp_path: Path, result: str, subfiletype: int
) -> None:
    with tifffile.TiffWriter(tmp_path / "in.tif") as file:
        file.write(smooth(), subfiletype=0)
        file.write(smooth()[::2, ::2, 0], subfiletype=1)
        file.write(
            smooth()[..., 0] > 128,
            subfiletype=subfiletype,
            description="of the mask",
            extratags=[(700, 1, len(PACKET), PACKET, True)],
        )
    (tags,) = exiftool.read(copy(tmp_path / "in.tif", tmp_path / f"out.{result}"))
    assert tags["XMP-dc:Source"] == "alone"
    assert "of the mask" not in str(tags)
