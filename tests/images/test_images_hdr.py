"""HDR as HEIC, AVIF and JPEG have it: by numbers, or as a gain map beside the picture."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from iqsr.images.metadata import heif_boxes
from support import heic_samples
from support.picture_errors import the_error
from support.picture_files import copy, smooth
from support.png_samples import chunks_of


def test_hdr_of_heic_goes_on_in_png(tmp_path: Path) -> None:
    data = heic_samples.deep()
    at = data.index(b"nclx") + 4
    (tmp_path / "in.heic").write_bytes(data[:at] + struct.pack(">HH", 9, 16) + data[at + 4 :])
    out = copy(tmp_path / "in.heic", tmp_path / "out.png")
    assert (b"cICP", bytes((9, 16, 0, 1))) in chunks_of(out)
    assert "HDR colours (PQ, BT.2020)" in the_error(lambda: copy(tmp_path / "in.heic", tmp_path / "out.webp"))


@pytest.mark.parametrize("full", [True, False])
def test_the_range_of_an_avif_is_the_decoders_matter(tmp_path: Path, full: bool) -> None:
    options = {"quality": 100, "subsampling": "4:4:4", "range": "full" if full else "limited"}
    Image.fromarray(smooth()).save(tmp_path / "in.avif", **options)
    out = copy(tmp_path / "in.avif", tmp_path / "out.png")
    assert np.abs(np.asarray(Image.open(out)).astype(int) - smooth()).max() <= 4
    assert all(name not in (b"cICP", b"iCCP") for name, _ in chunks_of(out))


def test_the_gain_map_of_a_heic_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    alpha, gain_map = b"urn:mpeg:hevc:2015:auxid:1", b"urn:apple:aux:hdrgainmap\0\0"  # Apple's, in the room there is
    (tmp_path / "in.heic").write_bytes(heic_samples.with_alpha().replace(alpha, gain_map))
    out = copy(tmp_path / "in.heic", tmp_path / "out.jpg")
    assert f"'{tmp_path / 'in.heic'}': not kept in '{out}': the HDR gain map" in caplog.text


@pytest.mark.parametrize("how", ["xmp", "iso"])
def test_the_gain_map_of_a_jpeg_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"/></x:xmpmeta>'
    options: dict[str, Any] = {"xmp": xmp} if how == "xmp" else {}
    Image.fromarray(smooth()).save(tmp_path / "in.jpg", **options)
    if how == "iso":  # ISO 21496-1
        data, name = (tmp_path / "in.jpg").read_bytes(), b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"
        segment = b"\xff\xe2" + struct.pack(">H", len(name) + 2) + name
        (tmp_path / "in.jpg").write_bytes(data[:2] + segment + data[2:])
    copy(tmp_path / "in.jpg", tmp_path / "out.png")
    assert "the HDR gain map" in caplog.text


def test_the_gain_map_of_an_avif_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture = Image.fromarray(smooth())
    picture.putalpha(128)
    picture.save(tmp_path / "in.avif")
    data = (tmp_path / "in.avif").read_bytes()
    second = data.index(b"infe", data.index(b"infe") + 4)  # of the alpha plane: version, number, protection, type
    assert data[second + 12 : second + 16] == b"av01"
    (tmp_path / "in.avif").write_bytes(data[: second + 12] + b"tmap" + data[second + 16 :])
    copy(tmp_path / "in.avif", tmp_path / "out.png")
    assert "the HDR gain map" in caplog.text


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def test_the_light_of_a_master_goes_from_boxes_into_chunks(tmp_path: Path) -> None:
    """SMPTE ST 2086 and CTA-861.3: a display of BT.2020, 1000 cd/m2, in the units of either format."""
    red, green, blue, white = (35400, 14600), (8500, 39850), (6550, 2300), (15635, 16450)
    levels = struct.pack(">II", 10_000_000, 50)
    mdcv = box(b"mdcv", struct.pack(">8H", *green, *blue, *red, *white) + levels)
    clli, nclx = (
        box(b"clli", struct.pack(">HH", 1000, 400)),
        box(b"colr", b"nclx" + struct.pack(">HHHB", 9, 16, 9, 128)),
    )
    ipma = box(b"ipma", bytes(4) + struct.pack(">IHB3B", 1, 1, 3, 1, 2, 0x83))
    meta = bytes(4) + box(b"pitm", struct.pack(">IH", 0, 1)) + box(b"iprp", box(b"ipco", nclx + mdcv + clli) + ipma)
    (tmp_path / "in.avif").write_bytes(box(b"ftyp", b"avif\0\0\0\0") + box(b"meta", meta))
    facts = heif_boxes.read(tmp_path / "in.avif")
    assert facts.numbers == (9, 16)
    assert facts.light == (
        (b"mDCV", struct.pack(">8H", *red, *green, *blue, *white) + levels),
        (b"cLLI", struct.pack(">II", 10_000_000, 4_000_000)),
    )


def test_boxes_cut_anywhere_cost_no_more_than_the_numbers(tmp_path: Path) -> None:
    Image.fromarray(smooth()).save(tmp_path / "whole.avif")
    data = (tmp_path / "whole.avif").read_bytes()
    assert heif_boxes.read(tmp_path / "whole.avif").numbers == (1, 13)
    for length in range(1, 400):
        (tmp_path / "cut.avif").write_bytes(data[:length])
        assert heif_boxes.read(tmp_path / "cut.avif").numbers in (None, (1, 13))
    meta = data.index(b"meta")
    for at in range(meta, meta + 350):  # every byte of the header wrong
        (tmp_path / "bad.avif").write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
        heif_boxes.read(tmp_path / "bad.avif")
