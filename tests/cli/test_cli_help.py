"""The `iqsr` command's help, and how fast it is there."""

import json
import re
import shlex
from pathlib import Path

import pytest
import typer

from iqsr.models import model_names
from support.cli_pictures import picture
from support.command_lines import app_group, parse
from support.commands import Run


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


# Help


HELPS = [
    *[(), ("upscale",), ("export",), ("weights",), ("weights", "import"), ("weights", "fetch")],
    *[("score",), ("agree",), ("agree-labels",), ("metrics",), ("prepare",), ("check-sets",), ("train",)],
    *[("train-quality",), ("merge",), ("interpolate",), ("recipes",), ("recipes", "show")],
    *[("evaluate",), ("merge-shards",), ("panel",), ("compare",), ("demo",), ("doctor",)],
    *[("study",), ("study", "create"), ("study", "serve"), ("study", "sheets"), ("study", "power"), ("study", "demo")],
    *[("study", "import"), ("study", "analyze")],
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
        parse(shlex.split(line.partition(" > ")[0])[1:])
    if command:
        assert all(line.startswith(f"iqsr {' '.join(command)}") for line in found)
    else:
        alone = iqsr()
        assert (alone.code, alone.out, alone.err) == (0, ended.out, "")


def test_a_wrong_example_would_not_parse() -> None:
    for wrong in (["upscale", "a.png", "--skale", "2"], ["weights", "fetsch"], ["weights", "import", "a", "b"]):
        with pytest.raises(typer.TyperException):
            parse(wrong)


def test_the_examples_of_upscale_run(iqsr: Run) -> None:
    for name in ("photo.jpg", "holiday/a.jpg", "holiday/b/c.png", "scans/1.tif", "drawings/d.png", "gloss.png"):
        picture(name, (400, 300))
    found = examples(iqsr("upscale", "--help").out)
    assert len(found) >= 4
    for line in found:
        ended = iqsr(*shlex.split(line)[1:], "--dry-run", "--json")
        assert ended.code == 0, ended.err
        assert {json.loads(fact)["state"] for fact in ended.out.splitlines()} == {"planned"}


def test_help_names_every_model_and_keeps_brackets(iqsr: Run) -> None:
    text = iqsr("upscale", "--help").out
    assert all(re.search(rf"{re.escape(name)}\b", text) for name in model_names())
    assert "'iqsr[openvino]'" in text


def test_the_docs_name_every_model() -> None:
    text = (Path(__file__).parents[2] / "docs" / "guides" / "upscale.md").read_text()
    named = {name for line in text.splitlines() if line.startswith("| `") for name in re.findall(r"`([\w-]+)`", line)}
    assert set(model_names()) <= named


def test_the_reference_has_the_help_of_every_command() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text()
    shown = set(re.findall(r"<!-- help: (.+) -->", text))
    commands = app_group().commands
    below = {f"{name} {sub}" for name, command in commands.items() for sub in getattr(command, "commands", {})}
    assert shown == set(commands) | below


def test_version(iqsr: Run) -> None:
    import iqsr as package

    assert iqsr("--version").out == f"iqsr {package.__version__}\n"


def test_a_wrong_device_is_refused_with_nothing_left_to_do_too(iqsr: Run) -> None:
    picture("in/a.png")
    picture("o/a.png")
    ended = iqsr("upscale", "in", "-o", "o", "--skip-existing", "--device", "tpu")
    assert (ended.code, ended.err) == (2, "iqsr: unknown device 'tpu'; choose auto, cpu, cuda, cuda:N or mps\n")
