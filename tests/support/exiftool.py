"""exiftool, for tests: it writes blocks into sources and reads them from results, and shares no code with iqsr."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

# What exiftool says of a file or a format, not of the picture.
_OF_THE_FILE = {"SourceFile", "ExifTool", "System", "File", "Composite", "RIFF", "QuickTime", "Meta", "Track1"}


class ExifTool:
    """The command."""

    def __init__(self, command: str) -> None:
        self._command = command

    def run(self, *arguments: str | Path) -> str:
        ended = subprocess.run([self._command, *map(str, arguments)], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def write(self, path: Path, *assignments: str) -> None:
        """Set tags: "-Artist=Jane"."""
        self.run("-q", "-q", "-m", "-overwrite_original", *assignments, path)

    def read(self, *paths: Path) -> list[dict[str, object]]:
        """All tags of each file as "group:name", as numbers; but those in _OF_THE_FILE."""
        read = json.loads(self.run("-j", "-G1", "-a", "-n", *paths))
        return [{tag: value for tag, value in facts.items() if tag.split(":")[0] not in _OF_THE_FILE} for facts in read]

    def block(self, path: Path, name: str) -> bytes:
        """A block's bytes: EXIF, XMP, IPTC, MakerNotes."""
        command = [self._command, "-q", "-q", "-m", "-b", f"-{name}", str(path)]
        return subprocess.run(command, capture_output=True, check=True).stdout


def find_exiftool() -> ExifTool:
    """Skips the test where there is none, but on CI."""
    found = shutil.which("exiftool")
    if found is None:
        message = "no exiftool on PATH (Debian: libimage-exiftool-perl)"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return ExifTool(found)
