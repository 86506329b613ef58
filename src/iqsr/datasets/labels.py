"""The labels that three people gave each enhanced ground truth: HGGT's label files, and the majority vote.

Chen et al., "Human Guided Ground-truth Generation for Realistic Image Super-resolution", CVPR 2023,
arXiv:2303.13069. One JSON file a set and annotator: `Picture_1` is the original, without a label; `Picture_2`
and on are the enhanced versions in the order of their folders, each {"Name", "File", "Label"}; `Time_cost` says
how long it took.
"""

import json
from collections import Counter
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path, PureWindowsPath
from unicodedata import normalize

from iqsr.errors import IqsrError
from iqsr.io.places import read_whole

ANNOTATORS = ("A", "B", "C")
"""Each set is labelled by three people; their files lie in folders of these names."""


class Label(IntEnum):
    """How an enhanced ground truth looks compared with the original of its set. The codes are HGGT's."""

    ORIGINAL = 0
    """The original itself: neither positive nor negative."""
    POSITIVE = 1
    """Better."""
    SIMILAR = 2
    """Equally good, or better in parts and worse in others."""
    NEGATIVE = 3
    """Worse."""


_SPELLING = {"Positive": Label.POSITIVE, "Similar": Label.SIMILAR, "Negative": Label.NEGATIVE}


def vote(labels: Sequence[Label]) -> tuple[Label, int]:
    """The label that at least two of three people gave, and how many did (3 or 2).

    Three different labels make SIMILAR, with 1 vote, as in HGGT.
    """
    if len(labels) != len(ANNOTATORS):
        raise ValueError(f"a vote takes {len(ANNOTATORS)} labels, got {len(labels)}")
    label, votes = Counter(labels).most_common(1)[0]
    return (label, votes) if votes > 1 else (Label.SIMILAR, 1)


def read_labels(path: Path, enhanced: Sequence[str]) -> tuple[Label, ...]:
    """One annotator's labels of one set, in the order of `enhanced`, the folders' names ("01", "02", ...).

    The file is called like the set. IqsrError, one line that names it, for JSON that cannot be read, a picture that is
    missing, too many, of another folder or (by its `Name`) of another set or version, an unknown label.
    """
    pictures = _pictures(path)
    _check_name(path, pictures, "Picture_1", {path.stem})
    beyond = f"Picture_{len(enhanced) + 2}"
    if beyond in pictures:
        raise IqsrError(f"'{path}': has {beyond}, but the set has {len(enhanced) + 1} pictures")
    return tuple(_label(path, pictures, f"Picture_{i}", folder) for i, folder in enumerate(enhanced, 2))


def check_original(path: Path) -> None:
    """IqsrError where the file's Picture_1 is missing, of an enhanced version, or labelled.

    Reading asks for none of this, as HGGT's own code does not; but in such a file the order may be another one.
    """
    first = _pictures(path).get("Picture_1")
    if not isinstance(first, dict):
        raise IqsrError(f"'{path}': Picture_1, the original, is missing")
    said, label = first.get("File"), first.get("Label")
    if said is not None and str(said).lower() != "original":
        raise IqsrError(f"'{path}': Picture_1 is said to be of folder '{said}', expected 'original'")
    if label is not None:
        raise IqsrError(f"'{path}': Picture_1, the original, has the label {label!r}")


def _pictures(path: Path) -> dict[str, object]:
    try:
        pictures = json.loads(read_whole(path), object_pairs_hook=_once)
    except OSError as error:
        raise IqsrError(f"cannot read '{path}': {error.strerror}") from None
    except _TwiceError as error:
        raise IqsrError(f"'{path}': {error} stands there twice") from None
    except (ValueError, RecursionError) as error:
        raise IqsrError(f"cannot read '{path}': it is not JSON ({error})") from None
    if not isinstance(pictures, dict):
        raise IqsrError(f"'{path}': expected an object with Picture_1, Picture_2, ..., found {type(pictures).__name__}")
    return pictures


class _TwiceError(Exception):
    """An object has a key twice, of which the JSON reader would take the last."""


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError(next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1))
    return found


def _check_name(path: Path, pictures: dict[str, object], key: str, stems: set[str]) -> None:
    """Where the picture under `key` says what its file is called, it must be one of `stems`, whatever its format.

    A label file that was copied to another set's place has that set's labels, and everything else as it should be.
    """
    entry = pictures.get(key)
    said = entry.get("Name") if isinstance(entry, dict) else None
    if not isinstance(said, str):
        return
    named = normalize("NFC", PureWindowsPath(said).name)  # which takes / and \\ apart
    known = {normalize("NFC", stem) for stem in stems}
    if named not in known and named.rpartition(".")[0] not in known:
        wanted = " or ".join(f"'{stem}'" for stem in sorted(stems))
        raise IqsrError(f"'{path}': {key} is said to be '{said}', expected {wanted}: labels of another set?")


def _label(path: Path, pictures: dict[str, object], key: str, folder: str) -> Label:
    """The label under `key`, which must be the picture of `folder` where it says whose it is."""
    entry = pictures.get(key)
    if not isinstance(entry, dict):
        raise IqsrError(f"'{path}': {key} is missing")
    said = entry.get("File")
    if said is not None and said != folder:
        raise IqsrError(f"'{path}': {key} is said to be of folder '{said}', expected '{folder}'")
    _check_name(path, pictures, key, {path.stem, f"{path.stem}_{folder}"})
    label = entry.get("Label")
    if not isinstance(label, str) or label not in _SPELLING:
        raise IqsrError(f"'{path}': {key} has the unknown label {label!r}; known: {', '.join(_SPELLING)}")
    return _SPELLING[label]
