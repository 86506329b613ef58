"""Errors of the `iqsr` command: one line each, and the exit code."""

import subprocess
import sys
from pathlib import Path

import pytest

from iqsr.errors import ModelError
from iqsr.models import SRModel
from support.cli_pictures import ESCAPE, FAST, everything, picture, process, size_of
from support.command_lines import app_group
from support.commands import Run


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


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
        (["--memory", "inf"], "memory is a number of gigabytes above 0, got inf"),
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
    usual = {"-o": "o/", FAST[0]: FAST[1], FAST[2]: FAST[3]}
    others = [text for option, value in usual.items() if option not in arguments for text in (option, value)]
    ended = iqsr("upscale", "a.png", *others, *arguments)
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
        (["export", "realesr-animevideov3", "-o", "a.png/a.onnx"], 1, "cannot write 'a.png/a.onnx': 'a.png' is a file"),
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


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_precision_that_the_cpu_lacks_is_one_line_for_all_pictures(
    iqsr: Run, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    monkeypatch.setattr("iqsr.engines.openvino.has_bf16", lambda: False)
    picture("in/a.png")
    picture("in/b.png")
    ended = iqsr("upscale", "in", "-o", "o", "--backend", "openvino", "--precision", "bf16", *FAST, *more)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "iqsr: this CPU has no bf16 arithmetic that OpenVINO uses; take fp32\n"


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_network_that_cannot_be_converted_is_one_line_for_all_pictures(
    iqsr: Run, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    def failing(model: SRModel) -> None:
        raise ModelError(f"{model.name}: OpenVINO cannot convert this network")

    monkeypatch.setattr("iqsr.engines.openvino_module.convert", failing)
    picture("in/a.png")
    picture("in/b.png")
    ended = iqsr("upscale", "in", "-o", "o", "--backend", "openvino", "--precision", "fp32", *FAST, *more)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "iqsr: realesr-animevideov3: OpenVINO cannot convert this network\n"


def test_outputs_in_the_home_folder_go_there(iqsr: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    Path("home").mkdir()
    picture("a.png")
    assert iqsr("upscale", "a.png", "--output=~/b.png", *FAST).code == 0
    assert iqsr("export", "realesr-animevideov3", "--output=~/a.safetensors").code == 0
    assert sorted(everything()) == ["a.png", "home/a.safetensors", "home/b.png"]


@pytest.mark.parametrize(
    ("command", "option"),
    [
        *[(name, "--output") for name in ("score", "agree", "agree-labels", "prepare", "export")],
        *[(name, "--output") for name in ("merge", "interpolate", "train", "train-quality")],
        *[("score", "--map"), ("score", "--cache"), ("agree", "--cache")],
    ],
)
def test_every_output_may_begin_with_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, option: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    parser = app_group().commands[command]
    for text, path in [("~/b", tmp_path / "b"), ("a/~/b", Path("a/~/b")), ("b", Path("b"))]:
        context = parser.make_context(command, [f"{option}={text}"], resilient_parsing=True)
        assert path in context.params.values()


def test_training_without_its_extra_is_one_line() -> None:
    code = "import sys; sys.modules['accelerate'] = None; from iqsr.cli import main; main()"
    arguments = ["train", "recipe.toml", "--data", "sets", "-o", "run"]
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    line = "iqsr: training needs the package accelerate: pip install 'iqsr[train]'\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", line)


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
