"""The `iqsr` command: what it prints, its exit codes, and what survives a kill, an interrupt and a full disk."""

import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import pyvips
import typer
from PIL import Image

import heic_samples
from commands import PATIENCE, Ended, Run
from iqsr.cli import app
from iqsr.cli.upscale import MODELS
from iqsr.generators import generator_names

IQSR = (sys.executable, "-m", "iqsr")
FAST = ("--model", "realesr-animevideov3", "--threads", "1")
ESCAPE = "\x1b"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def process(*arguments: str) -> Ended:
    ended = subprocess.run([*IQSR, *arguments], capture_output=True, text=True, timeout=PATIENCE)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def picture(path: str, size: tuple[int, int] = (32, 24), mode: str = "RGB") -> Path:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).convert(mode).save(place)
    return place


def everything(folder: str = ".") -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def size_of(path: str | Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()  # fails where the file is cut short
        return image.size


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
    assert iqsr("upscale", "a.png", "-o", "o.png", *FAST, *options).code == 0
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


# What it says


def test_a_dry_run_tells_all_and_writes_nothing(iqsr: Run) -> None:
    picture("in/a.png")
    Path("in/b.png").write_text("no picture")
    before = everything()
    ended = iqsr("upscale", "in", "-o", "o", "--scale", "2", "--dry-run", "--precision", "fp32", *FAST)
    assert ended.code == 1  # as the run itself would end
    assert ended.out == "in/a.png (32 x 24) -> o/a.png (64 x 48) [exact streaming, fp32, cpu]\n"
    assert ended.err.startswith("iqsr: cannot read 'in/b.png': it is a text file")
    assert everything() == before
    assert not Path("o").exists()


def test_a_dry_run_as_json_tells_what_will_be_skipped(iqsr: Run) -> None:
    picture("in/a.png")
    picture("in/b.png")
    picture("o/b.png")
    ended = iqsr("upscale", "in", "-o", "o", "--dry-run", "--json", "--skip-existing", *FAST)
    states = {facts["source"]: facts["state"] for facts in map(json.loads, ended.out.splitlines())}
    assert states == {"in/a.png": "planned", "in/b.png": "skipped"}
    assert (ended.code, ended.err) == (0, "")


def test_json_lines_hold_the_facts(iqsr: Run) -> None:
    picture("in/a.png")
    Path("in/b.png").write_bytes(b"")
    picture("in/c.png")
    picture("o/c.png")
    command = ("upscale", "in", "-o", "o", "--json", "--skip-existing", "--precision", "fp32", *FAST)
    ended = iqsr(*command)
    assert (ended.code, ended.err) == (1, "")
    a, b, c = map(json.loads, ended.out.splitlines())
    assert 0 < a.pop("seconds") < 60
    assert a == {
        "source": "in/a.png",
        "output": "o/a.png",
        "state": "done",
        "size_in": [32, 24],
        "size": [128, 96],
        "how": "exact streaming, fp32, cpu",
    }
    assert b == {
        "source": "in/b.png",
        "output": "o/b.png",
        "state": "failed",
        "error": "cannot read 'in/b.png': the file is empty (0 bytes)",
    }
    assert c == {"source": "in/c.png", "output": "o/c.png", "state": "skipped"}


def test_a_bad_picture_is_one_line_and_the_rest_goes_on(iqsr: Run) -> None:
    picture("in/a.png")
    Path("in/b.png").write_text("no picture")
    picture("in/c.png")
    ended = iqsr("upscale", "in", "-o", "o", *FAST)
    assert ended.code == 1
    failure, counts = ended.err.splitlines()
    assert failure.startswith("iqsr: cannot read 'in/b.png': it is a text file")
    assert counts == "2 upscaled, 1 failed"
    assert sorted(everything("o")) == ["o/a.png", "o/c.png"]


def test_a_warning_is_a_line_like_an_error(iqsr: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    picture("in/a.png")
    walk = os.walk

    def locked(top: Path, onerror: Callable[[OSError], None]) -> Iterator[tuple[str, list[str], list[str]]]:
        onerror(PermissionError(13, "Permission denied", "in/locked\n"))
        return walk(top)

    monkeypatch.setattr(os, "walk", locked)
    for _ in range(2):  # and once a command
        ended = iqsr("upscale", "in", "-o", "o", "--dry-run", *FAST)
        assert (ended.code, ended.err) == (0, "iqsr: left out 'in/locked\\n': Permission denied\n")


def test_no_file_name_breaks_a_line(iqsr: Run) -> None:
    odd = os.fsdecode(b"in/a\xff\n\x1b[31m:smile:[bold].png")
    Path("in").mkdir()
    Path(odd).write_text("no picture")
    for more in ([], ["--dry-run"]):
        ended = iqsr("upscale", "in", "-o", "o", *FAST, *more)
        assert ended.code == 1
        assert r"'in/a\udcff\n\x1b[31m:smile:[bold].png'" in ended.err.splitlines()[0]
        assert ESCAPE not in ended.err
    ended = iqsr("upscale", "in", "-o", "o", *FAST, "--json")
    assert json.loads(ended.out)["source"] == odd


@contextmanager
def on_a_terminal(*arguments: str) -> Generator[tuple[subprocess.Popen[bytes], Iterator[str]]]:
    """The command with a pseudo-terminal for its standard error: the process, and what comes as it comes."""
    import pty

    mine, its = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen([*IQSR, *arguments], stderr=its, stdout=subprocess.PIPE, env=environment)
    os.close(its)

    def pieces() -> Iterator[str]:
        while True:
            try:
                piece = os.read(mine, 1 << 16)
            except OSError:  # how Linux says that the other side is closed
                return
            if not piece:
                return
            yield piece.decode(errors="replace")

    try:
        yield process, pieces()
    finally:
        process.kill()
        process.wait()
        os.close(mine)


def test_a_terminal_gets_bars_which_vanish(tmp_path: Path) -> None:
    picture("in/a.png", (160, 200))
    Path("in/b :smile: [bold].png").write_text("no picture")
    with on_a_terminal("upscale", "in", "-o", "o", *FAST) as (process, pieces):
        said = "".join(pieces)
        assert process.wait(60) == 1
        assert process.stdout is not None
        assert process.stdout.read() == b""
    assert re.search("━━━━", said)
    assert "of 2 pictures" in said
    assert re.search(r"a\.png.*\d MP/s", said)
    assert re.search(r"\d+ %", said)
    assert re.search(r"\d:\d\d:\d\d", said)  # time left
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)
    assert "iqsr: cannot read 'in/b :smile: [bold].png': it is a text file" in " ".join(text.split())
    assert text.rstrip().endswith("1 upscaled, 1 failed")


# Wrong arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "realesrgan-x4"], "unknown model 'realesrgan-x4'; known: realesrgan-x4plus, realesrgan-"),
        (["--model", "animevideov3-x2"], "unknown model 'animevideov3-x2'; known: realesr-animevideov3-x2, "),
        (["--scale", "0.5"], "--scale goes from 1 to 16, got 0.5"),
        (["--scale", "17"], "--scale goes from 1 to 16, got 17"),
        (["--scale", "nan"], "--scale goes from 1 to 16, got nan"),
        (["--scale", "big"], "Invalid value for '-s' / '--scale'"),
        (["--scale", "2", "--width", "100"], "give either --scale or --width/--height, not both"),
        (["--width", "0"], "--width and --height are at least 1 pixel"),
        (["--precision", "int4"], "unknown precision 'int4'; choose auto, fp32, bf16, fp16"),
        (["--device", "tpu"], "unknown device 'tpu'; choose auto, cpu, cuda, cuda:N or mps"),
        (["--device", "mps"], "no mps device on this machine"),
        (["--backend", "tensorrt"], "unknown backend 'tensorrt'; choose torch or openvino"),
        (["--format", "bmp"], "unknown format 'bmp'; choose auto, png, jpg, webp, tiff"),
        (["--tile", "8"], "a tile has at least 16 pixels a side, got 8"),
        (["--quality", "0"], "--quality goes from 1 to 100, got 0"),
        (["--quality", "101"], "--quality goes from 1 to 100, got 101"),
        (["--threads", "0"], "Invalid value for '--threads'"),
        (["--memory", "-1"], "Invalid value for '--memory'"),
        (["--suffix", "/x"], "a suffix is a part of a file's name"),
        (["--skip-existing", "--overwrite"], "--skip-existing and --overwrite exclude each other"),
        (
            ["--backend", "openvino", "--device", "cuda"],
            "the backend openvino computes on the CPU",
        ),
        ([""], "a name is empty"),
        (["-o", ""], "a name is empty"),
        (["missing.png"], "no such picture, folder or pattern: 'missing.png'"),
        (["--skale", "2"], "No such option: --skale"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(iqsr: Run, arguments: list[str], message: str) -> None:
    picture("a.png")
    fast = FAST if "--model" not in arguments else FAST[2:]
    ended = iqsr("upscale", "a.png", "-o", "o/", *fast, *arguments)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith(f"iqsr: {message}")
    assert ended.err.count("\n") == 1
    assert sorted(everything()) == ["a.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["upscale"], "iqsr: Missing argument 'INPUT...'; see `iqsr upscale --help`\n"),
        (["zzz"], "iqsr: No such command 'zzz'; see `iqsr --help`\n"),
        (["weights", "fetch"], "iqsr: Missing argument 'NAME'; see `iqsr weights fetch --help`\n"),
    ],
)
def test_a_wrong_command_says_where_the_help_is(iqsr: Run, arguments: list[str], message: str) -> None:
    ended = iqsr(*arguments)
    assert (ended.code, ended.out, ended.err.lower()) == (2, "", message.lower())


def test_wrong_arguments_have_no_traceback_in_a_process_of_their_own() -> None:
    picture("a.png")
    ended = process("upscale", "a.png", "--model", "realesrgan-x4")
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert ESCAPE not in ended.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["weights", "fetch", "realesrgan"], 2, "unknown weights 'realesrgan'; known: realesrgan-x"),
        (["weights", "import", "gone"], 2, "no such folder: 'gone'"),
        (["export", "realesrgan-x4", "-o", "a.onnx"], 2, "unknown model 'realesrgan-x4'; known: realesrgan-x4plus"),
        (["export", "realesr-animevideov3", "-o", "a.txt"], 2, "a.txt: expected a name that ends in"),
        (["export", "realesr-animevideov3", "-o", "no/a.safetensors"], 1, "no/a.safetensors: cannot be written: No "),
        (["export", "gone.pth", "-o", "a.safetensors"], 2, "no such checkpoint: 'gone.pth'"),
        (["upscale", "a.png", "--model", "gone.pth"], 2, "no such checkpoint: 'gone.pth'"),
    ],
)
def test_errors_are_one_line_and_their_exit_code(iqsr: Run, arguments: list[str], code: int, message: str) -> None:
    picture("a.png")
    ended = iqsr(*arguments)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith(f"iqsr: {message}")
    assert ended.err.count("\n") == 1


def test_export_and_weights_succeed(iqsr: Run) -> None:
    ended = iqsr("export", "realesr-animevideov3", "-o", "a.safetensors")
    assert ended.code == 0
    assert ended.out.splitlines()[-1].startswith("a.safetensors  ")
    picture("a.png")
    assert iqsr("upscale", "a.png", "-o", "o.png", "--model", "a.safetensors").code == 0
    assert size_of("o.png") == (128, 96)
    assert iqsr("weights").code == 0


def test_missing_weights_end_the_batch_with_the_command_that_brings_them(
    iqsr: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IQSR_WEIGHTS", str(tmp_path / "weights"))
    picture("a.png")
    ended = iqsr("upscale", "a.png", "--model", "realesrgan-x2plus")
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "iqsr weights fetch realesrgan-x2plus" in ended.err


# Help


HELPS = [
    *[(), ("upscale",), ("export",), ("weights",), ("weights", "import"), ("weights", "fetch")],
    *[("prepare",), ("train",), ("merge",), ("train-quality",)],
]


def examples(text: str) -> list[str]:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)  # some CI services make typer use colours
    return [line.strip() for line in plain.splitlines() if re.match(r"^\s+iqsr \w", line)]


@pytest.mark.parametrize("command", HELPS, ids=" ".join)
def test_every_help_has_examples_that_parse(iqsr: Run, command: tuple[str, ...]) -> None:
    ended = iqsr(*command, "--help")
    assert ended.code == 0
    found = examples(ended.out)
    assert found
    for line in found:
        parse(shlex.split(line)[1:])
    if command:
        assert all(line.startswith(f"iqsr {' '.join(command)}") for line in found)
    else:
        alone = iqsr()
        assert (alone.code, alone.out, alone.err) == (0, ended.out, "")


def parse(arguments: list[str]) -> None:
    """Let typer take the arguments apart, down to the last subcommand, without running anything."""
    command, parent, name = typer.main.get_command(app), None, "iqsr"
    while True:
        context = command.make_context(name, list(arguments), parent=parent)
        rest = [*context._protected_args, *context.args]
        if not hasattr(command, "commands") or not rest:
            return
        name, command, arguments = command.resolve_command(context, rest)
        parent = context


def test_a_wrong_example_would_not_parse() -> None:
    for wrong in (["upscale", "a.png", "--skale", "2"], ["weights", "fetsch"], ["weights", "import", "a", "b"]):
        with pytest.raises(typer.TyperException):
            parse(wrong)


def test_the_examples_of_upscale_run(iqsr: Run) -> None:
    for name in ("photo.jpg", "holiday/a.jpg", "holiday/b/c.png", "scans/1.tif", "drawings/d.png"):
        picture(name, (400, 300))
    found = examples(iqsr("upscale", "--help").out)
    assert len(found) >= 4
    for line in found:
        ended = iqsr(*shlex.split(line)[1:], "--dry-run", "--json")
        assert ended.code == 0, ended.err
        assert {json.loads(fact)["state"] for fact in ended.out.splitlines()} == {"planned"}


def test_help_names_every_model_and_keeps_brackets(iqsr: Run) -> None:
    assert sorted(MODELS) == sorted(generator_names())
    text = iqsr("upscale", "--help").out
    assert all(re.search(rf"{re.escape(name)}\b", text) for name in MODELS)
    assert "'iqsr[openvino]'" in text


def test_the_docs_name_every_model() -> None:
    text = (Path(__file__).parents[1] / "docs" / "upscale.md").read_text()
    named = {name for line in text.splitlines() if line.startswith("| `") for name in re.findall(r"`([\w-]+)`", line)}
    assert set(MODELS) <= named


def test_version(iqsr: Run) -> None:
    import iqsr as package

    assert iqsr("--version").out == f"iqsr {package.__version__}\n"


# Time to start


def cpu_seconds(*command: str) -> float:
    """Best of three. Not by the clock, which counts what others do on the machine."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(3))


def test_import_and_help_are_fast() -> None:
    assert cpu_seconds(sys.executable, "-c", "import iqsr") < 0.3
    assert cpu_seconds(*IQSR, "--help") < 0.5


def imported(*command: str) -> set[str]:
    ended = subprocess.run([sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True)
    return {line.rsplit("|", 1)[1].strip() for line in ended.stderr.splitlines() if line.startswith("import time")}


@pytest.mark.parametrize(
    "command",
    [["-c", "import iqsr"], ["-m", "iqsr", "--help"], ["-m", "iqsr", "upscale", "--help"], ["-m", "iqsr", "weights"]],
    ids=" ".join,
)
def test_what_computes_nothing_imports_nothing_heavy(command: list[str]) -> None:
    modules = imported(*command)
    assert "iqsr" in modules
    assert not modules & {"torch", "numpy", "pyvips", "spandrel", "torchvision"}


def test_a_batch_with_nothing_left_to_do_imports_no_torch() -> None:
    picture("in/a.png")
    picture("o/a.png")
    command = ["-m", "iqsr", "upscale", "in", "-o", "o"]
    assert "torch" not in imported(*command, "--skip-existing")
    assert "torch" in imported(*command, "--overwrite", *FAST)


def test_a_wrong_device_is_refused_with_nothing_left_to_do_too(iqsr: Run) -> None:
    picture("in/a.png")
    picture("o/a.png")
    ended = iqsr("upscale", "in", "-o", "o", "--skip-existing", "--device", "tpu")
    assert (ended.code, ended.err) == (2, "iqsr: unknown device 'tpu'; choose auto, cpu, cuda, cuda:N or mps\n")


# Kills and interrupts


def batch_of_four() -> list[str]:
    for name in "abcd":
        picture(f"in/{name}.png", (200, 200))
    return ["upscale", "in", "-o", "o", *FAST]


def parts() -> list[Path]:
    return list(Path("o").glob(".*"))


def results() -> list[Path]:
    return sorted(path for path in Path("o").glob("*") if not path.name.startswith("."))


@contextmanager
def in_mid_batch(command: list[str]) -> Generator[subprocess.Popen[str]]:
    """The command, running, at a moment when a result is there and another is being written."""
    process = subprocess.Popen([*IQSR, *command], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + PATIENCE
        while not (results() and parts()):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_after_kill_9_the_same_command_finishes_and_recomputes_nothing() -> None:
    command = batch_of_four()
    with in_mid_batch(command) as running:
        running.send_signal(signal.SIGKILL)
        running.communicate()
    assert running.returncode == -signal.SIGKILL
    (stale,) = parts()
    assert stale.name.endswith(".iqsr-part")
    finished = results()
    assert 1 <= len(finished) < 4
    assert all(size_of(path) == (800, 800) for path in finished)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in finished}

    ended = process(*command, "--skip-existing")
    assert (ended.code, ended.err) == (0, f"{4 - len(finished)} upscaled, {len(finished)} skipped\n")
    assert [path.name for path in results()] == ["a.png", "b.png", "c.png", "d.png"]
    assert all(size_of(path) == (800, 800) for path in results())
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in finished} == before
    assert parts() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_partial_and_says_how_to_go_on(number: signal.Signals) -> None:
    with in_mid_batch(batch_of_four()) as running:
        running.send_signal(number)
        out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "iqsr: stopped; the same command with --skip-existing goes on from here"
    assert len(results()) < 4
    assert all(size_of(path) == (800, 800) for path in results())
    assert parts() == []


def test_whoever_stops_reading_ends_the_command_quietly() -> None:
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run([*IQSR, "weights", "--json"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert ended.returncode == 1
    assert ended.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("command", [("metrics", "srq"), ("metrics", "--json"), ("weights",)])
def test_output_that_cannot_be_written_is_one_line(command: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*IQSR, *command], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (1, "iqsr: No space left on device\n")


# Disks


@contextmanager
def small_disk(size: str) -> Generator[Path]:
    """A tmpfs of this size, mounted below the present folder."""
    place = Path("disk").resolve()
    place.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "iqsr-test", place], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("cannot mount a small disk here: needs root and mount(8)")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff"])
def test_a_full_disk_fails_the_picture_that_does_not_fit(iqsr: Run, suffix: str) -> None:
    picture("in/a.png", (8, 8))
    picture("in/b.png", (96, 96))
    picture("in/c.png", (8, 8))
    finest = ("--quality", "100") if suffix in ("jpg", "webp") else ()
    with small_disk("48k") as disk:
        ended = iqsr("upscale", "in", "-o", str(disk / "o"), "--format", suffix, *finest, *FAST)
        written = sorted(path.name for path in (disk / "o").iterdir())
        sizes = [size_of(disk / "o" / name) for name in written]
    assert ended.code == 1
    big = disk / "o" / f"b.{suffix}"
    assert ended.err == f"iqsr: cannot write '{big}': No space left on device\n2 upscaled, 1 failed\n"
    assert written == [f"a.{suffix}", f"c.{suffix}"]  # and no part
    assert sizes == [(32, 32), (32, 32)]


def test_a_read_only_folder_is_one_line(iqsr: Run) -> None:
    picture("a.png")
    with small_disk("1m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for out in (disk, disk / "new", disk / "o.png"):
            ended = iqsr("upscale", "a.png", "-o", str(out), *FAST)
            place = out if out.suffix else out / "a.png"
            assert ended.code == 1
            assert ended.err == f"iqsr: cannot write '{place}': the folder '{disk}' is read-only\n"


def test_an_output_folder_that_is_a_file_is_one_line(iqsr: Run) -> None:
    picture("a.png")
    Path("taken").write_text("a file")
    ended = iqsr("upscale", "a.png", "-o", "taken", *FAST)
    assert ended.code == 1
    assert ended.err == "iqsr: cannot write 'taken/a.png': 'taken' is a file, not a folder\n"
