"""mkdocs hook: a line `<!-- help: COMMAND -->` becomes the output of `iqsr COMMAND --help`."""

import os
import re
import subprocess
import sys

_PLACE = re.compile(r"^<!-- help:(?P<command>.*)-->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by mkdocs for each page. Raises CalledProcessError if a command does not exist."""
    return _PLACE.sub(lambda place: f"```text\n{_help(place['command'].split())}\n```", markdown)


def _help(command: list[str]) -> str:
    settings = os.environ | {"COLUMNS": "84", "NO_COLOR": "1", "TERM": "dumb", "PYTHONIOENCODING": "utf-8"}
    run = [sys.executable, "-m", "iqsr", *command, "--help"]
    return subprocess.run(run, env=settings, capture_output=True, encoding="utf-8", check=True).stdout.strip()
