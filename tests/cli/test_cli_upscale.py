"""`iqsr upscale`: sizes, formats, what is there already."""

import re
from pathlib import Path

import pytest
import pyvips
from PIL import Image

from support import heic_samples
from support.cli_pictures import FAST, everything, picture, process, size_of
from support.commands import Run


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


# One picture


def test_the_module_is_the_command_and_a_pipe_stays_clean() -> None:
    picture("über 写真.png")
    ended = process("upscale", "über 写真.png", "-o", "new folder/out [1].png", *FAST)
    assert ended.code == 0
    assert ended.out == ""
    assert re.fullmatch(r"new folder/out \[1\]\.png: 128 x 96 in \d+\.\d s\n", ended.err)
    assert size_of("new folder/out [1].png") == (128, 96)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ((), (128, 96)),
        (("--scale", "1"), (32, 24)),
        (("-s", "2.5"), (80, 60)),
        (("--scale", "5"), (160, 120)),
        (("--width", "100"), (100, 75)),
        (("--height", "50"), (67, 50)),
        (("--width", "50", "--height", "99"), (50, 99)),
        (("--model", "realesr-animevideov3-x2"), (64, 48)),
        (("--tile", "32", "--precision", "fp32", "--device", "cpu"), (128, 96)),
        (("--memory", "0.5"), (128, 96)),
    ],
)
def test_options_make_the_size(iqsr: Run, options: tuple[str, ...], size: tuple[int, int]) -> None:
    picture("a.png")
    assert iqsr("upscale", "a.png", "-o", "o.png", *(FAST[2:] if "--model" in options else FAST), *options).code == 0
    assert size_of("o.png") == size


@pytest.mark.parametrize(
    ("source", "format", "out", "kind"),
    [
        ("a.png", "png", "a.png", "PNG"),
        ("a.png", "jpg", "a.jpg", "JPEG"),
        ("a.png", "webp", "a.webp", "WEBP"),
        ("a.png", "tiff", "a.tiff", "TIFF"),
        ("a.jpeg", "auto", "a.jpeg", "JPEG"),
        ("a.webp", "auto", "a.webp", "WEBP"),
        ("a.tif", "auto", "a.tif", "TIFF"),
    ],
)
def test_format_makes_the_file(iqsr: Run, source: str, format: str, out: str, kind: str) -> None:
    picture(source)
    assert iqsr("upscale", source, "-o", "o", "--format", format, *FAST).code == 0
    assert [path.name for path in Path("o").iterdir()] == [out]
    with Image.open(Path("o") / out) as image:
        assert (image.format, image.size) == (kind, (128, 96))


def test_heic_and_avif_become_png(iqsr: Run) -> None:
    Path("a.heic").write_bytes(heic_samples.with_alpha())
    noise = pyvips.Image.gaussnoise(48, 32, mean=128).cast("uchar").bandjoin([90, 200]).copy(interpretation="srgb")
    noise.heifsave("b.avif", compression="av1")
    assert iqsr("upscale", "a.heic", "b.avif", "-o", "o", *FAST).code == 0
    with Image.open("o/a.png") as a, Image.open("o/b.png") as b:
        assert (a.format, a.mode, a.size) == ("PNG", "RGBA", (256, 192))
        assert (b.format, b.mode, b.size) == ("PNG", "RGB", (192, 128))


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_quality_makes_the_files_weight(iqsr: Run, suffix: str) -> None:
    picture("a.png")
    weights: list[int] = []
    for quality in ("10", "60", "100"):
        assert iqsr("upscale", "a.png", "-o", f"{quality}.{suffix}", "--quality", quality, *FAST).code == 0
        weights.append(Path(f"{quality}.{suffix}").stat().st_size)
    assert weights[0] * 1.5 < weights[1]
    assert weights[1] * 1.5 < weights[2]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("-o", "o/"), " for 2 of 4 results"),
        (("-o", "o/", "--format", "tiff"), ""),
        (("-o", "o/", "--format", "webp"), None),
    ],
)
def test_a_quality_that_png_and_tiff_do_not_have_is_told_in_a_line(
    iqsr: Run, options: tuple[str, ...], told: str | None
) -> None:
    for name in ("a.png", "b.jpg", "c.tif", "d.webp"):
        picture(f"in/{name}")
    ended = iqsr("upscale", "in", *options, "--quality", "80", "--dry-run", *FAST)
    assert ended.code == 0
    line = f"iqsr: --quality changes nothing{told}: PNG and TIFF are lossless\n"
    assert ended.err == ("" if told is None else line)


def test_suffix_beside_the_source_and_twice_the_same_command(iqsr: Run) -> None:
    picture("in/a.png")
    picture("in/b.jpg")
    command = ("upscale", "in/*", "--suffix", "_x4", *FAST)
    assert iqsr(*command).code == 0
    once = everything()
    assert sorted(once) == ["in/a.png", "in/a_x4.png", "in/b.jpg", "in/b_x4.jpg"]
    again = iqsr(*command, "--skip-existing")
    assert (again.code, again.err) == (0, "2 skipped\n")
    assert everything() == once


def test_a_stopped_run_into_the_folder_of_the_sources_goes_on_in_another_format(iqsr: Run) -> None:
    picture("in/a.png")
    picture("in/x/b.jpg")
    sources = everything()
    command = ("upscale", "in", "-o", "in", "--format", "webp", *FAST)
    assert iqsr(*command).err == "2 upscaled\n"
    whole = everything()
    assert sorted(whole) == ["in/a.png", "in/a.webp", "in/x/b.jpg", "in/x/b.webp"]
    for more in ([], ["--overwrite"]):
        Path("in/x/b.webp").unlink()  # as if it had been stopped
        refused = iqsr(*command, *more)
        assert refused.code == 1
        assert "'in/a.png' would become 'in/a.webp', which would replace a source" in refused.err
        assert refused.err.endswith("1 upscaled, 2 failed\n")
        assert everything() == whole
    Path("in/x/b.webp").unlink()
    again = iqsr(*command, "--skip-existing")
    assert (again.code, again.err) == (0, "1 upscaled, 1 skipped\n")
    assert everything() == whole
    assert whole.items() >= sources.items()


def test_a_tree_is_mirrored_and_the_output_inside_it_is_not_read_again(iqsr: Run) -> None:
    picture("in/a.png")
    picture("in/deep/er/b.png")
    picture("in/.hidden/c.png")
    command = ("upscale", "in", "-o", "in/large", *FAST)
    assert iqsr(*command).err == "2 upscaled\n"
    assert iqsr(*command, "--skip-existing").err == "2 skipped\n"
    assert sorted(everything("in/large")) == ["in/large/a.png", "in/large/deep/er/b.png"]


# What is there already


def test_existing_results_are_refused_skipped_or_overwritten_as_told(iqsr: Run) -> None:
    picture("in/a.png")
    picture("in/b.png")
    names = ["o/a.png", "o/b.png"]
    Path("o").mkdir()
    for name in names:
        Path(name).write_bytes(b"mine")
    for more in ([], ["--dry-run"]):
        refused = iqsr("upscale", "in", "-o", "o", *FAST, *more)
        assert refused.code == 2
        assert refused.err == "iqsr: 'o/a.png' and 1 more exist: use --skip-existing or --overwrite\n"
    assert all(Path(name).read_bytes() == b"mine" for name in names)

    skipped = iqsr("upscale", "in", "-o", "o", "--skip-existing", *FAST)
    assert (skipped.code, skipped.err) == (0, "2 skipped\n")
    assert all(Path(name).read_bytes() == b"mine" for name in names)

    replaced = iqsr("upscale", "in", "-o", "o", "--overwrite", *FAST)
    assert (replaced.code, replaced.err) == (0, "2 upscaled\n")
    assert [size_of(name) for name in names] == [(128, 96), (128, 96)]


@pytest.mark.parametrize("more", [[], ["--overwrite"], ["--skip-existing"]])
def test_a_source_is_never_replaced(iqsr: Run, more: list[str]) -> None:
    source = picture("a.png").read_bytes()
    ended = iqsr("upscale", "a.png", "-o", "a.png", *FAST, *more)
    assert ended.code == 2
    assert "would replace a source" in ended.err
    assert Path("a.png").read_bytes() == source


def test_compare_writes_one_page_of_several_models_and_nothing_else(iqsr: Run) -> None:
    picture("a.png", (24, 16))
    models = "realesr-animevideov3,realesr-animevideov3-x2"
    ended = iqsr("upscale", "a.png", "-m", models, "--threads", "1", "--compare", "page.html")
    assert (ended.code, ended.out) == (0, "page.html: 2 models\n"), ended.err
    page = Path("page.html").read_text(encoding="utf-8")
    assert "realesr-animevideov3-x2" in page
    assert "96 × 64 pixels" in page
    assert "48 × 32 pixels" in page
    assert sorted(path.name for path in Path().iterdir()) == ["a.png", "page.html"]
    again = iqsr("upscale", "a.png", "-m", models, "--compare", "page.html")
    assert (again.code, again.err) == (2, "iqsr: 'page.html' exists: use --overwrite, or name another\n")


def test_compare_takes_one_picture_and_models_that_exist(iqsr: Run) -> None:
    picture("a.png")
    picture("b.png")
    assert "--compare takes one picture, got 2" in iqsr("upscale", "a.png", "b.png", "--compare", "page.html").err
    ended = iqsr("upscale", "a.png", "-m", "realesr-animevideov3,realesr-x9", "--compare", "page.html")
    assert (ended.code, ended.err[:30]) == (2, "iqsr: unknown model 'realesr-x")
    assert not Path("page.html").exists()


def test_compare_refuses_what_it_would_ignore(iqsr: Run) -> None:
    picture("a.png")
    ended = iqsr("upscale", "a.png", "-o", "b.png", "--dry-run", "--quality", "90", "--compare", "page.html")
    line = "iqsr: --compare writes a page alone: leave out -o, --quality, --dry-run\n"
    assert (ended.code, ended.err) == (2, line)
    assert sorted(path.name for path in Path().iterdir()) == ["a.png"]


def test_fast_is_the_small_network_by_a_shorter_name(iqsr: Run) -> None:
    picture("a.png")
    assert iqsr("upscale", "a.png", "-o", "fast.png", "--fast").code == 0
    assert iqsr("upscale", "a.png", "-o", "named.png", "-m", "iqsr-compact-x4").code == 0
    assert Path("fast.png").read_bytes() == Path("named.png").read_bytes()
    for other in ("realesr-animevideov3", "realesrgan-x4plus"):
        ended = iqsr("upscale", "a.png", "-o", "both.png", "--fast", "-m", other)
        assert ended.code == 2
        assert ended.err == "iqsr: --fast is --model iqsr-compact-x4: leave out one of --fast and --model\n"


def test_strength_slides_from_the_plain_network_to_the_sharpened_one(iqsr: Run) -> None:
    picture("a.png")
    for name, options in (("plain", ("-m", "realesrgan-x4plus")), ("none", ("--strength", "0")), ("default", ())):
        assert iqsr("upscale", "a.png", "-o", f"{name}.png", *options).code == 0
    assert iqsr("upscale", "a.png", "-o", "named.png", "-m", "realesrgan-x4plus-crisp", "--strength", "0.3").code == 0
    assert Path("none.png").read_bytes() == Path("plain.png").read_bytes()
    assert Path("named.png").read_bytes() == Path("default.png").read_bytes() != Path("plain.png").read_bytes()


def test_strength_is_refused_in_one_line_before_any_work(iqsr: Run) -> None:
    picture("a.png")
    for options, line in (
        (("--strength", "2"), "the strength goes from 0 to 1, got 2"),
        (
            ("--strength", "0.5", "--fast"),
            "'iqsr-compact-x4' sharpens nothing, so it has no strength; realesrgan-x4plus-crisp has one",
        ),
    ):
        ended = iqsr("upscale", "a.png", "-o", "b.png", *options)
        assert (ended.code, ended.err) == (2, f"iqsr: {line}\n")
    assert not Path("b.png").exists()
