"""What data a run learns from, so that it continues with the same data, or says what differs.

An item (a set, or a picture of a pair) is known by its name and by the digest of its files. Names count: splits, seeds
and order go by them, so a renamed item is one removed and one added. `training.predictor.dataset` notes the photos of
`train-quality --photos` instead, with the data that is made from them.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from iqsr.errors import IqsrError
from iqsr.io.places import read_whole

_NAMED = 3


class Mark(NamedTuple):
    """What tells one picture, or set of pictures, from another one of the same name."""

    sizes: str
    """Digest of the files' sizes and of their labels."""
    content: str | None
    """Digest of the files' bytes and of their labels; None where they were not read."""

    def differs(self, other: "Mark") -> bool:
        """Whether the marks differ: by content where both have it, else by size."""
        known = self.content is not None and other.content is not None
        return self.content != other.content if known else self.sizes != other.sizes


@dataclass(frozen=True)
class Difference:
    """The names of the items that differ between two states of the data."""

    added: Sequence[str] = ()
    removed: Sequence[str] = ()
    changed: Sequence[str] = ()
    moved: bool = False
    """The items are the same, in another order."""
    renamed: Sequence[tuple[str, str]] = ()
    """Name before and name now of items among the removed and the added that have the same content."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.moved)

    def __str__(self) -> str:
        parts = [
            f"{len(names)} {word} ({', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''})"
            for word, names in (("added", self.added), ("removed", self.removed), ("changed", self.changed))
            if names
        ]
        if self.renamed:
            pairs = [f"'{before}' is '{now}' now" for before, now in self.renamed[:_NAMED]]
            parts.append(f"names count, and {', '.join(pairs)}{', ...' if len(self.renamed) > _NAMED else ''}")
        return ", ".join(parts) or "the same in another order"

    def note(self) -> dict[str, object]:
        """All names, for a JSON file; empty where nothing differs."""
        found = {"added": self.added, "removed": self.removed, "changed": self.changed}
        note: dict[str, object] = {word: list(names) for word, names in found.items() if names}
        return note | ({"moved": True} if self.moved else {})


def renamed(added: Mapping[str, str | None], removed: Mapping[str, str | None]) -> list[tuple[str, str]]:
    """Pairs of name before and name now with the same content, which is None where it is not known."""
    before = {content: name for name, content in removed.items() if content is not None}
    return [(before[content], name) for name, content in added.items() if content in before]


class Identity(dict[str, Mark]):
    """The mark of each set or picture by its name, in the order in which they are numbered."""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits."""
        return _digest(json.dumps(list(self.items())))[:16]

    def since(self, before: "Identity") -> Difference:
        """What differs from a state before."""
        added = [name for name in self if name not in before]
        removed = [name for name in before if name not in self]
        return Difference(
            added=added,
            removed=removed,
            changed=[name for name in self if name in before and self[name].differs(before[name])],
            moved=self.keys() == before.keys() and list(self) != list(before),
            renamed=renamed(
                {name: self[name].content for name in added}, {name: before[name].content for name in removed}
            ),
        )

    def with_contents_of(self, before: "Identity") -> "Identity":
        """With the digests of contents that were read before and not this time."""
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
        """Read a file that holds what `to_json` made. IqsrError for a file that is damaged."""
        advice = "remove it to go on without a check that the data is as it was"
        try:
            return cls({name: Mark(*mark) for name, mark in read_json(path, advice).items()})
        except TypeError:
            raise IqsrError(f"'{path}' is damaged: {advice}") from None


def mark(sizes: Sequence[int], contents: Sequence[str] | None, labels: object = None) -> Mark:
    """The mark of files.

    Args:
        sizes: Of each file, in bytes.
        contents: The SHA-256 of each file; None where they were not read.
        labels: What else the data says of them.
    """
    content = None if contents is None else _digest(f"{list(contents)} {labels}")
    return Mark(_digest(f"{list(sizes)} {labels}"), content)


def read_json(path: Path, advice: str) -> dict[str, Any]:
    """The object in a JSON file. IqsrError, which gives the advice, for a file that is damaged, and what is none."""
    try:
        found = json.loads(read_whole(path))
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
    except OSError as error:
        raise IqsrError(f"cannot read '{path}': {error.strerror}: {advice}") from None
    except (ValueError, RecursionError) as error:
        raise IqsrError(f"'{path}' is damaged ({error}): {advice}") from None
    return cast("dict[str, Any]", found)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
