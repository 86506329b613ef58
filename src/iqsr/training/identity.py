"""What data a run learns from, so that it goes on with the same, or says what is another."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from iqsr.errors import IqsrError
from iqsr.training.note import read_object

_NAMED = 3


class Mark(NamedTuple):
    """What tells one picture, or set of pictures, from another of its name."""

    sizes: str
    """Digest of the files' sizes, and of all that is said of them."""
    content: str | None
    """The same of the files' bytes; None where they were not read."""

    def differs(self, other: "Mark") -> bool:
        """By content where it is known of both."""
        known = self.content is not None and other.content is not None
        return self.content != other.content if known else self.sizes != other.sizes


@dataclass(frozen=True)
class Difference:
    """Names of what is in one and not, or not the same, in the other."""

    added: Sequence[str] = ()
    removed: Sequence[str] = ()
    changed: Sequence[str] = ()
    moved: bool = False
    """All is there, in another order."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.moved)

    def __str__(self) -> str:
        parts = [
            f"{len(names)} {word} ({', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''})"
            for word, names in (("added", self.added), ("removed", self.removed), ("changed", self.changed))
            if names
        ]
        return ", ".join(parts) or "the same in another order"

    def note(self) -> dict[str, object]:
        """For a file of JSON: all names."""
        found = {"added": list(self.added), "removed": list(self.removed), "changed": list(self.changed)}
        return {word: names for word, names in found.items() if names} or {"moved": True}


class Identity(dict[str, Mark]):
    """The mark of each set or picture by its name, in the order in which they are numbered."""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits."""
        return _digest(json.dumps(list(self.items())))[:16]

    def since(self, before: "Identity") -> Difference:
        """What is another than it was."""
        return Difference(
            added=[name for name in self if name not in before],
            removed=[name for name in before if name not in self],
            changed=[name for name in self if name in before and self[name].differs(before[name])],
            moved=self.keys() == before.keys() and list(self) != list(before),
        )

    def knowing(self, before: "Identity") -> "Identity":
        """With contents that were read before and were not this time."""
        return Identity(
            {
                n: before[n] if m.content is None and n in before and m.sizes == before[n].sizes else m
                for n, m in self.items()
            }
        )

    def to_json(self) -> str:
        """As text, for a file that `read` reads."""
        return json.dumps(self)

    @classmethod
    def read(cls, path: Path) -> "Identity":
        """From a file of what `to_json` wrote. IqsrError for a file that is damaged."""
        advice = "remove it to go on without a look at whether the data is as it was"
        try:
            return cls({name: Mark(*mark) for name, mark in read_object(path, advice).items()})
        except TypeError:
            raise IqsrError(f"'{path}' is damaged: {advice}") from None


def mark(sizes: Sequence[int], contents: Sequence[str] | None, said: object = None) -> Mark:
    """The mark of files of these sizes in bytes and contents (their SHA-256), of which `said` is said."""
    return Mark(_digest(f"{list(sizes)} {said}"), None if contents is None else _digest(f"{list(contents)} {said}"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
