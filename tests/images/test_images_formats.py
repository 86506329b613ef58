"""BMP, GIF, PPM and its relatives, JPEG 2000: read like any other picture; and what files are called."""

import io
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.ImageCms import ImageCmsProfile, createProfile

from iqsr.images import open_picture, output_formats
from iqsr.images.formats import FORMATS, OTHER_PICTURES, PICTURE_SUFFIXES, READABLE, WRITTEN_SUFFIXES
from iqsr.images.metadata.blocks import Resolution
from support.picture_errors import the_error
from support.picture_files import SIZE, copy, noise, smooth, values

WIDTH, HEIGHT = SIZE
RGB, GRAY, ALPHA = noise(3), noise(1), noise(4)
ALPHA[..., 3] |= 0x40  # all of it visible, so that no colour is filled in
DEEP, DEEP_GRAY = noise(3, 16), noise(1, 16)


def pillow(kind: str, pixels: np.ndarray, mode: str | None = None, **options: object) -> Callable[[], bytes]:
    def make() -> bytes:
        file = io.BytesIO()
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        (image.convert(mode) if mode else image).save(file, kind, **options)
        return file.getvalue()

    return make


def bmp(
    rows: np.ndarray, bits: int, *, compression: int = 0, masks: tuple[int, ...] = (), header: int = 40, up: bool = True
) -> Callable[[], bytes]:
    """A BMP of these rows of bytes (top first, padded to four), for kinds that Pillow does not write."""
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    data = (padded[::-1] if up else padded).tobytes()
    height = HEIGHT if up else -HEIGHT
    head = struct.pack("<IiiHHIIiiII", header, WIDTH, height, 1, bits, compression, len(data), 0, 0, 0, 0)
    head = (head + struct.pack(f"<{len(masks)}I", *masks)).ljust(header, b"\0")
    start = 14 + len(head)
    return lambda: b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + data


def rle() -> bytes:
    """8 bits of gray, packed: runs of one pixel, the end of a row, the end of all."""
    rows = [b"".join(bytes([1, value]) for value in row) + b"\0\0" for row in GRAY[::-1, :, 0]]
    data = b"".join(rows) + b"\0\1"
    palette = b"".join(bytes([i, i, i, 0]) for i in range(256))
    head = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 8, 1, len(data), 0, 0, 256, 0) + palette
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(data), 0, 0, 14 + len(head)) + head + data


BGR = np.ascontiguousarray(RGB[..., ::-1]).reshape(HEIGHT, -1)
BGRX = np.ascontiguousarray(ALPHA[..., [2, 1, 0, 3]]).reshape(HEIGHT, -1)
FIVE_SIX_FIVE = (
    (RGB[..., 0].astype(int) >> 3 << 11) | (RGB[..., 1].astype(int) >> 2 << 5) | (RGB[..., 2] >> 3)
).astype("<u2")
PALE = np.stack(
    [(FIVE_SIX_FIVE >> 11) * 255 // 31, (FIVE_SIX_FIVE >> 5 & 63) * 255 // 63, (FIVE_SIX_FIVE & 31) * 255 // 31], 2
).astype(np.uint8)


def pnm(magic: str, highest: int | None, pixels: np.ndarray, *, text: bool = False, comment: str = "") -> bytes:
    size = f"{WIDTH} {HEIGHT}" + (f"\n{highest}" if highest else "")
    head = f"{magic}\n{comment}{size}\n".encode()
    if text:
        return head + " ".join(map(str, pixels.ravel().tolist())).encode() + b"\n"
    return head + pixels.astype(">u2" if (highest or 0) > 255 else np.uint8).tobytes()


def pam(kind: str, pixels: np.ndarray, highest: int = 255) -> bytes:
    lines = f"WIDTH {WIDTH}\nHEIGHT {HEIGHT}\nDEPTH {pixels.shape[2]}\nMAXVAL {highest}\nTUPLTYPE {kind}\nENDHDR\n"
    return b"P7\n# made by hand\n" + lines.encode() + pixels.astype(">u2" if highest > 255 else np.uint8).tobytes()


BITS = (GRAY > 127).astype(np.uint8)
TEN = (noise(1, 16) >> 6).astype(np.uint16)
FILES: dict[str, tuple[Callable[[], bytes], np.ndarray]] = {
    "bmp of 24 bit": (pillow("BMP", RGB), RGB),
    "bmp of 8 bit": (pillow("BMP", GRAY), GRAY),
    "bmp of 1 bit": (pillow("BMP", BITS * 255, "1"), BITS * 255),
    "bmp from the top": (bmp(BGR, 24, up=False), RGB),
    "bmp of 32 bit without alpha": (bmp(BGRX, 32), ALPHA[..., :3]),
    "bmp with alpha": (
        bmp(BGRX, 32, compression=3, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000), header=108),
        ALPHA,
    ),
    "bmp of 16 bit": (
        bmp(FIVE_SIX_FIVE.view(np.uint8).reshape(HEIGHT, -1), 16, compression=3, masks=(0xF800, 0x7E0, 0x1F)),
        PALE,
    ),
    "bmp, packed": (rle, GRAY),
    "ppm": (lambda: pnm("P6", 255, RGB), RGB),
    "ppm with a comment": (lambda: pnm("P6", 255, RGB, comment="# by hand\n#\n"), RGB),
    "ppm of 16 bit": (lambda: pnm("P6", 65535, DEEP), DEEP),
    "ppm as text": (lambda: pnm("P3", 255, RGB, text=True), RGB),
    "pgm": (lambda: pnm("P5", 255, GRAY), GRAY),
    "pgm of 16 bit": (lambda: pnm("P5", 65535, DEEP_GRAY), DEEP_GRAY),
    "pgm of 10 bit": (lambda: pnm("P5", 1023, TEN), np.rint(TEN * (65535 / 1023)).astype(np.uint16)),
    "pgm of 4 bit": (lambda: pnm("P5", 15, GRAY >> 4), (GRAY >> 4) * 17),
    "pgm as text": (lambda: pnm("P2", 65535, DEEP_GRAY, text=True), DEEP_GRAY),
    "pbm": (lambda: pnm("P4", None, np.packbits(1 - BITS[..., 0], axis=1)), BITS * 255),
    "pbm as text": (lambda: pnm("P1", None, 1 - BITS, text=True), BITS * 255),
    "pam with alpha": (lambda: pam("RGB_ALPHA", ALPHA), ALPHA),
    "pam of 16 bit": (lambda: pam("RGB", DEEP, 65535), DEEP),
    "jpeg 2000": (pillow("JPEG2000", RGB, irreversible=False), RGB),
    "jpeg 2000 in gray": (pillow("JPEG2000", GRAY), GRAY),
    "jpeg 2000 with alpha": (pillow("JPEG2000", ALPHA), ALPHA),
    "jpeg 2000 in gray with alpha": (pillow("JPEG2000", ALPHA[..., [0, 3]], None), ALPHA[..., [0, 3]]),
    "jpeg 2000 in gray of 16 bit": (pillow("JPEG2000", DEEP_GRAY), DEEP_GRAY),
    "bare codestream": (pillow("JPEG2000", RGB, no_jp2=True), RGB),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_value_arrives(tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    make, expected = FILES[kind]
    (tmp_path / "in").write_bytes(make())
    result = values(copy(tmp_path / "in", tmp_path / "out.png"))
    assert result.dtype == expected.dtype
    assert np.array_equal(result, expected)
    assert caplog.messages == []


def test_a_still_gif_with_and_without_a_transparent_colour(tmp_path: Path) -> None:
    indexed = Image.fromarray(smooth()).quantize(16)
    indexed.save(tmp_path / "in.gif")
    assert np.array_equal(values(copy(tmp_path / "in.gif", tmp_path / "out.png")), np.asarray(indexed.convert("RGB")))
    indexed.save(tmp_path / "in.gif", transparency=3)
    result = values(copy(tmp_path / "in.gif", tmp_path / "out.png"))
    assert np.array_equal(result[..., 3], np.where(np.asarray(indexed) == 3, 0, 255))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_resolution_of_a_bmp_is_kept(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(RGB).save(tmp_path / "in.bmp", dpi=(300, 300))
    out = copy(tmp_path / "in.bmp", tmp_path / f"out.{suffix}")
    assert open_picture(out).info.metadata.resolution == Resolution(Fraction(300), Fraction(300), "inch")


def test_a_profile_in_a_bmp_is_kept(tmp_path: Path) -> None:
    icc = ImageCmsProfile(createProfile("sRGB")).tobytes()
    made = bytearray(bmp(BGR, 24, header=124)())
    made[70:74], made[126:134] = b"DEBM", struct.pack("<II", len(made) - 14, len(icc))
    (tmp_path / "in.bmp").write_bytes(made + icc)
    assert Image.open(copy(tmp_path / "in.bmp", tmp_path / "out.png")).info["icc_profile"] == icc
    for damaged in (made + icc[:-1], made + bytes(len(icc))):
        (tmp_path / "in.bmp").write_bytes(damaged)
        assert np.array_equal(values(copy(tmp_path / "in.bmp", tmp_path / "out.png")), RGB)
        assert open_picture(tmp_path / "in.bmp").info.icc is None


def test_a_profile_and_comments_in_a_gif_are_kept(tmp_path: Path) -> None:
    icc = ImageCmsProfile(createProfile("sRGB")).tobytes()
    Image.fromarray(smooth()).quantize(16).save(tmp_path / "in.gif", comment="Größe".encode("latin-1"))
    made = (tmp_path / "in.gif").read_bytes()
    at = made.index(b"\x21\xfe")
    pieces = b"".join(bytes([len(icc[i : i + 255])]) + icc[i : i + 255] for i in range(0, len(icc), 255))
    (tmp_path / "in.gif").write_bytes(made[:at] + b"\x21\xff\x0bICCRGBG1012" + pieces + b"\0" + made[at:])
    png = Image.open(copy(tmp_path / "in.gif", tmp_path / "out.png"))
    assert (png.info["icc_profile"], png.info["Comment"]) == (icc, "Größe")
    assert Image.open(copy(tmp_path / "in.gif", tmp_path / "out.jpg")).info["comment"] == "Größe".encode()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpeg_2000_stands_upright_as_its_exif_says(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB).save(tmp_path / "in.png", exif=exif)
    block = exif.tobytes()
    box = struct.pack(">I", 24 + len(block)) + b"uuidJpgTiffExif->JP2" + block
    (tmp_path / "in.jp2").write_bytes(pillow("JPEG2000", RGB, irreversible=False)() + box)
    out = copy(tmp_path / "in.jp2", tmp_path / "out.png")
    assert np.array_equal(values(out), values(copy(tmp_path / "in.png", tmp_path / "same.png")))
    assert Image.open(out).getexif()[0x0112] == 1


def without_definitions(data: bytes) -> bytes:
    """A JP2 whose box that says what the channels are is called something else."""
    return data.replace(b"cdef", b"xxxx")


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("channels", [2, 4])
def test_jpeg_2000_does_not_guess_alpha(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, channels: int, bare: bool
) -> None:
    pixels = ALPHA if channels == 4 else ALPHA[..., [0, 3]]
    source = tmp_path / "in.jp2"
    source.write_bytes(without_definitions(pillow("JPEG2000", pixels, no_jp2=bare)()))
    assert np.array_equal(values(copy(source, tmp_path / "out.png")), pixels[..., :-1])
    assert caplog.messages == [f"'{source}': 1 channel left out: neither colour nor transparency"]


def test_a_profile_in_jpeg_2000_is_kept(tmp_path: Path) -> None:
    data = pillow("JPEG2000", RGB)()
    icc = bytearray(200)
    icc[16:20] = b"RGB "
    box = struct.pack(">I", 11 + len(icc)) + b"colr\2\0\0" + bytes(icc)
    at = data.index(b"colr") - 4
    header = data.index(b"jp2h") - 4
    old = int.from_bytes(data[at : at + 4], "big")
    longer = int.from_bytes(data[header : header + 4], "big") + len(box) - old
    (tmp_path / "in.jp2").write_bytes(
        data[:header] + struct.pack(">I", longer) + data[header + 4 : at] + box + data[at + old :]
    )
    assert open_picture(tmp_path / "in.jp2").info.icc == bytes(icc)


def test_colours_of_jpeg_2000_beyond_8_bit_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = bytearray(pillow("JPEG2000", RGB)())
    at = data.index(b"\xff\x4f\xff\x51") + 42
    for component in range(3):
        data[at + 3 * component] = 15  # bits of a sample, less one
    (tmp_path / "in.jp2").write_bytes(data)
    list(open_picture(tmp_path / "in.jp2").rows(100))
    assert caplog.messages == [f"'{tmp_path / 'in.jp2'}': of its 16 bits 8 are read; save it as TIFF to keep them"]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"P6\n67 41\n255\n" + bytes(99), "pixels beyond its end"),
        (b"P3\n67 41\n255\n" + b"1 " * 99, "missing or no numbers"),
        (b"P2\n2 1\n15\n3 16\n", "a value above 15"),
        (b"P2\n2 1\n15\n3 x\n", "no number"),
        (b"P5\n2 1\n70000\n" + bytes(4), "cannot be"),
        (b"P5\n2 1 ", "no highest value"),
        (b"P7\nWIDTH 2\nENDHDR\n", "without its sizes"),
        (b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE CMYK\nENDHDR\nabcd", "its channels are CMYK"),
        (b"P6\n1 1\n255\nabcP6\n1 1\n255\nabc", "several pages"),
    ],
)
def test_pnm_that_makes_no_sense(tmp_path: Path, data: bytes, word: str) -> None:
    (tmp_path / "in.ppm").write_bytes(data)
    assert word in the_error(lambda: list(open_picture(tmp_path / "in.ppm").rows(9)))


def test_a_bmp_that_holds_a_jpeg_is_no_damaged_one(tmp_path: Path) -> None:
    (tmp_path / "in.bmp").write_bytes(bmp(BGR, 24, compression=4)())
    message = the_error(lambda: open_picture(tmp_path / "in.bmp"))
    assert "kind of BMP that is not read" in message


@pytest.mark.parametrize("suffix", ["bmp", "gif", "ppm", "jp2"])
def test_the_pixel_limit_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setenv("IQSR_MAX_PIXELS", "1000")
    Image.fromarray(RGB).save(tmp_path / f"in.{suffix}")
    assert "67 x 41" in the_error(lambda: open_picture(tmp_path / f"in.{suffix}"))


# Names


def test_every_suffix_belongs_to_one_format_at_first_and_is_read_or_not() -> None:
    suffixes = [suffix for known in FORMATS for suffix in known.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert not PICTURE_SUFFIXES & OTHER_PICTURES
    assert set(WRITTEN_SUFFIXES) == {suffix for known in output_formats() for suffix in known.suffixes}
    assert [known.name for known in output_formats()] == [known.name for known in FORMATS if known.is_written]
    for known in FORMATS:
        assert known.name.split()[0] in READABLE
