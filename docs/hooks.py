"""mkdocs hook: fills in what the pages say of the program, so that it is never out of date.

`<!-- help: COMMAND -->` becomes the output of `iqsr COMMAND --help`, `<!-- metric cards -->` the tables of all metrics.
"""

import os
import re
import subprocess
import sys

from iqsr.metrics.taxonomy import markdown as metric_tables

_HELP = re.compile(r"^<!-- help:(?P<command>.*)-->$", re.MULTILINE)
_METRICS = re.compile(r"^<!-- metric cards -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by mkdocs for each page. Raises CalledProcessError if a command does not exist."""
    markdown = _METRICS.sub(lambda _: metric_tables(), markdown)
    return _HELP.sub(lambda place: f"```text\n{_help(place['command'].split())}\n```", markdown)


def _help(command: list[str]) -> str:
    settings = os.environ | {"COLUMNS": "84", "NO_COLOR": "1", "TERM": "dumb", "PYTHONIOENCODING": "utf-8"}
    run = [sys.executable, "-m", "iqsr", *command, "--help"]
    return subprocess.run(run, env=settings, capture_output=True, encoding="utf-8", check=True).stdout.strip()
