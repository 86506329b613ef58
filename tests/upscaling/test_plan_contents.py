"""The content of a file says which format its result keeps, and a line tells of names that say something else."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iqsr.upscaling.jobs import UpscaleOptions
from iqsr.upscaling.plan import plan
from support import heic_samples
from support.cli_pictures import FAST, names, picture
from support.commands import Run


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def named(name: str, kind: str) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    if kind == "HEIC":
        Path(name).write_bytes(heic_samples.deep())
    else:
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(name, kind)
    return name


@pytest.mark.parametrize(
    ("name", "kind", "out"),
    [
        ("a.jpg", "PNG", "a.png"),
        ("a.png", "JPEG", "a.jpg"),
        ("a.png", "WEBP", "a.webp"),
        ("a.JPG", "TIFF", "a.tif"),
        ("a.tga", "JPEG", "a.jpg"),
        ("a.bmp", "PNG", "a.png"),
        ("a.jpg", "HEIC", "a.png"),
        ("a.png", "BMP", "a.png"),
    ],
)
def test_the_content_says_which_format_is_kept(
    caplog: pytest.LogCaptureFixture, name: str, kind: str, out: str
) -> None:
    (job,) = plan([named(name, kind)], "o")
    assert job.out == Path("o") / out
    assert [message.partition(", ")[0] for message in caplog.messages] == [
        f"'{name}' is a {'WebP' if kind == 'WEBP' else kind} file"
    ]


@pytest.mark.parametrize(
    ("name", "kind", "out"),
    [
        ("a.jfif", "JPEG", "a.jfif"),
        ("a.JPE", "JPEG", "a.JPE"),
        ("a.mpo", "JPEG", "a.jpg"),
        ("a.tiff", "TIFF", "a.tiff"),
        ("a.heif", "AVIF", "a.png"),
        ("a.hif", "HEIC", "a.png"),
        ("a.dib", "BMP", "a.png"),
        ("a", "WEBP", "a.webp"),
        ("a.0001", "JPEG", "a.jpg"),
    ],
)
def test_names_that_are_right_or_say_nothing_need_no_line(
    caplog: pytest.LogCaptureFixture, name: str, kind: str, out: str
) -> None:
    (job,) = plan([named(name, kind)], "o")
    assert job.out == Path("o") / out
    assert caplog.messages == []


def test_a_format_or_file_that_was_asked_for_is_made_whatever_the_content(caplog: pytest.LogCaptureFixture) -> None:
    named("a.jpg", "PNG")
    assert [job.out.name for job in plan(["a.jpg"], "o", UpscaleOptions(format="webp"))] == ["a.webp"]
    assert [job.out.name for job in plan(["a.jpg"], "o.jpg")] == ["o.jpg"]
    assert len(caplog.messages) == 2  # and the line comes all the same
    named("a.jpg", "AVIF")
    plan(["a.jpg"], "o")
    assert caplog.messages[2] == "'a.jpg' is an AVIF file, not what its name says"


def test_folders_are_searched_for_every_usual_name() -> None:
    usual = ["png", "jpg", "jpeg", "jpe", "jfif", "jif", "webp", "tif", "tiff", "heic", "heif", "hif", "avif"]
    usual += ["bmp", "dib", "gif", "ppm", "pgm", "pbm", "pnm", "jp2", "j2k", "jpx"]
    names(*(f"in/{ending}/a.{ending}" for ending in usual))
    assert {job.source.suffix[1:] for job in plan(["in"], "o")} == set(usual)


def test_transparency_and_16_bit_survive_a_wrong_name(iqsr: Run) -> None:
    cut_out = np.zeros((16, 16, 4), np.uint8)
    cut_out[4:12, 4:12] = (255, 0, 0, 255)
    Image.fromarray(cut_out).save("sticker.jpg", "PNG")
    Image.fromarray((np.arange(256).reshape(16, 16) * 257).astype(np.uint16)).save("scan.jpg", "PNG")
    ended = iqsr("upscale", "sticker.jpg", "scan.jpg", "-o", "o", *FAST)
    assert ended.code == 0
    assert "'sticker.jpg' is a PNG file, not what its name says" in ended.err
    assert sorted(path.name for path in Path("o").iterdir()) == ["scan.png", "sticker.png"]
    assert np.asarray(Image.open("o/sticker.png"))[0, 0, 3] == 0
    assert Image.open("o/scan.png").mode == "I;16"


@pytest.mark.parametrize("out", ["-", "o.xyz", "o.hif"])
def test_an_output_that_cannot_be_leaves_nothing(iqsr: Run, out: str) -> None:
    picture("a.png")
    ended = iqsr("upscale", "a.png", "-o", out, *FAST)
    assert ended.code == 2
    assert ended.err.startswith("iqsr: cannot write ")
    assert ended.err.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["a.png"]


def test_straight_alpha_on_the_command_line(iqsr: Run) -> None:
    texture = np.full((16, 16, 4), 200, np.uint8)
    texture[:, :8] = (200, 40, 40, 0)
    Image.fromarray(texture).save("gloss.png")
    assert iqsr("upscale", "gloss.png", "-o", "o.png", "--alpha", "straight", *FAST).code == 0
    hidden = np.asarray(Image.open("o.png"))[:, :20].astype(int)
    assert np.abs(hidden[..., :3] - (200, 40, 40)).mean() < 10
    assert (hidden[..., 3] == 0).all()
    ended = iqsr("upscale", "gloss.png", "-o", "o2.png", "--alpha", "strait", *FAST)
    assert (ended.code, ended.err) == (2, "iqsr: unknown --alpha 'strait'; known: straight, transparency\n")
