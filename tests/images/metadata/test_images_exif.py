"""EXIF in detail: what enlarging changes, what must not move, what is too long; resolution and its units."""

import io
import struct
from pathlib import Path

import pytest
import tifffile
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import IFDRational

from iqsr.images import open_picture
from support.exiftool import ExifTool
from support.picture_files import copy, smooth, values
from support.png_samples import write_png

RESULTS = ["jpg", "png", "webp", "tif"]


def block(order: str, main: list[tuple[int, int, bytes]], detail: list[tuple[int, int, bytes]]) -> bytes:
    """EXIF of a main and an EXIF directory; values in the byte order given, the long ones behind the directories."""

    def directory(tags: list[tuple[int, int, bytes]], at: int) -> bytes:
        unit = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}
        entries, values = struct.pack(order + "H", len(tags)), b""
        behind = at + 2 + 12 * len(tags) + 4
        for tag, kind, value in sorted(tags):
            entries += struct.pack(order + "HHI", tag, kind, len(value) // unit[kind])
            if len(value) <= 4:
                entries += value.ljust(4, b"\0")
            else:
                entries += struct.pack(order + "I", behind + len(values))
                values += value + b"\0" * (len(value) % 2)
        return entries + bytes(4) + values

    first = directory([*main, (0x8769, 4, struct.pack(order + "I", 0))], 8)
    second = 8 + len(first)
    first = directory([*main, (0x8769, 4, struct.pack(order + "I", second))], 8)
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return header + first + directory(detail, second)


def save(path: Path, exif: bytes) -> None:
    Image.fromarray(smooth()).save(path, exif=b"Exif\0\0" + exif)


def maker_note(at: int) -> bytes:
    """As Canon's: a directory whose values stand at offsets from the beginning of the EXIF."""
    owner = b"Owner Jane\0\0"
    entry = struct.pack("<HHHII", 1, 0x0009, 2, len(owner), at + 18)
    return entry + bytes(4) + owner


def with_maker_note() -> bytes:
    for at in range(2000):  # where the block places it, which depends on what comes before
        made = block(
            "<", [(0x010F, 2, b"Canon\0")], [(0x927C, 7, maker_note(at)), (0x9003, 2, b"2021:02:03 04:05:06\0")]
        )
        if made.find(maker_note(at)) == at:
            return made
    raise AssertionError


@pytest.mark.exiftool
@pytest.mark.parametrize("read", ["jpg", "png", "webp"])
def test_a_maker_note_is_still_read(exiftool: ExifTool, tmp_path: Path, read: str) -> None:
    save(tmp_path / f"in.{read}", with_maker_note())
    outs = [copy(tmp_path / f"in.{read}", tmp_path / f"out.{result}", scale=2) for result in ("jpg", "png", "webp")]
    for tags in exiftool.read(*outs):
        assert tags["Canon:OwnerName"] == "Owner Jane"
        assert tags["ExifIFD:DateTimeOriginal"] == "2021:02:03 04:05:06"


def test_a_maker_note_that_cannot_move_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "in.jpg", with_maker_note())
    out = copy(tmp_path / "in.jpg", tmp_path / "out.tif")
    assert Image.open(out).getexif()[0x010F] == "Canon"
    assert 0x927C not in Image.open(out).getexif().get_ifd(0x8769)
    assert "its maker note" in caplog.text


@pytest.mark.parametrize("result", RESULTS)
def test_a_maker_note_with_offsets_of_its_own_goes_everywhere(tmp_path: Path, result: str) -> None:
    note = b"Apple iOS\0\0\1MM" + bytes(range(80))
    made = block(">", [(0x010F, 2, b"Apple\0")], [(0x927C, 7, note)])
    save(tmp_path / "in.jpg", made)
    first = copy(tmp_path / "in.jpg", tmp_path / f"first.{result}")
    for path in (first, copy(first, tmp_path / "second.png")):
        assert Image.open(path).getexif().get_ifd(0x8769)[0x927C] == note


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("result", RESULTS)
def test_byte_orders_and_every_statement_of_the_size(tmp_path: Path, order: str, result: str) -> None:
    short = lambda value: struct.pack(order + "H", value)  # noqa: E731
    main = [(0x0100, 3, short(67)), (0x0101, 3, short(41)), (0x0112, 3, short(1)), (0x013B, 2, b"Jane\0")]
    made = block(
        order, main, [(0xA002, 3, short(67)), (0xA003, 3, short(41)), (0x9204, 5, struct.pack(order + "II", 1, 3))]
    )
    save(tmp_path / "in.jpg", made)
    exif = Image.open(copy(tmp_path / "in.jpg", tmp_path / f"out.{result}", scale=2)).getexif()
    detail = exif.get_ifd(0x8769)
    assert (detail[0xA002], detail[0xA003]) == (134, 82)
    assert (exif[0x0100], exif[0x0101], exif[0x013B]) == (134, 82, "Jane")
    assert detail[0x9204] == IFDRational(1, 3)


def test_a_side_beyond_16_bits_is_told_right(tmp_path: Path) -> None:
    made = block(">", [(0x010F, 2, b"A\0")], [(0xA002, 3, b"\0\x43"), (0xA003, 3, b"\0\x29")])
    save(tmp_path / "in.png", made)
    out = copy(tmp_path / "in.png", tmp_path / "out.png", size=(70_000, 2))
    assert Image.open(out).getexif().get_ifd(0x8769)[0xA002] == 70_000


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_places_in_pixels_stay_where_they_are_in_the_picture(tmp_path: Path, orientation: int, order: str) -> None:
    pixels = smooth()
    pixels[30:34, 12:14] = 255  # the subject, 2 x 4 pixels around (13, 32)
    pack = lambda kind, *values: struct.pack(f"{order}{len(values)}{kind}", *values)  # noqa: E731
    plane = (pack("I", 5000, 3), pack("I", 5000, 3))
    detail = [
        (0x9214, 3, pack("H", 13, 32, 2, 4)),
        (0xA214, 3, pack("H", 13, 32)),
        (0xA20E, 5, plane[0]),
        (0xA20F, 5, plane[1]),
    ]
    made = block(order, [(0x0112, 3, pack("H", orientation))], detail)
    Image.fromarray(pixels).save(tmp_path / "in.png", exif=made)
    out = copy(tmp_path / "in.png", tmp_path / "out.png", scale=3)
    read = Image.open(out).getexif().get_ifd(0x8769)
    rows, columns = (
        axis.nonzero()[0] for axis in ((values(out) == 255).all(2).any(1), (values(out) == 255).all(2).any(0))
    )
    x, y, width, height = read[0x9214]
    assert (x - width / 2, x + width / 2) == (columns[0], columns[-1] + 1)
    assert (y - height / 2, y + height / 2) == (rows[0], rows[-1] + 1)
    assert read[0xA214] == (x, y)
    assert read[0xA20E] == read[0xA20F] == 5000


def test_long_exif_is_whole_but_in_jpeg(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = block(">", [(0x010F, 2, b"Acme\0")], [(0x9286, 7, b"ASCII\0\0\0" + b"x" * 200_000)])
    save(tmp_path / "in.png", made)
    for result in ("png", "webp", "tif"):
        exif = Image.open(copy(tmp_path / "in.png", tmp_path / f"out.{result}")).getexif()
        assert len(exif.get_ifd(0x8769)[0x9286]) == 200_008
    assert not caplog.records
    exif = Image.open(copy(tmp_path / "in.png", tmp_path / "out.jpg")).getexif()
    assert (exif[0x010F], exif.get_ifd(0x8769).get(0x9286)) == ("Acme", None)
    assert "UserComment of its EXIF (JPEG holds 65,527 bytes)" in caplog.text


def test_exif_that_makes_no_sense_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.fromarray(smooth()).save(tmp_path / "in.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert values(copy(tmp_path / "in.jpg", tmp_path / "out.png")).shape == (41, 67, 3)
    assert "not kept" in caplog.text
    assert "its EXIF (which makes no sense)" in caplog.text


def test_exif_behind_the_pixels_of_a_png_and_as_text(tmp_path: Path) -> None:
    made = block(">", [(0x010F, 2, b"Acme\0")], [(0x9003, 2, b"2021:02:03 04:05:06\0")])
    write_png(tmp_path / "behind.png", smooth(), behind=[(b"eXIf", made)])
    old = b"Exif\0\0" + made
    digits = b"\n".join(old.hex().encode()[at : at + 72] for at in range(0, 2 * len(old), 72))
    text = b"Raw profile type APP1\0\nexif\n%8d\n%s\n" % (len(old), digits)
    write_png(tmp_path / "text.png", smooth(), [(b"tEXt", text)])
    for name in ("behind", "text"):
        exif = Image.open(copy(tmp_path / f"{name}.png", tmp_path / f"{name}.jpg")).getexif()
        assert (exif[0x010F], exif.get_ifd(0x8769)[0x9003]) == ("Acme", "2021:02:03 04:05:06")


def test_webp_with_the_header_that_only_jpeg_needs(tmp_path: Path) -> None:
    made = block(">", [(0x010F, 2, b"Acme\0")], [])
    save(tmp_path / "in.webp", made)
    data = (tmp_path / "in.webp").read_bytes()
    at = data.index(b"EXIF") + 4
    longer = struct.pack("<I", len(made) + 6) + b"Exif\0\0" + data[at + 4 :]
    data = data[:4] + struct.pack("<I", len(data) + 6 - 8) + data[8:at] + longer
    (tmp_path / "in.webp").write_bytes(data)
    for result in RESULTS:
        assert Image.open(copy(tmp_path / "in.webp", tmp_path / f"out.{result}")).getexif()[0x010F] == "Acme"


def test_many_passes_do_not_grow_the_exif(tmp_path: Path) -> None:
    made = block("<", [(0x010F, 2, b"Acme\0"), (0x0112, 3, b"\6\0")], [(0xA002, 3, b"\x43\0"), (0xA003, 3, b"\x29\0")])
    save(tmp_path / "0.webp", made)
    for number in range(3):
        copy(tmp_path / f"{number}.webp", tmp_path / f"{number + 1}.webp")
    assert len(open_picture(tmp_path / "3.webp").info.metadata.exif or b"") == len(made)


def test_a_thumbnail_anywhere_is_gone(tmp_path: Path) -> None:
    small = io.BytesIO()
    Image.new("RGB", (16, 12), "red").save(small, "JPEG")
    made = bytearray(block("<", [(0x010F, 2, b"Acme\0")], [(0x9003, 2, b"2021:02:03 04:05:06\0")]))
    at = len(made)
    second = struct.pack("<HHHIIHHII", 2, 0x0201, 4, 1, at + 30, 0x0202, 4, 1, small.tell()) + bytes(4)
    made += second + small.getvalue() + b"behind it"
    struct.pack_into("<I", made, 8 + 2 + 2 * 12, at)
    save(tmp_path / "in.jpg", bytes(made))
    assert small.getvalue() in (tmp_path / "in.jpg").read_bytes()
    for result in RESULTS:
        out = copy(tmp_path / "in.jpg", tmp_path / f"out.{result}")
        assert small.getvalue()[:64] not in out.read_bytes()
        assert Image.open(out).getexif().get_ifd(0x8769)[0x9003] == "2021:02:03 04:05:06"


# Resolution


def dpi(path: Path) -> tuple[float, float] | None:
    """As the format itself says it; in EXIF where it has no place (WebP)."""
    picture = Image.open(path)
    if path.suffix == ".png":
        said = picture.info.get("dpi")
    elif path.suffix == ".jpg":  # not its "dpi", which is 72 where EXIF says nothing
        said = picture.info["jfif_density"] if picture.info["jfif_unit"] else None
    else:
        exif = picture.getexif()
        said = (exif[282], exif[283]) if 282 in exif else None
    return said if said is None else (float(said[0]), float(said[1]))


@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("read", ["jpg", "png", "tif"])
def test_resolution_goes_from_format_to_format(tmp_path: Path, read: str, result: str) -> None:
    Image.fromarray(smooth()).save(tmp_path / f"in.{read}", dpi=(300, 72))
    assert dpi(copy(tmp_path / f"in.{read}", tmp_path / f"out.{result}", scale=2)) == pytest.approx((300, 72), abs=0.01)


@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("read", ["jpg", "png", "webp", "avif", "tif"])
def test_resolution_in_exif_is_that_of_the_result(tmp_path: Path, read: str, result: str) -> None:
    exif = Image.Exif()
    exif[282], exif[283], exif[296] = 300.0, 240.0, 2
    Image.fromarray(smooth()).save(tmp_path / f"in.{read}", exif=exif)
    assert dpi(copy(tmp_path / f"in.{read}", tmp_path / f"out.{result}")) == pytest.approx((300, 240), abs=0.01)


@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("read", RESULTS)
@pytest.mark.parametrize("orientation", [3, 5, 8])
def test_resolution_turns_with_the_picture(tmp_path: Path, orientation: int, read: str, result: str) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[282], exif[283], exif[296] = orientation, 204.0, 98.0, 2
    Image.fromarray(smooth()).save(tmp_path / f"in.{read}", exif=exif, dpi=(204, 98))
    out = copy(tmp_path / f"in.{read}", tmp_path / f"out.{result}")
    expected = (98, 204) if orientation >= 5 else (204, 98)
    assert dpi(out) == pytest.approx(expected, abs=0.02)
    said = Image.open(out).getexif()
    assert (said.get(282, expected[0]), said.get(283, expected[1])) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("read", RESULTS)
def test_no_resolution_stays_none(tmp_path: Path, read: str, result: str) -> None:
    if read == "tif":
        tifffile.imwrite(tmp_path / "in.tif", smooth(), photometric="rgb", metadata=None, resolutionunit="none")
    else:
        Image.fromarray(smooth()).save(tmp_path / f"in.{read}")
    assert dpi(copy(tmp_path / f"in.{read}", tmp_path / f"out.{result}")) is None


@pytest.mark.exiftool
def test_units_and_proportions(exiftool: ExifTool, tmp_path: Path) -> None:
    names = ("XResolution", "YResolution", "ResolutionUnit")

    def said(path: Path, group: str) -> list[object]:
        (tags,) = exiftool.read(path)
        return [tags.get(f"{group}:{name}") for name in names]

    Image.fromarray(smooth()).save(tmp_path / "in.jpg")
    exiftool.write(tmp_path / "in.jpg", "-JFIF:ResolutionUnit=cm", "-JFIF:XResolution=118", "-JFIF:YResolution=59")
    assert said(copy(tmp_path / "in.jpg", tmp_path / "cm.tif"), "IFD0") == [118, 59, 3]
    assert said(copy(tmp_path / "in.jpg", tmp_path / "cm.jpg"), "JFIF") == [118, 59, 2]
    exiftool.write(tmp_path / "in.jpg", "-JFIF:ResolutionUnit=none", "-JFIF:XResolution=2", "-JFIF:YResolution=1")
    assert said(copy(tmp_path / "in.jpg", tmp_path / "proportion.tif"), "IFD0") == [2, 1, 1]
    assert said(copy(tmp_path / "proportion.tif", tmp_path / "proportion.jpg"), "JFIF") == [2, 1, 0]
    (png,) = exiftool.read(copy(tmp_path / "in.jpg", tmp_path / "proportion.png"))
    assert [png[f"PNG-pHYs:{name}"] for name in ("PixelsPerUnitX", "PixelsPerUnitY", "PixelUnits")] == [2, 1, 0]


@pytest.mark.exiftool
def test_jfif_and_exif_that_differ_both_stay(exiftool: ExifTool, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[282], exif[283], exif[296] = 300.0, 300.0, 2
    Image.fromarray(smooth()).save(tmp_path / "in.jpg", exif=exif, dpi=(72, 72))
    jpg, png, tif = exiftool.read(
        *(copy(tmp_path / "in.jpg", tmp_path / f"out.{result}") for result in ("jpg", "png", "tif"))
    )
    assert (jpg["JFIF:XResolution"], jpg["IFD0:XResolution"]) == (72, 300)
    assert (png["PNG-pHYs:PixelsPerUnitX"], png["IFD0:XResolution"]) == (2835, 300)
    assert tif["IFD0:XResolution"] == 300  # the only place, which EXIF and TIFF share


def test_odd_resolutions_cost_nothing(tmp_path: Path) -> None:
    for number, value in enumerate(((0, 0), (0, 1), (1, 0), (2**32 - 1, 1))):
        rational = struct.pack(">II", *value)
        made = block(">", [(282, 5, rational), (283, 5, rational), (0x010F, 2, b"Acme\0")], [])
        save(tmp_path / f"{number}.webp", made)
        for result in ("jpg", "png", "tif"):
            out = copy(tmp_path / f"{number}.webp", tmp_path / f"{number}.{result}")
            assert values(out).shape == (41, 67, 3)
            assert Image.open(out).getexif()[0x010F] == "Acme"


def test_the_picture_stands_upright_whatever_says_so(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(smooth()).save(tmp_path / "in.jpg", exif=exif, quality=100)
    shown = ImageOps.exif_transpose(Image.open(tmp_path / "in.jpg"))
    assert shown is not None
    for result in RESULTS:
        out = Image.open(copy(tmp_path / "in.jpg", tmp_path / f"out.{result}"))
        assert out.size == shown.size
        assert out.getexif()[0x0112] == 1
