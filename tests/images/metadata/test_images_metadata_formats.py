"""Every block, from every format that is read, into every format that is written, as exiftool reads them."""

from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from support import heic_samples
from support.exiftool import ExifTool
from support.picture_files import copy, smooth, values

pytestmark = pytest.mark.exiftool

SOURCES = ["jpg", "png", "webp", "tif", "heic", "avif", "jp2"]
IPTC_SOURCES = ["jpg", "png", "tif", "jp2"]
RESULTS = ["jpg", "png", "webp", "tif"]
EXIF = {
    "IFD0:Make": "Acme",
    "IFD0:Artist": "Jane",
    "IFD0:Copyright": "(c) Jemand",
    "IFD0:XResolution": 300,
    "IFD0:YResolution": 240,
    "IFD0:ResolutionUnit": 2,
    "ExifIFD:DateTimeOriginal": "2021:02:03 04:05:06",
    "ExifIFD:ExposureTime": 0.004,
    "ExifIFD:UserComment": "words",
    "GPS:GPSLatitudeRef": "N",
    "GPS:GPSLatitude": 48.125,
}
XMP = {"XMP-dc:Title": "Titel", "XMP-xmp:Rating": 4, "XMP-photoshop:City": "Köln"}
IPTC = {"IPTC:Caption-Abstract": "words", "IPTC:Keywords": ["one", "two"], "IPTC:City": "Koeln"}


def assignments(tags: dict[str, object]) -> list[str]:
    return [f"-{tag}#={one}" for tag, value in tags.items() for one in (value if isinstance(value, list) else [value])]


def bare(path: Path) -> Path:
    """A picture that says nothing of itself."""
    if path.suffix == ".heic":
        path.write_bytes(heic_samples.deep())
    else:
        Image.fromarray(smooth()).save(path)
    return path


Tags = dict[str, dict[str, object]]
"""For every source and result ("jpg png") the tags that exiftool reads in the result, twice as large."""


def results(exiftool: ExifTool, folder: Path, *, full: bool) -> Tags:
    pairs: dict[str, Path] = {}
    for read in SOURCES:
        source = bare(folder / f"in.{read}")
        if full:
            exiftool.write(source, *assignments(EXIF | XMP | (IPTC if read in IPTC_SOURCES else {})))
        for result in RESULTS:
            pairs[f"{read} {result}"] = copy(source, folder / f"{read}.{result}", scale=2)
    return dict(zip(pairs, exiftool.read(*pairs.values()), strict=True))


@pytest.fixture(scope="module")
def written(exiftool: ExifTool, tmp_path_factory: pytest.TempPathFactory) -> Tags:
    return results(exiftool, tmp_path_factory.mktemp("full"), full=True)


@pytest.fixture(scope="module")
def written_bare(exiftool: ExifTool, tmp_path_factory: pytest.TempPathFactory) -> Tags:
    return results(exiftool, tmp_path_factory.mktemp("bare"), full=False)


def shared(tags: dict[str, object], expected: dict[str, object]) -> dict[str, object]:
    return {tag: tags.get(tag) for tag in expected}


@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("read", SOURCES)
def test_exif_and_xmp_survive_every_pair(written: Tags, read: str, result: str) -> None:
    tags = written[f"{read} {result}"]
    assert shared(tags, EXIF) == pytest.approx(EXIF)
    assert shared(tags, XMP) == XMP


@pytest.mark.parametrize("result", ["jpg", "png", "tif"])
@pytest.mark.parametrize("read", IPTC_SOURCES)
def test_iptc_survives_every_pair_that_can_hold_it(written: Tags, read: str, result: str) -> None:
    assert shared(written[f"{read} {result}"], IPTC) == IPTC


@pytest.mark.parametrize("result", RESULTS)
def test_a_gif_tells_in_xmp_and_comments(exiftool: ExifTool, tmp_path: Path, result: str) -> None:
    exiftool.write(bare(tmp_path / "in.gif"), "-Comment=by hand", *assignments(XMP))
    out = copy(tmp_path / "in.gif", tmp_path / f"out.{result}", scale=2)
    (tags,) = exiftool.read(out)
    assert shared(tags, XMP) == XMP
    places = (tags.get("PNG:Comment"), tags.get("ExifIFD:UserComment"), Image.open(out).info.get("comment"))
    assert "by hand" in places or b"by hand" in places


@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("read", SOURCES)
def test_nothing_is_made_up(written_bare: Tags, read: str, result: str) -> None:
    tags = written_bare[f"{read} {result}"]
    allowed = {
        "jpg": {"JFIF:JFIFVersion", "JFIF:ResolutionUnit", "JFIF:XResolution", "JFIF:YResolution"},
        "png": {f"PNG:{name}" for name in ("ImageWidth", "ImageHeight", "BitDepth", "ColorType", "Compression")}
        | {"PNG:Filter", "PNG:Interlace"},
        "webp": set(),
        "tif": {f"IFD0:{name}" for name in ("ImageWidth", "ImageHeight", "BitsPerSample", "Compression", "Predictor")}
        | {f"IFD0:{name}" for name in ("StripOffsets", "SamplesPerPixel", "RowsPerStrip", "StripByteCounts")}
        | {f"IFD0:{name}" for name in ("PhotometricInterpretation", "PlanarConfiguration", "SampleFormat")},
    }
    assert tags.keys() - allowed[result] == set()
    if result == "jpg":
        assert (tags["JFIF:ResolutionUnit"], tags["JFIF:XResolution"], tags["JFIF:YResolution"]) == (0, 1, 1)


def test_what_webp_cannot_hold_is_told(exiftool: ExifTool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exiftool.write(bare(tmp_path / "in.jpg"), *assignments(IPTC))
    for result in RESULTS:
        copy(tmp_path / "in.jpg", tmp_path / f"out.{result}")
    expected = f"'{tmp_path / 'in.jpg'}': not kept in '{tmp_path / 'out.webp'}': its IPTC (WebP has no place for it)"
    assert [record.getMessage() for record in caplog.records] == [expected]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
@pytest.mark.parametrize("result", RESULTS)
def test_pixels_are_as_without_metadata(exiftool: ExifTool, tmp_path: Path, result: str, mode: str) -> None:
    picture = Image.fromarray(smooth()).convert(mode)
    for name in ("bare", "full"):
        picture.save(tmp_path / f"{name}.png")
    exiftool.write(tmp_path / "full.png", *assignments(EXIF | XMP | IPTC))
    bare_out, full_out = (
        copy(tmp_path / f"{name}.png", tmp_path / f"{name}_out.{result}") for name in ("bare", "full")
    )
    assert np.array_equal(values(bare_out), values(full_out))
    assert np.array_equal(np.asarray(Image.open(bare_out)), np.asarray(Image.open(full_out)))


def test_photoshops_resources_stay_but_not_its_thumbnail(exiftool: ExifTool, tmp_path: Path) -> None:
    resources = b"".join(
        b"8BIM" + number.to_bytes(2, "big") + b"\0\0" + len(data).to_bytes(4, "big") + data + b"\0" * (len(data) % 2)
        for number, data in ((0x040B, b"https://example.org"), (0x040C, b"x" * 40), (0x040A, b"\1"))
    )
    bare(tmp_path / "in.jpg")
    data = (tmp_path / "in.jpg").read_bytes()
    segment = b"Photoshop 3.0\0" + resources
    (tmp_path / "in.jpg").write_bytes(
        data[:2] + b"\xff\xed" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]
    )
    for result in ("jpg", "png", "tif"):
        out = copy(tmp_path / "in.jpg", tmp_path / f"out.{result}")
        (tags,) = exiftool.read(out)
        assert (tags["Photoshop:URL"], tags["Photoshop:CopyrightFlag"]) == ("https://example.org", 1)
        assert "Photoshop:PhotoshopThumbnail" not in tags
        assert b"x" * 40 not in out.read_bytes()


def test_libvips_reads_every_block_too(exiftool: ExifTool, tmp_path: Path) -> None:
    exiftool.write(bare(tmp_path / "in.jpg"), *assignments(EXIF | XMP | IPTC))
    for result, names in {"jpg": "exif xmp iptc", "png": "exif xmp", "webp": "exif xmp", "tif": "xmp iptc"}.items():
        image = pyvips.Image.new_from_file(str(copy(tmp_path / "in.jpg", tmp_path / f"out.{result}")))
        for name in names.split():
            assert image.get_typeof(f"{name}-data"), (result, name)
