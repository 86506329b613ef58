"""What README and docs show of commands: every line can be run, and prints what stands below it."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from PIL import Image

from support.command_lines import parse
from support.docs import ROOT, load_outputs

outputs = load_outputs()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_SHELL = re.compile(r"^```(?:sh|console|bash)?\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def shell_lines(page: Path) -> Iterator[str]:
    """Each `iqsr ...` of a page's blocks for the shell, continued lines joined, comments cut off."""
    for block in _SHELL.finditer(page.read_text("utf-8")):
        for line in block["body"].replace("\\\n", " ").splitlines():
            found = re.match(r"(?:\$ )?(?:accelerate launch .*-m )?(iqsr .*)", line)
            if found:
                yield found[1]


@pytest.mark.parametrize("page", [p for p in PAGES if any(shell_lines(p))], ids=name)
def test_every_documented_command_parses(page: Path) -> None:
    for line in shell_lines(page):
        words = shlex.split(line, comments=True)
        end = next((n for n, word in enumerate(words) if word in {"|", "&&", ">", ";"}), len(words))
        try:
            parse(words[1:end])
        except typer.TyperException as error:
            pytest.fail(f"{line}: {error.format_message()}")


@pytest.mark.slow
@pytest.mark.parametrize("page", outputs.pages(), ids=name)
def test_outputs_are_what_the_commands_print(page: Path, tmp_path: Path) -> None:
    outputs.write_pictures(tmp_path)
    for command in outputs.commands(page):
        printed = outputs.run(command.line, tmp_path)
        assert outputs.is_same(command.output, printed), f"{command.line}\n{printed}"


def test_a_wrong_output_is_noticed(tmp_path: Path) -> None:
    right = "srq  higher  4  24.96\ndone in 3 s\n"
    assert outputs.is_same(right, "srq  higher  4  24.97\ndone in 71.5 s\n")
    for wrong in (
        "srq  lower  4  24.96\ndone in 3 s\n",
        "srq  higher  4  27.1\ndone in 3 s\n",
        "srq  higher  4  24.96\n",
    ):
        assert not outputs.is_same(right, wrong)


def test_a_page_is_written_anew(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n```console\n$ echo 1\nold\n$ echo 2 3\n```\nafter\n", "utf-8")
    outputs.write_anew(page)
    assert page.read_text("utf-8") == "before\n```console\n$ echo 1\n1\n$ echo 2 3\n2 3\n```\nafter\n"


def test_the_python_lines_of_readme_run(tmp_path: Path) -> None:
    outputs.write_pictures(tmp_path)
    (tmp_path / "bicubic").rename(tmp_path / "results")
    with Image.open(tmp_path / "photo.jpg") as photo:
        small = photo.resize((24, 16))
    small.save(tmp_path / "photo.jpg")
    found = re.search(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    lines = found[1]
    given = "import numpy, torch\narray, pictures = numpy.zeros((16, 24, 3), 'uint8'), torch.rand(2, 3, 64, 64)\n"
    shown = "print(larger.shape, len(scores), list(table.columns))"
    ended = subprocess.run([sys.executable, "-c", given + lines + shown], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("(64, 96, 3) 2 ['path', 'width', 'height', 'reference', 'psnr', 'stlpips'")
    with Image.open(tmp_path / "photo_x2.png") as result:
        assert result.size == (48, 32)
