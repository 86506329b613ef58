"""What is wrong with a data set of ground truths, file by file, so that all of it can be put right at once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from iqsr.datasets.hggt import ORIGINAL, GroundTruths, Shelf, folders_in, open_sets
from iqsr.datasets.labels import ANNOTATORS, check_original, read_labels
from iqsr.errors import IqsrError


@dataclass(frozen=True)
class Finding:
    """One thing wrong."""

    path: Path
    """the file, or where it should be"""
    problem: str


def check(folder: Path, *, deep: bool = True) -> list[Finding]:
    """Everything wrong with the data set in `folder`; empty if all is well.

    Missing pictures and annotators, label files that are not as they should be, pictures that cannot be read or
    differ in size from their original, files that belong to no set, a name that two sets have, no sets at all.
    `deep` decodes every picture to its last row, which finds those cut short; without it only headers are read, which
    is some thirty times as fast.

    Raises UsageError where there is no data set at all.
    """
    return list(findings(open_sets(folder), deep=deep))


def findings(
    sets: GroundTruths, *, deep: bool = True, on_set: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[Finding]:
    """What `check` returns, as it is found, in the order of the sets. on_set: told how many sets are done, of
    how many that are known so far."""
    seen: dict[str, Path] = {}
    done = total = 0
    for shelf in sets.shelves:
        yield from _unknown_annotators(shelf)
        broken = list(_folders(shelf))
        yield from broken
        if broken:
            continue
        original = shelf.images[ORIGINAL]
        if not shelf.names:
            yield Finding(original, "holds no pictures: there are no sets")
        total += len(shelf.names)
        for name, wrong in _looked(shelf, deep):
            if name in seen:
                yield Finding(original / shelf.listing(original)[name], f"'{seen[name]}' has a set of this name, too")
            seen.setdefault(name, original)
            yield from wrong
            yield from _labels(shelf, name)
            done += 1
            on_set(done, total)
        yield from _strangers(shelf)
    for folder in sets.stray_labels:
        yield Finding(folder, "labels of a range that has no pictures")


def _unknown_annotators(shelf: Shelf) -> Iterator[Finding]:
    """Folders beside those of the annotators: what is in them is read by nobody."""
    known = list((shelf.labels or {}).values())
    if not known or not known[0].parent.is_dir():
        return
    for name, folder in folders_in(known[0].parent).items():
        if folder not in known:
            yield Finding(folder, f"labels of an unknown annotator '{name}'; known: {', '.join(ANNOTATORS)}")


def _folders(shelf: Shelf) -> Iterator[Finding]:
    """Folders that cannot be listed, or that hold a name twice. An annotator's that is missing is one finding."""
    for folder in (*shelf.images.values(), *(shelf.labels or {}).values()):
        try:
            shelf.listing(folder)
        except IqsrError as error:
            yield Finding(folder, _without(folder, error))


def _looked(shelf: Shelf, deep: bool) -> Iterator[tuple[str, list[Finding]]]:
    """Each set with what is wrong with its pictures; several are read at once, for decoding leaves Python alone."""

    def wrong(name: str) -> list[Finding]:
        return list(_pictures(shelf, name, deep))

    with ThreadPoolExecutor() as pool:
        try:
            yield from zip(shelf.names, pool.map(wrong, shelf.names), strict=True)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _pictures(shelf: Shelf, name: str, deep: bool) -> Iterator[Finding]:
    size: tuple[int, int] | None = None
    for variant, folder in shelf.images.items():
        path = shelf.picture(name, variant)
        if path is None:
            yield Finding(folder / f"{name}_{variant}.png", "the picture is missing")
            continue
        try:
            found = _size(path, deep)
        except IqsrError as error:
            yield Finding(path, _without(path, error))
            continue
        size = size or found
        if found != size:
            yield Finding(path, f"{found[0]} x {found[1]} pixels; others of its set have {size[0]} x {size[1]}")


def _size(path: Path, deep: bool) -> tuple[int, int]:
    """Width and height. PictureError for what cannot be read."""
    from iqsr.images import open_picture
    from iqsr.images.whole import decoded_size

    if deep:
        return decoded_size(path)
    info = open_picture(path).info
    return info.width, info.height


def _labels(shelf: Shelf, name: str) -> Iterator[Finding]:
    for annotator in ANNOTATORS if shelf.labels else ():
        path = shelf.label_file(name, annotator)
        if path is None:
            assert shelf.labels is not None
            yield Finding(shelf.labels[annotator] / f"{name}.json", f"the labels of annotator {annotator} are missing")
            continue
        try:
            read_labels(path, list(shelf.images)[1:])
            check_original(path)
        except IqsrError as error:
            yield Finding(path, _without(path, error))


def _strangers(shelf: Shelf) -> Iterator[Finding]:
    """Files without an original: of a set whose original is missing, or named wrongly."""
    names = set(shelf.names)
    for variant, folder in shelf.images.items():
        for stem, file in shelf.listing(folder).items():
            if variant != ORIGINAL and stem.removesuffix(f"_{variant}") not in names and stem not in names:
                yield Finding(folder / file, "there is no original for it")
    for folder in (shelf.labels or {}).values():
        for stem, file in shelf.listing(folder).items():
            if stem not in names:
                yield Finding(folder / file, "there is no original for it")


def _without(path: Path, error: IqsrError) -> str:
    """The error's message without the file's name, which the finding has already."""
    text = str(error)
    for start in (f"'{path}': ", f"cannot read '{path}': ", f"cannot list '{path}': ", f"'{path}' "):
        if text.startswith(start):
            return text.removeprefix(start)
    return text
