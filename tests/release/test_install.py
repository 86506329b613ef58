"""The ways to install: each extra, path and file that the documents and the container file name exists."""

import re
import shlex
from pathlib import Path

from iqsr.doctor import PURPOSES
from support.project import EXTRAS, PROJECT, ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [*sorted((ROOT / "src").rglob("*.py")), *sorted((ROOT / ".github").rglob("*.yml"))]
INSTALL = ROOT / "docs/guides/install.md"
CONTAINERFILE = ROOT / "Containerfile"
_NAMED = re.compile(r"""(?:\biqsr|["' /]\.|/src|wheel)\[([a-z0-9, -]+)\]""")
_INSTRUCTIONS = {"FROM", "RUN", "COPY", "USER", "WORKDIR", "ENTRYPOINT", "CMD", "ARG", "ENV"}


def extras_in(text: str) -> set[str]:
    """The extras that are named: iqsr[train,onnx], .[dev], /src[study]."""
    return {extra.strip() for found in _NAMED.findall(text) for extra in found.split(",")}


def instructions() -> list[tuple[str, str]]:
    """Those of the container file, continued lines joined, comments left out."""
    text = re.sub(r"^\s*#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    split = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(name, rest) for name, rest in split]


def commands() -> list[list[str]]:
    """What the container file runs, word by word."""
    lines = [rest for name, rest in instructions() if name == "RUN"]
    return [shlex.split(part) for line in lines for part in line.split("&&")]


def test_every_extra_that_is_named_exists() -> None:
    named = {path.name: extras_in(path.read_text("utf-8")) for path in [*PAGES, *SOURCES, CONTAINERFILE]}
    assert len(set().union(*named.values())) > 7
    for page, extras in named.items():
        assert extras <= set(EXTRAS), page


def test_the_guide_lists_the_extras_for_users() -> None:
    rows = re.findall(r"^\| `([a-z0-9]+)` \|", INSTALL.read_text("utf-8"), re.MULTILINE)
    assert rows == list(PURPOSES)


def test_the_guide_names_files_and_versions_that_are_there() -> None:
    text = INSTALL.read_text("utf-8")
    for name in ("constraints.txt", "pyproject.toml", "Containerfile"):
        assert f"`{name}`" in text
        assert (ROOT / name).is_file()
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert f"Python {oldest} or newer" in text
    assert dict(instructions())["FROM"].endswith(f"/python:{oldest}-slim")


def test_the_container_file_is_in_order() -> None:
    """Instructions that exist, one user without rights, and the program that the package installs."""
    names = [name for name, _ in instructions()]
    assert set(names) <= _INSTRUCTIONS
    assert names[0] == "FROM"
    assert names.index("USER") > max(place for place, name in enumerate(names) if name == "RUN")
    found = dict(instructions())
    assert any(command[:3] == ["useradd", "--uid", found["USER"]] for command in commands())
    assert found["ENTRYPOINT"] == '["iqsr"]'
    assert "iqsr" in PROJECT["scripts"]


def test_the_container_file_names_paths_that_exist() -> None:
    """What it copies is the checkout, as /src."""
    copied = dict(instructions())["COPY"].split()
    assert copied == [".", "/src"]
    for command in commands():
        for word in command:
            if word.startswith("/src/"):
                assert (ROOT / word.removeprefix("/src/")).exists(), word
    assert not set(built_from()) - {path.name for path in ROOT.iterdir()}


def built_from() -> list[str]:
    """What the package is built from, of which nothing may be left out of the container's context."""
    return ["src", "pyproject.toml", PROJECT["readme"], *(name for name in PROJECT["license-files"] if "/" not in name)]


def test_the_container_leaves_out_what_is_large_and_takes_what_the_package_is_built_from() -> None:
    ignored = [line for line in Path(ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("", "#")]
    assert {".venv", ".git", "build", "dist"} <= set(ignored)
    assert not set(ignored) & {*built_from(), "constraints.txt"}
