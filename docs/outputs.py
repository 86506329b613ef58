"""The output blocks of README and docs: what a command prints stands below it, as the command printed it.

A block is fenced as `console`; a line that begins with `$ ` is a command for the shell. The commands of one page run in
turn in one folder, which holds the pictures that `write_pictures` makes.

    python docs/outputs.py            write every block anew
    python docs/outputs.py README.md  those of this page only
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import skimage.data
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
WIDTH_CHARACTERS = 96
RELATIVE_TOLERANCE = 0.01
"""By how much a printed number may differ from one CPU to another."""

_BLOCK = re.compile(r"^```console\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_SECONDS = re.compile(r"\b\d+(?:\.\d+)? s\b")
_SCENES = ("astronaut", "chelsea", "coffee", "rocket")


@dataclass(frozen=True)
class Command:
    """A command in a block, and the output below it."""

    line: str
    output: str


def pages() -> list[Path]:
    """README and the pages of the docs that have an output block."""
    return [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if commands(page)]


def commands(page: Path) -> list[Command]:
    """The commands of a page with the outputs that it shows, from top to bottom."""
    return [command for block in _BLOCK.finditer(page.read_text("utf-8")) for command in _commands(block["body"])]


def write_pictures(folder: Path) -> None:
    """The pictures that the commands name: a small photo, four originals, two methods' results, votes about them."""
    _photo("coffee", (150, 100)).save(folder / "photo.jpg", quality=92)
    for name in ("originals", "bicubic", "nearest"):
        (folder / name).mkdir()
    votes = ["first,second,share_first"]
    for scene in _SCENES:
        original = _photo(scene, (192, 128))
        original.save(folder / f"originals/{scene}.png")
        small = original.resize((48, 32), Image.Resampling.BICUBIC)
        small.resize(original.size, Image.Resampling.BICUBIC).save(folder / f"bicubic/{scene}.png")
        small.resize(original.size, Image.Resampling.NEAREST).save(folder / f"nearest/{scene}.png")
        votes += [f"originals/{scene}.png,bicubic/{scene}.png,1", f"bicubic/{scene}.png,nearest/{scene}.png,0.9"]
    (folder / "pairs.csv").write_text("\n".join(votes) + "\n", encoding="utf-8")


def run(line: str, folder: Path) -> str:
    """What a command prints on standard output. CalledProcessError where it fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {"PATH": path, "COLUMNS": str(WIDTH_CHARACTERS), "NO_COLOR": "1", "TERM": "dumb", "PYTHONUTF8": "1"}
    settings |= {"IQSR_CACHE": str(folder / ".cache"), "IQSR_WEIGHTS": str(folder / ".weights")}
    ended = subprocess.run(
        ["sh", "-c", line], cwd=folder, env=os.environ | settings, stdout=subprocess.PIPE, encoding="utf-8", check=True
    )
    return "".join(f"{text.rstrip()}\n" for text in ended.stdout.strip("\n").splitlines())


def is_same(shown: str, printed: str) -> bool:
    """Whether two outputs say the same: numbers within a percent, durations and spaces aside."""
    for one, other in zip_longest(_tokens(shown), _tokens(printed)):
        if one == other:
            continue
        if one is None or other is None or not (_NUMBER.fullmatch(one) and _NUMBER.fullmatch(other)):
            return False
        last_digit = 10.0 ** -len(one.partition(".")[2])
        if abs(float(one) - float(other)) > RELATIVE_TOLERANCE * abs(float(one)) + last_digit:
            return False
    return True


def write_anew(page: Path) -> None:
    """Run the page's commands and put what they print below them."""
    with tempfile.TemporaryDirectory() as name:
        write_pictures(Path(name))
        text = page.read_text("utf-8")
        page.write_text(_BLOCK.sub(lambda block: _renewed(block, lambda line: run(line, Path(name))), text), "utf-8")


def _renewed(block: re.Match[str], output_of: Callable[[str], str]) -> str:
    parts: list[str] = []
    for command in _commands(block["body"]):
        output = output_of(command.line)
        parts.append(f"$ {command.line}\n{command.output if is_same(command.output, output) else output}")
    return f"```console\n{''.join(parts)}```"


def _commands(body: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        yield Command(line, output)


def _tokens(text: str) -> list[str]:
    return _SECONDS.sub("N s", text).split()


def _photo(scene: str, size: tuple[int, int]) -> Image.Image:
    photo = Image.fromarray(getattr(skimage.data, scene)()).convert("RGB")
    return photo.resize(size, Image.Resampling.LANCZOS)


if __name__ == "__main__":
    for page in [Path(name).resolve() for name in sys.argv[1:]] or pages():
        write_anew(page)
