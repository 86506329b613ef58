"""Texts of PNG, and the comment of JPEG: kept, carried over, or told."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from support.exiftool import ExifTool
from support.picture_files import copy, smooth
from support.png_samples import chunks_of, write_png

PARAMETERS = "a tree with a bird\nSteps: 40, Seed: 1"
TEXTS = [
    (b"tEXt", b"parameters\0" + PARAMETERS.encode()),
    (b"tEXt", b"Copyright\0(c) 2024 J\xe4ne"),
    (b"zTXt", b"Author\0\0" + zlib.compress(b"J\xe4ne")),
    (b"iTXt", "Description\0\0\0de\0Beschreibung\0Baum 木".encode()),
    (b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(b'{"nodes": []}')),
]
TIME = (b"tIME", b"\x07\xe8\3\4\5\6\7")


def test_a_png_keeps_every_text_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_png(tmp_path / "in.png", smooth(), [*TEXTS[:2], TIME], behind=TEXTS[2:])
    out = copy(tmp_path / "in.png", tmp_path / "out.png", scale=2)
    assert [chunk for chunk in chunks_of(out) if chunk in [*TEXTS, TIME]] == [*TEXTS, TIME]
    assert not caplog.records


@pytest.mark.parametrize("result", ["jpg", "webp", "tif"])
def test_texts_go_where_exif_has_a_field_and_others_are_told(
    tmp_path: Path, result: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_png(tmp_path / "in.png", smooth(), TEXTS)
    out = copy(tmp_path / "in.png", tmp_path / f"out.{result}")
    exif = Image.open(out).getexif()
    said = {tag: exif[tag].encode("latin-1", "surrogateescape").decode() for tag in (0x8298, 0x013B)}
    assert said == {0x8298: "(c) 2024 Jäne", 0x013B: "Jäne"}
    assert exif.get_ifd(0x8769)[0x9286] == b"ASCII\0\0\0" + PARAMETERS.encode()
    expected = f"'{tmp_path / 'in.png'}': not kept in '{out}': the text 'workflow'"
    assert [record.getMessage() for record in caplog.records] == [expected]


@pytest.mark.exiftool
def test_exiftool_reads_them_in_any_script(exiftool: ExifTool, tmp_path: Path) -> None:
    texts = [(b"iTXt", "parameters\0\0\0\0\0木, ein Baum".encode()), TEXTS[3], (b"tEXt", b"Title\0T")]
    write_png(tmp_path / "in.png", smooth(), texts)
    for tags in exiftool.read(
        *(copy(tmp_path / "in.png", tmp_path / f"out.{result}") for result in ("jpg", "webp", "tif"))
    ):
        assert tags["ExifIFD:UserComment"] == "木, ein Baum"
        assert tags["IFD0:ImageDescription"] == "Baum 木"


@pytest.mark.parametrize("order", ["little", "big"])
def test_what_exif_says_itself_stays(tmp_path: Path, order: str, caplog: pytest.LogCaptureFixture) -> None:
    header = b"II*\0\x08\0\0\0\1\0" if order == "little" else b"MM\0*\0\0\0\x08\0\1"
    entry = b"\x3b\1\2\0\5\0\0\0\x1a\0\0\0" if order == "little" else b"\1\x3b\0\2\0\0\0\5\0\0\0\x1a"
    exif = header + entry + bytes(4) + b"Anna\0"
    write_png(
        tmp_path / "in.png", smooth(), [(b"eXIf", exif), (b"tEXt", b"Author\0Jane"), (b"tEXt", b"Software\0paint")]
    )
    for result in ("jpg", "webp", "tif"):
        read = Image.open(copy(tmp_path / "in.png", tmp_path / f"out.{result}")).getexif()
        assert (read[0x013B], read[0x0131]) == ("Anna", "paint")
    assert all(record.getMessage().endswith("the text 'Author'") for record in caplog.records)
    assert len(caplog.records) == 3


def test_the_comment_of_a_jpeg(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.fromarray(smooth()).save(tmp_path / "in.jpg", comment="Grüße")
    assert Image.open(copy(tmp_path / "in.jpg", tmp_path / "out.jpg")).info["comment"].decode() == "Grüße"
    png = Image.open(copy(tmp_path / "in.jpg", tmp_path / "out.png"))
    assert isinstance(png, PngImageFile)
    assert png.text["Comment"] == "Grüße"
    assert Image.open(copy(tmp_path / "out.png", tmp_path / "back.jpg")).info["comment"].decode() == "Grüße"
    for result in ("webp", "tif"):
        detail = Image.open(copy(tmp_path / "in.jpg", tmp_path / f"out.{result}")).getexif().get_ifd(0x8769)
        assert detail[0x9286] == b"UNICODE\0" + "Grüße".encode("utf-16-be")
    assert not caplog.records


def test_damaged_texts_are_passed_over(tmp_path: Path) -> None:
    broken = [
        (b"zTXt", b"Author\0\0not compressed"),
        (b"iTXt", b"Title\0\1\0"),
        (b"tEXt", b"no separator"),
        (b"iTXt", b"x\0"),
    ]
    write_png(tmp_path / "in.png", smooth(), [*broken, TEXTS[1]])
    data = (tmp_path / "in.png").read_bytes().replace(b"(c) 2024", b"(c) 2025", 1)  # its checksum is wrong now
    (tmp_path / "in.png").write_bytes(data)
    for result in ("png", "jpg"):
        out = copy(tmp_path / "in.png", tmp_path / f"out.{result}")
        assert np.asarray(Image.open(out)).shape == (41, 67, 3)
        assert b"2025" not in out.read_bytes()
