"""Files that an evaluation makes, and what each was made of: what is there is not made again, what changed is."""

from __future__ import annotations

import json
from pathlib import Path

from iqsr.errors import IqsrError
from iqsr.io.atomic import write_text
from iqsr.io.journals import add_entry, entries
from iqsr.scoring import content_hash

JOURNAL = "made.jsonl"


class MadeFiles:
    """The files in a folder. A line is added to its journal when a file is there whole.

    >>> made = MadeFiles(Path("pictures/mine"))
    >>> if not made.has("0801.png", of):
    ...     write(folder / "0801.png")
    ...     made.add("0801.png", of)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._journal = folder / JOURNAL
        self._known: dict[str, dict[str, str]] = {}
        self.take(folder)

    def has(self, name: str, of: str) -> bool:
        """Whether the file was made of that, and is as it was then. of: stands for all that the file depends on."""
        known = self._known.get(name)
        if known is None or known["of"] != of or not (self.folder / name).is_file():
            return False
        try:
            return content_hash(self.folder / name) == known["sha256"]
        except IqsrError:
            return False

    def add(self, name: str, of: str) -> None:
        """Note that the file was made. WriteError."""
        entry = {"file": name, "of": of, "sha256": content_hash(self.folder / name)}
        self._known[name] = entry
        add_entry(self._journal, entry)

    def take(self, folder: Path) -> None:
        """Know the files that the journal of a folder notes as known here, too; its notes replace those of before."""
        for entry in entries(folder / JOURNAL):
            match entry:
                case {"file": str(name), "of": str(of), "sha256": str(sha256)}:
                    self._known[name] = {"file": name, "of": of, "sha256": sha256}
                case _:  # damaged: the file is made again
                    pass

    def close(self) -> None:
        """Write the journal anew, sorted, an entry a file: the same whatever was stopped and begun again between."""
        if self._known:
            lines = [json.dumps(self._known[name]) + "\n" for name in sorted(self._known)]
            write_text(self._journal, "".join(lines))
