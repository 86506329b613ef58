"""Which of a file's pages and frames are pictures of their own: one is read, several are refused."""

import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from iqsr.images import open_picture
from iqsr.images.metadata.blocks import Resolution
from support import heic_samples
from support.picture_errors import the_error
from support.picture_files import copy, noise, smooth, values
from support.tiff_tags import set_tag

SMALL = np.zeros((10, 17, 3), np.uint8)
REDUCED, PAGE, MASK = 1, 2, 4


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def tiff(path: Path, *pages: tuple[np.ndarray, int], big: bool = False, subifds: int = 0) -> Path:
    """Pages with their NewSubfileType; the last `subifds` of them hang below the first."""
    with tifffile.TiffWriter(path, bigtiff=big) as writer:
        for number, (pixels, subfile) in enumerate(pages):
            below = subifds if number == 0 else 0
            kind = "rgb" if pixels.ndim == 3 else "minisblack"
            writer.write(pixels, photometric=kind, subfiletype=subfile, subifds=below, metadata=None)
    return path


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("others", [[REDUCED], [REDUCED] * 3, [MASK], [MASK | REDUCED, REDUCED]])
def test_thumbnails_pyramids_and_masks_are_no_pages(tmp_path: Path, others: list[int], big: bool) -> None:
    pages = [(noise(3), 0), *((SMALL[..., 0] > 0 if kind & MASK else SMALL, kind) for kind in others)]
    source = tiff(tmp_path / "in.tif", *pages, big=big)
    assert np.array_equal(values(copy(source, tmp_path / "out.png")), noise(3))


def test_levels_below_a_page_are_no_pages(tmp_path: Path) -> None:
    source = tiff(tmp_path / "in.tif", (noise(3), 0), (SMALL, REDUCED), (SMALL, REDUCED), subifds=2)
    assert np.array_equal(values(copy(source, tmp_path / "out.png")), noise(3))


def test_the_picture_may_come_after_its_thumbnail(tmp_path: Path) -> None:
    gray = noise(1)[..., 0]
    source = tiff(tmp_path / "in.tif", (SMALL, REDUCED), (gray, 0))
    info = open_picture(source).info
    assert (info.width, info.height, info.gray) == (67, 41, True)
    assert np.array_equal(values(copy(source, tmp_path / "out.png"))[..., 0], gray)


def test_what_the_first_page_tells_is_kept_where_that_is_a_thumbnail(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "in.tif") as writer:
        artist, xmp = (315, "s", 0, "Ansel", True), (700, "B", 14, b"<x:xmpmeta/>  ", True)
        options = {"photometric": "rgb", "metadata": None}
        writer.write(SMALL, subfiletype=REDUCED, resolution=(72, 72), extratags=[artist, xmp], **options)
        writer.write(noise(3), resolution=(300, 300), resolutionunit="inch", **options)
    found = open_picture(tmp_path / "in.tif").info.metadata
    assert b"Ansel" in (found.exif or b"")
    assert found.xmp == b"<x:xmpmeta/>  "
    assert found.resolution == Resolution(Fraction(300), Fraction(300), "inch")


def test_a_thumbnail_by_the_old_tag_is_no_page(tmp_path: Path) -> None:
    source = tiff(tmp_path / "in.tif", (noise(3), 0), (SMALL, REDUCED))
    set_tag(source, 254, 2, rename=255, page=1)  # SubfileType: reduced
    assert np.array_equal(values(copy(source, tmp_path / "out.png")), noise(3))


@pytest.mark.parametrize("kinds", [(0, 0), (PAGE, PAGE, PAGE), (0, REDUCED, 0)])
def test_several_pages_are_refused_with_their_number(tmp_path: Path, kinds: tuple[int, ...]) -> None:
    source = tiff(tmp_path / "in.tif", *((noise(3), kind) for kind in kinds))
    count = sum(not kind & REDUCED for kind in kinds)
    assert f"it has {count} pages" in the_error(lambda: open_picture(source))


def test_a_chain_of_pages_that_bites_its_tail_ends(tmp_path: Path) -> None:
    source = tiff(tmp_path / "in.tif", (noise(3), 0))
    data = bytearray(source.read_bytes())
    (at,) = struct.unpack_from("<I", data, 4)
    struct.pack_into("<I", data, at + 2 + 12 * struct.unpack_from("<H", data, at)[0], at)
    source.write_bytes(data)
    assert open_picture(source).info.width == 67


@pytest.mark.parametrize("photometric", [32803, 34892])
def test_what_a_sensor_saw_is_a_raw_file(tmp_path: Path, photometric: int) -> None:
    source = tiff(tmp_path / "in.tif", (noise(1)[..., 0], 0), (SMALL, REDUCED))
    set_tag(source, 262, photometric)
    assert "camera's raw file" in the_error(lambda: open_picture(source))


def apng(path: Path, frames: int, *, first_is_still: bool) -> Path:
    Image.fromarray(noise(3)).save(path)
    data = path.read_bytes()
    at = data.index(b"IDAT") - 4
    animation = png_chunk(b"acTL", struct.pack(">II", frames, 0))
    control = png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 67, 41, 0, 0, 1, 10, 0, 0)) if first_is_still else b""
    path.write_bytes(data[:at] + animation + control + data[at:])
    return path


def test_an_apng_of_one_frame_is_a_picture(tmp_path: Path) -> None:
    source = apng(tmp_path / "in.png", 1, first_is_still=True)
    assert np.array_equal(values(copy(source, tmp_path / "out.png")), noise(3))
    for frames, first_is_still in [(2, True), (1, False)]:
        apng(source, frames, first_is_still=first_is_still)
        assert "animated" in the_error(lambda: open_picture(source))


@pytest.mark.parametrize("kind", ["WEBP", "GIF"])
def test_one_frame_of_a_format_of_animations_is_a_picture(tmp_path: Path, kind: str) -> None:
    frame = Image.fromarray(smooth())
    options = {"lossless": True} if kind == "WEBP" else {}
    frame.save(tmp_path / "in", kind, save_all=True, append_images=[], duration=100, **options)
    info = open_picture(tmp_path / "in").info
    assert (info.format, info.width, info.height) == (kind.lower(), 67, 41)


def sequence(path: Path, frames: int) -> Path:
    first, *others = [Image.fromarray(np.roll(smooth(), 9 * i, 1)) for i in range(frames)]
    first.save(path, "AVIF", save_all=True, append_images=others, duration=100)
    return path


def test_an_avif_of_several_frames_is_refused_with_their_number(tmp_path: Path) -> None:
    assert "animated (3 frames)" in the_error(lambda: open_picture(sequence(tmp_path / "in.avif", 3)))
    assert open_picture(sequence(tmp_path / "in.avif", 1)).info.width == 67


def heics(path: Path, frames: int) -> Path:
    """A HEIC whose brand and movie box say that it is a sequence."""
    avif = sequence(path, frames).read_bytes()
    movie = avif[avif.index(b"moov") - 4 :][: int.from_bytes(avif[avif.index(b"moov") - 4 :][:4], "big")]
    still = bytearray(heic_samples.deep())
    still[8:12] = b"msf1"
    path.write_bytes(still + movie)
    return path


def test_a_heic_sequence_is_refused(tmp_path: Path) -> None:
    assert "animated (2 frames)" in the_error(lambda: open_picture(heics(tmp_path / "in.heic", 2)))


STILL_FIRST: dict[str, Callable[[Path], Path]] = {
    "avif": lambda folder: sequence(folder / "in.avif", 2),
    "heic": lambda folder: heics(folder / "in.heic", 2),
}


@pytest.mark.parametrize("kind", STILL_FIRST)
def test_a_still_picture_with_a_sequence_beside_it_is_read_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    source = STILL_FIRST[kind](tmp_path)
    data = bytearray(source.read_bytes())
    data[8:12] = b"avif" if kind == "avif" else b"heic"
    source.write_bytes(data)
    list(open_picture(source).rows(100))
    assert caplog.messages == [f"'{source}': a sequence of 2 frames left out: the still picture is read"]


def test_a_multi_picture_jpeg_is_its_first_picture(tmp_path: Path) -> None:
    first, second = Image.fromarray(smooth()), Image.fromarray(255 - smooth())
    first.save(tmp_path / "in.mpo", save_all=True, append_images=[second], quality=95)
    result = values(copy(tmp_path / "in.mpo", tmp_path / "out.png"))
    assert np.abs(result.astype(float) - smooth()).mean() < 3
