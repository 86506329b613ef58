"""Files that are no pictures, or damaged, or claim too much: one line of error, and nothing else."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from iqsr.errors import UsageError
from iqsr.images import open_picture, write_picture
from support import heic_samples
from support.commands import PATIENCE
from support.picture_errors import SIZE, opened, photo, run_python, the_error


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def claim(path: Path, width: int, height: int) -> None:
    """A PNG of a few bytes that says it is huge."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + body + png_chunk(b"IEND", b""))


def read(path: Path) -> None:
    for _ in open_picture(path).rows(64):
        pass


def animated(kind: str) -> Callable[[Path], None]:
    return lambda path: photo().save(path, kind, save_all=True, append_images=[photo(1)])


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "text": (lambda path: path.write_text("Grüße, I am not a picture.\n" * 50), "text file"),
    "noise": (lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)), "not a picture"),
    "folder": (lambda path: path.mkdir(), "folder"),
    "pipe": (os.mkfifo, "not a file"),
    "missing": (lambda path: None, "No such file"),
    "svg": (lambda path: path.write_text('<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'), "SVG"),
    "pdf": (lambda path: path.write_bytes(b"%PDF-1.7\n"), "PDF"),
    "animated gif": (animated("GIF"), "animated"),
    "animated png": (animated("PNG"), "animated"),
    "animated webp": (animated("WEBP"), "animated (2 frames)"),
    "pages": (animated("TIFF"), "2 pages"),
    "float": (lambda path: tifffile.imwrite(path, np.zeros((9, 9), np.float32)), "float"),
    "32 bit": (lambda path: tifffile.imwrite(path, np.zeros((9, 9), np.uint32)), "32 bits"),
    "camera raw": (
        lambda path: tifffile.imwrite(path, np.zeros((9, 9, 3), np.uint8), subfiletype=1, photometric="rgb"),
        "raw",
    ),
    "png of 12 bytes": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\x0d"), "damaged"),
    "heic without pictures": (lambda path: path.write_bytes(heic_samples.deep()[:40]), "damaged"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_is_named_in_one_line(tmp_path: Path, kind: str) -> None:
    make, word = REFUSED[kind]
    path = tmp_path / "a picture.png"
    make(path)
    message = the_error(lambda: open_picture(path))
    assert message.startswith(f"cannot read '{path}': ")
    assert word in message


@pytest.mark.parametrize(
    "suffix", ["png", "jpg", "progressive.jpg", "webp", "tif", "front.tif", "avif", "heic", "bmp", "gif", "ppm", "jp2"]
)
def test_a_truncated_file_is_an_error_and_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    path, out = tmp_path / f"in.{suffix}", tmp_path / "out"
    out.mkdir()
    if suffix == "heic":
        path.write_bytes(heic_samples.turned())
    elif suffix == "front.tif":  # the directory stands in front, so the header reads well
        tifffile.imwrite(path, np.asarray(photo()), photometric="rgb")
    else:
        options: dict[str, Any] = {"progressive": True} if suffix == "progressive.jpg" else {}
        photo().save(path, **options)
    read(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])

    def work() -> None:
        picture = open_picture(path)
        size = (picture.info.width, picture.info.height)
        write_picture(out / "out.png", picture.rows(16), source=picture, upscaled=size, size=size)

    message = the_error(work)
    assert message.startswith(f"cannot read '{path}': the file is damaged or cut short (")
    assert list(out.iterdir()) == []


def test_a_file_that_changes_after_it_was_opened(tmp_path: Path) -> None:
    picture = opened(tmp_path / "in.png")
    Image.new("RGB", (10, 10)).save(tmp_path / "in.png")
    assert "changed" in the_error(lambda: list(picture.rows(64)))


def test_a_bomb_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim(tmp_path / "bomb.png", 60_000, 60_000)
    message = the_error(lambda: open_picture(tmp_path / "bomb.png"))
    assert "60000 x 60000" in message
    assert "IQSR_MAX_PIXELS" in message
    monkeypatch.setenv("IQSR_MAX_PIXELS", str(60_000**2))
    assert open_picture(tmp_path / "bomb.png").info.width == 60_000
    monkeypatch.setenv("IQSR_MAX_PIXELS", str(SIZE[0] * SIZE[1] - 1))
    photo().save(tmp_path / "small.png")
    assert "allowed" in the_error(lambda: open_picture(tmp_path / "small.png"))
    monkeypatch.setenv("IQSR_MAX_PIXELS", "many")
    assert "'many'" in the_error(lambda: open_picture(tmp_path / "small.png"), UsageError)


def test_the_pixel_limit_holds_for_heic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IQSR_MAX_PIXELS", "1000")
    (tmp_path / "in.heic").write_bytes(heic_samples.deep())
    assert "64 x 48" in the_error(lambda: open_picture(tmp_path / "in.heic"))


def test_libvips_keeps_quiet(tmp_path: Path) -> None:
    # Unknown tags and bytes before a marker make libtiff and libjpeg warn.
    tifffile.imwrite(tmp_path / "tag.tif", np.asarray(photo()), extratags=[(65000, "s", 0, "?", True)])
    photo().save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    at = data.index(b"\xff\xdb")
    (tmp_path / "odd.jpg").write_bytes(data[:at] + b"\0\0\0\0" + data[at:])
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    code = """
        import logging, sys
        from pathlib import Path
        from iqsr.errors import PictureError
        from iqsr.images import open_picture
        logging.basicConfig()
        for name in sys.argv[1:]:
            try:
                print(sum(band.shape[2] for band in open_picture(Path(name)).rows(50)))
            except PictureError:
                print("error")
    """
    process = run_python(code, *(tmp_path / name for name in ("tag.tif", "odd.jpg", "cut.jpg")))
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert stderr == ""
    assert stdout.split() == ["200", "200", "error"]
