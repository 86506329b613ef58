"""What goes through a picture file and back: values, depth, colour, alpha, metadata."""

import io
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
import torch
from PIL import Image, ImageCms

import heic_samples
from iqsr.images import check_output, open_picture, resample, write_picture

SIZE = (67, 41)  # odd and prime: nothing lines up by accident


def noise(bands: int, depth: int = 8, size: tuple[int, int] = SIZE) -> np.ndarray:
    kind = np.uint8 if depth == 8 else np.uint16
    return np.random.default_rng(7).integers(0, 2**depth, (size[1], size[0], bands), kind)


def smooth(size: tuple[int, int] = SIZE) -> np.ndarray:
    y, x = np.mgrid[: size[1], : size[0]].astype(float)
    return np.rint(np.dstack([x / size[0] * 255, y / size[1] * 255, (x + y) / sum(size) * 255])).astype(np.uint8)


def write_vips(path: Path, pixels: np.ndarray, **options: object) -> Path:
    deep, colour = pixels.dtype == np.uint16, pixels.shape[2] > 2
    space = ("rgb16" if deep else "srgb") if colour else ("grey16" if deep else "b-w")
    pyvips.Image.new_from_array(pixels).copy(interpretation=space).write_to_file(str(path), **options)
    return path


def values(path: Path) -> np.ndarray:
    """What the file holds, read by libvips without a detour: (H, W, bands)."""
    pixels = pyvips.Image.new_from_file(str(path)).numpy()
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def copy(source: Path, out: Path, scale: int = 1, size: tuple[int, int] | None = None, **options: int) -> Path:
    """Read and write through iqsr, each pixel repeated `scale` times."""
    picture = open_picture(source)
    upscaled = (picture.info.width * scale, picture.info.height * scale)
    bands = (
        band.repeat_interleave(scale, 2).repeat_interleave(scale, 3) if scale > 1 else band for band in picture.rows(16)
    )
    write_picture(out, bands, source=picture, upscaled=upscaled, size=size or upscaled, **options)
    return out


# Values


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("bands", [1, 3])
def test_lossless_round_trip_keeps_every_value(tmp_path: Path, bands: int, depth: int, suffix: str) -> None:
    pixels = noise(bands, depth)
    source = write_vips(tmp_path / f"in{suffix}", pixels)
    result = values(copy(source, tmp_path / f"out{suffix}"))
    assert result.dtype == pixels.dtype
    assert np.array_equal(result, pixels)  # one band stays one band


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("bands", [2, 4])
def test_round_trip_keeps_alpha_and_the_colour_of_what_is_seen(tmp_path: Path, bands: int, depth: int) -> None:
    pixels = noise(bands, depth)
    result = values(copy(write_vips(tmp_path / "in.png", pixels), tmp_path / "out.png"))
    seen = pixels[..., -1] >= 2**depth / 16
    assert np.array_equal(result[..., -1], pixels[..., -1])
    assert np.array_equal(result[seen], pixels[seen])
    assert not np.array_equal(result[~seen], pixels[~seen])  # where nothing is seen, colour was filled


@pytest.mark.parametrize(("suffix", "limit"), [(".jpg", 1.0), (".webp", 2.5)])
def test_lossy_formats_are_close_at_their_default_quality(tmp_path: Path, suffix: str, limit: float) -> None:
    pixels = smooth()
    result = values(copy(write_vips(tmp_path / "in.png", pixels), tmp_path / f"out{suffix}"))
    assert np.abs(result.astype(float) - pixels).mean() < limit


def test_bands_are_float_channels_last_and_of_the_height_asked_for(tmp_path: Path) -> None:
    picture = open_picture(write_vips(tmp_path / "in.png", noise(3)))
    bands = list(picture.rows(16))
    assert [band.shape for band in bands] == [(1, 3, 16, 67), (1, 3, 16, 67), (1, 3, 9, 67)]
    assert all(band.dtype == torch.float32 for band in bands)
    assert all(band.is_contiguous(memory_format=torch.channels_last) for band in bands)


def test_rows_can_be_read_again(tmp_path: Path) -> None:
    picture = open_picture(write_vips(tmp_path / "in.jpg", smooth()))
    assert torch.equal(torch.cat(list(picture.rows(5)), 2), torch.cat(list(picture.rows(100)), 2))


def test_gray_is_read_as_three_equal_channels(tmp_path: Path) -> None:
    pixels = noise(1)
    (band,) = open_picture(write_vips(tmp_path / "in.png", pixels)).rows(100)
    assert torch.equal(band[0, 0], torch.from_numpy(pixels[..., 0] / np.float32(255)))
    assert torch.equal(band[0, 0], band[0, 1])
    assert torch.equal(band[0, 0], band[0, 2])


def test_values_out_of_range_are_clamped_and_halves_rounded_up(tmp_path: Path) -> None:
    picture = open_picture(write_vips(tmp_path / "in.png", noise(3, size=(4, 1))))
    row = torch.tensor([-0.5, 1.5, 99.5 / 255, 100.4 / 255]).expand(1, 3, 1, 4)
    write_picture(tmp_path / "out.png", [row], source=picture, upscaled=(4, 1), size=(4, 1))
    assert values(tmp_path / "out.png")[0, :, 0].tolist() == [0, 255, 100, 100]


@pytest.mark.parametrize(("suffix", "kind"), [(".jpg", np.uint8), (".webp", np.uint8), (".png", np.uint16)])
def test_16_bit_becomes_8_only_where_the_format_has_no_more(tmp_path: Path, suffix: str, kind: type) -> None:
    source = write_vips(tmp_path / "in.png", (smooth().astype(np.uint16) * 257))
    result = values(copy(source, tmp_path / f"out{suffix}"))
    assert result.dtype == kind
    assert abs(float(result.mean()) / np.iinfo(kind).max - smooth().mean() / 255) < 0.002


@pytest.mark.parametrize(("quality", "halved"), [(89, True), (90, False)])
def test_jpeg_keeps_full_colour_resolution_from_quality_90(tmp_path: Path, quality: int, halved: bool) -> None:
    out = copy(write_vips(tmp_path / "in.png", smooth()), tmp_path / "out.jpg", quality=quality)
    assert Image.open(out).layer[0][1:3] == ((2, 2) if halved else (1, 1))


@pytest.mark.parametrize("depth", [8, 16])
def test_resampling_keeps_a_flat_picture_flat(tmp_path: Path, depth: int) -> None:
    one = 2**depth - 1
    pixels = np.full((41, 67, 4), one, np.uint8 if depth == 8 else np.uint16)
    out = copy(write_vips(tmp_path / "in.png", pixels), tmp_path / "out.png", scale=4, size=(101, 77))
    result = values(out)
    assert result.shape == (77, 101, 4)
    assert result.min() == one  # opaque stays opaque, white stays white


@pytest.mark.parametrize("size", [(134, 82), (113, 69), (268, 50), (33, 100), (20, 13)])
def test_resampling_moves_nothing(size: tuple[int, int]) -> None:
    picture = torch.from_numpy(noise(3)).permute(2, 0, 1)[None] / 255
    mirrored = resample(picture.flip(2, 3), size).flip(2, 3)
    assert torch.allclose(resample(picture, size), mirrored, atol=2e-2)
    across = ((torch.arange(67) + 0.5) / 67).expand(1, 3, 41, 67)  # each pixel holds its centre's position
    expected = ((torch.arange(size[0]) + 0.5) / size[0]).expand(1, 3, size[1], size[0])
    inside = slice(size[0] // 8, -(size[0] // 8))
    assert torch.allclose(resample(across, size)[..., inside], expected[..., inside], atol=2e-3)


def test_alpha_is_enlarged_about_the_same_centres_as_the_colours(tmp_path: Path) -> None:
    pixels = np.full((8, 64, 4), 200, np.uint8)
    pixels[..., 3] = np.arange(64) * 4
    result = values(copy(write_vips(tmp_path / "in.png", pixels), tmp_path / "out.png", scale=4))
    centres = (np.arange(256) + 0.5) / 4 - 0.5
    assert np.abs(result[4, 8:-8, 3] - centres[8:-8] * 4).max() <= 0.5


# Kinds of pictures


def test_palette_becomes_rgb(tmp_path: Path) -> None:
    indexed = Image.fromarray(smooth()).quantize(16)
    indexed.save(tmp_path / "in.png")
    result = values(copy(tmp_path / "in.png", tmp_path / "out.png"))
    assert np.array_equal(result, np.asarray(indexed.convert("RGB")))


def test_palette_with_a_transparent_entry_has_alpha(tmp_path: Path) -> None:
    indexed = Image.fromarray(smooth()).quantize(16)
    indexed.save(tmp_path / "in.png", transparency=3)
    result = values(copy(tmp_path / "in.png", tmp_path / "out.png"))
    assert np.array_equal(result[..., 3], np.where(np.asarray(indexed) == 3, 0, 255))


def test_one_bit_becomes_gray_of_8(tmp_path: Path) -> None:
    black_and_white = Image.fromarray(noise(1)[..., 0] > 127).convert("1")
    black_and_white.save(tmp_path / "in.png")
    result = values(copy(tmp_path / "in.png", tmp_path / "out.png"))
    assert np.array_equal(result[..., 0], np.asarray(black_and_white) * np.uint8(255))


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_comes_out_as_srgb_that_looks_like_the_ink(tmp_path: Path, suffix: str) -> None:
    inks = {(0, 0, 0, 0): (255, 255, 255), (255, 0, 0, 0): (0, 160, 220), (0, 255, 255, 0): (230, 30, 40)}
    inks[(0, 0, 255, 0)] = (255, 240, 0)
    for ink, expected in inks.items():
        Image.new("CMYK", (32, 32), ink).save(tmp_path / f"in{suffix}")
        out = copy(tmp_path / f"in{suffix}", tmp_path / "out.png")
        assert np.abs(values(out)[16, 16].astype(int) - expected).max() < 45, ink
        profile = ImageCms.ImageCmsProfile(io.BytesIO(open_picture(out).info.icc or b""))
        assert profile.profile.xcolor_space.strip() == "RGB"


def test_a_tiff_with_premultiplied_alpha_gives_straight_colour(tmp_path: Path) -> None:
    pixels = np.full((41, 67, 4), 100, np.uint8)
    pixels[..., 3] = 128
    tifffile.imwrite(tmp_path / "in.tif", pixels, photometric="rgb", extrasamples=["assocalpha"])
    (band,) = open_picture(tmp_path / "in.tif").rows(100)
    assert torch.allclose(band * 255, torch.tensor(199.0), atol=1)


def test_the_content_and_not_the_name_says_what_a_file_is(tmp_path: Path) -> None:
    pixels = noise(3)
    write_vips(tmp_path / "in.png", pixels).rename(tmp_path / "in.jpg")
    assert np.array_equal(values(copy(tmp_path / "in.jpg", tmp_path / "out.tif")), pixels)


@pytest.mark.parametrize("name", ["ein Bild ü 図 🎈.png", "a[page=2].png", "-x.png", "a'b\".png", "x" * 250 + ".png"])
def test_names_may_hold_anything(tmp_path: Path, name: str) -> None:
    pixels = noise(3)
    folder = tmp_path / "Ordner mit ß und 空白"
    folder.mkdir()
    write_vips(tmp_path / "plain.png", pixels).rename(folder / name)
    out = copy(folder / name, folder / ("2" + name[1:]))
    out.rename(tmp_path / "out.png")
    assert np.array_equal(values(tmp_path / "out.png"), pixels)


def test_a_name_that_is_not_unicode(tmp_path: Path) -> None:
    pixels = noise(3)
    source = tmp_path / "caf\udce9.png"  # Latin-1 bytes, as Linux allows
    write_vips(tmp_path / "plain.png", pixels).rename(source)
    copy(source, tmp_path / "caf\udce9 2.png").rename(tmp_path / "out.png")
    assert np.array_equal(values(tmp_path / "out.png"), pixels)


# Orientation and metadata


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
def test_orientation_is_applied_and_then_reset(tmp_path: Path, orientation: int, suffix: str) -> None:
    turned = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}[orientation]  # Pillow's transpositions
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(smooth())
    stored.save(tmp_path / f"in{suffix}", exif=exif, **({"quality": 100} if suffix == ".jpg" else {}))
    shown = np.asarray(stored if turned is None else stored.transpose(Image.Transpose(turned)))

    info = open_picture(tmp_path / f"in{suffix}").info
    assert (info.height, info.width) == shown.shape[:2]
    for result in (f"out{suffix}", "out.png", "out.tif", "out.webp"):
        out = copy(tmp_path / f"in{suffix}", tmp_path / result)
        assert np.abs(values(out).astype(int) - shown).mean() < 2
        assert Image.open(out).getexif().get(0x0112, 1) == 1


def photo_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x8298] = "Acme Camera", 6, "(c) Jemand"
    detail, place = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
    detail[0x9003], detail[0x829A], detail[0xA002], detail[0xA003] = "2021:02:03 04:05:06", 0.004, *SIZE
    place[1], place[2] = "N", (48.0, 8.0, 30.5)
    return exif


@pytest.mark.parametrize("read", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("written", ["jpg", "png", "webp", "tif"])
def test_exif_survives_with_new_dimensions(tmp_path: Path, read: str, written: str) -> None:
    if read == "tif":  # Pillow writes no EXIF directory into TIFF; ours does, and tifffile checks it below
        Image.fromarray(smooth()).save(tmp_path / "first.png", exif=photo_exif())
        copy(tmp_path / "first.png", tmp_path / "in.tif")
    else:
        Image.fromarray(smooth()).save(tmp_path / f"in.{read}", exif=photo_exif())
    out = copy(tmp_path / f"in.{read}", tmp_path / f"out.{written}", scale=2)
    exif = Image.open(out).getexif()
    detail, place = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
    assert exif.get(0x0112, 1) == 1
    assert exif[0x010F] == "Acme Camera"
    assert exif[0x8298] == "(c) Jemand"
    assert detail[0x9003] == "2021:02:03 04:05:06"
    assert float(detail[0x829A]) == pytest.approx(1 / 250)
    assert (detail[0xA002], detail[0xA003]) == (SIZE[1] * 2, SIZE[0] * 2)
    assert [float(x) for x in place[2]] == [48.0, 8.0, 30.5]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_exif_of_every_kind_of_tiff(tmp_path: Path, order: str, big: bool) -> None:
    tags = [(271, "s", 0, "Acme", True), (33432, "s", 0, "(c) Jemand", True)]
    tifffile.imwrite(tmp_path / "in.tif", smooth(), photometric="rgb", byteorder=order, bigtiff=big, extratags=tags)
    for suffix in ("jpg", "tif"):
        exif = Image.open(copy(tmp_path / "in.tif", tmp_path / f"out.{suffix}")).getexif()
        assert (exif[271], exif[33432]) == ("Acme", "(c) Jemand")


def test_a_tiff_with_exif_is_still_read_by_others(tmp_path: Path) -> None:
    pixels = smooth()
    Image.fromarray(pixels).save(tmp_path / "in.png", exif=photo_exif())
    out = copy(tmp_path / "in.png", tmp_path / "out.tif")
    assert np.array_equal(tifffile.imread(out), np.rot90(pixels, -1))
    with tifffile.TiffFile(out) as file:
        assert file.pages[0].tags["ExifTag"].value["DateTimeOriginal"] == "2021:02:03 04:05:06"


def test_the_embedded_thumbnail_is_dropped(tmp_path: Path) -> None:
    small = io.BytesIO()
    Image.new("RGB", (16, 12), "red").save(small, "JPEG")
    block = photo_exif().tobytes()[6:]  # big-endian; its last four bytes of the first directory chain the next
    count = int.from_bytes(block[8:10], "big")
    chain = 10 + count * 12
    at = len(block) + len(block) % 2
    entries = [(0x0103, 3, 6 << 16), (0x0201, 4, at + 2 + 36 + 4), (0x0202, 4, small.tell())]
    second = b"\0\3" + b"".join(
        tag.to_bytes(2, "big") + kind.to_bytes(2, "big") + (1).to_bytes(4, "big") + value.to_bytes(4, "big")
        for tag, kind, value in entries
    )
    block = block[:chain] + at.to_bytes(4, "big") + block[chain + 4 :].ljust(at - chain - 4, b"\0")
    block += second + bytes(4) + small.getvalue()
    Image.fromarray(smooth()).save(tmp_path / "in.jpg", exif=b"Exif\0\0" + block)
    assert small.getvalue() in (tmp_path / "in.jpg").read_bytes()
    assert pyvips.Image.new_from_file(str(tmp_path / "in.jpg")).get_typeof("jpeg-thumbnail-data")
    for suffix in ("jpg", "png", "webp", "tif"):
        out = copy(tmp_path / "in.jpg", tmp_path / f"out.{suffix}")
        assert small.getvalue() not in out.read_bytes()
        assert not pyvips.Image.new_from_file(str(out)).get_typeof("jpeg-thumbnail-data")


def test_broken_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    for block in (
        b"Exif\0\0garbage",
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(99),
    ):
        Image.fromarray(smooth()).save(tmp_path / "in.jpg", exif=block)
        for suffix in ("jpg", "tif"):
            assert values(copy(tmp_path / "in.jpg", tmp_path / f"out.{suffix}")).shape == (41, 67, 3)


P3 = bytes(pyvips.Operation.call("profile_load", "p3"))


@pytest.mark.parametrize("read", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("written", ["jpg", "png", "webp", "tif"])
def test_a_display_p3_photo_keeps_its_profile_and_its_values(tmp_path: Path, read: str, written: str) -> None:
    pixels = smooth()
    options = {"quality": 100} if read in ("jpg", "webp") else {}
    Image.fromarray(pixels).save(tmp_path / f"in.{read}", icc_profile=P3, **options)
    out = copy(tmp_path / f"in.{read}", tmp_path / f"out.{written}")
    assert Image.open(out).info["icc_profile"] == P3
    assert np.abs(values(out).astype(float) - pixels).mean() < 2.5


def test_a_gray_profile_stays_with_gray_and_not_with_rgb(tmp_path: Path) -> None:
    gray = pyvips.Image.new_from_array(noise(1)).copy(interpretation="b-w")
    profile = bytes(pyvips.Operation.call("profile_load", "srgb"))
    profile = profile[:16] + b"GRAY" + profile[20:]
    gray.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    gray.tiffsave(str(tmp_path / "in.tif"))
    picture = open_picture(tmp_path / "in.tif")
    assert picture.info.gray
    kept = Image.open(copy(tmp_path / "in.tif", tmp_path / "out.tif")).info.get("icc_profile")
    assert kept == profile


def test_xmp_and_resolution_are_kept(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6" dc:title="Titel"/></x:xmpmeta>'
    image = pyvips.Image.new_from_array(smooth()).copy(interpretation="srgb", xres=11.811, yres=5.9055)
    image.set_type(pyvips.GValue.blob_type, "xmp-data", xmp)
    for read in ("jpg", "png", "tif"):
        image.write_to_file(str(tmp_path / f"in.{read}"))
        for written in ("jpg", "png", "tif"):
            out = pyvips.Image.new_from_file(str(copy(tmp_path / f"in.{read}", tmp_path / f"out.{written}")))
            assert bytes(out.get("xmp-data")).rstrip(b"\0") == xmp.replace(b'"6"', b'"1"')
            assert (out.xres, out.yres) == pytest.approx((11.811, 5.9055), rel=0.01)


# Alpha


def disc(size: int = 96) -> np.ndarray:
    """A white disc with a soft edge on transparent black."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    alpha = np.clip(size / 3 - np.hypot(x, y) + 0.5, 0, 1)
    pixels = np.zeros((size, size, 4), np.uint8)
    pixels[..., 3] = np.rint(alpha * 255)
    pixels[..., :3][pixels[..., 3] > 0] = 255
    return pixels


@pytest.mark.parametrize("written", ["png", "webp", "tif"])
def test_a_white_disc_on_transparent_black_has_no_dark_fringe(tmp_path: Path, written: str) -> None:
    picture = open_picture(write_vips(tmp_path / "in.png", disc()))
    whole = torch.cat(list(picture.rows(32)), 2)
    enlarged = torch.nn.functional.interpolate(whole, scale_factor=4, mode="bicubic")
    options = {"source": picture, "upscaled": (384, 384), "size": (384, 384)}
    write_picture(tmp_path / f"out.{written}", [enlarged], **options)
    result = values(tmp_path / f"out.{written}").astype(float)
    alpha = result[..., 3:] / 255
    composite = result[..., :3] * alpha + 255 * (1 - alpha)
    assert composite.min() >= 254
    naive = torch.nn.functional.interpolate(
        torch.from_numpy(disc()[..., :3]).permute(2, 0, 1)[None].float(), scale_factor=4, mode="bicubic"
    )
    dark = naive[0].permute(1, 2, 0).clamp(0, 255).numpy() * alpha + 255 * (1 - alpha)
    assert dark.min() < 240  # the fringe that a plain enlargement has


def test_hidden_pixels_take_the_colour_of_the_nearest_edge(tmp_path: Path) -> None:
    pixels = np.zeros((64, 200, 4), np.uint8)
    pixels[:, :40] = (255, 0, 0, 255)
    pixels[:, 160:] = (0, 0, 255, 255)
    (band,) = open_picture(write_vips(tmp_path / "in.png", pixels)).rows(64)
    red, blue = band[0, 0, 32], band[0, 2, 32]
    assert red[:40].eq(1).all()
    assert red[40:48].min() > 0.95
    assert blue[152:160].min() > 0.95
    assert (red[40:160].diff() <= 1e-6).all()  # from one to the other without a step back
    assert red[40:160].diff().abs().max() < 0.08  # or a jump


def test_the_fill_does_not_depend_on_how_rows_are_asked_for(tmp_path: Path) -> None:
    pixels = noise(4, size=(50, 900))
    pixels[..., 3][np.random.default_rng(1).random((900, 50)) < 0.7] = 0
    pixels[300:520, :, 3] = 0
    picture = open_picture(write_vips(tmp_path / "in.png", pixels))
    whole = torch.cat(list(picture.rows(10_000)), 2)
    for height in (1, 33, 256):
        assert torch.equal(torch.cat(list(picture.rows(height)), 2), whole)


def test_a_wholly_transparent_picture_is_finite(tmp_path: Path) -> None:
    (band,) = open_picture(write_vips(tmp_path / "in.png", np.zeros((41, 67, 4), np.uint8))).rows(100)
    assert band.isfinite().all()
    assert band.min() >= 0
    assert band.max() <= 1


def test_jpeg_shows_transparent_pictures_on_white(tmp_path: Path) -> None:
    for depth in (8, 16):
        one = 2**depth - 1
        pixels = np.zeros((64, 64, 4), np.uint8 if depth == 8 else np.uint16)
        pixels[:, 32:, 3] = one
        result = values(copy(write_vips(tmp_path / "in.png", pixels), tmp_path / "out.jpg"))
        assert result.shape == (64, 64, 3)
        assert result[:, :24].min() >= 254
        assert result[:, 40:].max() <= 1


# HEIC and AVIF


def test_heic_is_turned_once_and_keeps_its_profile(tmp_path: Path) -> None:
    (tmp_path / "in.heic").write_bytes(heic_samples.turned())
    info = open_picture(tmp_path / "in.heic").info
    assert (info.width, info.height, info.depth, info.icc) == (45, 61, 8, P3)
    out = copy(tmp_path / "in.heic", tmp_path / "out.png")
    corners = values(out)[[3, 3, -3, -3], [3, -3, 3, -3]].astype(int)
    expected = [(40, 60, 200), (200, 30, 30), (240, 240, 240), (30, 160, 60)]
    assert np.abs(corners - expected).max() < 6
    assert Image.open(out).getexif()[0x0112] == 1
    assert Image.open(out).getexif()[0x010F] == "Acme"


def test_heic_of_10_bit_fills_16(tmp_path: Path) -> None:
    (tmp_path / "in.heic").write_bytes(heic_samples.deep())
    result = values(copy(tmp_path / "in.heic", tmp_path / "out.png"))
    assert result.dtype == np.uint16
    assert np.abs(result[-5, -5] / 257 - 240).max() < 1


def test_heic_alpha(tmp_path: Path) -> None:
    (tmp_path / "in.heic").write_bytes(heic_samples.with_alpha())
    result = values(copy(tmp_path / "in.heic", tmp_path / "out.png", scale=2))
    assert result.shape == (96, 128, 4)
    assert result[48, 64, 3] == 255
    assert result[4, 4, 3] == 0


@pytest.mark.parametrize(("bits", "kind"), [(8, np.uint8), (10, np.uint16), (12, np.uint16)])
def test_avif_white_is_white(tmp_path: Path, bits: int, kind: type) -> None:
    white = pyvips.Image.new_from_array(np.full((64, 64, 3), 65535, np.uint16)).copy(interpretation="rgb16")
    white.heifsave(str(tmp_path / "in.avif"), compression="av1", bitdepth=bits, Q=95)
    result = values(copy(tmp_path / "in.avif", tmp_path / "out.png"))
    assert result.dtype == kind
    assert result.min() >= np.iinfo(kind).max * 0.998
    assert result.max() >= np.iinfo(kind).max * 0.9995


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    source = write_vips(tmp_path / "in.png", noise(3))
    out = tmp_path / "a" / "b" / "out.png"
    check_output(out, SIZE, open_picture(source))
    assert not (tmp_path / "a").exists()
    assert copy(source, out).is_file()
